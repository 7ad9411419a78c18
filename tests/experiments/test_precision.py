"""The study of precisions: is a difference seen, none made up, and are the two runs of a seed compared?"""

import itertools

import numpy as np
import polars as pl
import pytest
from scipy import stats

from jaxemerge.runner.tables import SCHEMA, cell_columns
from studies import precision
from studies.precision import cells, distance, success_change, success_mean_change, swap_p_value


def results(change, seeds=64):
    """Final exact matches at three lengths; in bfloat16 those of float32 after ``change``."""
    rng, rows = np.random.default_rng(0), []
    for length in (10, 20, 30):
        scores = np.where(rng.uniform(size=seeds) < 0.4, rng.uniform(0.3, 0.7, seeds), 0.0)
        for cell in cells(quick=True):
            values = scores if cell.model.dtype == "float32" else change(scores, rng)
            fixed = {**cell_columns(cell), "flops": 1.0, "step": 400, "tokens": 1, "split": "test"}
            fixed |= {"metric": "exact_match", "trials": 11, "diverged": False, "length": length}
            fixed |= {"dtype": cell.model.dtype}
            rows += [{**fixed, "init_seed": s, "data_seed": s, "value": v} for s, v in enumerate(values)]
    frame = pl.DataFrame(rows, schema={**SCHEMA, "dtype": pl.String})
    return precision.kept(frame)


def found(frame):
    return {each.name: each for each in precision.findings(frame)}


def test_both_precisions_have_the_same_seeds_and_settings():
    for quick, seeds in ((True, 64), (False, 250)):
        pairs = cells(quick=quick)
        assert {cell.model.dtype for cell in pairs} == {"float32", "bfloat16"}
        for one, other in itertools.pairwise(pairs[:2]):
            assert one.seeds == other.seeds
            assert len(one.seeds) == seeds
            assert (one.task, one.optimizer, one.steps) == (other.task, other.optimizer, other.steps)


def test_other_runs_of_the_same_law_differ_by_chance():
    """Scores dealt out anew among the seeds: the same populations, and nothing in common."""
    lines = found(results(lambda scores, rng: rng.permutation(scores)))
    assert lines["length 20, float32, P(success)"].value == lines["length 20, bfloat16, P(success)"].value
    assert lines["length 20, P(success), bfloat16 less float32"].value == 0
    assert lines["length 20, Wasserstein-2 distance"].value == pytest.approx(0, abs=1e-12)
    assert lines["length 20, Wasserstein-2 distance"].p_value == 1
    related = lines["length 20, rank correlation over seeds"]
    assert related.low < 0 < related.high
    assert all("length 10" not in name for name in lines)


def test_fewer_successes_are_seen():
    lost = found(results(lambda scores, rng: np.where(rng.uniform(size=len(scores)) < 0.6, 0.0, scores)))
    change = lost["length 30, P(success), bfloat16 less float32"]
    assert change.value < 0
    assert change.high < 0
    assert change.p_value < 0.01
    assert lost["length 30, Wasserstein-2 distance"].p_value < 0.01
    assert lost["length 30, rank correlation over seeds"].p_value < 0.01


def test_worse_successes_are_seen():
    worse = found(results(lambda scores, rng: 0.7 * scores))
    assert worse["length 20, P(success), bfloat16 less float32"].value == pytest.approx(0, abs=0.1)
    change = worse["length 20, mean of successes, bfloat16 less float32"]
    assert change.value < -0.05
    assert change.p_value < 0.01


def test_swaps_are_those_within_seeds():
    """Against all ways to swap six pairs, one by one."""
    pairs = np.random.default_rng(3).uniform(size=(6, 2))
    pairs[:, 1] += 0.2
    seen = []
    for swaps in itertools.product((False, True), repeat=6):
        dealt = np.where(np.array(swaps)[:, None], pairs[:, ::-1], pairs)
        seen.append(np.sqrt(np.mean((np.sort(dealt[:, 0]) - np.sort(dealt[:, 1])) ** 2)))
    exact = np.mean(np.array(seen) >= seen[0] - 1e-12)
    assert swap_p_value(pairs, distance) == pytest.approx(exact, abs=0.02)


def test_the_chance_of_success_is_tested_as_mcnemar_does():
    """Nine seeds succeed in one precision alone and two in the other alone: a sign test."""
    pairs = np.array([[0.5, 0.0]] * 9 + [[0.0, 0.5]] * 2 + [[0.5, 0.5]] * 5 + [[0.0, 0.0]] * 4)
    p_value = swap_p_value(pairs, lambda p: np.abs(success_change(p)))
    assert p_value == pytest.approx(stats.binomtest(2, 11).pvalue, abs=0.01)
    assert float(success_change(pairs)) == pytest.approx(-7 / 20)


def test_no_success_has_no_mean():
    assert np.isnan(success_mean_change(np.array([[0.0, 0.5], [0.1, 0.3]])))
    assert float(success_mean_change(np.array([[0.4, 0.5], [0.1, 0.3]]))) == pytest.approx(0.0)


def test_a_diverged_run_has_failed():
    frame = results(lambda scores, rng: scores)
    frame = frame.with_columns(value=pl.when(pl.col("init_seed") == 5).then(None).otherwise("value"))
    pairs = precision.pairs_of(frame.filter(pl.col("length") == 20))
    assert pairs.shape == (64, 2)
    assert pairs[5].tolist() == [0.0, 0.0]
