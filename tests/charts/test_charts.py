"""Every chart is valid, can be drawn, and holds the numbers that the analysis found."""

import functools
import json
import re

import numpy as np
import polars as pl
import pytest
import vl_convert

from jaxemerge import charts
from jaxemerge.analysis import (
    breakthroughs,
    compare_with_loss,
    correlations,
    distances,
    final_scores,
    mixtures,
    rank_curves,
    scale_column,
    success_by_threshold,
    success_fit,
    summarise,
    survival,
    variance_shares,
)
from jaxemerge.charts.theme import in_order, inline, metric_title, sequential
from jaxemerge.charts.training import STEPS, some_steps
from synthetic import population_frame

STRANGE = "</script><script>alert(1)</script> \"'] + datum \u2028 & co"


def common():
    return population_frame(seeds=7, steps=(0, 7, 11, 100))


def nasty():
    return population_frame([(2, 64)] * 2, 3, (None,), (0, 7), extra={"note": [STRANGE, "plain"]})


FRAMES = {
    "common": common,
    "one seed": lambda: population_frame([(2, 64)], 1, (30,), (0, 7), diverged=0),
    "one diverged seed": lambda: population_frame([(2, 64)], 1, (30,), (0, 7), diverged=1),
    "only step 0": lambda: population_frame([(2, 64), (3, 64)], 3, (30,), (0,), diverged=0),
    "two cells": lambda: population_frame([(2, 64), (3, 64)], 5, (10, 15), (0, 7)),
    "grid": lambda: population_frame([(d, w) for d in (1, 2, 4) for w in (64, 128)], 5, (30, 40, 50), (0, 7)),
    "strange names": nasty,
}


def of_one_test(frame, name):
    """A chart of the frame's shortest length, with what the analysis found there."""
    length = frame["length"].min()
    chosen = frame.filter(pl.col("length").eq_missing(length))
    if name == "mixture_grid":
        return charts.mixture_grid(chosen, mixtures(chosen).curves)
    if name == "distance_map":
        return charts.distance_map(distances(chosen, permutations=19))
    if name == "rank_curves":
        return charts.rank_curves(rank_curves(chosen), scale_column(chosen))
    if name == "success_curve":
        return charts.success_curve(success_fit(chosen, resamples=9))
    if name == "loss_comparison":
        chosen, losses = chosen.filter(split="test"), frame.filter(metric="train_loss")
        return charts.loss_comparison(
            compare_with_loss(pl.concat([chosen, losses]), split="test", length=length)
        )
    if name == "success_by_threshold":
        return charts.success_by_threshold(success_by_threshold(chosen), 0.2)
    found = survival(breakthroughs(chosen))
    return charts.survival_curves(found.curves, found.falls)


DRAW = (
    {
        "histogram_grid": charts.histogram_grid,
        "violins": charts.violins,
        "success_against_scale": lambda frame: success_against_scale(frame),
        "learning_curves": lambda frame: charts.learning_curves(
            frame, length=frame["length"].drop_nulls().min()
        ),
        "train_loss": lambda frame: charts.learning_curves(frame, "train_loss"),
    }
    | {
        name: functools.partial(of_one_test, name=name)
        for name in ("mixture_grid", "distance_map", "rank_curves", "success_curve", "survival_curves")
    }
    | {
        name: functools.partial(of_one_test, name=name)
        for name in ("loss_comparison", "success_by_threshold")
    }
)


def success_against_scale(frame, threshold=0.2):
    return charts.success_against_scale(summarise(frame, threshold=threshold), scale_column(frame))


def panels(spec):
    """Every single view of a specification, wherever it is nested."""
    parts = [part for key in ("vconcat", "hconcat", "concat", "layer") for part in spec.get(key, [])]
    parts += [spec["spec"]] if "spec" in spec else []
    return [view for part in parts for view in panels(part)] or [spec]


def values(view, spec):
    """Inline data of a view, or of the whole chart where the view has none."""
    data = view.get("data") or spec["data"]
    return data["values"] if "values" in data else spec["datasets"][data["name"]]


# Only the common frame has three cells or more in order of scale, and only some have two scales.
NEEDS = {"rank_curves": ("common",), "success_curve": ("common", "only step 0", "two cells", "grid")}
DRAWN = [(f, c) for f in FRAMES for c in DRAW if f in NEEDS.get(c, FRAMES)]


