"""How much of a cluster's time does a study lose where its jobs are preempted, and when does it stop scaling?

    python benchmarks/preemption.py

A simulation of 15 cells of 250 seeds on 64 GPUs, one job per cell, each with the same number of GPUs. A job
is preempted at random, at the same rate throughout. With a warning it saves first; without one (a kill, a
lost node) it repeats what it did since its last checkpoint. Either way it waits in the queue, starts and
compiles again.
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass

import numpy as np

CELLS, GPUS, WORK = 15, 64, 10.0  # WORK: hours that the largest cell takes on one GPU
HOUR = 3600.0
BEAT = 10.0  # seconds between two touches of a lock


@dataclass(frozen=True)
class Cluster:
    """Circumstances of all jobs; times in seconds.

    Attributes:
        gpus: of each job.
        between: mean time between two preemptions of a job.
        warned: whether a job is warned and saves.
        queue: wait until a preempted job runs again.
        start: imports, compilation and reading the checkpoint.
        interval: between two checkpoints.
        save: time that training stands still for one.
    """

    gpus: int
    between: float
    warned: bool
    queue: float = 120.0
    start: float = 90.0
    interval: float = 300.0
    save: float = 2.0


@dataclass(frozen=True)
class Outcome:
    """What came of a study.

    Attributes:
        hours: until its last cell is done.
        lost: share of its GPU time that went into starts, checkpoints and what was repeated.
        checkpoints: how many.
    """

    hours: float
    lost: float
    checkpoints: int


def simulate(cluster: Cluster, work: np.ndarray, rng: np.random.Generator) -> Outcome:
    """Runs all cells to their end.

    Args:
        cluster: circumstances.
        work: seconds of each cell on one GPU; seeds are spread over a job's GPUs without loss.
        rng: of preemptions.
    """
    places = GPUS // cluster.gpus
    free = [0.0] * places  # when each place for a job is free
    checkpoints = 0
    used = 0.0
    heapq.heapify(free)
    for seconds in sorted(work, reverse=True):  # the longest first
        clock = heapq.heappop(free)
        left = seconds / cluster.gpus
        while left > 0:
            clock += cluster.start
            used += cluster.start
            done, spent, saves = attempt(cluster, left, rng.exponential(cluster.between))
            left -= done
            checkpoints += saves
            clock += spent + (cluster.queue if left > 0 else 0.0)
            used += spent
        heapq.heappush(free, clock)
    wanted = work.sum() / cluster.gpus
    return Outcome(max(free) / HOUR, float(1 - wanted / used), checkpoints)


def attempt(cluster: Cluster, left: float, until: float) -> tuple[float, float, int]:
    """Training until the end or a preemption: seconds of work that are kept, seconds spent, checkpoints."""
    period = cluster.interval + cluster.save
    whole = left + cluster.save * (left // cluster.interval)
    if until >= whole:
        return left, whole, int(left // cluster.interval)
    saves = int(until // period)
    kept = saves * cluster.interval
    if cluster.warned:
        return kept + min(until - saves * period, cluster.interval), until + cluster.save, saves + 1
    return kept, until, saves


def main() -> None:
    """Prints a line per number of GPUs of a job, rate of preemption and kind of end."""
    rng = np.random.default_rng(0)
    work = np.linspace(0.1, 1.0, CELLS) * WORK * HOUR
    print(
        "GPUs a job, preempted every, with | hours, time lost, checkpoints an hour, touches of locks a second"
    )
    for gpus in (1, 4, 16, 64):
        for every in (0.5, 2.0, 8.0):
            for warned in (True, False):
                cluster = Cluster(gpus, every * HOUR, warned)
                found = [simulate(cluster, work, rng) for _ in range(200)]
                hours, lost, saves = (
                    float(np.mean([getattr(one, name) for one in found]))
                    for name in ("hours", "lost", "checkpoints")
                )
                kind = "a warning" if warned else "no warning"
                running = min(CELLS, GPUS // gpus)
                print(
                    f"{gpus:2d}, {every:3} h, {kind:10} | {hours:5.2f} h, {lost:5.1%}, {saves / hours:4.0f}, "
                    f"{running / BEAT:.1f}"
                )


if __name__ == "__main__":
    main()
