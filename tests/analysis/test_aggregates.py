"""The best of a few runs, and cells compared over all tests, against brute force."""

from itertools import combinations

import numpy as np
import polars as pl
import pytest
from scipy.stats import trim_mean

from jaxemerge.analysis import read_results
from jaxemerge.analysis.aggregates import best_of_runs, improvements, over_tests

RNG = np.random.default_rng(3)
TASKS = ("arc", "boolq", "piqa")
CELLS = {
    model: {task: np.round(RNG.uniform(low, low + 0.5, 7), 3) for task in TASKS}
    for model, low in (("base", 0.2), ("tuned", 0.3))
}


def table(name="acc", cells=CELLS):
    rows = [
        (model, task, seed, value)
        for model, tasks in cells.items()
        for task, values in tasks.items()
        for seed, value in enumerate(values)
    ]
    frame = pl.DataFrame(rows, schema=["model", "task", "seed", name], orient="row")
    return read_results(frame, {"value": name})


@pytest.mark.parametrize(("name", "best"), [("acc", max), ("loss", min)])
def test_the_expected_best_is_the_mean_over_all_sets_of_runs(name, best):
    found = best_of_runs(table(name), name, 3)
    expected = [
        np.mean([best(chosen) for chosen in combinations(values, 3)])
        for tasks in CELLS.values()
        for values in tasks.values()
    ]
    assert found["best"].to_list() == pytest.approx(expected)
    assert found["runs"].to_list() == [7] * 6
    assert (found["low"] < found["best"]).all()


def test_too_few_runs_and_failed_ones():
    assert best_of_runs(table(), "acc", 8)["best"].null_count() == 6
    failed = {"base": {"arc": [np.nan, 0.5, 0.3]}, "tuned": {"arc": [0.5, 0.3, 0.1]}}
    assert best_of_runs(table(cells=failed), "acc", 3)["best"].to_list() == [0.5, 0.5]
    assert best_of_runs(table("loss", failed), "loss", 2)["runs"].to_list() == [2, 3]
    assert best_of_runs(table("loss", failed), "loss", 2)["best"][0] == pytest.approx(0.3)


@pytest.mark.parametrize(("name", "sign"), [("acc", 1), ("loss", -1)])
def test_cells_are_compared_over_all_tests(name, sign):
    frame = table(name)
    means = over_tests(frame, name)
    expected = [trim_mean(np.concatenate(list(tasks.values())), 0.25) for tasks in CELLS.values()]
    assert means["iqm"].to_list() == pytest.approx(expected)
    assert means.select("tests", "runs").rows() == [(3, 21)] * 2
    (pair,) = improvements(frame, name).rows(named=True)
    wins = [
        (1 + np.sign(sign * (y - x))) / 2
        for task in TASKS
        for x in CELLS["base"][task]
        for y in CELLS["tuned"][task]
    ]
    assert (pair["first"], pair["second"]) == ("base", "tuned")
    assert pair["probability"] == pytest.approx(np.mean(wins))
    assert pair["low"] < pair["probability"] < pair["high"]


def test_a_cell_without_all_tests_is_left_out():
    part = {"base": CELLS["base"], "tuned": {"arc": CELLS["tuned"]["arc"]}}
    assert over_tests(table(cells=part), "acc")["label"].to_list() == ["base"]
    assert improvements(table(cells=part), "acc").is_empty()
