"""Are chains applied function by function, and do the scores of steps multiply to those of chains?"""

from __future__ import annotations

import collections
import itertools
from typing import Any

import numpy as np
import pytest
from scipy import stats

from jaxemerge.tasks import Composition, check_task
from jaxemerge.tasks.composition import maps
from spelling import check_evaluation, check_examples, documented, evaluated

TASKS = [
    Composition(values=5, functions=3, steps=3, test_steps=(1, 2, 5), items=100),
    Composition(values=5, functions=3, steps=3, test_steps=(1, 2, 5), items=100, shown=False),
]


def oracle(task: Composition, prompt: list[str]) -> tuple[list[str], list[int]]:
    value, *chain, equals = prompt
    assert equals == "="
    tables = {f"f{i}": dict(enumerate(row)) for i, row in enumerate(maps(task).tolist())}
    results, now = [], int(value)
    for function in chain:
        now = tables[function][now]
        results.append(str(now))
    answer = results if task.shown else results[-1:]
    return [*prompt, *answer, "."], [0] * len(prompt) + [1] * (len(answer) + 1)


@pytest.mark.parametrize("task", TASKS, ids=str)
def test_chains_are_applied(task: Composition) -> None:
    examples = check_examples(task, lambda prompt: oracle(task, prompt))
    prompts = collections.Counter(tuple(words[: words.index("=")]) for words in examples)
    lengths = collections.Counter(len(p) - 1 for p in prompts.elements())
    assert stats.chisquare([lengths[n] for n in (1, 2, 3)]).pvalue > 1e-3
    everything = [
        (str(v), *(f"f{i}" for i in chain))
        for n in (1, 2, 3)
        for v in range(5)
        for chain in itertools.product(range(3), repeat=n)
    ]
    assert set(prompts) == set(everything)


@pytest.mark.parametrize("task", TASKS, ids=str)
def test_evaluation_chains_are_applied_and_differ(task: Composition) -> None:
    items = check_evaluation(task, lambda prompt: oracle(task, prompt), "chain")
    assert len({tuple(words) for _, _, words in items}) == len(items)
    assert collections.Counter(length for _, length, _ in items) == {1: 15, 2: 45, 5: 100}


def test_steps_are_the_results_of_the_longest_chains_one_by_one() -> None:
    sets = TASKS[0].evaluation_sets()
    longest = next(one for one in sets if (one.split, one.length) == ("chain", 5))
    steps = [one for one in sets if one.split == "step"]
    assert [one.length for one in steps] == [1, 2, 3, 4, 5]
    together = np.zeros_like(longest.scored)
    for one in steps:
        assert np.array_equal(one.tokens, longest.tokens)
        assert (one.scored.sum(axis=1) == 1).all()
        together |= one.scored
    ends = longest.scored & ~together
    assert (longest.tokens[ends] == TASKS[0].end).all()  # all else that is scored in a chain is its end
    assert ends.sum() == len(longest.tokens)
    for _, length, words, scored in evaluated(TASKS[0], "step"):
        assert scored.index(1) == words.index("=") + length  # type: ignore[operator]
    assert {one.split for one in TASKS[1].evaluation_sets()} == {"chain"}


def test_functions_are_fixed_permutations() -> None:
    assert np.array_equal(np.sort(maps(Composition()), axis=1), np.tile(np.arange(10), (4, 1)))
    assert np.array_equal(maps(Composition()), maps(Composition(shown=False, steps=2)))
    assert not np.array_equal(maps(Composition()), maps(Composition(source=1)))


def test_worked_examples() -> None:
    for task, words, learnt in documented(Composition):
        assert maps(task).tolist() == [[2, 0, 1, 3], [3, 2, 1, 0]]  # type: ignore[arg-type]
        assert (words, learnt) == oracle(task, words[: words.index("=") + 1])  # type: ignore[arg-type]


@pytest.mark.parametrize("task", TASKS, ids=str)
def test_chance_is_that_of_any_value(task: Composition) -> None:
    """For what is easiest to guess: a single result, all else known."""
    rng = np.random.default_rng(0)
    right = trials = 0
    for _, length, words, _ in evaluated(task):
        if length == 1:
            guesses = rng.integers(0, task.values, 500)
            right += int((guesses == int(words[words.index("=") + 1])).sum())
            trials += 500
    assert stats.binomtest(right, trials, task.chance).pvalue > 1e-3


@pytest.mark.parametrize("task", TASKS, ids=str)
def test_keeps_the_contract(task: Composition) -> None:
    assert check_task(task) == ()


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"values": 1}, "values=1: must be a whole number of at least 2"),
        ({"functions": 0}, "functions=0: must be a whole number of at least 1"),
        ({"steps": 0}, "steps=0: must be a whole number of at least 1"),
        ({"test_steps": (2, 2)}, r"test_steps=\(2, 2\): give one or more different numbers"),
        ({"source": -1}, "source=-1: must be a whole number of at least 0"),
    ],
)
def test_errors(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=f"^{message}$"):
        Composition(**values)
