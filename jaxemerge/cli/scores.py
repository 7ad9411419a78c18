"""The distributions over seeds as tables on the terminal."""

from __future__ import annotations

from collections.abc import Mapping

import polars as pl
from rich.console import Console
from rich.text import Text

from jaxemerge.analysis import final_values, is_share, loss_metric, never_right, summarise
from jaxemerge.analysis.findings import divergences
from jaxemerge.analysis.results import MEMBER
from jaxemerge.charts.theme import metric_name, metric_title
from jaxemerge.cli.terminal import number, say, share, table

MOST_ROWS = 40  # of a table on the terminal


def print_diverged(console: Console, results: pl.DataFrame) -> None:
    """Says which seeds diverged, if any did."""
    members = results.group_by(MEMBER).agg(pl.col("diverged").any())
    lost = int(members["diverged"].sum())
    if lost:
        say(
            console,
            f"{lost} of {members.height} seeds diverged; they count as failures.{divergences(results)}",
        )


def print_scores(
    console: Console,
    results: pl.DataFrame,
    metric: str | None,
    threshold: float,
    best_losses: Mapping[str, float | None] | None = None,
) -> None:
    """Success and its size where a metric is a share of items, else means; nothing where there is none.

    Cells that only luck gets right show their losses instead: no run ever has a right answer, and by the word
    of its task none can be sure of one, for the best possible loss is above 0.

    Args:
        console: where to.
        results: of a study.
        metric: the score; None where there is none.
        threshold: success is a score of at least this.
        best_losses: the lowest loss that any model can reach, by cell; None where it is not known.
    """
    if metric is None:
        return
    floors = {cell: loss for cell, loss in (best_losses or {}).items() if loss}
    of_luck = pl.col("cell").is_in([cell for cell in floors if _is_luck(results, cell, metric)])
    lost, others = results.filter(of_luck), results.filter(~of_luck)
    loss = loss_metric(lost)
    if loss is not None:
        print_values(console, lost, loss, floors)
    if others.is_empty():
        return
    if is_share(others, metric):
        print_summary(console, others, threshold, metric)
    else:
        print_values(console, others, metric)


def _is_luck(results: pl.DataFrame, cell: str, metric: str) -> bool:
    """Whether a cell has a score and a loss, and no run of it ever scores."""
    rows = results.filter(pl.col("cell") == cell)
    both = {metric, loss_metric(rows)} <= set(rows["metric"].unique())
    return both and is_share(rows, metric) and never_right(rows, metric)


def print_summary(
    console: Console, results: pl.DataFrame, threshold: float, metric: str = "exact_match"
) -> None:
    """Success and its size for every cell and test."""
    summary = summarise(results, metric, threshold)
    lengths = summary["length"].count() == summary.height and summary["split"].n_unique() == 1
    made = table(
        "cell",
        "length" if lengths else "test",
        "seeds",
        f"P(>= {threshold:g})",
        "95 %",
        "mean of successes",
        "mean",
        "mode",
    )
    previous = None
    for row in summary.iter_rows(named=True):
        made.add_row(
            "" if row["cell"] == previous else row["cell"],
            str(row["length"]) if lengths else row["test"],
            str(row["seeds"]),
            share(row["success"]),
            f"{share(row['success_low'])} to {share(row['success_high'])}",
            share(row["success_mean"]),
            share(row["mean"]),
            share(row["mode"]),
        )
        previous = row["cell"]
    title = f"{metric_name(metric).capitalize()} over seeds at the end of training"
    console.print(Text(title, style="bold"))
    console.print(made)


def print_values(
    console: Console, results: pl.DataFrame, metric: str, best: Mapping[str, float] | None = None
) -> None:
    """Means of a metric without bounds, for every cell and test; of very many the first.

    ``best`` is, by cell, the lowest loss that any model can reach.
    """
    found = final_values(results, metric).table
    made = table(
        "cell", "test", "runs", "mean", "95 %", "least", "most", *(["best possible"] if best else []), left=2
    )
    for row in found.head(MOST_ROWS).iter_rows(named=True):
        mean, low, high, least, most = (
            number(row[name]) for name in ("mean", "low", "high", "least", "most")
        )
        interval = f"{low} to {high}" if low != "-" else "-"
        floor = [number(best[row["cell"]])] if best else []
        made.add_row(row["cell"], row["test"], str(row["runs"]), mean, interval, least, most, *floor)
    title = metric_title(metric)
    console.print(Text(f"{title[0].upper()}{title[1:]} over runs at their end", style="bold"))
    console.print(made)
    if found.height > MOST_ROWS:
        say(console, f"... and {found.height - MOST_ROWS} more cells; all are in tables/values.csv")
