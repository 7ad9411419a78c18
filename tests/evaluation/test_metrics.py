"""Is every metric right at its extremes, in its range, at its chance level, and linear where it says so?"""

from __future__ import annotations

import dataclasses
import itertools
import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxemerge.evaluation import METRICS, Guess, Items, Metric, all_of, edit_distance, thresholded
from jaxemerge.evaluation.metrics import (
    ANSWER_NLL,
    BRIER,
    EDIT_DISTANCE,
    EXACT_MATCH,
    MULTIPLE_CHOICE,
    NORMALISED_LOG_PROBABILITY,
    TOKEN_ACCURACY,
    success_threshold,
)

VOCABULARY, CHOICES = 7, 3


def test_success_is_above_chance() -> None:
    assert [success_threshold(chance) for chance in (0.0, 1e-12, 0.5, 1 / 3)] == [0.2, 0.2, 0.6, 0.467]
    assert success_threshold(0.5, 0.501) == 0.501
    assert success_threshold(given=0.05) == 0.05
    with pytest.raises(ValueError, match=r"threshold 0\.5: must be above 0\.5, which guessing scores"):
        success_threshold(0.5, 0.5)


GUESS = Guess(exact=0.125, vocabulary=VOCABULARY, choices=CHOICES)


def items(**changes: Any) -> Items:
    """Two seeds on three items of 1, 2 and 5 tokens: all perfect, but for what is changed."""
    shape = (2, 3)
    answers = np.array([1, 2, 5])
    perfect = {
        "exact": np.ones(shape, bool),
        "right": np.broadcast_to(answers, shape),
        "nll": np.zeros(shape),
        "brier": np.zeros(shape),
        "edits": np.zeros(shape, int),
        "choices": np.broadcast_to(np.array([0.0, -np.inf, -1e9]), (*shape, CHOICES)),
    }
    return Items(answers=answers, **{**perfect, **changes})


WORST = items(
    exact=np.zeros((2, 3), bool),
    right=np.zeros((2, 3), int),
    nll=np.full((2, 3), np.inf),
    brier=np.broadcast_to(2.0 * np.array([1, 2, 5]), (2, 3)),
    edits=np.broadcast_to(np.array([1, 2, 5]), (2, 3)),
    choices=np.broadcast_to(np.array([-1e9, 0.0, -30.0]), (2, 3, CHOICES)),
)
UNIFORM = items(
    nll=np.broadcast_to(np.array([1, 2, 5]) * math.log(VOCABULARY), (2, 3)),
    brier=np.broadcast_to(np.array([1, 2, 5]) * (1 - 1 / VOCABULARY), (2, 3)),
    choices=np.full((2, 3, CHOICES), -4.0),
)
EXTREMES = [
    (EXACT_MATCH, 1, 0),
    (TOKEN_ACCURACY, 1, 0),
    (EDIT_DISTANCE, 0, [1, 2, 5]),
    (ANSWER_NLL, 0, math.inf),
    (BRIER, 0, 2),
    (MULTIPLE_CHOICE, 1, 0),
    (NORMALISED_LOG_PROBABILITY, 0, -1e9),
]


def test_every_metric_is_tested() -> None:
    assert tuple(metric for metric, *_ in EXTREMES) == METRICS
    assert len({metric.name for metric in METRICS}) == len(METRICS)


@pytest.mark.parametrize(("metric", "best", "worst"), EXTREMES, ids=lambda v: getattr(v, "name", ""))
def test_extremes(metric: Metric, best: Any, worst: Any) -> None:
    np.testing.assert_allclose(metric.of(items()), np.broadcast_to(best, (2, 3)), atol=1e-12)
    np.testing.assert_allclose(metric.of(WORST), np.broadcast_to(worst, (2, 3)))
    for values in (metric.of(items()), metric.of(WORST)):
        assert np.all((metric.low <= values) & (values <= metric.high))
    better, worse = metric.mean(metric.of(items())), metric.mean(metric.of(WORST))
    assert np.all(better > worse) if metric.better == "more" else np.all(better < worse)


