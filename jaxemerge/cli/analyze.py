"""What do results of other programs show? Their report, and a summary on the terminal."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from rich.console import Console

from jaxemerge.analysis import main_metric
from jaxemerge.analysis.findings import too_short
from jaxemerge.analysis.read import reading
from jaxemerge.cli.foreign import COLUMNS
from jaxemerge.cli.parser import suggestion
from jaxemerge.cli.report import print_diverged, print_scores
from jaxemerge.cli.studies import SUCCESS, Front
from jaxemerge.cli.terminal import say
from jaxemerge.report import write_report

ROWS = ("by", "ignore", "wide", "seed_from_name", "unfinished")  # options on the rows of a file


def analyze(options: argparse.Namespace, front: Front, console: Console) -> int:
    """Writes the report of a file of results, prints its summary and returns the exit code.

    Raises:
        ValueError: there is no such file, column or metric.
    """
    if (options.folder / "study.json").is_file():
        raise ValueError(f"{options.folder} is a results folder: use {front.name} report {options.folder}")
    results, notes = reading(
        options.folder, _columns(options), **{name: getattr(options, name) for name in ROWS}
    )
    notes = (*notes, *too_short(results))
    metrics = results["metric"].unique(maintain_order=True).to_list()
    if options.score is not None and options.score not in metrics:
        hint = suggestion(options.score, metrics)
        raise ValueError(f"--score {options.score}: must be one of {', '.join(metrics)}{hint}")
    metric = options.score or main_metric(results)
    folder = options.out or Path("results") / options.folder.stem
    said = ", ".join(f"{meaning} is {column}" for meaning, column in _columns(options).items())
    threshold = SUCCESS if options.threshold is None else options.threshold
    path = write_report(
        results,
        folder,
        title=options.folder.stem,
        threshold=threshold,
        metric=metric,
        details=[("file", str(options.folder)), ("columns", said or "as named in the file")]
        + [("note", note) for note in notes],
    )
    print_scores(console, results, metric, threshold)
    print_diverged(console, results)
    for note in notes:
        say(console, f"Note: {note.removesuffix('.')}.")
    say(console, f"Report: {path}")
    return 0


def _columns(options: argparse.Namespace) -> dict[str, Any]:
    """Meaning -> column, as it was given."""
    given = {name: getattr(options, name) for name in COLUMNS if getattr(options, name) is not None}
    if "," in given.get("value", ""):
        given["value"] = given["value"].split(",")
    if given.get("trials", "").isdecimal():
        given["trials"] = int(given["trials"])
    return given
