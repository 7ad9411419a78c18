"""Trains one chunk of seeds, of one cell or of several, and stores what comes of it.

A chunk resumes from its latest checkpoint, saves a checkpoint at intervals and when it is asked to stop,
and in the end writes the rows of every cell, with items, passes and weights where they are asked for.
"""

from __future__ import annotations

import contextlib
import functools
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import jax
import numpy as np
import polars as pl

from jaxemerge.evaluation import evaluate, sampled
from jaxemerge.inputs import digests
from jaxemerge.runner.checkpoint import INTERVAL, Checkpoint, Checkpoints
from jaxemerge.runner.experiment import Experiment
from jaxemerge.runner.groups import Chunk, Part
from jaxemerge.runner.provenance import provenance
from jaxemerge.runner.records import ITEMS, PASSES
from jaxemerge.runner.scores import Evaluation, Progress, joined
from jaxemerge.runner.signals import StopRequest
from jaxemerge.runner.store import Store
from jaxemerge.runner.tables import items_table, passes_table, results_table, with_pass_rates
from jaxemerge.runner.train import train_chunk
from jaxemerge.runner.weights import KeepAt, kept_steps, named
from jaxemerge.tasks import Task, constant_scores
from jaxemerge.training import Members, Program, ResumeState, Seed, Snapshot
from jaxemerge.types import Params

Follower = Callable[[Progress], None]  # sees the progress of one cell's seeds of a chunk
Follow = Callable[[Experiment, Sequence[Seed]], contextlib.AbstractContextManager[Follower]]


@contextlib.contextmanager
def _unfollowed(experiment: Experiment, seeds: Sequence[Seed]) -> Iterator[Follower]:
    del experiment, seeds
    yield lambda progress: None


@dataclass(frozen=True)
class RunOptions:
    """How a study's chunks are trained and what is saved of them.

    Attributes:
        interval: seconds between two checkpoints.
        save_items: whether to save how every seed does on every item at the end of training.
        save_weights: whether to save the final weights.
        save_state: whether to save the state from which a training of more steps can continue.
        keep_weights_at: further steps whose weights are saved, or ``log``; see ``weights.kept_steps``.
        stop: a request to stop, obeyed after a checkpoint, and between batches of samples without one.
        say: prints a line for people.
        follow: opens, for each cell of a chunk, what sees its progress.
        share: name of this process' part of every cell, ``-GROUP-RANK``; empty where it has all of it.
        patience: seconds to wait for cells that other processes train.
        code: names and digests of the files of the user's own study.
    """

    interval: float = INTERVAL
    save_items: bool = False
    save_weights: bool = False
    save_state: bool = False
    keep_weights_at: KeepAt = ()
    stop: StopRequest | None = None
    say: Callable[[str], None] = lambda line: None
    follow: Follow = _unfollowed
    share: str = ""
    patience: float = 0.0
    code: Mapping[str, str] = field(default_factory=dict)

    @property
    def stopping(self) -> bool:
        """Whether a stop is asked for."""
        return bool(self.stop)

    def raise_if_stopping(self) -> None:
        """Ends the run where a stop is asked for.

        Raises:
            StoppedError: it is.
        """
        if self.stop is not None:
            self.stop.raise_if_asked()


DEFAULT = RunOptions()


def run_chunk(chunk: Chunk, store: Store, options: RunOptions = DEFAULT) -> Iterator[Progress]:
    """Trains one chunk, from its latest checkpoint if there is one, and stores the rows of its cells.

    Args:
        chunk: seeds of one or more cells.
        store: where rows and checkpoints go; this process must be the writer of all cells.
        options: checkpoints, what is saved, and when to stop.

    Yields:
        The progress of all seeds of the chunk, dispatch by dispatch.

    Raises:
        StoppedError: ``options.stop`` was asked to.
        OSError: a file cannot be written, or the folder is gone.
    """
    run = _Run(chunk, store, options)
    params: Params | None = None
    training = train_chunk(
        *(chunk.experiment, chunk.plan, chunk.members),
        pause=lambda: run.checkpoint_due or options.stopping,
        resume=run.resume if run.resumed else None,
        keep_at=run.snapshot_steps,
        earlier=run.evaluations,
    )
    for progress, snapshot in training:
        if progress.evaluation is not None:
            run.evaluations.append(progress.evaluation)
        store.check_there()
        yield progress
        store.check_there()
        if snapshot is None:
            continue
        run.keep(snapshot)
        if progress.step == chunk.experiment.steps:
            params = run.final_params(snapshot)
            continue
        if progress.step and (run.checkpoint_due or options.stopping):
            run.save_checkpoint(snapshot)
        options.raise_if_stopping()
    results = [run.results(part, params) for part in chunk.parts]
    for part, found in zip(chunk.parts, results, strict=True):
        run.store_results(part, found)
    options.raise_if_stopping()


