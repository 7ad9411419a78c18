"""The simulation of a preempted cluster, against counting seconds."""

from dataclasses import replace

import numpy as np
import pytest

import preemption
from preemption import Cluster, attempt, simulate

CLUSTER = Cluster(gpus=4, between=1e12, warned=True, queue=11.0, start=7.0, interval=30.0, save=2.0)


def counted(cluster, left, until):
    """Second by second: work that is kept, time spent, checkpoints."""
    clock = work = kept = saves = 0
    while work < left:
        if clock >= until:
            return (work, clock + cluster.save, saves + 1) if cluster.warned else (kept, clock, saves)
        clock, work = clock + 1, work + 1
        if work % cluster.interval == 0:
            if clock + cluster.save > until:  # preempted while it saves
                return (work, until + cluster.save, saves + 1) if cluster.warned else (kept, until, saves)
            clock, kept, saves = clock + int(cluster.save), work, saves + 1
    return left, clock, saves


@pytest.mark.parametrize("warned", [True, False])
def test_an_attempt_is_what_counting_seconds_gives(warned):
    cluster = replace(CLUSTER, warned=warned)
    for until in range(1, 140):
        assert attempt(cluster, 101, until) == pytest.approx(counted(cluster, 101, until)), until


def test_without_preemptions_only_starts_and_checkpoints_are_lost():
    work = np.full(preemption.CELLS, 4 * 101.0)
    found = simulate(CLUSTER, work, np.random.default_rng(0))
    assert found.hours * 3600 == pytest.approx(7 + 101 + 3 * 2)  # 16 places for 15 cells
    assert found.lost == pytest.approx(13 / 114)
    assert found.checkpoints == 45


def test_preemptions_cost_time_and_more_without_a_warning():
    work = np.full(preemption.CELLS, 4 * 3000.0)
    lost = {}
    for between, warned in ((1e12, True), (200.0, True), (200.0, False)):
        cluster = replace(CLUSTER, between=between, warned=warned)
        lost[between, warned] = simulate(cluster, work, np.random.default_rng(0)).lost
    assert lost[1e12, True] < lost[200.0, True] < lost[200.0, False] < 0.5
