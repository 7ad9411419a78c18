"""Is sampling until answers pass a part of an experiment like any other: described, carried out, kept?"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import jax
import numpy as np
import polars as pl
import pytest

from chunks import run_chunk
from jaxemerge import Above, Experiment, PassUntil, train
from jaxemerge.evaluation import Sampling, estimate, prompts, sampled
from jaxemerge.runner.jobs import jobs
from jaxemerge.runner.opening import create_store, open_store
from jaxemerge.runner.signals import StoppedError
from jaxemerge.runner.sweep import override, parse
from jaxemerge.stats import pass_rate

ASKED = PassUntil(length=3, items=4, cap=40, temperature=2.0, source=3)
# The test set of length 3 has 9 items, that of length 5 seven; the first comes first.
CHOSEN = [0, 3, 5, 8]


@pytest.fixture(scope="module")
def asking(tiny: Any) -> Experiment:
    return replace(tiny, pass_until=ASKED)


@pytest.fixture(scope="module")
def sampling(asking: Any) -> Any:
    return train(asking)


def test_counts_are_those_of_the_chosen_items(asking: Any, sampling: Any, population: Any) -> None:
    items = prompts(asking.task.evaluation_sets()).take(CHOSEN)
    expected = estimate(
        *(asking.task, asking.model, sampling.params, asking.seeds, items),
        **{"key": jax.random.key(3), "cap": 40, "sampling": Sampling(2.0)},
    )
    frame = sampling.passes()
    assert population.passes() is None
    assert frame["item"].to_list() == 5 * CHOSEN
    assert frame["init_seed"].to_list() == np.repeat(range(5), 4).tolist()
    assert (frame["length"] == 3).all()
    assert (frame["answers"] == 3).all()
    for name in ("passes", "samples", "censored"):
        assert frame[name].to_list() == getattr(expected, name).ravel().tolist()
    assert frame["passes"].n_unique() > 1


def test_the_mean_rate_is_a_row_of_results(sampling: Any, population: Any) -> None:
    rows, counts = sampling.frame(), sampling.passes()
    added = rows.filter(metric="pass_rate")
    assert (
        rows.filter(pl.col("metric") != "pass_rate")
        .select("step", "split", "length", "metric")
        .equals(population.frame().select("step", "split", "length", "metric"))
    )
    rates = pass_rate(counts["passes"], counts["samples"], counts["censored"], 2).value
    np.testing.assert_allclose(added["value"], np.reshape(rates, (5, 4)).mean(1), rtol=1e-12)
    others = rows.filter(metric="answer_nll", length=3, step=7)
    same = ["cell", "init_seed", "data_seed", "step", "tokens", "flops", "split", "length", "diverged"]
    assert added.select(same).equals(others.select(same))
    assert added["trials"].null_count() == 5


def test_the_loss_of_the_reference_is_beside_them(sampling: Any) -> None:
    """All items of both lengths: their sum is the loss of the test set."""
    of_all = sampled(
        *(sampling.experiment.task, sampling.experiment.model, sampling.params, sampling.experiment.seeds),
        PassUntil(cap=2),
    )
    for m, length in enumerate((3, 5)):
        at = of_all.length == length
        np.testing.assert_allclose(
            of_all.nll[:, at].sum(1), sampling.evaluations[-1].scores.nll[:, m], rtol=1e-5
        )
    assert of_all.number.tolist() == [*range(9), *range(7)]
    kept = sampling.passes()["nll"].to_numpy().reshape(5, 4)
    np.testing.assert_allclose(kept, of_all.nll[:, CHOSEN], rtol=1e-5)


def test_a_study_keeps_them(asking: Any, sampling: Any, tmp_path: Path) -> None:
    store = create_store(tmp_path / "study", "tiny", [asking])
    [job] = jobs([asking], store)
    with store.writing(asking.cell):
        for seeds in job.chunks:
            for _ in run_chunk(job, seeds, store):
                pass
    again = open_store(tmp_path / "study")
    assert again.passes() is not None
    keys = ["init_seed", "item"]
    assert again.passes().sort(keys).equals(sampling.passes().sort(keys))
    columns = ["init_seed", "step", "length", "metric"]
    ours, theirs = (f.filter(metric="pass_rate").sort(columns) for f in (again.results(), sampling.frame()))
    assert ours.equals(theirs)
    assert again.damage() == []
    kept = next(tmp_path.rglob("passes/*.parquet"))
    kept.write_bytes(kept.read_bytes()[:-1])
    assert "its content does not match its digest" in again.damage()[0]


def test_sampling_can_be_stopped(asking: Any, population: Any) -> None:
    def stop() -> None:
        raise StoppedError(2)

    work = asking.task, asking.model, population.params, asking.seeds
    with pytest.raises(StoppedError):
        sampled(*work, ASKED, between=stop)


def test_it_is_part_of_what_a_cell_is(tiny: Any, asking: Any) -> None:
    assert Experiment.from_json(asking.to_json()) == asking
    assert Experiment.from_json(tiny.to_json()) == tiny
    before = {k: v for k, v in json.loads(tiny.to_json()).items() if k != "pass_until"}
    assert Experiment.from_json(json.dumps(before)) == tiny  # as written before it could be asked for
    assert asking.cell != tiny.cell
    name, (cap,) = parse(asking, "pass_until.cap=99")
    changed = override(asking, {name: cap})
    assert changed.pass_until == replace(ASKED, cap=99)
    assert changed.cell != asking.cell


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"items": -1}, "items=-1: must be at least 1, or 0 for all"),
        ({"r": 1}, "r=1, cap=40: r must be at least 2, and cap at least r"),
        ({"cap": 1}, "r=2, cap=1: r must be at least 2, and cap at least r"),
        ({"temperature": 0.0}, "temperature=0.0: must be a positive number"),
    ],
)
def test_bad_fields(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        replace(ASKED, **changes)


def test_items_that_are_not_there(tiny: Any) -> None:
    message = "pass_until: no evaluation set is 'test' of length 4; there are 'test' of length 3, 'test' of"
    with pytest.raises(ValueError, match=message):
        replace(tiny, pass_until=PassUntil("test", 4))


def test_the_command_line_cannot_make_one(tiny: Any) -> None:
    with pytest.raises(ValueError, match="pass_until=5: must be given in a study or None"):
        parse(tiny, "pass_until=5")
    with pytest.raises(ValueError, match=r"unknown field pass_until.cap: pass_until is a plain value"):
        parse(tiny, "pass_until.cap=5")


def test_seeds_that_rules_stopped_have_what_they_were_trained_for(sampling: Any) -> None:
    at = np.array([-1, 3, -1, 7, 3])
    evaluations = [
        each._replace(stopped_at=np.where(at <= each.step, at, -1)) for each in sampling.evaluations
    ]
    ruled = replace(sampling.experiment, stop_when=(Above("exact_match", 1.0),))
    rows = replace(sampling, experiment=ruled, evaluations=tuple(evaluations)).frame()
    same = ["init_seed", "step", "tokens", "flops", "stopped_at"]
    added = rows.filter(metric="pass_rate").select(same)
    assert added.equals(rows.filter(metric="answer_nll", length=3, step=7).select(same))
    assert added["stopped_at"].to_list() == [None, 3, None, 7, 3]
    assert (added["tokens"] / (2 * 13)).to_list() == [7, 3, 7, 7, 3]
