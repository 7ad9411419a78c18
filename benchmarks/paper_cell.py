"""Trains as many seeds of a cell of the paper as there is time for, on a machine available for a few minutes.

Needs no Polars: each chunk becomes one file of arrays, ``CELL-seeds-A-B.npz``, rewritten at every
evaluation under ``.partial.npz`` until it is finished. ``paper_results`` makes result parts of finished ones.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import jax
import numpy as np

import paper
from jaxemerge import Count, Experiment, neox
from jaxemerge.devices import Layout, use_host_cores
from jaxemerge.evaluation import SetScores
from jaxemerge.files import appearing, make_folder, read_sealed
from jaxemerge.runner.checks import prepare
from jaxemerge.runner.provenance import provenance
from jaxemerge.runner.scores import Evaluation, successes
from jaxemerge.runner.train import chunked, train_chunk
from jaxemerge.training import Plan, Seed, program
from jaxemerge.training.plan import fixed_plan, is_out_of_memory, plan_fits, smaller_plan

WIDTH = 16  # seeds side by side: enough to keep an accelerator busy at any of the paper's cells
SUCCESS = 0.2
SPARE = 1.15  # a chunk is started where so many times what it should take is left
COMPILING = 90.0  # seconds that another width costs
_PARTIAL = ".partial.npz"


@dataclass(frozen=True)
class Chunk:
    """What is kept of seeds that were trained together.

    Attributes:
        experiment: the cell, with these seeds.
        evaluations: scores so far.
        record: plan, duration and circumstances, as a results folder keeps them.
    """

    experiment: Experiment
    evaluations: tuple[Evaluation, ...]
    record: dict[str, Any]

    @property
    def finished(self) -> bool:
        """Whether training came to its end."""
        return bool(self.evaluations) and self.evaluations[-1].step == self.experiment.steps

    def write(self, folder: Path) -> Path:
        """Writes all of it into one file, whole or not at all."""
        seeds = [init for init, _ in self.experiment.seeds]
        stem = f"{self.experiment.cell}-seeds-{min(seeds)}-{max(seeds)}"
        path = folder / f"{stem}{'.npz' if self.finished else _PARTIAL}"
        arrays: dict[str, Any] = {
            "step": np.array([one.step for one in self.evaluations]),
            **{
                name: np.stack([getattr(one.scores, name) for one in self.evaluations])
                for name in SetScores._fields
            },
            **{
                name: np.stack([getattr(one, name) for one in self.evaluations])
                for name in ("train_loss", "gradient_norm", "diverged")
            },
        }
        words = {"experiment": self.experiment.to_json(), "record": self.record}
        with appearing(path) as partial, partial.open("xb") as file:
            np.savez_compressed(file, words=np.array(json.dumps(words)), **arrays)
        if self.finished:
            (folder / f"{stem}{_PARTIAL}").unlink(missing_ok=True)
        return path


def cells(tiny: bool = False) -> dict[str, Experiment]:
    """The paper's cells by name; ``tiny``: one that host cores train in seconds, under each of the names."""
    found = {name: paper.cell(name) for name in paper.names()}
    if not tiny:
        return found
    small: dict[str, Any] = {"steps": 12, "batch": 2, "context": 16, "evaluations": 3}
    small["task"] = Count(20, 5, (5, 8))
    return {
        name: replace(one, model=neox(1, 16 + i, 1, rotary_fraction=0.0), seeds=one.seeds[:5], **small)
        for i, (name, one) in enumerate(found.items())
    }


def read(path: Path) -> Chunk:
    """Reads what ``Chunk.write`` wrote."""
    with np.load(path, allow_pickle=False) as file:
        arrays = {name: file[name] for name in file.files}
    words = json.loads(str(arrays.pop("words")))
    evaluations = tuple(
        Evaluation(
            step=int(step),
            scores=SetScores(*(arrays[name][i] for name in SetScores._fields)),
            train_loss=arrays["train_loss"][i],
            gradient_norm=arrays["gradient_norm"][i],
            diverged=arrays["diverged"][i],
        )
        for i, step in enumerate(arrays["step"])
    )
    return Chunk(Experiment.from_json(words["experiment"]), evaluations, words["record"])


def finished_chunks(folder: Path, cell: str) -> list[Chunk]:
    """The finished chunks of a cell that a folder of arrays holds."""
    files = sorted(folder.glob(f"{cell}-seeds-*.npz")) if folder.is_dir() else []
    return [read(path) for path in files if not path.name.endswith(_PARTIAL)]


def seeds_there(cell: str, arrays: Path, results: Path) -> set[Seed]:
    """Seeds that were trained before: those in files of arrays, and those in a results folder."""
    there = {seed for chunk in finished_chunks(arrays, cell) for seed in chunk.experiment.seeds}
    for path in sorted((results / "cells" / cell).glob("[!.]*.json")):
        there |= {(init, data) for init, data in read_sealed(path)["seeds"]}
    return there


def train(experiment: Experiment, folder: Path, results: Path, seconds: float) -> list[Chunk]:
    """Trains seeds of a cell that are not there yet, chunk by chunk, and says what they come to.

    Args:
        experiment: the cell with all its seeds.
        folder: where files of arrays are written.
        results: results folder of earlier runs.
        seconds: for everything.

    Returns:
        The chunks that were finished now.

    Raises:
        DeviceError: memory runs out with one seed on each device.
    """
    end = time.monotonic() + seconds
    make_folder(folder)
    use_host_cores()
    prepare(experiment)
    left = [seed for seed in experiment.seeds if seed not in seeds_there(experiment.cell, folder, results)]
    print(f"{experiment.cell}: {len(left)} of {len(experiment.seeds)} seeds are missing", flush=True)
    if not left:
        return []
    plan, rate = _plan(experiment, len(left), end)
    needed = SPARE * plan.chunk * experiment.steps / rate
    print(f"{rate:.4g} seed-steps/s; chunks of {plan.chunk} seeds take {needed / SPARE:.0f} s", flush=True)
    return _chunks(experiment, left, plan, rate, folder, end)


