"""What of a study is still to be trained, and training it, one chunk of seeds at a time."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from jaxemerge.runner.checkpoint import INTERVAL, Checkpoint
from jaxemerge.runner.experiment import Experiment
from jaxemerge.runner.kept import kept, wanted
from jaxemerge.runner.provenance import changes, provenance, settings
from jaxemerge.runner.scores import Evaluation, Progress
from jaxemerge.runner.signals import StopRequest
from jaxemerge.runner.store import PASSES, Store, StoreError
from jaxemerge.runner.tables import results_table, swept_columns, with_pass_rates
from jaxemerge.runner.train import chunked, train_chunk
from jaxemerge.runner.weights import named
from jaxemerge.training import (
    Members,
    Paused,
    Plan,
    Program,
    Seed,
    cost_of,
    fixed_part,
    make_plan,
    resumed_plan,
    smaller_plan,
)
from jaxemerge.training.search import planned_by_search, worth_searching


@dataclass(frozen=True)
class Job:
    """The seeds of a cell that have no results yet.

    Attributes:
        experiment: the cell, with exactly these seeds.
        plan: how they are trained.
        columns: swept fields and their values in this cell.
        note: what is not as it was for the cell's finished seeds: plan, versions, commit; else empty.
        begun: groups of these seeds that have a checkpoint.
        beside: seeds of other cells that the plan is for as well; see ``together``.
    """

    experiment: Experiment
    plan: Plan
    columns: Mapping[str, Any]
    note: str = ""
    begun: tuple[tuple[Seed, ...], ...] = ()
    beside: int = 0

    @property
    def label(self) -> str:
        """The cell in words: its size and what is swept."""
        sizes = self.experiment.learner.sizes
        swept = [f"{name} {value}" for name, value in self.columns.items()]
        shown = [f"{name} {size}" for name, size in sizes.items() if size is not None]
        return ", ".join([*shown, *swept] or [self.experiment.task.name])

    @property
    def chunks(self) -> list[tuple[Seed, ...]]:
        """The seeds, as they are trained together; those with a checkpoint first, and among themselves."""
        done = {seed for group in self.begun for seed in group}
        groups = [*self.begun, [seed for seed in self.experiment.seeds if seed not in done]]
        return [chunk for group in groups for chunk in chunked(group, self.plan.chunk)]

    @property
    def flops_per_step(self) -> float:
        """Training FLOPs of one step of one chunk."""
        return self.plan.chunk * training_flops(self.experiment) / self.experiment.steps

    @property
    def flops(self) -> float:
        """Training FLOPs of all chunks, filled-up ones included; of those with other cells its share."""
        own = len(self.experiment.seeds)
        chunks = -(-(own + self.beside) // self.plan.chunk) if self.beside else len(self.chunks)
        return chunks * self.flops_per_step * self.experiment.steps * own / (own + self.beside)

    def after(self, chunks: int) -> Job:
        """The job without its first chunks."""
        return self.without({seed for chunk in self.chunks[:chunks] for seed in chunk})

    def without(self, seeds: Set[Seed]) -> Job:
        """The job but for some seeds, not for all of them."""
        left = [seed for seed in self.experiment.seeds if seed not in seeds]
        groups = (tuple(seed for seed in group if seed not in seeds) for group in self.begun)
        return replace(
            self, experiment=self.experiment.with_seeds(left), begun=tuple(group for group in groups if group)
        )

    def smaller(self) -> Job:
        """The job with half the seeds at once.

        Raises:
            DeviceError: there is one seed per device already.
        """
        return replace(self, plan=smaller_plan(self.experiment, self.plan))


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
    """What is left to do: cells in their order, without the seeds that the store holds.

    A cell that the store holds seeds of goes on with their plan, where that is possible here and none is
    given. The others are planned together with those that they have everything in ``common`` with.

    Args:
        experiments: the cells.
        store: what is finished.
        study: all cells of the study, where ``experiments`` are only some of them: what is swept is then
            seen, and named in the rows, as if all were trained.
        chunk: seeds at once; 0 chooses.
        width: seeds side by side on each device; 0 chooses.
        memory: bytes that may be used; 0 takes a share of what there is.
        search: whether to time candidates where neither chunk nor width is given, and no plan recorded;
            None does where the cell's training is long enough to pay for it.
        cache: folder in which the plans that a search found are kept.
    """
    found = []
    columns = swept_columns(study or experiments)
    known = _latest_records(store) if store else {}
    records = {} if chunk or width else known
    here = provenance() if known else {}
    left = list(_missing(experiments, store))
    fresh = [each for each, begun in left if each.cell not in records and not begun]
    riding = Counter(common(each) for each in fresh for _ in each.seeds)
    for missing, begun in left:
        plan, note = _resumed(missing, records.get(missing.cell), memory)
        own = len(missing.seeds)
        n_seeds = riding[common(missing)] if missing in fresh else own
        if plan is None:
            plan = make_plan(missing, n_seeds, chunk=chunk, width=width, memory=memory)
            if plan.source == "formula":
                wanted = worth_searching(missing, plan, n_seeds) if search is None else search
                plan = planned_by_search(missing, plan, memory=memory, search=wanted, cache=cache)
        if missing.cell in known:
            note = _with_changes(note, known[missing.cell], here)
        found.append(Job(missing, plan, columns[missing.cell], note, begun, n_seeds - own))
    return found


def common(experiment: Experiment) -> tuple[Any, ...]:
    """What cells have in common that can be trained together."""
    return fixed_part(experiment), experiment.steps, experiment.evaluation_steps


def _missing(
    experiments: Sequence[Experiment], store: Store | None
) -> Iterator[tuple[Experiment, tuple[tuple[Seed, ...], ...]]]:
    """Cells with the seeds that the store does not hold, and those of them that have a checkpoint."""
    for experiment in experiments:
        done = store.finished(experiment.cell) if store else set()
        seeds = [seed for seed in experiment.seeds if seed not in done]
        if seeds:
            begun = _begun(store, experiment.cell, seeds) if store else ()
            yield experiment.with_seeds(seeds), begun


def _begun(store: Store, cell: str, missing: Sequence[Seed]) -> tuple[tuple[Seed, ...], ...]:
    """Missing seeds that have a checkpoint, group by group, each seed in that of the furthest."""
    left, groups = set(missing), []
    for chunk in store.begun(cell):
        record = chunk.record()
        group = tuple((i, d) for i, d in record["seeds"] if (i, d) in left) if record else ()
        left -= set(group)
        groups.append(group)
    return tuple(group for group in groups if group)


def _latest_records(store: Store) -> dict[str, dict[str, Any]]:
    """Per cell the record of the chunk that was begun last."""
    begun = [chunk.record() for cell in store.cells for chunk in store.begun(cell)]
    records = [*store.records(), *(record for record in begun if record)]
    for record in records:
        _check_settings(record)
    records.sort(key=lambda record: record["provenance"]["time"])
    return {record["cell"]: record for record in records}


def _check_settings(record: Mapping[str, Any]) -> None:
    """Refuses to go on under settings of JAX that give other numbers.

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
            f"{record['cell']} was begun under other settings: {'; '.join(changed)}; restore them, choose "
            "another folder with --out, or begin anew with --overwrite"
        )


