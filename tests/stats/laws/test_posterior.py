"""Samples of the law's posterior: the density that is sampled, and the intervals that come out."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import expit, logsumexp

from jaxemerge.devices import compiled
from jaxemerge.stats import fit_distribution_law, sample_distribution_law
from jaxemerge.stats.laws.distribution.likelihood import cell_log_likelihoods, log_prior, new_centres
from jaxemerge.stats.laws.distribution.posterior import log_posterior
from jaxemerge.stats.laws.minimise import float64


@pytest.fixture(scope="module")
def law():
    """Nine cells of 40 seeds on one test of 11 items; depth and width move the weights."""
    rng = np.random.default_rng(1)
    cells = [(depth, width) for depth in (1, 2, 4) for width in (16, 32, 64)]
    design = np.repeat(np.array(cells, float), 40, axis=0)
    z = np.log(design) - np.log(design).mean(axis=0)
    success = rng.random(len(z)) < expit(z @ np.array([1.5, 0.6]))
    mean = 0.2 + 0.8 * expit(0.5 + z @ np.array([0.2, 0.7]))
    good = rng.binomial(11, rng.beta(12 * mean, 12 * (1 - mean)))
    bad = rng.binomial(11, rng.beta(0.4, 7.6, len(z)))
    scores = np.where(success, good, bad) / 11
    return fit_distribution_law(scores, 11, design, bootstraps=60)


@pytest.mark.parametrize("cell", [0, 4, 8])
def test_its_density_integrates_to_the_likelihood_of_the_fit(law, cell):
    """A fine grid over e_cell gives the adaptive integral that is fitted."""
    only = slice(cell, cell + 1)
    design = law.problem.design._replace(
        **{
            name: getattr(law.problem.design, name)[only]
            for name in ("weights", "means", "precisions", "failures")
        }
    )
    data = (design, law.problem.counts[only], law.seen.seeds[only])
    root = law.optimum.root[:, law.problem.free]
    u = np.random.default_rng(cell).normal(0, 0.5, root.shape[1])
    grid = np.linspace(-7, 7, 141)
    with float64():
        theta = jnp.asarray(law.optimum.theta + root @ u)
        prior = float(log_prior(law.shape, theta))

        @compiled
        def at(z):
            return log_posterior(law.shape, jnp.append(u, z), law.optimum.theta, root, *data)

        @compiled
        def integrated(start):
            centres = new_centres(law.shape, theta, *data, start)
            return cell_log_likelihoods(law.shape, theta, *data, centres)[0]

        density = [float(at(z)) for z in grid]
        fitted = float(integrated(law.optimum.centres._replace(mode=np.zeros(1), spread=np.ones(1))))
    integral = logsumexp(np.array(density) - prior) + np.log((grid[1] - grid[0]) / np.sqrt(2 * np.pi))
    assert integral == pytest.approx(fitted, abs=0.02)


@pytest.mark.slow  # compiles the sampler
def test_its_intervals_agree_with_the_bootstrap(law):
    """Two ways without a step in common: resampled seeds, and a sampled posterior."""
    sampled = sample_distribution_law(law, draws=300, warmup=200, key=3)
    assert sampled.r_hat < 1.05
    assert sampled.effective_draws > 60
    assert sampled.divergent < 0.02
    # The posterior has in it the effects of cells that so few seeds do not exclude; the bootstrap holds their
    # spread near its estimate, so that its slopes of the weights, which they move, are more certain.
    for name, widest in {"weight_slopes": 2.2, "mean_slopes": 1.4}.items():
        here, there = getattr(sampled.law, name).interval, getattr(law, name).interval
        ratio = (here.high - here.low) / (there.high - there.low)
        shift = ((here.high + here.low) - (there.high + there.low)) / (there.high - there.low) / 2
        assert np.all((ratio > 0.75) & (ratio < widest)), (name, ratio)
        assert np.all(np.abs(shift) < 0.3), (name, shift)
    again = sample_distribution_law(law, draws=300, warmup=200, key=3)
    np.testing.assert_array_equal(again.law.replicates, sampled.law.replicates)
    bands = sampled.law.predict([[2.0, 32.0]])
    assert np.all(np.isfinite(bands.success.interval.low))


def test_bad_arguments_are_named(law, monkeypatch):
    with pytest.raises(ValueError, match="chains=1"):
        sample_distribution_law(law, chains=1)
    with pytest.raises(ValueError, match="draws=50"):
        sample_distribution_law(law, draws=50)
    monkeypatch.setattr("jaxemerge.stats.laws.distribution.posterior.find_spec", lambda name: None)
    with pytest.raises(ModuleNotFoundError, match=r"jaxemerge\[posterior\]"):
        sample_distribution_law(law)
