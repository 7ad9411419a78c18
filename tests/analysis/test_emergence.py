"""Emergence by definition, by metric and by resolution: against planted scores, brute force and SciPy."""

import itertools
import math

import numpy as np
import polars as pl
import pytest
from scipy.stats import binomtest, hypergeom

from jaxemerge.analysis import (
    emergence,
    emergence_scores,
    final_scores,
    induced,
    metric_means,
    per_token,
    resolution,
    smaller_tests,
)
from jaxemerge.analysis.emergence import tested_score as score_and_chances  # pytest takes test* for a test
from synthetic import population_frame

DEPTHS = (1, 2, 4, 8)


@pytest.fixture(scope="module")
def frame():
    return population_frame([(d, 64) for d in DEPTHS], 13, (30, 60), (0, 7), diverged=1)


def planted(values, metric="exact_match", length=30):
    """A frame in which all seeds of a cell score about the same, and the loss falls."""
    frame = population_frame([(d, 64) for d in DEPTHS], 13, (length,), (0, 7), diverged=0)
    noise = (pl.col("init_seed") - 6) / 121
    of_cell = pl.col("depth").replace_strict(
        dict(zip(DEPTHS, map(float, values), strict=True)), return_dtype=pl.Float64
    )
    score = pl.when(of_cell > 0.1).then(of_cell + noise).otherwise(of_cell)
    loss = 2.0 / pl.col("depth")
    is_metric, is_loss = pl.col("metric") == metric, pl.col("metric") == "train_loss"
    return frame.with_columns(
        value=pl.when(is_metric).then(score).when(is_loss).then(loss).otherwise("value"),
        diverged=pl.lit(False),
    )


@pytest.mark.parametrize(
    ("values", "emergent", "until", "beyond"),
    [
        ((0, 0, 0.5, 0.8), True, 2, 4),
        ((0, 0.05, 0.5, 0.8), True, 1, 4),
        ((0.3, 0.4, 0.5, 0.8), False, None, 1),
        ((0, 0, 0, 0), False, 8, None),
        ((0, 0.5, 0, 0.8), True, 1, 8),
        ((0, 0.5, 0.8, 0.02), False, 1, None),
    ],
)
def test_wei_et_al(values, emergent, until, beyond):
    found = emergence(planted(values), scale="depth")
    row = found.tests.row(0, named=True)
    assert (row["emergent"], row["until"], row["beyond"]) == (emergent, until, beyond)
    assert found.cells["scale"].to_list() == [1, 2, 4, 8]


def test_the_scale_may_be_a_loss_and_chance_may_be_above_nothing():
    frame = planted((0.25, 0.25, 0.5, 0.8))
    by_loss = emergence(frame, scale="train_loss", chance=0.25).tests.row(0, named=True)
    assert (by_loss["emergent"], by_loss["until"], by_loss["beyond"]) == (True, 1.0, 0.5)
    flops = emergence(frame, scale="flops", chance=0.25)
    assert flops.tests["emergent"].item()
    assert flops.tests["until"].item() == frame.filter(depth=2)["flops"].max()
    assert not emergence(frame).tests["emergent"].item()  # above a chance of 0 everywhere


def of_seeds(scores, chance, items=121):
    """The verdict on a smallest cell with these scores, and three far above chance."""
    frame = planted((0, 0.7, 0.8, 0.9)).filter(pl.col("init_seed") < len(scores))
    given = pl.col("init_seed").replace_strict(dict(enumerate(map(float, scores))), return_dtype=pl.Float64)
    first = (pl.col("metric") == "exact_match") & (pl.col("depth") == 1)
    frame = frame.with_columns(
        value=pl.when(first).then(given).otherwise("value"),
        trials=pl.when(metric="exact_match").then(items).otherwise("trials"),
    )
    return emergence(frame, scale="depth", chance=chance).cells.row(0, named=True)


