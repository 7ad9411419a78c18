"""What distribution does a law predict at a scale, and how sure is it?"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from numpy.typing import NDArray

from jaxemerge.brief import brief

from ...estimates.interval import Estimate
from ..minimise import float64, host
from ..runs import estimate
from .likelihood import LINKS, SEED_NODES, Design, Shape, parts, rule, seed_log_likelihoods

Floats = NDArray[np.float64]

CLOSE = 1e-9  # between cumulative probabilities that count as equal


@brief
@dataclass(frozen=True)
class PredictedDistribution:
    """Scores of the seeds at G scales on L tests.

    Attributes:
        scale: [G, K].
        lengths: [L].
        trials: [L] items.
        probability: [G, L, n + 1] of each count of right items, n the largest number of items; over seeds
            that do not diverge they add up to 1.
        success: [G, L] P(success).
        mean: [G, L] mean score of the successes.
        precision: [G] of the successes' beta-binomial.
        diverged: [G] share of seeds that diverge.
        low: [G, L, n + 1] lower edge of the band around the cumulative distribution; NaN without bootstraps.
        high: [G, L, n + 1] upper edge. The band holds the whole distribution, at all counts and lengths of a
            scale together, with the law's confidence.
    """

    scale: Floats
    lengths: Floats
    trials: NDArray[np.int64]
    probability: Floats
    success: Estimate
    mean: Estimate
    precision: Estimate
    diverged: Floats
    low: Floats
    high: Floats

    @property
    def cumulative(self) -> Floats:
        """[G, L, n + 1] probability of at most each count."""
        return np.minimum(np.cumsum(self.probability, axis=-1), 1.0)


@functools.cache
def describing(shape: Shape) -> Callable[..., tuple[Array, ...]]:
    """The compiled program behind `described`."""
    _, options = host()
    t, w = rule(SEED_NODES)

    def one(theta: Array, shift: Array, design: Design, blurred: Array) -> tuple[Array, ...]:
        found = parts(shape, theta, design)
        spread = jnp.sqrt(found.seeds**2 + blurred * found.cells**2)
        logits = (found.eta + (found.cells * shift)[:, None])[..., None] + (spread * t)[None, None]
        success = found.ceiling * LINKS[shape.link](logits) @ w
        p = success[..., None]
        counts = p * jnp.exp(found.success) + (1 - p) * jnp.exp(found.failure)
        mean = found.one + (1 - found.one) * found.mean
        return success, mean, found.precision, counts

    def every(theta: Array, shift: Array, design: Design, blurred: Array) -> tuple[Array, ...]:
        return jax.lax.map(lambda pair: one(pair[0], pair[1], design, blurred), (theta, shift))

    return jax.jit(every, compiler_options=dict(options))


def described(
    shape: Shape, theta: Floats, design: Design, shift: Floats, blurred: bool
) -> tuple[Floats, ...]:
    """What the law says at G scales for every one of R parameters.

    Args:
        shape: of the law.
        theta: [R, P].
        design: of the G scales.
        shift: [R, G] cells' effects in units of sigma.
        blurred: whether the effect of a cell that is not known is integrated over.

    Returns:
        P(success) [R, G, L], means of the successes [R, G, L], precisions [R, G] and probabilities of counts
        [R, G, L, n + 1].
    """
    with float64():
        arguments = jax.device_put((theta, shift, design, float(blurred)), host()[0])
        return tuple(np.asarray(part) for part in describing(shape)(*arguments))


def predicted(
    shape: Shape,
    theta: Floats,
    replicates: Floats,
    design: Design,
    confidence: float,
    *,
    scale: Floats,
    lengths: Floats,
    diverged: Floats,
    key: int = 0,
) -> PredictedDistribution:
    """The distribution at scales that need not have been trained.

    A scale's own departure from the law, e_cell, is integrated over in the prediction, and drawn anew for
    every resample in its intervals and bands.

    Args:
        shape: of the law.
        theta: [P].
        replicates: [R, P].
        design: of the G scales.
        confidence: of intervals and bands.
        scale: [G, K], for the record.
        lengths: [L], for the record.
        diverged: [G], for the record.
        key: of the draws of e_cell.
    """
    G = len(scale)
    success, mean, precision, counts = described(shape, theta[None], design, np.zeros((1, G)), True)
    drawn = np.random.default_rng(key).standard_normal((len(replicates), G))
    again: Any = (np.empty((0, *part.shape[1:])) for part in (success, mean, precision, counts))
    if len(replicates):
        again = described(shape, replicates, design, drawn, False)
    success_R, mean_R, precision_R, counts_R = again
    low, high = simultaneous_band(np.cumsum(counts_R, axis=-1), confidence)
    return PredictedDistribution(
        scale=scale,
        lengths=lengths,
        trials=np.asarray(shape.trials),
        probability=counts[0],
        success=estimate(success[0], success_R, confidence),
        mean=estimate(mean[0], mean_R, confidence),
        precision=estimate(precision[0], precision_R, confidence),
        diverged=diverged,
        low=np.clip(low, 0, 1),
        high=np.clip(high, 0, 1),
    )


def simultaneous_band(replicates: Floats, confidence: float) -> tuple[Floats, Floats]:
    """The band that holds whole replicates with the confidence, for each scale.

    From ranks: a replicate is as extreme as its most extreme rank, over lengths and counts.

    Args:
        replicates: [R, G, L, n + 1] cumulative distributions.
        confidence: share of the replicates that lie wholly within.

    Returns:
        Lower and upper edges [G, L, n + 1]; NaN without replicates.

    References:
        Besag, Green, Higdon and Mengersen (1995), Stat. Sci. 10, section 6.3.
    """
    R = len(replicates)
    if R == 0:
        nothing = np.full(replicates.shape[1:], np.nan)
        return nothing, nothing
    ordered = np.sort(replicates, axis=0)
    # How many are clearly larger or smaller: replicates that agree to rounding are equally extreme.
    smaller = np.stack([np.sum(replicates < row - CLOSE, axis=0) for row in replicates])
    larger = np.stack([np.sum(replicates > row + CLOSE, axis=0) for row in replicates])
    extreme_RG = np.maximum(smaller, larger).max(axis=(-2, -1))
    place_G = np.sort(extreme_RG, axis=0)[min(int(np.ceil(confidence * R)), R) - 1]
    place = np.broadcast_to(place_G[:, None, None], ordered.shape[1:])[None]
    low, high = (np.take_along_axis(ordered, at, axis=0)[0] for at in (R - 1 - place, place))
    return low, high


@functools.cache
def scoring(shape: Shape) -> Callable[..., Array]:
    """The compiled program behind `log_scores`."""
    _, options = host()

    def rows(theta: Array, design: Design, counts: Array) -> Array:
        found = parts(shape, theta, design)
        spread = jnp.sqrt(found.seeds**2 + found.cells**2)
        return seed_log_likelihoods(shape, found, counts, jnp.zeros((len(counts), 1)), spread)[..., 0]

    return jax.jit(rows, compiler_options=dict(options))


def log_scores(shape: Shape, theta: Floats, design: Design, counts: NDArray[np.int64]) -> Floats:
    """[C, M] log probability of each row's counts on all tests together, at cells that were not fitted."""
    with float64():
        return np.asarray(scoring(shape)(*jax.device_put((theta, design, counts), host()[0])))
