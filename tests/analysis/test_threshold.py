"""P(success) by threshold is the share of seeds at or above it."""

import polars as pl
import pytest
from statsmodels.stats.proportion import proportion_confint

from jaxemerge.analysis import final_scores, success_by_threshold
from synthetic import population_frame


def test_shares_and_intervals():
    frame = population_frame([(2, 64), (4, 64)], 9, (30, 40), (0, 7))
    scan = success_by_threshold(frame, length=30)
    assert scan["label"].unique(maintain_order=True).to_list() == ["depth 2", "depth 4"]
    ends = final_scores(frame).filter(pl.col("length") == 30)
    for row in scan.filter((pl.col("threshold") * 100).round() % 9 == 0).rows(named=True):
        scores = ends.filter(pl.col("cell") == row["cell"])["value"]
        passed = int((scores >= row["threshold"]).sum())
        assert row["success"] == passed / 9
        assert (row["low"], row["high"]) == pytest.approx(proportion_confint(passed, 9, method="wilson"))
        assert row["band_low"] <= row["low"]
        assert row["high"] <= row["band_high"]
    with pytest.raises(ValueError, match="2 tests of exact_match; choose one of"):
        success_by_threshold(frame)