@pytest.mark.parametrize(
    ("scores", "chance", "above"),
    [
        ([0] * 10 + [0.6] * 3, 0.0, 3),
        ([0] * 12 + [1 / 121], 0.0, 1),
        ([0] * 13, 0.0, 0),
        ([30 / 121] * 12 + [60 / 121], 0.25, 1),
        ([30 / 121] * 9 + [38 / 121], 0.25, 0),
    ],
)
def test_one_seed_above_chance_refutes_it(scores, chance, above):
    row = of_seeds(scores, chance)
    assert row["above"] == above
    assert row["at_chance"] == (above == 0)
    if chance:
        passed = np.round(np.array(scores) * 121).astype(int)
        p = [binomtest(k, 121, chance, alternative="greater").pvalue for k in passed]
        assert above == sum(value <= 0.05 / len(scores) for value in p)


def test_one_seed_has_the_interval_of_its_items():
    frame = planted((0, 0, 0.5, 0.8)).filter(init_seed=6)
    found = emergence(frame, scale="depth")
    assert found.tests["emergent"].item()
    last = found.cells.row(-1, named=True)
    assert last["low"] < 0.8 < last["high"]


def test_scores_of_triplets_and_their_null(frame):
    table = emergence_scores(frame, permutations=199, key=1)
    assert table.height == 2 * 3
    values = [
        final_scores(frame).filter(pl.col("length") == 60, pl.col("depth") == d)["value"].mean()
        for d in DEPTHS
    ]
    steps = np.maximum(np.diff(values) ** 2, 0)
    expected = np.ptp(values) / max(math.sqrt(np.median(steps)), 1 / 91)
    row = table.filter(metric="exact_match", length=60).row(0, named=True)
    assert row["score"] == pytest.approx(expected)
    assert (row["cells"], row["seeds"], row["family"]) == (4, 13, "rotary")
    p = np.sort(table["p_value"].to_numpy())
    by_hand = np.minimum.accumulate((p * len(p) / np.arange(1, len(p) + 1))[::-1])[::-1]
    np.testing.assert_allclose(np.sort(table["q_value"].to_numpy()), by_hand)
    losses = table.filter(metric="answer_nll")
    assert (losses["score"] > 0).all()  # less is better: turned about


def test_a_jump_is_found_and_noise_is_not():
    jump = emergence_scores(planted((0, 0, 0, 0.9)), ["exact_match"], permutations=499)
    assert jump["score"].item() > 50
    assert jump["p_value"].item() <= 0.01
    hits = []
    for number in range(40):
        frame = planted((0.5, 0.5, 0.5, 0.5))
        drawn = np.random.default_rng(number).binomial(121, 0.5, frame.height) / 121
        noise = frame.with_columns(value=pl.Series(drawn))
        hits.append(emergence_scores(noise, ["exact_match"], permutations=99)["p_value"].item() <= 0.05)
    assert np.mean(hits) <= 0.15


