"""Are Count's examples those of the paper? Checked against a spelling in plain words."""

from __future__ import annotations

import collections
import inspect
from typing import Any

import jax
import numpy as np
import pytest
from scipy import stats

from jaxemerge.tasks import Count


def words(numbers: int) -> list[str]:
    """Token ids in order, as text."""
    return [*map(str, range(numbers)), "$", ">", ".", "*"]


def spelt(low: int, high: int) -> list[str]:
    """`$ lo hi > lo lo+1 ... hi .`"""
    return ["$", str(low), str(high), ">", *map(str, range(low, high + 1)), "."]


def drawn(task: Count, n: int, key: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    example = jax.jit(jax.vmap(task.sample))(jax.random.split(jax.random.key(key), n))
    return tuple(map(np.asarray, example))


@pytest.mark.parametrize("task", [Count(), Count(11, 7, (3,)), Count(5, 5, (5,)), Count(1, 1, (1,))], ids=str)
def test_examples_are_spelt_right(task: Count) -> None:
    vocabulary = words(task.numbers)
    assert task.vocabulary == len(vocabulary)
    for tokens, weights, length in zip(*drawn(task, 10_007), strict=True):
        text = [vocabulary[token] for token in tokens]
        low, high = int(text[1]), int(text[2])
        assert 0 <= low <= high < task.numbers
        assert high - low + 1 <= task.train_length
        expected = spelt(low, high)
        assert text[:length] == expected
        assert set(text[length:]) <= {"*"}
        learnt = [0] * 4 + [1] * (high - low + 1) + [1]  # the answer and "."; not "$ lo hi >"
        assert weights.tolist() == learnt + [0] * (len(tokens) - len(learnt))
        assert task.min_length <= length <= task.max_length == len(tokens)


def chi_square(seen: dict[Any, int], expected: dict[Any, float]) -> float:
    """p value of counts against probabilities; every outcome must be possible."""
    assert set(seen) <= set(expected)
    total = sum(seen.values())
    return stats.chisquare([seen.get(k, 0) for k in expected], [total * p for p in expected.values()]).pvalue


def test_lengths_and_first_numbers_are_uniform() -> None:
    numbers, longest = 7, 5
    tokens, _, _ = drawn(Count(numbers, longest, (3,)), 20_011)
    seen = collections.Counter((int(high - low + 1), int(low)) for _, low, high in tokens[:, :3])
    windows = [(n, low) for n in range(1, longest + 1) for low in range(numbers - n + 1)]
    assert chi_square(seen, {(n, low): 1 / longest / (numbers - n + 1) for n, low in windows}) > 1e-3
    # Not the same: all windows alike, which would make short answers more frequent.
    assert chi_square(seen, {window: 1 / len(windows) for window in windows}) < 1e-12


def test_lengths_of_the_paper_are_uniform() -> None:
    tokens, _, _ = drawn(Count(), 12_007, key=1)
    lengths = tokens[:, 2] - tokens[:, 1] + 1
    assert chi_square(collections.Counter(lengths.tolist()), dict.fromkeys(range(1, 31), 1 / 30)) > 1e-3
    assert tokens[:, 1].min() == 0
    assert tokens[:, 2].max() == 149


@pytest.mark.parametrize("task", [Count(), Count(13, 5, (13, 1, 6))], ids=["paper", "small"])
def test_evaluation_sets_hold_every_window(task: Count) -> None:
    vocabulary = words(task.numbers)
    sets = task.evaluation_sets()
    assert [(s.split, s.length) for s in sets] == [("test", n) for n in task.test_lengths]
    for one in sets:
        expected = [spelt(low, low + one.length - 1) for low in range(task.numbers - one.length + 1)]
        assert [[vocabulary[token] for token in row] for row in one.tokens] == expected
        answer = [False] * 4 + [True] * one.length + [False]  # "." is not scored
        assert one.scored.tolist() == [answer] * len(expected)


def test_the_worked_example_is_drawn_and_scored_as_it_is_written() -> None:
    lines = [line.split() for line in (inspect.getdoc(Count) or "").splitlines()]
    start = lines.index(["$", "7", "9", ">", "7", "8", "9", "."])
    text, learnt, scored = (line[:8] for line in lines[start : start + 3])
    vocabulary, task = words(11), Count(11, 3, (3,))
    tokens, weights, _ = drawn(task, 499)
    [found] = {
        (*ids.tolist(), *w.tolist())
        for ids, w in zip(tokens, weights, strict=True)
        if ids[1:3].tolist() == [7, 9]
    }
    assert [vocabulary[int(t)] for t in found[:8]] == text
    assert list(found[8:]) == [float(w) for w in learnt]
    one = task.evaluation_sets()[0]
    assert [vocabulary[t] for t in one.tokens[7]] == text
    assert one.scored[7].astype(int).tolist() == [int(s) for s in scored]


def test_evaluation_items_of_the_paper() -> None:
    items = {one.length: len(one.tokens) for one in Count().evaluation_sets()}
    assert items[60] == 91
    assert sum(items.values()) == 688


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"train_length": 0}, "train_length=0: the longest answer must be 1 to numbers=150"),
        ({"train_length": 151}, "train_length=151: the longest answer must be 1 to numbers=150"),
        ({"numbers": 0}, "train_length=30: the longest answer must be 1 to numbers=0"),
        ({"test_lengths": ()}, r"test_lengths=\(\): give one or more different lengths"),
        ({"test_lengths": (7, 9, 7)}, r"test_lengths=\(7, 9, 7\): give one or more different lengths"),
        ({"test_lengths": (7, 0)}, "test_lengths: 0 is not an answer length of 1 to numbers=150"),
        ({"test_lengths": (151,)}, "test_lengths: 151 is not an answer length of 1 to numbers=150"),
    ],
)
def test_errors(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=f"^{message}$"):
        Count(**fields)


