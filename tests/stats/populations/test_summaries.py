"""The four summaries, the mode, and P(success) by threshold."""

import math

import numpy as np
import pytest
from scipy import stats as scipy_stats

from jaxemerge.stats import half_sample_mode, mean_interval, success_interval, summaries, threshold_scan

# Eleven failures and five partial successes: depth 3 at length 20 of the project's first measurements.
SCORES = [0.0] * 11 + [0.19, 0.24, 0.38, 0.62, 0.86]


def test_values_by_hand():
    found = summaries(SCORES)
    assert (found.n, found.n_success, found.threshold) == (16, 4, 0.2)
    assert found.mode.value == 0.0
    assert found.mean.value == pytest.approx((0.19 + 0.24 + 0.38 + 0.62 + 0.86) / 16)
    assert found.success.value == 0.25
    assert found.success.interval == success_interval(4, 16)
    assert found.success_mean.value == pytest.approx((0.24 + 0.38 + 0.62 + 0.86) / 4)
    assert found.above_half.value == 2 / 16
    assert found.below_tenth.value == 11 / 16


def test_bounds_are_where_the_names_say():
    found = summaries([0.1, 0.2, 0.5], threshold=0.2)
    assert found.n_success == 2  # at least the threshold
    assert found.success_mean.value == pytest.approx(0.35)
    assert found.above_half.value == 0  # more than a half
    assert found.below_tenth.value == 0  # less than a tenth


def test_intervals_are_those_of_each_summary():
    found = summaries(SCORES, key=3, resamples=97, confidence=0.8)
    drawn = np.random.default_rng(3).integers(16, size=(97, 16))
    modes = [float(half_sample_mode(np.array(SCORES)[row])) for row in drawn]
    assert (found.mode.interval.low, found.mode.interval.high) == tuple(np.quantile(modes, [0.1, 0.9]))
    assert found.mean == mean_interval(SCORES, 0.8, bounds=(0, 1))
    assert found.success_mean == mean_interval([0.24, 0.38, 0.62, 0.86], 0.8, bounds=(0.2, 1))
    assert found.success.interval == success_interval(4, 16, 0.8)


def test_runs_that_share_seeds_are_worth_fewer():
    """Success depends on the init seed alone: 5 x 7 runs tell as much as their five init seeds."""
    init, data = np.indices((5, 7)).reshape(2, -1)
    scores = np.where(init < 2, 0.8, 0.0)
    found = summaries(scores, groups=np.stack([init, data], axis=1))
    student = scipy_stats.t.ppf(0.975, [34, 4])
    runs = 4 * (student[0] / student[1]) ** 2  # p (1 - p) over the variance of a mean of five, n - 1 below
    expected = success_interval(0.4 * runs, runs)
    assert (found.success.interval.low, found.success.interval.high) == pytest.approx(
        (expected.low, expected.high)
    )
    runs = 0.32 * 0.68 / (0.8**2 * 0.4 * 0.6 / 4) * (student[0] / student[1]) ** 2
    wide = scipy_stats.beta.ppf(
        [0.025, 0.975], [0.32 * runs, 0.32 * runs + 1], [0.68 * runs + 1, 0.68 * runs]
    )
    assert (found.mean.interval.low, found.mean.interval.high) == pytest.approx(tuple(wide))
    assert found.above_half.interval == found.success.interval
    assert found.success_mean.value == pytest.approx(0.8)
    none = summaries(np.zeros(35), groups=np.stack([init, data], axis=1))
    assert none.success.interval == success_interval(0, 5)
    paired = np.stack([np.arange(16), np.arange(16)], axis=1)
    assert summaries(SCORES, groups=paired) == summaries(SCORES)
    one_start = np.stack([np.zeros(16), np.arange(16)], axis=1)
    assert summaries(SCORES, groups=one_start) == summaries(SCORES)
    with pytest.raises(ValueError, match=r"groups of shape \(3,\) must be \[16, 1 or 2\]"):
        summaries(SCORES, groups=[1, 2, 3])


def test_crossed_runs_cover_the_share_of_successes():
    """150 designs of 7 by 11, a fifth succeeds, half of the latent variance from either seed."""
    rng, held = np.random.default_rng(5), np.zeros(2)
    groups = np.indices((7, 11)).reshape(2, -1).T
    for _ in range(150):
        latent = rng.normal(size=(7, 1)) + rng.normal(size=11) + 0.5 * rng.normal(size=(7, 11))
        scores = (latent.ravel() > 1.5 * scipy_stats.norm.isf(0.2)) * 0.7
        for place, given in enumerate((groups, None)):
            ends = summaries(scores, resamples=1, groups=given).success.interval
            held[place] += ends.low <= 0.2 <= ends.high
    assert held[0] >= 0.92 * 150
    assert held[1] < 0.7 * 150


