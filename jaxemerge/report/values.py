"""What does the report show of a metric that is no share of items?"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import polars as pl

from jaxemerge import charts
from jaxemerge.analysis import final_values, findings, scale_column
from jaxemerge.charts.theme import metric_name

from .figure import Figure, figure


def values(frame: pl.DataFrame, metric: str | None) -> Iterator[Figure]:
    """Final values against scale, if there is such a metric."""
    if metric is None:
        return
    found = final_values(frame, metric)
    if found.runs.is_empty():
        return
    many = found.table["low"].count() > 0
    how = "; diamonds are their means, with 95% bootstrap intervals" if many else ""
    yield figure(
        "values",
        f"Where do runs end? {metric_name(metric).capitalize()}",
        f"Dots are runs{how}. {_words(found.table)}",
        charts.values_against_scale(found, scale_column(frame), metric),
        found.table,
    )


def _words(table: pl.DataFrame) -> str:
    """The means of the smallest, middle and largest scale on the first test."""
    first = table.filter(pl.col("test") == table["test"][0], pl.col("mean").is_not_null())
    shown = findings.few(first.rows(named=True))
    lost = int(table["diverged"].sum())
    failed = f" {lost} failed runs have no value." if lost else ""
    listed = findings.clause([f"{_mean(row)} for {row['label']}" for row in shown])
    return f"At {table['test'][0]} the mean is {listed}.{failed}"


def _mean(row: dict[str, Any]) -> str:
    if row["low"] is None:
        return f"{row['mean']:.4g}"
    return f"{row['mean']:.4g} [{row['low']:.4g}, {row['high']:.4g}]"