def test_is_a_plain_value() -> None:
    assert Count(13, 5, [6, 7]) == Count(13, 5, (6, 7))  # type: ignore[arg-type]
    assert hash(Count(13, 5, (6, 7))) == hash(Count(13, 5, (6, 7)))
    assert Count().name == "count"
    assert (Count().begin, Count().separator, Count().end, Count().pad) == (150, 151, 152, 153)


def test_wrong_answers_by_hand() -> None:
    """Numbers 0 to 4: one too high, one too low, both modulo 5, and backwards."""
    one = Count(5, 3, (3,)).evaluation_sets()[0]
    assert one.tokens[:, 4:7].tolist() == [[0, 1, 2], [1, 2, 3], [2, 3, 4]]
    assert one.distractors is not None
    assert one.distractors[:, :, 4:7].tolist() == [
        [[1, 2, 3], [4, 0, 1], [2, 1, 0]],
        [[2, 3, 4], [0, 1, 2], [3, 2, 1]],
        [[3, 4, 0], [1, 2, 3], [4, 3, 2]],
    ]
    rest = np.r_[0:4, 7]
    assert (one.distractors[:, :, rest] == one.tokens[:, None, rest]).all()
    assert one.distractors.dtype == np.int32


def test_single_numbers_cannot_be_turned_round() -> None:
    single = Count(5, 3, (1,)).evaluation_sets()[0].distractors
    assert single is not None
    assert single[:, :, 4].tolist() == [[1, 4], [2, 0], [3, 1], [4, 2], [0, 3]]
    assert Count(1, 1, (1,)).evaluation_sets()[0].distractors is None


def test_chance_and_best_loss() -> None:
    """Of all texts of two numbers out of five one is right; a prompt decides what is learnt of it."""
    task = Count(5, 3, (3, 2))
    assert task.chance == pytest.approx(1 / 25)
    assert task.best_loss == 0
    draw = jax.jit(jax.vmap(task.sample))(jax.random.split(jax.random.key(0), 300))
    learnt: dict[Any, set[Any]] = {}
    for tokens, weights, length in zip(*map(np.asarray, draw), strict=True):
        inside = np.arange(len(tokens)) < length
        prompt = tuple(tokens[inside & (weights == 0)].tolist())
        learnt.setdefault(prompt, set()).add(tuple(tokens[inside & (weights > 0)].tolist()))
    assert max(map(len, learnt.values())) == 1
    assert len(learnt) > 10
