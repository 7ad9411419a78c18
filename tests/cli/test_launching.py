"""Some cells of a study, and a study as jobs: which commands, which folder, what is seen of them."""

import argparse
import io
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from unittest import mock

import polars as pl
import pytest
from rich.console import Console

import run
from jaxemerge.cli import launch
from jaxemerge.cli import run as run_command
from jaxemerge.cli.cells import selected
from jaxemerge.cli.parser import minutes
from jaxemerge.cli.program import command_of, parsed
from jaxemerge.cli.studies import Front
from jaxemerge.runner import study
from jaxemerge.runner.chunk import RunOptions
from jaxemerge.runner.jobs import jobs
from jaxemerge.runner.labels import labels
from jaxemerge.runner.lock import LockedError
from jaxemerge.runner.opening import create_store, open_store
from jaxemerge.runner.processes import Processes
from jaxemerge.runner.signals import StopRequest
from studies import STUDIES

PROGRAM = Path(run.__file__)
WAITING = Path(__file__).parents[1] / "waiting_run.py"
STUDY = ["--seeds", "2", "--set", "batch=2", "--set", "evaluations=3", "--set", "task.test_lengths=10,15"]
CELLS = STUDIES["count_fixed_depth"].cells(quick=False)
NAMES = [cell.cell for cell in CELLS]


def program(*arguments, file=PROGRAM, timeout=300):
    """Runs to the end; its exit code and what it printed."""
    command = [sys.executable, str(file), *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=timeout, env={**os.environ})
    return done.returncode, done.stdout + done.stderr


def parts(folder):
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*.parquet")}


def numbers(folder):
    """What does not depend on time, of every line of every file of metrics."""
    timed = ("seconds", "seed_steps_per_second", "time")
    lines = [line for path in sorted(folder.rglob("*.jsonl")) for line in path.read_text().splitlines()]
    return [{name: value for name, value in json.loads(line).items() if name not in timed} for line in lines]


@pytest.mark.parametrize(
    ("which", "numbers"),
    [
        (None, [1, 2, 3, 4, 5]),
        ("2", [2]),
        ("4,1:2", [1, 2, 4]),
        (NAMES[2], [3]),
        ("*width64-*,5", [1, 5]),
        ("1,1,count-depth4-width64-*", [1]),
    ],
)
def test_cells_by_number_and_name(which, numbers):
    assert selected(CELLS, which) == tuple(CELLS[n - 1] for n in numbers)


@pytest.mark.parametrize("which", ["6", "0", "0:2", "6:7", "3:2", "2:", "*width65*", "", "1,,2", "-1"])
def test_cells_that_are_none(which):
    part = re.escape(repr(next(p for p in which.split(",") if p != "1")))
    with pytest.raises(
        ValueError, match=f"^--cells {re.escape(which)}: {part} is none of the 5 cells that plan shows"
    ):
        selected(CELLS, which)


def test_time_limits():
    assert [minutes(text) for text in ("90", "1:30", "2:00:30")] == [90, 1.5, 120.5]
    # Slurm's forms with days: D-H, D-H:M, D-H:M:S.
    assert [minutes(text) for text in ("2-0", "1-12", "1-12:30", "0-0:0:30")] == [2880, 2160, 2190, 0.5]


@pytest.mark.parametrize("text", ["", "-", "1-", "-1", "1-2-3", "1:2:3:4", "0-0", "1.5", "a-1", "1h", "0"])
def test_what_is_no_time(text):
    with pytest.raises(argparse.ArgumentTypeError, match="must be a time such as 4:00:00, 30:00, 2-00:00:00"):
        minutes(text)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--gpus", "1"], "error: --job-gpus: add --launch slurm or --launch local"),
        (["--sbatch", "a=b"], "error: --sbatch: add --launch slurm"),
        (["--job-memory", "4GB"], "error: --job-memory: add --launch slurm"),
        (["--launch", "slurm", "--sbatch", "exclusive"], "error: --sbatch: 'exclusive' must be OPTION=VALUE"),
        (["--launch", "slurm", "--cpus", "0"], "error: --job-cpus: '0' must be a whole number of at least 1"),
        (
            ["--launch", "slurm", "--time", "1h"],
            "error: --job-time: '1h' must be a time such as 4:00:00, 30:00, 2-00:00:00, or 90",
        ),
        (["--launch", "slurm", "--time", "0:00"], "error: --job-time: '0:00' must be a time such as 4:00:00"),
        (
            ["--launch", "slurm", "--job-memory", "all"],
            "error: --job-memory: 'all' must be a size such as 4GB or 500MB",
        ),
        (["--launch", "pbs"], "error: --launch: 'pbs' must be one of slurm, local"),
        (
            ["--launch", "slurm", "--cells", "9"],
            "error: --cells 9: '9' is none of the 3 cells that plan shows",
        ),
        (["--patience", "-1"], "error: --wait: '-1' must be a number of seconds, at least 0"),
        (["--track", "paper"], "error: --track: 'paper' must be one of wandb, tensorboard"),
        (["--distributed", "on"], "--distributed on: write auto, off, or HOST:PORT,RANK,COUNT"),
        (["--see", "3"], "error: unknown option --see; did you mean --seeds?"),
    ],
)
def test_what_is_refused_leaves_nothing(arguments, message, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as stopped:
        run.main(arguments)
    assert stopped.value.code == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("option", "package"), [("--launch=local", "submitit"), ("--track=wandb", "wandb")])
