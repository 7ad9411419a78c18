"""Trains what is missing of a study, whatever comes between."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from jax.errors import JaxRuntimeError
from rich.console import Console

from folder import report
from jaxemerge.devices import cache_folder, keep_compiled, use_host_cores
from jaxemerge.runner.display import Display
from jaxemerge.runner.estimate import assumed_rate, estimates
from jaxemerge.runner.lock import LockedError
from jaxemerge.runner.signals import StoppedError, StopRequest
from jaxemerge.runner.store import Store, create_store, open_store, overwrite
from jaxemerge.runner.study import Job, jobs, run_chunk
from jaxemerge.runner.train import prepare, shrunk
from jaxemerge.training import is_out_of_memory
from options import chosen_cells, parse_memory
from terminal import plan_table, print_missing, say


def study(options: argparse.Namespace, console: Console, stop: StopRequest) -> int:
    """Trains what is missing of a study, then writes its report."""
    cells = chosen_cells(options)
    given = {"chunk": options.chunk, "width": options.width, "memory": parse_memory(options.memory)}
    plans = None if options.no_cache else cache_folder() / "plans"
    use_host_cores(options.devices)
    if not options.no_cache:
        keep_compiled()
    folder = options.out or Path("results") / (options.command + ("_quick" if options.quick else ""))
    if options.plan:
        kept = open_store(folder) if (folder / "study.json").is_file() else None
        rate = options.rate or assumed_rate(cells[0].model.dtype)
        todo = jobs(cells, kept, **given, search=options.search, cache=plans)
        plan_table(console, estimates(cells, todo, rate), rate, given=options.rate is not None)
        return 0
    for cell in cells:
        prepare(cell)
    jobs(cells, None, **given)  # refuses what cannot fit, before anything is written
    if options.overwrite:
        overwrite(folder)
    store = create_store(folder, options.command, cells)
    for line in (*store.notes, *store.mend()):
        say(console, line)
    todo = jobs(cells, store, **given, search=options.search or None, cache=plans)
    stop.raise_if_asked()
    if todo:
        train(todo, store, options, console, stop)
    else:
        say(console, f"All {len(cells)} cells are finished in {folder}: nothing to train.")
    stop.raise_if_asked()
    return report(store, options, console)


def train(
    todo: Sequence[Job], store: Store, options: argparse.Namespace, console: Console, stop: StopRequest
) -> None:
    """Trains all chunks; says how to go on where it was stopped."""
    print_missing(console, todo, store.folder)
    for job in todo:
        if job.note:
            say(console, job.note)
    try:
        with Display(console, todo, options.threshold) as display:
            care = {"stop": stop, "interval": options.checkpoint, "say": display.line}
            train_free(todo, store, display, care)
    except (StoppedError, KeyboardInterrupt):
        done = {job.experiment.cell: store.finished(job.experiment.cell) for job in todo}
        chunks = [done[job.experiment.cell].issuperset(seeds) for job in todo for seeds in job.chunks]
        kept = f"Interrupted: {sum(chunks)} of {len(chunks)} chunks are kept in {store.folder}"
        begun = sum(chunk.record() is not None for job in todo for chunk in store.begun(job.experiment.cell))
        more = f", and a checkpoint of {begun} more" if begun else ""
        say(console, f"{kept}{more}. Run the same command again to go on.")
        raise


def train_free(todo: Sequence[Job], store: Store, display: Display, care: Mapping[str, Any]) -> None:
    """Trains the cells that no other process is at work on, and of those what they leave behind.

    ``care`` is how ``run_chunk`` takes care of what it trains.

    Raises:
        LockedError: other processes are at work on all of them.
    """
    left = list(enumerate(todo))
    while left:
        busy: list[tuple[tuple[int, Job], LockedError]] = []
        for i, job in left:
            try:
                with store.writing(job.experiment.cell):
                    # Another process may have finished some since the job was made.
                    done = store.finished(job.experiment.cell)
                    if not done.issuperset(job.experiment.seeds):
                        label = f"cell {i + 1}/{len(todo)}, {job.label}"
                        train_job(job.without(done), store, display, label, care)
            except LockedError as error:
                busy.append(((i, job), error))
        if len(busy) == len(todo):
            raise busy[0][1]
        if len(busy) == len(left):
            for _, reason in busy:
                display.line(f"Left to others: {reason}.")
            return
        left = [one for one, _ in busy]


def train_job(job: Job, store: Store, display: Display, label: str, care: Mapping[str, Any]) -> None:
    """Trains a cell's chunks, smaller ones from where memory runs out."""
    number = 0
    while number < len(job.chunks):
        display.start_chunk(job, number, label)
        try:
            for seen in run_chunk(job, job.chunks[number], store, **care):
                display.update(seen)
        except (JaxRuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            job, number = job.after(number).smaller(), 0
            display.drop_chunk(shrunk(job.plan))
        else:
            display.finish_chunk()
            number += 1
