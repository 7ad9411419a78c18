"""Cox regression, against statsmodels and at its edges."""

import math

import numpy as np
import pytest
from scipy.stats import chi2
from statsmodels.duration.hazard_regression import PHReg

from jaxemerge.stats import fit_hazard


def runs(covariates, seeds=97):
    rng = np.random.default_rng(1)
    x = rng.normal(size=(seeds, covariates)) * [1.0, 30.0][:covariates] + 5
    time = np.ceil(20 * rng.exponential(size=seeds) * np.exp(-(x - 5) @ [0.8, -0.01][:covariates]))
    return np.minimum(time, 25), time < 25, x


@pytest.mark.parametrize("covariates", [1, 2])
def test_agrees_with_statsmodels(covariates):
    time, observed, x = runs(covariates)
    assert len(np.unique(time)) < 30  # ties
    model = PHReg(time, x, status=observed, ties="efron")
    fit = model.fit()
    found = fit_hazard(time, observed, x)
    np.testing.assert_allclose(found.coefficient.value, fit.params, rtol=1e-5)
    assert found.log_likelihood == pytest.approx(fit.llf)
    assert found.null_log_likelihood == pytest.approx(model.loglike(np.zeros(covariates)))
    # Profile and Wald intervals agree to second order only.
    np.testing.assert_allclose(found.coefficient.interval.low, fit.conf_int()[:, 0], rtol=0.06)
    np.testing.assert_allclose(found.coefficient.interval.high, fit.conf_int()[:, 1], rtol=0.06)


def test_interval_and_p_value_are_likelihood_ratios():
    time, observed, x = runs(1)
    found = fit_hazard(time, observed, x, confidence=0.9)
    model = PHReg(time, x, status=observed, ties="efron")
    for end in (found.coefficient.interval.low, found.coefficient.interval.high):
        assert 2 * (found.log_likelihood - model.loglike(end)) == pytest.approx(chi2.ppf(0.9, 1), abs=1e-4)
    gain = 2 * (found.log_likelihood - found.null_log_likelihood)
    assert found.p_value[0] == pytest.approx(chi2.sf(gain, 1))


def test_no_breakthrough_below_some_scale():
    time = np.array([30.0] * 10 + [*range(5, 15)])
    found = fit_hazard(time, time < 30, np.repeat([0.0, 1.0], 10))
    assert found.coefficient.value[0] == math.inf
    assert 0 < found.coefficient.interval.low[0] < 5
    assert found.coefficient.interval.high[0] == math.inf
    assert found.p_value[0] < 1e-3
    mirrored = fit_hazard(time, time < 30, np.repeat([1.0, 0.0], 10))
    assert mirrored.coefficient.value[0] == -math.inf
    assert mirrored.coefficient.interval.high[0] == pytest.approx(-found.coefficient.interval.low[0])


@pytest.mark.parametrize(
    "arguments", [([1, 2], [0, 0], [1, 2]), ([1, 2], [1, 1], [3, 3]), ([], [], []), ([1], [1], [2])]
)
def test_nothing_to_learn(arguments):
    found = fit_hazard(*arguments)
    assert math.isnan(found.coefficient.value[0])
    assert found.coefficient.interval.low[0] == -math.inf
    assert found.coefficient.interval.high[0] == math.inf
    assert found.p_value[0] == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([1, 2], [1, 1], [1]), r"covariates of shape \(1,\) must be finite, \[S\] or \[S, K\] for 2 runs"),
        (([1], [1], [np.nan]), "must be finite"),
        (([1, 2], [1], [1, 2]), r"time \(2,\) and observed \(1,\) must be one each per run"),
    ],
)
def test_refuses_what_it_cannot_fit(arguments, message):
    with pytest.raises(ValueError, match=message):
        fit_hazard(*arguments)
