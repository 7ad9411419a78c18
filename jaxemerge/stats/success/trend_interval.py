"""Which slopes do the runs of a trend leave possible, given that only seeds within cells are random?"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit

from ..estimates.interval import UNKNOWN, Interval, success_interval
from ..estimates.weighted_means import welch

Array = NDArray[np.float64]


class _Cells(NamedTuple):
    """Weight of each cell's mean in the slope, and number, mean and variance of its runs, [M] each."""

    weight: Array
    runs: Array
    mean: Array
    variance: Array


def trend_interval(strata: list[tuple[Array, Array]], slope: float, confidence: float) -> Interval:
    """The interval of the common slope of strata of scales and outcomes, see `trend_test`."""
    cells = _cells(strata)
    outcomes = np.concatenate([y for _, y in strata])
    if np.all((outcomes == 0) | (outcomes == 1)):
        return _of_shares(cells, slope, confidence)
    if cells.runs.max() > 1:
        error, degrees = welch(cells.weight, cells.runs, cells.variance)
    else:
        error, degrees = _about_lines(strata, slope)
    if not error > 0:
        return UNKNOWN
    half = float(stdtrit(degrees, (1 + confidence) / 2) * error)
    return Interval(slope - half, slope + half)


def _cells(strata: list[tuple[Array, Array]]) -> _Cells:
    rows = []
    for x, y in strata:
        for place in np.unique(x):
            own = y[x == place]
            spread = (own - own[0]).var(ddof=1) if len(own) > 1 else np.nan
            rows.append((len(own) * (place - x.mean()), len(own), own.mean(), spread))
    weight, runs, mean, variance = np.array(rows, np.float64).T
    spread = sum(float(np.sum((x - x.mean()) ** 2)) for x, _ in strata)
    return _Cells(weight / spread, runs, mean, variance)


def _of_shares(cells: _Cells, slope: float, confidence: float) -> Interval:
    """MOVER: the distances of the cells' own ends from their shares, added in squares."""
    own = success_interval(np.round(cells.mean * cells.runs), cells.runs, confidence)
    down, up = cells.mean - own.low, own.high - cells.mean
    rising = cells.weight > 0
    below = np.sum((cells.weight * np.where(rising, down, up)) ** 2)
    above = np.sum((cells.weight * np.where(rising, up, down)) ** 2)
    return Interval(float(slope - np.sqrt(below)), float(slope + np.sqrt(above)))


def _about_lines(strata: list[tuple[Array, Array]], slope: float) -> tuple[float, float]:
    """The same from residuals about lines of one slope, where no cell has two runs."""
    degrees = sum(len(x) for x, _ in strata) - len(strata) - 1
    if degrees < 1:
        return 0.0, 1.0
    away = [(x - x.mean(), y - y.mean()) for x, y in strata]
    left = sum(float(np.sum((y - slope * x) ** 2)) for x, y in away)
    return float(np.sqrt(left / degrees / sum(float(np.sum(x**2)) for x, _ in away))), float(degrees)