def _chunks(
    experiment: Experiment, left: Sequence[Seed], plan: Plan, rate: float, folder: Path, end: float
) -> list[Chunk]:
    """The chunks that can be finished; half as many seeds at once where memory runs out."""
    done: list[Chunk] = []
    while left:
        seeds = next(iter(chunked(left, plan.chunk)))
        needed = SPARE * plan.chunk * experiment.steps / rate
        if time.monotonic() + needed > end:
            seconds = max(0.0, end - time.monotonic())
            print(f"{seconds:.0f} s left: {len(seeds)} more seeds would take {needed:.0f} s", flush=True)
            break
        try:
            chunk = _trained(experiment.with_seeds(seeds), plan, folder, end)
        except Exception as error:
            if not is_out_of_memory(error):
                raise
            plan, rate = _rate_that_fits(experiment, smaller_plan(experiment, plan))
            print(f"out of memory: {plan.chunk} seeds at once from here on", flush=True)
            continue
        if not chunk.finished:
            break
        done.append(chunk)
        left = left[len(seeds) :]
        print(told(finished_chunks(folder, experiment.cell)), flush=True)
    return done


def _plan(experiment: Experiment, n_seeds: int, end: float) -> tuple[Plan, float]:
    """Seeds at once, as many as fit into memory and can be finished, and seed-steps per second."""
    devices = tuple(jax.local_devices())
    side_by_side = min(WIDTH, -(-n_seeds // len(devices))) if devices[0].platform != "cpu" else 1
    plan = _with_width(experiment, devices, side_by_side)
    while plan.layout.width > 1 and not plan_fits(plan):
        plan = smaller_plan(experiment, plan)
    plan, rate = _rate_that_fits(experiment, plan)
    left, width = end - time.monotonic(), plan.layout.width
    if SPARE * plan.chunk * experiment.steps > left * rate and width > 1:
        fits = math.floor((left - COMPILING) * rate / (SPARE * experiment.steps * len(devices)))
        plan = _with_width(experiment, devices, max(1, min(fits, width)))
    return plan, rate


def _with_width(experiment: Experiment, devices: tuple[jax.Device, ...], width: int) -> Plan:
    """The plan with all seeds of a chunk side by side."""
    return fixed_plan(experiment, Layout(devices, width), width, "given")


def _rate_that_fits(experiment: Experiment, plan: Plan) -> tuple[Plan, float]:
    """A plan that does not run out of memory, and its seed-steps per second.

    Raises:
        DeviceError: one seed per device is too much.
    """
    while True:
        try:
            return plan, _rate(experiment, plan.layout)
        except Exception as error:
            if not is_out_of_memory(error):
                raise
            plan = smaller_plan(experiment, plan)


def _rate(experiment: Experiment, layout: Layout) -> float:
    """Seed-steps per second of all devices."""
    built = program(experiment, layout)
    who = built.place(experiment.with_seeds(_numbered(layout.multiple)).members)
    state = built.init(who)
    state, info = built.advance(state, who, 0, 1, 0)
    jax.block_until_ready(info)
    steps, took = 1, 0.0
    while took < 1.0 and steps < 1_000:
        steps *= 2
        began = time.perf_counter()
        state, info = built.advance(state, who, 0, steps, 0)
        jax.block_until_ready(info)
        took = time.perf_counter() - began
    return steps * layout.multiple / took


def _numbered(n: int) -> tuple[Seed, ...]:
    return tuple((seed, seed) for seed in range(n))


def _trained(experiment: Experiment, plan: Plan, folder: Path, end: float) -> Chunk:
    """One chunk; unfinished where time ran out."""
    began, circumstances = time.monotonic(), provenance(experiment.model)
    evaluations: list[Evaluation] = []

    def chunk() -> Chunk:
        record: dict[str, Any] = {
            "seconds": round(time.monotonic() - began, 3),
            "chance": experiment.chance,
            "best_loss": experiment.best_loss,
            "plan": plan.record,
            "provenance": circumstances,
            "earlier": [],
        }
        return Chunk(experiment, tuple(evaluations), record)

    for progress, _ in train_chunk(experiment, plan, experiment.members):
        if progress.evaluation is not None:
            evaluations.append(progress.evaluation)
            chunk().write(folder)
            print(f"step {progress.step:,}: mean loss {np.mean(progress.loss):.3f}", flush=True)
        if time.monotonic() > end:
            print(f"time is up at step {progress.step:,} of {experiment.steps:,}", flush=True)
            break
    return chunk()


def told(chunks: Sequence[Chunk]) -> str:
    """How many seeds of finished chunks succeed at each length, and the mean of these."""
    found: dict[str, list[np.ndarray]] = {}
    for chunk in chunks:
        last = chunk.evaluations[-1]
        for one in successes(chunk.experiment, last.scores):
            found.setdefault(f"length {one.length}", []).append(np.where(last.diverged, 0.0, one.values))
    lines = []
    for test, parts in found.items():
        scores = np.concatenate(parts)
        above = scores[scores >= SUCCESS]
        mean = f", their mean {above.mean():.3f}" if len(above) else ""
        lines.append(f"{test}: {len(above)} of {len(scores)} seeds at {SUCCESS:g} or more{mean}")
    return "\n".join(lines)