def test_chance() -> None:
    assert EXACT_MATCH.chance(GUESS) == 0.125
    assert TOKEN_ACCURACY.chance(GUESS) == 1 / VOCABULARY
    assert math.isnan(EDIT_DISTANCE.chance(GUESS))
    assert MULTIPLE_CHOICE.chance(GUESS) == 1 / 3
    assert math.isnan(MULTIPLE_CHOICE.chance(dataclasses.replace(GUESS, choices=0)))
    for metric in (ANSWER_NLL, BRIER, NORMALISED_LOG_PROBABILITY):  # of a uniform distribution
        np.testing.assert_allclose(metric.of(UNIFORM), metric.chance(GUESS))


def test_brier_of_a_uniform_distribution_is_what_it_says() -> None:
    p = np.full(VOCABULARY, 1 / VOCABULARY)
    assert BRIER.chance(GUESS) == pytest.approx(((p - np.eye(VOCABULARY)[2]) ** 2).sum())


def test_a_tie_is_no_choice_and_neither_is_not_a_number() -> None:
    def grade(*choices: float) -> float:
        return float(MULTIPLE_CHOICE.of(items(choices=np.array([[choices]])))[0, 0])

    assert grade(-1.0, -1.0, -2.0) == 0
    assert grade(math.nan, math.nan, math.nan) == 0
    assert grade(-1.0, -2.0, -np.inf) == 1  # an item with one distractor among items with two
    assert math.isnan(grade(-1.0, -np.inf, -np.inf))  # one with none
    found = NORMALISED_LOG_PROBABILITY.of(items(choices=np.log(np.array([[[0.3, 0.1, 0.2]]]))))
    assert found[0, 0] == pytest.approx(math.log(0.5))


LENGTH = 5
# All patterns of right and wrong tokens; a wrong token is one that stands nowhere else.
PATTERNS = np.array(list(itertools.product([False, True], repeat=LENGTH)))


@pytest.mark.parametrize("metric", [EXACT_MATCH, TOKEN_ACCURACY, EDIT_DISTANCE])
def test_linear_in_the_probability_of_a_token(metric: Metric) -> None:
    """The exact expectation over all patterns, at nine probabilities."""
    reference = jnp.arange(LENGTH)
    texts = jnp.where(PATTERNS, reference[None], 99)
    edits = jax.vmap(lambda text: edit_distance(text, reference, LENGTH, LENGTH))(texts)
    right = PATTERNS.sum(1)
    answers = np.full(len(right), LENGTH)
    found = Items(answers, right == LENGTH, right, 0.0 * right, 0.0 * right, np.asarray(edits))
    p = np.linspace(0.1, 0.9, 9)
    chances = p[:, None] ** right * (1 - p[:, None]) ** (LENGTH - right)
    expected = chances @ metric.of(found)
    bend = float(np.abs(np.diff(expected, 2)).max())
    assert (bend < 1e-12) == metric.linear
    if metric is EXACT_MATCH:
        np.testing.assert_allclose(expected, p**LENGTH)


def test_thresholded() -> None:
    accuracy = items(right=np.array([[0, 1, 4], [1, 2, 5]]))
    half = thresholded(TOKEN_ACCURACY, 0.5)
    assert half.of(accuracy).tolist() == [[0, 1, 1], [1, 1, 1]]
    assert (half.name, half.proportion, half.linear) == ("token_accuracy_from_0.5", True, False)
    assert math.isnan(half.chance(GUESS))
    few = thresholded(EDIT_DISTANCE, 2)
    assert few.of(WORST).tolist() == [[1, 1, 0]] * 2
    assert few.name == "edit_distance_to_2"
    for metric, best, worst in EXTREMES:
        at = float(np.max(best)) if metric.better == "more" else float(np.min(best))
        jump = thresholded(metric, at)
        assert jump.of(items()).tolist() == [[1] * 3] * 2
        assert jump.of(WORST).tolist() == [[float(w == at) for w in np.broadcast_to(worst, 3)]] * 2


