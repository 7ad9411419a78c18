"""What does the report show of the distribution of final scores or values over seeds?"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import polars as pl

from jaxemerge import charts
from jaxemerge.analysis import (
    final_values,
    findings,
    scale_column,
    two_sided,
    unseen_sentence,
)
from jaxemerge.analysis.groups import panels
from jaxemerge.analysis.results import some_tests
from jaxemerge.charts.scale import MOST_TESTS
from jaxemerge.charts.theme import metric_name

from .page import Figure, figure
from .scale import trend_words


def histograms(ends: pl.DataFrame, metric: str) -> Figure:
    """The final scores of every cell and test."""
    return figure(
        "histograms",
        "Which shape does the distribution over seeds have?",
        "Rows are cells in order of scale, columns are tests. Height is the share of seeds. Scores of "
        "exactly 0 and exactly 1 have bars of their own, outside the unit interval. "
        + f"{findings.split_sentence(two_sided(ends, metric))} {unseen_sentence(ends)}",
        charts.histogram_grid(ends, metric=metric),
    )


def violins(ends: pl.DataFrame, table: pl.DataFrame, found: dict[str, Any]) -> Figure:
    """The same, smoothed, in order of scale.

    Args:
        ends: final results.
        table: their summary.
        found: the cell and test to look at most closely, as `findings.focus` returns it.
    """
    test, metric = found["test"], found["metric"]
    return figure(
        "violins",
        "How does it move with scale?",
        "One violin per cell, smoothed over the seeds strictly between 0 and 1 and as wide as their share; "
        "the bars below and above are the seeds at exactly 0 and exactly 1. "
        + findings.centre_sentence(table, test),
        charts.violins(ends, metric),
    )


def success(ends: pl.DataFrame, table: pl.DataFrame, found: dict[str, Any]) -> Figure:
    """Shares of seeds and the mean of the successes against scale; arguments as `violins`."""
    metric, threshold = found["metric"], table["threshold"][0]
    return figure(
        "success_against_scale",
        "How likely is success, and how good are the successes?",
        "Shares of seeds, and the mean score of the successful seeds, with 95% intervals. "
        + _shown(table)
        + trend_words(ends, found, threshold),
        charts.success_against_scale(table, scale_column(ends), metric, panels(ends)),
    )


def _shown(table: pl.DataFrame) -> str:
    """Where not all tests are in the picture, how many are."""
    number, shown = (t["test"].n_unique() for t in (table, some_tests(table, MOST_TESTS)))
    return "" if shown == number else f"{shown} of {number} tests are shown. "


def values(frame: pl.DataFrame, metric: str | None, limit: float | None = None) -> Iterator[Figure]:
    """Final values against scale, if there is such a metric, with the limit that counts as success."""
    if metric is None:
        return
    found = final_values(frame, metric)
    if found.runs.is_empty():
        return
    many = found.table["low"].count() > 0
    how = "; diamonds are their means, with Student's 95% intervals" if many else ""
    how += "" if limit is None else f"; the dashed rule is the limit of success, {limit:g}"
    yield figure(
        "values",
        f"Where do runs end? {metric_name(metric).capitalize()}",
        f"Dots are runs{how}. {_words(found.table)}",
        charts.values_against_scale(found, scale_column(frame), metric, panels(frame), limit),
        found.table,
    )


def lead(frame: pl.DataFrame, metric: str) -> str:
    """The headline of a study that is about a loss: its final means."""
    name, said = metric_name(metric), _words(final_values(frame, metric).table)
    return f"{name[0].upper()}{name[1:]} at the end of training: {said[0].lower()}{said[1:]}"


def _words(table: pl.DataFrame) -> str:
    """The means of the smallest, middle and largest scale on the first test."""
    first = table.filter(pl.col("test") == table["test"][0], pl.col("mean").is_not_null())
    shown = findings.few(first.rows(named=True))
    lost = int(table["diverged"].sum())
    failed = f" {lost} failed {'run has' if lost == 1 else 'runs have'} no value." if lost else ""
    listed = findings.clause([f"{_mean(row)} for {row['label']}" for row in shown])
    return f"At {table['test'][0]} the mean is {listed}.{failed}"


def _mean(row: dict[str, Any]) -> str:
    mean, *ends = findings.supported(row["mean"], row["low"], row["high"])
    return f"{mean} [{', '.join(ends)}]" if ends else mean
