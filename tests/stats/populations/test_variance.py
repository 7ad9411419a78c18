"""Variance by source, against statsmodels' analysis of variance, and by simulation."""

import math

import numpy as np
import pytest
import statsmodels.formula.api as smf
from pandas import DataFrame
from scipy.stats import multivariate_normal, norm
from statsmodels.stats.anova import anova_lm

from jaxemerge.stats import split_variance
from jaxemerge.stats.populations.variance import _degrees_by_jackknife, _mean_squares

PARTS = ("init", "data", "residual")


def crossed(rng, inits=7, orders=11):
    return rng.normal(size=(inits, 1)) + 2 * rng.normal(size=orders) + 0.5 * rng.normal(size=(inits, orders))


def test_agrees_with_the_analysis_of_variance():
    y = crossed(np.random.default_rng(0))
    init, data = np.indices(y.shape)
    frame = DataFrame({"y": y.ravel(), "init": init.ravel(), "data": data.ravel()})
    table = anova_lm(smf.ols("y ~ C(init) + C(data)", frame).fit())
    squares = table["mean_sq"]
    found = split_variance(y)
    assert found.residual.value == pytest.approx(squares["Residual"])
    assert found.init.value == pytest.approx((squares["C(init)"] - squares["Residual"]) / 11)
    assert found.data.value == pytest.approx((squares["C(data)"] - squares["Residual"]) / 7)
    assert (found.init_p, found.data_p) == pytest.approx(tuple(table["PR(>F)"].iloc[:2]))
    assert found.mean == pytest.approx(y.mean())


def test_shares_add_up():
    found = split_variance(crossed(np.random.default_rng(1)))
    assert sum(getattr(found, f"{part}_share").value for part in PARTS) == pytest.approx(1)
    total = sum(getattr(found, part).value for part in PARTS)
    assert found.data_share.value == pytest.approx(found.data.value / total)


def test_the_seeds_keep_their_names():
    y = np.random.default_rng(2).normal(size=(7, 1)) + np.zeros(11)
    found = split_variance(y)
    assert found.init_share.value == pytest.approx(1)
    assert found.data.value == 0
    assert found.init_p < 1e-9
    assert split_variance(y.T).data_share.value == pytest.approx(1)


def test_a_negative_estimate_is_zero():
    y = np.array([[0.0, 1.0], [1.0, 0.0]])
    found = split_variance(y)
    assert (found.init.value, found.data.value, found.residual.value) == (0, 0, 1)
    assert found.init.interval.low == 0


def test_intervals_cover_planted_variances():
    rng, hits = np.random.default_rng(3), []
    for key in range(300):
        found = split_variance(crossed(rng), resamples=500, key=key)
        hits.append(
            [
                getattr(found, part).interval.low <= truth <= getattr(found, part).interval.high
                for part, truth in zip(PARTS, (1, 4, 0.25), strict=True)
            ]
        )
    assert np.all(np.mean(hits, axis=0) >= 0.91)
    # The jackknife counts the residual's variance with either seed, which makes its interval too wide.
    assert np.all(np.mean(hits, axis=0)[:2] <= 0.985)


def test_shares_of_rare_successes_are_covered():
    """200 designs of 5 by 7, a tenth succeeds, three quarters of the latent variance from the init seed."""
    rng, hits = np.random.default_rng(6), []
    cut = norm.isf(0.1)
    init = multivariate_normal([0, 0], [[1, 0.75], [0.75, 1]]).cdf([-cut, -cut]) - 0.01
    for key in range(200):
        latent = np.sqrt(0.75) * rng.normal(size=(5, 1)) + 0.5 * rng.normal(size=(5, 7))
        interval = split_variance(latent > cut, resamples=500, key=key).init_share.interval
        if not math.isnan(interval.low):
            hits.append(interval.low <= init / 0.09 <= interval.high)
    assert len(hits) > 100
    assert np.mean(hits) >= 0.91  # 0.83 with the degrees of freedom of normal outcomes


def test_degrees_by_the_jackknife():
    """By a loop over what is left out; a factor of two seeds adds nothing."""
    y = np.random.default_rng(7).random((4, 5)) ** 3
    squares, spread = _mean_squares(y), np.zeros(3)
    for axis in (0, 1):
        left_out = np.array([_mean_squares(np.delete(y, i, axis)) for i in range(y.shape[axis])])
        n = len(left_out)
        spread += (n - 1) / n * np.sum((left_out - left_out.mean(axis=0)) ** 2, axis=0)
    assert _degrees_by_jackknife(y, squares) == pytest.approx(np.maximum(2 * squares**2 / spread, 1))
    assert np.isfinite(split_variance(y[:2, :2]).init.interval.high)


def test_diverged_runs_are_failures():
    y = np.random.default_rng(4).random((3, 5))
    y[1, 2] = np.nan
    assert split_variance(y, key=1) == split_variance(np.nan_to_num(y), key=1)
    assert split_variance(y, failure=7.0).mean == pytest.approx(np.nan_to_num(y, nan=7.0).mean())


def test_equal_outcomes_have_no_variance_to_share():
    found = split_variance(np.full((3, 7), 0.1))
    assert (found.init.value, found.residual.value) == (0, 0)
    assert math.isnan(found.residual.interval.high)
    assert math.isnan(found.init_share.value)
    assert math.isnan(found.init_share.interval.low)
    assert math.isnan(found.init_p)


@pytest.mark.parametrize("shape", [(1, 5), (5, 1), (1, 1)])
def test_one_seed_of_a_kind_tells_nothing(shape):
    found = split_variance(np.random.default_rng(0).random(shape))
    assert math.isnan(found.init.value)
    assert math.isnan(found.residual_share.interval.high)
    assert 0 < found.mean < 1


@pytest.mark.parametrize(
    ("outcomes", "options", "message"),
    [
        ([0.1, 0.2], {}, r"outcomes of shape \(2,\) must be \[init seeds, data seeds\]"),
        (np.zeros((0, 3)), {}, r"outcomes of shape \(0, 3\) must be"),
        ([[0.1]], {"resamples": 0}, "resamples=0 must be at least 1"),
        ([[0.1]], {"confidence": 0}, "confidence=0 must lie in"),
        ([[np.inf]], {}, "1 of the values are infinite"),
    ],
)
def test_refuses_what_it_cannot_split(outcomes, options, message):
    with pytest.raises(ValueError, match=message):
        split_variance(outcomes, **options)
