"""Tables on the terminal: what a study costs, what is finished, what came out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

import polars as pl
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from jaxemerge.analysis import final_values, is_share, loss_metric, never_right, summarise
from jaxemerge.analysis.findings import divergences
from jaxemerge.analysis.results import MEMBER
from jaxemerge.charts.theme import metric_name, metric_title
from jaxemerge.runner.jobs import Estimate, Job
from jaxemerge.runner.opening import CellStatus, study_status
from jaxemerge.runner.progress import duration, quantity
from jaxemerge.runner.store import Store
from jaxemerge.training import Plan

_SOURCES = {
    "formula": "by formula",
    "given": "given by hand",
    "recorded": "as its finished seeds",
    "search": "timed now",
    "cache": "timed before",
    "halved": "halved for want of memory",
}


MOST_ROWS = 40  # of a table on the terminal


def table(*columns: str, left: int = 1) -> Table:
    """An empty table; the first ``left`` columns are text, the others numbers."""
    made = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for i, name in enumerate(columns):
        # Where the terminal is narrow only text may wrap, never a number.
        made.add_column(name, justify="left" if i < left else "right", no_wrap=i >= left, overflow="fold")
    return made


def say(console: Console, text: str) -> None:
    """Prints text as it is, on one line however long."""
    console.print(text, markup=False, soft_wrap=True)


def plan_table(
    console: Console, costs: Sequence[Estimate], rate: float, order: Sequence[str], *, given: bool
) -> None:
    """Numbers (as in ``order``) and names of cells; parameters, FLOPs, memory and time of what is left."""
    names = ("cell", "N", "with embeddings", "seeds left", "at once", "FLOPs", "memory", "time")
    made = table("", *names, left=2)
    for cost in costs:
        made.add_row(
            str(order.index(cost.experiment.cell) + 1),
            cost.experiment.cell,
            quantity(cost.parameters),
            quantity(cost.total_parameters),
            str(cost.seeds),
            str(cost.chunk),
            f"{cost.flops:.2g}",
            f"{quantity(cost.bytes)}B",
            duration(cost.seconds),
        )
    console.print(made)
    print_plans(console, costs)
    source = "as given" if given else "estimated from this machine's matrix-product peak"
    say(
        console,
        f"In all {sum(c.seeds for c in costs)} seeds, {sum(c.flops for c in costs):.2g} FLOPs, about "
        f"{duration(sum(c.seconds for c in costs))} at {rate:.2g} FLOP/s ({source}), without compilation.",
    )


def print_plans(console: Console, costs: Sequence[Estimate]) -> None:
    """One line for every way in which cells are trained."""
    cells = Counter(plan_text(cost.plan, cost.grouped_seeds) for cost in costs if cost.plan)
    for text, n in cells.items():
        say(console, f"{n} cell{'s' * (n > 1)}: {text}")


def plan_text(plan: Plan, beside: int = 0) -> str:
    """A plan in words: seeds at once, of how many cells, on what, how, and where the plan comes from."""
    devices, width = plan.layout.devices, plan.layout.width
    kind = f"{len(devices)} {devices[0].device_kind} device{'s' * (len(devices) > 1)}"
    how = "one after the other (map)" if width == 1 else f"{width} side by side (vmap)"
    whose = "" if not beside else ", of cells with the same program,"
    return f"{plan.chunk} seeds at once{whose} on {kind}, on each {how}; {_SOURCES[plan.source]}"


def print_missing(console: Console, todo: Sequence[Job], folder: Path, processes: int = 1) -> None:
    """One line on what is about to be trained."""
    seeds = sum(len(job.experiment.seeds) for job in todo)
    devices = todo[0].plan.layout.devices
    share = f", as the first of {processes} processes" if processes > 1 else ""
    say(
        console,
        f"Training {seeds} seeds in {len(todo)} cells on {len(devices)} {devices[0].device_kind} "
        f"device{'s' * (len(devices) > 1)}{share}, into {folder}",
    )


def print_status(console: Console, store: Store) -> None:
    """How far every cell is, who is at work on it, and what is damaged."""
    cells = study_status(store)
    made = table("cell", "steps", "finished", "missing", "checkpoints", "training time", "now")
    for cell in cells:
        made.add_row(
            cell.cell,
            str(cell.steps),
            str(cell.finished),
            "-" if cell.missing is None else str(cell.missing),
            ", ".join(f"{seeds} at {step:,}" for step, seeds in cell.checkpointed) or "-",
            duration(cell.seconds),
            _state(cell),
        )
    console.print(made)
    for cell in cells:
        for one in cell.writers:
            since = one["since"][:19].replace("T", " ")
            who = f"process {one['pid']} on {one['host']}"
            say(console, f"{cell.cell} is trained by {who} since {since} (UTC)")
    damaged = [line for cell in cells for line in cell.damaged]
    for line in damaged:
        say(console, line)
    if damaged:
        say(console, "Run the study's command again: damaged parts are set aside and trained anew.")


def _state(cell: CellStatus) -> str:
    """What is going on with a cell, in a word."""
    if cell.damaged:
        return "damaged"
    if cell.writers:
        return "running"
    if cell.missing == 0 or (cell.missing is None and cell.finished and not cell.checkpointed):
        return "finished"
    return "interrupted" if cell.checkpointed else "waiting"


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


def number(value: float | None) -> str:
    """A number with four digits; a dash where there is none."""
    return "-" if value is None else f"{value:.4g}"


def share(value: float | None) -> str:
    """A share with two decimals; a dash where there is none."""
    return "-" if value is None or value != value else f"{value:.2f}"
