"""Which cells are trained together? Those that one program can train ride along in the same chunks.

Cells that differ only in what is given per member (learning rate, weight decay, length of the schedule)
are told apart by their results alone: each keeps its own parts, checkpoints and lock. A checkpoint is cut
up by cells, and what was begun together goes on cell by cell: to the same bits where a device trains one
seed after the other.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import jax
import numpy as np
import polars as pl

from jaxemerge.runner.checkpoint import INTERVAL
from jaxemerge.runner.experiment import Experiment
from jaxemerge.runner.kept import kept, wanted
from jaxemerge.runner.provenance import provenance
from jaxemerge.runner.scores import Evaluation, Progress
from jaxemerge.runner.signals import StopRequest
from jaxemerge.runner.store import PASSES, Store
from jaxemerge.runner.study import Job, common, run_chunk
from jaxemerge.runner.tables import results_table, with_pass_rates
from jaxemerge.runner.train import train_chunk
from jaxemerge.runner.weights import named
from jaxemerge.training import Members, Paused, Plan, Seed, fitted_plan, smaller_plan

_Seen = TypeVar("_Seen", Paused, Evaluation, Progress)

Chunk = tuple[tuple[int, Seed], ...]  # (which of a group's jobs, seed)


@dataclass(frozen=True)
class Group:
    """Jobs that are trained together: of one cell, or of several with the same program and plan.

    Attributes:
        jobs: at least one.
        plan: how their seeds are trained.
    """

    jobs: tuple[Job, ...]
    plan: Plan

    @property
    def experiment(self) -> Experiment:
        """The first cell: the others have the same model, task, batch and steps."""
        return self.jobs[0].experiment

    @property
    def chunks(self) -> list[Chunk]:
        """The seeds, as they are trained together, cell by cell."""
        if len(self.jobs) == 1:
            return [tuple((0, seed) for seed in seeds) for seeds in self.jobs[0].chunks]
        riders = [(i, seed) for i, job in enumerate(self.jobs) for seed in job.experiment.seeds]
        return [tuple(riders[i : i + self.plan.chunk]) for i in range(0, len(riders), self.plan.chunk)]

    @property
    def flops_per_step(self) -> float:
        """Training FLOPs of one step of one chunk."""
        return self.jobs[0].flops_per_step

    @property
    def flops(self) -> float:
        """Training FLOPs of all chunks, filled-up ones included."""
        return len(self.chunks) * self.flops_per_step * self.experiment.steps

    def after(self, chunks: int) -> Group:
        """The group without its first chunks, but not without all."""
        done: dict[int, set[Seed]] = {}
        for chunk in self.chunks[:chunks]:
            for i, seed in chunk:
                done.setdefault(i, set()).add(seed)
        left = [
            job.without(done.get(i, set()))
            for i, job in enumerate(self.jobs)
            if not done.get(i, set()).issuperset(job.experiment.seeds)
        ]
        return _group(left, self.plan)

    def smaller(self) -> Group:
        """The group with half the seeds at once.

        Raises:
            DeviceError: there is one seed per device already.
        """
        return _group(self.jobs, smaller_plan(self.experiment, self.plan))


def _group(jobs: Iterable[Job], plan: Plan) -> Group:
    return Group(tuple(replace(job, plan=plan) for job in jobs), plan)


def together(todo: Sequence[Job]) -> list[Group]:
    """Jobs in groups that are trained together, in the order of the first of each.

    Cells with finished seeds or checkpoints are groups of their own: they go on with their own plan.
    """
    alike: dict[Any, list[Job]] = {}
    for job in todo:
        alone = job.begun or not job.beside
        key = job.experiment.cell if alone else (common(job.experiment), job.plan)
        alike.setdefault(key, []).append(job)
    return [_fitted(jobs) for riders in alike.values() for jobs in _whole_chunks(riders)]


def _whole_chunks(riders: Sequence[Job]) -> list[list[Job]]:
    """Cut where chunks end with a cell: a group is one process' work, and no larger than chunks need."""
    found, seeds = [list[Job]()], 0
    for job in riders:
        if seeds and seeds % job.plan.chunk == 0:
            found.append([])
        found[-1].append(job)
        seeds += len(job.experiment.seeds)
    return found


