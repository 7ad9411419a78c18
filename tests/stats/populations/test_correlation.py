"""Correlations over seeds, against SciPy."""

import importlib

import numpy as np
import pytest
from scipy import stats

from jaxemerge.stats import correlation

MODULE = importlib.import_module("jaxemerge.stats.estimates.resampling")


def outcomes(seeds=31):
    """Three related columns with ties at 0, one unrelated."""
    rng = np.random.default_rng(0)
    shared = rng.normal(size=(seeds, 1))
    return np.maximum(np.hstack([shared + rng.normal(size=(seeds, 3)), rng.normal(size=(seeds, 1))]), -0.3)


@pytest.mark.parametrize(
    ("method", "reference"), [("spearman", stats.spearmanr), ("pearson", stats.pearsonr)]
)
def test_agrees_with_scipy(method, reference):
    y = outcomes()
    found = correlation(y, method=method, permutations=4999)
    for i in range(4):
        for j in range(4):
            expected = reference(y[:, i], y[:, j])
            assert found.value.value[i, j] == pytest.approx(expected.statistic)
            if i != j:
                assert found.p_value[i, j] == pytest.approx(expected.pvalue, abs=0.025)
    assert found.p_value[0, 1] < 0.05 < found.p_value[0, 3]
    assert np.isnan(np.diag(found.p_value)).all()


def test_p_value_is_that_of_all_shuffles():
    """Few enough seeds for SciPy to go through all orders."""
    x, y = np.array([0.0, 0.0, 0.1, 0.5, 0.6, 0.9]), np.array([0.2, 0.0, 0.3, 0.1, 0.8, 0.9])
    exact = stats.permutation_test(
        (x,),
        lambda x: stats.spearmanr(x, y).statistic,
        permutation_type="pairings",
        n_resamples=np.inf,
    )
    found = correlation(np.stack([x, y], axis=1), permutations=20_000, key=1)
    assert 0.02 < exact.pvalue < 0.4
    assert found.p_value[0, 1] == pytest.approx(exact.pvalue, abs=0.012)


def test_interval_is_that_of_resampled_seeds():
    y = outcomes()
    found = correlation(y[:, :2], permutations=1, resamples=1999, key=2)
    reference = stats.bootstrap(
        (y[:, 0], y[:, 1]),
        lambda a, b: stats.spearmanr(a, b).statistic,
        paired=True,
        vectorized=False,
        n_resamples=999,
        method="percentile",
        rng=0,
    ).confidence_interval
    assert (found.value.interval.low[0, 1], found.value.interval.high[0, 1]) == pytest.approx(
        tuple(reference), abs=0.05
    )


def test_pieces_are_as_the_whole(monkeypatch):
    whole = correlation(outcomes(), permutations=50, resamples=50, key=3)
    monkeypatch.setattr(MODULE, "CELLS_AT_ONCE", 1000)
    pieces = correlation(outcomes(), permutations=50, resamples=50, key=3)
    np.testing.assert_array_equal(pieces.p_value, whole.p_value)
    np.testing.assert_allclose(pieces.value.interval.low, whole.value.interval.low)


def test_constant_outcomes_have_no_correlation():
    y = np.column_stack([outcomes()[:, 0], np.full(31, 0.1)])
    found = correlation(y, permutations=19, resamples=19)
    assert found.value.value[0, 0] == pytest.approx(1)
    assert np.isnan(found.p_value).all()
    for matrix in (found.value.value, found.value.interval.low):
        assert np.isnan(matrix).tolist() == [[False, True], [True, True]]


def test_diverged_seeds_are_failures():
    y = outcomes()
    y[3, 1] = np.nan
    assert correlation(y).value.value[0, 1] == correlation(np.nan_to_num(y)).value.value[0, 1]


def test_too_few_seeds():
    for seeds in (0, 1):
        found = correlation(np.zeros((seeds, 3)))
        assert found.n == seeds
        assert np.isnan(found.value.value).all()
        assert found.p_value.shape == (3, 3)
    assert correlation(np.zeros((5, 0))).p_value.shape == (0, 0)


@pytest.mark.parametrize(
    ("values", "options", "message"),
    [
        ([0.1, 0.2], {}, r"outcomes of shape \(2,\) must be \[seeds, outcomes\]"),
        ([[0.1]], {"method": "kendall"}, "method='kendall' must be 'spearman' or 'pearson'"),
        ([[0.1]], {"permutations": 0}, "permutations=0 must be at least 1"),
        ([[0.1]], {"resamples": 0}, "resamples=0 must be at least 1"),
        ([[0.1]], {"confidence": 1}, "confidence=1 must lie in"),
        ([[np.inf]], {}, "1 of the values are infinite"),
    ],
)
def test_refuses_what_it_cannot_correlate(values, options, message):
    with pytest.raises(ValueError, match=message):
        correlation(values, **options)