@pytest.mark.parametrize("cells", [5, 8])
def test_a_straight_rise_is_not_sudden_and_a_jump_is(cells):
    """A straight line is far from no effect: that alone says nothing about emergence."""

    def share(means, column):
        p = []
        for number in range(40):
            rng = np.random.default_rng([number, cells])
            scores = [rng.binomial(91, rng.beta(20 * m, 20 - 20 * m, 16)) / 91 for m in means]
            p.append(score_and_chances(scores, 1 / 91, 1e-3, 99, rng)[column])
        return np.mean(np.array(p) <= 0.05)

    assert share(np.linspace(0.1, 0.8, cells), 1) <= 0.15  # at 5 %, of 40: more in 1 %
    assert share(np.where(np.arange(cells) < cells // 2, 0.05, 0.7), 1) >= 0.8
    if cells == 8:
        assert share(np.linspace(0.1, 0.8, cells), 2) >= 0.5


def test_flat_and_short_curves_have_no_score():
    flat = emergence_scores(planted((0, 0, 0, 0)), ["exact_match"], permutations=9)
    assert flat.select("score", "p_value", "q_value").row(0) == (None, None, None)
    two = planted((0, 0, 0, 0.9)).filter(pl.col("depth") < 4)
    assert emergence_scores(two, ["exact_match"], permutations=9).is_empty()


def test_means_of_every_metric(frame):
    table = metric_means(frame, length=60)
    assert table["metric"].unique(maintain_order=True).to_list()[:2] == ["exact_match", "token_accuracy"]
    for d in DEPTHS:
        scores = final_scores(frame).filter(pl.col("length") == 60, pl.col("depth") == d)["value"]
        row = table.filter(metric="exact_match", scale=d).row(0, named=True)
        assert row["value"] == pytest.approx(scores.mean())
        assert row["low"] <= row["value"] <= row["high"]
    # A diverged seed scores 0, but has no loss.
    assert table.filter(metric="answer_nll")["seeds"].to_list() == [13, 13, 13, 12]


def test_resolution_is_that_of_the_items(frame):
    table = resolution(frame, length=60)
    assert table["smallest"].to_list() == pytest.approx([1 / 91] * 4)
    assert (1 - table["limit"][0]) ** 91 == pytest.approx(0.05)
    exact = binomtest(0, 13).proportion_ci(0.9, "exact").high  # one-sided, at 95 %
    assert table["seeds_limit"].to_list() == pytest.approx([exact] * 4)
    zeros = (
        final_scores(frame).filter(pl.col("length") == 60).group_by("depth").agg((pl.col("value") == 0).sum())
    )
    assert table["at_zero"].to_list() == zeros.sort("depth")["value"].to_list()


def test_smaller_tests_are_hypergeometric(frame):
    table = smaller_tests(frame, length=60)
    for d in DEPTHS:
        passed = np.round(
            final_scores(frame).filter(pl.col("length") == 60, pl.col("depth") == d)["value"].to_numpy() * 91
        )
        for row in table.filter(scale=d).rows(named=True):
            chances = hypergeom.pmf(0, 91, passed.astype(int), row["items"])
            assert row["zero"] == pytest.approx(chances.mean())
            assert row["all_zero"] == pytest.approx(chances.prod())
    assert table["items"].max() == 91


def test_tokens_right_by_themselves_give_the_model():
    """Exact match of p^L at every length: the fitted p is that of the tokens."""
    frame = population_frame([(1, 64), (2, 64)], 5, (10, 20), (0, 7), diverged=0)
    p = pl.when(pl.col("depth") == 1).then(0.9).otherwise(0.97)
    model = frame.with_columns(
        value=pl.when(metric="exact_match")
        .then(p ** pl.col("length"))
        .when(metric="token_accuracy")
        .then(p)
        .otherwise("value")
    )
    table = per_token(model)
    for row in table.rows(named=True):
        truth = 0.9 if row["label"] == "depth 1" else 0.97
        assert row["p"] == pytest.approx(truth)
        assert row["p_fitted"] == pytest.approx(truth, rel=1e-4)
        assert row["exact"] == pytest.approx(row["exact_model"])
        assert row["exact_fitted"] == pytest.approx(truth ** row["length"], rel=1e-2)
        assert row["wrong"] == pytest.approx(row["length"] * (1 - truth))
    untold = model.with_columns(trials=pl.lit(None, pl.Int32))
    assert (
        per_token(untold)
        .drop("p_fitted", "exact_fitted", "wrong_fitted")
        .equals(table.drop("p_fitted", "exact_fitted", "wrong_fitted"))
    )


def test_answers_may_have_other_tokens_than_their_length():
    """Three tokens to a unit of length, as digits with hints have: L is that of the trials."""
    frame = population_frame([(1, 64), (2, 64)], 5, (10, 20), (0, 7), diverged=0)
    tripled = frame.with_columns(
        trials=pl.when(metric="token_accuracy").then(3 * pl.col("trials")).otherwise("trials"),
        value=pl.when(metric="exact_match").then(0.9 ** (3 * pl.col("length"))).otherwise("value"),
    )
    table = per_token(tripled)
    assert table["tokens"].to_list() == [30, 60, 30, 60]
    assert table["p_fitted"].to_list() == pytest.approx([0.9] * 4, rel=1e-4)
    assert per_token(tripled.filter(length=10).with_columns(length=None))["tokens"].to_list() == [30, 30]


def test_errors_that_come_together_leave_exact_match_above_the_model(frame):
    table = per_token(frame.filter(pl.col("depth") == 8))
    assert (table["exact"] > table["exact_model"]).all()
    ends = planted((0, 0, 0, 0)).filter(pl.col("depth") == 1)
    assert per_token(ends)["p_fitted"].to_list() == [0.0]
    whole = ends.with_columns(value=pl.when(metric="exact_match").then(1.0).otherwise("value"))
    assert per_token(whole)["p_fitted"].to_list() == [1.0]


def test_all_of_k_counts_groups(frame):
    table = induced(frame, length=60, groups=(1, 3), thresholds=(0.5,))
    scores = final_scores(frame).filter(pl.col("length") == 60, pl.col("depth") == 8)["value"].to_numpy()
    counted = [math.comb(round(s * 91), 3) / math.comb(91, 3) for s in scores]
    assert table.filter(metric="all of 3", scale=8)["value"].item() == pytest.approx(np.mean(counted))
    assert table.filter(metric="all of 1", scale=8)["value"].item() == pytest.approx(scores.mean())
    tokens = final_scores(frame, "token_accuracy").filter(pl.col("length") == 60, pl.col("depth") == 8)[
        "value"
    ]
    share = table.filter(metric="token_accuracy >= 0.5", scale=8)["value"].item()
    assert share == pytest.approx((tokens >= 0.5).mean())
    small = [list(g) for g in itertools.combinations([1, 1, 1, 0, 0], 2)]
    assert np.mean([all(g) for g in small]) == pytest.approx(3 / 5 * 2 / 4)  # what the formula counts


def test_asking_for_more_makes_it_more_sudden():
    """A score that grows steadily is emergent once eight items must all be right."""
    table = induced(planted((0.2, 0.4, 0.6, 0.8)), groups=(1, 8), thresholds=(0.5,))
    score = dict(table.select("metric", "score").unique().rows())
    assert score["all of 8"] > 2 * score["all of 1"]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda f: emergence(f, chance=1.0), r"chance=1.0 must lie in \[0, 1\)"),
        (lambda f: emergence(f, margin=0), "margin=0 must be positive"),
        (lambda f: emergence(f, scale="bleu"), "metric='bleu' is not in the frame"),
        (lambda f: emergence(f, scale="grad_norm"), "scale='grad_norm': some cell has no finite value"),
        (lambda f: emergence_scores(f, permutations=0), "permutations=0 must be at least 1"),
        (lambda f: emergence_scores(f, resolution=0), "resolution=0 must be positive"),
        (lambda f: resolution(f, "answer_nll", length=60), "metric='answer_nll' has no trials"),
        (lambda f: resolution(f), "2 tests of exact_match"),
        (lambda f: resolution(f, length=60, confidence=95), "confidence=95 must lie"),
        (lambda f: induced(f, length=60, groups=(92,)), r"groups=\(92,\): groups of 1 to 91 items"),
        (
            lambda f: per_token(f.filter(length=60).with_columns(length=None, trials=None)),
            "exact_match and token_accuracy need trials, or tests of known length: p\\^L has an L",
        ),
    ],
)
def test_refuses(frame, call, message):
    lost = pl.when(metric="grad_norm", depth=1).then(None).otherwise("value")
    with pytest.raises(ValueError, match=message):
        call(frame.with_columns(value=lost))