@pytest.mark.parametrize(("frame", "chart"), DRAWN)
def test_is_valid_json_and_can_be_drawn(frame, chart):
    spec = DRAW[chart](FRAMES[frame]()).to_dict()  # Altair checks it against the schema of Vega-Lite
    text = json.dumps(spec, allow_nan=False)
    svg = vl_convert.vegalite_to_svg(text, show_warnings=False)
    assert svg.count("<path") + svg.count("<rect") > 3
    assert "NaN" not in svg
    assert "undefined" not in svg


def test_more_rows_than_altair_allows_are_no_trouble():
    frame = population_frame([(1, 64), (2, 64)], 131, (30, 40), range(0, 47))
    spec = charts.learning_curves(frame, length=30, most=131).to_dict()
    rows = values(spec["spec"], spec)
    assert sum(len(row["step"]) for row in rows) == 2 * (131 + 3) * 47 > 5000


def test_histograms_hold_every_seed_and_atoms_stand_outside():
    frame = common()
    spec = charts.histogram_grid(frame).to_dict()
    bars = values(spec["spec"], spec)
    assert sum(bar["count"] for bar in bars) == 4 * 4 * 7
    outside = {"exactly 0": lambda bar: bar["right"] < 0, "exactly 1": lambda bar: bar["left"] > 1}
    inside = {"between": lambda bar: 0 <= bar["left"] < bar["right"] <= 1}
    assert {bar["kind"] for bar in bars} == {*outside, *inside}
    assert all((outside | inside)[bar["kind"]](bar) for bar in bars)
    low, high = spec["spec"]["encoding"]["x"]["scale"]["domain"]
    assert all(low < bar["left"] < bar["right"] < high for bar in bars)
    colours = spec["spec"]["encoding"]["color"]["scale"]["range"]
    assert len(set(colours)) == 3


def many_tests():
    """Four splits of four lengths."""
    one = population_frame([(2, 64), (4, 64), (8, 64)], 5, (0, 10, 20, 40), (0, 10))
    return pl.concat([one.with_columns(split=pl.lit(f"a_rather_long_task_{k}/test")) for k in "abcd"])


def test_many_tests_of_several_splits_have_a_grid_each():
    spec = charts.histogram_grid(many_tests()).to_dict()
    assert [grid["title"] for grid in spec["vconcat"]] == [f"a_rather_long_task_{k}/test" for k in "abcd"]
    for grid in spec["vconcat"]:
        assert grid["facet"]["column"]["sort"] == ["length 0", "length 10", "length 20", "length 40"]
    assert sum(bar["count"] for grid in spec["vconcat"] for bar in values(grid, spec)) == 16 * 15


def test_many_cells_with_one_test_stand_side_by_side():
    cells = [(depth, 64) for depth in range(1, 9)]
    spec = charts.histogram_grid(population_frame(cells, 3, (30,), (0, 10))).to_dict()
    assert spec["columns"] == 4
    assert spec["facet"]["sort"] == [f"depth {depth}" for depth, _ in cells]


def test_success_shows_some_of_very_many_tests():
    spec = success_against_scale(many_tests()).to_dict()
    shown = {row["test"] for panel in spec["concat"] for row in values(panel, spec)}
    assert shown == {f"a_rather_long_task_{k}/test, length {n}" for k in "abcd" for n in (0, 40)}


def test_histograms_are_in_order_of_scale_and_test():
    spec = charts.histogram_grid(population_frame([(16, 64), (2, 64)], 3, (100, 30))).to_dict()
    assert spec["facet"]["row"]["sort"] == ["depth 2", "depth 16"]
    assert spec["facet"]["column"]["sort"] == ["length 30", "length 100"]


