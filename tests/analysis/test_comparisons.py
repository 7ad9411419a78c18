"""Losses of cells compared, their trend with scale, and success as a limit that is met."""

import math

import numpy as np
import polars as pl
import pytest
from scipy import stats

from jaxemerge.analysis import findings, is_share, main_metric, read_results, summarise
from jaxemerge.analysis.comparisons import (
    at_most,
    below_target,
    trend_sentence,
    value_differences,
    value_trend,
)
from jaxemerge.report.contents import contents

LOSSES = {64: [3.3101, 3.3094, 3.3098], 128: [3.2791, 3.2788, 3.2795], 256: [3.2797, 3.2799, 3.2794]}


def table(losses=LOSSES, name="val_loss"):
    rows = [(width, seed, loss) for width, cell in losses.items() for seed, loss in enumerate(cell)]
    frame = pl.DataFrame(rows, schema=["width", "seed", name], orient="row")
    return read_results(frame, {"scale": "width", "value": name})


def test_differences_are_welchs_by_holm():
    found = value_differences(table(), "val_loss")
    assert found.select("first", "second").rows() == [
        ("width 64", "width 128"),
        ("width 64", "width 256"),
        ("width 128", "width 256"),
    ]
    row = found.row(2, named=True)
    expected = stats.ttest_ind(LOSSES[256], LOSSES[128], equal_var=False)
    assert row["difference"] == pytest.approx(np.mean(LOSSES[256]) - np.mean(LOSSES[128]))
    assert (row["p_value"], row["p_adjusted"]) == (pytest.approx(expected.pvalue),) * 2
    assert (row["low"], row["high"]) == pytest.approx(tuple(expected.confidence_interval()))
    assert row["p_value"] > 0.05 > found["p_adjusted"][0]


def test_many_cells_are_compared_with_their_neighbours_and_one_seed_says_nothing():
    found = value_differences(table({2**k: [3 - k / 10] for k in range(6)}), "val_loss")
    assert found.height == 5
    assert found["difference"].to_list() == pytest.approx([-0.1] * 5)
    assert found["p_adjusted"].null_count() == found["low"].null_count() == 5


def test_the_trend_is_that_per_doubling():
    found = value_trend(table({2**k: [3 - k / 10, 3.01 - k / 10] for k in range(4)}), "val_loss")
    assert found.slope.value == pytest.approx(-0.1)
    assert value_trend(table({64: [3.0, 3.1], 128: [2.9, 3.0]}), "val_loss") is None
    assert trend_sentence(table(), "val_loss").startswith("Twice the width changes it by -0.015 [")


@pytest.mark.parametrize(
    ("name", "target", "alternative"), [("val_loss", 3.28, "less"), ("reward", 3.279, "greater")]
)
def test_means_are_tested_on_the_side_that_is_better(name, target, alternative):
    found = below_target(table(name=name), name, target)
    expected = [stats.ttest_1samp(cell, target, alternative=alternative).pvalue for cell in LOSSES.values()]
    assert found["p_value"].to_list() == pytest.approx(expected)


def test_failed_runs_meet_no_limit():
    frame, name = at_most(table({64: [3.2, 3.3, math.nan], 128: [3.1, 3.28, 3.0]}), "val_loss", 3.28)
    assert (name, is_share(frame, name), main_metric(frame)) == ("val_loss at most 3.28", True, name)
    found = summarise(frame, name, 1.0)
    assert found["success"].to_list() == pytest.approx([1 / 3, 1])


def test_digits_are_those_that_the_seeds_support():
    values = [findings.supported(*row) for row in ((3.27913, 3.2787, 3.2795), (3.2797, None, None))]
    assert values == [("3.27913", "3.27870", "3.27950"), ("3.2797",)]
    assert findings.supported(3.27913, 3.1, 3.4) == ("3.28", "3.10", "3.40")
    assert findings.supported(12345.6, 12000.0, 12700.0) == ("12346", "12000", "12700")
    headline = contents(table(), 0.2, None).headline
    assert "3.27913" in headline[2]
    assert "3.27967" in headline[2]


def test_a_report_of_losses_has_their_differences_and_curves():
    rows = [
        (width, seed, step, loss + 100 / step)
        for width, cell in LOSSES.items()
        for seed, loss in enumerate(cell)
        for step in (100, 200, 300)
    ]
    frame = pl.DataFrame(rows, schema=["width", "seed", "step", "val_loss"], orient="row")
    results = read_results(frame, {"scale": "width", "value": "val_loss"})
    figures = {each.name: each for each in contents(results, 0.2, None).figures}
    assert list(figures) == ["values", "differences", "learning_curves"]
    assert figures["differences"].table.height == 3
    assert "width 256 less width 128: 0.00053 [" in figures["differences"].words
