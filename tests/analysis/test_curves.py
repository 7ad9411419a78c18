"""Learning curves, their quantiles, and which of many seeds are drawn."""

import numpy as np
import polars as pl
import pytest

from jaxemerge.analysis import curve_quantiles, learning_curves, representative_curves
from synthetic import population_frame


def test_one_test_in_order():
    frame = population_frame([(2, 64), (1, 64)], seeds=3, lengths=(30, 40), steps=(0, 7, 11), diverged=0)
    curves = learning_curves(frame.sample(fraction=1, shuffle=True, seed=0), length=40)
    assert curves.select("label", "init_seed", "step").rows() == [
        (label, seed, step) for label in ("depth 1", "depth 2") for seed in range(3) for step in (0, 7, 11)
    ]
    wanted = frame.filter(
        pl.col("metric") == "exact_match",
        pl.col("length") == 40,
        pl.col("depth") == 1,
        pl.col("init_seed") == 2,
    )
    assert curves.filter(pl.col("label") == "depth 1", pl.col("init_seed") == 2)["value"].equals(
        wanted["value"]
    )


def test_a_metric_without_length_needs_no_choice():
    frame = population_frame([(1, 64)], seeds=3, diverged=0)
    assert learning_curves(frame, "train_loss").height == 3 * 8


@pytest.mark.parametrize(
    ("where", "message"),
    [
        (
            {},
            r"2 tests of exact_match; choose one of \[\('test', 30\), \('test', 40\)\]",
        ),
        ({"length": 50}, "split=None, length=50: 0 tests of exact_match"),
        ({"split": "train", "length": 30}, "split='train', length=30: 0 tests"),
    ],
)
def test_refuses_a_choice_that_is_none(where, message):
    with pytest.raises(ValueError, match=message):
        learning_curves(population_frame([(1, 64)], seeds=2, lengths=(30, 40)), **where)


@pytest.mark.parametrize("missing", [None, float("nan")])
def test_diverged_seeds_are_at_the_worst_value(missing):
    frame = population_frame([(1, 64)], seeds=5, lengths=(30,), diverged=2)
    frame = frame.with_columns(value=pl.when(pl.col("diverged")).then(missing).otherwise("value"))
    scores, losses = (
        learning_curves(frame, metric).filter("diverged")["value"] for metric in ("exact_match", "answer_nll")
    )
    assert set(scores) == {0.0}
    assert set(losses) == {float("inf")}


def test_quantiles_are_seeds_values_and_count_the_diverged():
    frame = population_frame([(1, 64)], seeds=11, lengths=(30,), steps=(0, 7), diverged=2)
    quantiles = curve_quantiles(learning_curves(frame, "train_loss"))
    assert quantiles["seeds"].to_list() == [11, 11]
    last = frame.filter(pl.col("metric") == "train_loss", pl.col("step") == 7)["value"]
    ranked = sorted(last.fill_nan(float("inf")))
    row = quantiles.row(1, named=True)
    assert (row["low"], row["median"]) == (ranked[1], ranked[5])
    assert row["high"] is None  # two of eleven diverged: the 90 % quantile is one of them


def test_few_seeds_are_all_kept():
    curves = learning_curves(population_frame([(1, 64)], seeds=7), length=30)
    assert representative_curves(curves, most=7).equals(curves)


def test_of_many_seeds_the_ranks_are_spread_evenly():
    frame = population_frame([(1, 64), (2, 64)], seeds=101, lengths=(30,), steps=(0, 7), diverged=0)
    curves = learning_curves(frame, "train_loss")
    kept = representative_curves(curves, most=11)
    assert kept.height == 2 * 11 * 2
    for label in ("depth 1", "depth 2"):
        last = curves.filter(pl.col("label") == label, pl.col("step") == 7)["value"]
        some = kept.filter(pl.col("label") == label, pl.col("step") == 7)["value"]
        assert sorted(some) == np.sort(last)[::10].tolist()


@pytest.mark.parametrize("seeds", [61, 97, 250])
def test_never_more_seeds_than_asked_for(seeds):
    curves = learning_curves(population_frame([(1, 64)], seeds, (30,), (0, 7)), length=30)
    assert representative_curves(curves).n_unique(["init_seed"]) == 60


def test_refuses_to_draw_fewer_than_two():
    with pytest.raises(ValueError, match="most=1 must be at least 2"):
        representative_curves(learning_curves(population_frame(seeds=2), length=30), most=1)