def test_violins_bars_are_as_wide_as_their_share():
    frame = common()
    scores = final_scores(frame)
    spec = charts.violins(frame).to_dict()
    assert len(spec["concat"]) == 4
    for panel in spec["concat"]:
        body, bars, dots = (values(layer, spec) for layer in panel["layer"])
        for number, label in enumerate(in_order(scores, "label")):
            found = scores.filter(pl.col("label") == label, pl.col("test") == panel["title"])["value"]
            shares = {"exactly 0": (found == 0).mean(), "exactly 1": (found == 1).mean()}
            inside = 1 - sum(shares.values())
            drawn = {bar["kind"]: bar for bar in bars if bar["label"] == label}
            assert set(drawn) == {kind for kind, share in shares.items() if share}
            widths = [bar["right"] - bar["left"] for bar in drawn.values()]
            widths += [max((b["right"] - b["left"] for b in body if b["label"] == label), default=0.0)]
            expected = [shares[kind] for kind in drawn] + [inside]
            assert np.array(widths) / 0.86 == pytest.approx(expected, abs=1e-3)
            assert all(
                (bar["left"] + bar["right"]) / 2 == pytest.approx(number, abs=1e-3) for bar in drawn.values()
            )
            assert sum(dot["label"] == label for dot in dots) == round(inside * len(found))


def test_violins_of_many_seeds_have_no_dots():
    spec = charts.violins(population_frame([(2, 64)], 41, (30,), (0, 7), diverged=0)).to_dict()
    (panel,) = spec["concat"]
    assert values(panel["layer"][2], spec) == []
    assert len(values(panel["layer"][0], spec)) > 0


def test_names_cannot_break_out_of_an_expression():
    spec = charts.violins(nasty()).to_dict()
    axis = spec["concat"][0]["layer"][0]["encoding"]["x"]["axis"]
    listed = axis["labelExpr"].removesuffix("[datum.value]")
    assert any(" ".join(STRANGE.split()) in label for label in json.loads(listed))


def test_success_shows_the_summaries():
    frame = common()
    table = summarise(frame, threshold=0.4)
    spec = success_against_scale(frame, 0.4).to_dict()
    assert "40%" in spec["concat"][0]["title"]
    for panel, name in zip(spec["concat"], ("success", "success_mean"), strict=True):
        rows = values(panel["layer"][0] if "data" in panel["layer"][0] else panel, spec)
        for end, column in (("value", name), ("low", f"{name}_low"), ("high", f"{name}_high")):
            drawn = [np.nan if row[end] is None else row[end] for row in rows]
            assert drawn == pytest.approx(table[column].fill_null(np.nan).to_list(), rel=1e-4, nan_ok=True)


@pytest.mark.parametrize(
    ("cells", "marks", "scale"),
    [
        ([(1, 64), (2, 64), (4, 64)], {"rule", "line", "circle"}, "log"),
        ([(3, 64), (4, 64), (5, 64)], {"rule", "line", "circle"}, None),
        ([(1, 64), (2, 64)], {"rule", "circle"}, None),
        ([(1, 64)], {"rule", "circle"}, None),
        ([(1, 128), (4, 64), (2, 64), (2, 128)], {"rule", "circle"}, None),
    ],
)
def test_lines_join_only_cells_in_a_row(cells, marks, scale):
    spec = success_against_scale(population_frame(cells, 3, (30, 40), (0, 7))).to_dict()
    views = panels(spec)
    assert {view["mark"]["type"] for view in views} == marks
    assert views[0]["encoding"]["x"]["scale"].get("type") == scale


def test_curves_of_every_seed_under_the_quantiles():
    frame = population_frame([(1, 64), (2, 64)], 5, (30,), (0, 7, 11))
    spec = charts.learning_curves(frame).to_dict()
    rows = values(spec["spec"], spec)
    for label in ("depth 1", "depth 2"):
        kinds = [row["kind"] for row in rows if row["label"] == label]
        assert len(kinds) == 5 + 3
        assert kinds.count("diverged seed") == (label == "depth 2")
        assert kinds[-1] == "median seed"  # drawn last, on top
    assert all(row["step"] == [0, 7, 11] for row in rows)
    x = spec["spec"]["encoding"]["x"]
    assert (x["scale"]["type"], x["scale"]["constant"], x["scale"]["domain"]) == ("symlog", 7, [0, 11])


def test_a_diverged_loss_ends_its_line():
    frame = population_frame([(1, 64)], 3, (30,), (0, 7, 11), diverged=1)
    spec = charts.learning_curves(frame, "train_loss").to_dict()
    (lost,) = (row for row in values(spec["spec"], spec) if row["kind"] == "diverged seed")
    assert lost["value"][0] > 0
    assert lost["value"][1:] == [None, None]


def test_widths_of_lines_are_drawn_as_meant():
    """A scale without its type would interpolate between the first two widths."""
    svg = vl_convert.vegalite_to_svg(charts.learning_curves(common(), length=30).to_dict())
    assert {"0.8", "1.2", "2", "3"} <= set(re.findall(r'stroke-width="([\d.]+)"', svg))


