"""The README keeps its word: its example runs and is short, its commands and links exist."""

import importlib
import json
import re
import shlex
from pathlib import Path

import polars as pl
import pytest

from jaxemerge.cli.options import ANALYZE, ON_A_FOLDER, parser
from studies import STUDIES

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(language):
    return re.findall(rf"```{language}\n(.*?)```", README, flags=re.DOTALL)


def block(words):
    """The one block of Python with these words."""
    [code] = [each for each in blocks("python") if words in each]
    return code


@pytest.mark.slow
def test_the_custom_task_is_short_runs_and_is_learnt(capsys):
    code = block("class Reverse")
    body = [line for line in code.splitlines() if line.strip()]
    assert len(body) <= 30
    names = {}
    exec(compile(code, "README.md", "exec"), names)
    assert "keeps the contract" in capsys.readouterr().out
    final = names["results"].filter(pl.col("metric") == "exact_match", pl.col("step") == 500)
    assert len(final) == 8
    assert final["value"].mean() > 0.9


@pytest.mark.slow
def test_the_custom_model_is_short_runs_and_is_learnt(capsys):
    code = block("class Recurrent")
    assert len([line for line in code.splitlines() if line.strip()]) <= 25
    names = {}
    exec(compile(code, "README.md", "exec"), names)
    assert "keeps the contract" in capsys.readouterr().out
    final = names["results"].filter(
        pl.col("metric") == "exact_match", pl.col("step") == 300, pl.col("length") == 3
    )
    assert len(final) == 4
    assert final["value"].mean() > 0.9


@pytest.mark.slow
def test_the_autoencoders_are_short_run_and_learn():
    code = block("class Autoencoder")
    assert len([line for line in code.splitlines() if line.strip()]) <= 25
    names = {}
    exec(compile(code, "README.md", "exec"), names)
    first, last = (
        names["autoencoders"].filter(pl.col("metric") == "error", pl.col("step") == step)["value"]
        for step in (0, 1000)
    )
    assert len(last) == 8
    assert last.max() < 0.3 * first.min()
    clear = names["autoencoders"].filter(pl.col("metric") == "clear", pl.col("step") == 1000)
    assert set(clear["trials"]) == {297}
    assert clear["value"].min() > 0.2


def test_the_statistics_run_alone(capsys):
    code = block("fit_success_curve")
    names = {}
    exec(compile(code, "README.md", "exec"), names)
    assert capsys.readouterr().out.startswith("True 0.5")
    assert 2 < names["curve"].midpoint.value < 4


@pytest.mark.slow
def test_seeds_write_and_are_scored_anew(capsys):
    code = block("evaluate(*who)")
    names = {}
    exec(compile(code, "README.md", "exec"), names)
    assert "exact_match" in capsys.readouterr().out
    assert names["written"].accepted.mean() == names["kept"].items.exact.mean()
    assert names["counts"].samples.shape == (4, 14)


def test_the_law_is_found():
    code = block("fit_chinchilla")
    names = {}
    exec(compile(code, "README.md", "exec"), names)
    law = names["law"]
    assert law.E.interval.low < 1.8 < law.E.interval.high
    assert law.converged


def test_the_findings_are_those_of_the_kept_results():
    kept = (ROOT / "experiments" / "measured").glob("*.json")
    found = " ".join(each["line"] for path in kept for each in json.loads(path.read_text())["findings"])
    pictured = README.partition("## Two commands")[0]
    pictured += README.partition("## What the studies found")[2].partition("\n## ")[0]
    quoted = re.findall(r"[\d.,]+ \[[^]]+\](?!\()", " ".join(pictured.split()))
    assert len(quoted) > 5
    assert [numbers for numbers in quoted if numbers not in found] == []


def test_there_are_exactly_two_marked_commands():
    marked = re.findall(r"<!-- (\w+)-command -->\n```bash\n(.*?)\n```\n", README)
    assert [name for name, _ in marked] == ["run", "test"]
    assert marked[0][1].endswith("python experiments/run.py")
    assert marked[1][1].endswith("pytest")


def test_every_link_and_file_named_exists():
    targets = re.findall(r"\]\(([^)#]+)\)", README) + re.findall(
        r"`((?:experiments|jaxemerge)/[\w./]*)`", README
    )
    assert targets
    for target in targets:
        assert target.startswith("http") or (ROOT / target).exists(), target


def test_every_study_named_in_a_command_exists():
    named = re.findall(r"run\.py ([a-z]\w+)", README)
    assert len(named) > 10
    assert set(named) <= {*STUDIES, *ON_A_FOLDER, ANALYZE, "list"}


def test_every_command_is_understood():
    lines = [line for code in blocks("bash") for line in code.replace("\\\n", " ").splitlines()]
    commands = [
        line.partition("experiments/run.py")[2].strip(" '") for line in lines if "experiments/run.py" in line
    ]
    assert len(commands) > 15
    for command in commands:
        parser(None, STUDIES).parse_args(shlex.split(command, comments=True))  # or ends the program


def test_every_benchmark_named_exists():
    named = re.findall(r"benchmarks/\w+\.py", README)
    assert len(named) > 5
    assert [path for path in named if not (ROOT / path).is_file()] == []


def test_the_map_names_what_there_is():
    rows = re.findall(r"^\| `((?:jaxemerge|experiments)/\w*/?)` \| (.*) \|$", README, re.MULTILINE)
    packages = {path.name for path in (ROOT / "jaxemerge").iterdir() if (path / "__init__.py").is_file()}
    assert {Path(place).name for place, _ in rows} == packages | {"experiments"}
    for place, words in rows:
        for name in re.findall(r"`([\w/]+)`", words):
            there = (ROOT / place / name).is_dir() or (ROOT / place / f"{name}.py").is_file()
            code = place.strip("/").replace("/", ".")
            assert there or hasattr(importlib.import_module(code), name), f"{place}: {name}"


def test_no_quick_version_takes_longer_than_it_says():
    assert "two CPU cores finish within eight minutes (`--quick`)" in README
    for name, study in STUDIES.items():
        minutes, seconds = re.search(r"measured: (\d+) min (\d+) s", study.__doc__).groups()
        assert 60 * int(minutes) + int(seconds) < 8 * 60, name
