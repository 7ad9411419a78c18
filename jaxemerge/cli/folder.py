"""What is done with results that are there: status, report, verify, export."""

from __future__ import annotations

import argparse
from typing import Any

import polars as pl
from rich.console import Console

from jaxemerge.analysis import main_metric
from jaxemerge.cli.options import parse_seeds, required_folder, selected_names, threshold_of
from jaxemerge.cli.terminal import print_diverged, print_scores, print_status, say
from jaxemerge.exports import write_members
from jaxemerge.report import report_damage, write_report
from jaxemerge.runner.opening import open_store
from jaxemerge.runner.provenance import described
from jaxemerge.runner.store import Store

FAILED = 1  # exit code


def on_folder(options: argparse.Namespace, console: Console) -> int:
    """Runs one of these commands and returns the exit code."""
    store = open_store(required_folder(options))
    if options.command == "status":
        return status(store, console)
    if options.command == "verify":
        return verify(store, console)
    if options.command == "export":
        return export(store, options, console)
    return report(store, options, console)


def report(store: Store, options: argparse.Namespace, console: Console) -> int:
    """Writes the report of a results folder and prints the summary of its distributions."""
    results = store.results()
    if results.is_empty():
        raise ValueError(f"{store.folder} holds no finished seeds yet: nothing to report")
    records, passes = store.records(), store.passes()
    threshold = threshold_of(options, store.study)
    found = findings(options.studies.get(store.study), store, results, passes)
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
    return 0


def findings(study: Any, store: Store, results: pl.DataFrame, passes: pl.DataFrame | None) -> list[Any]:
    """What a measured study asks of its results; nothing where cells are missing, or other than its own."""
    if not hasattr(study, "findings") or set(results["cell"]) != store.cells.keys():
        return []
    rows = passes if getattr(study, "SAMPLES", False) else results
    own = [{cell.cell for cell in study.cells(quick=quick)} for quick in (True, False)]
    return study.findings(study.kept(rows)) if store.cells.keys() in own else []


def verify(store: Store, console: Console) -> int:
    """Checks every file of a results folder."""
    damage, spoilt = store.damage(), report_damage(store.folder)
    for line in (*damage, *spoilt):
        say(console, line)
    if damage:
        say(console, "Run the study's command again: damaged parts are set aside and trained anew.")
    elif spoilt:
        say(console, f"Run report {store.folder} to write the report again.")
    if damage or spoilt:
        return FAILED
    say(console, f"{store.folder}: all {len(store.records())} finished chunks are whole.")
    return 0


def status(store: Store, console: Console) -> int:
    """Prints how far every cell is."""
    print_status(console, store)
    return 0


def export(store: Store, options: argparse.Namespace, console: Console) -> int:
    """Writes the members of cells whose weights were kept, each cell into a folder of its own."""
    if options.out is None:
        raise ValueError("export: name a folder to write to, with --out")
    names = selected_names(list(store.cells), options.cells)
    asked = set(parse_seeds(options.seeds)) if options.seeds is not None else None
    results, written, threshold = store.results(), 0, threshold_of(options, store.study)
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
