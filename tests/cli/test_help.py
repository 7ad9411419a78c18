"""Help, mistakes, old spellings, and how the program starts: from a clone, by itself, into a closed pipe."""

import os
import re
import shutil
import subprocess
import sys
import venv
from pathlib import Path

import pytest

import jaxemerge
import run
from jaxemerge import Count, Experiment, neox
from jaxemerge.cli import main, training_options
from jaxemerge.cli.help import top_help
from jaxemerge.cli.options import COMMANDS, RENAMED
from jaxemerge.cli.studies import Front
from jaxemerge.runner.checkpoint import INTERVAL
from jaxemerge.runner.opening import create_store
from jaxemerge.runner.tracking import TRACKERS
from jaxemerge.study import running
from jaxemerge.training.chips import CHIPS
from studies import STUDIES

PROGRAM = Path(run.__file__)
ROOT = Path(jaxemerge.__file__).parents[1]
HEAVY = {"jax", "numpy", "polars", "altair", "flax", "scipy"}


def shown(arguments, capsys, monkeypatch):
    """What a command prints for a person with 100 columns."""
    monkeypatch.setenv("COLUMNS", "100")
    with pytest.raises(SystemExit) as stopped:
        run.main(arguments)
    assert stopped.value.code == 0
    return capsys.readouterr().out


@pytest.mark.parametrize("command", COMMANDS)
def test_help_of_a_command_fits_on_a_screen(command, capsys, monkeypatch):
    text = shown([command, "--help"], capsys, monkeypatch)
    assert text.startswith("usage: python ")
    assert len(text.splitlines()) <= 44
    assert max(map(len, text.splitlines())) <= 100
    for old in RENAMED:
        assert not re.search(rf"{old}\b(?!-)", text)


def test_help_of_run_and_plan_have_what_each_needs(capsys, monkeypatch):
    train = shown(["count_quick", "--help"], capsys, monkeypatch)
    plan = shown(["plan", "-h"], capsys, monkeypatch)
    assert "--launch" in train
    assert "--launch" not in plan
    assert "--for CHIP" in plan
    assert "--for CHIP" not in train
    assert "--set FIELD=VALUE" in train
    assert "--set FIELD=VALUE" in plan


def test_the_programs_help_names_every_command_and_real_examples(capsys):
    assert run.main(["--help"]) == 0
    text = capsys.readouterr().out
    assert text == top_help(Front(STUDIES, str(PROGRAM)))
    assert 20 <= len(text.splitlines()) <= 40
    assert max(map(len, text.replace(str(PROGRAM), "run.py").splitlines())) <= 110
    for name, command in COMMANDS.items():
        assert f"  {name} {command.takes}".rstrip() in text
        assert command.answers in text
    alone = top_help(Front())
    assert "run count_quick" not in alone
    assert "experiments/run.py" in alone


