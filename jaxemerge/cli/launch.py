"""Submits a study to a scheduler: which cells, as which commands, with what resources."""

from __future__ import annotations

import argparse
import shlex
import signal
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from jaxemerge.cli.cells import chosen_cells, created_store, results_folder, selected, study_name
from jaxemerge.cli.parser import Parser
from jaxemerge.cli.status import print_status
from jaxemerge.cli.studies import Front
from jaxemerge.cli.terminal import say
from jaxemerge.cli.training_options import add_jobs
from jaxemerge.runner.opening import overwrite
from jaxemerge.runner.scheduler import Resources, end, require, submit
from jaxemerge.runner.signals import StopRequest

WAIT = 150  # seconds that a job waits for the lock of a killed one, until that is taken for dead


def launch(options: argparse.Namespace, front: Front, console: Console) -> int:
    """Submits jobs for the cells with missing seeds; where they run on this machine, waits for them."""
    cells, resources = chosen_cells(options, front), asked_for(options)
    wanted = selected(cells, options.cells)
    folder = results_folder(options).resolve()
    require(options.launch)
    if options.overwrite:
        overwrite(folder)
    store = created_store(options, front, folder, cells)
    for line in (*store.notes, *store.mend()):
        say(console, line)
    left = [cell.cell for cell in wanted if not store.finished(cell.cell).issuperset(cell.seeds)]
    if not left:
        say(console, f"All {len(wanted)} cells are finished in {folder}: nothing to launch.")
        return 0
    # A scheduler limits how many jobs of an array run at once; on this machine they all would.
    groups = [[name] for name in left]
    if options.launch == "local":
        jobs_at_once = min(resources.parallel or 1, len(left))
        groups = [left[i::jobs_at_once] for i in range(jobs_at_once)]
    commands = [command(front, options.given, group, folder) for group in groups]
    watched = [[folder / "cells" / name for name in group] for group in groups]
    name = f"jaxemerge-{study_name(options)}"
    jobs = submit(options.launch, commands, folder / "jobs", resources, name, watched)
    say(console, f"Launched {len(jobs)} jobs for {len(left)} cells: {', '.join(job.job_id for job in jobs)}")
    say(console, f"Their output is in {folder / 'jobs'}.")
    say(console, f"See how far they are: {front.name} status {shlex.quote(str(folder))}")
    if options.launch == "slurm":
        return 0
    attend(jobs, console)
    print_status(console, store)
    return 0 if all(store.finished(cell.cell).issuperset(cell.seeds) for cell in wanted) else 1


def attend(jobs: Sequence[Any], console: Console) -> None:
    """Waits for jobs on this machine; a signal ends them, too.

    Raises:
        StoppedError: a signal came, and they have saved.
    """
    with StopRequest(lambda number: say(console, noted(number))) as stop:
        while not all(job.done() for job in jobs):
            if stop:
                end(jobs)
            time.sleep(0.5)
        stop.raise_if_asked()


def noted(number: int) -> str:
    """What a person reads when a signal comes."""
    name = signal.Signals(number).name
    return f"{name}: the jobs stop after a checkpoint. Press Ctrl-C again to leave them alone."


def asked_for(options: argparse.Namespace) -> Resources:
    """The resources of each job."""
    return Resources(
        partition=options.partition,
        minutes=options.job_time,
        gpus=options.job_gpus,
        cpus=options.job_cpus,
        memory=options.job_memory or 0,
        parallel=options.jobs or 0,
        further=dict(text.removeprefix("--").split("=", 1) for text in options.sbatch),
    )


def command(front: Front, words: Sequence[str], cells: Sequence[str], folder: Path) -> list[str]:
    """The words that train some cells: those given here, without what concerns the launch alone."""
    stripping = Parser("", "")
    add_jobs(stripping)
    for option in ("--cells", "--out", "--wait"):
        stripping.add_argument(option)
    stripping.add_argument("--overwrite", action="store_true")
    launched, kept = stripping.parse_known_args(words)
    launched.memory = any(word.partition("=")[0] == "--memory" for word in kept)
    own = ["--cells", ",".join(cells), "--out", str(folder), "--wait", str(WAIT)]
    return [*front.command, "run", *kept, *own, *budget(launched)]


def budget(launched: argparse.Namespace) -> list[str]:
    """``--memory`` of a job with ``--job-memory``: a job that takes more is killed without a message.

    A tenth is left for what the plan's formula misses. With GPUs ``--memory`` means that of each GPU.
    """
    if not launched.job_memory or launched.job_gpus or launched.memory:
        return []
    return ["--memory", str(launched.job_memory * 9 // 10)]
