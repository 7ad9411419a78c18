"""Does ``--plan --for`` print what a study takes on another chip, and train nothing?"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import jax
import pytest

import run
from jaxemerge.runner import chip_estimate
from jaxemerge.training import cost_of, roofline
from jaxemerge.training.compiled import CompilerMissingError
from jaxemerge.training.roofline import Prediction

PLAN = ["count_fixed_depth", "--plan", "--for", "h100", "--set", "model.dtype=bfloat16"]
FOUND = Prediction("h100", "bfloat16", 8, 8, 321, 3.5e9, 66.4e9, 0.0, 2.6e6, 0.492e9, 0, 40.0)


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """In an empty folder, with an empty cache; JAX is left as it was."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    platforms = jax.config.jax_platforms  # type: ignore[attr-defined]
    programs = jax.config.jax_compilation_cache_dir  # type: ignore[attr-defined]
    yield
    jax.config.update("jax_platforms", platforms)
    jax.config.update("jax_compilation_cache_dir", programs)


@pytest.fixture
def compiler(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Stands for the compiler: which programs it was given."""
    given: list[str] = []

    def found(recipe, chip, seeds, *, width):
        given.append(recipe.cell)
        return replace(FOUND, flops=cost_of(recipe).flops), ""

    monkeypatch.setattr(chip_estimate, "described", lambda chip: ())
    monkeypatch.setattr(roofline, "compiled_prediction", found)
    return given


def rows(shown: str) -> list[list[str]]:
    """Rows of the table; a label is one word."""
    lines = [line.replace("width ", "width") for line in shown.splitlines()]
    return [line.split() for line in lines if line.strip()[:1].isdigit()]


def test_each_cell_is_compiled_once_and_remembered(compiler, capsys, tmp_path):
    assert run.main(PLAN) == 0
    shown = capsys.readouterr().out
    assert len(compiler) == shown.count("compiling width ") == 5
    assert "compiling width 64 for" in shown
    first = rows(shown)[0]
    # 115 fit; 250 seeds are three chunks of 84.
    assert first[2:9] == ["250", "84", "41.5GB", "321", "3.5G", "1.16", "66.4G"]
    assert "In all 1250 seeds" in shown
    assert "Compiled for the chip, not run there; 3.02 TB/s" in shown
    assert not (tmp_path / "results").exists()
    assert run.main(PLAN) == 0
    again = capsys.readouterr().out
    assert len(compiler) == 5
    assert "compiling" not in again
    assert rows(again) == rows(shown)


def test_what_is_kept_can_be_left_out(compiler, capsys, tmp_path):
    for _ in range(2):
        assert run.main([*PLAN, "--no-cache", "--cells", "1"]) == 0
    assert len(compiler) == 2
    assert not (tmp_path / "cache").exists()
    assert len(rows(capsys.readouterr().out)) == 2


def test_chunks_keep_to_a_budget(compiler, capsys):
    assert run.main([*PLAN, "--cells", "2", "--memory", "5GB"]) == 0
    [row] = rows(capsys.readouterr().out)
    assert row[0] == "2"
    assert row[3] == "10"
    assert run.main([*PLAN, "--cells", "2", "--memory", "400MB"]) == 0
    assert "none fits" in capsys.readouterr().out
    assert len(compiler) == 1


def test_without_a_compiler_it_says_what_to_install(monkeypatch, capsys):
    def missing(chip):
        raise CompilerMissingError("no compiler for GPUs here: pip install x")

    monkeypatch.setattr(chip_estimate, "described", missing)
    assert run.main(PLAN) == 0
    shown = capsys.readouterr().out
    assert "compiling" not in shown
    assert shown.splitlines()[-1] == (
        "Memory is by formula and the least time by FLOPs alone: no compiler for GPUs here: pip install x"
    )
    assert [row[5:7] for row in rows(shown)] == [["-", "-"]] * 5


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--plan", "--for", "b1"], "chip 'b1': must be one of h100, h200, a100, tpu-v5e, tpu-v6e"),
        (["--for", "h100"], "--for h100: an option of plan"),
    ],
)
def test_refusals(arguments, message, capsys):
    with pytest.raises(SystemExit) as stopped:
        run.main(arguments)
    assert stopped.value.code == 2
    assert capsys.readouterr().err == f"error: {message}\n"


def test_answers_are_plain_json(compiler, tmp_path):
    assert run.main([*PLAN, "--cells", "1"]) == 0
    [file] = (tmp_path / "cache" / "jaxemerge" / "rooflines").iterdir()
    assert json.loads(file.read_text())["prediction"]["kernels"] == 321
    assert compiler
