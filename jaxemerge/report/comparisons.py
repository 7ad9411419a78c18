"""What does the report show of values without bounds: differences of cells, their trend, and a target?"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import polars as pl

from jaxemerge import charts
from jaxemerge.analysis import findings, laws_of_scale, learning_curves, scale_title
from jaxemerge.analysis.comparisons import alone, trend_sentence, value_differences
from jaxemerge.analysis.results import rows_of
from jaxemerge.charts.theme import metric_name

from .page import Figure, figure, plain
from .scale import MOST_PANELS


def differences(frame: pl.DataFrame, metric: str) -> Iterator[Figure]:
    """Differences between the means of cells, and the change with scale, where there are several cells."""
    table = value_differences(frame, metric)
    if table.is_empty():
        return
    said = [_difference(row) for row in findings.few(table.rows(named=True))]
    pairs = f"{table.height} {'pair' if table.height == 1 else 'pairs'}"
    words = (
        f"Differences of means with 95% intervals (Welch); p-values are two-sided, by Holm for {pairs}. "
        f"{findings.clause(said)}. {alone(table)} {trend_sentence(frame, metric)}"
    )
    heading = f"Do the cells differ? {metric_name(metric).capitalize()}"
    yield replace(plain("differences", heading, words), table=table)


def _difference(row: dict[str, object]) -> str:
    where = f"{row['second']} less {row['first']}"
    value, low, high = (row[name] for name in ("difference", "low", "high"))
    number, *ends = findings.supported(value, low, high)  # type: ignore[arg-type]
    if not ends:
        return f"{where}: {number}"
    return f"{where}: {number} [{', '.join(ends)}], p = {row['p_adjusted']:.2g}"


def power_laws(frame: pl.DataFrame, metric: str | None) -> Iterator[Figure]:
    """The power law of a metric without bounds in whatever scale was varied, one for each panel."""
    found = {} if metric is None else laws_of_scale(frame, metric)
    for number, (panel, trend) in enumerate(list(found.items())[:MOST_PANELS]):
        law, title = trend.law, scale_title(trend.column)
        of = f": {panel}" if panel else ""
        rest = f"E {findings.in_words(law.E)}, " if law.E.value else ""
        formula = f"A (x / {law.centre:.3g})^-alpha"
        yield figure(
            f"power_law_{number + 1}" if len(found) > 1 else "power_law",
            f"How does {metric_name(trend.metric)} depend on {title}?{of}",
            f"Dots are runs that did not fail; the line is {'E + ' if rest else ''}{formula}, where x is the "
            f"{title}, with {rest}A {findings.in_words(law.coefficient)} and alpha "
            f"{findings.in_words(law.exponent)} (95% intervals, bootstrap over runs). The form is assumed.",
            charts.one_scale(trend),
            trend.line(),
        )


def along_training(frame: pl.DataFrame, metric: str | None) -> Iterator[Figure]:
    """The curves of a metric without bounds on its first test, where it was measured more than once."""
    if metric is None or metric == "train_loss":
        return
    rows = rows_of(frame, metric)
    split, length = rows.select("split", "length").sort("split", "length").row(0)
    chosen = rows.filter(pl.col("split") == split, pl.col("length").eq_missing(pl.lit(length)))
    if chosen["step"].n_unique() == 1:
        return
    yield figure(
        "learning_curves",
        f"How does it fall or rise? {metric_name(metric).capitalize()} over training",
        "Thin lines are seeds, the thick ones the median and the 10% and 90% quantiles over all seeds; a run "
        "that failed counts as worse than every other. "
        + findings.loss_sentence(learning_curves(chosen, metric)),
        charts.learning_curves(chosen, metric),
    )
