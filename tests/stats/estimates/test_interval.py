"""Wilson intervals: against scipy and statsmodels, and their coverage."""

import numpy as np
import pytest
from scipy.stats import binom, binomtest

from jaxemerge.stats import success_interval


@pytest.mark.parametrize("confidence", [0.5, 0.9, 0.95, 0.999])
@pytest.mark.parametrize(("k", "n"), [(0, 1), (1, 1), (0, 16), (5, 16), (16, 16), (37, 251), (250, 251)])
def test_agrees_with_scipy(k, n, confidence):
    interval = success_interval(k, n, confidence)
    theirs = binomtest(k, n).proportion_ci(confidence, method="wilson")
    assert (interval.low, interval.high) == pytest.approx((theirs.low, theirs.high), abs=1e-13)
    assert isinstance(interval.low, float)


def test_agrees_with_statsmodels():
    proportion = pytest.importorskip("statsmodels.stats.proportion")
    k, n = np.array([0, 1, 5, 13, 23]), 23
    interval = success_interval(k, n, 0.9)
    low, high = proportion.proportion_confint(k, n, 0.1, method="wilson")
    assert interval.low == pytest.approx(low, abs=1e-13)
    assert interval.high == pytest.approx(high, abs=1e-13)


def test_works_element_by_element_and_broadcasts():
    k = np.array([[0], [3]])
    n = np.array([5, 7, 11])
    interval = success_interval(k, n)
    assert interval.low.shape == interval.high.shape == (2, 3)
    alone = success_interval(3, 11)
    assert (interval.low[1, 2], interval.high[1, 2]) == (alone.low, alone.high)


def test_no_trials_say_nothing():
    assert success_interval(0, 0) == success_interval(0, 0, 0.5)
    assert (success_interval(0, 0).low, success_interval(0, 0).high) == (0.0, 1.0)


def test_ends_are_exact_at_none_and_all():
    interval = success_interval([0, 23], 23)
    assert interval.low[0] == 0.0
    assert interval.high[1] == 1.0


def test_covers_the_truth_as_often_as_it_says():
    """Exact, not simulated: average over p of the probability that the interval holds p."""
    n = 23
    k = np.arange(n + 1)
    p = np.linspace(0.02, 0.98, 193)[:, None]
    interval = success_interval(k, n)
    holds = (interval.low <= p) & (p <= interval.high)
    coverage = (binom.pmf(k, n, p) * holds).sum(axis=1)
    assert coverage.mean() == pytest.approx(0.95, abs=0.01)
    assert coverage.min() > 0.85


@pytest.mark.parametrize(("k", "n"), [(4, 3), (-1, 3), (np.nan, 3), ([1, 9], 5)])
def test_refuses_counts_that_cannot_be(k, n):
    with pytest.raises(ValueError, match="0 <= k <= n must hold") as error:
        success_interval(k, n)
    assert f"k={k!r}" in str(error.value)


@pytest.mark.parametrize("confidence", [0, 1, 95, np.nan])
def test_refuses_impossible_confidence(confidence):
    with pytest.raises(ValueError, match=rf"confidence={confidence} must lie in \(0, 1\)"):
        success_interval(1, 3, confidence)
