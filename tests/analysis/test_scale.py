"""Success against scale: fitted curves, and every definition of success."""

import numpy as np
import polars as pl
import pytest

from jaxemerge.analysis import final_scores, success_by_threshold, success_fit
from jaxemerge.stats import (
    Interval,
    fit_logistic,
    fit_success_curve,
    fit_success_mean,
    step_test,
    success_interval,
)
from synthetic import population_frame

THRESHOLD = 0.35


@pytest.fixture(scope="module")
def frame():
    return population_frame([(1, 64), (2, 64), (4, 64)], 31, (30, 40), (0, 7), diverged=2)


@pytest.fixture(scope="module")
def fit(frame):
    return success_fit(frame, threshold=THRESHOLD, length=30, resamples=29)


def scores_of(frame, length=30):
    chosen = final_scores(frame).filter(pl.col("length") == length)
    return [chosen.filter(pl.col("depth") == d)["value"].to_numpy() for d in (1, 2, 4)]


def test_the_fits_are_those_of_the_counts(frame, fit):
    scores = scores_of(frame)
    counts = [(s >= THRESHOLD).sum() for s in scores]
    curve = fit_success_curve([1, 2, 4], counts, [31] * 3)
    assert fit.curve.midpoint == curve.midpoint
    assert fit.curve.ceiling == curve.ceiling
    assert fit.step == step_test([1, 2, 4], counts, [31] * 3, resamples=29)
    law = fit_success_mean([1, 2, 4], scores, THRESHOLD)
    assert fit.law.exponent == law.exponent
    assert fit.cells["success"].to_list() == pytest.approx([c / 31 for c in counts])
    assert fit.cells["isotonic"].to_list() == sorted(fit.cells["isotonic"])
    assert fit.column == "depth"
    assert fit.depth_and_width is None


def test_the_table_says_what_was_fitted(fit):
    rows = {(r["fit"].split(" at ")[0], r["parameter"]): r for r in fit.table().rows(named=True)}
    midpoint = rows["logistic curve", "midpoint"]
    assert (midpoint["value"], midpoint["low"]) == (fit.curve.midpoint.value, fit.curve.midpoint.interval.low)
    assert rows["power law of successes", "exponent"]["high"] == fit.law.exponent.interval.high
    assert rows["step against curve", "p_value"]["value"] == fit.step.p_value
    assert rows["step against curve", "p_value"]["low"] is None


def test_lines_go_through_the_fit(fit):
    lines = fit.lines()
    curve = lines.filter(fit="logistic curve")
    half = np.interp(fit.curve.midpoint.value, curve["scale"], curve["value"])
    assert half == pytest.approx(fit.curve.ceiling.value / 2, abs=0.01) or fit.curve.midpoint.value < 1
    step = lines.filter(fit="best step")["value"].to_list()
    assert step == [fit.step.before] * 2 + [fit.step.after] * 2
    assert lines.filter(fit="monotone shares")["value"].to_list() == fit.cells["isotonic"].to_list()
    means = fit.means()
    assert np.diff(np.log(means["value"])) / np.diff(np.log(means["scale"])) == pytest.approx(
        fit.law.exponent.value
    )


def test_depth_and_width_are_told_apart_where_both_vary():
    grid = population_frame([(d, w) for d in (1, 2, 4) for w in (64, 128)], 23, (30,), (0, 7))
    both = success_fit(grid, threshold=THRESHOLD, resamples=9)
    assert both.column == "parameters"
    counts = np.round(both.cells["success"].to_numpy() * 23)
    logs = np.log(both.cells.select("depth", "width").to_numpy())
    away = logs - logs.mean(axis=0)
    again = fit_logistic(np.column_stack([away, away.prod(axis=1)]), counts, [23] * 6)
    np.testing.assert_allclose(both.depth_and_width.coefficient.value, again.coefficient.value)
    names = both.table().filter(fit="depth and width")["parameter"].to_list()
    assert names == ["depth", "width", "interaction"]


@pytest.mark.parametrize(("level", "words"), [(0.0, "no success"), (1.0, "all")])
def test_all_alike(frame, level, words):
    same = frame.with_columns(
        value=pl.when(pl.col("metric") == "exact_match").then(level).otherwise(pl.col("value")),
        diverged=pl.lit(False),
    )
    fit = success_fit(same, length=30, resamples=9)
    assert fit.step.p_value == 1
    assert np.isnan(fit.law.exponent.value) == (words == "no success")
    assert fit.means().is_empty() == (words == "no success")
    assert fit.lines().filter(fit="monotone shares")["value"].to_list() == [level] * 3


def test_a_cell_at_scale_0_is_outside_the_logarithmic_fits(frame, fit):
    """The weakest cell again as one of depth 0: drawn, in the monotone shares, and in no other fit."""
    none = frame.filter(pl.col("depth") == 1).with_columns(
        depth=pl.lit(0, pl.Int32), cell=pl.lit("none"), width=pl.lit(64, pl.Int32)
    )
    both = success_fit(pl.concat([none, frame]), threshold=THRESHOLD, length=30, resamples=29)
    assert both.cells["scale"].to_list() == [0, 1, 2, 4]
    assert both.left_out == ("depth 0",)
    assert fit.left_out == ()
    assert (both.curve.midpoint, both.step, both.law.exponent) == (
        fit.curve.midpoint,
        fit.step,
        fit.law.exponent,
    )
    lines = both.lines()
    assert lines.filter(fit="logistic curve")["scale"].min() == 1
    assert lines.filter(fit="monotone shares")["scale"].to_list() == [0, 1, 2, 4]


def test_one_seed_per_cell():
    fit = success_fit(population_frame([(1, 64), (2, 64)], 1, (30,), (0, 7), diverged=0), resamples=9)
    assert fit.cells["seeds"].to_list() == [1, 1]
    assert fit.curve.ceiling.interval == Interval(1.0, 1.0)  # two scales do not determine three parameters


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda f: f.filter(pl.col("depth") == 2), "depth is 2: a curve in its logarithm needs two positive"),
        (lambda f: f.with_columns(depth=-pl.col("depth")), "depth is -4, -2, -1: a curve in its logarithm"),
        (lambda f: f.with_columns(metric=pl.lit("bleu")), "metric='exact_match' is not in the frame"),
    ],
)
def test_refuses(frame, change, message):
    with pytest.raises(ValueError, match=message):
        success_fit(change(frame), length=30)


def test_the_test_must_be_chosen(frame):
    with pytest.raises(ValueError, match="2 tests of exact_match"):
        success_fit(frame)


def test_shares_and_intervals():
    frame = population_frame([(2, 64), (4, 64)], 9, (30, 40), (0, 7))
    scan = success_by_threshold(frame, length=30)
    assert scan["label"].unique(maintain_order=True).to_list() == ["depth 2", "depth 4"]
    ends = final_scores(frame).filter(pl.col("length") == 30)
    for row in scan.filter((pl.col("threshold") * 100).round() % 9 == 0).rows(named=True):
        scores = ends.filter(pl.col("cell") == row["cell"])["value"]
        passed = int((scores >= row["threshold"]).sum())
        assert row["success"] == passed / 9
        interval = success_interval(passed, 9)
        assert (row["low"], row["high"]) == (interval.low, interval.high)
        assert row["band_low"] <= row["low"]
        assert row["high"] <= row["band_high"]
    with pytest.raises(ValueError, match="2 tests of exact_match; choose one of"):
        success_by_threshold(frame)
