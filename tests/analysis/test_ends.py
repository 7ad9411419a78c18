"""Runs that end early or fail: which are named, and what do they score?"""

import math

import polars as pl
import pytest

from jaxemerge.analysis import (
    final_scores,
    final_values,
    findings,
    is_share,
    learning_curves,
    main_metric,
    metric_means,
    read_results,
    summarise,
    unfinished,
)
from jaxemerge.analysis.kinds import less_is_better, worst


def curves(lasts, value=lambda seed, step: step / 1000 + seed / 100, **columns):
    """Runs of one cell with the last steps given, scored every 100 steps."""
    rows = [
        {"seed": seed, "step": step, "value": value(seed, step), **columns}
        for seed, last in enumerate(lasts)
        for step in range(100, last + 1, 100)
    ]
    return pl.DataFrame(rows)


SHORT = curves([300, 300, 300, 100])


def test_a_run_of_100_steps_is_not_averaged_with_ones_of_300():
    frame = read_results(SHORT)
    ends = final_scores(frame, "value")
    assert (ends["init_seed"].to_list(), ends["step"].to_list()) == ([0, 1, 2], [300] * 3)
    assert summarise(frame, "value", 0.2)["seeds"].to_list() == [3]
    assert unfinished(frame).rows() == [("all runs", "all runs", 3, 3, 100, 300)]
    [_, _, said] = findings.population_sentences(frame)
    assert said == (
        "1 run ended before the last step of its cell and is not in final scores: "
        "seed 3 of all runs at step 100 of 300."
    )
    assert learning_curves(frame, "value").height == SHORT.height


@pytest.mark.parametrize(("how", "value"), [("failed", 0.0), ("last", 0.13)])
def test_unfinished_runs_count_as_asked(how, value):
    frame = read_results(SHORT, unfinished=how)
    ends = final_scores(frame, "value")
    assert ends.filter(init_seed=3).select("step", "value", "diverged").rows() == [
        (300, pytest.approx(value), how == "failed")
    ]
    assert unfinished(frame).is_empty()


@pytest.mark.parametrize(
    ("table", "named"),
    [
        (curves([200, 200]), []),
        (curves([300, 200, 200]), [(1, 200, 300), (2, 200, 300)]),
        (pl.concat([curves([100] * 3, size=1.0), curves([300, 300, 200], size=2.0)]), [(2, 200, 300)]),
        (curves([300, 300, 200], lambda seed, step: math.nan if seed == 2 else 0.5), []),
        (
            pl.DataFrame({"seed": range(3), "step": [300, 300, 100], "value": [0.5, 0.6, 0.1]}),
            [(2, 100, 300)],
        ),
    ],
    ids=["equal", "most are short", "within cells", "diverged runs may stop", "final rows only"],
)
def test_a_run_is_short_of_its_own_cell(table, named):
    scale = {"scale": "size"} if "size" in table.columns else {}
    assert unfinished(read_results(table, scale)).select("init_seed", "step", "of").rows() == named


def test_runs_scored_once_with_their_tokens_are_trainings_of_different_length():
    table = pl.DataFrame(
        {
            "params": [1e7] * 4,
            "seed": range(4),
            "step": [100, 200] * 2,
            "tokens": [1e8, 2e8] * 2,
            "loss": [3.0] * 4,
        }
    )
    frame = read_results(table, {"scale": "params", "value": "loss"})
    assert frame["cell"].n_unique() == 2
    assert unfinished(frame).is_empty()


def test_refuses_to_count_otherwise():
    with pytest.raises(ValueError, match="unfinished='mean' must be one of 'omitted', 'failed', 'last'"):
        read_results(SHORT, unfinished="mean")


FAILED = [
    ("acc", [0.5, 0.9, None], True, 0.0),
    ("loss", [3.1, 3.2, None], False, math.inf),
    ("loss", [0.31, 0.32, None], False, math.inf),
    ("error_rate", [0.1, 0.2, None], False, math.inf),
    ("time", [0.5, 0.7, None], False, math.inf),
    ("reward", [17.0, 250.0, None], False, -math.inf),
]


@pytest.mark.parametrize(("metric", "values", "share", "score"), FAILED)
def test_a_failed_run_is_worse_than_any_other(metric, values, share, score):
    rows = [value if value is not None else math.nan for value in values]
    frame = read_results(pl.DataFrame({"seed": range(3), metric: rows}), {"value": metric})
    assert (is_share(frame, metric), worst(frame, metric)) == (share, score)
    assert final_scores(frame, metric)["value"].to_list() == [*values[:2], score]
    assert learning_curves(frame, metric)["value"].to_list() == [*values[:2], score]
    means = metric_means(frame)
    assert means["seeds"].to_list() == [3 if share else 2]
    known = final_values(frame, metric).table
    assert (known["runs"].to_list(), known["diverged"].to_list()) == ([2], [1])


@pytest.mark.parametrize("name", ["val_loss", "bits_per_byte", "rmse", "WER", "wall time", "error"])
def test_less_of_these_is_better(name):
    assert less_is_better(name)


@pytest.mark.parametrize("name", ["acc", "exact_match", "timely_recall", "terror_f1", "maestro", "bleu"])
def test_less_of_these_is_not(name):
    assert not less_is_better(name)


def test_an_error_is_not_the_main_metric_beside_a_share():
    table = pl.DataFrame({"seed": range(2), "error": [0.1, 0.2], "clear": [0.4, 0.3]})
    assert main_metric(read_results(table, {"value": ["error", "clear"]})) == "clear"
