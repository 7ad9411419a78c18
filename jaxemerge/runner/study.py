"""What of a study is still to be trained, and training it, one chunk of seeds at a time."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from jaxemerge.models import training_flops_per_token
from jaxemerge.runner.provenance import provenance
from jaxemerge.runner.spec import Experiment
from jaxemerge.runner.store import Store
from jaxemerge.runner.sweep import flat_fields, varied_fields
from jaxemerge.runner.table import SCHEMA, results_table
from jaxemerge.runner.train import Evaluation, Progress, chunked, train_chunk
from jaxemerge.training import Plan, Seed, make_plan, resumed_plan, smaller_plan
from jaxemerge.training.search import planned_by_search, worth_searching


@dataclass(frozen=True)
class Job:
    """The seeds of a cell that have no results yet.

    Attributes:
        experiment: the cell, with exactly these seeds.
        plan: how they are trained.
        columns: swept fields and their values in this cell.
        note: why the plan is not that of the cell's finished seeds; empty where it is, or there are none.
    """

    experiment: Experiment
    plan: Plan
    columns: Mapping[str, Any]
    note: str = ""

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

    def after(self, chunks: int) -> Job:
        """The job without its first chunks."""
        left = self.experiment.seeds[chunks * self.plan.chunk :]
        return replace(self, experiment=self.experiment.with_seeds(left))

    def smaller(self) -> Job:
        """The job with half the seeds at once.

        Raises:
            DeviceError: there is one seed per device already.
        """
        return replace(self, plan=smaller_plan(self.experiment, self.plan))


def training_flops(experiment: Experiment) -> float:
    """FLOPs to train one seed."""
    per_token = training_flops_per_token(experiment.model, experiment.task.vocabulary, experiment.context)
    return per_token * experiment.steps * experiment.batch * experiment.context


def jobs(
    experiments: Sequence[Experiment],
    store: Store | None,
    *,
    chunk: int = 0,
    width: int = 0,
    memory: int = 0,
    search: bool | None = False,
    cache: Path | None = None,
) -> list[Job]:
    """What is left to do: cells in their order, without the seeds that the store holds.

    A cell that the store holds seeds of goes on with their plan, where that is possible here and none is
    given.

    Args:
        experiments: the cells.
        store: what is finished.
        chunk: seeds at once; 0 chooses.
        width: seeds side by side on each device; 0 chooses.
        memory: bytes that may be used; 0 takes a share of what there is.
        search: whether to time candidates where neither chunk nor width is given, and no plan recorded;
            None does where the cell's training is long enough to pay for it.
        cache: folder in which the plans that a search found are kept.
    """
    found = []
    columns = swept_columns(experiments)
    records = _latest_records(store) if store and not (chunk or width) else {}
    for experiment in experiments:
        done = store.finished(experiment.cell) if store else set()
        seeds = [seed for seed in experiment.seeds if seed not in done]
        if seeds:
            missing = experiment.with_seeds(seeds)
            plan, note = _resumed(missing, records.get(experiment.cell), memory)
            if plan is None:
                plan = make_plan(missing, len(seeds), chunk=chunk, width=width, memory=memory)
                if plan.source == "formula":
                    wanted = worth_searching(missing, plan, len(seeds)) if search is None else search
                    plan = planned_by_search(missing, plan, memory=memory, search=wanted, cache=cache)
            found.append(Job(missing, plan, columns[experiment.cell], note))
    return found


def _latest_records(store: Store) -> dict[str, dict[str, Any]]:
    """Per cell the record of the chunk that was trained last."""
    records = sorted(store.records(), key=lambda record: record["provenance"]["time"])
    return {record["cell"]: record for record in records}


def _resumed(missing: Experiment, record: Mapping[str, Any] | None, memory: int) -> tuple[Plan | None, str]:
    """The plan of a cell's finished seeds, or why it cannot be used."""
    if record is None:
        return None, ""
    kind = record["provenance"]["device"]
    try:
        return resumed_plan(missing, len(missing.seeds), record["plan"], kind=kind, memory=memory), ""
    except ValueError as error:
        return None, f"{missing.cell}: planned anew, not as its finished seeds: {error}"


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
        "plan": job.plan.record,
        "provenance": circumstances,
    }
    store.write(job.experiment.cell, seeds, rows, record)