def test_colours_are_distinct_and_in_order():
    for n in (1, 2, 3, 8, 15):
        assert len(set(sequential(n))) == n
        assert all(re.fullmatch("#[0-9a-f]{6}", colour) for colour in sequential(n))
    brightness = [sum(int(colour[i : i + 2], 16) for i in (1, 3, 5)) for colour in sequential(8)]
    assert brightness == sorted(brightness)


def test_titles_say_the_unit():
    assert metric_title("train_loss") == "training loss"
    assert metric_title("edit_distance") == "edit distance"


def test_inline_data_knows_no_nan():
    data = inline(pl.DataFrame({"a": [1.0, float("nan"), float("inf"), None, 1 / 3], "b": ["x"] * 5}))
    assert [row["a"] for row in data["values"]] == [1.0, None, None, None, 0.33333]


@pytest.mark.parametrize("draw", DRAW.values())
def test_refuses_a_metric_that_is_not_there(draw):
    frame = population_frame([(1, 64)], 2).filter(pl.col("metric") == "answer_nll")
    with pytest.raises(ValueError, match="is not in the frame, which has answer_nll"):
        draw(frame)


def test_the_mixture_chart_draws_what_was_fitted():
    frame = population_frame([(1, 64), (4, 64)], 31, (30,), (0, 7))
    fits = mixtures(frame)
    spec = charts.mixture_grid(frame, fits.curves).to_dict()
    rows = pl.DataFrame(values(spec["spec"], spec), infer_schema_length=None)
    for label in ("depth 1", "depth 4"):
        drawn, curve = rows.filter(label=label), fits.curves.filter(label=label)
        assert drawn.filter(mark="bar")["share"].sum() == pytest.approx(1, abs=1e-4)
        inside = curve.filter(kind="between")
        assert drawn.filter(mark="line")["share"].to_list() == pytest.approx(
            inside["expected"].to_list(), rel=1e-4
        )
        cut = curve["cut"][0]
        assert drawn.filter(mark="cut")["left"].to_list() == (
            [] if cut is None else pytest.approx([cut], rel=1e-4)
        )


def test_the_map_shows_every_pair_once_each_way():
    frame = population_frame([(1, 64), (2, 64), (4, 64)], 13, (30,), (0, 7))
    pairs = distances(frame, permutations=19)
    spec = charts.distance_map(pairs).to_dict()
    rows = values(spec["layer"][0] if "data" in spec["layer"][0] else spec, spec)
    assert [(r["first"], r["second"]) for r in rows] == pairs.select("first", "second").rows()
    assert [r["distance"] for r in rows] == pytest.approx(pairs["distance"].to_list(), rel=1e-4)


def test_ranked_seeds_are_drawn_with_their_numbers():
    frame = population_frame([(1, 64), (2, 64), (4, 64)], 13, (30,), (0, 7))
    curves = rank_curves(frame, top=3)
    spec = charts.rank_curves(curves, "depth").to_dict()
    for panel, ranking in zip(spec["hconcat"], ("breakthroughness", "linearity"), strict=True):
        rows = values(panel["layer"][0] if "data" in panel["layer"][0] else panel, spec)
        expected = curves.filter(ranking=ranking)
        assert [(r["scale"], r["place"]) for r in rows] == expected.select("scale", "place").rows()
        assert [r["value"] for r in rows] == pytest.approx(expected["value"].to_list(), rel=1e-4)
        first = expected.row(0, named=True)
        assert rows[0]["seed"].startswith(f"seed {first['init_seed']}, {ranking[0].upper()} = ")


def test_the_null_chart_has_every_seed_twice():
    frame = population_frame([(1, 64), (2, 64), (4, 64)], 13, (30,), (0, 7), diverged=1)
    found = compare_with_loss(frame)
    spec = charts.loss_comparison(found).to_dict()
    for panel, metric in zip(spec["hconcat"], ("exact_match", "train_loss"), strict=True):
        rows = [row for row in values(panel, spec) if row["share"] is not None]
        expected = found.bins.filter(metric=metric)
        assert [(r["label"], r["share"]) for r in rows] == [
            (label, pytest.approx(share, rel=1e-4))
            for label, share in expected.select("label", "share").rows()
        ]
        assert panel["facet"]["row"]["sort"] == ["depth 1", "depth 2", "depth 4"]


