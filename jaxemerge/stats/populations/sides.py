"""Peaks and valleys of a fitted population: where could its two sides be divided?"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .component_families import Family
from .mixture_likelihood import Fits, log_parts
from .observations import Array, Points
from .selection import SIDE, Selection, refits

GRID = 401
# A valley this low is empty.
EMPTY = 1e-3


@dataclass(frozen=True)
class Sides:
    """Peaks and valleys of one fit; a valley has at least `SIDE` seeds on either side.

    Attributes:
        modes: scores of the peaks of the components' density.
        antimodes: scores of the valleys between them.
        valley: density at the deepest valley over that at the lower adjacent peak.
        cut: score of the deepest valley when atoms count as peaks; NaN if there is none.
    """

    modes: tuple[float, ...]
    antimodes: tuple[float, ...]
    valley: float
    cut: float


@dataclass(frozen=True)
class ResampledSides:
    """The same of R resamples of the seeds, each with the fit of its own least BIC.

    Attributes:
        valley_share: share of resamples with a valley in the components' density.
        cut_share: the same when atoms count as peaks.
        success: [R] share above the resample's own cut; NaN where it has none.
    """

    valley_share: float
    cut_share: float
    success: Array


def sides(selection: Selection, depth: float) -> Sides:
    """Looks for valleys at least `depth` deep in the fit."""
    if selection.fit.theta.shape[1] == 0:
        return Sides((), (), 1.0, _between_atoms(selection))
    grid = _grid(selection.family, selection.data)
    scores, heights = grid.scores[0], _densities(selection, selection.fit, grid)
    between = _seeds_below(selection, scores, atoms=False)
    valley, _ = deepest_valley(heights, allowed=_divides(between))
    split, place = _cuts(selection, selection.fit, scores, heights)
    tops, bottoms = peaks(heights[0], depth, between)
    return Sides(
        modes=tuple(float(scores[top]) for top in tops),
        antimodes=tuple(float(scores[bottom]) for bottom in bottoms),
        valley=float(valley[0]),
        cut=float(scores[place[0]]) if split[0] <= 1 - depth else float("nan"),
    )


def resampled_sides(selection: Selection, counts_RB: Array, depth: float) -> ResampledSides:
    """Fits every rival to R resamples, takes each one's least BIC, and looks for its valleys and its cut.

    So the choices of the number of components, of the atoms and of the cut are made anew in every resample.
    """
    fits = [refits(selection, rival, counts_RB) for rival in selection.rivals]
    penalty = np.log(selection.data.counts.sum())
    bic = [
        -2 * f.log_likelihood + penalty * r.parameters for f, r in zip(fits, selection.rivals, strict=True)
    ]
    chosen = np.argmin(bic, axis=0)
    valley, split = np.ones(len(counts_RB)), np.ones(len(counts_RB))
    success = np.full(len(counts_RB), np.nan)
    grid = _grid(selection.family, selection.data)
    for index, (rival, found) in enumerate(zip(selection.rivals, fits, strict=True)):
        rows = np.flatnonzero(chosen == index)
        if len(rows):
            own, fit = selection.like(rival, found), found.rows(rows)
            valley[rows], split[rows], success[rows] = _of_rows(own, fit, grid, depth)
    return ResampledSides(float(np.mean(valley <= 1 - depth)), float(np.mean(split <= 1 - depth)), success)


def _of_rows(selection: Selection, fits: Fits, grid: Points, depth: float) -> tuple[Array, Array, Array]:
    """[R] components' valley, valley with atoms as peaks, and share above it, of fits of one form."""
    if fits.theta.shape[1] == 0:
        middle = np.full(len(fits.logits), _between_atoms(selection))
        return np.ones(len(middle)), np.isnan(middle) * 1.0, share_above(selection, fits, middle)
    scores, heights = grid.scores[0], _densities(selection, fits, grid)
    valley, _ = deepest_valley(heights, allowed=_divides(_seeds_below(selection, scores, atoms=False)))
    split, place = _cuts(selection, fits, scores, heights)
    cut = np.where(split <= 1 - depth, scores[place], np.nan)
    return valley, split, share_above(selection, fits, cut)


