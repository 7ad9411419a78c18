"""Which studies are there, how far is one, and are its files intact?"""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from rich.console import Console

from jaxemerge.cli.studies import ELSEWHERE, Front
from jaxemerge.cli.terminal import say, table
from jaxemerge.cli.watch import cleared, follow
from jaxemerge.runner.labels import labels
from jaxemerge.runner.quantities import duration
from jaxemerge.runner.records import CellStatus, Records, open_records, study_status
from jaxemerge.runner.scheduler import failures

DAMAGED = NOTHING = 1  # exit codes of verify


def list_studies(options: argparse.Namespace, front: Front, console: Console) -> int:
    """Prints every study with the first line of its header."""
    for name in front.studies:
        say(console, f"{name:24} {front.headline(name)}")
    if not front.studies:
        say(console, f"{ELSEWHERE[0].upper()}{ELSEWHERE[1:]}.")
    return 0


def status(options: argparse.Namespace, front: Front, console: Console) -> int:
    """Prints how far every cell is."""
    if options.watch is None:
        print_status(console, open_records(options.folder))
        return 0

    def show(cells: list[CellStatus]) -> None:
        cleared(console)
        print_status(console, open_records(options.folder), cells)

    follow(options.folder, options.watch, show)
    return 0


def verify(options: argparse.Namespace, front: Front, console: Console) -> int:
    """Checks every file of a results folder."""
    from jaxemerge.report import report_damage  # imports Altair, which nothing else here needs
    from jaxemerge.runner.opening import open_store

    store = open_store(options.folder)
    damage, spoilt = store.damage(), report_damage(store.folder)
    for line in (*damage, *spoilt):
        say(console, line)
    if damage:
        say(console, "Run the study's command again: damaged parts are set aside and retrained.")
    elif spoilt:
        say(console, f"Write the report again: {front.name} report {store.folder}")
    if damage or spoilt:
        return DAMAGED
    if not (chunks := len(store.records())):
        say(console, f"{store.folder} holds no finished seeds: there is nothing to verify.")
        return NOTHING
    missing = sum(cell.missing or 0 for cell in study_status(store))
    besides = f" Results of {missing} seeds that were asked for are missing." if missing else ""
    say(console, f"{store.folder}: all {chunks} finished chunks are whole.{besides}")
    return 0


def print_status(console: Console, store: Records, known: Sequence[CellStatus] | None = None) -> None:
    """How far every cell is, who is at work on it, and what is damaged.

    Args:
        console: to print on.
        store: the results folder.
        known: the state of its cells; None reads it.
    """
    cells, called = study_status(store) if known is None else known, labels(store.cells)
    failed = {cell: why for cell, why in failures(store.folder / "jobs").items() if cell in called}
    made = table("cell", "steps", "finished", "missing", "checkpoints", "training time", "now")
    for cell in cells:
        made.add_row(
            called[cell.cell],
            str(cell.steps),
            str(cell.finished),
            "-" if cell.missing is None else str(cell.missing),
            ", ".join(f"{seeds} at {step:,}" for step, seeds in cell.checkpointed) or "-",
            duration(cell.seconds),
            _state(cell, cell.cell in failed),
        )
    console.print(made)
    for cell in cells:
        for one in cell.writers:
            since = one["since"][:19].replace("T", " ")
            who = f"process {one['pid']} on {one['host']}"
            say(console, f"{called[cell.cell]} is trained by {who} since {since} (UTC)")
        if _state(cell, True) == "failed" and cell.cell in failed:
            say(console, f"{called[cell.cell]}: its last job failed: {failed[cell.cell]}")
    damaged = [line for cell in cells for line in cell.damaged]
    for line in damaged:
        say(console, line)
    if damaged:
        say(console, "Run the study's command again: damaged parts are set aside and trained anew.")


def _state(cell: CellStatus, failed: bool) -> str:
    """The state of a cell in a word; ``failed`` says that its last job did."""
    if cell.damaged:
        return "damaged"
    if cell.writers:
        return "running"
    if cell.missing == 0 or (cell.missing is None and cell.finished and not cell.checkpointed):
        return "finished"
    if failed:
        return "failed"
    return "interrupted" if cell.checkpointed else "waiting"
