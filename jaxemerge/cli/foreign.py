"""What may be asked of results of other programs? The meaning of their columns, and of their rows."""

from __future__ import annotations

import argparse
from pathlib import Path

from jaxemerge.cli.parser import Parser, one_of, real, share, whole
from jaxemerge.cli.studies import Front

# What columns of a file may mean; jaxemerge.analysis.read_results says more.
COLUMNS = {
    "value": "scores; several columns with commas between them, one per metric",
    "scale": "what was varied, such as the size of the model",
    "seed": "tells the runs of one scale apart",
    "trials": "number of items behind a score: a column, or a number",
    "parameters": "model size N, for scaling laws",
    "tokens": "training tokens D, for scaling laws",
    "flops": "training compute C, for scaling laws",
    "step": "training step, where runs were scored several times",
    "model": "names of the models",
    "task": "names of the tests",
    "metric": "names of the metrics, where each row has one score",
}

# How runs that end early may be counted, as jaxemerge.analysis.ends has it.
COUNTED_AS = ("omitted", "failed", "last")


def _names(text: str) -> tuple[str, ...]:
    """Names with commas between them."""
    return tuple(name.strip() for name in text.split(",") if name.strip())


def add_analyze(parser: Parser, front: Front) -> None:
    """Gives the options of analyze to its parser."""
    parser.add_argument("folder", nargs="?", type=Path, metavar="FILE", help=argparse.SUPPRESS)
    parser.add_argument("others", nargs="*", type=Path, help=argparse.SUPPRESS)
    group = parser.add_argument_group("columns of the file (default: those that bear these names)")
    for name, words in COLUMNS.items():
        group.add_argument(f"--{name}", metavar="COLUMN", help=words)
    add = parser.add_argument_group("rows of the file").add_argument
    several = "columns of settings varied besides the scale, with commas between them"
    add("--by", type=_names, default=(), metavar="COLUMNS", help=several)
    add("--ignore", type=_names, default=(), metavar="COLUMNS", help="columns that mean nothing")
    add("--wide", metavar="PATTERN", help="columns with the scores of one seed each, such as 'seed_*'")
    add("--seed-from-name", metavar="REGEX", help="seed in the names of files, such as 'seed(\\d+)'")
    counted = "runs shorter than others of their cell: omitted (default), failed, or last"
    add("--unfinished", metavar="HOW", type=one_of(*COUNTED_AS), default=COUNTED_AS[0], help=counted)
    times = "a column of event times, one per run, instead of scores; empty is censored at the run's step"
    add("--event", metavar="COLUMN", help=times)
    add = parser.add_argument_group("report").add_argument
    add("--score", metavar="METRIC", help="metric to report (default: the first share)")
    success = "score that counts as a success (default: 0.2)"
    add("--threshold", type=share, metavar="SHARE", help=success)
    limit = "success is a value of at most X, such as a loss of 3.28; also tests the means"
    add("--at-most", type=real, metavar="X", help=limit)
    best = "also print the expected best of K runs of each cell"
    add("--best-of", type=whole(1), metavar="K", help=best)
    add("--out", type=Path, metavar="DIR", help="where to write (default: results/, with FILE's name)")
