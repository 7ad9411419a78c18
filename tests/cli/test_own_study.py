"""A study in the user's own file: run, reported, launched, killed and continued like a built-in one."""

from __future__ import annotations

import json
import os
import random
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from safetensors.numpy import load_file

import run
from jaxemerge.cli.own_study import study_in
from jaxemerge.runner.opening import open_store
from whole_programs import coarse_reports as coarse_reports

# Tests rely on the numbers of the lines.
OWN = '''\
"""How far does a walk go at two learning rates?"""
import altair as alt
import jax
import jax.numpy as jnp
import jaxemerge as je
from lengths import STEPS

def init(key):
    return {"place": jax.random.normal(key, (3,))}
def loss(params, key):
    return jnp.sum((params["place"] - jax.random.normal(key, (3,))) ** 2)
def score(params):
    return {"near": jnp.abs(params["place"]) < 0.5}

def cells(quick):
    walk = je.pair(init, loss, score, name="walk")
    rate = {"optimizer.learning_rate": [0.03, 0.1]}
    plan = {"steps": STEPS, "seeds": je.paired(range(3 if quick else 4)), "evaluations": tuple(range(STEPS))}
    return je.sweep(je.Experiment(walk, optimizer=je.AdamW(warmup=2), **plan), rate)
def findings(results):
    yield f"walks: {results.n_unique('cell')}"
def figure(results):
    return alt.Chart(results).mark_point().encode(x="step:Q", y="value:Q")
THRESHOLD = 0.7
'''


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a study and a module beside it, in which the command line is used."""
    (tmp_path / "walks.py").write_text(OWN)
    (tmp_path / "lengths.py").write_text("STEPS = 12\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    for name in ("lengths", "custom_walks"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    study_in.cache_clear()
    return tmp_path


def parts(folder: Path) -> dict[str, Any]:
    """Bytes of files of rows, and of the arrays in files of weights, whose metadata come in any order."""
    rows = {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*.parquet")}
    weights = {
        str(path.relative_to(folder)): {name: array.tobytes() for name, array in load_file(path).items()}
        for path in folder.rglob("*.safetensors")
    }
    return rows | weights


@pytest.mark.slow
def test_it_is_planned_run_and_reported_like_a_built_in_one(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["./walks.py", "--quick", "--flops-per-second", "1e9", "--no-cache"]
    assert run.main(["plan", *words]) == 0
    assert re.findall(r"lr \S+", capsys.readouterr().out) == ["lr 0.03", "lr 0.1"]
    assert not Path("results").exists()
    assert run.main(["run", "./walks.py", "--quick"]) == 0
    shown = capsys.readouterr().out
    assert "walks: 2\n" in shown
    assert re.search(r"cells 1 to 2 of 2, lr 0.03", shown)
    assert not re.search(r"-[0-9a-f]{8}\b", shown)  # no ids
    out = Path("results/walks_quick")
    assert (out / "charts" / "study.svg").is_file()
    store = open_store(out)
    assert (store.study, store.threshold, set(store.results()["study"])) == ("walks", 0.7, {"walks"})
    assert store.results()["learning_rate"].unique().to_list() == [0.03, 0.1]
    files = json.loads(next(out.glob("cells/*/*.json")).read_text())["provenance"]["study"]
    assert set(files) == {"walks.py", "lengths.py"}
    assert run.main(["walks.py", "--quick", "--cells", "*lr 0.1"]) == 0
    assert "All 1 cells are finished" in capsys.readouterr().out
    assert run.main(["status", str(out)]) == 0
    assert re.findall(r"(lr \S+) +12 +3 +0", capsys.readouterr().out) == ["lr 0.03", "lr 0.1"]
    assert run.main(["report", str(out), "--study", "walks.py"]) == 0
    assert "walks: 2\n" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("word", "text", "message"),
    [
        ("none.py", OWN, "study none.py: none.py is no file"),
        (
            "walks.py",
            OWN.replace("STEPS\n", "SPETS\n", 1),
            "walks.py, line 6: ImportError: cannot",
        ),
        ("walks.py", OWN.replace("def cells", "def sells"), "study walks.py: has no function cells()"),
        (
            "walks.py",
            OWN.replace("walk, opt", "talk, opt"),
            "walks.py, line 19: NameError: name 'talk'",
        ),
        (
            "walks.py",
            OWN.replace("0.03, 0.1", "0.03, -1.0"),
            "line 19: ValueError: learning_rate=-1.0",
        ),
        (
            "walks.py",
            OWN.replace("return je.sweep", "je.sweep"),
            "cells() returned NoneType: return a list",
        ),
        (
            "walks.py",
            OWN.replace("), rate)", "), rate)[:0]"),
            "cells() returned []: return a list of",
        ),
    ],
)
def test_errors_name_the_line(
    word: str, text: str, message: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "walks.py").write_text(text)
    with pytest.raises(SystemExit) as stopped:
        run.main(["run", word])
    output = capsys.readouterr()
    assert (stopped.value.code, output.out, output.err.count("\n")) == (2, "", 1)
    assert message in output.err
    assert not Path("results").exists()


def test_errors_in_findings_name_the_line_and_cost_no_results(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "walks.py").write_text(OWN.replace("n_unique('cell')", "n_unique('sell')"))
    with pytest.raises(SystemExit) as stopped:
        run.main(["walks.py", "--quick"])
    assert stopped.value.code == 2
    assert "walks.py, line 21: ColumnNotFoundError" in capsys.readouterr().err
    assert open_store(folder / "results" / "walks_quick").results().n_unique("cell") == 2


def killed(arguments: list[str], cells: Path, checkpoints: int, pause: float) -> int:
    """Runs the program until so many more checkpoints were begun, and a moment longer; the exit code."""
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    command = [sys.executable, run.__file__, *arguments]
    running = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    seen: set[str] = {str(path) for path in cells.glob("*/checkpoints/*/*")}
    wanted = len(seen) + checkpoints
    while running.poll() is None and len(seen) < wanted:
        seen |= {str(path) for path in cells.glob("*/checkpoints/*/*")}
        time.sleep(0.005)
    time.sleep(pause)
    running.kill()
    return running.wait()


@pytest.mark.slow
def test_launched_as_jobs_or_killed_at_three_moments_and_continued_it_has_the_same_bits(folder: Path) -> None:
    arguments = ["walks.py", "--keep-weights", "--checkpoint-every", "0", "--out"]
    command = [sys.executable, run.__file__, *arguments, "whole", "--launch", "local"]
    launched = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert launched.returncode == 0, launched.stderr
    assert "Launched 1 jobs for 2 cells" in launched.stdout
    assert re.findall(r"(lr \S+) +12 +4 +0 .* finished", launched.stdout) == ["lr 0.03", "lr 0.1"]
    assert (folder / "whole" / "report.html").is_file()
    moments = random.Random(5)
    for _ in range(3):
        checkpoints, pause = moments.randint(1, 3), moments.uniform(0, 0.05)
        assert killed([*arguments, "broken"], folder / "broken" / "cells", checkpoints, pause) == -9
    assert parts(folder / "broken").keys() < parts(folder / "whole").keys()
    assert run.main([*arguments, "broken"]) == 0
    assert parts(folder / "broken") == parts(folder / "whole")
    assert len(parts(folder / "whole")) == 4
