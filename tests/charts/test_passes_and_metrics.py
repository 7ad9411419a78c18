"""Charts of emergence and of pass rates hold the numbers they are given, and can be drawn."""

import json
import re

import numpy as np
import polars as pl
import pytest
import vl_convert

from jaxemerge import charts
from jaxemerge.analysis import (
    emergence_scores,
    induced,
    metric_means,
    per_token,
    resolution,
    smaller_tests,
)
from jaxemerge.stats import fit_task_scaling, predict_from_loss, success_interval
from synthetic import population_frame

SCALES = np.array([0.1, 0.3, 1.0, 3.0]) * 1e9
SAMPLES = 500


def items():
    """Rates and passes [I, N] of five items."""
    c, alpha = np.array([[0.5], [1.0], [2.0], [4.0], [30.0]]), np.linspace(0.4, 0.8, 5)[:, None]
    p = np.exp(-c * (SCALES / 1e9) ** -alpha)
    return p, np.random.default_rng(0).binomial(SAMPLES, p)


def texts(chart):
    spec = json.dumps(chart.to_dict(), allow_nan=False)
    return vl_convert.vegalite_to_svg(spec, show_warnings=False)


def data(view, spec, above=None):
    """Inline data of a view, or of what it is in."""
    found = view.get("data") or (above or spec)["data"]
    rows = found["values"] if "values" in found else spec["datasets"][found["name"]]
    return pl.DataFrame(rows, infer_schema_length=None)


def test_the_law_is_drawn_on_both_axes():
    _, passes = items()
    k = passes[0]
    law = fit_task_scaling(SCALES[:-1], counts=(k[:-1], SAMPLES), bootstraps=50)
    ends = success_interval(k, SAMPLES)
    rates = pl.DataFrame(
        {"scale": SCALES, "value": k / SAMPLES, "low": ends.low, "high": ends.high}
        | {"unseen": k == 0, "held_out": SCALES[-1] == SCALES}
    )
    chart = charts.task_scaling(rates, law)
    spec = chart.to_dict()
    left, right = spec["hconcat"]
    for panel, change in ((left, lambda p: p), (right, lambda p: np.log(-np.log(p)))):
        line, cells = (data(panel["layer"][i], spec, panel) for i in (1, 3))
        at = law.predict(line["scale"].to_numpy()).value
        np.testing.assert_allclose(line["value"].to_numpy(), change(at), rtol=1e-3, atol=1e-4)
        np.testing.assert_allclose(cells["value"].to_numpy(), change(k / SAMPLES), rtol=1e-4)
        assert cells["kind"].to_list() == ["fitted"] * 3 + ["held out"]
    assert right["layer"][1]["encoding"]["y"]["scale"]["reverse"]
    svg = texts(chart)
    assert "held out" in svg
    heights = [float(y) for y in re.findall(r'role-title"><g transform="translate\([^,]+,([^)]+)\)', svg)]
    assert len(heights) == 2
    assert abs(heights[0] - heights[1]) <= 1  # pixel: the titles are on one line


def test_rates_that_were_never_seen_are_at_their_limit():
    passes = np.array([0, 0, 3, 40])
    law = fit_task_scaling(SCALES, counts=(passes, SAMPLES), bootstraps=0)
    ends = success_interval(passes, SAMPLES)
    rates = pl.DataFrame(
        {"scale": SCALES, "value": passes / SAMPLES, "low": ends.low, "high": ends.high}
        | {"unseen": passes == 0, "held_out": [False] * 4}
    )
    chart = charts.task_scaling(rates, law, band=False)
    spec = chart.to_dict()
    cells = data(spec["hconcat"][0]["layer"][1], spec)
    assert cells["value"].to_list()[:2] == pytest.approx(list(ends.high[:2]), rel=1e-4)
    assert "NaN" not in texts(chart)


def test_every_item_has_its_panel():
    _, passes = items()
    law = fit_task_scaling(SCALES, counts=(passes, SAMPLES), bootstraps=0)
    ends, fitted = success_interval(passes, SAMPLES), law.predict(SCALES).value
    rows = [
        {"item": f"item {i}", "scale": SCALES[j], "value": passes[i, j] / SAMPLES, "low": ends.low[i, j]}
        | {"high": ends.high[i, j], "unseen": bool(passes[i, j] == 0), "fitted": float(fitted[i, j])}
        | {"growth": str(law.growth.name[i])}
        for i in range(5)
        for j in range(4)
    ]
    chart = charts.instance_grid(pl.DataFrame(rows))
    spec = chart.to_dict()
    assert spec["facet"]["sort"] == [f"item {i}" for i in range(5)]
    drawn = data(spec, spec)
    at = [np.log(-np.log(row["fitted"])) for row in rows if row["fitted"] > 1e-9]
    np.testing.assert_allclose(drawn["fitted"].to_numpy()[: len(at)], at, rtol=1e-3)
    assert texts(chart).count("item ") >= 5


