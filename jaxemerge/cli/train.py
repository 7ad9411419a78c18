"""Trains what is missing of a study, whatever comes between."""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from jaxemerge.cli.chip import chip_plan, compile_on_host
from jaxemerge.cli.folder import FAILED, report
from jaxemerge.cli.options import (
    chosen_cells,
    parse_memory,
    results_folder,
    selected,
    study_name,
    threshold_of,
)
from jaxemerge.cli.terminal import plan_table, print_missing, say
from jaxemerge.devices import cache_folder, keep_compiled, use_host_cores
from jaxemerge.runner.chunk import Follow, RunOptions
from jaxemerge.runner.experiment import Experiment
from jaxemerge.runner.groups import grouped
from jaxemerge.runner.jobs import Job, assumed_rate, estimates, jobs
from jaxemerge.runner.opening import create_store, open_store, overwrite
from jaxemerge.runner.processes import ALONE, Processes
from jaxemerge.runner.progress import Display, quantity
from jaxemerge.runner.signals import StoppedError, StopRequest
from jaxemerge.runner.store import Store
from jaxemerge.runner.study import is_done, train_jobs
from jaxemerge.runner.tracking import ChunkMetrics, tracker
from jaxemerge.runner.train import prepare
from jaxemerge.training import Seed, cost_of
from jaxemerge.training.chips import chip_named


def study(
    options: argparse.Namespace, console: Console, stop: StopRequest, processes: Processes = ALONE
) -> int:
    """Trains what is missing of a study, then writes its report."""
    whole = chosen_cells(options)
    cells = processes.own(selected(whole, options.cells))
    given: dict[str, Any] = {"study": whole, "chunk": options.chunk, "width": options.width}
    given |= {"memory": parse_memory(options.memory), "cache": None}
    use_host_cores(options.devices)
    if options.target:
        compile_on_host()
    processes.start_devices()
    if not options.no_cache:
        keep_compiled()
        given["cache"] = cache_folder() / "plans"
    folder = results_folder(options)
    if options.plan:
        return plan(cells, given, folder, options, console, processes)
    for name in options.track:
        tracker(
            name, folder, study_name(options)
        )  # refuses what is not installed, before anything is written
    for cell in cells:
        prepare(cell)
        if options.keep_items:
            cell.language()  # refuses what has no items
    jobs(cells, None, **given)  # refuses what cannot fit, before anything is written
    store = opened(folder, whole, options, console, processes)
    todo = jobs(cells, store, **given, search=options.search or None)
    if options.keep_weights and todo and processes.first:
        say(console, f"Final weights are kept: {quantity(weight_bytes(todo))}B in {folder}.")
    stop.raise_if_asked()
    if todo:
        train(todo, store, options, console, stop, processes)
    elif processes.first:
        say(console, f"All {len(cells)} cells are finished in {folder}: nothing to train.")
    stop.raise_if_asked()
    return conclude(whole, store, options, console, stop, processes)


def weight_bytes(todo: Sequence[Job]) -> int:
    """Of all seeds that are left."""
    return sum(4 * cost_of(job.experiment).total_parameters * len(job.experiment.seeds) for job in todo)


def plan(
    cells: Sequence[Experiment],
    given: Mapping[str, Any],
    folder: Path,
    options: argparse.Namespace,
    console: Console,
    processes: Processes,
) -> int:
    """Prints what is left of the cells, and what that would cost."""
    if not processes.first:
        return 0
    kept = open_store(folder) if (folder / "study.json").is_file() else None
    order = [cell.cell for cell in given["study"]]
    if options.target:
        left = [job.experiment for job in jobs(cells, kept, study=given["study"])]
        answers = given["cache"] and cache_folder() / "rooflines"
        chip_plan(left, chip_named(options.target), console, order, memory=given["memory"], cache=answers)
        return 0
    rate = options.rate or assumed_rate(getattr(cells[0].model, "dtype", "float32"))
    todo = jobs(cells, kept, **given, search=options.search)
    plan_table(console, estimates(cells, todo, rate), rate, order, given=options.rate is not None)
    if processes.count > 1:
        say(console, f"That is what the first of {processes.count} processes trains of every cell.")
    return 0


