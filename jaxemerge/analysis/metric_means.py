"""How do the same runs look under each metric?"""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl

from jaxemerge.stats import bootstrap

from .final import final, final_scores
from .schema import MEMBER, is_loss, one_test, rows_of


def metric_means(
    frame: pl.DataFrame,
    metrics: list[str] | None = None,
    *,
    split: str | None = None,
    length: int | None = None,
    resamples: int = 1000,
    key: Any = 0,
) -> pl.DataFrame:
    """The mean over seeds of every metric of one test, by cell, with bootstrap intervals over seeds.

    Args:
        frame: results.
        metrics: which; by default all that this test has.
        split, length: the test; may be left out where there is one only.
        resamples: behind an interval.
        key: int or JAX key.

    Returns:
        metric, cell, label, scale, rank, seeds, value, low, high; in order of the metrics and the scale. A
        metric that no run has a value of has no rows.

    Raises:
        ValueError: if columns or a metric are missing, or the choice leaves no test or several.
    """
    found = []
    for metric in metrics if metrics is not None else metrics_of(frame, split, length):
        known = known_scores(frame, metric)
        if known.is_empty():
            continue
        scores = one_test(known, metric, split, length)
        for group, seeds in scores.group_by("cell", "label", "scale", "rank", maintain_order=True):
            mean = bootstrap(seeds["value"].to_numpy(), _mean, key=key, resamples=resamples)
            interval = mean.interval
            found.append((metric, *group, seeds.height, mean.value, interval.low, interval.high))
    names = ("metric", "cell", "label", "scale", "rank", "seeds", "value", "low", "high")
    return pl.DataFrame(found, schema=list(names), orient="row")


def metrics_of(frame: pl.DataFrame, split: str | None = None, length: int | None = None) -> list[str]:
    """The metrics of a test, exact match and its companions first."""
    chosen = frame.filter(pl.col("split") != "train")
    if split is not None:
        chosen = chosen.filter(pl.col("split") == split)
    if length is not None:
        chosen = chosen.filter(pl.col("length") == length)
    there = sorted(chosen["metric"].unique())
    first = [m for m in ("exact_match", "token_accuracy", "answer_nll") if m in there]
    return first + [m for m in there if m not in first]


def less_is_better(metric: str) -> bool:
    """Whether a metric is a loss, or counts errors, by its name."""
    return is_loss(metric) or "edit" in metric.lower()


def known_scores(frame: pl.DataFrame, metric: str) -> pl.DataFrame:
    """`final_scores`, of a metric that is better when less without the diverged runs, which have none."""
    scores = final_scores(frame, metric)
    if not less_is_better(metric):
        return scores
    keys = [*MEMBER, "split", "length"]
    ends = final(rows_of(frame, metric))
    lost = ends.filter(pl.col("value").is_null() | pl.col("value").is_nan()).select(keys)
    return scores.join(lost, on=keys, how="anti", nulls_equal=True, maintain_order="left")


def _mean(values: np.ndarray) -> np.ndarray:
    return values.mean(axis=-1)
