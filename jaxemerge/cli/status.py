"""How far is a results folder: finished, running, missing, damaged?"""

from __future__ import annotations

import argparse

from rich.console import Console

from jaxemerge.cli.studies import Front
from jaxemerge.cli.terminal import say, table
from jaxemerge.runner.quantities import duration
from jaxemerge.runner.records import CellStatus, Records, open_records, study_status


def run(options: argparse.Namespace, front: Front, console: Console) -> int:
    """Prints how far every cell is."""
    print_status(console, open_records(options.folder))
    return 0


def print_status(console: Console, store: Records) -> None:
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
