"""Where is the most populated place of a sample?"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

# Widths closer than this share of the sample's range are ties: k/n scores differ by rounding alone.
TIE = 1e-12


def half_sample_mode(values: ArrayLike) -> NDArray[np.float64]:
    """The half-sample mode along the last axis.

    Of n sorted points keep the ceil(n/2) neighbours that span the shortest interval, and repeat on those. Two
    points left: their mean. Three left: the mean of the closer pair, or the middle one if neither is closer.
    There is no bandwidth to choose, and a majority of equal values (a floor of zeros) is always the mode.
    Between equally short intervals the lowest wins, so a tie between failure and success reads as failure.

    Args:
        values: [..., S], finite, S >= 1.

    Returns:
        [...], one mode per sample.

    Raises:
        ValueError: if the last axis is empty.

    References:
        Bickel and Frühwirth (2006), Comput. Stat. Data Anal. 50, section 2 (the half-sample mode).
    """
    points = np.sort(np.atleast_1d(np.asarray(values, np.float64)), axis=-1)
    if points.shape[-1] == 0:
        raise ValueError(f"values of shape {points.shape} must have at least one value along the last axis")
    tolerance = TIE * (points[..., -1:] - points[..., :1])
    while points.shape[-1] > 3:
        points = _shortest_half(points, tolerance)
    return _mode_of_three(points, tolerance[..., 0]) if points.shape[-1] == 3 else points.mean(axis=-1)


def _shortest_half(points: NDArray[np.float64], tolerance: NDArray[np.float64]) -> NDArray[np.float64]:
    keep = -(-points.shape[-1] // 2)
    widths = points[..., keep - 1 :] - points[..., : points.shape[-1] - keep + 1]
    first = np.argmax(widths <= widths.min(axis=-1, keepdims=True) + tolerance, axis=-1)
    return np.take_along_axis(points, first[..., None] + np.arange(keep), axis=-1)


def _mode_of_three(points: NDArray[np.float64], tolerance: NDArray[np.float64]) -> NDArray[np.float64]:
    low, middle, high = np.moveaxis(points, -1, 0)
    lead = (high - middle) - (middle - low)
    closer = np.where(lead > tolerance, (low + middle) / 2, (middle + high) / 2)
    return np.where(np.abs(lead) <= tolerance, middle, closer)
