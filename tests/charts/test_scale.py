"""Charts of grids of cells and of crossed seeds hold the numbers that were found, each in its place."""

import json

import numpy as np
import polars as pl
import pytest
import vl_convert

from jaxemerge import charts
from jaxemerge.analysis import final_scores, summarise
from synthetic import population_frame

GRID = [(depth, width) for depth in (1, 2, 5) for width in (64, 128)]


def drawn(chart):
    """The specification, which can be drawn."""
    spec = json.loads(json.dumps(chart.to_dict(), allow_nan=False))
    assert vl_convert.vegalite_to_svg(spec).startswith("<svg")
    return spec


def points(view, spec):
    """Rows behind the circles of a view, one list per layer."""
    data = [layer["data"] for layer in view["layer"] if layer["mark"]["type"] == "circle"]
    return [each.get("values") or spec["datasets"][each["name"]] for each in data]


def test_a_grid_is_drawn_along_depth_and_along_width():
    table = summarise(population_frame(GRID, 7, (30,), (0, 7), diverged=0))
    spec = drawn(charts.depth_and_width(table))
    chance, quality = spec["hconcat"]
    assert [len(rows) for rows in points(chance, spec)] == [3, 3]  # one layer per width
    seen = {(row["depth"], row["width"]): row["value"] for rows in points(chance, spec) for row in rows}
    expected = {(row["depth"], row["width"]): row["success"] for row in table.rows(named=True)}
    assert seen == pytest.approx(expected, abs=1e-4)
    seen = {(row["depth"], row["width"]): row["value"] for rows in points(quality, spec) for row in rows}
    successful = table.drop_nulls("success_mean").rows(named=True)
    expected = {(row["depth"], row["width"]): row["success_mean"] for row in successful}
    assert seen == pytest.approx(expected, abs=1e-4)
    assert [panel["layer"][0]["encoding"]["x"]["title"] for panel in (chance, quality)] == [
        "depth (layers)",
        "width (units)",
    ]


def test_crossed_seeds_are_sorted_by_their_means():
    rng = np.random.default_rng(0)
    one = population_frame([(2, 64)], 1, (15, 20), (7,), diverged=0).filter(pl.col("metric") == "exact_match")
    score = rng.uniform(size=(3, 5))
    runs = [
        one.with_columns(init_seed=pl.lit(i), data_seed=pl.lit(d), value=pl.lit(score[i, d]))
        for i in range(3)
        for d in range(5)
    ]
    spec = drawn(charts.crossed_scores(final_scores(pl.concat(runs))))
    for panel in spec["hconcat"]:
        rows = panel["data"].get("values") or spec["datasets"][panel["data"]["name"]]
        assert len(rows) == 15
        assert all(
            row["value"] == pytest.approx(score[row["init_seed"], row["data_seed"]], abs=1e-4) for row in rows
        )
        assert panel["encoding"]["y"]["sort"] == np.argsort(-score.mean(axis=1)).tolist()
        assert panel["encoding"]["x"]["sort"] == np.argsort(-score.mean(axis=0)).tolist()
    assert [panel["title"] for panel in spec["hconcat"]] == ["length 15", "length 20"]


def test_means_of_two_families_stand_beside_each_other():
    ways = [population_frame([(2, 64), (2, 128)], 5, (30,), (7,), key=k, diverged=0) for k in (0, 1)]
    ends = pl.concat(
        frame.filter(pl.col("metric") == "exact_match").with_columns(
            family=pl.lit(name), cell=pl.col("cell") + name
        )
        for frame, name in zip(ways, ("long", "short"), strict=True)
    )
    table = summarise(ends).join(ends.select("cell", "family").unique(), on="cell")
    spec = drawn(charts.means_by_family(ends, table, chance=0.1))
    runs_long, means_long, runs_short, means_short = points(spec, spec)
    assert len(runs_long) == len(runs_short) == 10
    for rows, name in ((means_long, "long"), (means_short, "short")):
        of_family = table.filter(pl.col("family") == name).sort("scale")["mean"].to_list()
        assert [row["mean"] for row in sorted(rows, key=lambda row: row["scale"])] == pytest.approx(
            of_family, abs=1e-4
        )
