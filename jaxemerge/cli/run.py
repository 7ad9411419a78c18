"""How do the seeds of a study do? Trains what is missing, whatever interrupts it, then writes the report."""

from __future__ import annotations

import argparse
import contextlib
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from jaxemerge.cli.cells import Asked, asked, created_store, study_name
from jaxemerge.cli.delays import reported
from jaxemerge.cli.launch import launch
from jaxemerge.cli.studies import Front
from jaxemerge.cli.terminal import say
from jaxemerge.host import allow_open_files
from jaxemerge.runner.cautions import cautions
from jaxemerge.runner.checks import prepare
from jaxemerge.runner.chunk import Follow, RunOptions
from jaxemerge.runner.experiment import Experiment
from jaxemerge.runner.groups import grouped
from jaxemerge.runner.jobs import Job, jobs
from jaxemerge.runner.opening import open_store, overwrite
from jaxemerge.runner.processes import Processes, join
from jaxemerge.runner.progress import Display
from jaxemerge.runner.quantities import quantity
from jaxemerge.runner.signals import StoppedError, StopRequest
from jaxemerge.runner.store import Store
from jaxemerge.runner.study import is_done, train_jobs
from jaxemerge.runner.tracking import ChunkMetrics, tracker
from jaxemerge.runner.weights import kept_steps
from jaxemerge.training import Seed, cost_of

LOST = 1  # exit code where other processes were lost


@dataclass(frozen=True)
class Session:
    """What a run has at hand: the words of its command line, the terminal, signals, other processes."""

    options: argparse.Namespace
    front: Front
    console: Console
    stop: StopRequest
    processes: Processes

    def say(self, text: str) -> None:
        """Prints a line."""
        say(self.console, text)

    def threshold(self, store: Store) -> float:
        """The score that counts as a success."""
        return self.front.success(self.options.threshold, store)


def run(options: argparse.Namespace, front: Front, console: Console) -> int:
    """Trains what is missing of a study, then writes its report; or submits jobs that do."""
    if options.launch:
        return launch(options, front, console)
    allow_open_files()
    waited = options.distributed_wait
    processes = join(options.distributed, waited, lambda line: say(console, line))
    options.label = processes.label
    request = StopRequest(lambda number: say(console, options.label + noted(number)), processes.stopped)
    with request as stop, processes:
        session = Session(options, front, console, stop, processes)
        with stop.at_once(), reported(session.say):  # the user's files, plans: nothing is lost
            study = asked(options, front, processes)
            store, todo = opened(study, session)
        if todo:
            with shown(todo, store, session) as display:
                train_jobs(todo, store, display, run_options(session, store, display))
        elif processes.first:
            session.say(f"All {len(study.cells)} cells are finished in {study.folder}: nothing to train.")
        stop.raise_if_asked()
        return conclude(study.whole, store, session)


def noted(number: int) -> str:
    """What a person reads when a signal comes."""
    name = signal.Signals(number).name
    return f"{name}: stopping after a checkpoint. Press Ctrl-C again to stop at once."


def opened(study: Asked, session: Session) -> tuple[Store, list[Job]]:
    """The results folder, and what is missing in it.

    Raises:
        ValueError: something cannot be trained or tracked; nothing has been written then.
    """
    options = session.options
    for name in options.track:
        tracker(name, study.folder, study_name(options))
    for cell in study.cells:
        prepare(cell)
        if options.keep_items:
            cell.language()
        kept_steps(options.keep_weights_at, cell.steps)
    jobs(study.cells, None, **study.given)
    store = created(study, session)
    if session.processes.first:
        for line in cautions(study.cells):
            session.say(f"note: {line}")
    todo = jobs(study.cells, store, **study.given, search=options.autotune or None)
    if options.keep_weights and todo and session.processes.first:
        session.say(f"Final weights are kept: {quantity(weight_bytes(todo))}B in {study.folder}.")
    return store, todo


def weight_bytes(todo: Sequence[Job]) -> int:
    """Size of the final weights of all seeds that are left."""
    return sum(4 * cost_of(job.experiment).total_parameters * len(job.experiment.seeds) for job in todo)


def created(study: Asked, session: Session) -> Store:
    """The study's folder, which the first process creates and mends."""
    if not session.processes.first:
        session.processes.wait_until_opened()
        return seen_by_all(study.folder)
    if session.options.overwrite:
        overwrite(study.folder)
    store = created_store(session.options, session.front, study.folder, study.whole)
    for line in (*store.notes, *store.mend()):
        session.say(line)
    session.processes.opened()
    return store