def _fitted(jobs: Sequence[Job]) -> Group:
    """Jobs as a group, whose chunk is no larger than they need."""
    n_seeds = sum(len(job.experiment.seeds) for job in jobs)
    return _group(jobs, fitted_plan(jobs[0].experiment, jobs[0].plan, n_seeds))


@dataclass(frozen=True)
class Part:
    """One cell's seeds of a chunk.

    Attributes:
        job: the cell.
        seeds: those in the chunk.
        place: where they are along the axis S.
    """

    job: Job
    seeds: tuple[Seed, ...]
    place: slice

    @property
    def members(self) -> Members:
        """The seeds with the cell's own hyperparameters."""
        return self.job.experiment.members_of(self.seeds)

    def own(self, seen: _Seen) -> _Seen:
        """What belongs to the cell's seeds; the step, which is no array, is that of all."""
        return jax.tree.map(lambda x: x if isinstance(x, int) else x[self.place], seen)


def parts(group: Group, chunk: Chunk) -> list[Part]:
    """A chunk cut up by cells."""
    found, start = [], 0
    for i, riders in itertools.groupby(chunk, key=lambda rider: rider[0]):
        seeds = tuple(seed for _, seed in riders)
        found.append(Part(group.jobs[i], seeds, slice(start, start + len(seeds))))
        start += len(seeds)
    return found


def run_group(
    group: Group,
    chunk: Chunk,
    store: Store,
    *,
    stop: StopRequest | None = None,
    interval: float = INTERVAL,
    say: Callable[[str], None] = lambda line: None,
    keep_items: bool = False,
    keep_weights: bool = False,
) -> Iterator[Progress]:
    """Trains one chunk of a group, and stores the rows of every cell in it when it is finished.

    Arguments and errors are those of ``run_chunk``; this process must be the writer of all cells.
    """
    if len(group.jobs) == 1:
        seeds = tuple(seed for _, seed in chunk)
        care: dict[str, Any] = {"stop": stop, "interval": interval, "say": say}
        care |= {"keep_items": keep_items, "keep_weights": keep_weights}
        yield from run_chunk(group.jobs[0], seeds, store, **care)
        return
    cells = parts(group, chunk)
    keeps = [store.checkpoints(part.job.experiment.cell, part.seeds, interval) for part in cells]
    began, evaluations = time.monotonic(), list[Evaluation]()
    circumstances = provenance(group.experiment.model)

    def record(part: Part) -> dict[str, Any]:
        share = len(part.seeds) / len(chunk)  # so that the times of cells add up
        seconds = round(share * (time.monotonic() - began), 3)
        same = {"plan": group.plan.record, "provenance": circumstances, "earlier": []}
        task = {"chance": group.experiment.chance, "best_loss": group.experiment.best_loss}
        return {"seconds": seconds, **task, **same}

    who = jax.tree.map(lambda *x: np.concatenate(x), *(part.members for part in cells))
    last: Paused | None = None
    running = train_chunk(group.experiment, group.plan, who, pause=lambda: keeps[0].due or bool(stop))
    for progress, snapshot in running:
        if progress.evaluation is not None:
            evaluations.append(progress.evaluation)
        yield progress
        if snapshot is None:
            continue
        if progress.step == group.experiment.steps:
            if keep_weights or any(wanted(part.job.experiment, keep_items) for part in cells):
                last = snapshot.paused(len(chunk))
            continue
        if progress.step:
            paused = snapshot.paused(len(chunk))
            for part, keep in zip(cells, keeps, strict=True):
                own = part.own(paused), part.seeds, [part.own(evaluation) for evaluation in evaluations]
                keep.save(*own, {"cell": part.job.experiment.cell, **record(part)})
        if stop:
            stop.raise_if_asked()
    for part, keep in zip(cells, keeps, strict=True):
        cell = part.job.experiment
        seen = [part.own(evaluation) for evaluation in evaluations]
        more: dict[str, pl.DataFrame] = {}
        params = part.own(last).state.params if last else None
        if params:
            end = cell, part.seeds, params, seen[-1], group.plan.layout
            more = kept(*end, keep_items=keep_items, stop=stop)
        rows = results_table(cell, part.seeds, seen, part.job.columns)
        rows = with_pass_rates(rows, more.get(PASSES), part.job.columns)
        weights = named(params) if keep_weights and params else None
        store.write(cell.cell, part.seeds, rows, record(part), more, weights)
        keep.clear()
    if stop:
        stop.raise_if_asked()
