"""Which cells are trained together? Those that one program can train share its chunks.

Cells that differ only in what is given per seed (learning rate, weight decay, length of the schedule) share
a compiled program. Each keeps its own rows, checkpoints and lock. A checkpoint is cut up by cells, and
cells that were interrupted together resume one by one: to the same bits where a device trains one seed
after the other.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import jax
import numpy as np

from jaxemerge.runner.experiment import Experiment
from jaxemerge.runner.jobs import Job, common
from jaxemerge.training import Members, Plan, Seed, fitted_plan, smaller_plan

_Tree = TypeVar("_Tree")


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
    def experiment(self) -> Experiment:
        """The cell."""
        return self.job.experiment

    @property
    def cell(self) -> str:
        """The cell's id."""
        return self.experiment.cell

    def own(self, tree: _Tree) -> _Tree:
        """The cell's entries of a tree of arrays with the leading axis S; integers are left as they are."""
        return jax.tree.map(lambda x: x if isinstance(x, int) else x[self.place], tree)


@dataclass(frozen=True)
class Chunk:
    """Seeds that are trained at once, of one cell or of several.

    Attributes:
        parts: the seeds by cell, in the order of the axis S.
        plan: how they are trained.
    """

    parts: tuple[Part, ...]
    plan: Plan

    @classmethod
    def of(cls, plan: Plan, seeds: Iterable[tuple[Job, Seed]]) -> Chunk:
        """Seeds with their jobs, those of a job next to each other."""
        parts, start = list[Part](), 0
        for _, group in itertools.groupby(seeds, key=lambda pair: id(pair[0])):
            pairs = list(group)
            stop = start + len(pairs)
            parts.append(Part(pairs[0][0], tuple(seed for _, seed in pairs), slice(start, stop)))
            start = stop
        return cls(tuple(parts), plan)

    def __len__(self) -> int:
        """Number of seeds."""
        return sum(len(part.seeds) for part in self.parts)

    @property
    def experiment(self) -> Experiment:
        """The first cell: the others have the same model, task, batch and steps."""
        return self.parts[0].experiment

    @property
    def members(self) -> Members:
        """All seeds, each with its own cell's hyperparameters."""
        each = [part.experiment.members_of(part.seeds) for part in self.parts]
        joined: Members = jax.tree.map(lambda *x: np.concatenate(x), *each)
        return joined


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
        """The seeds as they are trained at once, cell by cell."""
        if len(self.jobs) == 1:
            [job] = self.jobs
            return [Chunk.of(self.plan, ((job, seed) for seed in seeds)) for seeds in job.chunks]
        pairs = [(job, seed) for job in self.jobs for seed in job.experiment.seeds]
        size = self.plan.chunk
        return [Chunk.of(self.plan, pairs[i : i + size]) for i in range(0, len(pairs), size)]

    @property
    def flops_per_step(self) -> float:
        """Training FLOPs of one step of one chunk."""
        return self.jobs[0].flops_per_step

    @property
    def flops(self) -> float:
        """Training FLOPs of all chunks; a chunk that is not full costs as much as a full one."""
        return len(self.chunks) * self.flops_per_step * self.experiment.steps

    def after(self, chunks: int) -> Group:
        """The group without its first chunks, at least one chunk left."""
        done: dict[str, set[Seed]] = {job.experiment.cell: set() for job in self.jobs}
        for part in itertools.chain.from_iterable(chunk.parts for chunk in self.chunks[:chunks]):
            done[part.experiment.cell].update(part.seeds)
        left = [
            job.without(done[job.experiment.cell])
            for job in self.jobs
            if not done[job.experiment.cell].issuperset(job.experiment.seeds)
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


def grouped(todo: Sequence[Job]) -> list[Group]:
    """Jobs in groups that are trained together, in the order of the first of each.

    Cells with finished seeds or checkpoints are groups of their own and keep their own plan.
    """
    alike: dict[Any, list[Job]] = {}
    for job in todo:
        alone = job.checkpointed or not job.grouped_seeds
        key = job.experiment.cell if alone else (common(job.experiment), job.plan)
        alike.setdefault(key, []).append(job)
    return [_fitted(jobs) for sharing in alike.values() for jobs in _whole_chunks(sharing)]


def _whole_chunks(sharing: Sequence[Job]) -> list[list[Job]]:
    """Cut where chunks end with a cell: a group is one process' work, and no larger than chunks need."""
    found, seeds = [list[Job]()], 0
    for job in sharing:
        if seeds and seeds % job.plan.chunk == 0:
            found.append([])
        found[-1].append(job)
        seeds += len(job.experiment.seeds)
    return found


def _fitted(jobs: Sequence[Job]) -> Group:
    """Jobs as a group, whose chunk is no larger than they need."""
    n_seeds = sum(len(job.experiment.seeds) for job in jobs)
    return _group(jobs, fitted_plan(jobs[0].experiment, jobs[0].plan, n_seeds))