def _resumed(missing: Experiment, record: Mapping[str, Any] | None, memory: int) -> tuple[Plan | None, str]:
    """The plan of a cell's finished seeds, or why it cannot be used."""
    if record is None:
        return None, ""
    kind = record["provenance"]["device"]
    try:
        return resumed_plan(missing, len(missing.seeds), record["plan"], kind=kind, memory=memory), ""
    except ValueError as error:
        return None, f"{missing.cell}: planned anew, not as its finished seeds: {error}"


def _with_changes(note: str, record: Mapping[str, Any], here: Mapping[str, Any]) -> str:
    """The note, and under what other versions the cell was begun."""
    changed = changes(record["provenance"], here)
    lines = [f"{record['cell']}: since it was begun, {', '.join(changed)}"] if changed else []
    return "; ".join(filter(None, [note, *lines]))


def current(job: Job, store: Store) -> Job | None:
    """The job as other processes have left its cell: without the seeds they finished, from their checkpoints.

    None where nothing is left to do. This process must be the cell's writer.
    """
    cell = job.experiment.cell
    done = store.finished(cell)
    left = [seed for seed in job.experiment.seeds if seed not in done]
    if not left:
        return None
    return replace(job, experiment=job.experiment.with_seeds(left), begun=_begun(store, cell, left))


