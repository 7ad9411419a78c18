"""The READMEs keep their word: their examples run and are short, their commands and links exist."""

import argparse
import importlib
import json
import re
import shlex
from pathlib import Path

import polars as pl
import pytest

from jaxemerge.cli.options import COMMANDS
from jaxemerge.cli.program import command_of, parsed
from jaxemerge.cli.studies import Front
from studies import STUDIES
from whole_programs import coarse_reports as coarse_reports

ROOT = Path(__file__).parents[1]
PAGES = {
    path: (ROOT / path).read_text(encoding="utf-8")
    for path in ("README.md", "experiments/README.md", "jaxemerge/README.md", "benchmarks/README.md")
}
README = PAGES["README.md"]
PRELUDE = """
from dataclasses import dataclass
import jax, jax.numpy as jnp, numpy as np
from flax import nnx
import jaxemerge as je
"""


def blocks(language, page=None):
    texts = PAGES.values() if page is None else [PAGES[page]]
    return [code for text in texts for code in re.findall(rf"```{language}\n(.*?)```", text, flags=re.DOTALL)]


def block(words, page):
    """The one block of Python on a page with these words."""
    [code] = [each for each in blocks("python", page) if words in each]
    return code


def run(code, prelude=""):
    names = {"__name__": "readme"}
    exec(compile(prelude + code, "README.md", "exec"), names)
    return names


def of_two_seeds(code):
    """An example with one seed for each device."""
    assert "je.paired(range(4))" in code
    return code.replace("je.paired(range(4))", "je.paired(range(2))")


def lines(code):
    return [line for line in code.splitlines() if line.strip()]


def test_the_front_page_is_short():
    assert len(README.splitlines()) <= 200
    examples = blocks("python", "README.md")
    assert len(examples) == 4
    assert max(len(lines(code)) for code in examples) <= 12


def test_the_front_pages_task_and_model_keep_their_contracts():
    task = run(block("class Reverse", "README.md"), PRELUDE)["Reverse"]()
    je = importlib.import_module("jaxemerge")
    assert not je.check_task(task)
    model = run(block("class Recurrent", "README.md"), PRELUDE)["Recurrent"]
    assert not je.check_model(je.flax_model(model)(width=48), vocabulary=15)


@pytest.mark.slow
def test_the_front_pages_grid_is_trained_and_reported(tmp_path, monkeypatch):
    """With few steps and seeds: what the example shows is the form."""
    monkeypatch.chdir(tmp_path)
    code = block("write_report", "README.md")
    assert "je.paired(range(16))" in code
    assert "seeds=seeds)" in code
    shortened = code.replace("range(16)", "range(3)").replace(
        "seeds=seeds)", "seeds=seeds, steps=4, context=64)"
    )
    results = run(shortened)["results"]
    assert set(results["depth"]) == {1, 2, 3}
    assert (tmp_path / "report" / "report.html").is_file()


@pytest.mark.slow
def test_the_custom_task_is_short_runs_and_is_learnt(capsys):
    code = block("class Reverse", "jaxemerge/README.md")
    assert len(lines(code)) <= 30
    assert "je.paired(range(8))" in code
    names = run(code.replace("je.paired(range(8))", "je.paired(range(2))"))
    assert "keeps the contract" in capsys.readouterr().out
    final = names["results"].filter(pl.col("metric") == "exact_match", pl.col("step") == 500)
    assert len(final) == 2
    assert final["value"].mean() > 0.9


@pytest.mark.slow
def test_text_of_ones_own_is_short_and_is_learnt(capsys):
    code = block("je.Corpus", "jaxemerge/README.md")
    assert len(lines(code)) <= 15
    results = run(of_two_seeds(code))["results"]
    bits = results.filter(pl.col("metric") == "bits_per_byte", pl.col("step") == 200)["value"]
    assert len(bits) == 2
    assert bits.max() < 4.2  # 8 at the start
    assert "shape: (2,)" in capsys.readouterr().out


@pytest.mark.slow
def test_the_custom_model_is_short_runs_and_is_learnt(capsys):
    code = block("class Recurrent", "jaxemerge/README.md")
    assert len(lines(code)) <= 25
    names = run(of_two_seeds(code))
    assert "keeps the contract" in capsys.readouterr().out
    final = names["results"].filter(
        pl.col("metric") == "exact_match", pl.col("step") == 300, pl.col("length") == 3
    )
    assert len(final) == 2
    assert final["value"].mean() > 0.9


