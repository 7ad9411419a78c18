"""Summaries, histograms, densities and two-sidedness of whole frames."""

import numpy as np
import polars as pl
import pytest

from jaxemerge.analysis import density, histogram, primary_test, summarise, two_sided
from jaxemerge.analysis.distribution import NARROWEST, WIDEST, bandwidth, reflected_density
from jaxemerge.stats import success_interval, summaries, two_sidedness
from synthetic import population_frame

ESTIMATES = ("mode", "mean", "success", "success_mean")


def scored(*populations):
    """One cell per list of scores, depth 1, 2, ..., one test of length 30."""
    frames = []
    for depth, scores in enumerate(populations, start=1):
        frame = population_frame([(depth, 64)], len(scores), (30,), (0, 7), diverged=0)
        given = pl.DataFrame({"init_seed": range(len(scores)), "score": [float(score) for score in scores]})
        exact = (pl.col("metric") == "exact_match") & (pl.col("step") == 7)
        value = pl.when(exact).then("score").otherwise("value")
        frames.append(frame.join(given, on="init_seed").with_columns(value=value).drop("score"))
    return pl.concat(frames)


def test_every_row_is_the_summary_of_its_scores():
    frame = population_frame(seeds=7, diverged=2)
    table = summarise(frame, threshold=0.3, key=5, resamples=101)
    assert table.height == 4 * 4
    last = frame.filter(pl.col("step") == 600, pl.col("metric") == "exact_match")
    for row in table.iter_rows(named=True):
        scores = last.filter(pl.col("cell") == row["cell"], pl.col("length") == row["length"])["value"]
        found = summaries(scores.to_numpy(), 0.3, key=5, resamples=101)
        for name in ESTIMATES:
            estimate = getattr(found, name)
            numbers = (estimate.value, estimate.interval.low, estimate.interval.high)
            expected = tuple(None if np.isnan(number) else number for number in numbers)
            assert tuple(row[name + end] for end in ("", "_low", "_high")) == expected
        above = success_interval(int((scores > 0.5).sum()), 7)
        assert (row["above_half_low"], row["above_half_high"]) == (above.low, above.high)
        assert (row["seeds"], row["threshold"], row["trials"]) == (7, 0.3, 151 - row["length"])
        assert row["diverged"] == (2 if row["depth"] == 8 else 0)


