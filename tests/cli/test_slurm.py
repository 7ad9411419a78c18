"""Studies on a real Slurm of one node: arrays, time limits, preemption, a lost node, tasks of one step.

Every study ends with the bits of an undisturbed run.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import polars as pl
import pytest

import one_node_slurm
import run
from one_node_slurm import Cluster

pytestmark = [
    pytest.mark.slow,
    pytest.mark.usefixtures("full_optimization"),  # jobs inherit the environment
    pytest.mark.skipif(bool(one_node_slurm.missing()), reason=one_node_slurm.missing()),
]
PROGRAM = Path(run.__file__)
# Cells of a few seconds, with many evaluations and a checkpoint after each: interruptions hit in between.
STUDY = "--seeds 2 --cpu-devices 1 --checkpoint-every 0 --set batch=2 --set steps=480 --set evaluations=24"
STUDY += " --set task.test_lengths=10,15"
JOBS = "--launch slurm --partition cpu --job-cpus 1"
LIMIT = 400.0  # seconds that anything may take on a crowded machine
QUICKLY_COMPILED = {"JAX_DISABLE_MOST_OPTIMIZATIONS": "1"}


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    try:
        started = Cluster(tmp_path_factory.mktemp("slurm"), QUICKLY_COMPILED)
    except TimeoutError as error:
        pytest.skip(f"Slurm is installed and does not start here: {error}")
    with started:
        yield started


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """Rows of two cells, trained without Slurm."""
    folder = tmp_path_factory.mktemp("undisturbed") / "out"
    succeeds(*command("--cells", "1,2", "--out", folder), env={**os.environ, **QUICKLY_COMPILED})
    return rows(folder)


def succeeds(*words: str, env: dict[str, str]) -> str:
    """What a program prints that must succeed."""
    done = subprocess.run(words, env=env, capture_output=True, text=True, timeout=LIMIT)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def command(*words: object) -> list[str]:
    return [sys.executable, str(PROGRAM), "count_quick", *STUDY.split(), *map(str, words)]


def submitted(cluster: Cluster, folder: Path, *more: str) -> None:
    words = command(*JOBS.split(), *more, "--out", folder)
    assert "Launched" in succeeds(*words, env=cluster.environment)


def rows(folder: Path) -> dict[str, bytes]:
    """Files of finished rows, by cell and name."""
    return {f"{path.parent.name}/{path.name}": path.read_bytes() for path in folder.rglob("*.parquet")}


def table(parts: dict[str, bytes]) -> pl.DataFrame:
    """The same rows as one table, whichever process wrote them."""
    whole = pl.concat(pl.read_parquet(part) for part in parts.values())
    return whole.sort("cell", "init_seed", "step", "split", "length", "metric")


def until(true: Callable[[], object], said: Callable[[], object]) -> None:
    end = time.monotonic() + LIMIT
    while not true():
        assert time.monotonic() < end, said()
        time.sleep(0.1)


def jobs_of(cluster: Cluster) -> dict[str, str]:
    """States of the jobs that are queued or run, by their numbers."""
    lines = cluster.asked("squeue", "-h", "-r", "-p", "cpu", "-o", "%i %T").splitlines()
    return dict(line.split() for line in lines)


def logs(folder: Path) -> str:
    return "".join(path.read_text(errors="replace") for path in sorted(folder.glob("jobs/*.out")))


def saved(folder: Path) -> int:
    """Step of the newest checkpoint; 0 if there is none."""
    found = folder.glob("cells/*/checkpoints/*/[0-9]*/chunk.json")
    return max((int(path.parent.name) for path in found), default=0)


def progressed(folder: Path) -> None:
    """Waits for a checkpoint later than those there are."""
    before = saved(folder)
    until(lambda: saved(folder) > before, lambda: logs(folder))


def finish(cluster: Cluster, folder: Path, expected: dict[str, bytes]) -> None:
    """Waits for the end of all jobs; they have written the expected rows."""
    until(lambda: not jobs_of(cluster), lambda: f"{jobs_of(cluster)}\n{logs(folder)}")
    assert rows(folder) == expected, logs(folder)
    assert not list(folder.rglob(".lock*"))


def test_an_array_one_job_at_a_time_and_status_from_outside(
    cluster: Cluster, undisturbed: dict[str, bytes], tmp_path: Path
) -> None:
    folder = tmp_path / "out"
    submitted(cluster, folder, "--cells", "1,2", "--jobs", "1")
    progressed(folder)
    assert sorted(jobs_of(cluster).values()) == ["PENDING", "RUNNING"]
    status = succeeds(sys.executable, str(PROGRAM), "status", str(folder), env=dict(os.environ))
    assert status.count("running") == 1, status
    finish(cluster, folder, undisturbed)


def test_a_job_survives_its_time_limit_preemption_a_lost_node_and_scancel(
    cluster: Cluster, undisturbed: dict[str, bytes], tmp_path: Path
) -> None:
    """One job meets all four in turn, each at a moment when there is something to lose."""
    folder = tmp_path / "out"
    submitted(cluster, folder, "--cells", "1")
    progressed(folder)
    (job,) = jobs_of(cluster)
    cluster.asked("scancel", "--signal=USR2", job)  # what Slurm sends before a time limit
    until(lambda: "Requeued job" in logs(folder), lambda: logs(folder))

    progressed(folder)
    urgent = ["srun", "--partition=urgent", "--ntasks=2", "sleep", "1"]
    succeeds(*urgent, env=cluster.environment)

    progressed(folder)
    cluster.lose_node()
    until(lambda: "down" in cluster.asked("sinfo", "-h", "-p", "cpu", "-o", "%T"), lambda: "never down")
    cluster.start_node()

    progressed(folder)
    assert list(jobs_of(cluster)) == [job]
    cluster.asked("scancel", job)
    until(lambda: not jobs_of(cluster), lambda: jobs_of(cluster))
    assert saved(folder)
    assert not rows(folder)  # it was not queued again
    assert logs(folder).count("resuming from the checkpoint of step") == 3, logs(folder)
    submitted(cluster, folder, "--cells", "1")  # the same command resumes
    finish(cluster, folder, {name: rows for name, rows in undisturbed.items() if "depth1" in name})


def test_two_tasks_of_a_step_find_each_other(
    cluster: Cluster, undisturbed: dict[str, bytes], tmp_path: Path
) -> None:
    folder = tmp_path / "out"
    words = ["srun", "--partition=cpu", "--ntasks=2", *command("--cells", "1,2", "--out", folder)]
    assert "2 processes" in succeeds(*words, env=cluster.environment)
    assert len(rows(folder)) == 2 * len(undisturbed)  # each task trains one seed of each cell
    assert table(rows(folder)).equals(table(undisturbed))