@pytest.mark.slow
def test_the_optimizers_are_short_and_learn():
    code = block("def adafactor", "jaxemerge/README.md")
    assert len(lines(code)) <= 15
    for results in run(of_two_seeds(code))["results"].values():
        final = results.filter(
            pl.col("metric") == "exact_match", pl.col("step") == 300, pl.col("length") == 3
        )
        assert len(final) == 2
        assert final["value"].mean() > 0.9


@pytest.mark.slow
def test_kinds_of_positions_are_trained():
    code = block("positions=kind", "jaxemerge/README.md")
    assert len(lines(code)) <= 15
    for results in run(of_two_seeds(code))["results"].values():
        final = results.filter(
            pl.col("metric") == "exact_match", pl.col("step") == 200, pl.col("length") == 3
        )
        assert len(final) == 2
        assert final["value"].mean() > 0.5


@pytest.mark.slow
def test_seeds_are_stopped(capsys):
    code = block("stop_when", "jaxemerge/README.md")
    assert len(lines(code)) <= 15
    names = run(code)
    stopped = names["results"].filter(pl.col("step") == 300, pl.col("metric") == "exact_match")["stopped_at"]
    assert len(stopped) == 4
    assert stopped.drop_nulls().is_between(30, 299).sum() >= 2
    assert "shape: (1, " in capsys.readouterr().out


@pytest.mark.slow
def test_members_are_looked_into(capsys):
    code = block("population.hidden", "jaxemerge/README.md")
    assert len(lines(code)) <= 15
    names = run(code)
    n, length = names["texts"].shape
    assert capsys.readouterr().out.splitlines() == [
        str((4, 3, n, length, 20)),
        str((4, 2, n, 5, length, length)),
    ]
    assert names["early"].shape == (n, length)


@pytest.mark.slow
def test_a_sweep_is_short_trained_reported_and_read_back(tmp_path, monkeypatch):
    """With few steps and seeds: what the example shows is the form."""
    monkeypatch.chdir(tmp_path)
    code = block("je.sweep", "jaxemerge/README.md")
    assert len(lines(code)) <= 15
    assert '"steps": 300' in code
    names = run(code.replace('"steps": 300', '"steps": 31').replace("range(4)", "range(2)"))
    assert len(names["study"].cells) == 6
    assert names["study"].frame()["learning_rate"].n_unique() == 3
    assert names["population"].frame().height > 0
    assert (tmp_path / "results" / "rates" / "report.html").is_file()


@pytest.mark.slow
def test_the_autoencoders_are_short_run_and_learn():
    code = block("class Autoencoder", "jaxemerge/README.md")
    assert len(lines(code)) <= 25
    names = run(code)
    first, last = (
        names["autoencoders"].filter(pl.col("metric") == "error", pl.col("step") == step)["value"]
        for step in (0, 1000)
    )
    assert len(last) == 8
    assert last.max() < 0.3 * first.min()
    clear = names["autoencoders"].filter(pl.col("metric") == "clear", pl.col("step") == 1000)
    assert set(clear["trials"]) == {297}
    assert clear["value"].min() > 0.2


@pytest.mark.slow
def test_own_metrics_are_short_and_measured():
    code = block("def confidence", "jaxemerge/README.md")
    assert len(lines(code)) <= 15
    rows = run(code)["sure"].filter(pl.col("step") == 200, pl.col("length") == 3)
    both = ("sure", "exact_match")
    sure, exact = (rows.filter(pl.col("metric") == name).sort("init_seed") for name in both)
    assert set(sure["trials"]) == set(exact["trials"]) == {9}
    assert (sure["value"] <= exact["value"]).all()
    assert rows.filter(pl.col("metric") == "confidence")["value"].is_between(0.2, 1).all()


@pytest.mark.slow
def test_members_start_from_others():
    code = block("start=pretrained", "jaxemerge/README.md")
    assert len(lines(code)) <= 15
    names = run(code)
    tuned, before = (
        frame.filter(pl.col("metric") == "exact_match", pl.col("length") == 5)
        for frame in (names["tuned"], names["pretrained"].frame())
    )
    first, last = tuned.filter(pl.col("step") == 0), before.filter(pl.col("step") == 200)
    assert first["value"].equals(last["value"])
    assert list(names["pretrained"].kept) == [0, 1, 2, 4, 8, 16, 32, 64, 128, 200]


@pytest.mark.parametrize("page", ["README.md", "jaxemerge/README.md"])
def test_the_statistics_run_alone(page, capsys):
    names = run(block("fit_success_curve", page))
    bimodal, share = capsys.readouterr().out.split()[:2]
    assert (bimodal, float(share)) == ("True", pytest.approx(0.5, abs=1e-3))
    assert 2 < names["curve"].midpoint.value < 4


