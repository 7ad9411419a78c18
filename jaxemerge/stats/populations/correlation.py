"""Correlations over seeds: do seeds that score high on one outcome score high on another?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import rankdata

from jaxemerge.brief import brief

from ..estimates.arguments import as_outcomes, check_at_least, check_confidence
from ..estimates.interval import Estimate, Interval
from ..estimates.resampling import generator, in_pieces, percentile_interval, permutation_p_value

Array = NDArray[np.float64]


@brief
@dataclass(frozen=True)
class Correlation:
    """Correlations over seeds between M outcomes of each seed.

    Attributes:
        value: [M, M] correlations with intervals; NaN where an outcome is the same for all seeds.
        p_value: [M, M] two-sided, one pair at a time: not corrected for multiple tests; NaN on the diagonal.
        n: number of seeds.
    """

    value: Estimate
    p_value: NDArray[np.float64]
    n: int


def correlation(
    outcomes: ArrayLike,
    *,
    method: Literal["spearman", "pearson"] = "spearman",
    failure: float = 0.0,
    permutations: int = 1999,
    resamples: int = 1000,
    confidence: float = 0.95,
    key: Any = 0,
) -> Correlation:
    """Correlations over seeds between outcomes such as test lengths, metrics or scales, for all pairs.

    Spearman's is the correlation of ranks, equal outcomes sharing their mean rank. p-values: the seeds are
    shuffled within each outcome, and p is the share of shuffles with a correlation at least as large
    in size. Intervals: percentiles over resampled seeds, keeping the outcomes of a seed together.

    Measured (benchmarks/coverage_of_populations.py) with 40 seeds: the 95 % interval covers Spearman's
    correlation of normal pairs in 94.3 % of 1,000 data sets; two unrelated outcomes, most seeds at 0, are
    significant at the 5 % level in 5.0 %.

    Args:
        outcomes: [S, M], one row per seed; NaN is a diverged run.
        method: "spearman", or "pearson" for the correlation of the outcomes themselves.
        failure: outcome of a diverged run.
        permutations: number of shuffles.
        resamples: number of resampled populations.
        confidence: probability in (0, 1).
        key: int or JAX key.

    Returns:
        Correlation; with fewer than two seeds all is NaN. The diagonal is 1, or NaN for a constant outcome.

    Raises:
        ValueError: if `outcomes` is not [S, M], a value is infinite, or an argument is out of its range.

    References:
        Spearman (1904), Am. J. Psychol. 15, p. 72; Phipson and Smyth (2010), Stat. Appl. Genet. Mol. Biol. 9,
        article 39.
    """
    check_confidence(confidence)
    y = as_outcomes(outcomes, failure)
    if y.ndim != 2:
        raise ValueError(f"outcomes of shape {y.shape} must be [seeds, outcomes]")
    if method not in ("spearman", "pearson"):
        raise ValueError(f"method={method!r} must be 'spearman' or 'pearson'")
    check_at_least(1, permutations=permutations, resamples=resamples)
    seeds, size = y.shape
    if seeds < 2 or size == 0:
        unknown = np.full((size, size), np.nan)
        return Correlation(Estimate(unknown, Interval(unknown, unknown)), unknown, seeds)
    rng = generator(key)
    scores = rankdata(y, axis=0) if method == "spearman" else y
    value = _matrix(scores)

    def shuffled(count: int) -> Array:
        return _matrix(rng.permuted(np.broadcast_to(scores, (count, seeds, size)), axis=1))

    def resampled(count: int) -> Array:
        drawn = y[rng.integers(seeds, size=(count, seeds))]
        return _matrix(rankdata(drawn, axis=1) if method == "spearman" else drawn)

    p_value = permutation_p_value(np.abs(value), np.abs(in_pieces(shuffled, permutations, y.size)))
    np.fill_diagonal(p_value, np.nan)
    interval = percentile_interval(in_pieces(resampled, resamples, y.size), confidence)
    known = ~np.isnan(value)
    low, high = (np.where(known, end, np.nan) for end in (interval.low, interval.high))
    return Correlation(Estimate(value, Interval(low, high)), p_value, seeds)


def _matrix(scores: Array) -> Array:
    """Correlations [..., M, M] of the columns of scores [..., S, M]."""
    away = scores - scores.mean(axis=-2, keepdims=True)
    size = np.sqrt(np.sum(away**2, axis=-2, keepdims=True))
    # Equal numbers may differ from their mean by rounding.
    some = size > 1e-12 * np.max(np.abs(scores), axis=-2, keepdims=True)
    unit = np.divide(away, size, out=np.full(away.shape, np.nan), where=some)
    return np.clip(unit.swapaxes(-1, -2) @ unit, -1.0, 1.0)
