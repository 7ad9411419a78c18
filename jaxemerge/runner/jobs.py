"""What is left to train of a study, by which plan, and what does it cost?"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp

from jaxemerge.devices import compiled
from jaxemerge.runner.experiment import Experiment
from jaxemerge.runner.labels import labels
from jaxemerge.runner.provenance import changes, provenance, settings
from jaxemerge.runner.records import StoreError
from jaxemerge.runner.store import Store
from jaxemerge.runner.tables import swept_columns
from jaxemerge.runner.train import chunked
from jaxemerge.training import Plan, Seed, cost_of, fixed_part, make_plan, resumed_plan
from jaxemerge.training.search import planned_by_search, worth_searching

# Share of the matrix-product peak that training is taken to reach. On two CPU cores the quick
# study's cells reach about half; for accelerators the share is a guess.
ASSUMED_SHARE = {"cpu": 0.45, "gpu": 0.3, "tpu": 0.3}


@dataclass(frozen=True)
class Job:
    """The seeds of a cell that have no results yet.

    Attributes:
        experiment: the cell, with exactly these seeds.
        plan: how they are trained.
        columns: swept fields and their values in this cell.
        note: what has changed since the cell's finished seeds: plan, versions, commit; else empty.
        checkpointed: groups of these seeds that have a checkpoint.
        grouped_seeds: seeds of other cells that share the plan; see ``grouped``.
        label: the cell in words: what tells it from the study's other cells.
    """

    experiment: Experiment
    plan: Plan
    columns: Mapping[str, Any]
    note: str = ""
    checkpointed: tuple[tuple[Seed, ...], ...] = ()
    grouped_seeds: int = 0
    label: str = ""

    @property
    def chunks(self) -> list[tuple[Seed, ...]]:
        """The seeds, as they are trained together; those with a checkpoint first, and among themselves."""
        done = {seed for group in self.checkpointed for seed in group}
        groups = [*self.checkpointed, [seed for seed in self.experiment.seeds if seed not in done]]
        return [chunk for group in groups for chunk in chunked(group, self.plan.chunk)]

    @property
    def flops_per_step(self) -> float:
        """Training FLOPs of one step of one chunk."""
        return self.plan.chunk * training_flops(self.experiment) / self.experiment.steps

    @property
    def flops(self) -> float:
        """Training FLOPs of all chunks, filled-up ones included; of those with other cells its share."""
        own = len(self.experiment.seeds)
        if not self.grouped_seeds:
            return len(self.chunks) * self.flops_per_step * self.experiment.steps
        everyone = own + self.grouped_seeds
        chunks = -(-everyone // self.plan.chunk)
        return chunks * self.flops_per_step * self.experiment.steps * own / everyone

    def without(self, seeds: Set[Seed]) -> Job:
        """The job but for some seeds, not for all of them."""
        left = [seed for seed in self.experiment.seeds if seed not in seeds]
        groups = (tuple(seed for seed in group if seed not in seeds) for group in self.checkpointed)
        return replace(
            self, experiment=self.experiment.with_seeds(left), checkpointed=tuple(filter(None, groups))
        )


def training_flops(experiment: Experiment) -> float:
    """FLOPs to train one seed."""
    return cost_of(experiment).flops * experiment.steps


def jobs(
    experiments: Sequence[Experiment],
    store: Store | None,
    *,
    study: Sequence[Experiment] = (),
    chunk: int = 0,
    width: int = 0,
    memory: int = 0,
    search: bool | None = False,
    cache: Path | None = None,
) -> list[Job]:
    """The jobs of a study: cells in their order, without the seeds that the store holds.

    A cell with finished seeds keeps their plan, where this machine can follow it and no other plan is given.
    The other cells are planned together with those that share a program; see ``common``.

    Args:
        experiments: the cells.
        store: holds the finished seeds.
        study: all cells of the study, where ``experiments`` are some of them: decides which fields are swept,
            and so the columns of the rows.
        chunk: seeds at once; 0 chooses.
        width: seeds trained in parallel on each device; 0 chooses.
        memory: bytes that may be used; 0 takes a share of the devices' memory.
        search: whether to time candidates where neither chunk nor width is given and no plan is recorded;
            None does where the cell's training is long enough to pay for it.
        cache: folder of the plans that earlier searches found.
    """
    found = []
    columns = swept_columns(study or experiments)
    called = labels({each.cell: each.to_dict() for each in study or experiments})
    known = _latest_records(store) if store else {}
    records = {} if chunk or width else known
    here = provenance() if known else {}
    left = list(_missing(experiments, store))
    fresh = [each for each, checkpointed in left if each.cell not in records and not checkpointed]
    sharing = Counter(common(each) for each in fresh for _ in each.seeds)
    for missing, checkpointed in left:
        label = called[missing.cell]
        plan, note = _resumed(missing, records.get(missing.cell), memory, label)
        own = len(missing.seeds)
        n_seeds = sharing[common(missing)] if missing in fresh else own
        if plan is None:
            plan = make_plan(missing, n_seeds, chunk=chunk, width=width, memory=memory)
            if plan.source == "formula":
                wanted = worth_searching(missing, plan, n_seeds) if search is None else search
                plan = planned_by_search(missing, plan, memory=memory, search=wanted, cache=cache)
        if missing.cell in known:
            note = _with_changes(note, known[missing.cell], here, label)
        found.append(Job(missing, plan, columns[missing.cell], note, checkpointed, n_seeds - own, label))
    return found


def common(experiment: Experiment) -> tuple[Any, ...]:
    """Equal for cells that can be trained in the same chunks."""
    own = experiment.start, experiment.metrics, experiment.stop_when
    return fixed_part(experiment), experiment.steps, experiment.evaluation_steps, *own


def _missing(
    experiments: Sequence[Experiment], store: Store | None
) -> Iterator[tuple[Experiment, tuple[tuple[Seed, ...], ...]]]:
    """Cells with the seeds that the store does not hold, and those of them that have a checkpoint."""
    for experiment in experiments:
        done = store.finished(experiment.cell) if store else set()
        seeds = [seed for seed in experiment.seeds if seed not in done]
        if seeds:
            yield experiment.with_seeds(seeds), _checkpointed(store, experiment.cell, seeds) if store else ()


def _checkpointed(store: Store, cell: str, missing: Sequence[Seed]) -> tuple[tuple[Seed, ...], ...]:
    """Missing seeds that have a checkpoint, group by group, each seed in that of the furthest."""
    left, groups = set(missing), []
    for chunk in store.resumable(cell):
        record = chunk.record()
        group = tuple((i, d) for i, d in record["seeds"] if (i, d) in left) if record else ()
        left -= set(group)
        groups.append(group)
    return tuple(group for group in groups if group)


def _latest_records(store: Store) -> dict[str, dict[str, Any]]:
    """Per cell the record of the chunk that was started last."""
    unfinished = [(cell, chunk.record()) for cell in store.cells for chunk in store.resumable(cell)]
    records = [*store.records(), *({**record, "cell": cell} for cell, record in unfinished if record)]
    for record in records:
        _check_settings(record)
    records.sort(key=lambda record: record["provenance"]["time"])
    return {record["cell"]: record for record in records}


def _check_settings(record: Mapping[str, Any]) -> None:
    """Refuses to resume under settings of JAX that give other numbers.

    Raises:
        StoreError: naming every setting that differs.
    """
    before, now = record["provenance"]["settings"], settings()
    changed = [
        f"{name} was {before[name] or 'unset'} and is {now[name] or 'unset'}"
        for name in now
        if before.get(name, now[name]) != now[name]
    ]
    if changed:
        raise StoreError(
            f"{record['cell']} was started under other settings: {'; '.join(changed)}; restore them, choose "
            "another folder with --out, or start again with --overwrite"
        )


def _resumed(
    missing: Experiment, record: Mapping[str, Any] | None, memory: int, label: str
) -> tuple[Plan | None, str]:
    """The plan of a cell's finished seeds, or why it cannot be used."""
    if record is None:
        return None, ""
    kind = record["provenance"]["device"]
    try:
        return resumed_plan(missing, len(missing.seeds), record["plan"], kind=kind, memory=memory), ""
    except ValueError as error:
        return None, f"{label}: planned again, not as its finished seeds were: {error}"


