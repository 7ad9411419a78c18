"""Scores of seeds as sorted points with counts: a histogram when all scores are k of the same n items."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]

# Up to this many items a population is a histogram over 0..n, whose cost does not grow with the seeds.
HISTOGRAM = 512


@dataclass(frozen=True)
class Points:
    """R data sets (or resamples of one) as sorted points with counts; a leading axis of 1 is shared by all R.

    Attributes:
        x: [1|R, B] scores, sorted; items right when `n` is given.
        n: [1|R, B] items behind each score, or None for real scores.
        counts: [1|R, B] seeds at each point.
        histogram: whether the points are all scores that a seed can have, rather than the seeds.
    """

    x: Array
    n: Array | None
    counts: Array
    histogram: bool = False

    @property
    def scores(self) -> Array:
        """[1|R, B] proportions, or the scores themselves."""
        return self.x if self.n is None else self.x / self.n

    def rows(self, index: NDArray[np.int64]) -> Points:
        """The data sets `index`; what is shared stays shared."""

        def take(array: Array) -> Array:
            return array if len(array) == 1 else array[index]

        return replace(
            self, x=take(self.x), n=None if self.n is None else take(self.n), counts=take(self.counts)
        )


def scores_of_seeds(values: ArrayLike, *, proportions: bool) -> Array:
    """[S] scores with diverged runs resolved: a NaN proportion counts as 0, any other NaN is dropped.

    Values count as proportions if `proportions`, or if all that are not NaN lie in [0, 1].

    Raises:
        ValueError: if values are not one score per seed, are infinite, or are not proportions where required.
    """
    scores = np.asarray(values, np.float64)
    if scores.ndim != 1 or len(scores) == 0:
        raise ValueError(f"values of shape {scores.shape} must be one score per seed, of at least one seed")
    if np.isinf(scores).any():
        raise ValueError(
            f"values hold {int(np.isinf(scores).sum())} infinite scores; finite ones are allowed"
        )
    known = scores[~np.isnan(scores)]
    bounded = bool(np.all((known >= 0) & (known <= 1)))
    if proportions and not bounded:
        raise ValueError(f"values from {known.min():g} to {known.max():g} must be scores in [0, 1]")
    return np.where(np.isnan(scores), 0.0, scores) if bounded else known


def items_right(scores_S: Array, trials: ArrayLike) -> tuple[Array, Array]:
    """[S] items right and [S] items asked, both whole.

    Raises:
        ValueError: if trials are not whole numbers of at least 1 (one, or one per seed), or a score is not
            k/n.
    """
    n = np.asarray(trials, np.float64)
    if n.shape not in ((), scores_S.shape):
        raise ValueError(f"trials of shape {n.shape} must be one number or one per seed, {scores_S.shape}")
    if not np.all((n >= 1) & (n == np.round(n))):
        raise ValueError(f"trials from {np.min(n):g} to {np.max(n):g} must be whole numbers of at least 1")
    n_S = np.broadcast_to(n, scores_S.shape).copy()
    k_S = np.round(scores_S * n_S)
    worst = int(np.argmax(np.abs(k_S - scores_S * n_S)))
    if abs(k_S[worst] - scores_S[worst] * n_S[worst]) > 1e-3:
        raise ValueError(
            f"values hold {scores_S[worst]:g}, which is not a count out of trials={n_S[worst]:g}"
        )
    return k_S, n_S


def on_coarser_grid(k_S: Array, n_S: Array) -> tuple[Array, Array]:
    """The same scores as counts of m <= n/2 items, if every score is, to rounding, a multiple of 1/m.

    Scores rounded to tenths are counts of ten: taken as counts of more items, every step would look like a
    component. The grid is accepted from four distinct scores on, each with ten seeds on average.
    """
    scores = k_S / n_S
    distinct = np.unique(scores)
    if len(distinct) < 4 or len(scores) < 10 * len(distinct):
        return k_S, n_S
    steps = np.round(1 / np.diff(distinct).min())
    off = np.abs(distinct * steps - np.round(distinct * steps))
    if steps > n_S.min() / 2 or off.max() > steps / n_S.min():
        return k_S, n_S
    return np.round(scores * steps), np.full(n_S.shape, steps)


def points(x_S: Array, n_S: Array | None = None) -> Points:
    """One data set as points: a histogram over 0..n if all seeds share a moderate n, else sorted seeds."""
    if n_S is not None and np.all(n_S == n_S[0]) and n_S[0] <= HISTOGRAM:
        n = int(n_S[0])
        counts = np.bincount(x_S.astype(np.int64), minlength=n + 1).astype(np.float64)
        return Points(np.arange(n + 1.0)[None], np.full((1, n + 1), float(n)), counts[None], histogram=True)
    order = np.argsort(x_S if n_S is None else x_S / n_S, kind="stable")
    return Points(x_S[order][None], None if n_S is None else n_S[order][None], np.ones((1, len(x_S))))
