"""Several processes: who starts them, who trains what, and what is refused."""

import dataclasses
import json
import re
import socket

import pytest

from jaxemerge import paired
from jaxemerge.runner import processes
from jaxemerge.runner.lock import LockedError
from jaxemerge.runner.opening import create_store
from jaxemerge.runner.processes import ProcessError, Processes, join

# What a program finds in its environment.
SLURM = {"SLURM_JOB_ID": "7", "SLURM_PROCID": "0", "SLURM_LOCALID": "0", "SLURM_STEP_NODELIST": "a,b"}
LAPTOP = {"HOME": "/home/me", "PATH": "/bin"}
BATCH_SCRIPT = {"SLURM_JOB_ID": "7", "SLURM_PROCID": "0", "SLURM_LOCALID": "0", "SLURM_NTASKS": "8"}
ONE_TASK = {**SLURM, "SLURM_NTASKS": "1", "SLURM_STEP_NUM_TASKS": "1"}
SHELL_IN_ALLOCATION = {**SLURM, "SLURM_NTASKS": "8", "SLURM_STEP_NUM_TASKS": "1"}
FOUR_OF_EIGHT = {**SLURM, "SLURM_NTASKS": "8", "SLURM_STEP_NUM_TASKS": "4"}
POD = {"KUBERNETES_SERVICE_HOST": "10.0.0.1"}


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        (LAPTOP, None),
        (BATCH_SCRIPT, None),
        (ONE_TASK, None),
        (SHELL_IN_ALLOCATION, None),
        (FOUR_OF_EIGHT, {"num_processes": 4}),
        ({**SLURM, "SLURM_NTASKS": "3"}, {"num_processes": 3}),
        ({"OMPI_COMM_WORLD_SIZE": "1"}, None),
        ({"OMPI_COMM_WORLD_SIZE": "6"}, {"num_processes": 6}),
        (POD, None),
        ({**POD, "JOB_COMPLETION_INDEX": "2"}, {"process_id": 2}),
    ],
)
def test_others_are_expected_only_where_something_has_started_them(monkeypatch, environment, expected):
    monkeypatch.setattr(processes.importlib.util, "find_spec", lambda name: None)
    assert processes._expected(environment) == expected


def test_on_a_tpu_machine_jax_is_asked(monkeypatch):
    monkeypatch.setattr(processes.importlib.util, "find_spec", lambda name: name == "libtpu")
    assert processes._expected(LAPTOP) == {}
    assert processes._expected(FOUR_OF_EIGHT) == {"num_processes": 4}


def joining(monkeypatch, environment, error):
    """The error of ``join("auto")`` where JAX fails with ``error``."""

    def fail(**arguments):
        raise error

    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(processes.jax.config, "update", lambda name, value: None)
    monkeypatch.setattr(processes.jax.distributed, "initialize", fail)
    return join("auto")


def test_libtpu_without_a_pod_is_no_reason_to_wait(monkeypatch):
    monkeypatch.setattr(processes.importlib.util, "find_spec", lambda name: True)
    found = joining(monkeypatch, {}, ValueError("coordinator_address should be defined."))
    assert (found.rank, found.count, found.share, found.label) == (0, 1, "", "")


def test_processes_that_cannot_find_each_other_are_no_single_ones(monkeypatch):
    wanted = "--distributed auto: coordinator_address should be defined.; name the processes with"
    with pytest.raises(ProcessError, match=re.escape(wanted)):
        joining(
            monkeypatch, {"OMPI_COMM_WORLD_SIZE": "2"}, ValueError("coordinator_address should be defined.")
        )


@pytest.mark.parametrize(
    "text",
    ["on", "", "host:1", "host:1,0", "host:1,2,2", "host,0,2", ":1,0,2", "host:1,-1,2", "host:1,0,2,3"],
)
def test_processes_named_by_hand(text):
    with pytest.raises(ProcessError, match="write auto, off, or HOST:PORT,RANK,COUNT with RANK from 0"):
        join(text)


def test_an_only_process_is_not_joined_to_anything(monkeypatch):
    monkeypatch.delattr(processes.jax.distributed, "initialize")
    assert join("off").count == join("localhost:1,0,1").count == 1
    alone = Processes()
    with alone:
        alone.opened()
        assert alone.stopped() == 0
    assert alone.wait_for_others(lambda: None) == []


def test_every_seed_has_one_process_and_shares_differ_by_at_most_one(tiny):
    cells = [dataclasses.replace(tiny, steps=n, seeds=paired(range(n)), evaluations=1) for n in (1, 3, 7)]
    shares = [Processes(rank, 3).own(cells) for rank in range(3)]
    for cell, sizes in zip(cells, ([1], [1, 1, 1], [3, 2, 2]), strict=True):
        parts = [own.seeds for share in shares for own in share if own.cell == cell.cell]
        assert [len(part) for part in parts] == sizes
        assert sorted(seed for part in parts for seed in part) == list(cell.seeds)
    assert Processes().own(cells) == tuple(cells)


def test_a_group_shares_a_cell_and_refuses_everyone_else(tiny, tmp_path):
    store = create_store(tmp_path / "out", "tiny", [tiny])
    first, second, stranger = "-0a-0", "-0a-1", "-0b-1"
    with store.writing(tiny.cell, first):
        with store.writing(tiny.cell, second):
            pass
        for other in ("", stranger, first):
            with (
                pytest.raises(LockedError, match="is being written by process"),
                store.writing(tiny.cell, other),
            ):
                pass
    with store.writing(tiny.cell):
        for other in (first, ""):
            with (
                pytest.raises(LockedError, match="is being written by process"),
                store.writing(tiny.cell, other),
            ):
                pass
    assert list((tmp_path / "out").rglob(".lock*")) == []
    now = {"host": socket.gethostname(), "pid": 2**22 + 1, "since": "2026-11-24T10:00:00+00:00"}
    left = tmp_path / "out" / "cells" / tiny.cell / ".lock-0c-1"  # by a process that was killed
    left.write_text(json.dumps(now))
    with store.writing(tiny.cell, first):
        assert not left.exists()