def run_chunk(
    job: Job,
    seeds: Sequence[Seed],
    store: Store,
    *,
    stop: StopRequest | None = None,
    interval: float = INTERVAL,
    say: Callable[[str], None] = lambda line: None,
    keep_items: bool = False,
    keep_weights: bool = False,
) -> Iterator[Progress]:
    """Trains one chunk, from its latest checkpoint if there is one, and stores its rows when it is finished.

    Args:
        job: the cell.
        seeds: one of its chunks.
        store: where to keep rows and checkpoints; this process must be the cell's writer.
        stop: obeyed after the checkpoint that it causes; while answers are sampled at the end, without one.
        interval: seconds between two checkpoints.
        say: told of damaged checkpoints, and where training goes on.
        keep_items: whether what every seed makes of every item in the end is kept as well.
        keep_weights: whether the final weights are kept as well.

    Raises:
        StoppedError: ``stop`` was asked to.
        OSError: a file cannot be written.
    """
    cell, began = job.experiment.cell, time.monotonic()
    circumstances = provenance(job.experiment.model)
    evaluations: list[Evaluation] = []
    saved = _saved(store, cell, seeds, say)
    spent = saved.record["seconds"] if saved else 0.0
    keep = store.checkpoints(cell, seeds, interval)

    def resume(built: Program, population: Members) -> Paused:
        assert saved is not None
        paused, seen = saved.take(seeds, built, population)
        evaluations.extend(seen)
        return paused

    def record() -> dict[str, Any]:
        seconds = round(spent + time.monotonic() - began, 3)
        return {
            "seconds": seconds,
            "chance": job.experiment.chance,
            "best_loss": job.experiment.best_loss,
            "plan": job.plan.record,
            "provenance": circumstances,
            "earlier": _earlier(saved, circumstances),
        }

    more: dict[str, pl.DataFrame] = {}
    weights: dict[str, np.ndarray] | None = None
    running = train_chunk(
        *(job.experiment, job.plan, job.experiment.members_of(seeds)),
        pause=lambda: keep.due or bool(stop),
        resume=resume if saved else None,
    )
    for progress, snapshot in running:
        if progress.evaluation is not None:
            evaluations.append(progress.evaluation)
        yield progress
        if snapshot is None:
            continue
        if progress.step == job.experiment.steps:
            if keep_weights or wanted(job.experiment, keep_items):
                params = snapshot.paused(len(seeds)).state.params
                end = job.experiment, seeds, params, evaluations[-1], job.plan.layout
                more = kept(*end, keep_items=keep_items, stop=stop)
                weights = named(params) if keep_weights else None
            continue
        if progress.step:
            keep.save(snapshot.paused(len(seeds)), seeds, evaluations, {"cell": cell, **record()})
        if stop:
            stop.raise_if_asked()
    rows = results_table(job.experiment, seeds, evaluations, job.columns)
    rows = with_pass_rates(rows, more.get(PASSES), job.columns)
    store.write(cell, seeds, rows, record(), more, weights)
    store.clear(cell)
    if stop:
        stop.raise_if_asked()


def _saved(store: Store, cell: str, seeds: Sequence[Seed], say: Callable[[str], None]) -> Checkpoint | None:
    """The checkpoint furthest on of those that hold all of these seeds."""
    found: Checkpoint | None = None
    for chunk in store.begun(cell):
        record = chunk.record()
        if record and not (set(seeds) <= _seeds(record) and record["step"] > (found.step if found else 0)):
            continue
        if record is None and chunk.being_written:
            continue  # another process begins it
        whole = chunk.latest(say)  # tells of damage, and may be an earlier one
        if whole is None:
            chunk.clear()
        elif set(seeds) <= set(whole.seeds) and whole.step > (found.step if found else 0):
            found = whole
    if found:
        say(f"{cell}: going on from the checkpoint of step {found.step:,}.")
    return found


def _earlier(saved: Checkpoint | None, circumstances: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Up to which step the chunk was trained under other circumstances than now, and which."""
    if saved is None:
        return []
    before = saved.record["provenance"]
    same = {**before, "time": ""} == {**circumstances, "time": ""}
    return [
        *saved.record.get("earlier", ()),
        *([] if same else [{"until": saved.step, "provenance": before}]),
    ]


def _seeds(record: Mapping[str, Any]) -> set[Seed]:
    return {(init, data) for init, data in record["seeds"]}
