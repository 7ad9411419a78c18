"""Firth's logistic regression, against direct maximisation, statsmodels, and simulation."""

import numpy as np
import pytest
import statsmodels.api as sm
from scipy.optimize import minimize
from scipy.special import expit

from jaxemerge.stats import fit_logistic

SIZES = np.array([(d, w) for d in (1, 2, 4) for w in (32, 48, 64)], float)
X = np.log2(SIZES)
# Exact match of 0.2 or more at length 20, of 16 seeds of each shape: depth 1 never, depth 4 always.
COUNTS = np.array([0, 0, 0, 5, 15, 16, 16, 16, 16])
SEEDS = np.full(9, 16)


def penalised(theta, x, k, n):
    design = np.column_stack([np.ones(len(x)), x])
    p = expit(design @ theta)
    information = (design * (n * p * (1 - p))[:, None]).T @ design
    log_likelihood = np.sum(k * np.log(p) + (n - k) * np.log1p(-p))
    return log_likelihood + np.log(np.linalg.det(information)) / 2


def test_is_the_maximum_of_the_penalised_likelihood():
    away = X - X.mean(axis=0)
    found = fit_logistic(away, COUNTS, SEEDS)
    best = minimize(lambda t: -penalised(t, away, COUNTS, SEEDS), [0, 5.0, 4.0], method="Nelder-Mead",
                    options={"xatol": 1e-7, "fatol": 1e-11, "maxiter": 5000})  # fmt: skip
    assert found.coefficient.value == pytest.approx(best.x[1:], rel=1e-4)
    assert found.intercept == pytest.approx(best.x[0], abs=1e-3)
    # At an end of the interval the profile is lower by half the quantile of chi-square.
    end = found.coefficient.interval.low[0]
    profile = minimize(lambda t: -penalised([t[0], end, t[1]], away, COUNTS, SEEDS), [0, 4.0],
                       method="Nelder-Mead", options={"xatol": 1e-8, "fatol": 1e-11})  # fmt: skip
    assert profile.fun - best.fun == pytest.approx(3.841459 / 2, abs=1e-4)


def test_both_measures_of_size_matter_and_depth_matters_more():
    found = fit_logistic(X, COUNTS, SEEDS)
    assert (np.asarray(found.coefficient.interval.low) > 2).all()
    assert np.isfinite(found.coefficient.interval.high).all()
    assert (found.p_value < 1e-5).all()


def test_agrees_with_statsmodels_where_there_are_many_seeds():
    rng = np.random.default_rng(0)
    x, n = rng.normal(size=(30, 2)), np.full(30, 2000)
    k = rng.binomial(n, expit(0.3 + x @ [1, -0.5]))
    model = sm.GLM(np.column_stack([k, n - k]), sm.add_constant(x), family=sm.families.Binomial()).fit()
    found = fit_logistic(x, k, n)
    assert [found.intercept, *found.coefficient.value] == pytest.approx(model.params, rel=2e-3)
    ends = np.column_stack([found.coefficient.interval.low, found.coefficient.interval.high])
    np.testing.assert_allclose(ends, model.conf_int()[1:], rtol=5e-3)


@pytest.mark.slow
def test_covers_slopes_where_cells_are_separated():
    rng, truth = np.random.default_rng(1), np.array([4.0, 3.0])
    p = expit((X - X.mean(axis=0)) @ truth)
    hits = []
    for _ in range(40):
        interval = fit_logistic(X, rng.binomial(8, p), np.full(9, 8)).coefficient.interval
        hits.append((interval.low <= truth) & (truth <= interval.high))
    assert (np.mean(hits, axis=0) >= 0.92).all()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([1.0, 2.0], [1], [2]), r"covariates \(2, 1\), successes \(1,\) and trials \(1,\) must fit"),
        (([1.0, 2.0], [3, 1], [2, 2]), r"0 <= k <= n must hold"),
        (([1.0, 1.0], [1, 1], [2, 2]), "2 cells do not determine an intercept and 1 slopes"),
    ],
)
def test_rejects(arguments, message):
    with pytest.raises(ValueError, match=message):
        fit_logistic(*arguments)
