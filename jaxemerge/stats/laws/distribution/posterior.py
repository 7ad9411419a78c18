"""How certain is a law of distributions? Samples of its posterior, by Hamiltonian Monte Carlo."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from numpy.typing import NDArray

from jaxemerge.brief import brief

from ...estimates.arguments import check_at_least, check_confidence
from ..minimise import float64, host
from .law import DistributionLaw, record, side_by_side
from .likelihood import Design, Shape, log_prior, parts, seed_log_likelihoods

Floats = NDArray[np.float64]

START = 0.5  # how far from the optimum the chains begin, in standard deviations


@brief
@dataclass(frozen=True)
class SampledLaw:
    """A law whose intervals are those of its posterior, and whether the chains have converged.

    Attributes:
        law: with credible intervals. Its values are still those of the penalised maximum; its `replicates`
            are the draws of all chains.
        r_hat: largest potential scale reduction of any parameter; at most 1.01 in chains that have converged.
        effective_draws: smallest effective number of independent draws of any parameter.
        divergent: share of the draws whose trajectory diverged; more than a few in a thousand means that a
            part of the posterior was not reached.
    """

    law: DistributionLaw
    r_hat: float
    effective_draws: float
    divergent: float


def sample_distribution_law(
    law: DistributionLaw,
    *,
    chains: int = 2,
    draws: int = 500,
    warmup: int = 500,
    confidence: float | None = None,
    key: int = 0,
) -> SampledLaw:
    """Samples the posterior of a fitted law with the No-U-Turn sampler.

    The second way to the law's intervals: it neither resamples seeds nor takes e_cell out of the likelihood
    by quadrature, but samples it for each cell. The priors are those of `fit_distribution_law`. Use it where
    cells have few seeds, and to check the bootstrap.

    Args:
        law: from `fit_distribution_law`; its maximum is where the chains begin.
        chains: at least 2, run on as many cores as there are.
        draws: of each chain, at least 100.
        warmup: steps of each chain that set its step size and metric, at least 100.
        confidence: of the intervals, in (0, 1); by default the law's.
        key: of the chains.

    Returns:
        SampledLaw.

    Raises:
        ModuleNotFoundError: if BlackJAX is not installed.
        ValueError: if an argument is out of its range.

    References:
        Hoffman and Gelman (2014), J. Mach. Learn. Res. 15, p. 1593 (the sampler); Gelman and Rubin (1992),
        Stat. Sci. 7, p. 457 (r_hat).
    """
    check_at_least(2, chains=chains)
    check_at_least(100, draws=draws, warmup=warmup)
    level = law.confidence if confidence is None else confidence
    check_confidence(level)
    if find_spec("blackjax") is None:
        raise ModuleNotFoundError("sampling needs BlackJAX: pip install 'jaxemerge[posterior]'")
    from blackjax.diagnostics import effective_sample_size, potential_scale_reduction

    found = _sampled(law, chains, draws, warmup, key)
    with float64():
        r_hat = np.asarray(potential_scale_reduction(jnp.asarray(found.position)))
        effective = np.asarray(effective_sample_size(jnp.asarray(found.position)))
    root = _free_root(law)
    theta = law.optimum.theta + found.position[..., : root.shape[1]] @ root.T
    again = record(
        law.seen,
        law.columns,
        law.problem,
        law.optimum,
        theta.reshape(-1, theta.shape[-1]),
        law.names,
        level,
    )
    return SampledLaw(again, float(r_hat.max()), float(effective.min()), float(found.divergent.mean()))


class _Chain(NamedTuple):
    """Draws of a chain, or of several side by side.

    Attributes:
        position: [..., draws, F + C] coordinates of the free parameters and e_cell / sigma of each cell.
        divergent: [..., draws].
    """

    position: Any
    divergent: Any


def _free_root(law: DistributionLaw) -> Floats:
    """[P, F] from coordinates in which the posterior is about standard normal to the parameters."""
    return law.optimum.root[:, law.problem.free]


def _sampled(law: DistributionLaw, chains: int, draws: int, warmup: int, key: int) -> _Chain:
    device, _ = host()
    root = _free_root(law)
    cells = law.optimum.centres.mode
    rng = np.random.default_rng(key)
    with float64():
        problem = (law.problem.design, law.problem.counts, law.seen.seeds)
        data = jax.device_put((law.optimum.theta, root, *problem), device)
        keys = jax.device_put(jax.random.split(jax.random.key(key), chains), device)
        middle = np.concatenate([np.zeros(root.shape[1]), cells])
        starts = middle + START * rng.standard_normal((chains, len(middle)))
        starts = jax.device_put(starts, device)
        run = _chain(law.shape, draws, warmup).lower(keys[0], starts[0], *data).compile()

        def one(chain: int) -> _Chain:
            return jax.tree.map(np.asarray, run(keys[chain], starts[chain], *data))

        return jax.tree.map(lambda *parts: np.stack(parts), *side_by_side(one, range(chains)))


@functools.lru_cache(maxsize=8)
def _chain(shape: Shape, draws: int, warmup: int) -> Any:
    """The compiled program of one chain."""
    import blackjax

    def run(key: Array, start: Array, *data: Any) -> _Chain:
        def log_density(position: Array) -> Array:
            return log_posterior(shape, position, *data)

        tuning, sampling = jax.random.split(key)
        adaptation = blackjax.window_adaptation(blackjax.nuts, log_density)
        (state, tuned), _ = adaptation.run(tuning, start, num_steps=warmup)
        step = blackjax.nuts(log_density, **tuned).step

        def draw(state: Any, key: Array) -> tuple[Any, _Chain]:
            state, info = step(key, state)
            return state, _Chain(state.position, info.is_divergent)

        return jax.lax.scan(draw, state, jax.random.split(sampling, draws))[1]

    _, options = host()
    return jax.jit(run, compiler_options=dict(options))


def log_posterior(
    shape: Shape, position: Array, centre: Array, root: Array, design: Design, counts: Array, seeds: Array
) -> Array:
    """Log density of the parameters and of e_cell / sigma, up to a constant.

    Args:
        shape: of the law.
        position: [F + C] coordinates of the free parameters around `centre`, then e_cell / sigma.
        centre: [P] parameters.
        root: [P, F] from coordinates to parameters.
        design: of the C cells.
        counts: [C, M, L].
        seeds: [C, M] seeds of each row.
    """
    F = root.shape[1]
    theta, z_C = centre + root @ position[:F], position[F:]
    law = parts(shape, theta, design)
    given = seed_log_likelihoods(shape, law, counts, (law.cells * z_C)[:, None], law.seeds)[..., 0]
    return jnp.sum(seeds * given) - jnp.sum(z_C**2) / 2 + log_prior(shape, theta)
