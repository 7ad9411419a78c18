"""Is the parity that of counting the ones?"""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from jaxemerge.tasks import Parity, SparseParity, check_task
from spelling import check_evaluation, check_examples, documented


def oracle(places: tuple[int, ...] | None, prompt: list[str]) -> tuple[list[str], list[int]]:
    *word, separator = prompt
    assert separator == ">"
    bits = [int(bit) for i, bit in enumerate(word) if places is None or i in places]
    return [*prompt, str(bits.count(1) % 2)], [0] * len(prompt) + [1]


def test_parity_of_words() -> None:
    task = Parity(train_length=7, test_lengths=(3, 19), items=100)
    examples = check_examples(task, lambda prompt: oracle(None, prompt))
    assert {tuple(words[:-2]) for words in examples} == {
        word for n in range(1, 8) for word in itertools.product("01", repeat=n)
    }  # all 254 words, in 10,000 examples
    items = check_evaluation(task, lambda prompt: oracle(None, prompt))
    words = [(length, tuple(words[:-2])) for _, length, words in items]
    assert len(set(words)) == len(words)
    assert {word for length, word in words if length == 3} == set(itertools.product("01", repeat=3))
    assert sum(length == 19 for length, _ in words) == 100


@pytest.mark.parametrize("task", [SparseParity(), SparseParity(9, 9), SparseParity(8, 1, source=3)], ids=str)
def test_sparse_parity_of_words(task: SparseParity) -> None:
    assert len(set(task.places)) == task.relevant
    assert set(task.places) <= set(range(task.length))
    check_examples(task, lambda prompt: oracle(task.places, prompt))
    items = check_evaluation(task, lambda prompt: oracle(task.places, prompt))
    assert len({tuple(words) for _, _, words in items}) == len(items) == min(1_000, 2**task.length)


def test_places_follow_from_the_source_alone() -> None:
    assert SparseParity().places == SparseParity(items=3).places
    assert len({SparseParity(source=i).places for i in range(20)}) > 15


def test_worked_examples() -> None:
    for _, words, learnt in documented(Parity):
        assert (words, learnt) == oracle(None, words[:-1])
    for task, words, learnt in documented(SparseParity):
        assert task.places == (1, 2, 4)  # type: ignore[attr-defined]
        assert (words, learnt) == oracle((1, 2, 4), words[:-1])


def test_chance_is_that_of_a_coin() -> None:
    for task in (Parity(items=2_000), SparseParity(items=2_000)):
        for one in task.evaluation_sets():
            ones = one.tokens[one.scored].mean()
            assert abs(ones - task.chance) < 4 * 0.5 / len(one.tokens) ** 0.5


@pytest.mark.parametrize("task", [Parity(), SparseParity()], ids=str)
def test_keeps_the_contract(task: Parity | SparseParity) -> None:
    assert check_task(task) == ()


@pytest.mark.parametrize(
    ("kind", "values", "message"),
    [
        (Parity, {"train_length": 0}, "train_length=0: must be a whole number of at least 1"),
        (Parity, {"test_lengths": (3, 0)}, "test_lengths: 0 is not a whole number of at least 1"),
        (SparseParity, {"length": 5, "relevant": 6}, "relevant=6: must be at most length=5"),
        (SparseParity, {"relevant": 0}, "relevant=0: must be a whole number of at least 1"),
        (SparseParity, {"source": -3}, "source=-3: must be a whole number of at least 0"),
    ],
)
def test_errors(kind: Any, values: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=f"^{message}$"):
        kind(**values)
