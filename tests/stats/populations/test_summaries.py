"""The four summaries on populations whose answer is known."""

import math

import numpy as np
import pytest

from jaxemerge.stats import half_sample_mode, success_interval, summaries

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
    assert found.above_half == 2 / 16
    assert found.below_tenth == 11 / 16


def test_bounds_are_where_the_names_say():
    found = summaries([0.1, 0.2, 0.5], threshold=0.2)
    assert found.n_success == 2  # at least the threshold
    assert found.success_mean.value == pytest.approx(0.35)
    assert found.above_half == 0  # more than a half
    assert found.below_tenth == 0  # less than a tenth


def test_intervals_are_those_of_resampled_populations():
    """Redone with loops over resamples of the same key."""
    found = summaries(SCORES, key=3, resamples=97, confidence=0.8)
    drawn = np.random.default_rng(3).integers(16, size=(97, 16))
    samples = [np.array(SCORES)[row] for row in drawn]
    successes = [sample[sample >= 0.2] for sample in samples]
    replicates = {
        "mode": [float(half_sample_mode(sample)) for sample in samples],
        "mean": [sample.mean() for sample in samples],
        "success_mean": [wins.mean() for wins in successes if len(wins)],
    }
    assert len(replicates["success_mean"]) < 97  # some resample has no success: it is dropped
    for name, values in replicates.items():
        interval = getattr(found, name).interval
        assert (interval.low, interval.high) == pytest.approx(tuple(np.quantile(values, [0.1, 0.9])))
    assert found.success.interval == success_interval(4, 16, 0.8)


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


def test_equal_scores_have_no_width():
    found = summaries([0.25] * 7)
    for estimate in (found.mode, found.mean, found.success_mean):
        assert (estimate.interval.low, estimate.value, estimate.interval.high) == (0.25, 0.25, 0.25)


def test_intervals_of_the_mean_of_successes_cover_it():
    """Half the seeds fail, the others score 0.4 to 1: the mean of successes is 0.7."""
    rng = np.random.default_rng(5)
    hits = 0
    for number in range(300):
        scores = np.where(rng.random(41) < 0.5, 0.0, rng.uniform(0.4, 1.0, 41))
        interval = summaries(scores, key=number, resamples=300).success_mean.interval
        hits += interval.low <= 0.7 <= interval.high
    assert 0.89 <= hits / 300 <= 0.98


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
