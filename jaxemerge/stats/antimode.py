"""Does a curve have one peak or several? Peaks and the valleys between them, on a grid."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def deepest_valley(heights: Array, walls: tuple[bool, bool] = (False, False)) -> tuple[Array, NDArray[np.int64]]:
    """How low a curve falls between two of its peaks.

    At each place: the height over the lower of the highest peaks to its left and right, itself included. The
    least of these ratios is 1 for a curve of one peak, and r if a valley falls to r times the lower peak beside it.

    Args:
        heights: [R, G] curves, >= 0.
        walls: whether a point mass, higher than any density, stands at the left and at the right end.

    Returns:
        [R] ratios in [0, 1] and [R] where they are.
    """
    tallest = heights.max(axis=-1, keepdims=True)
    sides = [np.maximum.accumulate(heights, axis=-1), np.maximum.accumulate(heights[:, ::-1], axis=-1)[:, ::-1]]
    left, right = (np.maximum(side, 1e9 * tallest * wall) for side, wall in zip(sides, walls, strict=True))
    ratio = heights / np.maximum(np.minimum(left, right), np.finfo(np.float64).tiny)
    # A valley that underflows to nothing is flat: take its middle.
    lowest = ratio <= ratio.min(axis=-1, keepdims=True)
    first, last = lowest.argmax(axis=-1), heights.shape[1] - 1 - lowest[:, ::-1].argmax(axis=-1)
    return ratio.min(axis=-1), (first + last) // 2


def peaks(heights: Array, depth: float) -> tuple[list[int], list[int]]:
    """Peaks of one curve [G] that valleys at least `depth` deep separate, and those valleys, left to right."""
    ratio, valley = (found[0] for found in deepest_valley(heights[None]))
    if ratio > 1 - depth:
        return [int(heights.argmax())], []
    (before, lower), (after, upper) = peaks(heights[: valley + 1], depth), peaks(heights[valley:], depth)
    valley = int(valley)
    return [*before, *(valley + p for p in after)], [*lower, valley, *(valley + v for v in upper)]