@dataclass(frozen=True)
class _Results:
    """What a cell's seeds of a chunk came to, ready to be written."""

    rows: pl.DataFrame
    tables: Mapping[str, pl.DataFrame]
    weights: Mapping[str, np.ndarray] | None


@dataclass
class _Run:
    """One chunk while it is trained.

    Attributes:
        chunk, store, options: as in ``run_chunk``.
        evaluations: scores of all seeds so far.
    """

    chunk: Chunk
    store: Store
    options: RunOptions
    evaluations: list[Evaluation] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._began = time.monotonic()
        self._provenance = provenance(self.chunk.experiment.model)
        if self.options.code:
            self._provenance["study"] = dict(self.options.code)
        self.resumed = _resumable(self.chunk, self.store, self.options.say)
        experiment = self.chunk.experiment
        self._kept = kept_steps(self.options.keep_weights_at, experiment.steps)
        self._state_step = experiment.common_step if self.options.save_state else 0
        self._checkpoints = {
            part.cell: self.store.checkpoints(part.cell, part.seeds, self.options.interval)
            for part in self.chunk.parts
        }

    @property
    def snapshot_steps(self) -> tuple[int, ...]:
        """Steps whose weights or states are saved."""
        return (*self._kept, self._state_step) if self._state_step else self._kept

    def keep(self, snapshot: Snapshot) -> None:
        """Saves weights or state, where it is their step."""
        if snapshot.step in self._kept:
            params = snapshot.resume_state(len(self.chunk)).state.params
            for part in self.chunk.parts:
                self.store.keep(part.cell, part.seeds, snapshot.step, named(part.own(params)))
        if self._state_step and snapshot.step == self._state_step:
            for part in self.chunk.parts:
                place = self.store.states(part.cell, part.seeds)
                shutil.rmtree(place.folder, ignore_errors=True)  # of a run that was killed after this step
                self._save(place, part, snapshot.resume_state(len(self.chunk)))

    @property
    def checkpoint_due(self) -> bool:
        """Whether the last checkpoint is longer ago than the interval."""
        return next(iter(self._checkpoints.values())).due

    def resume(self, built: Program, members: Members) -> ResumeState:
        """Where the seeds resume; their scores so far become ``evaluations``."""
        taken = [self.resumed[part.cell].take(part.seeds, built, members) for part in self.chunk.parts]
        self.evaluations.extend(joined(step) for step in zip(*(seen for _, seen in taken), strict=True))
        trees = [(resumed.state, resumed.infos) for resumed, _ in taken]
        state, infos = jax.tree.map(lambda *x: np.concatenate(x), *trees)
        return taken[0][0]._replace(state=state, infos=infos)

    def final_params(self, snapshot: Snapshot) -> Params | None:
        """Final weights of all seeds on the host; None where nothing is made of them."""
        sampled = any(part.experiment.pass_until is not None for part in self.chunk.parts)
        needed = sampled or self.options.save_items or self.options.save_weights
        return snapshot.resume_state(len(self.chunk)).state.params if needed else None

    def save_checkpoint(self, snapshot: Snapshot) -> None:
        """Saves the seeds of every cell."""
        resumed = snapshot.resume_state(len(self.chunk))
        for part in self.chunk.parts:
            self._save(self._checkpoints[part.cell], part, resumed)

    def _save(self, place: Checkpoints, part: Part, resumed: ResumeState) -> None:
        seen = [part.own(evaluation) for evaluation in self.evaluations]
        place.save(part.own(resumed), part.seeds, seen, {"cell": part.cell, **self.record(part)})

    def results(self, part: Part, params: Params | None) -> _Results:
        """What a cell's seeds came to.

        All cells' results are made before any is written: where memory runs out here, the whole chunk is
        trained again in smaller ones, and a cell that had been written would be trained twice.
        """
        experiment, columns = part.experiment, part.job.columns
        seen = [part.own(evaluation) for evaluation in self.evaluations]
        own = None if params is None else part.own(params)
        tables = {} if own is None else self.tables(part, own, seen[-1])
        rows = results_table(experiment, part.seeds, seen, columns)
        rows = with_pass_rates(rows, tables.get(PASSES), columns)
        weights = named(own) if own is not None and self.options.save_weights else None
        return _Results(rows, tables, weights)

    def store_results(self, part: Part, found: _Results) -> None:
        """Writes what a cell's seeds came to, and removes their checkpoints."""
        record = self.record(part)
        self.store.write(part.cell, part.seeds, found.rows, record, found.tables, found.weights)
        self.store.clear(part.cell)

    def tables(self, part: Part, params: Params, last: Evaluation) -> dict[str, pl.DataFrame]:
        """Items and passes of a cell's seeds by kind, as far as they are asked for.

        Raises:
            StoppedError: between batches of samples; nothing is saved then.
        """
        experiment, options = part.experiment, self.options
        found: dict[str, pl.DataFrame] = {}
        if not options.save_items and experiment.pass_until is None:
            return found
        population = *experiment.language(), params
        layout = self.chunk.plan.layout
        seen = evaluate(*population, layout=layout, written=options.save_items)
        if options.save_items:
            found[ITEMS] = items_table(experiment, part.seeds, last, seen)
        if experiment.pass_until is not None:
            draw = functools.partial(sampled, layout=layout, seen=seen, between=options.raise_if_stopping)
            passed = draw(*population, part.seeds, experiment.pass_until)
            found[PASSES] = passes_table(experiment, part.seeds, last, passed)
        return found

    def record(self, part: Part) -> dict[str, Any]:
        """How a cell's seeds of this chunk came about, as stored with their rows."""
        before = self.resumed.get(part.cell)
        share = len(part.seeds) / len(self.chunk)  # so that the times of cells add up
        seconds = (before.record["seconds"] if before else 0.0) + share * (time.monotonic() - self._began)
        task = part.experiment.task
        constant = constant_scores(task) if isinstance(task, Task) else ()
        return {
            "seconds": round(seconds, 3),
            "chance": part.experiment.chance,
            "best_loss": part.experiment.best_loss,
            "files": digests(part.experiment.task),
            **({"constant": [list(each) for each in constant]} if constant else {}),
            "plan": self.chunk.plan.record,
            "provenance": self._provenance,
            "earlier": _earlier(before, self._provenance),
        }