def test_what_is_not_installed_is_named_first(option, package, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(SystemExit) as stopped:
        run.main(["--no-cache", option])
    assert stopped.value.code == 2
    assert f"needs {package}: pip install 'jaxemerge[" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def read(front, words):
    """The options that words mean."""
    return parsed(*command_of(words, front), front, argparse.Namespace())


def test_a_job_runs_the_same_program_on_its_cells():
    given = ["count_fixed_depth", "--launch", "slurm", "--seeds", "8:24", "--gpus=2", "--sbatch", "a=b"]
    given += ["--overwrite", "--cells", "1:3", "--set", "steps=7", "--out", "there", "--time", "9", "--quick"]
    front = Front(STUDIES, str(PROGRAM))
    words = launch.command(front, read(front, given).given, NAMES[:2], Path("/results"))
    assert words[:3] == [sys.executable, str(PROGRAM), "run"]
    options, plain = read(front, words[2:]), read(front, ["count_fixed_depth", "--quick"])
    changed = {name: value for name, value in vars(options).items() if value != getattr(plain, name)}
    del changed["given"]
    assert changed == {
        "seeds": "8:24",
        "changes": ["steps=7"],
        "cells": ",".join(NAMES[:2]),
        "out": Path("/results"),
        "wait": launch.WAIT,
    }


@pytest.mark.parametrize(
    ("given", "memory"),
    [
        (["--job-memory", "10GB"], ["9000000000"]),
        (["--job-memory", "10GB", "--memory=4GB"], []),  # as given
        (["--job-memory", "10GB", "--job-gpus", "1"], []),  # there it is the memory of a GPU
        ([], []),
    ],
)
def test_a_job_plans_for_the_memory_that_it_is_given(given, memory):
    front = Front(STUDIES, str(PROGRAM))
    words = launch.command(front, ["--launch", "local", *given], NAMES[:1], Path("/results"))
    assert words[words.index("--memory") + 1 :] == memory if memory else "--memory" not in words
    assert ("--memory=4GB" in words) == ("--memory=4GB" in given)


@pytest.fixture(scope="module")
def timed(tmp_path_factory):
    """Two cells of three trained in one go, and how many seconds that took."""
    out, began = tmp_path_factory.mktemp("whole") / "out", time.monotonic()
    code, output = program(*STUDY, "--set", "steps=20", "--cells", "1:2", "--out", out)
    assert code == 0, output
    assert "1 of the study's 3 cells are not finished; the last writes the report." in output
    return out, time.monotonic() - began


@pytest.fixture(scope="module")
def whole(timed):
    return timed[0]


@pytest.mark.slow
def test_cells_trained_one_by_one_are_those_of_the_whole_study(whole, tmp_path):
    out = tmp_path / "out"
    for cell in ("2", "*depth1*"):
        code, output = program(*STUDY, "--set", "steps=20", "--cells", cell, "--out", out)
        assert code == 0, output
        assert "Training 2 seeds in 1 cells" in output
    assert parts(out) == parts(whole)
    assert len(parts(out)) == 2
    assert open_store(out).cells == open_store(whole).cells


def test_a_cell_that_another_process_holds_is_waited_for_as_long_as_asked(monkeypatch, tmp_path):
    (cell, *_) = STUDIES["count_quick"].cells()
    store = create_store(tmp_path / "out", "count_quick", [cell])
    todo, trained = jobs([cell], store), []
    monkeypatch.setattr(
        study, "run_chunk", lambda chunk, *_: trained.append(chunk.experiment.cell) or iter(())
    )
    held, released = threading.Event(), threading.Event()

    def other():
        with store.writing(cell.cell):
            held.set()
            released.wait()

    holder = threading.Thread(target=other)
    holder.start()
    held.wait()
    with pytest.raises(LockedError, match="is being written by process"):
        study.train_jobs(todo, store, mock.Mock())
    threading.Timer(0.5, released.set).start()
    study.train_jobs(todo, store, mock.Mock(), RunOptions(patience=60.0))
    holder.join()
    assert set(trained) == {cell.cell}


def test_the_last_cells_write_the_report(monkeypatch, tmp_path):
    console, written = Console(file=io.StringIO(), width=200), []
    monkeypatch.setattr("jaxemerge.cli.report.write", lambda store, *_, **__: written.append(store))
    cells = STUDIES["count_quick"].cells()
    store = create_store(tmp_path / "out", "count_quick", cells)
    some, whole = (
        run_command.Session(
            argparse.Namespace(cells=cells), Front(STUDIES), console, StopRequest(), Processes()
        )
        for cells in ("1", None)
    )
    for n, cell in enumerate(cells):
        assert run_command.conclude(cells, store, some) == 0
        assert len(written) == n
        assert run_command.conclude(cells, store, whole) == 0
        assert len(written) == n + 1
        record = {"seconds": 1.0, "plan": {}, "provenance": {}}
        store.write(cell.cell, cell.seeds, pl.DataFrame({"value": [1.0]}), record)
    assert run_command.conclude(cells, store, some) == 0
    assert len(written) == 4
    assert "2 of the study's 3 cells are not finished" in console.file.getvalue()


@pytest.mark.slow
def test_status_tells_what_is_done_begun_running_missing_and_damaged(whole, tmp_path, capsys):
    out = tmp_path / "out"
    shutil.copytree(whole, out)
    first, second, third = (out / "cells" / cell for cell in open_store(out).cells)
    names = labels(open_store(out).cells)
    called = {each: names[each.name] for each in (first, second, third)}
    shown = status(out, capsys)
    assert shown[called[first]] == shown[called[second]] == ["20", "2", "0", "-", "finished"]
    assert shown[called[third]] == ["20", "0", "2", "-", "waiting"]
    (victim,) = second.glob("*.parquet")
    victim.write_bytes(victim.read_bytes()[:-1])
    now = {"host": socket.gethostname(), "pid": os.getpid(), "since": "2026-11-24T10:00:00+00:00"}
    (first / ".lock").write_text(json.dumps(now))
    third.mkdir()
    (third / ".lock").write_text(json.dumps({**now, "pid": 2**22 + 1}))  # no process has it: it is dead
    shown = status(out, capsys)
    assert shown[called[first]] == ["20", "2", "0", "-", "running"]
    assert shown[called[second]] == ["20", "0", "2", "-", "damaged"]
    assert shown[called[third]] == ["20", "0", "2", "-", "waiting"]
    who = f"process {os.getpid()} on {socket.gethostname()} since 2026-11-24 10:00:00 (UTC)"
    assert f"{called[first]} is trained by {who}\n" in shown["lines"]
    assert f"{victim} is damaged: its content does not match its digest\n" in shown["lines"]
    (out / "jobs").mkdir()
    log = out / "jobs" / "1_0_log.err"
    log.write_text(f"error: no room\nRuntimeError: exit code 1: run --cells {first.name},{third.name}\n")
    shown = status(out, capsys)
    assert (shown[called[first]][-1], shown[called[third]][-1]) == ("running", "failed")
    assert shown["lines"].count("its last job failed") == 1
    assert f"{called[third]}: its last job failed: no room ({log})\n" in shown["lines"]


def status(out, capsys):
    """By cell the columns of the table, but for the time; and all that was printed."""
    assert run.main(["status", str(out)]) == 0
    text = capsys.readouterr().out
    rows = [re.split(" {2,}", line.strip()) for line in text.splitlines() if line.startswith(" depth")]
    return {row[0]: [*row[1:5], row[-1]] for row in rows} | {"lines": text}


@pytest.mark.slow
def test_jobs_whose_time_is_up_are_queued_again_and_lead_to_the_same_results(timed, tmp_path):
    """The first job waits until its time is up, wherever it is in its training then."""
    (whole, seconds), out = timed, tmp_path / "out"
    study = [*STUDY, "--set", "steps=20", "--cells", "1", "--launch", "local", "--out", out]
    # A job is left alone for half of its time: here for about what two cells take, compilation included. One
    # that is stopped before it has trained is queued again, too.
    limit = min(2 * seconds, 240.0)
    code, output = program(*study, "--time", f"0:{limit:.0f}", file=WAITING, timeout=600)
    logs = "".join(path.read_text() for path in out.glob("jobs/*.out"))
    assert code == 0, output + logs
    assert "Launched 1 jobs for 1 cells" in output
    assert "SIGTERM: stopping after a checkpoint." in logs
    assert "Requeued job" in logs
    assert "resuming from the checkpoint of step" in logs
    (part,) = parts(out)
    assert parts(out)[part] == parts(whole)[part]
    assert output.count(" finished \n") == 1
    seen = numbers(out)
    assert seen == numbers((whole / part).parent)  # each step once, as without the interruption
    assert len(seen) > 2
    code, output = program(*study)
    assert code == 0
    assert f"All 1 cells are finished in {out}: nothing to launch." in output
