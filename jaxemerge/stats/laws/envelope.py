"""The envelope of training curves: the first approach of Hoffmann et al. to compute-optimal sizes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.interpolate import PchipInterpolator

from jaxemerge.brief import brief

from ..estimates.arguments import check_at_least, check_confidence
from ..estimates.resampling import generator
from .frontier import FLOPS_PER_PARAMETER_AND_TOKEN as SIX
from .frontier import ComputeOptimal, frontier
from .runs import columns, degrees_of_freedom, resampled_weights, scale_of

Floats = NDArray[np.float64]

GRID = 200  # FLOP counts between the first and the last


@brief
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
        law: the compute-optimal frontier fitted to `best_at`; its tokens are C / (6 N_opt).
        sizes: [K] model sizes that are at some point better than both neighbours.
        best_at: [K] FLOPs at which each of them is.
        flops: [G] FLOP counts at which the best size is an interior one.
        parameters: [G] the best size.
        loss: [G] its loss.
    """

    law: ComputeOptimal
    sizes: Floats
    best_at: Floats
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
    """Fits power laws to the model size with the lowest loss against FLOPs so far, 6 N D.

    Curves are interpolated in ln C and averaged over repeats (equal size and last token count). At each FLOP
    count the best size is the lowest point of the parabola in ln N through the lowest curve and its two
    neighbours in size.

    The law is a line of ln C on ln N, through the FLOPs at which each size is best between its neighbours.
    Regression of ln N on ln C, the usual reading of the envelope, underestimates the exponent: near both ends
    the best size is an interior one only where noise has moved it away from the smallest or largest size.

    If every size and horizon has repeats, the bootstrap resamples seeds within them. Otherwise it shifts
    whole curves by normal errors, of the size by which losses scatter about the cubic through neighbouring
    sizes. That needs five sizes; with four, intervals are NaN. Intervals are wider than percentiles by the
    ratio of Student's to normal quantiles, with the effective degrees of freedom of the exponent.

    Measured (benchmarks/coverage_laws.py), 300 data sets: 95 % intervals cover the exponent in 98.0 % with
    twelve sizes of one run and in 91.3 % with nine sizes of four seeds (94.9 % in 900 data sets more).

    Args:
        curves: one per run; at least four sizes. Runs of one size with different horizons count as one size;
            at each FLOP count the best horizon is taken.
        bootstraps: number of resamples for the intervals; 0 leaves them NaN.
        confidence: of the intervals, in (0, 1).
        key: int or JAX key of the bootstrap; None is 0.

    Returns:
        Envelope.

    Raises:
        ValueError: if a value is NaN or not positive, a curve has fewer than two points or tokens that do not
            ascend, there are fewer than four sizes, or fewer than two are ever best between their neighbours.

    References:
        Hoffmann et al. (2022), arXiv 2203.15556, section 3.1; Gasser, Sroka and Jennen-Steinmetz (1986),
        Biometrika 73, p. 625 (scatter about neighbours).
    """
    check_confidence(confidence)
    check_at_least(0, bootstraps=bootstraps)
    N, tokens, losses = _curves(curves)
    sizes = np.unique(N)
    if len(sizes) < 4:
        raise ValueError(f"curves of {len(sizes)} sizes; 4 or more are needed")
    ends = np.array([SIX * n * t[[0, -1]] for n, t in zip(N, tokens, strict=True)])
    C = np.geomspace(ends[:, 0].min(), ends[:, 1].max(), GRID)
    on_grid = np.stack([_interpolated(SIX * n * t, y, C) for n, t, y in zip(N, tokens, losses, strict=True)])
    group = scale_of(N, np.array([t[-1] for t in tokens]))
    size_of_group = np.array([N[group == g][0] for g in range(group.max() + 1)])
    log_C, x = np.log(C), np.log(sizes)
    centre = float(np.exp(np.mean(log_C)))

    every = np.ones(len(N))

    def table_of(runs: Floats, weights: Floats) -> Floats:
        return _table(runs, weights, group, size_of_group, sizes)

    table = table_of(on_grid, every)
    turns = _best_at(x, log_C, table)
    here = _line(x, turns, centre)
    if np.isnan(here[0]):
        raise ValueError(
            f"fewer than two sizes are ever best between their neighbours, from {C[0]:.3g} to {C[-1]:.3g} "
            "FLOPs; more sizes or longer curves are needed"
        )
    repeated = bool(np.bincount(group).min() >= 2)
    weights = resampled_weights(group, bootstraps, key) if repeated else np.ones((bootstraps, len(N)))
    scatter, degrees = (0.0, np.inf) if repeated else _scatter(x, table)
    levels = 1 + scatter * generator(0 if key is None else key).normal(size=weights.shape)
    tables = (table_of(on_grid * level[:, None], w) for level, w in zip(levels, weights, strict=True))
    again = np.array([_line(x, _best_at(x, log_C, t), centre) for t in tables]).reshape(bootstraps, 4)
    if repeated:
        degrees = degrees_of_freedom(again[:, 0], weights, group)
    law = frontier("envelope", here, again, centre, confidence, degrees)
    log_N, lowest = _best(x, table)
    inner, known = ~np.isnan(log_N), ~np.isnan(turns)
    return Envelope(
        law=law,
        sizes=sizes[known],
        best_at=np.exp(turns[known]),
        flops=C[inner],
        parameters=np.exp(log_N[inner]),
        loss=lowest[inner],
    )


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
    losses: Floats, weights: Floats, group: NDArray[np.int64], size_of_group: Floats, sizes: Floats
) -> Floats:
    """[sizes, G] the best horizon's mean over repeats; NaN where no curve reaches."""
    table = np.full((len(sizes), losses.shape[1]), np.inf)
    for g, size in enumerate(size_of_group):
        members = np.flatnonzero((group == g) & (weights > 0))
        if len(members):
            mean = weights[members] @ losses[members] / weights[members].sum()
            row = np.searchsorted(sizes, size)
            table[row] = np.fmin(table[row], mean)
    return np.where(np.isinf(table), np.nan, table)


