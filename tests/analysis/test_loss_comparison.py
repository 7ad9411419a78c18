"""The shape of the scores beside the shape of the losses: planted lumps are told from their absence."""

import numpy as np
import polars as pl
import pytest
from scipy.stats import spearmanr

from jaxemerge.analysis import compare_with_loss
from synthetic import population_frame

SEEDS = 120


def planted(score, loss):
    """One cell whose final scores and losses are given, one per seed; NaN has diverged."""
    frame = population_frame([(2, 64)], len(score), (30,), (0, 7), diverged=0)
    given = pl.DataFrame({"init_seed": np.arange(len(score)), "score": score, "loss": loss})
    name, seed = pl.col("metric"), pl.col("init_seed").cast(pl.Int64)
    joined = frame.with_columns(init_seed=seed).join(given, on="init_seed")
    value = pl.when(name == "exact_match").then("score").when(name == "train_loss").then("loss")
    return joined.with_columns(value=value.otherwise("value"), diverged=pl.col("loss").is_nan()).drop(
        "score", "loss"
    )


def draws():
    rng = np.random.default_rng(5)
    up = rng.random(SEEDS) < 0.5
    score = rng.binomial(121, np.where(up, 0.8, 0.1)) / 121
    return rng, up, score


def test_lumps_in_the_score_alone():
    rng, _, score = draws()
    loss = rng.normal(1.0, 0.1, SEEDS)
    table = compare_with_loss(planted(score, loss)).table
    assert table["metric"].to_list() == ["exact_match", "train_loss"]
    assert table["bimodal"].to_list() == [True, False]
    assert table["two_sided"].to_list() == [True, False]
    assert table["p_one_mode"][0] < 0.01 < 0.2 < table["p_one_mode"][1]
    assert table["seeds"].to_list() == [SEEDS] * 2
    assert table["correlation"][1] == pytest.approx(spearmanr(score, loss).statistic)
    assert table["correlation"][0] is None
    assert table["correlation_p"][1] > 0.05


def test_lumps_in_both_that_go_together():
    rng, up, score = draws()
    loss = rng.normal(np.where(up, 0.5, 1.5), 0.1)
    table = compare_with_loss(planted(score, loss)).table
    assert table["bimodal"].to_list() == [True, True]
    assert table["p_one_mode"][1] < 0.01
    assert table["correlation"][1] == pytest.approx(spearmanr(score, loss).statistic)
    assert table["correlation_p"][1] < 0.001


def test_diverged_seeds_have_no_loss_and_rank_last():
    rng, up, score = draws()
    loss = rng.normal(np.where(up, 0.5, 1.5), 0.1)
    score[:3], loss[:3] = 0.0, np.nan
    found = compare_with_loss(planted(score, loss))
    assert found.table["diverged"].to_list() == [3, 3]
    expected = spearmanr(score, np.where(np.isnan(loss), 9, loss)).statistic
    assert found.table["correlation"][1] == pytest.approx(expected)
    shares = found.bins.group_by("metric").agg(pl.col("share").sum()).sort("metric")
    assert shares["share"].to_list() == pytest.approx([1.0, 1 - 3 / SEEDS])


@pytest.mark.parametrize("span", [1.5, 100.0])
def test_bins_hold_every_seed(span):
    loss = np.geomspace(0.1, 0.1 * span, 7)
    bins = compare_with_loss(planted(np.zeros(7), loss), bins=5).bins.filter(pl.col("metric") == "train_loss")
    counts, _ = np.histogram(np.log(loss) if span > 10 else loss, 5)
    assert bins["share"].to_list() == pytest.approx([c / 7 for c in counts if c])
    assert (bins["low"].min(), bins["high"].max()) == (loss[0], loss[-1])


def test_one_seed_and_all_diverged():
    alone = compare_with_loss(planted(np.array([60 / 121]), np.array([1.0]))).table
    assert alone["bimodal"].to_list() == [False, False]
    assert alone["correlation"].to_list() == [None, None]
    lost = compare_with_loss(planted(np.zeros(3), np.full(3, np.nan))).table
    assert lost["diverged"].to_list() == [3, 3]
    assert lost["bimodal"].to_list() == [False, None]


def test_refuses():
    frame = population_frame([(2, 64)], 3, (30, 40), (0, 7))
    with pytest.raises(ValueError, match="bins=0 must be at least 1"):
        compare_with_loss(frame, bins=0)
    with pytest.raises(ValueError, match="2 tests of exact_match; choose one of"):
        compare_with_loss(frame)
    with pytest.raises(ValueError, match="metric='train_loss' is not in the frame"):
        compare_with_loss(frame.filter(pl.col("metric") == "exact_match"), length=30)
