"""One study by two processes of two devices each: the same results, whatever becomes of one of them."""

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import polars as pl
import pytest

import run

PROGRAM = Path(run.__file__)
STUDY = ["--seeds", "4", "--set", "steps=200", "--set", "batch=2", "--set", "evaluations=5", "--cells", "1:2"]
STUDY += ["--set", "task.test_lengths=10,15", "--cpu-devices", "2", "--checkpoint-every", "0"]
# As many seeds on each device with one process as with two: the same bits however programs are compiled.
STUDY += ["--chunk", "2"]
# A process that has been silent for so many seconds is given up; two minutes are much for a test.
IMPATIENT = """
import sys
from jaxemerge.runner import processes
processes._EXPIRY = 8.0
import run
sys.exit(run.main(sys.argv[1:]))
"""
ROW = ["cell", "init_seed", "step", "split", "length", "metric"]


def free_port():
    with socket.socket() as found:
        found.bind(("localhost", 0))
        return found.getsockname()[1]


def started(folder, *more, count=2, impatient=False):
    """The processes, in the order of their ranks."""
    port, running = free_port(), []
    for rank in range(count):
        words = [*STUDY, *more, "--out", str(folder), "--distributed", f"localhost:{port},{rank},{count}"]
        program = [str(PROGRAM), *words]
        if impatient:
            program = ["-c", IMPATIENT, *words]
        environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
        path = [str(PROGRAM.parent), *filter(None, [environment.get("PYTHONPATH")])]
        running.append(
            subprocess.Popen(
                [sys.executable, *program],
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                env={**environment, "PYTHONPATH": os.pathsep.join(path)},
            )
        )
    return running


def outputs(running):
    return [process.communicate(timeout=300)[0] for process in running]


def rows(folder):
    return pl.read_parquet(folder / "cells" / "*" / "*.parquet").sort(ROW)


def checkpoints_of(folder, rank):
    """Those of the process whose first seed is its rank."""
    return set(folder.glob(f"cells/*/checkpoints/seeds-{rank}-*/0*/chunk.json"))


def wait_for_checkpoint(folder, rank, known=frozenset()):
    """Returns when there is one that was not known."""
    deadline = time.monotonic() + 120
    while checkpoints_of(folder, rank) <= known:
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.fixture(scope="module")
def single(tmp_path_factory):
    """The rows of a single process."""
    out = tmp_path_factory.mktemp("single") / "out"
    done = subprocess.run(
        [sys.executable, str(PROGRAM), *STUDY, "--out", str(out)], capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    return rows(out)


@pytest.mark.slow
def test_two_processes_train_the_same_rows_and_one_speaks(single, tmp_path):
    running = started(tmp_path / "out")
    first, second = outputs(running)
    assert [process.returncode for process in running] == [0, 0], first + second
    assert "Training 4 seeds in 2 cells on 2 cpu devices, as the first of 2 processes" in first
    assert second == ""
    parts = sorted(path.name[:10] for path in (tmp_path / "out").rglob("*.parquet"))
    assert parts == ["seeds-0-2-"] * 2 + ["seeds-1-3-"] * 2
    assert rows(tmp_path / "out").equals(single)


@pytest.mark.slow
def test_stopped_and_killed_processes_cost_nothing_but_time(single, tmp_path):
    out = tmp_path / "out"
    running = started(out)
    wait_for_checkpoint(out, 0)
    wait_for_checkpoint(out, 1)
    running[0].send_signal(signal.SIGTERM)  # the second one stops for want of the first
    first, second = outputs(running)
    assert [process.returncode for process in running] == [143, 143], first + second
    assert "SIGTERM: stopping after a checkpoint." in first
    assert "[process 1] Interrupted: " in second

    known = checkpoints_of(out, 1)
    running = started(out, impatient=True)
    wait_for_checkpoint(out, 1, known)  # it has joined the first, and trains
    running[1].kill()
    first, _ = outputs(running)
    assert [process.returncode for process in running] == [1, -signal.SIGKILL], first
    assert "Of 2 processes these were lost: 1. Run the same command again." in first
    assert {tuple(s) for s in rows(out).select("init_seed").unique().rows()} >= {(0,), (2,)}

    running = started(out)
    first, second = outputs(running)
    assert [process.returncode for process in running] == [0, 0], first + second
    assert "[process 1] depth" in second
    assert "resuming from the checkpoint of step" in second
    assert rows(out).equals(single)
    assert [p for p in out.rglob("*") if p.name.startswith(".lock") or p.name.endswith(".partial")] == []


@pytest.mark.slow
def test_a_process_without_a_seed_and_a_command_that_is_refused(tmp_path):
    running = started(tmp_path / "out", "--seeds", "1", "--cells", "1", "--set", "steps=3")
    first, second = outputs(running)
    assert [process.returncode for process in running] == [0, 0], first + second
    assert rows(tmp_path / "out")["init_seed"].unique().to_list() == [0]
    running = started(tmp_path / "out", "--seeds", "1", "--cells", "1", "--set", "steps=4")
    first, second = outputs(running)
    assert [process.returncode for process in running] == [2, 143], first + second
    assert "holds another experiment: steps is 3 there and 4 here" in first
