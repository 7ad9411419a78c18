"""Do kept items give the rows of results again, and those of other metrics, without the model?"""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
import pytest

from jaxemerge.analysis import rescore
from jaxemerge.analysis.results import SCHEMA
from jaxemerge.evaluation import Evaluated, all_of, evaluate, thresholded
from jaxemerge.evaluation.metrics import (
    ANSWER_NLL,
    EDIT_DISTANCE,
    EXACT_MATCH,
    METRICS,
    MULTIPLE_CHOICE,
    TOKEN_ACCURACY,
)
from jaxemerge.runner.opening import create_store, open_store
from jaxemerge.runner.records import StoreError
from jaxemerge.runner.tables import items_table, results_table

RECORD: dict[str, Any] = {"seconds": 1.5, "plan": {}, "provenance": {}}


@pytest.fixture(scope="module")
def seen(tiny: Any, population: Any) -> Evaluated:
    return evaluate(tiny.task, tiny.model, population.params, log_probabilities=True)


@pytest.fixture(scope="module")
def items(tiny: Any, population: Any, seen: Evaluated) -> pl.DataFrame:
    return items_table(tiny, tiny.seeds, population.evaluations[-1], seen)


def test_scoring_anew_gives_the_rows_of_results(tiny: Any, population: Any, items: pl.DataFrame) -> None:
    rows = results_table(tiny, tiny.seeds, population.evaluations).filter(pl.col("step") == tiny.steps)
    keys = ["init_seed", "data_seed", "split", "length"]
    for metric in (EXACT_MATCH, ANSWER_NLL):
        again = rescore(items, metric).sort(keys)
        kept = rows.filter(pl.col("metric") == metric.name).sort(keys)
        assert again.columns == list(SCHEMA)
        assert again.drop("value", "flops").equals(kept.select(SCHEMA).drop("value", "flops"))
        np.testing.assert_allclose(again["value"], kept["value"], rtol=1e-5)
        np.testing.assert_allclose(again["flops"], kept["flops"])


def test_every_metric_scores_them(items: pl.DataFrame, seen: Evaluated) -> None:
    for metric in (*METRICS, thresholded(TOKEN_ACCURACY, 0.5), all_of(EXACT_MATCH, 2)):
        rows = rescore(items, metric)
        values = metric.of(seen.items)
        first = metric.mean(values[0, seen.length == seen.length[0]])
        assert rows["metric"].unique().to_list() == [metric.name]
        assert rows["value"][0] == pytest.approx(float(first), rel=1e-5)
        assert (rows["trials"].null_count() == 0) == metric.proportion
        assert rows["trials"][0] in (None, int((seen.length == seen.length[0]).sum()))


def test_a_diverged_seed_has_failed(items: pl.DataFrame) -> None:
    lost = items.with_columns(diverged=pl.col("init_seed") == 3, exact=True)
    for metric, expected in ((EXACT_MATCH, 0.0), (MULTIPLE_CHOICE, 0.0), (EDIT_DISTANCE, None)):
        rows = rescore(lost, metric).filter("diverged")
        assert rows["value"].unique().to_list() == [expected]
        assert rows["init_seed"].unique().to_list() == [3]
    assert rescore(lost, EXACT_MATCH).filter(~pl.col("diverged"))["value"].unique().to_list() == [1.0]


def test_what_was_not_kept(items: pl.DataFrame) -> None:
    with pytest.raises(ValueError, match="the frame lacks columns brier"):
        rescore(items.drop("brier"), EXACT_MATCH)
    with pytest.raises(ValueError, match="edits: these items were saved without written answers"):
        rescore(items.drop("edits"), EDIT_DISTANCE)
    with pytest.raises(ValueError, match="choices: these items were saved without distractors"):
        rescore(items.drop("choices"), MULTIPLE_CHOICE)


def test_the_store_keeps_them(tmp_path: Any, tiny: Any, population: Any, items: pl.DataFrame) -> None:
    rows = results_table(tiny, tiny.seeds, population.evaluations)
    without = create_store(tmp_path / "without", "tiny", [tiny])
    without.write(tiny.cell, tiny.seeds, rows, RECORD)
    with pytest.raises(StoreError, match="holds no items: train the study with --keep-items"):
        without.items()
    made = create_store(tmp_path / "with", "tiny", [tiny])
    made.write(tiny.cell, tiny.seeds, rows, RECORD, {"items": items})
    again = open_store(tmp_path / "with")
    assert again.items().equals(items)
    assert again.results().equals(rows)
    assert again.damage() == []
    [kept] = tmp_path.rglob("items/*.parquet")
    changed = bytearray(kept.read_bytes())
    changed[100] ^= 1
    kept.write_bytes(changed)
    assert "its content does not match its digest" in again.damage()[0]
    with pytest.raises(StoreError, match="is damaged"):
        again.items()
    assert len(again.mend()) == 1
    assert again.finished(tiny.cell) == set()
    assert not list(tmp_path.rglob("items/*.parquet"))
