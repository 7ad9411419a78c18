"""Does a curve have one peak or several? Peaks and the valleys between them, on a grid."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def deepest_valley(heights: Array, walls: Array | None = None) -> tuple[Array, NDArray[np.int64]]:
    """How low a curve falls between two of its peaks.

    At each place: the height over the lower of the highest peaks to its left and right, itself included. The
    least of these ratios is 1 for a curve of one peak, and r if a valley falls to r times the lower peak
    beside it.

    Args:
        heights: [R, G] curves, >= 0.
        walls: [R, 2] 1 where a point mass, higher than any density, stands at the left or right end, else 0.

    Returns:
        [R] ratios in [0, 1] and [R] where they are.
    """
    tallest = heights.max(axis=-1, keepdims=True)
    sides = [
        np.maximum.accumulate(heights, axis=-1),
        np.maximum.accumulate(heights[:, ::-1], axis=-1)[:, ::-1],
    ]
    walls = np.zeros((len(heights), 2)) if walls is None else walls
    left, right = (np.maximum(side, 1e9 * tallest * walls[:, end, None]) for end, side in enumerate(sides))
    lower = np.minimum(left, right)
    ratio = np.divide(heights, lower, out=np.ones(heights.shape), where=lower > 0)
    # A flat valley (one that underflows to nothing) is where the middle of its floor is.
    lowest = ratio <= ratio.min(axis=-1, keepdims=True)
    first = lowest.argmax(axis=-1)
    left_floor = ~lowest & (np.arange(lowest.shape[1]) > first[:, None])
    end = np.where(left_floor.any(axis=-1), left_floor.argmax(axis=-1), lowest.shape[1])
    return ratio.min(axis=-1), (first + end - 1) // 2


def peaks(heights: Array, depth: float) -> tuple[list[int], list[int]]:
    """Peaks of one curve [G] that valleys at least `depth` deep part, and those valleys, left to right."""
    ratio, valley = (found[0] for found in deepest_valley(heights[None]))
    if ratio > 1 - depth:
        return [int(heights.argmax())], []
    (before, lower), (after, upper) = peaks(heights[: valley + 1], depth), peaks(heights[valley:], depth)
    valley = int(valley)
    return [*before, *(valley + p for p in after)], [*lower, valley, *(valley + v for v in upper)]
