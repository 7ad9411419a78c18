"""Models and objectives from the user's own file: trained, resumed, reported and exported."""

from __future__ import annotations

import json
import re
import shlex
import sys
from pathlib import Path

import numpy as np
import polars as pl
import pytest

import jaxemerge as je
import run
from command_line import fails, forget

README = (Path(__file__).parents[2] / "jaxemerge" / "README.md").read_text(encoding="utf-8")
TINY = ["--set", "steps=6", "--set", "batch=2", "--set", "evaluations=2", "--no-cache"]

# Line 1 is the import of dataclass; tests rely on the numbers of the lines.
OWN = '''\
from dataclasses import dataclass
import jax
import jax.numpy as jnp
from flax import nnx
import jaxemerge as je
import sizes

class Bag(nnx.Module):
    """An MLP of the mean embedding."""
    def __init__(self, vocabulary, width: int = sizes.WIDTH, *, rngs):
        self.embed = nnx.Embed(vocabulary, width, rngs=rngs)
        self.out = nnx.Linear(width, vocabulary, rngs=rngs)
    def __call__(self, tokens):
        count = 1.0 + jnp.arange(len(tokens))
        return self.out(jnp.cumsum(self.embed(tokens), axis=0) / count[:, None])

wide = je.flax_model(Bag)(width=9)

@dataclass(frozen=True)
class Point(je.Objective):
    """A point that is drawn towards ``target``."""
    target: float = 1.0
    def init(self, key):
        return {"x": jax.random.normal(key, (3,))}
    def loss(self, params, key):
        return jnp.mean((params["x"] - self.target + 0.1 * jax.random.normal(key, (3,))) ** 2)
    def score(self, params):
        away = jnp.abs(params["x"] - self.target)
        return {"near": away < 0.5, "away": away.mean()}
'''


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the file and a module beside it, in which the command line is used."""
    (tmp_path / "own.py").write_text(OWN)
    (tmp_path / "sizes.py").write_text("WIDTH = 7\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    forget(monkeypatch, "own", "sizes", "custom_own")
    return tmp_path


@pytest.mark.parametrize(
    ("words", "called", "parameters"),  # of a model: vocabulary * (2 * width + 1)
    [
        (["--model", "own.py:Bag"], "width 7", 44 * 15),
        (["--model", "own:Bag", "--set", "model.width=10"], "width 10", 44 * 21),
        (["--model", "own.py:wide"], "width 9", 44 * 19),
        (["--model", "own.py:Bag", "--task", "Recall"], "width 7", 66 * 15),
        (["--task", "own.py:Point", "--set", "task.target=2"], "Point", 3),
    ],
)
def test_models_and_objectives_are_found_and_their_fields_set(
    words: list[str], called: str, parameters: int, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run.main([*words, "--plan", "--flops-per-second", "1e9", "--no-cache"]) == 0
    cells = re.findall(r"^ \d+ +(\S.*?) {2,}\d+ +(\d+) ", capsys.readouterr().out, re.MULTILINE)
    assert cells == [(called, str(parameters))]  # of the three depths of the study nothing is left


@pytest.mark.slow
def test_a_model_is_trained_resumed_and_reported(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    train = ["--model", "own.py:Bag", *TINY]
    assert run.main([*train, "--seeds", "2"]) == 0
    assert run.main([*train, "--seeds", "3"]) == 0
    assert "Training 1 seeds in 1 cells" in capsys.readouterr().out
    kept = Path("results/count_quick_Bag")
    rows = pl.read_parquet(kept / "cells" / "*" / "*.parquet")
    assert rows["init_seed"].n_unique() == 3
    assert set(rows["width"]) == {7}
    assert rows["depth"].null_count() == len(rows)
    assert set(rows["parameters"]) == {0}  # embedding and projection are all that there is
    assert run.main(["report", str(kept)]) == 0
    assert (kept / "report.html").is_file()
    (folder / "own.py").write_text(OWN.replace("1.0 +", "1 +"))
    forget(monkeypatch, "own", "sizes", "custom_own")
    capsys.readouterr()
    error = fails([*train, "--seeds", "3"], capsys)
    assert "results/count_quick_Bag holds another experiment: code of own.py has changed; choose" in error
    (folder / "own.py").write_text(OWN)
    (folder / "sizes.py").write_text("WIDTH = 7  # units\n")
    forget(monkeypatch, "own", "sizes", "custom_own")
    assert "code of sizes.py has changed" in fails([*train, "--seeds", "3"], capsys)
    assert run.main([*train, "--seeds", "1", "--overwrite"]) == 0
    assert len(json.loads((kept / "study.json").read_text())["cells"]) == 1


def test_an_objective_is_trained_kept_and_exported(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    train = ["--task", "own.py:Point", "--set", "steps=60", "--set", "optimizer.learning_rate=0.1"]
    train += ["--set", "optimizer.warmup=0", "--set", "evaluations=3", "--seeds", "5", "--no-cache"]
    assert run.main([*train, "--keep-weights", "--checkpoint-every", "0"]) == 0
    said = capsys.readouterr().out
    assert "Final weights are kept: 60B in results/count_quick_Point." in said
    assert "Near over seeds at the end of training" in said
    kept = Path("results/count_quick_Point")
    [metrics] = kept.glob("cells/*/metrics/*")
    lines = [json.loads(line) for line in metrics.read_text().splitlines()]
    assert {line["tokens"] for line in lines} == {None}
    last = [line for line in lines if line["step"] == 60]
    assert {name for line in last for name in line["tests"][0]} == {"split", "length", "near", "successes"}
    assert all(0 <= line["values"]["away"] < 0.5 for line in last)
    assert run.main(["export", str(kept), "--out", "given", "--seeds", "1,3,9"]) == 0
    [place] = Path("given").iterdir()
    assert f"{place}: 2 members" in capsys.readouterr().out
    found = je.load(place, tasks=[sys.modules["custom_own"].Point])
    assert found.experiment.seeds == ((1, 1), (3, 3))
    rows = pl.read_parquet(kept / "cells" / "*" / "*.parquet").filter(
        pl.col("metric") == "away", pl.col("step") == 60, pl.col("init_seed").is_in([1, 3])
    )
    away = np.abs(found.params["x"] - 1).mean(1)
    assert np.allclose(away, rows.sort("init_seed")["value"], atol=1e-6)
    assert "| near | members |" in (place / "README.md").read_text()
    capsys.readouterr()
    for words, reason in (
        (["--out", "given"], "holds something: export into a new or empty folder"),
        ([], "export: name a folder to write to, with --out"),
        (
            ["--out", "new", "--seeds", "77,78"],
            "holds no weights of these seeds: train them with",
        ),
    ):
        assert reason in fails(["export", str(kept), *words], capsys)
    [weights] = kept.glob("cells/*/weights/*")
    weights.write_bytes(weights.read_bytes()[:-1] + b"\0\0")
    assert run.main(["verify", str(kept)]) == 1
    assert f"{weights} is damaged" in capsys.readouterr().out
    assert f"{weights} is damaged" in fails(["export", str(kept), "--out", "new"], capsys)
    assert run.main(train) == 0
    assert "its seeds are trained again" in capsys.readouterr().out


def changed(old: str, new: str) -> str:
    assert old in OWN
    return OWN.replace(old, new, 1)


@pytest.mark.parametrize(
    ("words", "text", "message"),
    [
        (["--model", "Bag"], OWN, "--model Bag: write FILE.py:NAME or MODULE:NAME"),
        (["--model", "no.py:Bag"], OWN, "--model no.py:Bag: no.py is no file"),
        (
            ["--model", "own.py:Bags"],
            OWN,
            "--model own.py:Bags: own.py has no Model or Flax module of this name: it has Bag, wide",
        ),
        (["--model", "own.py:Point"], OWN, "own.py has no Model or Flax module of this name"),
        (["--task", "own.py:Bag"], OWN, "own.py has no Task or Objective of this name: it has Point"),
        (
            ["--model", "own.py:Bag", "--task", "own.py:Point"],
            OWN,
            "model: point is an objective and is trained without a model",
        ),
        (
            ["--model", "own.py:Bag"],
            changed("vocabulary, width: int", "width: int"),
            "it must take vocabulary",
        ),
        (["--model", "own.py:Bag"], changed("sizes.WIDTH", "sizes.W"), "own.py, line 10: AttributeError"),
        (["--model", "own.py:Bag"], changed("nnx.Embed(", "nnx.Embd("), "own.py, line 11)"),
        (["--model", "own.py:Bag"], changed("self.out(jnp", "self.our(jnp"), "own.py, line 15)"),
        (
            ["--model", "own.py:Bag"],
            changed("(width, vocabulary,", "(width, 5,"),
            "model Bag: for 64 tokens it returns [64, 5]: return logits [64,",
        ),
        (["--model", "own.py:Bag"], changed("1.0 +", "0.0 *"), "model Bag: its logits are not finite"),
        (
            ["--task", "own.py:Point"],
            changed("jnp.mean((", "jnp.abs(("),
            "point: loss returns float32[3]",
        ),
        (
            ["--task", "own.py:Point"],
            changed('params["x"] - self.target)', 'params["y"])'),
            "own.py, line 28)",
        ),
        (["--task", "own.py:Point", "--keep-items"], OWN, "point is an objective: it has no items"),
        (
            ["--task", "own.py:Point", "--set", "batch=3"],
            OWN,
            "batch: point is an objective, which",
        ),
    ],
)
def test_errors_are_told_before_any_training(
    words: list[str], text: str, message: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "own.py").write_text(text)
    small = TINY if "--model" in words else ["--set", "steps=6", "--no-cache"]
    assert message in fails([*words, *small], capsys)
    assert not (folder / "results").exists()


@pytest.mark.slow
def test_the_commands_of_the_readme(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The classes as they stand in the README, in files of their own."""
    codes = re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)
    for name, words in (("recurrent", "class Recurrent"), ("autoencoder", "class Autoencoder")):
        [code] = [each for each in codes if words in each]
        own = re.split(r"\n\n\n(?=model = |recipe = )", code)[0]
        (folder / f"{name}.py").write_text(own)
    blocks = re.findall(r"```bash\n(.*?)```", README, flags=re.DOTALL)
    lines = [
        line
        for each in blocks
        for line in each.splitlines()
        if "recurrent.py" in line or "encoder.py" in line
    ]
    [share] = [each for each in blocks if "--keep-weights" in each and "run.py export" in each]
    small = ["--seeds", "2", "--set", "steps=4", "--set", "evaluations=1", "--no-cache"]
    for line in lines:
        assert run.main([*shlex.split(line)[2:], *small]) == 0
    assert capsys.readouterr().out.count("Training 2 seeds in 1 cells") == 2
    keep, export = (shlex.split(line)[2:] for line in share.splitlines())
    assert run.main([*keep, *small, "--cells", "1"]) == 0
    assert run.main(export) == 0
    [place] = Path("members").iterdir()
    assert len(je.load(place).generate().tokens) == 2
