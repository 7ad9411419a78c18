"""Pass rates from sampling until r passes: all outcomes enumerated, simulation, SciPy's intervals."""

from fractions import Fraction
from math import comb

import numpy as np
import pytest
from scipy.stats import binom, binomtest, nbinom

from jaxemerge.stats import pass_rate

RATES = (1e-1, 1e-2, 1e-3)
CAPS = (None, 3.0, 0.7)  # in units of 1/p


def outcomes(p, r, cap):
    """Passes, samples, whether censored, and probability of every way in which sampling can end."""
    last = int(r + 60 / p) if cap is None else cap
    k, m = np.arange(r, last + 1), np.arange(r)
    chances = np.concatenate([nbinom.pmf(k - r, r, p), binom.pmf(m, last, p)])
    passes = np.concatenate([np.full(len(k), r), m])
    return passes, np.concatenate([k, np.full(r, last)]), passes < r, chances


def simulated(p, r, cap, runs, seed):
    """Ends of runs that draw one sample after the other."""
    at = np.cumsum(np.random.default_rng(seed).geometric(p, size=(runs, r)), axis=1)
    passes = np.sum(at <= cap, axis=1)
    return passes, np.minimum(at[:, -1], cap), passes < r


@pytest.mark.parametrize(("r", "cap"), [(2, 7), (3, 5), (5, 11)])
def test_is_unbiased_at_every_rate_by_counting_paths(r, cap):
    """Exactly: sum over stopping points of paths x estimate x p^m q^(k-m) is p as a polynomial."""
    for p in (Fraction(1, 3), Fraction(2, 7), Fraction(9, 10)):
        stops = [(r, k, False, comb(k - 1, r - 1)) for k in range(r, cap + 1)]
        stops += [(m, cap, True, comb(cap, m)) for m in range(r)]
        chances = [paths * p**m * (1 - p) ** (k - m) for m, k, _, paths in stops]
        assert sum(chances) == 1
        values = [pass_rate(m, k, c, r).value for m, k, c, _ in stops]
        exact = [Fraction(v).limit_denominator(1000) for v in values]
        assert sum(c * v for c, v in zip(chances, exact, strict=True)) == p


@pytest.mark.parametrize("cap", CAPS)
@pytest.mark.parametrize("p", RATES)
def test_mean_of_simulations_is_the_rate(p, cap):
    """20,000 runs have a standard error of 0.9 to 1.7 %: twenty times as many are asked to come closer."""
    last = 10**9 if cap is None else round(cap / p)
    values = [pass_rate(*simulated(p, 2, last, 20_000, seed), 2).value for seed in range(20)]
    assert np.mean(values[2]) == pytest.approx(p, rel=0.02)
    assert np.mean(values) == pytest.approx(p, rel=0.01)


def test_likelihood_is_biased_as_the_paper_would_be():
    passes, samples, censored, chances = outcomes(0.01, 1, None)
    values = pass_rate(passes, samples, censored, 1, method="likelihood").value
    assert (values * chances).sum() == pytest.approx(-0.01 * np.log(0.01) / 0.99, rel=1e-6)


@pytest.mark.parametrize("p", RATES)
@pytest.mark.parametrize("cap", [None, 3.0, 1.5, 0.7])
def test_intervals_cover_as_often_as_they_say(p, cap):
    passes, samples, censored, chances = outcomes(p, 2, None if cap is None else round(cap / p))
    assert chances.sum() == pytest.approx(1)
    cover = {}
    for kind in ("mid-p", "exact"):
        ends = pass_rate(passes, samples, censored, 2, interval=kind).interval
        cover[kind] = chances[(ends.low <= p) & (p <= ends.high)].sum()
    assert 0.92 <= cover["mid-p"] <= 0.98
    assert cover["exact"] >= 0.95


def test_simulated_coverage_is_the_enumerated_one():
    drawn = simulated(0.01, 2, 300, 20_000, 5)
    ends = pass_rate(*drawn, 2).interval
    passes, samples, censored, chances = outcomes(0.01, 2, 300)
    all_ends = pass_rate(passes, samples, censored, 2).interval
    known = chances[(all_ends.low <= 0.01) & (all_ends.high >= 0.01)].sum()
    assert np.mean((ends.low <= 0.01) & (ends.high >= 0.01)) == pytest.approx(known, abs=0.006)


