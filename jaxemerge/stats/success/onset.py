"""At what scale does a property of populations, such as two-sidedness, first reach a level?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from jaxemerge.brief import brief

from ..estimates.arguments import as_outcomes, check_confidence, one_per_scale
from ..estimates.interval import UNKNOWN, Estimate, Interval, success_interval
from .logistic import Direction
from .monotone import isotonic_success

Array = NDArray[np.float64]


@brief
@dataclass(frozen=True)
class Onset:
    """Where a property of populations first reaches a level.

    Attributes:
        scale: [N] scales in ascending order.
        strength: [N] strength of the property at each scale.
        level: what the strength has to reach.
        onset: the scale where it first does; 0 if at the smallest scale already, inf if at none.
        direction: "rises" if "first" is meant from small to large scales, "falls" if from large to small:
            then inf means at the largest scale already, and 0 at none.
    """

    scale: NDArray[np.float64]
    strength: NDArray[np.float64]
    level: float
    onset: Estimate
    direction: str


def onset(
    scale: ArrayLike, strength: ArrayLike, level: float, *, direction: Literal["rises", "falls"] = "rises"
) -> NDArray[np.float64]:
    """The scale at which a curve first reaches a level.

    Between the last scale below the level and the first one at or above it, the curve is interpolated
    linearly in the logarithm of scale. Later values are ignored: a population that becomes two-sided often
    becomes one-sided again.

    Args:
        scale: [N] positive, ascending.
        strength: [..., N] any strength of anything against scale: P(success), a share, the depth of an
            antimode. Booleans and `level=1` give the first scale that is True (halfway cases do not arise).
            NaN marks a scale without information, which is skipped.
        level: what the strength has to reach.
        direction: "falls" searches from the largest scale downwards.

    Returns:
        [...] scale; 0 if the smallest informative scale is at the level already (the onset lies below), inf
        if none reaches it (the onset, if any, lies above). With "falls", inf if the largest is, 0 if none.

    Raises:
        ValueError: if `scale` is not positive and ascending, does not fit `strength`, `level` is NaN, or the
            direction is none.
    """
    if direction not in ("rises", "falls"):
        raise ValueError(f"direction={direction!r} must be 'rises' or 'falls'")
    scale_N, curve = _ascending(scale), np.asarray(strength, np.float64)
    if curve.ndim == 0 or curve.shape[-1] != len(scale_N):
        raise ValueError(f"strength of shape {curve.shape} does not fit {len(scale_N)} scales")
    if np.isnan(level):
        raise ValueError("level=nan must be a number")
    logs, sign = np.log(scale_N), 1.0
    if direction == "falls":
        logs, curve, sign = -logs[::-1], curve[..., ::-1], -1.0
    rows = [_first_crossing(logs, row, level) for row in curve.reshape(-1, len(scale_N))]
    return np.exp(sign * np.array(rows, np.float64)).reshape(curve.shape[:-1])


def two_sidedness(values: ArrayLike, near_zero: float = 0.1, high: float = 0.3) -> NDArray[np.float64]:
    """The smaller of two shares of runs: those that fail and those that do not.

        min(#{s: y_s < near_zero}, #{s: y_s > high}) / S

    It is 0 where all runs are on one side and at most 1/2. It measures whether both outcomes occur, not
    whether there is an antimode between them: uniform scores have min(near_zero, 1 - high).

    Args:
        values: [..., S] scores; NaN is a diverged run, which fails.
        near_zero: a run below this has failed.
        high: a run above this has not.

    Returns:
        [...]; NaN for an empty population.

    Raises:
        ValueError: if near_zero > high, or a value is infinite.
    """
    if not near_zero <= high:
        raise ValueError(f"near_zero={near_zero}, high={high}: near_zero <= high must hold")
    scores = as_outcomes(values, failure=-1.0)
    if scores.shape[-1] == 0:
        return np.full(scores.shape[:-1], np.nan)
    return np.minimum((scores < near_zero).mean(axis=-1), (scores > high).mean(axis=-1))


def two_sided_onset(
    scale: ArrayLike,
    populations: Sequence[ArrayLike],
    level: float = 0.1,
    *,
    near_zero: float = 0.1,
    high: float = 0.3,
    direction: Direction = "either",
    confidence: float = 0.95,
) -> Onset:
    """The scale from which on runs of one population end on both sides, with an interval over seeds.

    The onset is where `two_sidedness`, straight between scales on a logarithmic axis, first reaches `level`:
    with the defaults, where at least a tenth of the seeds fail while another tenth does not.

    Both shares of every population have the interval of `success_interval`. The onset lies between those of
    the curves through the upper and the lower ends: 0 reads "at or below the smallest scale", inf "above the
    largest scale tried, if at all".

    Conservative: the 95 % interval covered in all of 60 data sets (benchmarks/coverage_of_means.py) with 3, 5
    and 16 seeds at each of five scales.

    Args:
        scale: [N] positive, ascending.
        populations: N samples [S_i] of scores in order of scale; NaN is a diverged run.
        level: strength to reach.
        near_zero: a run below this has failed.
        high: a run above this has not.
        direction: of success; by default the more likely one of the share above `high`.
        confidence: probability in (0, 1).

    Returns:
        Onset. Empty populations are skipped; if all are empty, the onset is inf and its interval NaN.

    Raises:
        ValueError: if scales and populations do not fit, or an argument is out of its range.
    """
    check_confidence(confidence)
    scale_N = _ascending(scale)
    samples = [as_outcomes(sample, failure=-1.0) for sample in one_per_scale(scale_N, populations)]
    found = np.array([two_sidedness(sample, near_zero, high) for sample in samples])
    seeds = np.array([len(sample) for sample in samples])
    sides = ([np.sum(s < near_zero) for s in samples], [np.sum(s > high) for s in samples])
    way = isotonic_success(scale_N, sides[1], seeds, direction=direction, resamples=1).direction
    value = float(onset(scale_N, found, level, direction=way))
    if not seeds.any():
        return Onset(scale_N, found, level, Estimate(value, UNKNOWN), way)
    ends = [success_interval(side, seeds, confidence) for side in sides]
    most, least = (
        np.where(seeds > 0, np.minimum(*(getattr(end, name) for end in ends)), np.nan)
        for name in ("high", "low")
    )
    bounds = sorted(float(onset(scale_N, side, level, direction=way)) for side in (most, least))
    return Onset(scale_N, found, level, Estimate(value, Interval(*bounds)), way)


def _first_crossing(log_scale: NDArray[np.float64], curve: NDArray[np.float64], level: float) -> float:
    known = ~np.isnan(curve)
    x, y = log_scale[known], curve[known]
    reached = np.flatnonzero(y >= level)
    if len(reached) == 0:
        return np.inf
    after = int(reached[0])
    if after == 0:
        return -np.inf
    way = (level - y[after - 1]) / (y[after] - y[after - 1])
    return float(x[after - 1] + way * (x[after] - x[after - 1]))


def _ascending(scale: ArrayLike) -> NDArray[np.float64]:
    scale_N = np.asarray(scale, np.float64)
    positive = scale_N.ndim == 1 and len(scale_N) > 0 and np.all(np.isfinite(scale_N) & (scale_N > 0))
    if not (positive and np.all(np.diff(scale_N) > 0)):
        raise ValueError(f"scale={scale_N.tolist()} must be positive numbers in ascending order")
    return scale_N