def test_rates_against_loss_and_growth():
    p, passes = items()
    loss = -np.log(p)
    ends = success_interval(passes, SAMPLES)
    found = predict_from_loss(SCALES, loss, (passes, SAMPLES), [1e10], bootstraps=20)
    places = np.geomspace(loss.min(), loss.max(), 20)
    points = pl.DataFrame(
        {"label": [f"{n:g}" for n in SCALES] * 5, "loss": loss.ravel(), "value": passes.ravel() / SAMPLES}
        | {"high": ends.high.ravel(), "unseen": passes.ravel() == 0}
    )
    curve = pl.DataFrame({"loss": places, "value": found.rate_at(places)})
    assert texts(charts.rate_against_loss(points, curve)).count("<path") > 20
    growth = fit_task_scaling(SCALES, counts=(passes, SAMPLES), bootstraps=0).growth
    names = [f"item {i}" for i in range(5)]
    bend = growth.bend
    table = pl.DataFrame(
        {"name": names, "bend": bend.value, "low": bend.interval.low, "high": bend.interval.high}
        | {"growth": growth.name, "margin": [growth.margin] * 5}
    )
    chart = charts.growth_classes(table)
    spec = chart.to_dict()
    drawn = data(spec["layer"][1], spec)
    assert drawn["name"].to_list() == names
    assert drawn["low"].drop_nulls().len() == 4  # infinite ends go to the edge; one item has no pass
    texts(chart)


@pytest.fixture(scope="module")
def frame():
    return population_frame([(d, 64) for d in (1, 2, 4)], 7, (60,), (0, 7), diverged=1)


def test_every_metric_has_its_panel_and_score(frame):
    means, scores = metric_means(frame, length=60), emergence_scores(frame, permutations=9)
    chart = charts.metric_panel(means, scores, "depth")
    known = dict(scores.select("metric", "score").rows())
    spec = chart.to_dict()
    panels = spec["concat"]
    assert len(panels) == 3
    for panel, metric in zip(panels, ("exact_match", "token_accuracy", "answer_nll"), strict=True):
        assert panel["title"] == f"{metric.replace('_', ' ')}, emergence score {known[metric]:.3g}"
        rows = data(panel["layer"][0], spec, panel)
        expected = means.filter(metric=metric)["value"].to_list()
        assert rows["value"].to_list() == pytest.approx(expected, rel=1e-4)
    texts(chart)


def test_resolution_shows_the_limits(frame):
    seen, smaller = resolution(frame), smaller_tests(frame)
    chart = charts.resolution_panel(seen, smaller, "depth")
    spec = chart.to_dict()
    left, right = spec["hconcat"]
    limits = data(left["layer"][0], spec)
    assert limits.filter(variable="smallest")["value"].to_list() == pytest.approx([1 / 91] * 3, rel=1e-4)
    cells = data(left["layer"][1], spec)
    for row, known in zip(cells.rows(named=True), seen.rows(named=True), strict=True):
        at = known["seeds_limit"] if known["value"] == 0 else known["value"]
        assert row["value"] == pytest.approx(at, rel=1e-4)
        assert row["zero"] == (known["value"] == 0)
    assert data(right, spec)["zero"].to_list() == pytest.approx(smaller["zero"].to_list(), rel=1e-4, abs=1e-9)
    assert "95% limit of a seed" in texts(chart)


def test_models_of_tokens_lie_over_what_was_measured(frame):
    both = population_frame([(1, 64), (2, 64), (4, 64)], 7, (30, 60), (0, 7))
    table = per_token(both)
    chart = charts.per_token_models(table, "depth")
    spec = chart.to_dict()
    for panel, measured, models in zip(
        spec["hconcat"],
        ("exact", "wrong"),
        (["exact_fitted", "exact_model"], ["wrong_fitted"]),
        strict=True,
    ):
        line, dot = (data(layer, spec, panel) for layer in panel["layer"])
        assert dot["tokens"].to_list() == table["tokens"].to_list()
        assert dot["value"].to_list() == pytest.approx(table[measured].to_list(), rel=1e-4)
        for model, part in zip(models, line.partition_by("model", maintain_order=True), strict=True):
            assert part["value"].to_list() == pytest.approx(table[model].to_list(), rel=1e-4, abs=1e-9)
    assert "tokens of the answer" in texts(chart)
    one = charts.per_token_models(per_token(frame), "depth")  # of one length: against scale
    assert "depth (layers)" in texts(one)
    assert "tokens of the answer" not in texts(one)


def test_sharper_versions_are_told_apart(frame):
    table = induced(frame, length=60, thresholds=(0.5, 0.9), groups=(1, 2))
    chart = charts.induced_versions(table, "depth")
    spec = chart.to_dict()
    versions = [["token accuracy", "at least 0.5", "at least 0.9"], ["all of 1", "all of 2"]]
    for panel, names in zip(spec["hconcat"], versions, strict=True):
        drawn = data(panel["layer"][0], spec, panel)
        assert drawn["version"].unique(maintain_order=True).to_list() == names
    left = data(spec["hconcat"][0]["layer"][0], spec, spec["hconcat"][0])
    expected = table.filter(~pl.col("metric").str.starts_with("all"))["value"].to_list()
    assert left["value"].to_list() == pytest.approx(expected, rel=1e-4)
    texts(chart)
    few = charts.induced_versions(table.filter(metric="token_accuracy"), "depth")
    assert len(few.to_dict()["hconcat"]) == 1
