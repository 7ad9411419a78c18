"""What of a study is still to be trained, and training it, one chunk of seeds at a time."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from jaxemerge.models import training_flops_per_token
from jaxemerge.runner.provenance import provenance
from jaxemerge.runner.spec import Experiment
from jaxemerge.runner.store import Store
from jaxemerge.runner.sweep import flat_fields, varied_fields
from jaxemerge.runner.table import SCHEMA, results_table
from jaxemerge.runner.train import Evaluation, Progress, chunked, train_chunk
from jaxemerge.training import Plan, Seed, make_plan


@dataclass(frozen=True)
class Job:
    """The seeds of a cell that have no results yet.

    Attributes:
        experiment: the cell, with exactly these seeds.
        plan: how they are trained.
        columns: swept fields and their values in this cell.
    """

    experiment: Experiment
    plan: Plan
    columns: Mapping[str, Any]

    @property
    def label(self) -> str:
        """The cell in words: its size and what is swept."""
        model = self.experiment.model
        swept = [f"{name} {value}" for name, value in self.columns.items()]
        return ", ".join([f"depth {model.depth}", f"width {model.width}", *swept])

    @property
    def chunks(self) -> list[tuple[Seed, ...]]:
        """The seeds, as they are trained together."""
        return chunked(self.experiment.seeds, self.plan.chunk)

    @property
    def flops_per_step(self) -> float:
        """Training FLOPs of one step of one chunk."""
        return self.plan.chunk * training_flops(self.experiment) / self.experiment.steps

    @property
    def flops(self) -> float:
        """Training FLOPs of all chunks, filled-up ones included."""
        return len(self.chunks) * self.flops_per_step * self.experiment.steps


def training_flops(experiment: Experiment) -> float:
    """FLOPs to train one seed."""
    per_token = training_flops_per_token(experiment.model, experiment.task.vocabulary, experiment.context)
    return per_token * experiment.steps * experiment.batch * experiment.context


def jobs(
    experiments: Sequence[Experiment], store: Store | None, *, chunk: int = 0, memory: int = 0
) -> list[Job]:
    """What is left to do: cells in their order, without the seeds that the store holds.

    Args:
        experiments: the cells.
        store: what is finished.
        chunk: seeds at once; 0 chooses.
        memory: bytes that may be used; 0 takes a share of what there is.
    """
    found = []
    columns = swept_columns(experiments)
    for experiment in experiments:
        done = store.finished(experiment.cell) if store else set()
        missing = [seed for seed in experiment.seeds if seed not in done]
        if missing:
            plan = make_plan(experiment, len(missing), chunk=chunk, memory=memory)
            found.append(Job(experiment.with_seeds(missing), plan, columns[experiment.cell]))
    return found


def swept_columns(experiments: Sequence[Experiment]) -> dict[str, dict[str, Any]]:
    """Per cell, the swept fields that the results schema has no column for, named by their last part."""
    names = varied_fields(experiments)
    if "model.width" in names:
        names = [name for name in names if name != "model.heads"]  # follows the width
    return {
        experiment.cell: {
            name.rpartition(".")[2]: _plain(flat_fields(experiment)[name])
            for name in names
            if name.rpartition(".")[2] not in SCHEMA and name in flat_fields(experiment)
        }
        for experiment in experiments
    }


def _plain(value: Any) -> Any:
    return value if isinstance(value, (int, float, str, bool)) else str(value)


def run_chunk(job: Job, seeds: Sequence[Seed], store: Store) -> Iterator[Progress]:
    """Trains one chunk and stores its rows when it is finished; an interruption leaves no trace of it."""
    began, circumstances = time.monotonic(), provenance()
    evaluations: list[Evaluation] = []
    for progress, _ in train_chunk(job.experiment, job.plan, seeds):
        if progress.evaluation is not None:
            evaluations.append(progress.evaluation)
        yield progress
    rows = results_table(job.experiment, seeds, evaluations, job.columns)
    record = {
        "seconds": round(time.monotonic() - began, 3),
        "plan": {
            "chunk": job.plan.chunk,
            "width": job.plan.layout.width,
            "devices": len(job.plan.layout.devices),
            "dispatch": job.plan.dispatch,
        },
        "provenance": circumstances,
    }
    store.write(job.experiment.cell, seeds, rows, record)