def test_two_successes_do_not_say_how_good_the_others_are():
    found = summaries([0.0] * 14 + [0.5, 0.7])
    assert found.success_mean.value == pytest.approx(0.6)
    assert math.isnan(found.success_mean.interval.low)


def test_diverged_seeds_are_failures_that_count():
    assert summaries([np.nan, 0.4, 0.8]) == summaries([0.0, 0.4, 0.8])
    assert summaries([np.nan, 0.4, 0.8]).success.value == pytest.approx(2 / 3)


def test_one_seed_says_nothing_about_others():
    found = summaries([0.6])
    assert (found.mode.value, found.mean.value, found.success.value, found.success_mean.value) == (
        0.6,
        0.6,
        1,
        0.6,
    )
    for estimate in (found.mode, found.mean, found.success_mean):
        assert math.isnan(estimate.interval.low)
        assert math.isnan(estimate.interval.high)
    assert found.success.interval.low < 0.3


def test_no_success_has_no_mean():
    found = summaries([0.0, 0.1, 0.19])
    assert found.success.value == 0
    assert math.isnan(found.success_mean.value)
    assert math.isnan(found.success_mean.interval.high)


def test_ten_perfect_scores_leave_room_for_failures():
    found = summaries([1.0] * 10)
    assert (found.mean.value, found.mean.interval.high) == (1.0, 1.0)
    assert found.mean.interval.low == pytest.approx(0.692, abs=5e-4)
    assert summaries([1.0] * 10, threshold=1.0).success_mean.interval.low == 1.0


def test_intervals_of_the_mean_of_successes_cover_it():
    """Half the seeds fail, the others score 0.4 to 1: the mean of successes is 0.7."""
    rng = np.random.default_rng(5)
    hits = 0
    for number in range(300):
        scores = np.where(rng.random(41) < 0.5, 0.0, rng.uniform(0.4, 1.0, 41))
        interval = summaries(scores, key=number, resamples=1).success_mean.interval
        hits += interval.low <= 0.7 <= interval.high
    assert hits / 300 >= 0.95


@pytest.mark.parametrize(
    ("values", "options", "message"),
    [
        ([], {}, r"values of shape \(0,\) must be one score per seed, of at least one seed"),
        ([[0.1, 0.2]], {}, r"values of shape \(1, 2\) must be one score per seed"),
        ([0.1, 1.5], {}, r"values from 0.1 to 1.5 must be scores in \[0, 1\]"),
        ([-0.5, 0.5], {}, r"values from -0.5 to 0.5 must be scores in \[0, 1\]"),
        ([0.1], {"threshold": 0.0}, r"threshold=0.0 must lie in \(0, 1\]"),
        ([0.1], {"threshold": 20}, r"threshold=20 must lie in \(0, 1\]"),
        ([0.1], {"confidence": 1.0}, r"confidence=1.0 must lie in \(0, 1\)"),
        ([0.1], {"resamples": 0}, "resamples=0 must be at least 1"),
    ],
)
def test_refuses_what_it_cannot_summarise(values, options, message):
    with pytest.raises(ValueError, match=message):
        summaries(values, **options)


def test_success_may_need_a_perfect_score():
    assert summaries([1.0, 0.99], threshold=1.0).n_success == 1


def by_recursion(points):
    """Bickel and Frühwirth's algorithm, one list at a time."""
    points = sorted(points)
    if len(points) == 1:
        return points[0]
    if len(points) == 2:
        return sum(points) / 2
    if len(points) == 3:
        left, right = points[1] - points[0], points[2] - points[1]
        if left == right:
            return points[1]
        return sum(points[:2] if left < right else points[1:]) / 2
    keep = (len(points) + 1) // 2
    halves = [points[i : i + keep] for i in range(len(points) - keep + 1)]
    return by_recursion(min(halves, key=lambda half: half[-1] - half[0]))


@pytest.mark.parametrize("n", [1, 2, 3, 4, 5, 7, 11, 16, 37, 250])
def test_agrees_with_the_recursion(n):
    # Multiples of 1/64 are exact in binary: ties are ties in both.
    samples = np.random.default_rng(n).integers(0, 65, size=(29, n)) / 64
    assert half_sample_mode(samples).tolist() == [by_recursion(list(sample)) for sample in samples]


