"""Correlations and variance shares are those of the planted outcomes."""

import numpy as np
import polars as pl
import pytest
from scipy.stats import spearmanr

from jaxemerge.analysis import correlations, final_scores, variance_shares
from synthetic import population_frame

SEEDS = 20


@pytest.fixture(scope="module")
def frame():
    return population_frame([(1, 64), (2, 64)], SEEDS, (30, 40), (0, 7), diverged=1)


def scores_of(frame, depth, length, metric="exact_match"):
    rows = final_scores(frame, metric).filter(pl.col("depth") == depth)
    return rows.filter(pl.col("length") == length).sort("init_seed")["value"].to_numpy()


def test_across_lengths(frame):
    cell = frame.filter(pl.col("depth") == 2)["cell"][0]
    pairs = correlations(frame, "length", cell=cell)
    assert pairs.select("first", "second", "seeds").rows() == [("length 30", "length 40", SEEDS)]
    expected = spearmanr(scores_of(frame, 2, 30), scores_of(frame, 2, 40)).statistic
    assert pairs["correlation"][0] == pytest.approx(expected)
    assert pairs["low"][0] < expected < pairs["high"][0]
    assert pairs["p_value"][0] < 0.05


def test_across_scales(frame):
    pairs = correlations(frame, "scale", length=30)
    assert pairs.select("first", "second").rows() == [("depth 1", "depth 2")]
    expected = spearmanr(scores_of(frame, 1, 30), scores_of(frame, 2, 30)).statistic
    assert pairs["correlation"][0] == pytest.approx(expected)


def test_across_metrics_a_diverged_seed_is_worst_under_each(frame):
    cell = frame.filter(pl.col("depth") == 2)["cell"][0]
    pairs = correlations(frame, "metric", cell=cell, length=30)
    names = ["exact_match", "token_accuracy", "answer_nll", "train_loss"]
    assert pairs["first"].to_list() == [names[i] for i in (0, 0, 0, 1, 1, 2)]
    rows = frame.filter(pl.col("cell") == cell, pl.col("step") == 7).sort("init_seed")
    nll = rows.filter(pl.col("metric") == "answer_nll", pl.col("length") == 30)["value"].fill_nan(None)
    assert nll.null_count() == 1
    loss = rows.filter(pl.col("metric") == "train_loss")["value"].fill_nan(None).fill_null(99.0)
    expected = spearmanr(nll.fill_null(99.0), loss).statistic
    found = pairs.row(by_predicate=(pl.col("first") == "answer_nll"), named=True)
    assert found["correlation"] == pytest.approx(expected)


def test_pairs_are_corrected_for_their_number(frame):
    """Six pairs, the least p-value six times, the next at least five times."""
    cell = frame.filter(pl.col("depth") == 2)["cell"][0]
    pairs = correlations(frame, "metric", cell=cell, length=30).sort("p_value")
    p_value, adjusted = pairs["p_value"].to_numpy(), pairs["p_adjusted"].to_numpy()
    assert adjusted[0] == pytest.approx(min(1, 6 * p_value[0]))
    assert adjusted[1] == pytest.approx(max(adjusted[0], min(1, 5 * p_value[1])))
    assert np.all(np.diff(adjusted) >= 0)


def test_only_seeds_with_every_outcome_count(frame):
    lacks = (pl.col("depth") == 1) & (pl.col("init_seed") < 5)
    pairs = correlations(frame.filter(~lacks), "scale", length=30)
    assert pairs["seeds"].to_list() == [SEEDS - 5]
    expected = spearmanr(scores_of(frame, 1, 30)[5:], scores_of(frame, 2, 30)[5:]).statistic
    assert pairs["correlation"][0] == pytest.approx(expected)


def test_constant_and_single_outcomes(frame):
    flat = frame.with_columns(value=pl.when(pl.col("depth") == 1).then(0.0).otherwise("value"))
    pairs = correlations(flat, "scale", length=30)
    assert pairs.select("correlation", "p_value").rows() == [(None, None)]
    assert correlations(frame.filter(pl.col("depth") == 2), "scale", length=30).is_empty()


def test_refuses(frame):
    with pytest.raises(ValueError, match="across='width' must be 'length', 'split', 'metric' or 'scale'"):
        correlations(frame.filter(pl.col("depth") == 2), "width")
    with pytest.raises(ValueError, match="cell=None: correlations across length need one of depth1-width64"):
        correlations(frame, "length")
    with pytest.raises(ValueError, match="cell='nine': correlations across metric need one of depth1"):
        correlations(frame, "metric", cell="nine")
    with pytest.raises(ValueError, match="2 tests of exact_match; choose one of"):
        correlations(frame, "scale")


def crossed(effect):
    """4 init seeds by 5 data seeds, the outcome a function of the two."""
    frame = population_frame([(2, 64)], 20, (30,), (0, 7), diverged=0)
    seed = pl.col("init_seed")
    exact = pl.col("metric") == "exact_match"
    pairs = frame.with_columns(init_seed=seed // 5, data_seed=seed % 5)
    return pairs.with_columns(
        value=pl.when(exact).then(effect(pl.col("init_seed"), pl.col("data_seed"))).otherwise("value")
    )


@pytest.mark.parametrize(
    ("effect", "expected"),
    [
        (lambda i, d: i / 4, [1, 0, 0]),
        (lambda i, d: d / 5, [0, 1, 0]),
        (lambda i, d: ((i + d) % 2).cast(pl.Float64), [0, 0, 1]),
    ],
)
def test_the_seed_that_decides_has_the_variance(effect, expected):
    shares = variance_shares(crossed(effect))
    assert shares["source"].to_list() == ["init seed", "data seed", "both together"]
    assert shares["share"].to_list() == pytest.approx(expected)
    assert shares.select("init_seeds", "data_seeds").unique().rows() == [(4, 5)]


def test_what_is_not_crossed_has_no_row(frame):
    assert variance_shares(frame, length=30).is_empty()
    full = crossed(lambda i, d: i / 4)
    torn = full.filter(~((pl.col("init_seed") == 2) & (pl.col("data_seed") == 3)))
    assert variance_shares(torn).is_empty()
    equal = variance_shares(crossed(lambda i, d: pl.lit(0.5)))
    assert equal["share"].to_list() == [None] * 3
    assert equal["p_value"].to_list() == [None] * 3


def test_across_splits_the_test_that_tells_seeds_apart_stands_for_each(frame):
    """Two abilities of a mixture: the second has other values, and all seeds alike at one length."""
    first = frame.filter(pl.col("depth") == 2, pl.col("metric") == "exact_match")
    turned = (1.3 - pl.col("value")).clip(0, 1) ** 2
    value = pl.when(pl.col("length") == 30).then(turned).otherwise(0.5)
    both = pl.concat(
        [
            first.with_columns(split=pl.lit("copy/test")),
            first.with_columns(value=value, split=pl.lit("sort/test")),
        ]
    )
    [pair] = correlations(both, "split").rows(named=True)
    spread = {length: scores_of(frame, 2, length).std() for length in (30, 40)}
    varied = max(spread, key=lambda length: spread[length])
    assert (pair["first"], pair["second"]) == (f"copy/test, length {varied}", "sort/test, length 30")
    other = (1.3 - scores_of(frame, 2, 30)).clip(0, 1) ** 2
    diverged = first.filter(pl.col("step") == 7, pl.col("length") == 30).sort("init_seed")["diverged"]
    other[diverged.to_numpy()] = 0
    assert pair["correlation"] == pytest.approx(spearmanr(scores_of(frame, 2, varied), other).statistic)
    assert correlations(first, "split").is_empty()
