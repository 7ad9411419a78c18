"""What was found? The report of a results folder, and its summary on the terminal."""

from __future__ import annotations

import argparse
from typing import Any

import polars as pl
from rich.console import Console

from jaxemerge.analysis import main_metric
from jaxemerge.cli.scores import print_diverged, print_scores
from jaxemerge.cli.studies import Front
from jaxemerge.cli.terminal import say
from jaxemerge.report import write_report
from jaxemerge.runner.opening import open_store
from jaxemerge.runner.provenance import described
from jaxemerge.runner.records import StoreError
from jaxemerge.runner.store import Store


def run(options: argparse.Namespace, front: Front, console: Console) -> int:
    """Writes the report of a results folder."""
    write(open_store(options.folder), options, front, console)
    return 0


def write(store: Store, options: argparse.Namespace, front: Front, console: Console) -> None:
    """Writes the report of a results folder and prints the summary of its distributions.

    Args:
        store: the results.
        options: the threshold, where one is given.
        front: the studies, for the findings of one.
        console: where to print.

    Raises:
        StoreError: no seed is finished.
    """
    results = store.results()
    if results.is_empty():
        raise StoreError(f"{store.folder} holds no finished seeds yet: nothing to report")
    records, passes = store.records(), store.passes()
    threshold = front.success(options.threshold, store)
    if options.threshold is store.threshold is None and not front.studies:
        say(
            console,
            f"No studies here: success is an exact match of {threshold:g}, unless --threshold says else.",
        )
    found = findings(front.studies.get(store.study), store, results, passes)
    path = write_report(
        results,
        store.folder,
        title=store.study,
        threshold=threshold,
        details=[*((each.name, each.numbers) for each in found), *described(records)],
        passes=passes,
        chance=max(record.get("chance", 0.0) for record in records),
        best_loss=min(record.get("best_loss") or 0.0 for record in records),
    )
    best = {record["cell"]: record.get("best_loss") for record in records}
    print_scores(console, results, main_metric(results), threshold, best)
    print_diverged(console, results)
    for each in found:
        say(console, each.line)
    say(console, f"Report: {path}")


def findings(study: Any, store: Store, results: pl.DataFrame, passes: pl.DataFrame | None) -> list[Any]:
    """What a measured study asks of its results; nothing where cells are missing, or other than its own."""
    if not hasattr(study, "findings") or set(results["cell"]) != store.cells.keys():
        return []
    rows = passes if getattr(study, "SAMPLES", False) else results
    own = [{cell.cell for cell in study.cells(quick=quick)} for quick in (True, False)]
    return study.findings(study.kept(rows)) if store.cells.keys() in own else []