def test_runs_of_a_crossed_design_share_seeds():
    frame = population_frame([(4, 64)], 15, (30,), diverged=0)
    crossed = frame.with_columns(init_seed=pl.col("init_seed") // 5, data_seed=pl.col("init_seed") % 5)
    row = summarise(crossed, threshold=0.3).row(0, named=True)
    scores = crossed.filter(pl.col("step") == 600, pl.col("metric") == "exact_match")
    groups = scores.select("init_seed", "data_seed").to_numpy()
    found = summaries(scores["value"].to_numpy(), 0.3, groups=groups)
    alone = summarise(frame, threshold=0.3).row(0, named=True)
    assert row["success"] == alone["success"]
    assert (row["success_low"], row["success_high"]) == (
        found.success.interval.low,
        found.success.interval.high,
    )
    assert row["success_high"] - row["success_low"] > alone["success_high"] - alone["success_low"]


def test_a_cells_numbers_do_not_depend_on_its_neighbours():
    frame = population_frame(seeds=5)
    alone = summarise(frame.filter(pl.col("depth") == 4))
    beside = summarise(frame).filter(pl.col("depth") == 4)
    numbers = [name + end for name in ESTIMATES for end in ("", "_low", "_high")]
    assert alone.select(numbers).equals(beside.select(numbers))


def test_undefined_numbers_are_null_not_nan():
    table = summarise(scored([0.0, 0.0, 0.1], [0.9]))
    assert table["success_mean"].to_list() == [None, 0.9]
    assert table["mean_low"].to_list()[1] is None
    assert table.select(pl.selectors.float().is_nan().any()).row(0) == (False,) * len(
        table.select(pl.selectors.float()).columns
    )


def test_swept_columns_come_along():
    frame = population_frame([(4, 64)] * 2, 3, (30,), extra={"learning_rate": [1e-3, 3e-3]}, diverged=0)
    assert summarise(frame, resamples=11).select("learning_rate", "label").rows() == [
        (1e-3, "lr 1e-3"),
        (3e-3, "lr 3e-3"),
    ]


def test_refuses_metrics_that_are_no_shares():
    large = population_frame(seeds=3, diverged=0).with_columns(value=pl.col("value") + 3)
    with pytest.raises(ValueError, match=r"values from 3.* must be scores in \[0, 1\]"):
        summarise(large, "train_loss")
    with pytest.raises(ValueError, match=r"threshold=2 must lie in \(0, 1\]"):
        summarise(population_frame(seeds=3), threshold=2)


def test_histogram_keeps_atoms_apart():
    bars = histogram(scored([0, 0, np.nan, 0.001, 0.25, 0.2501, 0.999, 1]), bins=4)
    assert bars.select("kind", "low", "high", "count").rows() == [
        ("exactly 0", 0.0, 0.0, 3),
        ("between", 0.0, 0.25, 1),
        ("between", 0.25, 0.5, 2),
        ("between", 0.75, 1.0, 1),
        ("exactly 1", 1.0, 1.0, 1),
    ]
    assert bars["share"].to_list() == [3 / 8, 1 / 8, 2 / 8, 1 / 8, 1 / 8]


def test_histogram_counts_every_seed_of_every_test_once():
    bars = histogram(population_frame(seeds=13))
    counts = bars.group_by("cell", "length").agg(pl.col("count").sum(), pl.col("share").sum())
    assert counts["count"].to_list() == [13] * 16
    assert counts["share"].to_list() == pytest.approx([1.0] * 16)


def test_histogram_agrees_with_numpy():
    scores = np.random.default_rng(2).random(101) * 0.98 + 0.01
    bars = histogram(scored(scores), bins=7)
    counts, _ = np.histogram(scores, bins=7, range=(0, 1))
    assert bars["count"].to_list() == [count for count in counts if count]


def test_density_integrates_to_one_within_the_unit_interval():
    rng = np.random.default_rng(0)
    shapes = density(scored(rng.random(29) * 0.1 + 0.001, [0.5], rng.beta(9, 2, 251)), points=201)
    for _, shape in shapes.group_by("cell"):
        assert np.trapezoid(shape["density"], shape["value"]) == pytest.approx(1, abs=0.005)
        assert shape["value"].min() == 0
        assert shape["value"].max() == 1


def test_density_follows_the_scores():
    shapes = density(scored([0.8] * 5 + [0.78, 0.83], [0, 0, 1]), points=101)
    assert shapes["label"].unique().to_list() == ["depth 1"]  # the other has atoms only
    assert shapes["value"][int(shapes["density"].arg_max())] == pytest.approx(0.8, abs=0.02)
    assert set(shapes["share"]) == {1.0}


def test_share_is_what_lies_strictly_inside():
    assert set(density(scored([0, 0.3, 0.4, 1, np.nan]))["share"]) == {2 / 5}


def test_density_reflects_at_both_ends():
    """Mass at the very end: half of a plain kernel would lie outside, here none does."""
    grid = np.array([0.0])
    width = bandwidth(np.array([0.0]))
    assert reflected_density(np.array([0.0]), grid)[0] == pytest.approx(2 / (width * np.sqrt(2 * np.pi)))


def test_bandwidth_keeps_its_bounds():
    assert bandwidth(np.array([0.4])) == WIDEST
    assert bandwidth(np.full(9, 0.4)) == NARROWEST
    assert bandwidth(np.array([0.0, 0.0, 1.0, 1.0])) == WIDEST
    scores = np.random.default_rng(1).normal(0.5, 0.1, 1009)
    assert bandwidth(scores) == pytest.approx(0.9 * 0.1 * 1009**-0.2, rel=0.1)


def test_most_two_sided_comes_first():
    sides = two_sided(scored([0] * 10, [0] * 5 + [0.9] * 5, [0] * 2 + [0.9] * 8, [0.2] * 10))
    assert sides["label"].to_list()[:2] == ["depth 2", "depth 3"]
    assert sides.filter(pl.col("label") == "depth 3").select("seeds", "zeros", "failed", "succeeded").row(
        0
    ) == (*(10, 2, 2, 8),)
    assert sides["two_sidedness"].to_list() == pytest.approx([0.5, 0.2, 0, 0])


def test_two_sidedness_is_that_of_the_statistics():
    scores = np.random.default_rng(3).random(97).round(2)
    found = two_sided(scored(scores, scores**3), near_zero=0.2, high=0.6)
    expected = {"depth 1": two_sidedness(scores, 0.2, 0.6), "depth 2": two_sidedness(scores**3, 0.2, 0.6)}
    assert dict(found.select("label", "two_sidedness").rows()) == pytest.approx(expected)


def test_two_sided_has_strict_bounds():
    sides = two_sided(scored([0.05, 0.1, 0.3, 0.31]))
    assert sides.select("zeros", "failed", "succeeded").row(0) == (0, 1, 1)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda f: histogram(f, bins=0), "bins=0 must be at least 1"),
        (lambda f: density(f, points=1), "points=1 must be at least 2"),
        (
            lambda f: two_sided(f, near_zero=0.5),
            "near_zero=0.5, high=0.3: 0 <= near_zero <= high < 1 must hold",
        ),
        (lambda f: two_sided(f, high=1), "near_zero=0.1, high=1: 0 <= near_zero <= high < 1 must hold"),
    ],
)
def test_refuses_what_is_out_of_range(call, message):
    with pytest.raises(ValueError, match=message):
        call(population_frame(seeds=2))


