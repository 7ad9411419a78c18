"""Metrics from the user's own file: taken along the training, part of the cell, and their faults."""

from __future__ import annotations

import json
import sys
from argparse import Namespace
from pathlib import Path

import polars as pl
import pytest

import jaxemerge as je
import run
from command_line import fails, forget
from jaxemerge.cli.cells import chosen_cells
from jaxemerge.cli.program import parsed
from jaxemerge.cli.studies import Front
from studies import STUDIES

TINY = ["--set", "model.depth=1", "--set", "steps=6", "--set", "batch=2", "--set", "evaluations=2"]
TINY += ["--seeds", "2", "--no-cache"]

# Line 1 is the import of dataclass; tests rely on the numbers of the lines.
OWN = '''\
from dataclasses import dataclass
import jax
import jax.numpy as jnp
import jaxemerge as je
import powers
runs = powers.seen.append(1)

def again(apply, params, items):
    right = jnp.argmax(apply(params, items.tokens)[:, :-1], axis=-1) == items.tokens[:, 1:]
    return {"again": jnp.all(right | ~items.scored[:, 1:], axis=1)}

@dataclass(frozen=True)
class Norm:
    """Of all weights."""
    power: float = powers.POWER
    def __call__(self, apply, params, items):
        return {"norm": sum(jnp.sum(leaf**2) for leaf in jax.tree.leaves(params)) ** (self.power / 2)}

squared = Norm(2.0)
slow = je.SGD(learning_rate=1e-3)
small = je.neox(1, 8, 1)

def fails(apply, params, items):
    return {"x": params["nothing"]}

def taken(apply, params, items):
    return {"train_loss": 1.0}

def short(params):
    return {"x": 1.0}

hidden = lambda apply, params, items: {"x": 1.0}
'''


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the file and a module beside it, in which the command line is used."""
    (tmp_path / "own.py").write_text(OWN)
    (tmp_path / "powers.py").write_text("POWER = 1.0\nseen = []\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    forget(monkeypatch, "own", "powers", "custom_own", "custom_own_2")
    return tmp_path


def cells_of(*words: str) -> tuple[je.Experiment, ...]:
    """What a plan is about."""
    front = Front(STUDIES)
    return chosen_cells(parsed("plan", list(words), front, Namespace()), front)


@pytest.mark.slow
def test_metrics_are_taken_recorded_and_not_mixed_with_others(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    train = ["--metrics", "own.py:again", "--metrics", "own.py:squared", "--optimizer", "own.py:slow", *TINY]
    assert run.main(train) == 0
    assert sys.modules["powers"].seen == [1]  # the file was run once for its three parts
    kept = Path("results/count_quick_slow_again_squared")
    rows = pl.read_parquet(kept / "cells" / "*" / "*.parquet").filter(pl.col("step") == 6)
    key = ["init_seed", "length", "trials", "value"]
    exact, again = (
        rows.filter(pl.col("metric") == name).sort(key).select(key) for name in ("exact_match", "again")
    )
    assert exact.equals(again)
    assert len(exact) > 0
    assert (rows.filter(pl.col("metric") == "norm")["value"] > 1).all()
    [cell] = json.loads((kept / "study.json").read_text())["cells"].values()
    assert cell["metrics"] == ["again", {"kind": "Norm", "power": 2.0}]
    assert set(cell["code"]) == {"own.py", "powers.py"}
    capsys.readouterr()
    forget(monkeypatch, "own", "powers", "custom_own", "custom_own_2")
    assert run.main(train) == 0
    assert "All 1 cells are finished" in capsys.readouterr().out
    assert "norm" in (kept / "report.html").read_text()
    (folder / "powers.py").write_text("POWER = 1.5\nseen = []\n")
    forget(monkeypatch, "own", "powers", "custom_own", "custom_own_2")
    capsys.readouterr()
    assert "holds another experiment: code of powers.py has changed" in fails(train, capsys)


def test_metrics_add_to_those_of_a_study_and_make_other_cells(folder: Path) -> None:
    study = "import jaxemerge as je\nimport own\n\ndef cells():\n"
    study += "    return [je.Experiment(je.Count(11, 5, (3, 7)), je.neox(1, 8, 1), metrics=[own.again])]\n"
    (folder / "walks.py").write_text(study)
    sys.path.insert(0, str(folder))
    cells = [cells_of(*words) for words in ((), ("--metrics", "own.py:Norm"), ("--metrics", "own:squared"))]
    assert [[len(cell.metrics) for cell in each] for each in cells] == [[0] * 3, [1] * 3, [1] * 3]
    assert len({cell.cell for each in cells for cell in each}) == 9
    front = Front(STUDIES).with_file(Path("walks.py"))
    words = ["walks", "--metrics", "own.py:squared"]
    [cell] = chosen_cells(parsed("plan", words, front, Namespace()), front)
    assert [getattr(each, "__name__", "squared") for each in cell.metrics] == ["again", "squared"]


def test_files_of_one_name_in_two_folders_are_told_apart(folder: Path) -> None:
    other = folder / "other"
    other.mkdir()
    words = ["--metrics", "own.py:again", "--metrics", "other/own.py:flat"]
    codes = []
    for value in ("1.0", "2.0"):
        source = f"def flat(apply, params, items):\n    return {{'flat': {value}}}\n"
        (other / "own.py").write_text(source)
        sys.modules.pop("custom_own_2", None)
        codes.append(cells_of(*words)[0].to_dict()["code"])
    assert [set(code) for code in codes] == [{"own.py", "powers.py"}] * 2
    assert [len(code["own.py"].split("+")) for code in codes] == [2, 2]
    assert len({code["own.py"] for code in codes}) == 2


@pytest.mark.parametrize(
    ("where", "message"),
    [
        ("no.py:again", "--metrics no.py:again: no.py is no file"),
        ("again", "--metrics again: write FILE.py:NAME or MODULE:NAME"),
        ("own.py:agian", "own.py has no function or callable record of this name: it has again, Norm,"),
        ("own.py:small", "own.py has no function or callable record of this name"),
        ("own.py:hidden", "--metrics own.py:hidden: metrics is a lambda: give a named function"),
        ("own.py:fails", "metrics: fails fails under jax.jit: KeyError: 'nothing' ("),
        ("own.py:fails", "own.py, line 24)"),
        ("own.py:taken", "metrics: taken has a metric 'train_loss': use letters, digits and _, but none of"),
        (
            "own.py:short",
            "metrics: short fails under jax.jit: TypeError: short() takes 1 positional argument",
        ),
    ],
)
def test_what_is_wrong_is_one_line(where: str, message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert message in fails(["--metrics", where, *TINY], capsys)
    assert not Path("results").exists()


def test_metrics_are_not_for_set_or_an_objective(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    wrong = fails(["--set", "metrics=own.py:again", *TINY], capsys)
    assert wrong == "error: metrics: use --metrics FILE.py:NAME to add them\n"
    twice = fails(["--metrics", "own.py:again", "--metrics", "own.py:again", *TINY], capsys)
    assert "metrics: again has a metric 'again'" in twice
    (folder / "points.py").write_text(
        "from dataclasses import dataclass\nimport jax.numpy as jnp\nimport jaxemerge as je\n\n"
        "@dataclass(frozen=True)\nclass Point(je.Objective):\n"
        "    def init(self, key):\n        return {'x': jnp.ones(3)}\n"
        "    def loss(self, params, key):\n        return jnp.sum(params['x'] ** 2)\n"
    )
    words = ["--task", "points.py:Point", "--metrics", "own.py:again", "--seeds", "2"]
    assert "is an objective: its metrics are those of score" in fails(words, capsys)
