"""The test of a single mode: its null against SciPy, its size and power on planted populations."""

import diptest
import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.stats import binom

from jaxemerge.stats import unimodality_test
from jaxemerge.stats.populations.unimodality import _pieces_of_counts, fit_unimodal, one_mode

N = 91


def test_uniform_pieces_are_integrals_of_the_binomial():
    grid = np.array([0.1, 0.25, 0.7])
    k, n = np.array([0.0, 3.0, 11.0]), np.array([11.0, 7.0, 11.0])
    found = _pieces_of_counts(k, n, grid)
    for m in range(3):
        for j in range(3):
            low, high = sorted((grid[m], grid[j]))
            rate = low + (high - low) * (np.arange(20_000) + 0.5) / 20_000
            expected = binom.pmf(k[:, None], n[:, None], rate).mean(axis=1)
            np.testing.assert_allclose(found[m, :, j], expected, atol=1e-8)


def test_the_fit_is_the_maximum_that_another_search_finds():
    k = np.random.default_rng(0).binomial(11, 0.45, 23).astype(float)
    found = fit_unimodal(k, np.full(23, 11.0))
    values, counts = np.unique(k, return_counts=True)
    pieces = _pieces_of_counts(values, np.full(len(values), 11.0), found.ends)
    at_mode = pieces[int(np.flatnonzero(found.ends == found.mode)[0])]

    def loss(logits):
        weights = np.exp(logits - logits.max())
        return -counts @ np.log(at_mode @ (weights / weights.sum()))

    best = minimize(loss, np.zeros(at_mode.shape[1]), method="L-BFGS-B", options={"maxiter": 2000})
    # The last tenth of a nat takes EM long, and a null hypothesis does not need it.
    assert -best.fun - 0.15 <= found.log_likelihood <= -best.fun + 1e-4
    assert found.weights.sum() == pytest.approx(1)


def test_the_statistic_is_hartigans_dip_and_the_p_value_a_share():
    values = np.random.default_rng(1).normal(size=61)
    found = unimodality_test(values, resamples=99)
    assert found.statistic == pytest.approx(diptest.dipstat(values))
    assert found.p_value * 100 == pytest.approx(round(found.p_value * 100))
    assert found == unimodality_test(values, resamples=99)
    assert unimodality_test([np.nan, 0.25, 0.5, 0.5, 0.75], 4, resamples=9).n == 5


@pytest.mark.parametrize(
    "values", [[0.0] * 12 + [0.7, 0.75, 0.65, 0.8] * 2, [0.1, 0.12, 0.15, 0.08] * 3 + [0.8, 0.85, 0.9] * 4]
)
def test_a_gap_between_many_seeds_is_no_chance(values):
    assert unimodality_test(values, 100, resamples=199).p_value <= 0.02


@pytest.mark.parametrize("values", [[0.3], [0.1, 0.9, 0.8], [0.5] * 9])
def test_too_few_or_equal_scores_have_one_mode(values):
    assert unimodality_test(values).p_value == 1


def test_no_seeds_have_no_mode():
    assert one_mode(np.array([]), None).p_value == 1


def test_bad_arguments():
    with pytest.raises(ValueError, match=r"shape \(0,\)"):
        unimodality_test([])
    with pytest.raises(ValueError, match="resamples=0 must be at least 1"):
        unimodality_test([0.5, 0.1], 10, resamples=0)
    with pytest.raises(ValueError, match="not a count out of trials=4"):
        unimodality_test([0.3], 4)


ONE_MODE = {
    "flat": lambda rng, s: rng.binomial(N, rng.uniform(0.3, 0.8, s)) / N,
    "logit-normal": lambda rng, s: rng.binomial(N, 1 / (1 + np.exp(-rng.normal(1, 1.3, s)))) / N,
    "zeros and a tail": lambda rng, s: (
        rng.binomial(N, np.where(rng.random(s) < 0.4, 0, rng.beta(1, 3, s))) / N
    ),
    "unequal tests": lambda rng, s: (
        rng.binomial(np.arange(s) % 2 * 30 + 61, rng.beta(4, 6, s)) / (np.arange(s) % 2 * 30 + 61)
    ),
}


@pytest.mark.parametrize("name", ONE_MODE)
@pytest.mark.parametrize("seeds", [10, 67])
def test_one_mode_is_rarely_called_more(name, seeds):
    trials = np.arange(seeds) % 2 * 30 + 61 if name == "unequal tests" else N
    said = [
        unimodality_test(ONE_MODE[name](np.random.default_rng([i, 3]), seeds), trials, resamples=39).p_value
        <= 0.05
        for i in range(25)
    ]
    assert np.sum(said) <= 4  # of 25 at 5 %: more in 0.7 %