def seen_by_all(folder: Path, patience: float = 30.0) -> Store:
    """The folder that the first process has created.

    Raises:
        ValueError: it cannot be seen from here; network file systems are given some time.
    """
    until = time.monotonic() + patience
    while not (folder / "study.json").is_file():
        if time.monotonic() > until:
            raise ValueError(f"{folder}: all processes must see the same folder; choose one with --out")
        time.sleep(0.2)
    return open_store(folder)


@contextlib.contextmanager
def shown(todo: Sequence[Job], store: Store, session: Session) -> Iterator[Display]:
    """A display of the training; where it is interrupted, prints what is kept."""
    label = session.processes.label
    if session.processes.first:
        session.say(missing(todo, store.folder, session.processes.count))
    for job in todo:
        if job.note:
            session.say(f"{label}{job.note}")
    try:
        with Display(session.console, grouped(todo), session.threshold(store), label=label) as display:
            yield display
    except (StoppedError, KeyboardInterrupt):
        session.say(f"{label}{kept(todo, store)}")
        raise


def missing(todo: Sequence[Job], folder: Path, processes: int = 1) -> str:
    """One line on what is about to be trained."""
    seeds = sum(len(job.experiment.seeds) for job in todo)
    devices = todo[0].plan.layout.devices
    share = f", as the first of {processes} processes" if processes > 1 else ""
    where = f"{len(devices)} {devices[0].device_kind} device{'s' * (len(devices) > 1)}"
    return f"Training {seeds} seeds in {len(todo)} cells on {where}{share}, into {folder}"


def kept(todo: Sequence[Job], store: Store) -> str:
    """What an interrupted run leaves: finished chunks, and checkpoints of others."""
    chunks = [is_done(chunk, store) for group in grouped(todo) for chunk in group.chunks]
    unfinished = [chunk for job in todo for chunk in store.checkpointed(job.experiment.cell)]
    checkpoints = sum(chunk.record() is not None for chunk in unfinished)
    more = f", and a checkpoint of {checkpoints} more" if checkpoints else ""
    return f"Interrupted: {sum(chunks)} of {len(chunks)} chunks are kept in {store.folder}{more}."


def run_options(session: Session, store: Store, display: Display) -> RunOptions:
    """How chunks are trained and what is saved of them, as the command line says."""
    options = session.options
    return RunOptions(
        interval=options.checkpoint_every,
        save_items=options.keep_items,
        save_weights=options.keep_weights,
        save_state=options.keep_state,
        keep_weights_at=options.keep_weights_at,
        stop=session.stop,
        say=display.line,
        follow=followed(store, session, display.line),
        share=session.processes.share,
        patience=options.wait,
        code=getattr(session.front.studies[options.study], "code", {}),
    )


def followed(store: Store, session: Session, line: Callable[[str], None]) -> Follow:
    """What takes the progress of chunks besides the display: a file of numbers, and trackers."""
    threshold = session.threshold(store)
    makers = [tracker(name, store.folder, store.study) for name in dict.fromkeys(session.options.track)]

    def follow(experiment: Experiment, seeds: Sequence[Seed]) -> ChunkMetrics:
        path = store.metrics(experiment.cell, seeds)
        return ChunkMetrics(path, experiment, seeds, threshold=threshold, trackers=makers, say=line)

    return follow


def conclude(whole: Sequence[Experiment], store: Store, session: Session) -> int:
    """Writes the report, unless only some of the cells were asked for and others are not finished."""
    processes = session.processes
    if not processes.first:
        return 0
    lost = processes.wait_for_others(session.stop.raise_if_asked)
    left = sum(not store.finished(cell.cell).issuperset(cell.seeds) for cell in whole)
    if lost and left:
        names = ", ".join(map(str, lost))
        session.say(f"Of {processes.count} processes these were lost: {names}. Run the same command again.")
        return LOST
    if session.options.cells is None or not left:
        with session.stop.at_once():
            from jaxemerge.cli.report import write  # statistics and charts: a second, not needed to train

            write(store, session.options, session.front, session.console, unless_current=True)
        return 0
    session.say(f"{left} of the study's {len(whole)} cells are not finished; the last writes the report.")
    session.say(f"For a report of what there is: {session.front.name} report {store.folder}")
    return 0
