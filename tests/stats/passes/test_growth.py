"""A law, a chain of steps, competing circuits: the planted one is found, fits agree with SciPy's."""

import math

import numpy as np
import pytest
from scipy.optimize import minimize

from jaxemerge.stats import fit_growth_models
from jaxemerge.stats.passes.growth_curves import BENT, CHAIN, CIRCUITS, LAW

SERIES = np.array([0.036, 0.109, 0.241, 0.499, 0.892, 1.542, 2.45]) * 1e9
X = np.log(SERIES / 1e9)
LINES = {"law": ((0.4, 0.55),), "chain": ((-1.5, 1.3), (0.4, 0.1)), "circuits": ((1.5, 0.1), (0.0, 2.2))}


def curve(name, lines, x=X):
    """F in its own words: exponents of products, softmax-weighted means."""
    each = [a - s * x for a, s in lines]
    if name == "law":
        return each[0]
    if name == "chain":
        return np.log(np.exp(each[0]) + np.exp(each[1]))
    weight = 1 / (1 + np.exp(each[0] - each[1]))
    return weight * each[0] + (1 - weight) * each[1]


@pytest.mark.parametrize("name", list(LINES))
def test_the_planted_model_is_preferred(name):
    """In at least 95 % of 200 data sets of 4,000 samples at each of seven scales."""
    p = np.exp(-np.exp(curve(name, LINES[name])))
    passes = np.random.default_rng(0).binomial(4000, p, size=(200, 7))
    found = fit_growth_models(SERIES, counts=(passes, 4000))
    assert np.mean(found.preferred == name) >= 0.95
    assert found.bic[name].shape == (200,)


def test_the_better_of_two_circuits_is_preferred_when_it_is_hard():
    first, second = (a - s * X for a, s in LINES["circuits"])
    p = np.exp(-np.exp(np.minimum(first, second)))
    passes = np.random.default_rng(1).binomial(4000, p, size=(200, 7))
    assert np.mean(fit_growth_models(SERIES, counts=(passes, 4000)).preferred == "circuits") >= 0.95


@pytest.mark.parametrize("name", list(LINES))
def test_exact_rates_give_back_the_model(name):
    rates = np.exp(-np.exp(curve(name, LINES[name])))
    found = fit_growth_models(SERIES, rates)
    assert found.preferred == name
    assert isinstance(found.bic[name], float)
    np.testing.assert_allclose(found.fitted[name], np.log(-np.log(rates)), atol=1e-5)
    logs, alphas = found.coefficients[name][::2], found.coefficients[name][1::2]
    known = sorted((s, a + s * math.log(1e9)) for a, s in LINES[name])
    fitted = sorted(zip(alphas, logs, strict=True))
    np.testing.assert_allclose(fitted, known, rtol=1e-3)


@pytest.mark.parametrize("name", ["chain", "circuits"])
def test_likelihood_is_as_high_as_a_general_optimiser_finds_it(name):
    p = np.exp(-np.exp(curve(name, LINES[name])))
    passes = np.random.default_rng(2).binomial(500, p)

    def loss(theta):
        f = np.clip(curve(name, (theta[:2], theta[2:])), -30, 6)
        rate = np.exp(-np.exp(f))
        return -np.sum(passes * -np.exp(f) + (500 - passes) * np.log1p(-rate))

    bounds = [(-60, 60), (0, 40)] * 2
    rng = np.random.default_rng(3)
    starts = [np.concatenate(LINES[name]), *rng.uniform([-2, 0, -2, 0], [2, 2, 2, 2], (20, 4))]
    best = min(minimize(loss, start, bounds=bounds, tol=1e-12).fun for start in starts)
    found = fit_growth_models(SERIES, counts=(passes, 500))
    assert found.bic[name] == pytest.approx(2 * best + 4 * math.log(7 * 500), abs=2e-3)


@pytest.mark.parametrize("shape", [LAW, BENT, CHAIN, CIRCUITS])
def test_slopes_of_curves_are_their_differences(shape):
    rng = np.random.default_rng(4)
    theta, z = rng.normal(size=(5, shape.size)), np.linspace(-1, 1, 7)
    step = 1e-6
    for j in range(shape.size):
        moved = theta + step * (np.arange(shape.size) == j)
        numeric = (shape.value(moved, z) - shape.value(theta, z)) / step
        np.testing.assert_allclose(shape.slopes(theta, z)[..., j], numeric, atol=1e-4)


def test_shapes_and_refusals():
    passes = np.random.default_rng(5).binomial(100, 0.3, size=(2, 3, 7))
    found = fit_growth_models(SERIES, counts=(passes, 100))
    assert found.preferred.shape == found.bic["law"].shape == (2, 3)
    assert found.coefficients["chain"].shape == (2, 3, 4)
    with pytest.raises(ValueError, match="give either pass_rate="):
        fit_growth_models(SERIES)
