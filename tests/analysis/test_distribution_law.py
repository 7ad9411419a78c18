"""The law of the scores of a frame: what it is fitted to, its tables, charts and sentences."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from jaxemerge.analysis import distribution_law
from jaxemerge.analysis.distribution_law import study
from jaxemerge.report.contents import contents
from jaxemerge.report.distribution_law import left_out, whole_distribution
from synthetic import population_frame

CELLS = [(1, 64), (2, 64), (4, 64), (8, 64)]


@pytest.fixture(scope="module")
def frame():
    return population_frame(CELLS, 11, (30, 40), (0, 7))


def test_study_has_the_final_scores(frame):
    """One row per seed at its last step, NaN where it diverged; depth is the only coordinate that varies."""
    found = study(frame, "exact_match")
    assert found.names == ("depth",)
    assert found.scores.shape == (44, 2)
    np.testing.assert_array_equal(found.lengths, [30, 40])
    last = frame.filter(pl.col("step") == 7, pl.col("metric") == "exact_match")
    for length, trials, column in zip(found.lengths, found.trials, found.scores.T, strict=True):
        rows = last.filter(pl.col("length") == length, ~pl.col("diverged"))
        assert set(rows["trials"]) == {trials}
        known = column[~np.isnan(column)]
        np.testing.assert_allclose(np.sort(known), rows["value"].sort().to_numpy())
    assert np.isnan(found.scores).all(axis=1).sum() == 1
    assert np.isnan(found.scores[found.design[:, 0] == 8]).any()


def test_too_little_for_a_law(frame):
    few_cells = frame.filter(pl.col("depth") < 8)
    few_seeds = frame.filter(pl.col("init_seed") < 7)
    no_items = frame.with_columns(trials=pl.lit(None, pl.Int32))
    for case in (few_cells, few_seeds, no_items):
        assert distribution_law(case, "exact_match", 0.2) is None
    assert list(whole_distribution(few_cells, "exact_match", 0.2)) == []
    assert distribution_law(frame, "exact_match", 1.0) is None  # nothing lies above


def test_reports_say_why_there_is_no_law(frame, monkeypatch):
    assert left_out(frame, "exact_match") == ""
    assert left_out(frame.filter(pl.col("depth") < 8), "exact_match") == ""  # too few cells for any law
    crossed = frame.with_columns(init_seed=pl.col("init_seed") % 4, data_seed=pl.col("init_seed") // 4)
    assert "no term for runs that share seeds" in left_out(crossed, "exact_match")
    with pytest.raises(ValueError, match="runs of a cell share seeds, as in a crossed design"):
        distribution_law(crossed, "exact_match", 0.2)
    monkeypatch.setattr("jaxemerge.report.distribution_law.MOST", 87)
    assert "not fitted here to 88 final scores, more than 87" in left_out(frame, "exact_match")
    assert list(whole_distribution(frame, "exact_match", 0.2)) == []
    assert left_out(frame, "exact_match") in contents(frame.filter(pl.col("step") == 7), 0.2, None).headline


@pytest.mark.slow  # compiles the likelihood and its slope for all cells and for all but one
def test_figures_of_the_law(frame, monkeypatch):
    monkeypatch.setattr("jaxemerge.report.distribution_law.BOOTSTRAPS", 7)
    curves, held_out = whole_distribution(frame, "exact_match", 0.2)
    assert "doubling depth adds" in curves.words
    assert held_out.heading.endswith("Depth 8")
    assert "Predicted shares of its 10 seeds with 0.2 or more" in held_out.words
    assert set(curves.table["part"]) == {"P(success)", "mean of successes", "precision of successes"}
    sums = held_out.table.group_by("label", "length").agg(pl.col("observed", "predicted").sum())
    np.testing.assert_allclose(sums["observed"].to_numpy(), 1)
    np.testing.assert_allclose(sums["predicted"].to_numpy(), 1, atol=1e-6)
    assert set(held_out.table.filter("held")["label"]) == {"depth 8"}
    for spec in (curves.spec, held_out.spec):
        assert "layer" in spec
