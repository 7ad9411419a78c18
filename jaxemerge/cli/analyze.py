"""What do results of other programs show? Their report, and a summary on the terminal."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import polars as pl
from rich.console import Console

from jaxemerge.analysis import is_share, main_metric
from jaxemerge.analysis.aggregates import best_of_runs, improvements, over_tests
from jaxemerge.analysis.comparisons import alone, at_most, below_target, trend_sentence, value_differences
from jaxemerge.analysis.events import event_times
from jaxemerge.analysis.findings import supported, too_short
from jaxemerge.analysis.kinds import less_is_better
from jaxemerge.analysis.read import reading
from jaxemerge.cli.foreign import COLUMNS
from jaxemerge.cli.parser import suggestion
from jaxemerge.cli.report import print_diverged, print_scores, print_values
from jaxemerge.cli.studies import Front
from jaxemerge.cli.terminal import say
from jaxemerge.evaluation.metrics import success_threshold
from jaxemerge.report import write_report
from jaxemerge.report.page import Contents
from jaxemerge.report.training import event_curves
from jaxemerge.report.write import write_page

ROWS = ("by", "ignore", "wide", "seed_from_name", "unfinished")  # options on the rows of a file
MOST_PAIRS = 12  # of cells on the terminal


def analyze(options: argparse.Namespace, front: Front, console: Console) -> int:
    """Writes the report of a file of results, prints its summary and returns the exit code.

    Raises:
        ValueError: there is no such file, column or metric.
    """
    if (options.folder / "study.json").is_file():
        raise ValueError(f"{options.folder} is a results folder: use {front.name} report {options.folder}")
    if options.event is not None:
        return _events(options, console)
    results, notes = reading(
        _sources(options), _columns(options), **{name: getattr(options, name) for name in ROWS}
    )
    notes = (*notes, *too_short(results))
    metrics = results["metric"].unique(maintain_order=True).to_list()
    if options.score is not None and options.score not in metrics:
        hint = suggestion(options.score, metrics)
        raise ValueError(f"--score {options.score}: must be one of {', '.join(metrics)}{hint}")
    metric = options.score or main_metric(results)
    value = None if metric is None or is_share(results, metric) else metric
    if options.at_most is not None and metric is not None:
        results, metric, value = _with_limit(results, metric, options)
    folder = options.out or Path("results") / options.folder.stem
    said = ", ".join(f"{meaning} is {column}" for meaning, column in _columns(options).items())
    threshold = success_threshold(given=options.threshold)
    threshold = 1.0 if options.at_most is not None else threshold  # of 0 and 1, whether the limit is met
    path = write_report(
        results,
        folder,
        title=options.folder.stem,
        threshold=threshold,
        metric=metric,
        details=[
            ("file", _named(options)),
            ("columns", said or "as named in the file"),
        ]
        + [("note", note) for note in notes],
    )
    print_scores(console, results, metric, threshold)
    if value is not None:
        if metric != value:
            print_values(console, results, value)
        print_comparisons(console, results, value, options.at_most)
    shown = value or metric
    if shown is not None:
        print_aggregates(console, results, shown, options.best_of)
    print_diverged(console, results, scored=value is None or value != metric)
    for note in notes:
        say(console, f"Note: {note.removesuffix('.')}.")
    say(console, f"Report: {path}")
    return 0


def _sources(options: argparse.Namespace) -> Path | list[Path]:
    """The file, or all of several."""
    return [options.folder, *options.others] if options.others else options.folder


def _named(options: argparse.Namespace) -> str:
    return ", ".join(map(str, [options.folder, *options.others]))


def _events(options: argparse.Namespace, console: Console) -> int:
    """Writes the report of a column of event times, and prints its summary."""
    if options.value is not None or options.at_most is not None:
        raise ValueError("--event: times are analysed alone, without --value and --at-most")
    given = _columns(options)
    rows = {name: getattr(options, name) for name in ("by", "ignore", "seed_from_name")}
    found = event_times(_sources(options), options.event, given, **rows)
    said, drawn = event_curves(found.times, options.event)
    folder = options.out or Path("results") / options.folder.stem
    details = [("file", _named(options)), *(("note", note) for note in found.notes)]
    shown = Contents([said], drawn, (), pl.DataFrame())
    path = write_page(folder, shown, title=options.folder.stem, details=details)
    say(console, said)
    for note in found.notes:
        say(console, f"Note: {note}.")
    say(console, f"Report: {path}")
    return 0


def _with_limit(
    results: pl.DataFrame, metric: str, options: argparse.Namespace
) -> tuple[pl.DataFrame, str, str]:
    """The results with a metric of whether the limit is met, its name, and the metric that is limited."""
    names = results["metric"].unique(maintain_order=True).to_list()
    others = [name for name in names if not is_share(results, name)]
    value = str(options.score or next(iter(others), metric))
    return *at_most(results, value, options.at_most), value


def print_comparisons(console: Console, results: pl.DataFrame, metric: str, target: float | None) -> None:
    """Differences between cells, the trend with scale, and tests of the means against a target."""
    if target is not None:
        for row in below_target(results, metric, target).rows(named=True):
            if row["p_value"] is not None:
                way = "at most" if less_is_better(metric) else "at least"
                say(
                    console,
                    f"{row['label']}, {row['test']}: is the mean {way} {target:g}? Mean {row['mean']:.6g}, "
                    f"95 % limit {row['bound']:.6g}, p = {row['p_value']:.2g} (Student, one-sided).",
                )
    pairs = value_differences(results, metric)
    for row in pairs.drop_nulls("low").head(MOST_PAIRS).rows(named=True):
        number, *ends = supported(row["difference"], row["low"], row["high"])
        if ends:
            say(
                console,
                f"{row['test']}: {row['second']} less {row['first']} is {number}, 95 % {' to '.join(ends)}, "
                f"p = {row['p_adjusted']:.2g} (Welch, Holm for {pairs.height}).",
            )
    more = pairs.drop_nulls("low").height - MOST_PAIRS
    if more > 0:
        say(console, f"... and {more} more pairs, in tables/differences.csv")
    for sentence in filter(None, (alone(pairs), trend_sentence(results, metric))):
        say(console, sentence)


def print_aggregates(console: Console, results: pl.DataFrame, metric: str, k: int | None) -> None:
    """The expected best of k runs, where asked for, and cells compared over all of several tests."""
    for row in [] if k is None else best_of_runs(results, metric, k).rows(named=True):
        where = f"{row['label']}, {row['test']}: expected best of {k} runs"
        if row["best"] is None:
            say(console, f"{where}: there are only {row['runs']}.")
            continue
        best, *ends = supported(row["best"], row["low"], row["high"])
        interval = f", 95 % {' to '.join(ends)}" if ends else ""
        say(console, f"{where} {best}{interval}, from {row['runs']} runs.")
    splits = results.filter(pl.col("metric") == metric)["split"].n_unique()
    if splits < 2 or results["cell"].n_unique() < 2:
        return
    for row in over_tests(results, metric).rows(named=True):
        mean, *ends = supported(row["iqm"], row["low"], row["high"])
        interval = f", 95 % {' to '.join(ends)}" if ends else ""
        say(
            console,
            f"{row['label']}, all {row['tests']} tests: interquartile mean {mean}{interval}, "
            f"from {row['runs']} scores.",
        )
    for row in improvements(results, metric).rows(named=True):
        say(
            console,
            f"A run of {row['second']} is better than one of {row['first']} with probability "
            f"{row['probability']:.2f}, 95 % {row['low']:.2f} to {row['high']:.2f} (mean over tests).",
        )


def _columns(options: argparse.Namespace) -> dict[str, Any]:
    """Meaning -> column, as it was given."""
    given = {name: getattr(options, name) for name in COLUMNS if getattr(options, name) is not None}
    if "," in given.get("value", ""):
        given["value"] = given["value"].split(",")
    if given.get("trials", "").isdecimal():
        given["trials"] = int(given["trials"])
    return given