@pytest.mark.slow
def test_seeds_generate_and_are_scored_again(capsys):
    names = run(block("evaluate(*who)", "jaxemerge/README.md"))
    assert "exact_match" in capsys.readouterr().out
    assert names["written"].accepted.mean() == names["kept"].items.exact.mean()
    assert names["counts"].samples.shape == (4, 14)


def test_the_law_is_found():
    law = run(block("fit_chinchilla", "jaxemerge/README.md"))["law"]
    assert law.E.interval.low < 1.8 < law.E.interval.high
    assert law.converged


@pytest.mark.parametrize(
    ("page", "least"),
    [
        (README.partition("## Two commands")[0], 2),
        (PAGES["experiments/README.md"].partition("\n## The command line")[0], 30),
    ],
)
def test_quoted_findings_are_those_of_the_kept_results(page, least):
    kept = (ROOT / "experiments" / "measured").glob("*.json")
    found = " ".join(each["line"] for path in kept for each in json.loads(path.read_text())["findings"])
    quoted = re.findall(r"[\d.,]+ \[[^]]+\](?!\()", " ".join(page.split()))
    assert len(quoted) >= least
    assert [numbers for numbers in quoted if numbers not in found] == []


def test_there_are_exactly_two_marked_commands():
    marked = re.findall(r"<!-- (\w+)-command -->\n```bash\n(.*?)\n```\n", README)
    assert [name for name, _ in marked] == ["run", "test"]
    assert marked[0][1].endswith("python experiments/run.py")
    assert marked[1][1].endswith("pytest")


@pytest.mark.parametrize("page", PAGES)
def test_every_link_and_file_named_exists(page):
    text, folder = PAGES[page], (ROOT / page).parent
    targets = re.findall(r"\]\(([^)]+)\)", text)
    assert targets
    for target in targets:
        path, _, anchor = target.partition("#")
        if target.startswith("http"):
            continue
        there = (folder / path).resolve() if path else ROOT / page
        assert there.exists(), target
        if anchor:
            titles = re.findall(r"^#+ (.*)$", there.read_text(encoding="utf-8"), re.MULTILINE)
            slugs = {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}
            assert anchor in slugs, target
    for name in re.findall(r"`((?:experiments|jaxemerge|benchmarks)/[\w./]*)`", text):
        assert (ROOT / name).exists(), name


def test_every_study_named_in_a_command_exists():
    named = {name for text in PAGES.values() for name in re.findall(r"run\.py ([a-z]\w+)", text)}
    assert len(named) > 10
    assert named <= {*STUDIES, *COMMANDS}


def test_every_command_is_understood():
    entries = [line for code in blocks("bash") for line in code.replace("\\\n", " ").splitlines()]
    commands = [
        line.partition("experiments/run.py")[2].strip(" '")
        for line in entries
        if "experiments/run.py" in line
    ]
    assert len(commands) > 15
    front = Front(STUDIES)
    for entry in commands:
        command, words = command_of(shlex.split(entry, comments=True), front)
        parsed(command, words, front, argparse.Namespace())  # or raises, or ends the program


def test_the_map_names_what_there_is():
    page = PAGES["jaxemerge/README.md"]
    rows = re.findall(r"^\| `((?:jaxemerge|experiments)/\w*/?)` \| (.*) \|$", page, re.MULTILINE)
    packages = {path.name for path in (ROOT / "jaxemerge").iterdir() if (path / "__init__.py").is_file()}
    assert {Path(place).name for place, _ in rows} == packages | {"experiments"}
    for place, words in rows:
        for name in re.findall(r"`([\w/]+)`", words):
            there = (ROOT / place / name).is_dir() or (ROOT / place / f"{name}.py").is_file()
            code = place.strip("/").replace("/", ".")
            assert there or hasattr(importlib.import_module(code), name), f"{place}: {name}"


def test_every_benchmark_is_listed():
    named = set(re.findall(r"`benchmarks/(\w+)\.py`", PAGES["benchmarks/README.md"]))
    programs = {
        path.stem
        for path in (ROOT / "benchmarks").glob("*.py")
        if '__name__ == "__main__"' in path.read_text()
    }
    assert {name for name in programs if not name.startswith("worker")} <= named


def test_no_quick_version_takes_longer_than_it_says():
    assert "two CPU cores finish within eight minutes (`--quick`)" in PAGES["experiments/README.md"]
    for name, study in STUDIES.items():
        minutes, seconds = re.search(r"measured: (\d+) min (\d+) s", study.__doc__).groups()
        assert 60 * int(minutes) + int(seconds) < 8 * 60, name
