"""Classic numbers of two-sidedness, against diptest, SciPy and arithmetic."""

import diptest
import numpy as np
import pytest
from scipy import stats as scipy_stats

from jaxemerge.stats import ashman_d, bimodality_coefficient, dip_test

N, S = 91, 250


def test_continuous_scores_are_diptests():
    values = np.random.default_rng(0).normal(size=157)
    found = dip_test(values)
    assert (found.statistic, found.p_value) == pytest.approx(diptest.diptest(values))


def test_ties_alone_never_reject():
    rng = np.random.default_rng(1)
    floor = np.where(rng.random(S) < 0.9, 0, rng.integers(1, 4, S))
    assert dip_test(floor / N, N).p_value > 0.2
    for k, n in ((rng.binomial(5, 0.4, S), 5), (rng.integers(0, 6, S), 5), (rng.binomial(N, 0.03, S), N)):
        assert diptest.diptest(k / n)[1] < 0.01  # ties look like modes to the plain test
        assert dip_test(k / n, n).p_value > 0.2


def test_two_lumps_of_counts_reject():
    rng = np.random.default_rng(2)
    k = np.where(rng.random(S) < 0.4, rng.binomial(N, 0.7, S), rng.binomial(N, 0.1, S))
    assert dip_test(k / N, N).p_value < 0.01
    assert dip_test(k / N, np.full(S, N)) == dip_test(k / N, N)


def test_spreading_fills_half_an_item_to_each_side():
    """Three ties at 1/4 and one at 3/4, spread by hand."""
    found = dip_test([0.25, 0.75, 0.25, 0.25], 4)
    by_hand = [(0.5 + 1 / 6) / 4, 1 / 4, (0.5 + 5 / 6) / 4, 3 / 4]
    assert found.statistic == pytest.approx(diptest.dipstat(np.array(by_hand)))


@pytest.mark.parametrize("values", [[0.3], [0.1, 0.2, 0.3], [0.5] * 9])
def test_nothing_to_test(values):
    assert (dip_test(values).statistic, dip_test(values).p_value) == (1 / (2 * len(values)), 1.0)


def test_diverged_seeds():
    rest = [0.25, 0.5, 0.5, 0.75]
    assert dip_test([np.nan, *rest], 4) == dip_test([0.0, *rest], 4)
    assert dip_test([np.nan, -1.0, 2.0, 3.0, 7.0]).n == 4


def test_refusals():
    with pytest.raises(ValueError, match="not a count out of trials=4"):
        dip_test([0.3], 4)
    with pytest.raises(ValueError, match=r"shape \(0,\)"):
        dip_test([])
    with pytest.raises(ValueError, match="must be at least 0"):
        ashman_d(0, -1, 1, 1)


def test_bimodality_coefficient_is_sarles():
    values = np.random.default_rng(3).gamma(2.0, size=(5, 37))
    skewness = scipy_stats.skew(values, axis=-1, bias=False)
    kurtosis = scipy_stats.kurtosis(values, axis=-1, bias=False)
    expected = (skewness**2 + 1) / (kurtosis + 3 * 36**2 / (35 * 34))
    np.testing.assert_allclose(bimodality_coefficient(values), expected)
    assert bimodality_coefficient(np.linspace(0, 1, 10_001)) == pytest.approx(5 / 9, abs=1e-3)


def test_bimodality_coefficient_without_spread():
    assert np.isnan(bimodality_coefficient([0.1] * 7))
    assert np.isnan(bimodality_coefficient([0.1, 0.2, 0.4]))
    assert np.isnan(bimodality_coefficient([[0.1, 0.2, np.nan, 0.4]])).all()


def test_ashman_d_by_hand():
    assert ashman_d(0.1, 0.3, 0.7, 0.4) == pytest.approx(np.sqrt(2) * 0.6 / 0.5)
    assert np.isinf(ashman_d(0, 0, 1, 0))
    assert np.isnan(ashman_d(0, 0, 0, 0))
    assert ashman_d(np.zeros(3), 1, np.arange(3), 1).shape == (3,)


@pytest.mark.slow
@pytest.mark.parametrize("n", [5, N])
def test_size_on_uniform_counts(n):
    rng = np.random.default_rng(n)
    said = [dip_test(rng.integers(0, n + 1, S) / n, n).p_value <= 0.05 for _ in range(500)]
    assert np.mean(said) <= 0.07