def test_losses_over_decades_are_on_a_log_axis():
    frame = population_frame([(1, 64)], 13, (30,), (0, 7), diverged=0)
    loss = pl.col("metric") == "train_loss"
    for power, kind in ((3.0, "log"), (0.0, None)):
        spread = 10 ** (power * pl.col("init_seed") / 12) + 0.01 * pl.col("init_seed")
        wide = frame.with_columns(value=pl.when(loss).then(spread).otherwise("value"))
        spec = charts.loss_comparison(compare_with_loss(wide)).to_dict()
        assert spec["hconcat"][1]["spec"]["encoding"]["x"]["scale"].get("type") == kind


def test_correlations_are_drawn_as_found():
    frame = population_frame([(1, 64), (2, 64), (4, 64)], 13, (30,), (0, 7))
    pairs = correlations(frame, "scale")
    spec = charts.correlation_maps({"cells": pairs, "again": pairs}).to_dict()
    assert [panel["title"] for panel in spec["concat"]] == ["cells", "again"]
    four = charts.correlation_maps(dict.fromkeys("abcd", pairs)).to_dict()
    assert (spec["columns"], four["columns"]) == (2, 2)  # four in one row would be too narrow
    for panel in spec["concat"]:
        rows = values(panel["layer"][0] if "data" in panel["layer"][0] else panel, spec)
        assert [r["correlation"] for r in rows] == pytest.approx(pairs["correlation"].to_list(), rel=1e-4)
    svg = vl_convert.vegalite_to_svg(json.dumps(spec), show_warnings=False)
    shown = [f"{value:.2f}".replace("-", "\N{MINUS SIGN}") for value in pairs["correlation"]]
    assert all(svg.count(f">{text}<") >= 2 for text in shown)


def test_shares_of_variance_are_drawn_with_their_intervals():
    frame = population_frame([(1, 64), (2, 64)], 12, (30,), (0, 7), diverged=0)
    seed = pl.col("init_seed")
    shares = variance_shares(frame.with_columns(init_seed=seed // 4, data_seed=seed % 4))
    spec = charts.variance_shares(shares).to_dict()
    rows = values(spec["layer"][0] if "data" in spec["layer"][0] else spec, spec)
    for column in ("share", "low", "high"):
        drawn = [np.nan if row[column] is None else row[column] for row in rows]
        known = shares[column].fill_null(np.nan).to_list()
        assert drawn == pytest.approx(known, rel=1e-4, abs=1e-9, nan_ok=True)
    assert "<path" in vl_convert.vegalite_to_svg(json.dumps(spec))


def test_the_success_chart_draws_the_fit_over_the_cells():
    frame = population_frame([(1, 64), (2, 64), (4, 64)], 31, (30,), (0, 7))
    fit = success_fit(frame, resamples=9)
    spec = charts.success_curve(fit).to_dict()
    layers = [values(view, spec) for view in spec["hconcat"][0]["layer"]]
    lines = fit.lines()
    assert [row["value"] for row in layers[0]] == pytest.approx(lines["value"].to_list(), rel=1e-4)
    assert [row["value"] for row in layers[2]] == pytest.approx(fit.cells["success"].to_list(), rel=1e-4)
    law = values(spec["hconcat"][1]["layer"][0], spec)
    assert [row["value"] for row in law] == pytest.approx(fit.means()["value"].to_list(), rel=1e-4)


def test_of_very_many_steps_some_are_drawn_and_the_last_of_every_run():
    few = population_frame([(2, 64)], 3, (30,), range(0, 250), diverged=0)
    assert some_steps(few) is few
    many = population_frame([(2, 64)], 3, (30,), range(0, 3000), diverged=0)
    short = (pl.col("init_seed") != 1) | (pl.col("step") <= 1234)
    drawn = some_steps(many.filter(short))
    assert drawn.group_by("init_seed").agg(pl.col("step").max()).sort("init_seed")["step"].to_list() == [
        2999,
        1234,
        2999,
    ]
    kept = drawn["step"].unique().sort().to_list()
    assert len(kept) <= STEPS + 1
    assert kept[:5] == [0, 1, 2, 3, 4]
    assert max(np.diff(kept)) <= 3000 / 124 + 1