def _with_changes(note: str, record: Mapping[str, Any], here: Mapping[str, Any], label: str) -> str:
    """The note, and what has changed since the cell was started."""
    changed = changes(record["provenance"], here)
    lines = [f"{label}: since it was started, {', '.join(changed)}"] if changed else []
    return "; ".join(filter(None, [note, *lines]))


def current(job: Job, store: Store) -> Job | None:
    """The job without the seeds that other processes have finished meanwhile, and with their checkpoints.

    None where no seed is left. This process must be the cell's writer.
    """
    cell = job.experiment.cell
    done = store.finished(cell)
    left = [seed for seed in job.experiment.seeds if seed not in done]
    if not left:
        return None
    return replace(
        job, experiment=job.experiment.with_seeds(left), checkpointed=_checkpointed(store, cell, left)
    )


@dataclass(frozen=True)
class Estimate:
    """Cost of what a cell has still to train.

    Attributes:
        experiment: the cell, with all its seeds.
        seeds: how many have no results yet.
        plan: how they are trained; None where nothing is left.
        parameters: non-embedding weights of one seed.
        total_parameters: all weights of one seed.
        flops: of the missing seeds, the last chunk's filling included.
        bytes: estimated peak memory of a chunk on all devices together.
        seconds: at the assumed rate, without compilation.
        grouped_seeds: seeds of other cells that are trained together with them.
    """

    experiment: Experiment
    seeds: int
    plan: Plan | None
    parameters: int
    total_parameters: int
    flops: float
    bytes: int
    seconds: float
    grouped_seeds: int = 0

    @property
    def chunk(self) -> int:
        """Seeds trained together; 0 where nothing is left."""
        return self.plan.chunk if self.plan else 0


