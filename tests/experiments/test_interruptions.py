"""Killed, stopped, crowded and damaged: the same command again leads to the same results."""

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import polars as pl
import pytest

import run

PROGRAM = Path(run.__file__)
STUDY = ["--seeds", "4", "--chunk", "2", "--checkpoint", "0", "--set", "model.depth=1", "--set", "batch=2"]
STUDY += ["--set", "steps=60", "--set", "evaluations=3", "--set", "task.test_lengths=10,15"]
KEY = ["cell", "init_seed", "step", "split", "length", "metric"]


def command(folder, *more):
    return [sys.executable, str(PROGRAM), *STUDY, *map(str, more), "--out", str(folder)]


def started(folder, *more):
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    return subprocess.Popen(
        command(folder, *more), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment
    )


def finished(folder, *more):
    """Runs to the end; what it printed."""
    running = started(folder, *more)
    output, _ = running.communicate(timeout=300)
    assert running.returncode == 0, output
    return output


def parts(folder):
    """Bytes of all finished rows by name."""
    return {p.name: p.read_bytes() for p in folder.rglob("*.parquet")}


def leftovers(folder):
    """Whatever should not outlive a run."""
    wanted = (".partial", ".lock", ".damaged", "checkpoints")
    return [p for p in folder.rglob("*") if p.name.endswith(wanted)]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """The study run in one go, how long that took, and its bytes; compiled programs are cached then."""
    folder = tmp_path_factory.mktemp("whole") / "out"
    finished(folder)
    again = tmp_path_factory.mktemp("again") / "out"
    began = time.monotonic()
    finished(again)
    assert parts(again) == parts(folder)
    return parts(folder), time.monotonic() - began, folder


@pytest.mark.slow
def test_kills_at_random_moments_change_nothing(undisturbed, tmp_path):
    expected, seconds, _ = undisturbed
    folder, moments = tmp_path / "out", random.Random(4)
    for _ in range(20):
        running = started(folder)
        try:
            running.wait(timeout=moments.uniform(0.1, 1.1) * seconds)
        except subprocess.TimeoutExpired:
            running.kill()
        running.communicate()
        if moments.random() < 0.3 and len(parts(folder)) == len(expected):
            shutil.rmtree(folder)  # all is trained: from the beginning
    finished(folder)
    assert parts(folder) == expected
    assert leftovers(folder) == []


@pytest.mark.slow
@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_leaves_a_checkpoint_and_a_line_on_how_to_go_on(undisturbed, tmp_path, number, code):
    expected, _, _ = undisturbed
    running = started(tmp_path / "out", "--checkpoint", "300")
    for line in running.stdout:
        if "compiling for" in line:
            break
    time.sleep(0.5)
    running.send_signal(number)
    output, _ = running.communicate(timeout=60)
    assert running.returncode == code, output
    assert f"{signal.Signals(number).name}: stopping after a checkpoint." in output
    assert "Run the same command again to go on." in output
    assert not [p for p in leftovers(tmp_path) if p.name != "checkpoints"]
    finished(tmp_path / "out")
    assert parts(tmp_path / "out") == expected


@pytest.mark.slow
def test_four_processes_of_which_two_are_killed_train_every_cell_once(tmp_path):
    sweep = ["--set", "steps=20"]
    study = ["count_fixed_depth", "--quick"]
    folder = tmp_path / "out"
    runs = [started_study(study, folder, sweep) for _ in range(4)]
    time.sleep(12)
    for victim in runs[:2]:
        victim.kill()
    outputs = [process.communicate(timeout=500)[0] for process in runs]
    assert all(process.returncode in (0, 2) for process in runs[2:]), outputs
    last = started_study(study, folder, sweep)
    output, _ = last.communicate(timeout=300)
    assert last.returncode == 0, output
    rows = pl.read_parquet(folder / "cells" / "*" / "*.parquet")
    assert rows.select(KEY).is_duplicated().sum() == 0
    assert rows["cell"].n_unique() == len(list((folder / "cells").iterdir()))
    assert rows.group_by("cell").agg(pl.col("init_seed").n_unique())["init_seed"].unique().to_list() == [2]
    assert leftovers(folder) == []


def started_study(study, folder, sweep):
    arguments = [*study, "--seeds", "2", *sweep, "--set", "batch=2", "--out", str(folder)]
    return subprocess.Popen(
        [sys.executable, str(PROGRAM), *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


@pytest.mark.slow
def test_a_second_process_is_refused_with_the_name_of_the_first(undisturbed, tmp_path):
    folder = tmp_path / "out"
    first = started(folder, "--set", "steps=4000", "--set", "batch=16")
    deadline = time.monotonic() + 60
    while not list(folder.rglob(".lock")) and time.monotonic() < deadline:
        time.sleep(0.05)
    second = subprocess.run(
        command(folder, "--set", "steps=4000", "--set", "batch=16"), capture_output=True, text=True
    )
    first.kill()
    first.communicate()
    assert second.returncode == 2, second.stdout
    assert f"is being written by process {first.pid} on " in second.stderr
    assert second.stderr.count("\n") == 1


@pytest.mark.slow
def test_damage_is_verified_named_and_mended(undisturbed, tmp_path, capsys):
    expected, _, whole = undisturbed
    folder = tmp_path / "out"
    shutil.copytree(whole, folder)
    assert run.main(["verify", str(folder)]) == 0
    assert "all 2 finished chunks are whole" in capsys.readouterr().out
    victim = min(folder.rglob("*.parquet"))
    content = victim.read_bytes()
    victim.write_bytes(content[:500] + bytes([content[500] ^ 1]) + content[501:])
    assert run.main(["verify", str(folder)]) == 1
    assert f"{victim.name} is damaged" in capsys.readouterr().out.replace("\n", "")
    with pytest.raises(SystemExit) as stopped:
        run.main(["report", str(folder)])
    assert stopped.value.code == 2
    assert "is damaged: its content does not match its digest; train" in capsys.readouterr().err
    output = finished(folder).replace("\n", " ")
    assert "its seeds are trained again." in output
    assert "Training 2 seeds in 1 cells" in output
    assert parts(folder) == expected


@pytest.mark.slow
def test_overwrite_trains_all_again(undisturbed, tmp_path):
    expected, _, whole = undisturbed
    folder = tmp_path / "out"
    shutil.copytree(whole, folder)
    other = finished(folder, "--overwrite", "--set", "steps=30")
    assert "Training 4 seeds in 1 cells" in other
    assert parts(folder) != expected