def _best_at(x: Floats, log_C: Floats, table: Floats) -> Floats:
    """[sizes] ln C at which each size is best between its neighbours; NaN if that does not happen.

    There the parabola in ln N through the three of them has its lowest point at the size. Before, a larger
    model is worse; where noise makes that change more than once, the time before is added up.
    """
    found = np.full(len(x), np.nan)
    present = np.flatnonzero(~np.isnan(table).all(axis=1))
    for left, middle, right in zip(present, present[1:], present[2:], strict=False):
        below, above = x[middle] - x[left], x[right] - x[middle]
        slope = below**2 * (table[right] - table[middle]) + above**2 * (table[middle] - table[left])
        known = ~np.isnan(slope)
        s, z = slope[known], log_C[known]
        if len(s) and s[0] > 0 > s[-1]:
            up, size = np.maximum(s, 0), np.maximum(np.abs(s), 1e-300)
            found[middle] = z[0] + np.sum(np.diff(z) * (up[1:] + up[:-1]) / (size[1:] + size[:-1]))
    return found


def _line(x: Floats, turns: Floats, centre: float) -> Floats:
    """[4] a, ln N_opt, b, ln D_opt at the centre, by least squares of ln C on ln N.

    NaN with fewer than two turns.
    """
    known = ~np.isnan(turns)
    if known.sum() < 2:
        return np.full(4, np.nan)
    slope, at_one = np.polynomial.polynomial.polyfit(x[known], turns[known], 1)[::-1]
    log_N = (np.log(centre) - at_one) / slope
    return np.array([1 / slope, log_N, 1 - 1 / slope, np.log(centre / SIX) - log_N])


def _scatter(x: Floats, table: Floats) -> tuple[float, float]:
    """Relative scatter of single runs, and its degrees of freedom; NaN and 1 with fewer than five sizes.

    From how far a size's losses lie off the cubic in ln N through its four neighbours. Degrees of freedom are
    Satterthwaite's: neighbouring differences share runs.
    """
    rows, squares = [], []
    for first in range(len(x) - 4):
        row = np.zeros(len(x))
        row[first : first + 5] = _off_cubic(x[first : first + 5])
        off = row[first : first + 5] @ (table[first : first + 5] / table[first + 2])
        if not np.isnan(off).all():
            rows.append(row)
            squares.append(np.nanmean(off**2))
    if not rows:
        return float("nan"), 1.0
    overlap = np.array(rows) @ np.array(rows).T
    return float(np.sqrt(np.mean(squares))), float(np.trace(overlap) ** 2 / np.sum(overlap**2))


def _off_cubic(x: Floats) -> Floats:
    """[5] weights, their squares sum to 1: the middle of five values less the cubic through the others."""
    near = np.delete(x, 2) - x[2]
    others = [np.prod(np.delete(near, i) / (np.delete(near, i) - near[i])) for i in range(4)]
    weights = np.insert(-np.array(others), 2, 1.0)
    return weights / np.sqrt(np.sum(weights**2))


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
