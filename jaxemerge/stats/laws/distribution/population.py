"""Which seeds scored what, on which test, at which scale? Checked, and merged where seeds agree."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]
Whole = NDArray[np.int64]

MOST_ITEMS = 20_000  # a table over 0..n is made for every cell and length


class Populations(NamedTuple):
    """Scores of the seeds of all cells, as counts; seeds of one cell with the same counts are one row.

    C cells, M rows in the largest cell, L test lengths, K coordinates of scale.

    Attributes:
        counts: [C, M, L] items that are right; 0 in rows without seeds.
        seeds: [C, M] number of seeds of each row, 0 or more.
        row: [S] place of each seed among the C M rows; -1 if it diverged.
        trials: [L] items of each test.
        scale: [C, K] coordinates of the cells, positive.
        lengths: [L] ascending.
        diverged: [C] seeds that diverged, which have no counts.
    """

    counts: Whole
    seeds: Floats
    row: Whole
    trials: Whole
    scale: Floats
    lengths: Floats
    diverged: Floats

    def cells(self, index: Whole) -> Populations:
        """The cells `index` alone; `row` is not kept."""
        return self._replace(
            counts=self.counts[index],
            seeds=self.seeds[index],
            row=np.empty(0, np.int64),
            scale=self.scale[index],
            diverged=self.diverged[index],
        )

    def tests(self, index: Whole) -> Populations:
        """The tests `index` alone."""
        return self._replace(
            counts=self.counts[..., index], trials=self.trials[index], lengths=self.lengths[index]
        )


def populations(
    scores: ArrayLike, trials: ArrayLike, design: ArrayLike, lengths: ArrayLike | None = None
) -> Populations:
    """Checks scores and merges equal ones.

    Args:
        scores: [S, L] or [S], shares of the items; NaN on any test marks a diverged seed.
        trials: items of all tests, or [L].
        design: [S, K] or [S] coordinates of scale, positive.
        lengths: [L] of the tests, positive; may be left out for one test.

    Raises:
        ValueError: if shapes do not fit, a score is not a count out of its trials, coordinates or lengths are
            not positive, or lengths repeat.
    """
    scores_SL, scale_SK = _columns(scores), _columns(design)
    S, L = scores_SL.shape
    if len(scale_SK) != S or S == 0:
        raise ValueError(f"design of {len(scale_SK)} rows must have one for each of {S} seeds, at least one")
    if not np.all(np.isfinite(scale_SK) & (scale_SK > 0)):
        raise ValueError("design must hold positive finite numbers, such as depth, width or parameters")
    order, lengths_L = _lengths(lengths, L)
    trials_L = _trials(trials, L)[order]
    k_SL = _counts(scores_SL[:, order], trials_L)
    scale_CK, cell_S = np.unique(scale_SK, axis=0, return_inverse=True)
    alive = np.all(k_SL >= 0, axis=1)
    return _merged(k_SL, alive, cell_S.reshape(-1), scale_CK, trials_L, lengths_L)


def _columns(given: ArrayLike) -> Floats:
    array = np.asarray(given, np.float64)
    array = array[:, None] if array.ndim == 1 else array
    if array.ndim != 2:
        raise ValueError(f"an array of shape {array.shape} must be [S] or [S, columns], one row per seed")
    return array


def _lengths(lengths: ArrayLike | None, count: int) -> tuple[Whole, Floats]:
    """Order of the tests by length, and the lengths in that order."""
    if lengths is None and count > 1:
        raise ValueError(f"lengths must be given: the scores have {count} columns")
    values = np.ones(1) if lengths is None else np.asarray(lengths, np.float64).reshape(-1)
    if len(values) != count or not np.all(values > 0) or len(np.unique(values)) < count:
        raise ValueError(f"lengths={values.tolist()} must be {count} different positive numbers")
    order = np.argsort(values)
    return order, values[order]


def _trials(trials: ArrayLike, count: int) -> Whole:
    n = np.asarray(trials, np.float64)
    if n.shape not in ((), (count,)):
        raise ValueError(f"trials of shape {n.shape} must be one number, or one for each of {count} tests")
    if not np.all((n >= 1) & (n <= MOST_ITEMS) & (n == np.round(n))):
        raise ValueError(f"trials={n.tolist()} must be whole numbers from 1 to {MOST_ITEMS}")
    return np.broadcast_to(n, (count,)).astype(np.int64)


def _counts(scores_SL: Floats, trials_L: Whole) -> Whole:
    """[S, L] right items; -1 where the score is NaN."""
    known = ~np.isnan(scores_SL)
    k_SL = np.where(known, scores_SL, 0) * trials_L
    wrong = (np.abs(k_SL - np.round(k_SL)) > 1e-3) | (k_SL < -1e-9) | (k_SL > trials_L + 1e-9)
    if wrong.any():
        seed, test = np.argwhere(wrong)[0]
        raise ValueError(
            f"scores hold {scores_SL[seed, test]:g}, which is not a count out of trials={trials_L[test]}"
        )
    return np.where(known, np.round(k_SL), -1).astype(np.int64)


def _merged(
    k_SL: Whole, alive: NDArray[np.bool_], cell_S: Whole, scale_CK: Floats, trials_L: Whole, lengths_L: Floats
) -> Populations:
    """Equal seeds of a cell as one row, and cells filled up to the same number of rows."""
    C, L = len(scale_CK), len(trials_L)
    distinct, place, number = np.unique(
        np.column_stack([cell_S[alive], k_SL[alive]]), axis=0, return_inverse=True, return_counts=True
    )
    cell = distinct[:, 0]
    first = np.searchsorted(cell, np.arange(C))
    M = rows_for(int(np.bincount(cell, minlength=C).max(initial=1)))
    within = np.arange(len(cell)) - first[cell]
    counts, seeds = np.zeros((C, M, L), np.int64), np.zeros((C, M))
    counts[cell, within], seeds[cell, within] = distinct[:, 1:], number
    row = np.full(len(cell_S), -1)
    row[alive] = (cell * M + within)[place.reshape(-1)]
    diverged = np.bincount(cell_S[~alive], minlength=C).astype(np.float64)
    return Populations(counts, seeds, row, trials_L, scale_CK, lengths_L, diverged)


def rows_for(most: int) -> int:
    """Rows of a table for `most` rows: one of few sizes, so that few programs are compiled."""
    step = max(8, 2 ** (most.bit_length() - 3))
    return -(-most // step) * step