def estimates(experiments: Sequence[Experiment], todo: Sequence[Job], rate: float) -> list[Estimate]:
    """Costs of all cells in their order, at ``rate`` FLOP/s."""
    left = {job.experiment.cell: job for job in todo}
    return [_estimate(experiment, left.get(experiment.cell), rate) for experiment in experiments]


def _estimate(experiment: Experiment, job: Job | None, rate: float) -> Estimate:
    flops, cost = job.flops if job else 0.0, cost_of(experiment)
    return Estimate(
        experiment=experiment,
        seeds=len(job.experiment.seeds) if job else 0,
        plan=job.plan if job else None,
        parameters=cost.parameters,
        total_parameters=cost.total_parameters,
        flops=flops,
        bytes=job.plan.bytes if job else 0,
        seconds=flops / rate,
        grouped_seeds=job.grouped_seeds if job else 0,
    )


def assumed_rate(dtype: str = "float32") -> float:
    """Training FLOP/s expected of all local devices: a share of their measured matrix-product peak."""
    devices = jax.local_devices()
    peak = measured_peak(dtype)
    if devices[0].platform != "cpu":  # host devices share their cores: one product uses all
        peak *= len(devices)
    return ASSUMED_SHARE.get(devices[0].platform, 0.3) * peak


def measured_peak(dtype: str = "float32", seconds: float = 0.5) -> float:
    """FLOP/s of one device on a large matrix product; the best of what fits into ``seconds``."""
    size = 1024 if jax.default_backend() == "cpu" else 8192
    matrix = jnp.ones((size, size), dtype)
    product = compiled(jnp.dot)
    product(matrix, matrix).block_until_ready()
    best, until = float("inf"), time.monotonic() + seconds
    while time.monotonic() < until:
        began = time.perf_counter()
        product(matrix, matrix).block_until_ready()
        best = min(best, time.perf_counter() - began)
    return 2.0 * size**3 / best
