"""Predicts the pass rate of a larger model on items that no small model passes, from the answer loss."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from jaxemerge.brief import brief

from ..estimates.arguments import check_at_least, check_confidence
from ..estimates.interval import Estimate
from ..estimates.resampling import generator, percentile_interval
from .counts import Pair, read_arrays
from .growth_curves import HIGHEST, LAW, LOWEST, Array, Counts, axis_of, best_line, fit


@brief
@dataclass(frozen=True)
class LossPrediction:
    """Pass rates of I items at M scales, predicted from their answer loss.

    Attributes:
        rate: [I, M] predicted P(pass).
        loss: [I, M] predicted answer loss, by a power law of each item.
        slope: of F = ln(-ln P) against ln(loss) over the items with passes; 1 where the only way to pass is
            the reference answer, as then P = exp(-loss).
        intercept: F at a loss of 1.
    """

    rate: Estimate
    loss: Array
    slope: Estimate
    intercept: Estimate

    def rate_at(self, loss: ArrayLike) -> Array:
        """P(pass) at a loss, by the relation fitted over the items."""
        f = float(self.intercept.value) + float(self.slope.value) * np.log(np.asarray(loss, np.float64))
        return np.exp(-np.exp(np.clip(f, LOWEST, HIGHEST)))


def predict_from_loss(
    parameters: ArrayLike,
    losses: ArrayLike,
    counts: Pair,
    at: ArrayLike,
    *,
    confidence: float = 0.95,
    bootstraps: int = 200,
    key: Any = 0,
) -> LossPrediction:
    """Predicts pass rates from the answer loss, which can be measured where no sample passes.

    The loss of every item follows a power law, ln(loss) = u - v ln N, fitted by least squares and
    extrapolated to the new scales. On the items with passes F = ln(-ln P) is a straight line in ln(loss),
    fitted by the likelihood of their counts at all scales together. Together they give the rate.

    Intervals are percentiles of bootstraps: the items with passes are drawn with replacement, and the loss
    laws vary by their standard errors, if three or more scales determine these.

    Args:
        parameters: [N] numbers of parameters.
        losses: [I, N] positive answer losses in nats, per token or per answer.
        counts: passes and samples, [I, N] each.
        at: [M] scales to predict.
        confidence: probability in (0, 1).
        bootstraps: number of them, at least 1.
        key: int or JAX key.

    Returns:
        LossPrediction for all items, those with passes too.

    Raises:
        ValueError: if shapes do not fit, losses are not positive, or no item has a pass.

    References:
        Hu et al. (2023), arXiv 2310.03262, section 5 (loss-assisted instance-level fit).
    """
    check_confidence(confidence)
    check_at_least(1, bootstraps=bootstraps)
    scales, places = np.asarray(parameters, np.float64), np.atleast_1d(np.asarray(at, np.float64))
    axis = axis_of(scales)
    passes, samples = read_arrays(None, counts, len(scales), axes=2)
    loss = np.asarray(losses, np.float64)
    if loss.shape != passes.shape or not np.all(np.isfinite(loss) & (loss > 0)):
        raise ValueError(f"losses of shape {loss.shape} must be positive numbers of shape {passes.shape}")
    easy = np.any(passes > 0, axis=1)
    if not easy.any():
        raise ValueError("no item has a pass: the relation of loss and rate cannot be fitted")
    rng = generator(key)
    value, moved = _losses(np.log(loss), axis.z, axis.place(places), bootstraps, rng)
    line, lines = _relations(loss[easy], passes[easy], samples[easy], bootstraps, rng)
    rate, rates = (_rate(theta, logs) for theta, logs in ((line, value), (lines[:, None, None], moved)))
    # A law of F = a + b ln(loss): intercept a, slope b.
    parts = [Estimate(float(line[i]), percentile_interval(lines[:, i], confidence)) for i in (0, 1)]
    return LossPrediction(
        rate=Estimate(rate, percentile_interval(rates, confidence)),
        loss=np.exp(value),
        slope=parts[1],
        intercept=parts[0],
    )


def _losses(
    logs: Array, z: Array, at: Array, resamples: int, rng: np.random.Generator
) -> tuple[Array, Array]:
    """ln(loss) of all items at new places, [I, M], and [R, I, M] of it moved by its standard errors."""
    design, new = (np.stack([np.ones_like(a), a], axis=1) for a in (z, at))
    fit, *_ = np.linalg.lstsq(design, logs.T, rcond=None)
    free = len(z) - 2
    residual = logs - (design @ fit).T
    variance = (residual**2).sum(axis=1) / free if free > 0 else np.zeros(len(logs))
    root = np.linalg.cholesky(np.linalg.inv(design.T @ design))
    noise = np.einsum("mp,pq,riq->rim", new, root, rng.standard_normal((resamples, len(logs), 2)))
    value = (new @ fit).T
    return value, value + noise * np.sqrt(variance)[:, None]


def _relations(
    loss: Array, passes: Array, samples: Array, resamples: int, rng: np.random.Generator
) -> tuple[Array, Array]:
    """Intercept and slope in ln(loss) [2] of all items, and [R, 2] of items drawn with replacement."""
    axis = axis_of(1 / loss.ravel())
    line, _ = best_line(Counts(passes.reshape(1, -1), samples.reshape(1, -1)), axis)
    times = rng.multinomial(len(loss), np.full(len(loss), 1 / len(loss)), size=resamples)
    weight = np.repeat(times, loss.shape[1], axis=1).astype(np.float64)
    drawn = Counts(weight * passes.ravel(), weight * samples.ravel())
    lines, _ = fit(LAW, drawn, axis, np.repeat(line, resamples, axis=0))

    def natural(theta: Array) -> Array:
        slope = theta[..., 1] / axis.unit
        return np.stack([theta[..., 0] + slope * axis.centre, slope], axis=-1)

    return natural(line[0]), natural(lines)


def _rate(theta: Array, logs: Array) -> Array:
    f = theta[..., 0] + theta[..., 1] * logs
    return np.exp(-np.exp(np.clip(f, LOWEST, HIGHEST)))
