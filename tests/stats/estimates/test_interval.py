"""Intervals of proportions: against scipy, and their coverage."""

import numpy as np
import pytest
from scipy.optimize import brentq
from scipy.stats import binom, binomtest

from jaxemerge.stats import success_interval


def mid_p_low(k, n, tail):
    if k == 0:
        return 0.0
    return brentq(lambda p: binom.sf(k, n, p) + binom.pmf(k, n, p) / 2 - tail, 0, 1, xtol=1e-14)


@pytest.mark.parametrize("confidence", [0.5, 0.9, 0.95, 0.999])
@pytest.mark.parametrize(("k", "n"), [(0, 1), (1, 1), (0, 16), (5, 16), (16, 16), (37, 251), (250, 251)])
def test_is_the_wider_of_wilson_and_mid_p(k, n, confidence):
    interval = success_interval(k, n, confidence)
    wilson = binomtest(k, n).proportion_ci(confidence, method="wilson")
    tail = (1 - confidence) / 2
    low, high = mid_p_low(k, n, tail), 1 - mid_p_low(n - k, n, tail)
    assert interval.low == pytest.approx(min(wilson.low, low), abs=1e-12)
    assert interval.high == pytest.approx(max(wilson.high, high), abs=1e-12)
    assert isinstance(interval.low, float)


def test_one_success_of_sixteen_reaches_shares_of_a_hundredth():
    """Wilson's interval of 1 of 16 starts at 0.011 and misses a true share of 0.0105, where it is likely."""
    assert binomtest(1, 16).proportion_ci(0.95, method="wilson").low > 0.011
    assert success_interval(1, 16).low < 0.0035


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


@pytest.mark.parametrize("n", [3, 5, 16, 23, 60, 250])
def test_covers_the_truth_as_often_as_it_says(n):
    """Exact, not simulated: the probability over k that the interval holds p, for p from 0.001 to 0.5."""
    k = np.arange(n + 1)
    p = np.concatenate([np.geomspace(0.001, 0.05, 40), np.linspace(0.05, 0.5, 181)])[:, None]
    interval = success_interval(k, n)
    coverage = (binom.pmf(k, n, p) * ((interval.low <= p) & (p <= interval.high))).sum(axis=1)
    assert coverage.min() > 0.92
    wilson = np.array([binomtest(int(i), n).proportion_ci(0.95, method="wilson") for i in k]).T
    assert (binom.pmf(k, n, p) * ((wilson[0] <= p) & (p <= wilson[1]))).sum(axis=1).min() < 0.91


def test_effective_trials_need_not_be_whole():
    between = success_interval(3.5, 16.5)
    assert success_interval(3, 16).low < between.low < success_interval(4, 17).low


@pytest.mark.parametrize(("k", "n"), [(4, 3), (-1, 3), (np.nan, 3), ([1, 9], 5)])
def test_refuses_counts_that_cannot_be(k, n):
    with pytest.raises(ValueError, match="0 <= k <= n must hold") as error:
        success_interval(k, n)
    assert f"k={k!r}" in str(error.value)


@pytest.mark.parametrize("confidence", [0, 1, 95, np.nan])
def test_refuses_impossible_confidence(confidence):
    with pytest.raises(ValueError, match=rf"confidence={confidence} must lie in \(0, 1\)"):
        success_interval(1, 3, confidence)
