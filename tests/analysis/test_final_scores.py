"""The last step of every member, and who counts."""

import polars as pl
import pytest

from jaxemerge.analysis import final, final_scores
from synthetic import population_frame


def test_every_member_has_its_own_last_step():
    short = population_frame([(1, 64)], seeds=3, lengths=(30,), steps=(0, 7), diverged=0)
    long = population_frame([(2, 64)], seeds=5, lengths=(30,), steps=(0, 7, 11), diverged=0)
    last = final(pl.concat([short, long]))
    assert last.group_by("depth", "step").len().sort("depth").rows() == [(1, 7, 3 * 5), (2, 11, 5 * 5)]
    assert final(last).equals(last)


def test_a_metric_that_is_measured_more_often_does_not_hide_the_others():
    frame = population_frame([(1, 64)], seeds=3, lengths=(30,), steps=(0, 7), diverged=0)
    more = frame.filter(pl.col("metric") == "train_loss").with_columns(step=pl.col("step") + 5)
    last = final(pl.concat([frame, more]))
    assert set(last.filter(pl.col("metric") == "exact_match")["step"]) == {7}
    assert set(last.filter(pl.col("metric") == "train_loss")["step"]) == {12}


def test_seeds_are_pairs():
    """In a crossed design the same init_seed comes with several data_seeds."""
    frame = population_frame([(1, 64)], seeds=3, lengths=(30,), diverged=0)
    crossed = pl.concat([frame, frame.with_columns(data_seed=pl.col("data_seed") + 100)])
    assert final_scores(crossed).height == 6


def test_diverged_and_missing_values_are_scores_of_0():
    frame = population_frame([(1, 64)], seeds=3, lengths=(30,), diverged=0)
    seed = pl.col("init_seed")
    broken = frame.with_columns(
        value=pl.when(seed == 0).then(float("nan")).when(seed == 1).then(None).otherwise("value")
    )
    assert final_scores(broken)["value"].to_list()[:2] == [0.0, 0.0]


def test_rows_are_labelled_and_in_order_of_scale():
    frame = population_frame([(8, 64), (2, 64)], seeds=2, lengths=(40, 30), diverged=0)
    scores = final_scores(frame)
    assert scores.select("label", "test", "init_seed").rows() == [
        (label, test, seed)
        for label in ("depth 2", "depth 8")
        for test in ("length 30", "length 40")
        for seed in (0, 1)
    ]


def test_a_test_without_length_and_several_splits_are_named():
    frame = population_frame([(1, 64)], seeds=2, lengths=(None,), diverged=0)
    assert set(final_scores(frame)["test"]) == {"all items"}
    other = frame.with_columns(split=pl.lit("reverse"))
    assert set(final_scores(pl.concat([frame, other]))["test"]) == {"test", "reverse"}


def test_refuses_to_count_a_seed_twice():
    frame = population_frame([(1, 64)], seeds=3, lengths=(30,), steps=(0, 7), diverged=0)
    twice = pl.concat([frame, frame.filter(pl.col("init_seed") == 1).with_columns(study=pl.lit("another"))])
    with pytest.raises(ValueError, match=r"5 final results are there twice .*keep one study"):
        final(twice)


def test_refuses_a_frame_without_its_columns_and_names_them_all():
    frame = population_frame([(1, 64)], seeds=2).drop("step", "diverged")
    with pytest.raises(ValueError, match="the frame lacks columns step, diverged; it has study, cell"):
        final(frame)
    with pytest.raises(ValueError, match="the frame lacks columns step, diverged"):
        final_scores(frame)


def test_refuses_a_metric_that_is_not_there():
    frame = population_frame([(1, 64)], seeds=2)
    with pytest.raises(
        ValueError, match="metric='brier' is not in the frame, which has answer_nll, exact_match"
    ):
        final_scores(frame, "brier")
    with pytest.raises(ValueError, match="metric='brier' is not in the frame, which has no rows"):
        final_scores(frame.clear(), "brier")
