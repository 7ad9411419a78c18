"""Scale curves of single seeds are those the definitions rank highest."""

import numpy as np
import polars as pl
import pytest

from jaxemerge.analysis import rank_curves
from synthetic import population_frame

CELLS = [(1, 64), (2, 64), (4, 64), (8, 64)]
# Straight, a jump after the second scale, flat at 0, and falling.
PLANTED = ([0.1, 0.3, 0.5, 0.7], [0.0, 0.0, 0.9, 0.9], [0.0] * 4, [0.8, 0.4, 0.2, 0.0])
RESOLUTION = 1 / 121  # 151 - 30 items


def planted():
    frame = population_frame(CELLS, len(PLANTED), (30, 40), (0, 7), diverged=0)
    values = [(d, s, PLANTED[s][i]) for i, (d, _) in enumerate(CELLS) for s in range(len(PLANTED))]
    given = pl.DataFrame(
        values, schema={"depth": pl.Int32, "init_seed": pl.Int64, "score": pl.Float64}, orient="row"
    )
    exact = (pl.col("metric") == "exact_match") & (pl.col("step") == 7)
    joined = frame.join(given, on=["depth", "init_seed"])
    return joined.with_columns(value=pl.when(exact).then("score").otherwise("value")).drop("score")


def leaders(curves, ranking):
    of = curves.filter(pl.col("ranking") == ranking)
    return of.unique("place", maintain_order=True)["init_seed"].to_list()


def test_ranks_the_planted_curves():
    curves = rank_curves(planted(), top=3, length=30)
    assert leaders(curves, "breakthroughness") == [1, 0, 2]
    assert leaders(curves, "linearity") == [0, 1, 2]
    jump = curves.filter(pl.col("ranking") == "breakthroughness", pl.col("place") == 1)
    assert jump["value"].to_list() == PLANTED[1]
    assert jump["scale"].to_list() == [1, 2, 4, 8]
    assert jump["label"].to_list() == ["depth 1", "depth 2", "depth 4", "depth 8"]


def test_of_falling_curves_the_one_that_falls_most_suddenly_leads():
    mirrored = planted().with_columns(
        value=pl.when(pl.col("metric") == "exact_match").then(1 - pl.col("value")).otherwise("value")
    )
    curves = rank_curves(mirrored, top=3, length=30)
    assert leaders(curves, "breakthroughness")[0] == 1
    assert leaders(curves, "linearity")[:2] == [0, 1]


def test_numbers_by_hand():
    curves = rank_curves(planted(), length=30).unique("init_seed").sort("init_seed")
    assert curves["init_seed"].to_list() == [0, 1, 2, 3]  # fewer seeds than asked for: all of them
    sudden, steady = [], []
    for y in PLANTED:
        steps = np.diff(y)
        rise = np.sign(np.argmax(y) - np.argmin(y)) * np.ptp(y)
        sudden.append(rise / max(np.sqrt(np.median(steps**2)), RESOLUTION))
        steady.append(rise / max(np.sqrt(np.mean(steps**2)), RESOLUTION))
    assert curves["breakthroughness"].to_list() == pytest.approx(sudden)
    assert curves["linearity"].to_list() == pytest.approx(steady)


def test_without_trials_flat_curves_come_last():
    curves = rank_curves(planted().with_columns(trials=pl.lit(None, pl.Int32)), top=4, length=30)
    assert leaders(curves, "breakthroughness") == [1, 0, 3, 2]
    assert curves.filter(pl.col("place") == 1)["breakthroughness"].max() == np.inf


def test_only_seeds_of_every_cell_have_a_curve():
    frame = planted().filter((pl.col("depth") != 2) | (pl.col("init_seed") != 1))
    assert leaders(rank_curves(frame, length=30), "breakthroughness") == [0, 2, 3]
    apart = planted().filter((pl.col("depth") < 2) == (pl.col("init_seed") < 1))
    assert rank_curves(apart, length=30).is_empty()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda f: rank_curves(f, top=0, length=30), "top=0 must be at least 1"),
        (lambda f: rank_curves(f), r"split=None, length=None: 2 tests of exact_match; choose one of \["),
        (
            lambda f: rank_curves(f.filter(pl.col("depth") < 4), length=30),
            "cells depth 1, depth 2 form no curve; three or more in order of one scale are needed",
        ),
    ],
)
def test_refuses(call, message):
    with pytest.raises(ValueError, match=message):
        call(planted())
