"""Linear trends, and onsets of two-sidedness."""

import itertools
import math

import numpy as np
import pytest
import statsmodels.formula.api as smf
from pandas import DataFrame
from scipy import stats

from jaxemerge.stats import onset, success_interval, trend_test, two_sided_onset, two_sidedness


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


def test_outcomes_without_a_trend_tie_with_their_permutations():
    scale = np.log2(np.repeat([1e-4, 1e-3, 1e-2], 5))
    for outcomes in (np.ones(15), np.full(15, 0.7), np.tile([1.0, 0.1, 0.3, 1.0, 0.0], 3)):
        found = trend_test(scale, outcomes)
        assert (found.slope.value, found.p_value) == (0.0, 1.0)


def test_size_and_coverage():
    rng, rejected, covered = np.random.default_rng(2), 0, 0
    for key in range(200):
        null = trend_test(*population(rng), permutations=199, key=key)
        rejected += null.p_value <= 0.05
        slope = trend_test(*population(rng, 0.2), permutations=1).slope
        covered += slope.interval.low < 0.2 < slope.interval.high
    assert 2 <= rejected <= 21  # 0.9999 of binomial(200, 0.05)
    assert 180 <= covered <= 199


def test_interval_of_one_stratum_at_two_scales_is_welchs():
    rng = np.random.default_rng(5)
    low, high = rng.normal(0, 1, 7), rng.normal(1, 3, 12)
    found = trend_test(np.repeat([0.0, 2.0], [7, 12]), np.concatenate([low, high]), permutations=1).slope
    expected = stats.ttest_ind(high, low, equal_var=False).confidence_interval()
    assert (found.interval.low, found.interval.high) == pytest.approx((expected.low / 2, expected.high / 2))


def test_interval_of_shares_is_newcombes():
    """Of two shares MOVER is Newcombe's hybrid score interval, here with the library's own ends."""
    outcomes = np.array([1.0] * 2 + [0.0] * 14 + [1.0] * 16)
    found = trend_test(np.repeat([0.0, 1.0], 16), outcomes, permutations=1).slope
    a, b = success_interval(2, 16), success_interval(16, 16)
    low = 14 / 16 - np.hypot(1 - b.low, a.high - 2 / 16)
    assert (found.value, found.interval.low) == pytest.approx((14 / 16, low))
    assert found.interval.high == pytest.approx(14 / 16 + (2 / 16 - a.low))


def test_cells_where_all_succeed_are_not_certain():
    """16 of 16 at either width: what a doubling of width does to P(success) is known to +-0.2 only."""
    found = trend_test(np.repeat([5.0, 6.0], 16), np.ones(32)).slope
    assert found.value == 0
    assert found.interval.high == pytest.approx(1 - success_interval(16, 16).low)
    assert found.interval.low == pytest.approx(-found.interval.high)


def test_no_trend_comes_with_what_is_excluded_and_what_would_be_seen():
    rng = np.random.default_rng(3)
    x = np.repeat([0.0, 1.0], 24)
    y = rng.normal(size=48)
    found = trend_test(x, y)
    ninety = stats.ttest_ind(y[24:], y[:24], equal_var=False).confidence_interval(0.9)
    assert found.excluded == pytest.approx(max(abs(ninety.low), abs(ninety.high)))
    detected = [
        trend_test(x, rng.normal(size=48) + found.detectable * x, permutations=199).p_value <= 0.05
        for _ in range(150)
    ]
    assert 0.68 < np.mean(detected) < 0.9


def test_runs_without_repeats_vary_about_the_line():
    x, y = np.arange(7.0), np.array([0.1, 0.9, 2.2, 2.8, 4.1, 5.3, 5.9])
    found = trend_test(x, y).slope
    fit = stats.linregress(x, y)
    half = stats.t.ppf(0.975, 5) * fit.stderr
    assert (found.interval.low, found.interval.high) == pytest.approx((fit.slope - half, fit.slope + half))


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
    assert found.level == 0.1


@pytest.mark.parametrize("seeds", [5, 16, 250])
def test_interval_covers_a_planted_onset(seeds):
    """Percentiles of resamples cover in 84 % with few seeds."""
    rng = np.random.default_rng(seeds)
    found = [two_sided_onset(SCALE, simulated(rng, seeds)).onset.interval for _ in range(150)]
    assert np.mean([i.low <= TRUTH <= i.high for i in found]) >= 0.92


def test_seven_failures_do_not_exclude_an_onset():
    found = two_sided_onset(SCALE, [np.zeros(7)] * 5)
    assert found.onset.value == math.inf
    assert (found.onset.interval.low, found.onset.interval.high) == (0, math.inf)
    many = two_sided_onset(SCALE, [np.zeros(70)] * 5)
    assert (many.onset.interval.low, many.onset.interval.high) == (math.inf, math.inf)


def test_two_sided_from_the_start():
    found = two_sided_onset(SCALE, [[0.0] * 50 + [0.9] * 50] * 5)
    assert (found.onset.value, found.onset.interval.low, found.onset.interval.high) == (0, 0, 0)


def test_empty_populations_say_nothing():
    full = [np.zeros(9), [], [0.0] * 4 + [0.9] * 5, [0.9] * 7, [0.9] * 7]
    assert two_sided_onset(SCALE, full).onset.value == pytest.approx(4 ** (0.1 / (4 / 9)))
    nothing = two_sided_onset(SCALE, [[]] * 5)
    assert nothing.onset.value == math.inf
    assert math.isnan(nothing.onset.interval.low)


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
        (lambda: two_sided_onset([1], [[0.1]], confidence=95), "confidence=95 must lie in"),
    ],
)
def test_refuses_what_it_cannot_measure(measure, message):
    with pytest.raises(ValueError, match=message):
        measure()


def test_an_onset_from_above_mirrors_one_from_below():
    scale, strength = np.array([1.0, 2.0, 4.0, 8.0]), np.array([[0.0, 0.1, 0.5, 1.0], [0.0, 0.0, 0.0, 0.2]])
    up = onset(scale, strength, 0.3)
    assert onset(1 / scale[::-1], strength[:, ::-1], 0.3, direction="falls") == pytest.approx(1 / up)
    assert onset(scale, [0.0, 0.1, 0.5, 1.0], 0.3, direction="falls") == math.inf
    assert onset(scale, [0.0] * 4, 0.3, direction="falls") == 0


def test_two_sidedness_where_success_falls_begins_at_the_largest_scale():
    rng = np.random.default_rng(4)
    samples = [np.where(rng.uniform(size=16) < p, 0.9, 0.0) for p in (0.0, 0.0, 0.5, 1.0)]
    up = two_sided_onset([1, 2, 4, 8], samples)
    down = two_sided_onset([1, 2, 4, 8], samples[::-1])
    assert (up.direction, down.direction) == ("rises", "falls")
    assert down.onset.value == pytest.approx(8 / up.onset.value)
    with np.errstate(divide="ignore"):
        mirrored = 8 / np.array([up.onset.interval.high, up.onset.interval.low])
    assert (down.onset.interval.low, down.onset.interval.high) == pytest.approx(tuple(mirrored))


def test_refuses_a_direction_that_is_none():
    with pytest.raises(ValueError, match="direction='either' must be 'rises' or 'falls'"):
        onset([1, 2], [0, 1], 0.5, direction="either")
