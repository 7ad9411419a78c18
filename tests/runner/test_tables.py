"""The results schema: every value where it belongs."""

import numpy as np
import polars as pl
import pytest

from jaxemerge import crossed
from jaxemerge.evaluation import SetScores
from jaxemerge.runner.scores import Evaluation
from jaxemerge.runner.tables import results_table
from jaxemerge.schema import SCHEMA

SEEDS = crossed([2, 3], [7])


@pytest.fixture
def frame(tiny):
    scores = SetScores(
        exact=np.array([[9, 2], [9, 2]]),
        right=np.array([[5, 6], [27, 10]]),
        nll=np.array([[2.7, 3.5], [np.nan, 7.0]], np.float32),
    )
    evaluation = Evaluation(
        3, scores, np.array([0.5, np.inf]), np.array([1.5, np.nan]), np.array([False, True])
    )
    return results_table(tiny, SEEDS, [evaluation], {"learning_rate": 1e-3})


def value(frame, metric, init_seed, length=None):
    same = pl.col("length").is_null() if length is None else pl.col("length") == length
    return frame.filter(pl.col("metric") == metric, pl.col("init_seed") == init_seed, same).row(0, named=True)


def test_columns_are_those_of_the_schema_then_the_swept_ones(frame):
    assert dict(frame.drop("learning_rate").schema) == {name: kind() for name, kind in SCHEMA.items()}
    assert frame.columns[-1] == "learning_rate"
    assert len(frame) == 2 * (2 * 3 + 2)


def test_values_by_hand(tiny, frame):
    # 9 answers of length 3 among 11 numbers, 7 of length 5
    assert value(frame, "exact_match", 2, 3)["value"] == 1
    assert value(frame, "exact_match", 2, 5)["value"] == 2 / 7
    assert value(frame, "exact_match", 2, 5)["trials"] == 7
    assert value(frame, "token_accuracy", 2, 5)["value"] == 6 / 35
    assert value(frame, "token_accuracy", 2, 5)["trials"] == 35
    assert value(frame, "answer_nll", 2, 3)["value"] == pytest.approx(0.1)
    assert value(frame, "answer_nll", 2, 3)["trials"] is None
    row = value(frame, "train_loss", 2)
    assert (row["value"], row["split"], row["step"], row["data_seed"]) == (0.5, "train", 3, 7)
    assert row["tokens"] == 3 * 2 * 13
    assert row["flops"] == row["tokens"] * tiny.model.training_flops_per_token(15, 13)
    assert row["parameters"] == tiny.model.non_embedding_parameters()
    assert (row["study"], row["task"], row["depth"], row["width"]) == ("tiny", "count", 1, 24)


def test_a_diverged_seed_has_failed_whatever_its_weights_answer(frame):
    for metric, trials in (("exact_match", 7), ("token_accuracy", 35)):
        row = value(frame, metric, 3, 5)
        assert (row["value"], row["trials"], row["diverged"]) == (0, trials, True)


def test_what_is_not_finite_is_null_and_flagged(frame):
    for metric, length in (("answer_nll", 3), ("train_loss", None), ("grad_norm", None)):
        assert value(frame, metric, 3, length)["value"] is None
    assert frame.filter(pl.col("init_seed") == 3)["diverged"].all()
    assert not frame.filter(pl.col("init_seed") == 2)["diverged"].any()


def test_a_population_becomes_rows_for_every_seed_and_step(tiny, population):
    frame = population.frame()
    assert len(frame) == 5 * 3 * 8
    assert frame["cell"].unique().to_list() == [tiny.cell]
    exact = frame.filter(pl.col("metric") == "exact_match")
    counts = exact["value"] * exact["trials"]
    assert (counts - counts.round()).abs().max() < 1e-9
