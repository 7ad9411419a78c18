"""What was found? Reports of results folders and of anyone's results, their tables, and models for others."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping
from typing import Any

import polars as pl
from rich.console import Console
from rich.text import Text

from jaxemerge.analysis import (
    final_values,
    is_share,
    loss_metric,
    main_metric,
    never_right,
    summarise,
)
from jaxemerge.analysis.ends import stopped_sentences
from jaxemerge.analysis.findings import constant_sentences, divergences, supported
from jaxemerge.analysis.kinds import limited
from jaxemerge.analysis.results import MEMBER
from jaxemerge.charts.theme import metric_name, metric_title
from jaxemerge.cli.cells import parse_seeds, selected_names
from jaxemerge.cli.own_study import OwnStudy
from jaxemerge.cli.studies import Front
from jaxemerge.cli.terminal import number, say, share, table
from jaxemerge.cli.watch import cleared, finished, follow
from jaxemerge.exports import write_members
from jaxemerge.runner.labels import labels
from jaxemerge.runner.opening import open_store
from jaxemerge.runner.records import CellStatus, StoreError
from jaxemerge.runner.store import Store
from jaxemerge.study import report_of
from jaxemerge.study.folder import constant_scores_of

MOST_ROWS = 40  # of a table on the terminal


def report(options: argparse.Namespace, front: Front, console: Console) -> int:
    """Writes the report of a results folder, and with ``--watch`` again after every finished chunk."""
    if options.watch is None:
        write(open_store(options.folder), options, front, console)
        return 0
    written: tuple[float | None, list[int]] = (None, [])

    def show(cells: list[CellStatus]) -> None:
        nonlocal written
        seeds = [cell.finished for cell in cells]
        reload = None if finished(cells) else options.watch  # the last page does not reload
        if any(seeds) and (reload, seeds) != written:
            written = (reload, seeds)
            cleared(console)
            write(open_store(options.folder), options, front, console, reload)

    follow(options.folder, options.watch, show)
    return 0


def write(
    store: Store,
    options: argparse.Namespace,
    front: Front,
    console: Console,
    reload: float | None = None,
    *,
    unless_current: bool = False,
) -> None:
    """Writes the report of a results folder and prints the summary of its distributions.

    Args:
        store: the results.
        options: the threshold, where one is given.
        front: the studies, for the findings of one.
        console: where to print.
        reload: seconds after which the open page loads itself again; None for never.
        unless_current: leave a report as it is if the same one would be written.

    Raises:
        StoreError: no seed is finished.
    """
    results = store.results()
    if results.is_empty():
        raise StoreError(f"{store.folder} holds no finished seeds yet: nothing to report")
    records, threshold = store.records(), front.success(options.threshold, store)
    for line in notes_on_threshold(options.threshold, threshold, store, front):
        say(console, line)
    study = front.studies.get(store.study)
    found = findings(study, store, results, store.passes())
    figure = study.figure(results) if isinstance(study, OwnStudy) else None
    details = [(each.name, each.numbers) for each in found]
    path = report_of(
        store, threshold, details=details, figure=figure, reload=reload, unless_current=unless_current
    )
    best = {record["cell"]: record.get("best_loss") for record in records}
    print_scores(console, results, main_metric(results), threshold, best)
    print_diverged(console, results)
    for line in stopped_sentences(results):
        say(console, line)
    for line in constant_sentences(results, constant_scores_of(records)):
        say(console, line)
    for each in found:
        say(console, each.line)
    say(console, f"Report: {path}")


def notes_on_threshold(given: float | None, threshold: float, store: Store, front: Front) -> Iterator[str]:
    """What a person should know of the score that counts as a success."""
    if given is store.threshold is None and not front.studies:
        yield f"No studies here: success is an exact match of {threshold:g}, unless --threshold says else."
    if given is None and store.threshold not in (None, threshold):
        yield (
            f"The folder's threshold {store.threshold:g} is no more than chance: success is a score of "
            f"{threshold:g} here."
        )


def findings(study: Any, store: Store, results: pl.DataFrame, passes: pl.DataFrame | None) -> list[Any]:
    """What a measured study asks of its results; nothing where cells are missing, or other than its own."""
    if not hasattr(study, "findings") or set(results["cell"]) != store.cells.keys():
        return []
    if isinstance(study, OwnStudy):
        return study.findings(results)
    rows = passes if getattr(study, "SAMPLES", False) else results
    own = [{cell.cell for cell in study.cells(quick=quick)} for quick in (True, False)]
    return study.findings(study.kept(rows)) if store.cells.keys() in own else []


def export(options: argparse.Namespace, front: Front, console: Console) -> int:
    """Writes the members of cells whose weights were kept, each cell into a folder of its own.

    Raises:
        ValueError: no folder is named, or no weights were kept.
    """
    store = open_store(options.folder)
    if options.out is None:
        raise ValueError("export: name a folder to write to, with --out")
    names = selected_names(labels(store.cells), options.cells)
    asked = set(parse_seeds(options.seeds)) if options.seeds is not None else None
    results, written, threshold = store.results(), 0, front.success(options.threshold, store)
    for name in names:
        kept = [seed for seed in store.saved_weights(name) if asked is None or seed in asked]
        if not kept:
            continue
        mine = pl.struct("init_seed", "data_seed").is_in(
            [{"init_seed": init, "data_seed": data} for init, data in kept]
        )
        rows = results.filter(pl.col("cell") == name).filter(mine)
        members = ((seed, arrays) for seed, arrays in store.weights(name) if seed in set(kept))
        circumstances = [record["provenance"] for record in store.records() if record["cell"] == name]
        fields = {**store.cells[name], "study": store.study}
        write_members(options.out / name, fields, members, rows, circumstances, threshold=threshold)
        say(console, f"{options.out / name}: {len(kept)} members")
        written += len(kept)
    if not written:
        which = "these seeds" if asked else "any seeds"
        raise ValueError(f"{store.folder} holds no weights of {which}: train them with --keep-weights")
    return 0


def print_diverged(console: Console, results: pl.DataFrame, *, scored: bool = True) -> None:
    """Says which seeds diverged, if any did, and how they count: in scores, or in means of other metrics."""
    members = results.group_by(MEMBER).agg(pl.col("diverged").any())
    lost = int(members["diverged"].sum())
    if lost:
        say(
            console,
            f"{lost} of {members.height} seeds diverged; they "
            f"{'count as failures' if scored else 'are left out of means'}.{divergences(results)}",
        )


def print_scores(
    console: Console,
    results: pl.DataFrame,
    metric: str | None,
    threshold: float,
    best_losses: Mapping[str, float | None] | None = None,
) -> None:
    """Prints success rates and means of successes for a share of items, means for other metrics.

    Cells that only luck gets right show their losses instead: no run ever has a right answer, and by the word
    of its task none can be sure of one, for the best possible loss is above 0.

    Args:
        console: where to.
        results: of a study.
        metric: the score; None prints nothing.
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
        "items",
        "seeds",
        f"P({metric})" if limited(metric) else f"P(>= {threshold:g})",
        "95 %",
        "mean of successes",
        "mean",
        "mode",
    )
    previous = None
    for row in summary.iter_rows(named=True):
        made.add_row(
            "" if row["cell"] == previous else row["label"],
            str(row["length"]) if lengths else row["test"],
            "-" if row["trials"] is None else str(row["trials"]),
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
        mean, *ends = ("-",) if row["mean"] is None else supported(row["mean"], row["low"], row["high"])
        interval = " to ".join(ends) if ends else "-"
        least, most = (number(row[name]) for name in ("least", "most"))
        floor = [number(best[row["cell"]])] if best else []
        made.add_row(row["label"], row["test"], str(row["runs"]), mean, interval, least, most, *floor)
    title = metric_title(metric)
    console.print(Text(f"{title[0].upper()}{title[1:]} over runs at their end", style="bold"))
    console.print(made)
    if found.height > MOST_ROWS:
        say(console, f"... and {found.height - MOST_ROWS} more cells; all are in tables/values.csv")