def share_above(selection: Selection, fits: Fits, cut_R: Array) -> Array:
    """[R] weight of the atoms and components above a cut; NaN where the cut is."""
    means = selection.family.mean(fits.theta)
    places = np.concatenate([np.tile(selection.atoms, (len(means), 1)), means], axis=1)
    share = (fits.weights * (places > cut_R[:, None])).sum(axis=1)
    return np.where(np.isnan(cut_R), np.nan, share)


def _between_atoms(selection: Selection) -> float:
    """A cut half way between two atoms that hold enough seeds, NaN without these."""
    data = selection.data
    held = [data.counts[0, data.scores[0] == atom].sum() >= SIDE for atom in selection.atoms]
    return 0.5 if held == [True, True] else float("nan")


def _cuts(selection: Selection, fits: Fits, scores: Array, heights: Array) -> tuple[Array, NDArray[np.int64]]:
    """`deepest_valley` when atoms count as peaks."""
    allowed = _divides(_seeds_below(selection, scores, atoms=True))
    return deepest_valley(heights, _walls(selection, fits), allowed)


def _seeds_below(selection: Selection, scores: Array, *, atoms: bool) -> Array:
    """[G + 1] seeds at or below each place of the grid, and all of them; with or without those on atoms."""
    data = selection.data
    counts = data.counts[0] * (True if atoms else ~np.isin(data.scores[0], selection.atoms))
    upto = np.concatenate([[0.0], np.cumsum(counts)])
    return np.append(upto[np.searchsorted(data.scores[0], scores, side="right")], upto[-1])


def _divides(below: Array) -> NDArray[np.bool_]:
    """[G] whether enough seeds are at or below a place, and above it."""
    return (below[:-1] >= SIDE) & (below[-1] - below[:-1] >= SIDE)


def _walls(selection: Selection, fits: Fits) -> Array:
    """[R, 2] whether a point mass of at least half a seed stands at 0 and at 1."""
    half = 0.5 / selection.data.counts.sum()
    walls = np.zeros((len(fits.logits), 2))
    for index, atom in enumerate(selection.atoms):
        walls[:, int(atom)] = fits.weights[:, index] > half
    return walls


def _densities(selection: Selection, fits: Fits, grid: Points) -> Array:
    """[R, G] density of the components on the grid."""
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


def deepest_valley(
    heights: Array, walls: Array | None = None, allowed: NDArray[np.bool_] | None = None
) -> tuple[Array, NDArray[np.int64]]:
    """How low a curve falls between two of its peaks.

    At each place: the height over the lower of the highest peaks to its left and right, itself included. The
    least of these ratios is 1 for a curve of one peak, and r if a valley falls to r times the lower adjacent
    peak.

    Args:
        heights: [R, G] curves, >= 0.
        walls: [R, 2] 1 where a point mass, higher than any density, stands at the left or right end, else 0.
        allowed: [G] places where a valley may be; all by default.

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
    if allowed is not None:
        ratio = np.where(allowed, ratio, 1.0)
    # A gap between two peaks is divided at the middle of its empty floor.
    lowest = ratio <= np.maximum(ratio.min(axis=-1, keepdims=True), EMPTY)
    first = lowest.argmax(axis=-1)
    left_floor = ~lowest & (np.arange(lowest.shape[1]) > first[:, None])
    end = np.where(left_floor.any(axis=-1), left_floor.argmax(axis=-1), lowest.shape[1])
    return ratio.min(axis=-1), (first + end - 1) // 2


def peaks(heights: Array, depth: float, below: Array) -> tuple[list[int], list[int]]:
    """Peaks of one curve [G] separated by valleys at least `depth` deep, and these valleys, left to right.

    Args:
        heights: [G], >= 0.
        depth: in (0, 1).
        below: [G + 1] seeds at or below each place, and all: enough must be between two valleys.
    """
    ratio, valley = (found[0] for found in deepest_valley(heights[None], allowed=_divides(below)))
    if ratio > 1 - depth:
        return [int(heights.argmax())], []
    valley = int(valley)
    at = below[valley]
    before, lower = peaks(heights[: valley + 1], depth, np.append(below[: valley + 1], at))
    after, upper = peaks(heights[valley:], depth, below[valley:] - at)
    return [*before, *(valley + p for p in after)], [*lower, valley, *(valley + v for v in upper)]
