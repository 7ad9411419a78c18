"""The search shared by all laws, against SciPy and closed forms."""

import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import huber

from jaxemerge.stats.laws.minimise import Penalty, minimise
from jaxemerge.stats.laws.runs import resampled_weights

X = np.linspace(-1, 1, 23)
Y = 0.3 - 0.7 * X + 0.1 * np.sin(37 * X)


def straight(theta, inputs):
    return theta[0] + theta[1] * inputs[0]


def saddle(theta, inputs):
    return jnp.sin(theta[0]) * inputs[0] + theta[1] ** 2


def test_penalty_is_that_of_scipy():
    r = np.linspace(-3, 3, 41)
    np.testing.assert_allclose(Penalty(0.7)(r), huber(0.7, r))
    np.testing.assert_allclose(Penalty(np.inf)(r), r**2 / 2)
    tilted = Penalty(0.7, quantile=0.9)(r)
    np.testing.assert_allclose(tilted, huber(0.7, r) * np.where(r > 0, 1.8, 0.2))


def test_least_squares_with_weights_in_closed_form():
    weights = np.random.default_rng(0).multinomial(23, np.full(23, 1 / 23), size=7).astype(float)
    found = minimise(straight, X[:, None], Y, np.zeros((1, 2)), penalty=Penalty(np.inf), weights=weights)
    np.testing.assert_allclose(found.theta, np.polyfit(X, Y, 1)[::-1])
    assert found.converged
    for row, replicate in zip(weights, found.replicates, strict=True):
        np.testing.assert_allclose(replicate, np.polyfit(X, Y, 1, w=np.sqrt(row))[::-1], rtol=1e-6)


def test_other_targets_and_held_parameters():
    targets = np.stack([Y, 2 * Y, Y**2])
    found = minimise(
        straight,
        X[:, None],
        Y,
        np.array([[0.5, 0.0]]),
        penalty=Penalty(np.inf),
        targets=targets,
        free=(False, True),
    )
    expected = [X @ (y - 0.5) / (X @ X) for y in (Y, *targets)]
    np.testing.assert_allclose([found.theta[1], *found.replicates[:, 1]], expected)
    assert found.theta[0] == 0.5


def test_small_delta_is_the_median():
    y = np.array([0.0, 1, 2, 10, 11])
    found = minimise(straight, np.zeros((5, 1)), y, np.array([[5.0, 0.0]]), penalty=Penalty(1e-6))
    assert found.theta[0] == pytest.approx(2, abs=1e-5)
    upper = minimise(
        straight, np.zeros((5, 1)), y, np.array([[5.0, 0.0]]), penalty=Penalty(1e-6, quantile=0.7)
    )
    assert upper.theta[0] == pytest.approx(10, abs=1e-5)


def test_starts_without_a_value_are_passed_over():
    starts = np.array([[np.nan, 1.0], [np.inf, 1.0], [0.1, 0.5]])
    found = minimise(saddle, X[:, None], 0.5 * X + 0.2, starts, penalty=Penalty(1e-3))
    assert found.converged
    assert np.sin(found.theta[0]) == pytest.approx(0.5)
    nowhere = minimise(saddle, X[:, None], Y, starts[:1], penalty=Penalty(1e-3))
    assert not nowhere.converged


def test_resamples_of_seeds_have_the_variance_of_a_mean():
    scale = np.repeat(np.arange(400), 3)
    values = np.random.default_rng(0).normal(size=1200)
    weights = resampled_weights(scale, 4000, 1)
    means = (weights * values).reshape(4000, 400, 3).mean(axis=2)
    # Averaged over scales, the bootstrap variance of a mean of 3 is that of the population, 1/3.
    assert means.var(axis=0).mean() == pytest.approx(
        values.reshape(400, 3).var(axis=1, ddof=1).mean() / 3, rel=0.02
    )
    np.testing.assert_allclose(weights.reshape(4000, 400, 3).sum(axis=2), 3)


def test_single_runs_are_drawn_whole():
    weights = resampled_weights(np.array([0, 0, 1, 2, 3]), 300, 1)
    np.testing.assert_allclose(weights.sum(axis=1), 5)
    assert np.all(weights.min(axis=0) == 0)
