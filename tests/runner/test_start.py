"""Training that starts from given weights, and weights that are kept along the way."""

import dataclasses

import jax
import numpy as np
import pytest

from chunks import run_chunk
from jaxemerge import Experiment, crossed, export, load, load_series, neox, paired, train
from jaxemerge.files import DamagedError
from jaxemerge.runner.jobs import common, jobs
from jaxemerge.runner.opening import create_store
from jaxemerge.runner.records import StoreError
from jaxemerge.runner.weights import kept_steps


def same(left, right):
    pairs = zip(jax.tree.leaves(left), jax.tree.leaves(right), strict=True)
    return all(a.dtype == b.dtype and a.tobytes() == b.tobytes() for a, b in pairs)


def of(params, places):
    return jax.tree.map(lambda leaf: leaf[places], params)


@pytest.fixture(scope="module")
def members(population, tmp_path_factory):
    return export(population, tmp_path_factory.mktemp("export") / "members")


def test_members_start_where_they_ended(tiny, population, members):
    """In another order and chunk; from memory, what was loaded, and the path alike."""
    chosen = tiny.with_seeds(paired([4, 1, 3]))
    last = population.evaluations[-1].scores
    found = [train(chosen, start=source, chunk=2) for source in (population, load(members), members)]
    for each in found:
        first = each.evaluations[0]
        assert first.step == 0
        assert same(first.scores, of(last, [4, 1, 3]))
        assert same(each.params, found[0].params)
        assert not same(each.params, of(population.params, [4, 1, 3]))
    assert len({each.experiment.cell for each in found}) == 1
    assert found[0].experiment.cell != tiny.cell


def test_one_member_serves_all_seeds_and_data_orders_find_their_weights(tiny, population, members):
    one = tiny.with_seeds(crossed([9], [2, 5]))
    weights = of(population.params, 3)
    [a, b] = (train(one, start=s, keep_weights_at=(0,)) for s in (members / "seed-3.safetensors", weights))
    assert same(a.params, b.params)
    assert same(a.kept[0], jax.tree.map(lambda leaf: np.stack([leaf, leaf]), weights))
    assert a.experiment.cell == b.experiment.cell
    orders = tiny.with_seeds(crossed([3, 0], [7]))
    kept = train(orders, start=population, keep_weights_at=(0,)).kept[0]
    assert same(kept, of(population.params, [3, 0]))


def test_what_cannot_be_started_from_is_named(tiny, population, members, tmp_path):
    wider = dataclasses.replace(tiny, model=neox(1, 32, 2))
    expected = (
        r"start: weights: blocks.0.attention.out.bias is float32\[24\], and the model's is float32\[32\]"
    )
    with pytest.raises(ValueError, match=expected):
        train(wider, start=population)
    with pytest.raises(ValueError, match=r"start: no member for seed 9; there are 5, the first \(0, 0\)"):
        train(tiny.with_seeds(paired([9])), start=members)
    several = dataclasses.replace(population, experiment=tiny.with_seeds(crossed([0], range(5))))
    with pytest.raises(ValueError, match="start: 5 members for seed"):
        train(tiny.with_seeds([(0, 9)]), start=several)
    with pytest.raises(ValueError, match="start is of type int: give a population"):
        train(tiny, start=3)
    with pytest.raises(DamagedError, match=r"is no export: there is no config\.json in it"):
        train(tiny, start=tmp_path)
    known = Experiment.from_json(dataclasses.replace(tiny, start=population).to_json())
    assert known.cell == dataclasses.replace(tiny, start=population).cell
    with pytest.raises(ValueError, match=r"start: the weights with digest .* are not here"):
        train(known)


def test_starts_are_part_of_a_cell_and_share_no_chunk(tiny, population):
    other = dataclasses.replace(population, params=jax.tree.map(lambda x: x + 1, population.params))
    cells = [dataclasses.replace(tiny, start=start) for start in (None, population, other)]
    assert len({cell.cell for cell in cells}) == 3
    assert len({common(cell) for cell in cells}) == 3
    assert dataclasses.replace(tiny, start=population) == cells[1]


def test_a_folder_trains_from_them_and_keeps_weights_along_the_way(tiny, population, tmp_path):
    started = dataclasses.replace(tiny, start=population)
    store = create_store(tmp_path, "tiny", [started])
    [job] = jobs([started], store, chunk=2)
    for seeds in job.chunks:
        for _ in run_chunk(job, seeds, store, keep_weights_at="log"):
            pass
    whole = train(started, chunk=2, keep_weights_at="log")
    keys = ["init_seed", "step", "split", "length", "metric"]
    assert store.results().sort(keys).equals(whole.frame().sort(keys))
    series = load_series(tmp_path)
    assert list(series) == list(whole.kept) == [0, 1, 2, 4, 7]
    for step, seen in series.items():
        assert seen.experiment.seeds == tiny.seeds
        assert same(seen.params, whole.kept[step])
    assert same(series[0].params, population.params)
    assert same(series[7].params, whole.params)
    with pytest.raises(ValueError, match="cell 'other' must be one of count-depth1"):
        load_series(tmp_path, "other")
    victim = next((tmp_path / "cells" / started.cell / "snapshots").rglob("*.safetensors"))
    victim.write_bytes(victim.read_bytes()[:-1] + b"\xff")
    with pytest.raises(StoreError, match=r"is damaged|holds no weights"):
        load_series(tmp_path)


def test_kept_weights_change_no_others(tiny, population):
    """Steps between evaluations included: training only pauses there."""
    seen = train(tiny, chunk=2, keep_weights_at=(5, 1))
    assert list(seen.kept) == [1, 5]
    assert same(seen.params, population.params)
    for a, b in zip(seen.evaluations, population.evaluations, strict=True):
        assert same(a.scores, b.scores)
        np.testing.assert_allclose(a.train_loss, b.train_loss, rtol=1e-6)


def test_steps_to_keep():
    assert kept_steps("log", 1) == (0, 1)
    assert kept_steps("log", 8) == (0, 1, 2, 4, 8)
    assert kept_steps([9, 0, 9], 9) == (0, 9)
    with pytest.raises(ValueError, match="step 10 must lie between 0 and steps=9"):
        kept_steps([10], 9)
    for wrong, why in (
        (5, r"keep_weights_at=5: must be 'log' or a list of steps, as in \[5\]"),
        ([1.5], "step 1.5"),
    ):
        with pytest.raises(ValueError, match=why):
            kept_steps(wrong, 9)
    with pytest.raises(ValueError, match="must be 'log' or a list of steps"):
        kept_steps("linear", 9)
