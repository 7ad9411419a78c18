"""Which model size is best at each point of training? Hoffmann's first approach, the envelope of curves."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.interpolate import PchipInterpolator

from .frontier import FLOPS_PER_PARAMETER_AND_TOKEN as SIX
from .frontier import ComputeOptimal, frontier, line
from .interval import check_confidence
from .runs import columns, resampled_weights, scale_of

Floats = NDArray[np.float64]

GRID = 200  # FLOP counts between the first and the last


@dataclass(frozen=True)
class TrainingCurve:
    """The loss of one run along its training.

    Attributes:
        parameters: N of the model.
        tokens: [T] seen so far, ascending.
        loss: [T] there, smoothed if it is a training loss.
    """

    parameters: float
    tokens: ArrayLike
    loss: ArrayLike


@dataclass(frozen=True)
class Envelope:
    """The lowest loss that any model reaches for given FLOPs, and the size that reaches it.

    Attributes:
        law: the compute-optimal frontier fitted to it; its tokens are C / (6 N_opt).
        flops: [G] FLOP counts at which the best size lies between sizes tried.
        parameters: [G] the best size.
        loss: [G] its loss.
    """

    law: ComputeOptimal
    flops: Floats
    parameters: Floats
    loss: Floats


def fit_envelope(
    curves: Sequence[TrainingCurve],
    *,
    bootstraps: int = 0,
    confidence: float = 0.95,
    key: Any = None,
) -> Envelope:
    """Fits power laws to the model size of the lowest loss against FLOPs so far, 6 N D.

    Curves are interpolated in ln C and averaged over repeats (equal size and last token count). At each FLOP
    count the best size is the lowest point of the parabola in ln N through the lowest curve and its two
    neighbours in size; counts at which the smallest or the largest model is best are left out.

    Measured (benchmarks/coverage_laws.py), 300 data sets: 95 % intervals cover the exponent in 96.3 % with
    twelve sizes of one run, but only in 82.7 % with nine sizes of four seeds: there it is too narrow.

    Args:
        curves: one per run; at least three sizes. Runs of one size with other horizons count as one size, of
            which the best horizon is taken at each FLOP count.
        bootstraps: number of resamples for the intervals; 0 leaves them NaN. If every size and horizon has
            repeats, seeds are resampled within them; otherwise whole curves are drawn.
        confidence: of the percentile intervals, in (0, 1).
        key: int or JAX key of the bootstrap; None is 0.

    Returns:
        Envelope.

    Raises:
        ValueError: if a value is NaN or not positive, a curve has fewer than two points or tokens that do not
            ascend, or no FLOP count has its best size between others.

    References:
        Hoffmann et al. (2022), arXiv 2203.15556, section 3.1.
    """
    check_confidence(confidence)
    N, tokens, losses = _curves(curves)
    sizes = np.unique(N)
    if len(sizes) < 3:
        raise ValueError(f"curves of {len(sizes)} sizes; 3 or more are needed")
    ends = np.array([SIX * n * t[[0, -1]] for n, t in zip(N, tokens, strict=True)])
    C = np.geomspace(ends[:, 0].min(), ends[:, 1].max(), GRID)
    heights = np.stack([_interpolated(SIX * n * t, y, C) for n, t, y in zip(N, tokens, losses, strict=True)])
    group = scale_of(N, np.array([t[-1] for t in tokens]))
    size_of_group = np.array([N[group == g][0] for g in range(group.max() + 1)])
    centre = float(np.exp(np.mean(np.log(C))))

    def exponents(weights: Floats) -> tuple[Floats, Floats, Floats]:
        table = _table(heights, weights, group, size_of_group, sizes)
        log_N, lowest = _best(np.log(sizes), table)
        return line(log_N[None], C, centre)[0], log_N, lowest

    here, log_N, lowest = exponents(np.ones(len(N)))
    if np.isnan(here[0]):
        raise ValueError(
            f"no two FLOP counts from {C[0]:.3g} to {C[-1]:.3g} have their best size between others; "
            "more sizes or longer curves are needed"
        )
    weights = resampled_weights(group, bootstraps, key)
    again = np.array([exponents(w)[0] for w in weights]).reshape(bootstraps, 4)
    inner = ~np.isnan(log_N)
    law = frontier("envelope", here, again, centre, confidence)
    return Envelope(law, C[inner], np.exp(log_N[inner]), lowest[inner])


def _curves(curves: Sequence[TrainingCurve]) -> tuple[Floats, list[Floats], list[Floats]]:
    if len(curves) == 0:
        raise ValueError("curves of 0 runs; 3 or more are needed")
    (N,) = columns(parameters=[curve.parameters for curve in curves])
    pairs = [columns(tokens=curve.tokens, loss=curve.loss) for curve in curves]
    for n, (tokens, _) in zip(N, pairs, strict=True):
        if len(tokens) < 2 or np.any(np.diff(tokens) <= 0):
            raise ValueError(f"tokens of a run of {n:g} parameters must ascend, at two points or more")
    return N, [tokens for tokens, _ in pairs], [loss for _, loss in pairs]


def _interpolated(flops: Floats, loss: Floats, at: Floats) -> Floats:
    """Loss at FLOP counts; NaN outside the curve."""
    return PchipInterpolator(np.log(flops), loss, extrapolate=False)(np.log(at))


def _table(
    heights: Floats, weights: Floats, group: NDArray[np.int64], size_of_group: Floats, sizes: Floats
) -> Floats:
    """[sizes, G] the best horizon's mean over repeats; NaN where no curve reaches."""
    table = np.full((len(sizes), heights.shape[1]), np.inf)
    for g, size in enumerate(size_of_group):
        members = np.flatnonzero((group == g) & (weights > 0))
        if len(members):
            mean = weights[members] @ heights[members] / weights[members].sum()
            row = np.searchsorted(sizes, size)
            table[row] = np.fmin(table[row], mean)
    return np.where(np.isinf(table), np.nan, table)


def _best(log_sizes: Floats, table: Floats) -> Floats:
    """[2, G] ln N of the lowest loss and the loss; NaN where an end is lowest or a neighbour is missing."""
    present = ~np.isnan(table).all(axis=1)
    x, y = log_sizes[present], table[present]
    if len(x) < 3:
        return np.full((2, table.shape[1]), np.nan)
    low = np.argmin(np.where(np.isnan(y), np.inf, y), axis=0)
    inner = np.clip(low, 1, len(x) - 2)
    left, middle, right = (x[inner + k] for k in (-1, 0, 1))
    high, bottom, other = (y[inner + k, np.arange(y.shape[1])] for k in (-1, 0, 1))
    rise, fall = (other - bottom) / (right - middle), (bottom - high) / (middle - left)
    with np.errstate(invalid="ignore", divide="ignore"):
        curvature = (rise - fall) / (right - left)
        slope = fall + curvature * (middle - left)
        at = -slope / (2 * curvature)
        known = (low == inner) & (curvature > 0)
        return np.where(known, [middle + at, bottom + slope * at / 2], np.nan)