def at_lengths(*shares):
    """Three cells of 20 seeds; at each of these lengths a share of all seeds succeeds."""
    frame = population_frame(
        [(1, 64), (2, 64), (4, 64)], 20, [length for length, _ in shares], (7,), diverged=0
    )
    place = (pl.col("depth").log(2) * 20 + pl.col("init_seed")) / 60
    score = pl.lit(0.0)
    for length, share in shares:
        score = pl.when(length=length).then((place < share - 1e-9) * 0.9).otherwise(score)
    return frame.with_columns(value=pl.when(metric="exact_match").then(score).otherwise("value"))


@pytest.mark.parametrize(
    ("shares", "length"),
    [
        (((20, 0.9), (30, 0.4), (40, 0.1), (50, 0.0)), 40),
        (((20, 0.9), (30, 0.4), (40, 1 / 60)), 30),
        (((20, 1.0), (30, 0.0)), 30),
        (((20, 58 / 60), (30, 0.0)), 20),
        (((20, 1.0), (30, 0.5), (40, 1.0)), 30),
    ],
)
def test_the_primary_test_is_the_longest_that_some_pass_and_some_fail(shares, length):
    assert primary_test(at_lengths(*shares)) == ("test", length)


def test_which_seed_is_in_which_cell_plays_no_part():
    frame = at_lengths((20, 0.9), (30, 0.4), (40, 0.1))
    dealt = frame.with_columns(pl.col("value").shuffle(3).over("length", "metric"))
    assert primary_test(dealt) == primary_test(frame)


def test_the_test_given_is_taken():
    frame = at_lengths((20, 0.9), (30, 0.4))
    assert primary_test(frame, length=20) == ("test", 20)
    with pytest.raises(ValueError, match=r"length=25: no test of exact_match; choose one of \[\('test', 20"):
        primary_test(frame, length=25)
