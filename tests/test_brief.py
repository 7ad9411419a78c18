"""Every record is shown in one line; a population with a chart."""

import dataclasses
import importlib
import inspect
import sys
import types
from typing import NamedTuple

import numpy as np
import polars as pl
import pytest

import jaxemerge as je
from jaxemerge.brief import brief, one_line
from jaxemerge.evaluation import evaluate
from jaxemerge.runner.picture import strips
from jaxemerge.runner.progress import NotebookLive
from jaxemerge.stats import fit_mixture, fit_success_curve


@brief
class Pair(NamedTuple):
    name: str
    value: object


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (np.zeros((3, 5), np.float32), "float32[3, 5]"),
        (np.array([0.123456, np.nan]), "[0.1235, nan]"),
        (np.arange(5), "int64[5]"),
        (np.float64(1 / 3), "0.3333"),
        (pl.DataFrame({"a": [1, 2], "b": [3, 4]}), "<2 rows of 2 columns>"),
        ({i: i for i in range(9)}, "{0: 0, 1: 1, 2: 2, 3: 3, ... 9 in all}"),
        (tuple(range(9)), "(0, 1, 2, 3, ... 9 in all)"),
        ("two\nlines", "'two\\nlines'"),
        (None, "None"),
    ],
)
def test_values(value, text):
    assert repr(Pair("x", value)) == f"Pair(name='x', value={text})"


def test_a_long_record_ends_with_dots():
    assert len(repr(Pair("x" * 1000, 0))) == 300
    assert repr(Pair("x" * 1000, 0)).endswith("...)")


@pytest.fixture(scope="module")
def population():
    recipe = {"steps": 3, "batch": 2, "context": 13, "seeds": je.paired(range(3)), "evaluations": 1}
    return je.train(je.Experiment(je.Count(11, 3, (3, 5)), je.neox(1, 24, 3), **recipe), progress=False)


def test_records_are_one_line(population, tmp_path):
    je.export(population, tmp_path / "members")
    scores = [0.0, 0.0, 0.02, 0.04, 0.71, 0.78, 0.80, 0.85]
    records = [
        population,
        je.load(tmp_path / "members"),
        *population.evaluations,
        population.experiment.members,
        *population.experiment.task.evaluation_sets(),
        evaluate(population.experiment.task, population.experiment.model, population.params),
        fit_mixture(scores, trials=100),
        fit_success_curve(scale=[1, 2, 4, 8], successes=[0, 2, 9, 15], trials=[16, 16, 16, 16]),
    ]
    for record in records:
        assert "\n" not in repr(record)
        assert len(repr(record)) <= 300
    assert repr(population).startswith(f"Population({population.experiment.cell}, 3 seeds, ")
    assert "exact_match, length 3: 0 to 0" in repr(population)


def test_public_records_with_arrays_or_frames_are_brief():
    """Whatever a package exports that holds arrays, frames or estimates."""
    wanted = ("ndarray", "NDArray", "DataFrame", "Params", "Array", "Estimate")
    faults = []
    for name in ("stats", "analysis", "evaluation", "training", "tasks", "exports"):
        package = importlib.import_module(f"jaxemerge.{name}")
        for kind in vars(package).values():
            if not inspect.isclass(kind) or not (dataclasses.is_dataclass(kind) or hasattr(kind, "_fields")):
                continue
            fields = map(str, vars(kind).get("__annotations__", {}).values())
            holds = any(word in text and "Callable" not in text for text in fields for word in wanted)
            if holds and kind.__repr__ is not one_line:
                faults.append(kind.__name__)
    assert faults == []


def test_a_population_is_drawn(population):
    page = population._repr_html_()
    assert page.count("<circle") == 3 * 2  # seeds x tests
    assert page.count("<line") == 2
    assert "exact_match, length 5" in page


def test_places_of_dots():
    picture = strips([("<a>", np.array([0.0, 1.0, 1.0, np.nan]))])
    places = [tuple(part.split('"')[1::2][:2]) for part in picture.split("<circle")[1:]]
    assert places == [("190", "26"), ("610", "26"), ("610", "21")]
    assert "&lt;a&gt;" in picture
    assert strips([]) == ""


def test_a_notebook_shows_one_output_that_changes(monkeypatch):
    shown = []

    def display(page, display_id):
        assert display_id
        shown.append(page._repr_html_())
        return types.SimpleNamespace(update=lambda page: shown.append(page._repr_html_()))

    monkeypatch.setitem(sys.modules, "IPython", types.ModuleType("IPython"))
    monkeypatch.setitem(sys.modules, "IPython.display", types.SimpleNamespace(display=display))
    lines = ["step 1 <"]
    live = NotebookLive(lambda: lines[0])
    live.start()
    lines[0] = "step 2"
    live.refresh()
    lines[0] = "step 3"
    live.refresh()  # too soon after the last
    live.stop()
    assert [each.split("step ")[1].split("\n")[0] for each in shown] == ["1 &lt;", "2", "3"]


def test_training_shows_lines_where_output_is_no_terminal(population, capsys):
    je.train(population.experiment)
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "count depth1-width24: step 3/3" in captured.err
    je.train(population.experiment, progress=False)
    assert capsys.readouterr() == ("", "")
