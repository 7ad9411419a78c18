"""Peaks and valleys of a fitted population: does it have two sides, and where is the cut?"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .component_families import Family
from .mixture_likelihood import Fits, log_parts
from .observations import Array, Points
from .selection import Selection

GRID = 401


@dataclass(frozen=True)
class Sides:
    """Peaks and valleys of one fit, and the share of resamples that have them.

    Attributes:
        modes: scores of the peaks of the components' density.
        antimodes: scores of the valleys between them.
        valley: density at the deepest valley over that at the lower adjacent peak.
        cut: score of the deepest valley when atoms count as peaks; NaN if there is none.
        valley_share: share of resamples with a valley; 1 without resamples.
        cut_share: the same when atoms count as peaks.
    """

    modes: tuple[float, ...]
    antimodes: tuple[float, ...]
    valley: float
    cut: float
    valley_share: float
    cut_share: float


def sides(selection: Selection, replicates: Fits | None, depth: float) -> Sides:
    """Looks for valleys at least `depth` deep in the fit and in those of R resamples."""
    grid = _grid(selection.family, selection.data)
    heights = _densities(selection, selection.fit, grid)
    scores = grid.scores[0]
    if selection.fit.theta.shape[1] == 0:
        both = len(selection.atoms) == 2
        return Sides((), (), 1.0, 0.5 if both else float("nan"), 0.0, float(both))
    valley, _ = deepest_valley(heights)
    split, place = deepest_valley(heights, _walls(selection, selection.fit))
    tops, bottoms = peaks(heights[0], depth)
    shares = (1.0, 1.0)
    if replicates is not None:
        heights = _densities(selection, replicates, grid)
        found = deepest_valley(heights)[0], deepest_valley(heights, _walls(selection, replicates))[0]
        shares = (float(np.mean(found[0] <= 1 - depth)), float(np.mean(found[1] <= 1 - depth)))
    return Sides(
        modes=tuple(float(scores[top]) for top in tops),
        antimodes=tuple(float(scores[bottom]) for bottom in bottoms),
        valley=float(valley[0]),
        cut=float(scores[place[0]]) if split[0] <= 1 - depth else float("nan"),
        valley_share=shares[0],
        cut_share=shares[1],
    )


def above(selection: Selection, cut: float) -> Array:
    """[A + C] 1 for atoms and components above the cut, else 0."""
    means = selection.family.mean(selection.fit.theta[0])
    return (np.concatenate([np.array(selection.atoms), means]) > cut).astype(np.float64)


def _walls(selection: Selection, fits: Fits) -> Array:
    """[R, 2] whether a point mass of at least half a seed stands at 0 and at 1."""
    half = 0.5 / selection.data.counts.sum()
    walls = np.zeros((len(fits.logits), 2))
    for index, atom in enumerate(selection.atoms):
        walls[:, int(atom)] = fits.weights[:, index] > half
    return walls


def _densities(selection: Selection, fits: Fits, grid: Points) -> Array:
    """[R, G] density of the components on the grid."""
    if fits.theta.shape[1] == 0:
        return np.zeros((len(fits.theta), grid.x.shape[1]))
    joint, _ = log_parts(selection.family, grid, selection.atoms, fits.logits, fits.theta)
    heights = np.exp(joint[:, len(selection.atoms) :]).sum(axis=1)
    if fits.theta.shape[1] > 1:
        return heights
    # One component has one peak: the slight bowl that its family allows is filled up to its lower rim.
    return np.maximum(heights, np.minimum(heights[:, :1], heights[:, -1:]))


def _grid(family: Family, data: Points) -> Points:
    if data.n is not None:
        n = data.n.max()
        k = np.unique(np.round(np.linspace(0, n, min(int(n) + 1, GRID)))).astype(np.float64)
        return Points(k[None], np.full((1, len(k)), n), np.ones((1, len(k))))
    if family.name == "beta":
        x = (np.arange(GRID) + 0.5) / GRID
    else:
        x = np.linspace(data.x.min(), data.x.max(), GRID)
    return Points(x[None], None, np.ones((1, GRID)))


def deepest_valley(heights: Array, walls: Array | None = None) -> tuple[Array, NDArray[np.int64]]:
    """How low a curve falls between two of its peaks.

    At each place: the height over the lower of the highest peaks to its left and right, itself included. The
    least of these ratios is 1 for a curve of one peak, and r if a valley falls to r times the lower adjacent
    peak.

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
    # A flat valley (one that underflows to zero) is placed at the middle of its floor.
    lowest = ratio <= ratio.min(axis=-1, keepdims=True)
    first = lowest.argmax(axis=-1)
    left_floor = ~lowest & (np.arange(lowest.shape[1]) > first[:, None])
    end = np.where(left_floor.any(axis=-1), left_floor.argmax(axis=-1), lowest.shape[1])
    return ratio.min(axis=-1), (first + end - 1) // 2


def peaks(heights: Array, depth: float) -> tuple[list[int], list[int]]:
    """Peaks of one curve [G] separated by valleys at least `depth` deep, and these valleys, left to right."""
    ratio, valley = (found[0] for found in deepest_valley(heights[None]))
    if ratio > 1 - depth:
        return [int(heights.argmax())], []
    (before, lower), (after, upper) = peaks(heights[: valley + 1], depth), peaks(heights[valley:], depth)
    valley = int(valley)
    return [*before, *(valley + p for p in after)], [*lower, valley, *(valley + v for v in upper)]
