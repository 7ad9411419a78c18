"""Linear trends, and onsets of two-sidedness."""

import itertools
import math

import numpy as np
import pytest
import statsmodels.formula.api as smf
from pandas import DataFrame

from jaxemerge.stats import onset, trend_test, two_sided_onset, two_sidedness


def population(rng, slope=0.0, seeds=12):
    """Four strata by three scales; many scores are exactly 0, and the strata differ."""
    stratum, scale = (a.ravel() for a in np.meshgrid([1, 2, 3, 5], np.repeat([0.0, 1.0, 2.0], seeds // 3)))
    score = rng.uniform(size=len(scale)) * (rng.uniform(size=len(scale)) < 0.6)
    return scale, slope * scale + score * stratum / 5, stratum


def test_the_slope_is_that_of_least_squares_with_an_intercept_per_stratum():
    scale, outcomes, stratum = population(np.random.default_rng(0), slope=0.1)
    frame = DataFrame({"x": scale, "y": outcomes, "stratum": stratum}).sample(frac=1, random_state=1)
    model = smf.ols("y ~ x + C(stratum)", frame).fit()
    found = trend_test(frame["x"], frame["y"], frame["stratum"])
    assert found.slope.value == pytest.approx(model.params["x"])
    assert found.runs == 48
    alone = trend_test(frame["x"], frame["y"])
    assert alone.slope.value == pytest.approx(smf.ols("y ~ x", frame).fit().params["x"])


def test_the_p_value_is_the_share_of_all_permutations_within_strata():
    x = [np.array([0.0, 1.0, 2.0, 4.0]), np.array([1.0, 3.0, 3.0])]
    y = [np.array([0.1, 0.0, 0.7, 0.8]), np.array([5.2, 5.9, 5.1])]
    rises = [[np.dot(u - u.mean(), p) for p in itertools.permutations(v)] for u, v in zip(x, y, strict=True)]
    sums = np.abs(np.add.outer(*map(np.array, rises)))
    exact = np.mean(sums >= sums[0, 0] - 1e-12)
    found = trend_test(np.concatenate(x), np.concatenate(y), [0, 0, 0, 0, 1, 1, 1], permutations=40_000)
    assert 0.02 < exact < 0.5
    assert found.p_value == pytest.approx(exact, abs=0.01)


def test_strata_are_not_mixed_up():
    # Within each stratum the outcome falls; over all of them it rises.
    scale, stratum = np.array([0.0, 1.0, 10.0, 11.0] * 5), np.array([0, 0, 1, 1] * 5)
    outcomes = 10.0 * stratum - 0.5 * scale
    assert trend_test(scale, outcomes, stratum).slope.value == pytest.approx(-0.5)
    assert trend_test(scale, outcomes).slope.value > 0
    flat = trend_test(scale, 10.0 * stratum, stratum)
    assert (flat.slope.value, flat.p_value) == (0.0, 1.0)


def test_size_and_coverage():
    rng, rejected, covered = np.random.default_rng(2), 0, 0
    for key in range(200):
        null = trend_test(*population(rng), permutations=199, resamples=1, key=key)
        rejected += null.p_value <= 0.05
        slope = trend_test(*population(rng, 0.2), permutations=1, resamples=400, key=key).slope
        covered += slope.interval.low < 0.2 < slope.interval.high
    assert 2 <= rejected <= 21  # 0.9999 of binomial(200, 0.05)
    assert 178 <= covered <= 197


def test_a_clear_trend_is_found():
    found = trend_test(*population(np.random.default_rng(3), slope=0.3))
    assert found.p_value == pytest.approx(1e-4)
    assert found.slope.interval.low > 0.1


def test_diverged_runs_fail():
    scale = np.repeat([0.0, 1.0], 6)
    outcomes = np.where(scale == 0, np.nan, 1.0)
    assert trend_test(scale, outcomes).slope.value == pytest.approx(1)
    assert trend_test(scale, outcomes, failure=0.5).slope.value == pytest.approx(0.5)


def test_what_says_nothing_is_unknown():
    for found in (trend_test([1.0, 1.0], [0.0, 1.0]), trend_test([1.0, 2.0], [0.0, 1.0], [0, 1])):
        assert np.isnan(found.slope.value)
        assert np.isnan(found.slope.interval.low)
        assert np.isnan(found.p_value)
        assert found.runs == 0


@pytest.mark.parametrize(
    ("arguments", "options", "message"),
    [
        (
            ([1.0, 2.0], [0.0]),
            {},
            r"scale \(2,\), outcomes \(1,\) and stratum \(2,\) must be one each per run",
        ),
        (([1.0, 2.0], [0.0, 1.0], [0]), {}, r"stratum \(1,\) must be one each"),
        (([1.0, np.inf], [0.0, 1.0]), {}, "every scale must be finite"),
        (
            ([1.0, 2.0], [0.0, 1.0]),
            {"permutations": 0},
            "permutations=0 must be at least",
        ),
        (([1.0, 2.0], [0.0, 1.0]), {"confidence": 1.0}, "confidence=1.0 must"),
    ],
)
def test_bad_input_is_refused(arguments, options, message):
    with pytest.raises(ValueError, match=message):
        trend_test(*arguments, **options)


SCALE = np.array([1.0, 2, 4, 8, 16])


def test_crossing_is_straight_in_the_logarithm():
    assert onset(SCALE, [0, 0, 0.1, 0.3, 0.5], 0.2) == pytest.approx(4 * math.sqrt(2))
    assert onset(SCALE, [0, 0, 0.1, 0.3, 0.5], 0.1) == pytest.approx(4)


def test_first_crossing_counts():
    assert onset(SCALE, [0, 0.2, 0.0, 0.2, 0.2], 0.2) == pytest.approx(2)


def test_booleans_give_the_first_true_scale():
    assert onset(SCALE, [False, False, True, False, True], 1) == pytest.approx(4)


def test_ends_of_the_scales():
    found = onset(SCALE, [[0.3] * 5, [0.1] * 5, [np.nan] * 5, [np.nan, 0.3, 0.3, 0.3, 0.3]], 0.2)
    assert found.tolist() == [0, math.inf, math.inf, 0]


def test_a_scale_that_says_nothing_is_passed_over():
    assert onset(SCALE, [0, np.nan, 0.2, 0.2, 0.2], 0.1) == pytest.approx(2)


def test_two_sidedness_counts_both_sides():
    values = [[0, 0, 0.05, 0.5, 0.9], [0, 0, 0, 0, 0.9], [np.nan, 0.2, 0.2, 0.9, 0.9], [1, 1, 1, 1, 1]]
    assert two_sidedness(values).tolist() == pytest.approx([0.4, 0.2, 0.2, 0])
    assert two_sidedness([0.2, 0.8], near_zero=0.5, high=0.5) == 0.5
    assert np.isnan(two_sidedness([]))


def simulated(rng, seeds=250):
    """P(success) 1, 4, 15, 45 and 80 %: two-sidedness 0.1 is passed between scales 2 and 4."""
    return [np.where(rng.random(seeds) < p, 0.6, 0.0) for p in (0.01, 0.04, 0.15, 0.45, 0.8)]


TRUTH = 2 ** (1 + (0.10 - 0.04) / (0.15 - 0.04))


def test_finds_a_planted_onset():
    found = two_sided_onset(SCALE, simulated(np.random.default_rng(0), 20_000))
    assert found.onset.value == pytest.approx(TRUTH, rel=0.03)
    assert found.onset.interval.low < found.onset.value < found.onset.interval.high
    assert found.strength == pytest.approx([0.01, 0.04, 0.15, 0.45, 0.2], abs=0.02)
    assert (found.reached, found.level) == (1, 0.1)


def test_interval_covers_a_planted_onset():
    rng, hits = np.random.default_rng(1), 0
    for key in range(300):
        interval = two_sided_onset(SCALE, simulated(rng), key=key, resamples=200).onset.interval
        hits += interval.low <= TRUTH <= interval.high
    assert 0.91 <= hits / 300 <= 0.99


def test_populations_on_one_side_have_no_onset():
    found = two_sided_onset(SCALE, [np.zeros(7)] * 5, resamples=50)
    assert (found.onset.value, found.reached) == (math.inf, 0)
    assert (found.onset.interval.low, found.onset.interval.high) == (math.inf, math.inf)


def test_two_sided_from_the_start():
    found = two_sided_onset(SCALE, [[0.0] * 50 + [0.9] * 50] * 5, resamples=50)
    assert (found.onset.value, found.onset.interval.low, found.onset.interval.high) == (0, 0, 0)


def test_empty_populations_say_nothing():
    full = [np.zeros(9), [], [0.0] * 4 + [0.9] * 5, [0.9] * 7, [0.9] * 7]
    assert two_sided_onset(SCALE, full, resamples=50).onset.value == pytest.approx(4 ** (0.1 / (4 / 9)))
    nothing = two_sided_onset(SCALE, [[]] * 5, resamples=50)
    assert nothing.onset.value == math.inf
    assert math.isnan(nothing.onset.interval.low)


def test_strength_may_be_any_property():
    populations = [np.full(7, mean) for mean in (0.1, 0.2, 0.4, 0.6, 0.9)]
    found = two_sided_onset(SCALE, populations, 0.5, strength=lambda y: y.mean(axis=-1), resamples=50)
    assert found.onset.value == pytest.approx(4 * math.sqrt(2))


@pytest.mark.parametrize(
    ("measure", "message"),
    [
        (lambda: onset([1, 2], [0.1], 0.1), r"strength of shape \(1,\) does not fit 2 scales"),
        (lambda: onset([1, 2], 0.1, 0.1), r"strength of shape \(\) does not fit 2 scales"),
        (lambda: onset([2, 1], [0.1, 0.2], 0.1), r"scale=\[2.0, 1.0\] must be positive numbers in ascending"),
        (lambda: onset([0, 1], [0.1, 0.2], 0.1), "must be positive numbers in ascending order"),
        (lambda: onset([], [], 0.1), "must be positive numbers in ascending order"),
        (lambda: onset([1, 2], [0.1, 0.2], math.nan), "level=nan must be a number"),
        (lambda: two_sidedness([0.1], 0.5, 0.3), "near_zero=0.5, high=0.3: near_zero <= high must hold"),
        (lambda: two_sided_onset([1, 2], [[0.1]]), r"populations of shapes \[\(1,\)\] must be one sample"),
        (lambda: two_sided_onset([1], [[[0.1]]]), r"populations of shapes \[\(1, 1\)\] must be one sample"),
        (lambda: two_sided_onset([1], [[0.1]], resamples=0), "resamples=0 must be at least 1"),
        (lambda: two_sided_onset([1], [[0.1]], confidence=95), "confidence=95 must lie in"),
    ],
)
def test_refuses_what_it_cannot_measure(measure, message):
    with pytest.raises(ValueError, match=message):
        measure()