def _resumable(chunk: Chunk, store: Store, say: Callable[[str], None]) -> dict[str, Checkpoint]:
    """A checkpoint of every cell, all of the same moment; empty where some cell has none."""
    found = {part.cell: latest_checkpoint(store, part.cell, part.seeds, say) for part in chunk.parts}
    whole = {cell: checkpoint for cell, checkpoint in found.items() if checkpoint is not None}
    if len(whole) < len(found) or len({checkpoint.moment for checkpoint in whole.values()}) > 1:
        return {}
    for part in chunk.parts:
        checkpoint = whole[part.cell]
        own = checkpoint.record["cell"] == part.cell
        what = "resuming from the checkpoint" if own else "continuing from the kept state"
        say(f"{part.job.label}: {what} of step {checkpoint.step:,}.")
    return whole


def latest_checkpoint(
    store: Store, cell: str, seeds: Sequence[Seed], say: Callable[[str], None]
) -> Checkpoint | None:
    """The checkpoint of the latest step among those that hold all of these seeds."""
    found: Checkpoint | None = None
    for chunk in store.resumable(cell):
        record = chunk.record()
        if record and not (set(seeds) <= _seeds(record) and record["step"] > (found.step if found else 0)):
            continue
        if record is None and chunk.being_written:
            continue  # another process is writing its first one
        whole = chunk.latest(say)  # reports damage, and may be an earlier one
        if whole is None:
            chunk.clear()
        elif set(seeds) <= set(whole.seeds) and whole.step > (found.step if found else 0):
            found = whole
    return found


def _earlier(before: Checkpoint | None, now: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Provenances, other than ``now``, under which the chunk was trained so far, and up to which step."""
    if before is None:
        return []
    then = before.record["provenance"]
    same = {**then, "time": ""} == {**now, "time": ""}
    return [
        *before.record.get("earlier", ()),
        *([] if same else [{"until": before.step, "provenance": then}]),
    ]


def _seeds(record: Mapping[str, Any]) -> set[Seed]:
    return {(init, data) for init, data in record["seeds"]}
