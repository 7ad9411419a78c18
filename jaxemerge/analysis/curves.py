"""How does the population move while it is trained?"""

from __future__ import annotations

import polars as pl

from .labels import cell_labels
from .schema import MEMBER, one_test, rows_of

QUANTILES = {"low": 0.1, "median": 0.5, "high": 0.9}


def learning_curves(
    frame: pl.DataFrame, metric: str = "exact_match", split: str | None = None, length: int | None = None
) -> pl.DataFrame:
    """One row per seed and evaluation step of one metric on one test.

    A diverged seed's missing value is the worst there is: 0 where the metric is a proportion (it has
    `trials`), else infinite.

    Args:
        frame: results.
        metric: any metric.
        split: may be left out if the metric was measured on one split only.
        length: may be left out if the metric was measured at one length only, or at none.

    Returns:
        cell, label, init_seed, data_seed, step, value, diverged; by scale of the cell, seed and step.

    Raises:
        ValueError: if columns or the metric are missing, or the choice leaves no test or several.
    """
    measured = one_test(rows_of(frame, metric), metric, split, length)
    worst = pl.when(pl.col("trials").is_null()).then(float("inf")).otherwise(0.0)
    value = pl.col("value").fill_nan(None).fill_null(worst)
    labels = cell_labels(frame).select("cell", "label", "rank")
    return (
        measured.with_columns(value=value)
        .join(labels, on="cell")
        .sort("rank", "init_seed", "data_seed", "step")
        .select("cell", "label", "init_seed", "data_seed", "step", "value", "diverged")
    )


def curve_quantiles(curves: pl.DataFrame) -> pl.DataFrame:
    """The 10, 50 and 90 % quantiles over seeds at each step.

    Args:
        curves: what `learning_curves` returns.

    Returns:
        cell, label, step, low, median, high, seeds; a quantile is null where it falls on a diverged loss.
    """
    # "nearest" rather than interpolated: a quantile beside an infinite loss is still a seed's own value.
    ranks = [pl.col("value").quantile(q, "nearest").alias(name) for name, q in QUANTILES.items()]
    finite = [pl.when(pl.col(name).is_finite()).then(pl.col(name)).alias(name) for name in QUANTILES]
    return (
        curves.group_by("cell", "label", "step", maintain_order=True)
        .agg(*ranks, seeds=pl.len())
        .with_columns(finite)
        .select("cell", "label", "step", "low", "median", "high", "seeds")
    )


def representative_curves(curves: pl.DataFrame, most: int = 60) -> pl.DataFrame:
    """At most `most` seeds per cell, evenly spaced by rank of final value, worst and best included.

    Args:
        curves: what `learning_curves` returns.
        most: number of seeds to keep in each cell.

    Raises:
        ValueError: if `most` < 2.
    """
    if most < 2:
        raise ValueError(f"most={most} must be at least 2")
    last = curves.filter(pl.col("step") == pl.col("step").max().over(MEMBER))
    place = pl.col("value").rank("ordinal").over("cell").cast(pl.Int64) - 1
    seeds = pl.len().over("cell").cast(pl.Int64)
    # Seed number i of S is kept when the i-th of `most` even steps from 0 to S-1 lands on it.
    stride = (seeds - 1) / (most - 1)
    lands = ((place / stride).round() * stride).round() == place
    keep = last.with_columns(keep=(seeds <= most) | lands).filter("keep").select(MEMBER)
    return curves.join(keep, on=MEMBER, how="semi", maintain_order="left")
