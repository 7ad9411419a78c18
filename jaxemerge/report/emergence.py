"""What does the report show of emergence: by definition, by metric, and by what the test can see?"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import polars as pl

from jaxemerge import charts
from jaxemerge.analysis import (
    cell_labels,
    emergence,
    emergence_scores,
    forms_a_curve,
    metric_means,
    resolution,
    scale_column,
    smaller_tests,
)
from jaxemerge.analysis.findings import percent
from jaxemerge.charts.theme import metric_name

from .figure import Figure, figure

LEVEL = 0.05
PERMUTATIONS = 499


def emergences(frame: pl.DataFrame, ends: pl.DataFrame, found: dict[str, Any]) -> Iterator[Figure]:
    """The same runs under every metric, and what the test can see, where cells follow each other in scale.

    Args:
        frame: results.
        ends: final results of exact match.
        found: what `findings.focus` returns: its test is shown.
    """
    if not forms_a_curve(cell_labels(ends)) or ends["trials"].null_count():
        return
    one_test = {"split": found["split"], "length": found["length"]}
    scale, metric = scale_column(ends), ends["metric"][0]
    yield _metrics(frame, found, one_test, scale, metric)
    seen = resolution(ends, metric, **one_test)
    yield figure(
        "resolution",
        f"What can the test not see? {metric_name(metric).capitalize()} at {found['test']}",
        "Left: the mean over seeds of every cell, on a log axis, with the least score that one seed can have "
        "and the rates that a seed, or all seeds together, may have with 95% confidence without passing an "
        "item; triangles are cells without a pass, at that limit. Right: how many seeds would have scored 0 "
        f"on a smaller test, of random items of this one. {_resolution_words(seen)}",
        charts.resolution_panel(seen, smaller_tests(ends, metric, **one_test), scale),
        seen,
    )


def _metrics(
    frame: pl.DataFrame, found: dict[str, Any], one_test: dict[str, Any], scale: str, metric: str
) -> Figure:
    at = pl.col("length").eq_missing(pl.lit(found["length"]))
    chosen = frame.filter(pl.col("split") == found["split"], at)
    scores = emergence_scores(chosen, permutations=PERMUTATIONS)
    verdict = emergence(chosen, metric, scale=scale).tests.row(0, named=True)
    return figure(
        "emergence",
        f"Does the ability emerge, or does the metric make it? {found['test'].capitalize()}",
        "Each panel shows the same runs under another metric: mean over seeds with a 95% bootstrap interval. "
        "The emergence score divides the rise by the median step between neighbouring cells; a straight line "
        f"over {chosen['cell'].n_unique()} cells scores {chosen['cell'].n_unique() - 1}. "
        f"{_verdict_words(verdict, metric_name(metric))} {_score_words(scores)}",
        charts.metric_panel(metric_means(chosen, **one_test), scores, scale),
        scores,
    )


def _verdict_words(test: dict[str, Any], name: str) -> str:
    """Emergent or not as Wei et al. define it, with the scales."""
    if test["emergent"]:
        return (
            f"By the definition of Wei et al. (2022) {name} emerges: it is at chance up to a scale of "
            f"{test['until']:,.6g} and well above it from {test['beyond']:,.6g} on."
        )
    reason = (
        "it is above chance at the smallest scale already"
        if test["until"] is None
        else "it is not well above chance at the largest scale"
    )
    return f"By the definition of Wei et al. (2022) {name} does not emerge: {reason}."


def _score_words(scores: pl.DataFrame) -> str:
    """The scores by metric, and how many are more than chance."""
    known = scores.drop_nulls("score")
    if known.is_empty():
        return "No metric moves with scale at all."
    listed = [f"{row['score']:.2g} for {row['metric'].replace('_', ' ')}" for row in known.rows(named=True)]
    clear = known.filter(pl.col("q_value") <= LEVEL).height
    said = f"{', '.join(listed[:-1])} and {listed[-1]}" if len(listed) > 1 else listed[0]
    return (
        f"The scores are {said}; {clear} of {known.height} are larger than shuffled seeds give "
        f"(false discovery rate {percent(LEVEL)})."
    )


def _resolution_words(seen: pl.DataFrame) -> str:
    """1/n, the limits, and how many seeds they concern."""
    first = seen.row(0, named=True)
    zeros, seeds = int(seen["at_zero"].sum()), int(seen["seeds"].sum())
    blind = seen.filter(pl.col("value") <= 0)
    words = (
        f"One item is {first['smallest']:.2g} of the {first['items']}-item test, and a seed that passes none "
        f"may have a rate of up to {first['limit']:.2g}: that holds for {zeros} of {seeds} seeds."
    )
    if blind.is_empty():
        return f"{words} In every cell some seed passes some item."
    row = blind.row(-1, named=True)
    cells = "1 cell" if blind.height == 1 else f"{blind.height} cells"
    return (
        f"{words} In {cells} no seed passes any item; for {row['label']} this says that the average "
        f"rate is below {row['pooled_limit']:.2g}, not that it is 0."
    )