def test_exact_ends_at_the_cap_are_clopper_and_pearsons():
    for m, n in ((1, 50), (3, 977)):
        ends = pass_rate(m, n, True, 5, interval="exact", confidence=0.9).interval
        theirs = binomtest(m, n).proportion_ci(0.9, method="exact")
        assert (ends.low, ends.high) == pytest.approx((theirs.low, theirs.high), rel=1e-9)


def test_exact_ends_at_the_last_pass_leave_their_tails():
    ends = pass_rate(3, 41, False, 3, interval="exact").interval
    assert nbinom.cdf(41 - 3, 3, ends.low) == pytest.approx(0.025)
    assert nbinom.sf(41 - 3 - 1, 3, ends.high) == pytest.approx(0.025)


def test_mid_p_ends_count_half_of_the_outcome():
    ends = pass_rate(3, 41, False, 3).interval
    for p, tail in ((ends.low, nbinom.cdf(37, 3, ends.low)), (ends.high, nbinom.sf(38, 3, ends.high))):
        assert tail + nbinom.pmf(38, 3, p) / 2 == pytest.approx(0.025)
    ends = pass_rate(1, 41, True, 3).interval
    assert binom.sf(1, 41, ends.low) + binom.pmf(1, 41, ends.low) / 2 == pytest.approx(0.025)
    assert binom.cdf(0, 41, ends.high) + binom.pmf(1, 41, ends.high) / 2 == pytest.approx(0.025)


def test_no_pass_is_an_upper_limit():
    found = pass_rate(0, 1000, True, 2)
    assert (found.value, found.interval.low, found.unseen) == (0.0, 0.0, True)
    assert (1 - found.interval.high) ** 1000 == pytest.approx(0.05)
    exact = pass_rate(0, 1000, True, 2, interval="exact").interval
    assert (1 - exact.high) ** 1000 == pytest.approx(0.025)


def test_nothing_sampled_says_nothing():
    found = pass_rate([0, 2], [0, 2], [True, False], 2)
    np.testing.assert_array_equal(found.value, [np.nan, 1.0])
    np.testing.assert_array_equal(found.interval.low[:1], [0.0])
    np.testing.assert_array_equal(found.interval.high, [1.0, 1.0])
    assert 0 < found.interval.low[1] < 1


def test_works_element_by_element_and_broadcasts():
    passes, samples = np.array([[2], [2]]), np.array([5, 7, 11])
    found = pass_rate(passes, samples, False, 2)
    assert found.value.shape == found.interval.high.shape == found.unseen.shape == (2, 3)
    alone = pass_rate(2, 11, False, 2)
    assert isinstance(alone.value, float)
    assert isinstance(alone.interval.low, float)
    assert (found.value[1, 2], found.interval.low[1, 2]) == (alone.value, alone.interval.low)
    assert alone.value == pytest.approx(0.1)
    assert pass_rate(2, 11, False, 2, method="likelihood").value == pytest.approx(2 / 11)
    assert pass_rate(1, 11, False, 1, method="likelihood").value == pytest.approx(1 / 11)


@pytest.mark.parametrize(
    ("arguments", "options", "message"),
    [
        ((1, 9, False, 1), {}, "r=1 must be a whole number of at least 2 for method='unbiased'"),
        ((1, 9, False, 0), {"method": "likelihood"}, "r=0 must be a whole number of at least 1"),
        ((2, 9, False, 2.5), {}, "r=2.5 must be a whole number"),
        ((2, 1, False, 2), {}, "passes=2 of samples=1: whole numbers with 0 <= passes <= samples"),
        ((0.5, 1, True, 2), {}, "passes=0.5 of samples=1"),
        ((2, 9, True, 2), {}, "passes=2 with censored=True: must be fewer than r=2"),
        (([2, 3], 9, False, 2), {}, "passes=3 with censored=False: must be r=2; count no samples beyond"),
        ((2, 9, False, 2), {"method": "map"}, "method='map' must be 'unbiased' or 'likelihood'"),
        ((2, 9, False, 2), {"interval": "wald"}, "interval='wald' must be 'mid-p' or 'exact'"),
        ((2, 9, False, 2), {"confidence": 95}, r"confidence=95 must lie in \(0, 1\)"),
    ],
)
def test_refuses(arguments, options, message):
    with pytest.raises(ValueError, match=message):
        pass_rate(*arguments, **options)
