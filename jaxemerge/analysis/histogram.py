"""How many seeds lie where between failure and success?"""

from __future__ import annotations

import polars as pl

from .final import final_scores

ZERO, BETWEEN, ONE = "exactly 0", "between", "exactly 1"


def histogram(frame: pl.DataFrame, bins: int = 20, metric: str = "exact_match") -> pl.DataFrame:
    """Counts of the final scores per cell and test, with exactly 0 and exactly 1 kept apart as atoms.

    Args:
        frame: results.
        bins: number of equal bins of the open interval (0, 1).
        metric: a metric in [0, 1].

    Returns:
        cell, label, test, split, length, kind ("exactly 0", "between" or "exactly 1"), low and high (ends of
        the bin; equal for an atom), count (seeds), share (of the group's seeds). Empty bins are left out.

    Raises:
        ValueError: if `bins` < 1, or columns or the metric are missing.
    """
    if bins < 1:
        raise ValueError(f"bins={bins} must be at least 1")
    value = pl.col("value")
    number = (value * bins).floor().clip(0, bins - 1)

    def by_kind(zero: pl.Expr, between: pl.Expr, one: pl.Expr) -> pl.Expr:
        return pl.when(value <= 0).then(zero).when(value >= 1).then(one).otherwise(between)

    kind = by_kind(pl.lit(ZERO), pl.lit(BETWEEN), pl.lit(ONE))
    low = by_kind(pl.lit(0.0), number / bins, pl.lit(1.0))
    high = by_kind(pl.lit(0.0), (number + 1) / bins, pl.lit(1.0))
    group = ["rank", "cell", "label", "split", "length", "test"]
    return (
        final_scores(frame, metric)
        .with_columns(kind=kind, low=low, high=high)
        .group_by(*group, "kind", "low", "high")
        .agg(count=pl.len())
        .with_columns(share=pl.col("count") / pl.col("count").sum().over(group))
        .sort("rank", "split", "length", "low", "high")
        .drop("rank")
    )
