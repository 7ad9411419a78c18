"""Are words copied, reversed and sorted as Python does it?"""

from __future__ import annotations

import collections
from typing import Any

import pytest
from scipy import stats

from jaxemerge.tasks import Rewrite, check_task
from spelling import check_evaluation, check_examples, documented

OPERATIONS: tuple[Any, ...] = ("copy", "reverse", "sort")


def oracle(task: Rewrite, prompt: list[str]) -> tuple[list[str], list[int]]:
    *word, separator = prompt
    assert separator == ">"
    answer = {"copy": list, "reverse": lambda w: w[::-1], "sort": lambda w: sorted(w, key=int)}[
        task.operation
    ](word)
    return [*prompt, *answer, "."], [0] * len(prompt) + [1] * (len(word) + 1)


@pytest.mark.parametrize("operation", OPERATIONS)
def test_words_are_rewritten(operation: Any) -> None:
    task = Rewrite(operation, symbols=11, train_length=7, test_lengths=(2, 9))
    examples = check_examples(task, lambda prompt: oracle(task, prompt))
    lengths = collections.Counter(words.index(">") for words in examples)
    assert stats.chisquare([lengths[n] for n in range(1, 8)]).pvalue > 1e-3
    symbols = collections.Counter(symbol for words in examples for symbol in words[: words.index(">")])
    assert stats.chisquare([symbols[str(n)] for n in range(11)]).pvalue > 1e-3


@pytest.mark.parametrize("operation", OPERATIONS)
def test_evaluation_words_are_rewritten_and_differ(operation: Any) -> None:
    task = Rewrite(operation, symbols=3, train_length=4, test_lengths=(1, 2, 9), items=50)
    items = check_evaluation(task, lambda prompt: oracle(task, prompt))
    assert all(length == words.index(">") for _, length, words in items)
    assert len({tuple(words) for _, _, words in items}) == len(items)
    assert collections.Counter(length for _, length, _ in items) == {1: 3, 2: 9, 9: 50}


def test_items_of_a_length_do_not_depend_on_the_other_lengths() -> None:
    alone, among = Rewrite(test_lengths=(10,)), Rewrite(test_lengths=(20, 10))
    assert (alone.evaluation_sets()[0].tokens == among.evaluation_sets()[1].tokens).all()


def test_worked_examples() -> None:
    examples = documented(Rewrite)
    assert tuple(task.operation for task, _, _ in examples) == OPERATIONS  # type: ignore[attr-defined]
    for task, words, learnt in examples:
        assert (words, learnt) == oracle(task, words[: words.index(">") + 1])  # type: ignore[arg-type]


def test_names_and_contract() -> None:
    assert [Rewrite(operation).name for operation in OPERATIONS] == list(OPERATIONS)
    assert check_task(Rewrite("sort")) == ()
    assert Rewrite(symbols=5, test_lengths=(9, 3)).chance == pytest.approx(5**-3)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"operation": "double"}, "operation='double': must be one of copy, reverse, sort"),
        ({"symbols": 1}, "symbols=1: must be a whole number of at least 2"),
        ({"train_length": 0}, "train_length=0: must be a whole number of at least 1"),
        ({"test_lengths": ()}, r"test_lengths=\(\): give one or more different numbers"),
    ],
)
def test_errors(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=f"^{message}$"):
        Rewrite(**values)
