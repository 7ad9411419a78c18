"""Losses of cells compared, their trend with scale, and success as a limit that is met."""

import math

import numpy as np
import polars as pl
import pytest
from scipy import optimize, stats

from jaxemerge.analysis import findings, is_share, laws_of_scale, main_metric, read_results, summarise
from jaxemerge.analysis.comparisons import (
    alone,
    at_most,
    below_target,
    trend_sentence,
    value_differences,
    value_trends,
)
from jaxemerge.analysis.groups import neighbours, panels
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
    found = value_trends(table({2**k: [3 - k / 10, 3.01 - k / 10] for k in range(4)}), "val_loss")
    assert found[""].slope.value == pytest.approx(-0.1)
    assert value_trends(table({64: [3.0, 3.1], 128: [2.9, 3.0]}), "val_loss") == {}
    assert trend_sentence(table(), "val_loss").startswith("Twice the width changes the mean by -0.015")


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


def grid():
    """Losses of four learning rates by two weight decays and two optimizers, of two seeds each."""
    rows = [
        (opt, 10.0**-rate, decay, seed, 3 + sign * (1 + decay) * rate / 10 + seed / 100)
        for opt, sign in (("adam", 1), ("sgd", -1))
        for rate in range(4)
        for decay in (0.0, 0.1, 1.0)
        for seed in range(2)
    ]
    frame = pl.DataFrame(rows, schema=["opt", "lr", "wd", "seed", "val_loss"], orient="row")
    return read_results(frame, {"scale": "lr", "value": "val_loss"}, by=["opt", "wd"])


def test_a_grid_has_a_trend_in_each_of_its_panels():
    frame = grid()
    names = [f"{opt}, wd {decay}" for opt in ("adam", "sgd") for decay in ("0", "0.1", "1")]
    assert panels(frame)["panel"].unique(maintain_order=True).to_list() == names
    found = value_trends(frame, "val_loss")
    step = 0.1 / math.log2(10)  # of the loss for a doubling, without weight decay
    expected = [sign * (1 + decay) * step for sign in (-1, 1) for decay in (0, 0.1, 1)]
    assert list(found) == names
    assert [trend.slope.value for trend in found.values()] == pytest.approx(expected)
    said = trend_sentence(frame, "val_loss")
    assert said.count("by Holm for 6") == 6
    assert "with adam, wd 0.1;" in said


def test_cells_of_a_grid_are_compared_where_one_setting_differs():
    frame = grid()
    pairs = neighbours(frame)
    # 3 steps of lr in 6 panels, 2 steps of wd at 4 rates of 2 optimizers, and 2 optimizers at 12 places
    assert len(pairs) == 3 * 6 + 2 * 4 * 2 + 12
    kinds = [[a.split(", ")[i] == b.split(", ")[i] for i in range(3)] for a, b in pairs]
    assert all(sum(alike) == 2 for alike in kinds)
    assert value_differences(frame, "val_loss").height == len(pairs)
    assert len(neighbours(table())) == 2


def test_differences_of_single_runs_are_said_to_have_no_interval():
    single = value_differences(table({64: [3.0], 128: [2.9], 256: [2.8]}), "val_loss")
    assert alone(single).startswith("All 3 pairs have no interval")
    assert alone(value_differences(table(), "val_loss")) == ""
    assert alone(single[:1]).startswith("The pair has no interval")


@pytest.mark.parametrize(("offset", "sign"), [(3.1, -1), (0.0, 1)])
def test_the_power_law_of_any_scale(offset, sign):
    noise = np.random.default_rng(0).normal(0, 1e-4, (7, 3))
    widths = 2.0 ** np.arange(5, 12)
    value = offset + 20 * widths ** (sign * 0.7)
    given = {int(w): list(v * (1 + e)) for w, v, e in zip(widths, value, noise, strict=True)}
    law = laws_of_scale(table(given, "seconds"), "seconds", bootstraps=0)[""].law
    x, y = np.repeat(widths, 3), np.concatenate(list(given.values()))

    def residuals(theta):
        return np.log(
            (theta[0] if sign < 0 else 0) + np.exp(theta[1]) * (x / law.centre) ** theta[2]
        ) - np.log(y)

    least = optimize.least_squares(residuals, [3.0, 0.0, sign * 0.5], x_scale=[1, 1, 0.1]).x
    assert law.exponent.value == pytest.approx(-least[2], rel=2e-3)
    assert law.E.value == pytest.approx(least[0] if sign < 0 else 0.0, abs=1e-3)


def test_few_scales_and_values_below_zero_have_no_power_law():
    assert laws_of_scale(table(), "val_loss") == {}
    assert laws_of_scale(table({2**k: [1.0 - k] * 2 for k in range(6)}), "val_loss") == {}


def test_a_report_of_a_limit_draws_the_values_and_the_limit():
    frame = read_results(
        pl.DataFrame({"width": [64, 128, 256] * 4, "val_loss": [3.3, 3.2, 3.1, 3.4] * 3}),
        {"scale": "width", "value": "val_loss"},
    )
    frame, name = at_most(frame, "val_loss", 3.25)
    shown = contents(frame, 1.0, name)
    assert shown.lead.name == "values"
    assert "limit of success, 3.25" in shown.lead.words
    assert '"limit":3.25' in shown.lead.spec.replace(" ", "")
    names = {figure.name for figure in shown.figures}
    assert names.isdisjoint({"histograms", "violins", "mixtures", "thresholds"})
    assert "success_against_scale" in names