def opened(
    folder: Path,
    whole: Sequence[Experiment],
    options: argparse.Namespace,
    console: Console,
    processes: Processes,
) -> Store:
    """The study's folder, which the first process makes and mends."""
    if not processes.first:
        processes.wait_until_opened()
        return seen_by_all(folder)
    if options.overwrite:
        overwrite(folder)
    store = create_store(folder, study_name(options), whole)
    for line in (*store.notes, *store.mend()):
        say(console, line)
    processes.opened()
    return store


def seen_by_all(folder: Path, patience: float = 30.0) -> Store:
    """The folder that the first process has made.

    Raises:
        ValueError: it is not to be seen from here; network file systems are given some time.
    """
    until = time.monotonic() + patience
    while not (folder / "study.json").is_file():
        if time.monotonic() > until:
            raise ValueError(f"{folder}: all processes must see the same folder; choose one with --out")
        time.sleep(0.2)
    return open_store(folder)


def conclude(
    whole: Sequence[Experiment],
    store: Store,
    options: argparse.Namespace,
    console: Console,
    stop: StopRequest,
    processes: Processes = ALONE,
) -> int:
    """Writes the report, unless only some of the cells were asked for and others are not finished."""
    if not processes.first:
        return 0
    lost = processes.wait_for_others(stop.raise_if_asked)
    left = sum(not store.finished(cell.cell).issuperset(cell.seeds) for cell in whole)
    if lost and left:
        names = ", ".join(map(str, lost))
        say(console, f"Of {processes.count} processes these were lost: {names}. Run the same command again.")
        return FAILED
    if options.cells is None or not left:
        with stop.at_once():
            return report(store, options, console)
    say(console, f"{left} of the study's {len(whole)} cells are not finished; the last writes the report.")
    say(console, f"For one of what is there, run report {store.folder}")
    return 0


def train(
    todo: Sequence[Job],
    store: Store,
    options: argparse.Namespace,
    console: Console,
    stop: StopRequest,
    processes: Processes = ALONE,
) -> None:
    """Trains all chunks; says how to go on where it was stopped."""
    if processes.first:
        print_missing(console, todo, store.folder, processes.count)
    for job in todo:
        if job.note:
            say(console, f"{processes.label}{job.note}")
    threshold = threshold_of(options, store.study)
    try:
        with Display(console, grouped(todo), threshold, label=processes.label) as display:
            how = RunOptions(
                interval=options.checkpoint,
                save_items=options.keep_items,
                save_weights=options.keep_weights,
                stop=stop,
                say=display.line,
                follow=followed(store, options, display.line),
                share=processes.share,
                patience=options.patience,
            )
            train_jobs(todo, store, display, how)
    except (StoppedError, KeyboardInterrupt):
        chunks = [is_done(chunk, store) for group in grouped(todo) for chunk in group.chunks]
        saved = f"Interrupted: {sum(chunks)} of {len(chunks)} chunks are kept in {store.folder}"
        unfinished = [chunk for job in todo for chunk in store.checkpointed(job.experiment.cell)]
        checkpoints = sum(chunk.record() is not None for chunk in unfinished)
        more = f", and a checkpoint of {checkpoints} more" if checkpoints else ""
        say(console, f"{processes.label}{saved}{more}.")
        raise


def followed(store: Store, options: argparse.Namespace, line: Callable[[str], None]) -> Follow:
    """What follows chunks besides the display: a file of numbers, and the trackers that are asked for."""
    threshold = threshold_of(options, store.study)
    makers = [tracker(name, store.folder, store.study) for name in dict.fromkeys(options.track)]

    def follow(experiment: Experiment, seeds: Sequence[Seed]) -> ChunkMetrics:
        path = store.metrics(experiment.cell, seeds)
        return ChunkMetrics(path, experiment, seeds, threshold=threshold, trackers=makers, say=line)

    return follow
