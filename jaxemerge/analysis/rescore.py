"""What would the same outputs score under another metric? From kept items to rows of results."""

from __future__ import annotations

import numpy as np
import polars as pl

from jaxemerge.evaluation.metrics import Items, Metric

from .schema import SCHEMA, require

_NAMED = tuple(name for name in SCHEMA if name not in ("metric", "value", "trials"))
_NEEDED = ("answers", "exact", "right", "nll", "brier")
_LISTS = ("choices", "log_probabilities")


def rescore(items: pl.DataFrame, metric: Metric) -> pl.DataFrame:
    """Means of a metric over the items of every seed, step, split and length.

    A diverged seed has failed: a metric whose values are 0 or 1 is 0, and others are null. Items for which
    the metric means nothing, as multiple choice without distractors, are left out.

    Args:
        items: a row per seed and item, as a study with ``--keep-items`` keeps them.
        metric: one of ``jaxemerge.evaluation.METRICS``, or one made from them.

    Returns:
        Rows of the results schema; ``trials`` is the number of items behind a proportion.

    Raises:
        ValueError: a column is missing, or nothing was kept that the metric needs.
    """
    require(items, *_NAMED, *_NEEDED)
    values = pl.Series("value", metric.of(_items(items)), pl.Float64)
    rows = items.select(*_NAMED, values).filter(pl.col("value").is_not_nan())
    groups = rows.group_by(_NAMED, maintain_order=True).agg("value")
    means = [float(metric.mean(np.asarray(group))) for group in groups["value"]]
    failed = 0.0 if metric.proportion or metric.group > 1 else None
    scored = groups.with_columns(
        pl.lit(metric.name).alias("metric"),
        pl.when("diverged").then(failed).otherwise(pl.Series(means, dtype=pl.Float64)).alias("mean"),
        (pl.col("value").list.len() if metric.proportion else pl.lit(None)).cast(pl.Int32).alias("trials"),
    )
    finite = pl.when(pl.col("mean").is_finite()).then("mean").alias("value")
    return scored.with_columns(finite).select(SCHEMA)


def _items(frame: pl.DataFrame) -> Items:
    """The columns as arrays, one entry per row; lists as matrices, filled up with NaN."""
    arrays = {name: frame[name].to_numpy() for name in _NEEDED}
    lists = {name: _matrix(frame[name]) for name in _LISTS if name in frame.columns}
    edits = frame["edits"].to_numpy() if "edits" in frame.columns else None
    return Items(**arrays, edits=edits, choices=lists.get("choices"),
                 log_probabilities=lists.get("log_probabilities"))  # fmt: skip


def _matrix(column: pl.Series) -> np.ndarray:
    """Lists side by side; a column that mixes studies may lack them in some rows."""
    rows = column.to_list()
    width = max((len(row) for row in rows if row is not None), default=0)
    found = np.full((len(rows), max(width, 2)), -np.inf)
    for i, row in enumerate(rows):
        if row is not None:
            found[i, : len(row)] = row
    return found
