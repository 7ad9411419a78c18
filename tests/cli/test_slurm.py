"""Studies on a real Slurm of one node: arrays, time limits, preemption, lost nodes, tasks of one step.

Every study ends with the bits of an undisturbed run.
"""

from __future__ import annotations

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
    pytest.mark.skipif(bool(one_node_slurm.missing()), reason=one_node_slurm.missing()),
]
PROGRAM = Path(run.__file__)
# Two cells, each of some seconds, with a checkpoint after every evaluation.
STUDY = ["--seeds", "2", "--cells", "1,2", "--devices", "1", "--checkpoint-every", "0"]
STUDY += [
    "--set",
    "batch=2",
    "--set",
    "steps=600",
    "--set",
    "evaluations=12",
    "--set",
    "task.test_lengths=10,15",
]
JOBS = ["--launch", "slurm", "--partition", "cpu", "--job-cpus", "1"]
LIMIT = 400.0  # seconds that anything may take on a crowded machine


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    started = Cluster(tmp_path_factory.mktemp("slurm"))
    yield started
    started.end()


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """Rows of the study, trained without Slurm."""
    folder = tmp_path_factory.mktemp("undisturbed") / "out"
    done = subprocess.run(command(*STUDY, "--out", folder), capture_output=True, text=True, timeout=LIMIT)
    assert done.returncode == 0, done.stdout + done.stderr
    return rows(folder)


def command(*words: object) -> list[str]:
    return [sys.executable, str(PROGRAM), *map(str, words)]


def rows(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.rglob("*.parquet")}


def table(parts: dict[str, bytes]) -> pl.DataFrame:
    """The same rows as one table, whoever wrote them."""
    whole = pl.concat(pl.read_parquet(part) for part in parts.values())
    return whole.sort("cell", "init_seed", "step", "split", "length", "metric")


def submitted(cluster: Cluster, folder: Path, *more: str) -> None:
    done = subprocess.run(
        command(*STUDY, *JOBS, *more, "--out", folder),
        env=cluster.environment,
        capture_output=True,
        text=True,
        timeout=LIMIT,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Launched" in done.stdout


def until(true: Callable[[], object], said: Callable[[], str]) -> None:
    end = time.monotonic() + LIMIT
    while not true():
        assert time.monotonic() < end, said()
        time.sleep(0.2)


def jobs_of(cluster: Cluster) -> dict[str, str]:
    """States of the jobs that Slurm has not forgotten or finished, by their numbers."""
    lines = cluster.asked("squeue", "-h", "-r", "-p", "cpu", "-o", "%i %T").splitlines()
    return dict(line.split() for line in lines)


def logs(folder: Path) -> str:
    return "".join(path.read_text(errors="replace") for path in sorted(folder.glob("jobs/*.out")))


def saved(folder: Path) -> int:
    """Checkpoints that can be resumed from."""
    return len(list(folder.glob("cells/*/checkpoints/*/[0-9]*/chunk.json")))


def finish(cluster: Cluster, folder: Path, undisturbed: dict[str, bytes]) -> None:
    """Waits for the end of all jobs; they have written the same rows."""
    until(lambda: not jobs_of(cluster), lambda: f"{jobs_of(cluster)}\n{logs(folder)}")
    assert rows(folder) == undisturbed, logs(folder)
    assert not list(folder.rglob("*.lock"))


def test_an_array_one_job_at_a_time_and_status_from_outside(
    cluster: Cluster, undisturbed: dict[str, bytes], tmp_path: Path
) -> None:
    folder = tmp_path / "out"
    submitted(cluster, folder, "--jobs", "1")
    until(lambda: saved(folder), lambda: logs(folder))
    assert sorted(jobs_of(cluster).values()) == ["PENDING", "RUNNING"]
    status = subprocess.run(command("status", folder), capture_output=True, text=True, timeout=LIMIT)
    assert status.stdout.count("running") == 1, status.stdout
    finish(cluster, folder, undisturbed)


def test_a_warning_before_the_time_limit_saves_and_queues_again(
    cluster: Cluster, undisturbed: dict[str, bytes], tmp_path: Path
) -> None:
    """The signal that Slurm sends before a limit, at a moment when there is something to lose."""
    folder = tmp_path / "out"
    submitted(cluster, folder)
    until(lambda: saved(folder), lambda: logs(folder))
    first = min(job for job, state in jobs_of(cluster).items() if state == "RUNNING")
    cluster.asked("scancel", "--signal=USR2", first)
    finish(cluster, folder, undisturbed)
    assert "stopping after a checkpoint" in logs(folder)
    assert "resuming from the checkpoint of step" in logs(folder)


def test_a_job_that_is_preempted_is_queued_again(
    cluster: Cluster, undisturbed: dict[str, bytes], tmp_path: Path
) -> None:
    folder = tmp_path / "out"
    submitted(cluster, folder)
    until(lambda: saved(folder), lambda: logs(folder))
    urgent = ["srun", "--partition=urgent", "--ntasks=2", "sleep", "1"]
    subprocess.run(urgent, env=cluster.environment, check=True, capture_output=True, timeout=LIMIT)
    finish(cluster, folder, undisturbed)
    assert "resuming from the checkpoint of step" in logs(folder)


def test_a_lost_node_costs_nothing_but_time(
    cluster: Cluster, undisturbed: dict[str, bytes], tmp_path: Path
) -> None:
    folder = tmp_path / "out"
    submitted(cluster, folder)
    until(lambda: saved(folder), lambda: logs(folder))
    cluster.lose_node()
    until(lambda: "down" in cluster.asked("sinfo", "-h", "-p", "cpu", "-o", "%T"), lambda: "never down")
    cluster.start_node()
    finish(cluster, folder, undisturbed)
    assert "resuming from the checkpoint of step" in logs(folder)


def test_a_cancelled_job_saves_and_is_not_queued_again(
    cluster: Cluster, undisturbed: dict[str, bytes], tmp_path: Path
) -> None:
    folder = tmp_path / "out"
    submitted(cluster, folder)
    until(lambda: saved(folder), lambda: logs(folder))
    cluster.asked("scancel", "--partition=cpu")
    until(lambda: not jobs_of(cluster), lambda: str(jobs_of(cluster)))
    assert saved(folder)
    assert rows(folder) != undisturbed
    submitted(cluster, folder)  # the same command resumes
    finish(cluster, folder, undisturbed)


def test_two_tasks_of_a_step_find_each_other(
    cluster: Cluster, undisturbed: dict[str, bytes], tmp_path: Path
) -> None:
    words = ["srun", "--partition=cpu", "--ntasks=2", *command(*STUDY, "--out", tmp_path / "out")]
    done = subprocess.run(words, env=cluster.environment, capture_output=True, text=True, timeout=LIMIT)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "2 processes" in done.stdout
    assert len(rows(tmp_path / "out")) == 2 * len(undisturbed)  # a seed of each cell by either
    assert table(rows(tmp_path / "out")).equals(table(undisturbed))
