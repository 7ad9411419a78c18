"""What are the summaries of every cell and test, with intervals, as one frame?"""

from __future__ import annotations

from typing import Any

import polars as pl

from jaxemerge.stats import Estimate, Summaries, success_interval, summaries

from .final import final_scores
from .labels import cell_labels

ESTIMATES = ("mode", "mean", "success", "success_mean", "above_half", "below_tenth")


def summarise(
    frame: pl.DataFrame,
    metric: str = "exact_match",
    threshold: float = 0.2,
    *,
    key: Any = 0,
    resamples: int = 1000,
    confidence: float = 0.95,
) -> pl.DataFrame:
    """The four summaries of the final scores, one row per cell, split and length.

    Every group is resampled with the same key: a cell's numbers do not depend on the cells beside it.

    Members are taken as independent. In a crossed design (each init_seed with each data_seed) those that
    share a seed are not, and the intervals are too narrow.

    Args:
        frame: results.
        metric: a metric in [0, 1].
        threshold: success is a score of at least this; in (0, 1].
        key: int or JAX key of the bootstrap.
        resamples: number of bootstrap resamples.
        confidence: probability in (0, 1) of every interval.

    Returns:
        cell, label, scale, rank, depth, width, parameters, swept columns, split, length, test, seeds,
        diverged (a count), trials (items behind one score), then mode, mean, success, success_mean,
        above_half and below_tenth, each followed by its _low and _high, then threshold. Undefined
        numbers are null. In order of scale, split and length. The formulas are in
        `jaxemerge.stats.summaries`; the shares above 0.5 and below 0.1 have Wilson intervals.

    Raises:
        ValueError: if columns or the metric are missing, scores lie outside [0, 1], or an argument is out of
            its range.
    """
    scores = final_scores(frame, metric)
    groups = scores.group_by("cell", "split", "length", "test", maintain_order=True).agg(
        pl.col("value"), pl.len().alias("seeds"), pl.col("diverged").sum(), pl.col("trials").min()
    )
    options = {"key": key, "resamples": resamples, "confidence": confidence}
    rows = [_columns(summaries(values, threshold, **options), confidence) for values in groups["value"]]
    estimates = pl.DataFrame(rows, schema=dict.fromkeys(_names(), pl.Float64), orient="row").fill_nan(None)
    table = pl.concat([groups.drop("value"), estimates], how="horizontal")
    joined = cell_labels(frame).join(table.with_columns(threshold=pl.lit(threshold)), on="cell")
    return joined.sort("rank", "split", "length")


def _names() -> list[str]:
    return [name + end for name in ESTIMATES for end in ("", "_low", "_high")]


def _columns(found: Summaries, confidence: float) -> list[Any]:
    above, below = (
        Estimate(share, success_interval(round(share * found.n), found.n, confidence))
        for share in (found.above_half, found.below_tenth)
    )
    estimates = (found.mode, found.mean, found.success, found.success_mean, above, below)
    return [number for e in estimates for number in (e.value, e.interval.low, e.interval.high)]