def test_what_options_name_without_importing_it_is_what_there_is():
    assert tuple(CHIPS) == training_options.CHIPS
    assert training_options.TRACKERS == TRACKERS
    assert training_options.CHECKPOINT == running.CHECKPOINT == INTERVAL


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["staus", "results"], "unknown command or study 'staus'; did you mean status?"),
        (["run", "count_quik"], "unknown study 'count_quik'; did you mean count_quick?"),
        (["--set", "model.dept=3"], "model.dropout; did you mean model.depth?"),
        (["--seed", "3"], "unknown option --seed; did you mean --seeds?"),
        (
            ["--steps", "9"],
            "unknown option --steps: for that field of the experiment write --set steps=VALUE",
        ),
        (
            ["--lr=1"],
            "unknown option --lr: for that field of the experiment write --set optimizer.learning_rate=",
        ),
        (["--depth", "9"], "for that field of the experiment write --set model.depth=VALUE"),
        (["--launch", "slrum"], "--launch: 'slrum' must be one of slurm, local; did you mean slurm?"),
        (["--track", "wand"], "--track: 'wand' must be one of wandb, tensorboard; did you mean wandb?"),
        (["status", "results", "--seeds", "3"], "--seeds: an option of plan, run, export, not of status"),
        (["verify", "results", "more"], "more: verify takes DIR only"),
        (["list", "more"], "more: list takes no words"),
        (
            ["--cells", "count-depth9", "--plan"],
            "--cells count-depth9: 'count-depth9' is none of the 3 cells",
        ),
    ],
)
def test_mistakes_are_answered_with_what_is_allowed(arguments, message, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as stopped:
        run.main(arguments)
    assert stopped.value.code == 2
    error = capsys.readouterr().err
    assert message in error
    assert (error.count("\n"), list(tmp_path.iterdir())) == (1, [])


def test_old_spellings_mean_the_same_and_say_so(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    small = ["--plan", "--seeds", "4", "--cells", "1"]
    assert run.main([*small, "--width=2", "--chunk", "4", "--rate", "1e10", "--devices", "1"]) == 0
    old = capsys.readouterr()
    new = [
        "plan",
        *small[1:],
        "--vmap",
        "2",
        "--chunk",
        "4",
        "--flops-per-second",
        "1e10",
        "--cpu-devices",
        "1",
    ]
    assert run.main(new) == 0
    assert capsys.readouterr() == (old.out, "")
    assert old.err.splitlines() == [
        "note: --width is now called --vmap; for the width of the model write --set model.width=N",
        "note: --rate is now called --flops-per-second",
        "note: --devices is now called --cpu-devices",
    ]


def test_commands_may_follow_their_options(capsys, tmp_path):
    with pytest.raises(SystemExit):
        run.main(["--out", "list", "status", str(tmp_path)])  # `list` is the value of --out
    assert "--out: an option of plan, run, export, analyze, not of status" in capsys.readouterr().err


def started(*words, code=0, **given):
    """A program in a process of its own: its output."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, *map(str, words)],
        capture_output=True, text=True, timeout=120, env=environment, check=False, **given,
    )  # fmt: skip
    assert done.returncode == code, done.stderr
    return done.stdout


@pytest.mark.parametrize("arguments", [["list"], ["--help"], ["run", "--help"], ["status", "FOLDER"]])
def test_what_is_looked_at_starts_without_jax_polars_and_altair(arguments, tmp_path):
    create_store(tmp_path / "out", "x", [Experiment(Count(11, 3, (3, 5)), neox(1, 24, 3), context=13)])
    words = [str(tmp_path / "out") if word == "FOLDER" else word for word in arguments]
    program = f"""
import sys
sys.path.insert(0, {str(PROGRAM.parent)!r})
import run
try:
    code = run.main({words!r})
except SystemExit as stopped:
    code = stopped.code
print(code, sorted({HEAVY!r} & set(sys.modules)))
"""
    assert started("-c", program, cwd=tmp_path).endswith("0 []\n")


def test_starts_beside_files_of_the_same_names_and_without_the_folder_of_the_script(tmp_path):
    for name in ("options", "run", "train", "terminal", "analyze", "report"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('not this')\n")
    for how in ([], ["-P"]):
        assert "count_quick" in started(*how, PROGRAM, "list", cwd=tmp_path)
    assert "cells of a results folder" not in started("-P", PROGRAM, "count_quick", "--help", cwd=tmp_path)


@pytest.mark.slow
def test_is_a_program_of_its_own_where_it_is_installed(tmp_path):
    """Away from the clone: what needs no studies works, and `list` says where they are."""
    venv.create(tmp_path / "venv", with_pip=False, symlinks=True)
    site = next((tmp_path / "venv").glob("lib/python*/site-packages"))
    others = [path for path in sys.path if path.endswith("-packages")]
    (site / "others.pth").write_text("".join(f"{path}\n" for path in others))
    copy = tmp_path / "copy"  # building leaves files behind
    shutil.copytree(ROOT / "jaxemerge", copy / "jaxemerge")
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, copy)
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    python = tmp_path / "venv" / "bin" / "python"
    build = [
        "pip",
        "--python",
        python,
        "install",
        "-q",
        "--no-deps",
        "--no-build-isolation",
        "--no-index",
        copy,
    ]
    subprocess.run([sys.executable, "-m", *build], check=True, env=environment)

    def ended(*words):
        done = subprocess.run(
            words, capture_output=True, text=True, cwd=tmp_path, env=environment, check=False
        )
        return done.returncode, done.stdout, done.stderr

    create_store(tmp_path / "out", "x", [Experiment(Count(11, 3, (3, 5)), neox(1, 24, 3), context=13)])
    for program in ([tmp_path / "venv" / "bin" / "jaxemerge"], [python, "-I", "-m", "jaxemerge"]):
        code, output, _ = ended(*program, "list")
        assert code == 0
        assert output.startswith("No studies here: name a file of your own with cells(), as in jaxemerge run")
        code, output, _ = ended(*program)
        assert (code, output.splitlines()[0]) == (0, "usage: jaxemerge COMMAND [options]")
        code, output, error = ended(*program, "run")
        assert (code, error[:24], error.count("\n")) == (2, "error: no studies here: ", 1)
        code, output, _ = ended(*program, "status", "out")
        assert code == 0
        assert "waiting" in output
        assert ended(*program, "verify", "out")[:2] == (
            1,
            "out holds no finished seeds: there is nothing to verify.\n",
        )
        assert ended(*program, "report", "out")[0] == 2


def test_without_docstrings_it_is_one_line():
    command = [sys.executable, "-OO", str(PROGRAM), "list"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    error = "error: python -OO, or PYTHONOPTIMIZE=2, drops docstrings that Altair needs: use -O\n"
    assert (done.returncode, done.stdout, done.stderr) == (2, "", error)


def test_a_closed_pipe_ends_quietly(tmp_path):
    reading, writing = os.pipe()
    os.close(reading)
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"}
    for words in (["list"], ["--help"], ["run", "--help"]):
        command = [sys.executable, str(PROGRAM), *words]
        done = subprocess.run(command, stdout=writing, stderr=subprocess.PIPE, env=environment, check=False)
        assert (done.returncode, done.stderr) == (0, b"")
    os.close(writing)


def test_a_program_takes_the_studies_that_it_is_given(capsys):
    class Mine:
        """What one study asks.

        More of it.
        """

    assert main(["list"], {"mine": Mine}) == 0
    assert capsys.readouterr().out == f"{'mine':24} What one study asks.\n"
