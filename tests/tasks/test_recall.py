"""Does every answer stand in its own context, and only there?"""

from __future__ import annotations

import collections
from typing import Any

import numpy as np
import pytest
from scipy import stats

from jaxemerge.tasks import Recall, check_task
from spelling import documented, drawn, evaluated

TASKS = [Recall(), Recall(keys=5, values=3, pairs=5, queries=2, test_pairs=(1, 4))]


def oracle(task: Recall, words: list[str]) -> tuple[list[str], list[int]]:
    """The text with every value after ``>`` looked up in what stands before it."""
    cut = words.index(">")
    begin, *context = words[:cut]
    assert begin == "$"
    keys, values = context[::2], context[1::2]
    assert len(set(keys)) == len(keys)
    assert all(word in {f"k{i}" for i in range(task.keys)} for word in keys)
    assert all(word in {f"v{i}" for i in range(task.values)} for word in values)
    asked = words[cut + 1 :: 2]
    assert len(set(asked)) == len(asked) == min(len(keys), task.queries)
    found = [word for key in asked for word in (key, dict(zip(keys, values, strict=True))[key])]
    return [*words[: cut + 1], *found], [0] * (cut + 1) + [0, 1] * len(asked)


@pytest.mark.parametrize("task", TASKS, ids=str)
def test_values_are_those_of_the_context(task: Recall) -> None:
    pairs: collections.Counter[int] = collections.Counter()
    places: collections.Counter[tuple[int, int]] = collections.Counter()
    for words, weights in drawn(task):
        assert (words, weights) == oracle(task, words)
        n = (words.index(">") - 1) // 2
        pairs[n] += 1
        places[n, words.index(words[words.index(">") + 1]) // 2] += 1  # which pair is asked for first
    assert stats.chisquare([pairs[n] for n in range(1, task.pairs + 1)]).pvalue > 1e-3
    for n in range(2, task.pairs + 1):
        assert stats.chisquare([places[n, i] for i in range(n)]).pvalue > 1e-4


@pytest.mark.parametrize("task", TASKS, ids=str)
def test_evaluation_values_are_those_of_the_context(task: Recall) -> None:
    items = list(evaluated(task))
    for _, length, words, scored in items:
        assert (words, scored) == oracle(task, words)
        assert words.index(">") == 1 + 2 * length  # type: ignore[operator]
    assert collections.Counter(length for _, length, *_ in items) == dict.fromkeys(task.test_pairs, 200)


def test_worked_examples() -> None:
    for task, words, learnt in documented(Recall):
        assert (words, learnt) == oracle(task, words)  # type: ignore[arg-type]


def test_chance_is_that_of_guessing_among_the_values_shown() -> None:
    task = Recall(keys=200, values=10_000, pairs=3, queries=3, test_pairs=(3, 5), items=200)
    rng = np.random.default_rng(0)
    right, trials = 0, 0
    for one in task.evaluation_sets()[:1]:
        for row in one.tokens:
            values = row[2:8:2]
            for _ in range(20):
                right += (rng.permutation(values) == row[9:14:2]).all()
                trials += 1
    assert task.chance == 1 / 6
    assert stats.binomtest(int(right), trials, task.chance).pvalue > 1e-3


def test_keeps_the_contract() -> None:
    assert check_task(TASKS[1]) == ()


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"values": 1}, "values=1: must be a whole number of at least 2"),
        ({"queries": 0}, "queries=0: must be a whole number of at least 1"),
        ({"keys": 7, "test_pairs": (3,)}, "pairs=8: must be at most keys=7, as keys differ"),
        ({"test_pairs": (33,)}, "test_pairs: 33 is not a whole number of 1 to 32"),
    ],
)
def test_errors(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=f"^{message}$"):
        Recall(**values)
