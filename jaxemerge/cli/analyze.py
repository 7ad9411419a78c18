"""What is done with anyone's results: read, reported, summarised."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from rich.console import Console

from jaxemerge.analysis import main_metric, read_results
from jaxemerge.cli.options import COLUMNS
from jaxemerge.cli.parser import suggestion
from jaxemerge.cli.scores import print_diverged, print_scores
from jaxemerge.cli.studies import SUCCESS, Front
from jaxemerge.cli.terminal import say
from jaxemerge.report import write_report


def run(options: argparse.Namespace, front: Front, console: Console) -> int:
    """Writes the report of a file of results, prints its summary and returns the exit code.

    Raises:
        ValueError: there is no such file, column or metric.
    """
    if (options.folder / "study.json").is_file():
        raise ValueError(f"{options.folder} is a results folder: use {front.name} report {options.folder}")
    results = read_results(options.folder, _columns(options))
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
        details=[("file", str(options.folder)), ("columns", said or "as named in the file")],
    )
    print_scores(console, results, metric, threshold)
    print_diverged(console, results)
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
