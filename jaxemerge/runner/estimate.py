"""What would a study cost? Parameters, FLOPs, memory and time of its cells, before training any."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import jax
import jax.numpy as jnp

from jaxemerge.devices import compiled
from jaxemerge.training import cost_of

if TYPE_CHECKING:
    from jaxemerge.runner.experiment import Experiment
    from jaxemerge.runner.jobs import Job
    from jaxemerge.training import Plan

# Share of the matrix-product peak that training is taken to reach. On two CPU cores the quick
# study's cells reach about half; for accelerators the share is a guess.
ASSUMED_SHARE = {"cpu": 0.45, "gpu": 0.3, "tpu": 0.3}


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
