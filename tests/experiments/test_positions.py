"""The study of positions: is a difference seen, none made up, and are the two runs of a seed compared?"""

import dataclasses

import numpy as np
import polars as pl
import pytest
from scipy import stats

from jaxemerge.runner.tables import SCHEMA, cell_columns
from studies import positions
from studies.positions import KINDS, USUAL, cells

SEEDS = 24


def results(successes):
    """Final exact matches at four lengths; of each kind so many of the first seeds succeed."""
    rows = []
    for length in (10, 15, 20, 30):
        for cell in cells(quick=True):
            fixed = {**cell_columns(cell), "flops": 1.0, "step": 400, "tokens": 1, "split": "test"}
            fixed |= {"metric": "exact_match", "trials": 11, "diverged": False, "length": length}
            fixed |= {"positions": cell.model.positions}
            count = successes.get(cell.model.positions, 12)
            values = [0.5 if s < count else 0.1 for s in range(SEEDS)]
            rows += [{**fixed, "init_seed": s, "data_seed": s, "value": v} for s, v in enumerate(values)]
    return positions.kept(pl.DataFrame(rows, schema={**SCHEMA, "positions": pl.String}))


def found(frame):
    return {each.name: each for each in positions.findings(frame)}


@pytest.mark.parametrize(("quick", "seeds"), [(True, SEEDS), (False, 250)])
def test_all_kinds_have_the_same_seeds_and_settings(quick, seeds):
    every = cells(quick=quick)
    assert tuple(cell.model.positions for cell in every) == KINDS
    first = every[0]
    for cell in every:
        assert len(cell.seeds) == seeds
        as_first = dataclasses.replace(cell.model, positions=USUAL)
        assert dataclasses.replace(cell, model=as_first) == first
        assert cell.model.max_positions == cell.context


def test_more_and_fewer_successes_are_seen_and_nothing_else():
    lines = found(results({"learned": 22, "fire": 0}))
    assert all("length 10" not in name and "length 15" not in name for name in lines)
    assert lines["length 30, learned, P(success)"].value == pytest.approx(22 / SEEDS)
    for kind, change in (("learned", 10 / SEEDS), ("fire", -12 / SEEDS)):
        line = lines[f"length 20, P(success), {kind} minus rotary"]
        assert line.value == pytest.approx(change)
        assert 0 < line.low < line.high or line.low < line.high < 0
        assert line.p_value < 0.02
    for kind in ("none", "alibi"):
        line = lines[f"length 30, P(success), {kind} minus rotary"]
        assert (line.value, line.low, line.p_value) == (0, None, 1)  # the same outcome in all seeds


def test_p_values_are_those_of_sign_tests_after_holm():
    """Ten seeds succeed with learned positions alone, and three fail with none alone, at both lengths."""
    lines = found(results({"learned": 22, "none": 9}))
    alone = {"learned": stats.binomtest(10, 10).pvalue, "none": stats.binomtest(3, 3).pvalue}
    assert lines["length 20, P(success), learned minus rotary"].p_value == pytest.approx(
        8 * alone["learned"], abs=0.01
    )
    assert lines["length 20, P(success), none minus rotary"].p_value == min(1, 6 * alone["none"])


def test_a_diverged_run_has_failed_and_pairs_are_those_of_a_seed():
    frame = results({"alibi": 24}).filter(pl.col("length") == 20)
    gone = (pl.col("init_seed") == 5) & (pl.col("positions") == "alibi")
    pairs = positions.pairs_of(
        frame.with_columns(value=pl.when(gone).then(None).otherwise("value")).reverse(), "alibi"
    )
    assert pairs.shape == (SEEDS, 2)
    assert pairs[5].tolist() == [0.5, 0.0]
    assert np.array_equal(pairs[:, 0] >= 0.2, np.arange(SEEDS) < 12)
