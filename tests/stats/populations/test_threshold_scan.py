"""P(success) at every threshold, against counting and SciPy's distribution function."""

import numpy as np
import pytest
from scipy import stats as scipy_stats

from jaxemerge.stats import success_interval, threshold_scan


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
