"""How small a success can the test see, and what would a smaller test have shown?"""

from __future__ import annotations

import numpy as np
import polars as pl
from scipy.special import gammaln

from jaxemerge.stats.estimates.interval import check_confidence

from .final import final_scores
from .schema import one_test

# Sizes of smaller tests that are looked at.
SIZES = 12


def resolution(
    frame: pl.DataFrame,
    metric: str = "exact_match",
    *,
    split: str | None = None,
    length: int | None = None,
    confidence: float = 0.95,
) -> pl.DataFrame:
    """What the test of every cell can see, on one test.

    Args:
        frame: results.
        metric: a proportion, with trials.
        split, length: the test; may be left out where there is one only.
        confidence: of the upper limits.

    Returns:
        cell, label, scale, seeds, items, value (mean over seeds), smallest (1 / items: the least score of a
        seed that is not 0), limit (the rate that a seed may have that passes no item, with this confidence),
        pooled_limit (the average rate that all seeds may have if none passes any), at_zero (seeds at 0).

    Raises:
        ValueError: if columns, the metric or its trials are missing, or the choice leaves no test or several.
    """
    check_confidence(confidence)
    scores = _counts(frame, metric, split, length)
    zero = 1 - confidence
    items, seeds = pl.col("items"), pl.col("seeds")
    return (
        scores.group_by("cell", "label", "scale", maintain_order=True)
        .agg(
            seeds=pl.len(),
            items=pl.col("trials").min(),
            value=pl.col("value").mean(),
            at_zero=(pl.col("value") <= 0).sum(),
        )
        .with_columns(
            smallest=1 / items,
            limit=1 - zero ** (1 / items),
            pooled_limit=1 - zero ** (1 / (items * seeds)),
        )
    )


def smaller_tests(
    frame: pl.DataFrame, metric: str = "exact_match", *, split: str | None = None, length: int | None = None
) -> pl.DataFrame:
    """What smaller tests, random items of this one, would have shown of every cell.

    Of n items of which a seed passes k, m drawn at random are all failed with probability
    C(n - k, m) / C(n, m). The mean score does not change with the size of a test: what changes is how many
    seeds and cells look as if they could not do it at all.

    Args:
        frame: results.
        metric: a share of items.
        split, length: the test; may be left out where there is one only.

    Returns:
        cell, label, scale, items (m), zero (expected share of seeds that score 0), all_zero (probability that
        every seed of the cell does), value (mean score, the same for every m); in order of scale and m.

    Raises:
        ValueError: as `resolution`.
    """
    scores = _counts(frame, metric, split, length)
    n = int(str(scores["trials"].min()))
    sizes = np.unique(np.round(np.geomspace(1, n, SIZES)).astype(int))
    parts = []
    for names, part in scores.group_by("cell", "label", "scale", maintain_order=True):
        k = np.round(part["value"].to_numpy() * n)
        zero_SM = _all_failed(n, k[:, None], sizes)
        columns = {"items": sizes, "zero": zero_SM.mean(axis=0), "all_zero": zero_SM.prod(axis=0)}
        fixed = zip(("cell", "label", "scale", "value"), (*names, part["value"].mean()), strict=True)
        parts.append(pl.DataFrame(columns).select(*(pl.lit(v).alias(c) for c, v in fixed), pl.all()))
    return pl.concat(parts)


def _counts(frame: pl.DataFrame, metric: str, split: str | None, length: int | None) -> pl.DataFrame:
    scores = one_test(final_scores(frame, metric), metric, split, length)
    if scores["trials"].null_count():
        raise ValueError(f"metric={metric!r} has no trials: only a share of items has a resolution")
    return scores


def _all_failed(n: int, k: np.ndarray, m: np.ndarray) -> np.ndarray:
    """C(n - k, m) / C(n, m), 0 where m > n - k."""
    left = n - k - m
    logs = gammaln(n - k + 1) - gammaln(np.maximum(left, 0) + 1) - gammaln(n + 1) + gammaln(n - m + 1)
    return np.where(left >= 0, np.exp(logs), 0.0)
