"""Do the counts that are kept of the study give the figures in its header?"""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from jaxemerge.analysis import PassScaling, task_scaling
from studies import pass_until_scaling

COUNTS = Path(pass_until_scaling.__file__).parents[1] / "figures" / "pass_until_scaling.parquet"


@pytest.fixture(scope="module")
def found() -> PassScaling:
    return task_scaling(pl.read_parquet(COUNTS))


def ends(value: float, low: float, high: float, digits: str) -> str:
    return f"{value:{digits}} [{low:{digits}}, {high:{digits}}]"


def test_the_header_says_what_was_measured(found: PassScaling) -> None:
    header = " ".join((pass_until_scaling.__doc__ or "").split())
    rates = {int(row["label"].split()[1]): row for row in found.rates.rows(named=True)}
    for width, digits in ((16, ".3f"), (32, ".2f"), (48, ".3f")):
        row = rates[width]
        assert ends(row["value"], row["low"], row["high"], digits) in header
    least = rates[10]
    assert (least["scale"], least["seeds"], least["items"]) == (2470, 12, 8)
    assert [f"{1e4 * least[name]:.1f}" for name in ("value", "low", "high")] == ["3.9", "2.7", "5.2"]
    assert "3.9e-4 [2.7e-4, 5.2e-4] at width 10 (2,470 parameters)" in header
    for row in found.predicted.rows(named=True):
        assert ends(row["value"], row["low"], row["high"], ".3f") in header
        assert row["meet"]
    bend = found.law.growth.bend
    assert f"super-scaling (bend {ends(bend.value, bend.interval.low, bend.interval.high, '.2f')}" in header
    assert found.law.growth.name == "super-scaling"
    assert sorted(found.laws.growth.name) == ["super-scaling"] * 6 + ["undecided"] * 2
    assert 2.5 < least["value"] / found.law.predict(2470).value < 3.5
    assert found.relation is not None
    slope = found.relation.slope
    assert f"slope {ends(slope.value, slope.interval.low, slope.interval.high, '.2f')}" in header


def test_the_counts_are_of_the_quick_cells() -> None:
    counts = pl.read_parquet(COUNTS)
    cells = pass_until_scaling.cells(quick=True)
    assert set(counts["cell"]) == {cell.cell for cell in cells}
    asked = cells[0].pass_until
    assert asked is not None
    assert (counts["r"] == asked.r).all()
    assert (counts["samples"] <= asked.cap).all()
    assert counts.height == sum(len(cell.seeds) * asked.items for cell in cells)