def test_all_of_k_counts_all_groups() -> None:
    rng = np.random.default_rng(0)
    right = rng.random((4, 9)) < np.array([0.0, 0.4, 0.8, 1.1])[:, None]
    for k in (1, 2, 3, 9):
        metric = all_of(EXACT_MATCH, k)
        groups = list(itertools.combinations(range(9), k))
        expected = [np.mean([seed[list(group)].all() for group in groups]) for seed in right]
        np.testing.assert_allclose(metric.mean(right.astype(float)), expected, atol=1e-12)
        assert metric.chance(GUESS) == 0.125**k
        assert metric.name == f"exact_match_all_of_{k}"
        assert not metric.proportion  # groups share items: no binomial count


def test_all_of_k_is_the_probability_to_the_k() -> None:
    right = (np.random.default_rng(1).random((20_000, 7)) < 0.7).astype(float)
    assert all_of(EXACT_MATCH, 3).mean(right).mean() == pytest.approx(0.7**3, abs=0.005)
    assert np.mean(right.mean(1) ** 3) > 0.7**3 + 0.03  # what the power of the mean would say


def test_refusals() -> None:
    with pytest.raises(ValueError, match=r"threshold=1.5: token_accuracy lies between 0 and 1"):
        thresholded(TOKEN_ACCURACY, 1.5)
    with pytest.raises(ValueError, match="exact_match_all_of_2: of items in groups there is no value"):
        thresholded(all_of(EXACT_MATCH, 2), 0.5)
    with pytest.raises(ValueError, match="k=0: must be at least 1"):
        all_of(EXACT_MATCH, 0)
    for metric in (TOKEN_ACCURACY, all_of(EXACT_MATCH, 2)):
        with pytest.raises(ValueError, match="only values that are 0 or 1 can all be 1; use thresholded"):
            all_of(metric, 2)
    with pytest.raises(ValueError, match="exact_match_all_of_4: 3 items are fewer than the 4 of a group"):
        all_of(EXACT_MATCH, 4).mean(np.ones((2, 3)))
    for metric, field in ((EDIT_DISTANCE, "edits"), (MULTIPLE_CHOICE, "choices")):
        with pytest.raises(ValueError, match=f"{field}: these items were saved without"):
            metric.of(items(**{field: None}))


def levenshtein(left: list[int], right: list[int]) -> int:
    """Plainly, row by row."""
    before = list(range(len(right) + 1))
    for i, a in enumerate(left, 1):
        now = [i]
        for j, b in enumerate(right, 1):
            now.append(min(before[j] + 1, now[-1] + 1, before[j - 1] + (a != b)))
        before = now
    return before[-1]


def test_edit_distance_of_ten_thousand_pairs() -> None:
    rng = np.random.default_rng(0)
    n, longest = 10_000, (11, 13)
    left, right = (rng.integers(0, 4, (n, length)) for length in longest)
    sizes = [rng.integers(0, length + 1, n) for length in longest]
    near = rng.random(n) < 0.3  # a third of the pairs differ in little
    right[near, :11] = np.where(rng.random((near.sum(), 11)) < 0.8, left[near], right[near, :11])
    seen = np.asarray(jax.jit(jax.vmap(edit_distance))(left, right, *sizes))
    rows = zip(left.tolist(), right.tolist(), *(s.tolist() for s in sizes), strict=True)
    assert seen.tolist() == [levenshtein(a[:n], b[:m]) for a, b, n, m in rows]
    assert seen.min() == 0
    assert seen.max() == 13


@pytest.mark.parametrize(
    ("left", "right", "distance"),
    [
        ([], [], 0),
        ([1, 2, 3], [], 3),
        ([], [1, 2], 2),
        ([1, 2, 3], [1, 2, 3], 0),
        ([1, 2, 3, 4], [2, 3, 4, 5], 2),  # shifted: one deleted, one inserted
        ([1, 1, 1], [2, 2, 2], 3),
    ],
)
def test_edit_distance_at_its_extremes(left: list[int], right: list[int], distance: int) -> None:
    arrays = [jnp.asarray([*tokens, 9, 9], jnp.int32) for tokens in (left, right)]
    assert int(edit_distance(*arrays, len(left), len(right))) == distance