def test_finds_a_planted_peak_among_spread_values():
    rng = np.random.default_rng(0)
    sample = np.concatenate([rng.normal(0.7, 0.01, 60), rng.random(41)])
    assert half_sample_mode(sample) == pytest.approx(0.7, abs=0.01)
    assert half_sample_mode(1 - sample) == pytest.approx(0.3, abs=0.01)


def test_a_floor_of_zeros_is_the_mode():
    assert half_sample_mode([0.0] * 11 + [0.19, 0.24, 0.38, 0.62, 0.86]) == 0.0
    assert half_sample_mode([1.0] * 11 + [0.0] * 5) == 1.0


def test_a_tie_of_failure_and_success_reads_as_failure():
    assert half_sample_mode([0.0] * 4 + [1.0] * 4) == 0.0


def test_rounding_of_shares_breaks_no_tie():
    """Three neighbours of k/91 are equally far apart, though not in floating point."""
    thirds = [[k / 91, (k + 1) / 91, (k + 2) / 91] for k in range(89)]
    assert np.ptp(np.diff(thirds, axis=1)) > 0
    assert half_sample_mode(thirds).tolist() == [third[1] for third in thirds]


def test_rounding_of_shares_breaks_no_tie_of_halves():
    """Evenly spaced scores: every half is as short as the first, whatever their differences round to."""
    spaced = np.arange(7) / 91
    assert np.argmin(spaced[3:] - spaced[:4]) > 0
    assert half_sample_mode(spaced) == half_sample_mode(np.arange(7) / 128) * 128 / 91


def test_shape_is_that_of_the_leading_axes():
    assert half_sample_mode(np.zeros((2, 3, 5))).shape == (2, 3)


@pytest.mark.parametrize("values", [[], np.zeros((3, 0))])
def test_refuses_an_empty_sample(values):
    with pytest.raises(ValueError, match="must have at least one value along the last axis"):
        half_sample_mode(values)


def test_shares_by_counting():
    scores = np.array([0.0, 0.0, 0.2, 0.5, 0.5, 1.0, np.nan])
    found = threshold_scan(scores, [0.0, 0.2, 0.5, 0.51, 1.0])
    np.testing.assert_array_equal(found.n_success, [7, 4, 3, 1, 1])  # a diverged seed scores 0
    np.testing.assert_allclose(found.success, np.array([7, 4, 3, 1, 1]) / 7)
    assert found.n == 7
    np.testing.assert_allclose(found.interval.low, success_interval([7, 4, 3, 1, 1], 7).low)
    np.testing.assert_array_equal(threshold_scan(scores).thresholds, [0, 0.2, 0.5, 1])


def test_curve_is_the_survival_function():
    values = np.random.default_rng(0).normal(size=53)
    at = np.linspace(-2, 2, 17)
    np.testing.assert_allclose(threshold_scan(values, at).success, scipy_stats.ecdf(values).sf.evaluate(at))


def test_band_is_just_inside_the_bound_of_massart():
    found = threshold_scan(np.linspace(0, 1, 101), [0.5], 0.9)
    bound = np.sqrt(np.log(2 / 0.1) / 202)
    margin = found.band.high[0] - found.success[0]
    assert 0.95 * bound < margin < bound
    assert threshold_scan([0.4]).band.high[0] == 1


def test_band_covers_the_whole_curve():
    rng = np.random.default_rng(1)
    at = np.linspace(0, 1, 201)
    covered = []
    for _ in range(200):
        band = threshold_scan(rng.random(41), at).band
        covered.append(np.all((band.low <= 1 - at) & (1 - at <= band.high)))
    assert 0.9 <= np.mean(covered) <= 0.99


def test_unbounded_diverged_seeds_fail_everywhere():
    found = threshold_scan([np.nan, -3.0, 4.0], [-10.0, 0.0])
    np.testing.assert_allclose(found.success, [2 / 3, 1 / 3])


def test_refusals():
    with pytest.raises(ValueError, match=r"shape \(0,\)"):
        threshold_scan([])
    with pytest.raises(ValueError, match="must be numbers along one axis"):
        threshold_scan([0.5], [np.nan])
    with pytest.raises(ValueError, match="confidence=2"):
        threshold_scan([0.5], confidence=2)
