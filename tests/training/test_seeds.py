"""Is a seed a seed, whoever it is trained with, on whatever devices, however training is cut?"""

from __future__ import annotations

import functools
import itertools
import re
from dataclasses import replace
from typing import Any

import jax
import numpy as np
import pytest
from jax.sharding import PartitionSpec

from jaxemerge.devices import compiled
from jaxemerge.training import check_seeds, crossed, members, paired, population, program, train_population
from jaxemerge.training.population import dispatches
from jaxemerge.training.step import data_key, init_key
from small_cell import CELL, SIXTEEN, Cell, built, distance, of, run, same, seed_of, settled, training_batch

# Bits and rounding are to be those that users get.
pytestmark = pytest.mark.usefixtures("full_optimization")

STEPS = 7
# devices, width, seeds: seed 7 alone, among 3 and among 16; every layout costs a compilation
LAYOUTS = [
    (1, 1, [7]),
    (1, 4, SIXTEEN),
    (2, 1, SIXTEEN),
    *(
        pytest.param(*layout, marks=pytest.mark.slow)
        for layout in (
            (1, 1, [5, 7, 2]),
            (2, 1, [3, 7]),
            (2, 4, SIXTEEN),
            (2, 16, SIXTEEN * 2),
        )
    ),
]
# One seed at a time on one device, the numbers are the same to the last bit. Side by side, or on more
# devices, XLA fuses otherwise and rounds otherwise: 5e-7 of the largest entry seen after 7 steps.
TOLERANCE = 3e-6
KEY_BIAS_TOLERANCE = 2e-3  # see small_cell.settled; 2e-4 seen


@functools.cache
def trained(devices: int, width: int, seeds: tuple[int, ...]) -> tuple[Any, Any, Any]:
    """Initial state, state after STEPS steps, and info."""
    one, who = built(devices, width), of(seeds)
    first = jax.tree.map(np.asarray, one.init(one.place(who)))
    return first, *run(one, who, STEPS)


@pytest.mark.parametrize(
    ("devices", "width", "seeds"), LAYOUTS, ids=lambda v: str(len(v) if isinstance(v, list) else v)
)
def test_seed_does_not_depend_on_its_layout(devices: int, width: int, seeds: list[int]) -> None:
    assert len(jax.devices()) >= 2
    place = seeds.index(7)
    alone, together = trained(1, 1, (7,)), trained(devices, width, tuple(seeds))
    assert same(seed_of(together[0], place), seed_of(alone[0], 0))
    final, info = seed_of(together[1], place), seed_of(together[2], place)
    if (devices, width) == (1, 1):
        assert same(final, seed_of(alone[1], 0))
        assert same(info, seed_of(alone[2], 0))
    else:
        assert distance(info, seed_of(alone[2], 0)) < TOLERANCE
        one, other = (
            jax.tree.map(lambda leaf, i=i: leaf[i], tree.params)
            for tree, i in ((together[1], place), (alone[1], 0))
        )
        assert distance(settled(one), settled(other)) < TOLERANCE
        assert distance(jax.tree.leaves(one), jax.tree.leaves(other)) < KEY_BIAS_TOLERANCE
    neighbour = seed_of(together[1].params, (place + 1) % len(seeds))
    assert len(seeds) == 1 or distance(neighbour, seed_of(alone[1].params, 0)) > 0.1


@pytest.mark.slow
@pytest.mark.parametrize(
    ("devices", "width", "few", "many"), [(2, 1, (3, 7), SIXTEEN), (1, 4, SIXTEEN[:4], SIXTEEN)]
)
def test_number_of_seeds_changes_no_bit(devices: int, width: int, few: Any, many: Any) -> None:
    """With the same devices and width, a seed's numbers are the same whoever else is in the chunk."""
    one, other = trained(devices, width, tuple(few))[1], trained(devices, width, tuple(many))[1]
    assert same(seed_of(one, few.index(7)), seed_of(other, many.index(7)))


@pytest.mark.slow
def test_copies_of_a_seed_are_alike() -> None:
    """The seeds of the second device repeat those of the first."""
    final = trained(2, 16, tuple(SIXTEEN * 2))[1]
    for i in range(16):
        assert same(seed_of(final, i), seed_of(final, 16 + i))


def batch(data_seed: int, step: int, init_seed: int = 0) -> list[np.ndarray]:
    member = jax.tree.map(lambda leaf: leaf[0], members([(init_seed, data_seed)], 0.1, 0.1, 13))
    return jax.tree.leaves(jax.tree.map(np.asarray, draw(member, step)))


draw = jax.jit(lambda member, step: training_batch(CELL, member, step))


def test_data_are_a_function_of_seed_and_step() -> None:
    assert same(batch(7, 3), batch(7, 3, init_seed=5))
    different = {batch(seed, step)[0].tobytes() for seed in (0, 1, 7, 2**32 - 1) for step in range(5)}
    assert len(different) == 20


def test_data_do_not_depend_on_the_layout() -> None:
    who = of(SIXTEEN)
    one_by_one = jax.jit(lambda who: jax.lax.map(lambda m: training_batch(CELL, m, 5), who))(who)
    side_by_side = jax.jit(jax.vmap(lambda m: training_batch(CELL, m, 5)))(who)
    for i, seed in enumerate(SIXTEEN):
        assert same(seed_of(one_by_one, i), batch(seed, 5))
        assert same(seed_of(side_by_side, i), batch(seed, 5))


def test_initial_weights_and_data_have_their_own_seeds() -> None:
    who = members(crossed([3, 4, 5, 6], [3, 9, 8, 4]), 0.01, 0.2, 13)
    one = built(1, 4)
    first = jax.tree.map(np.asarray, one.init(one.place(who))).params
    losses = run(one, who, 1)[1].last.loss.reshape(4, 4)
    for i in range(16):
        for j in range(i):  # the same weights if and only if the same init_seed
            assert same(seed_of(first, i), seed_of(first, j)) == (i // 4 == j // 4)
    assert len(np.unique(losses)) == 16  # other data under the same weights, and the other way round


def test_weights_and_data_are_different_streams() -> None:
    """Of one seed no key is used twice: not itself, and not those that drawing weights derives from it."""
    weights = init_key(np.uint32(3))
    keys = [weights, init_key(np.uint32(4))]
    keys += [jax.random.fold_in(weights, count) for count in range(3)]
    keys += [data_key(np.uint32(3), step) for step in range(3)]
    assert len({jax.random.key_data(key).tobytes() for key in keys}) == 8
    assert {str(jax.random.key_impl(key)) for key in keys} == {"threefry2x32"}


def test_hyperparameters_belong_to_members_and_need_no_compilation() -> None:
    one, seeds = built(1, 4), [1] * 16
    rates, decays = [0.01, 0.003, 0.03, 0.01] * 4, [0.2, 0.2, 0.0, 0.0] * 4
    mixed = run(one, of(seeds, learning_rate=rates, weight_decay=decays), STEPS)[0].params
    compilations = one.advance._cache_size()
    for i in range(4):
        alike = of(seeds, learning_rate=rates[i], weight_decay=decays[i])
        assert same(seed_of(mixed, i), seed_of(run(one, alike, STEPS)[0].params, i))
        for j in range(i):
            assert distance(seed_of(mixed, i), seed_of(mixed, j)) > 1e-4
    run(one, of(SIXTEEN), 2)
    assert one.advance._cache_size() == compilations


def test_cells_that_differ_in_hyperparameters_and_length_share_a_program() -> None:
    other = replace(CELL.optimizer, learning_rate=1.0, weight_decay=0.9, horizon=1.25)
    assert program(replace(CELL, optimizer=other, steps=14), built(1, 4).layout) is built(1, 4)
    for changes in ({"context": 19}, {"batch": 4}, {"optimizer": replace(CELL.optimizer, clip=0.8)}):
        assert program(replace(CELL, **changes), built(1, 4).layout) is not built(1, 4)


@pytest.mark.parametrize(("devices", "width", "seeds"), [(1, 4, SIXTEEN), (2, 1, SIXTEEN)])
@pytest.mark.parametrize("rate", [30.0, 1e30])
def test_seed_does_not_see_its_neighbours(devices: int, width: int, seeds: list[int], rate: float) -> None:
    wild = 5
    rates = np.full(16, CELL.optimizer.learning_rate)
    rates[wild] = rate
    calm = trained(devices, width, tuple(seeds))[1]
    state, info = run(built(devices, width), of(seeds, learning_rate=rates), STEPS)
    for i in range(16):
        assert same(seed_of(state, i), seed_of(calm, i)) == (i != wild)
    assert state.diverged.tolist() == [i == wild and rate == 1e30 for i in range(16)]
    assert np.isnan(info.loss_sum[wild]) == (rate == 1e30)


def test_divergence_is_remembered() -> None:
    """Also if a later loss were finite: the flag never goes back."""
    one, who = built(1, 1), of([7])
    state, _ = run(one, who, 2)
    state = state._replace(diverged=np.array([True]))
    assert run(one, who, 2, start=2, state=state)[0].diverged.tolist() == [True]


def test_a_diverged_seed_keeps_its_last_weights() -> None:
    one, who = built(1, 1), of([7], learning_rate=np.array([1e30]))
    start, _ = run(one, who, 4)
    assert start.diverged.tolist() == [True]
    kept = jax.tree.map(np.asarray, start)
    state, info = run(one, who, 3, start=4, state=start)
    assert all(np.isnan(part).all() for part in jax.tree.leaves(info.last))
    assert jax.tree.all(jax.tree.map(np.array_equal, state.params, kept.params))
    assert jax.tree.all(jax.tree.map(np.array_equal, state.optimizer, kept.optimizer))
    assert all(np.isfinite(part).all() for part in jax.tree.leaves(state.params))


def test_training_can_be_cut_anywhere() -> None:
    one, who = built(1, 1), of([7])
    whole = trained(1, 1, (7,))[1]
    for cut in (1, 3, 6):
        state, _ = run(one, who, cut)
        assert same(
            jax.tree.leaves(run(one, who, STEPS - cut, start=cut, state=state)[0]), jax.tree.leaves(whole)
        )
    state, _ = run(one, who, 3)
    wrong = run(one, who, STEPS - 3, start=4, state=state)[0]  # a step left out
    assert not same(jax.tree.leaves(wrong), jax.tree.leaves(whole))


@pytest.mark.parametrize("longest", [1, 2, 5, 100])
def test_train_population(longest: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Snapshots come where they are due, whatever the dispatches, and average the right losses."""
    monkeypatch.setattr(population, "LOSS_WINDOW", 3)
    one, who, evaluations = built(1, 4), of(SIXTEEN), (0, 2, 7, 13)
    losses, norms, state = [], [], None
    for step in range(13):
        state, info = run(one, who, 1, start=step, state=state)
        losses.append(info.last.loss.astype(np.float64))
        norms.append(info.last.gradient_norm)
    seen = list(train_population(one, who, evaluations, longest_dispatch=longest))
    assert same(jax.tree.leaves(jax.tree.map(np.asarray, seen[-1].state)), jax.tree.leaves(state))
    due = {snapshot.step: snapshot for snapshot in seen if snapshot.due}
    assert tuple(due) == evaluations
    windows = {2: [0, 1], 7: [4, 5, 6], 13: [10, 11, 12]}
    for stop, window in windows.items():
        np.testing.assert_allclose(
            due[stop].train_loss, np.mean([losses[t] for t in window], axis=0), rtol=1e-6
        )
        assert np.array_equal(due[stop].gradient_norm, norms[stop - 1])
    assert np.array_equal(due[0].train_loss, losses[0])
    assert np.array_equal(due[0].gradient_norm, norms[0])
    steps = [snapshot.step for snapshot in seen]
    assert steps == sorted(set(steps))
    assert max(np.diff(steps)) <= longest
    for snapshot in seen:
        if not snapshot.due:
            assert np.array_equal(snapshot.train_loss, losses[snapshot.step - 1])


def test_window_of_losses_does_not_reach_behind_the_last_evaluation() -> None:
    assert population.LOSS_WINDOW == 50
    one, who = built(1, 4), of(SIXTEEN)
    losses = [run(one, who, n)[1].loss_sum for n in (5, 13)]
    snapshots = list(train_population(one, who, (0, 5, 13)))
    np.testing.assert_allclose(snapshots[1].train_loss, losses[0] / 5, rtol=1e-6)
    np.testing.assert_allclose(snapshots[2].train_loss, (losses[1] - losses[0]) / 8, rtol=1e-5)


@pytest.mark.parametrize("longest", [1, 3, 7, 1000])
def test_dispatches(longest: int) -> None:
    evaluations = (0, 1, 8, 31, 100)
    cuts = dispatches(evaluations, longest)
    assert [t for start, stop in cuts for t in range(start, stop)] == list(range(100))
    assert max(stop - start for start, stop in cuts) <= longest
    assert set(evaluations) <= {0, *(stop for _, stop in cuts)}
    fewest = sum(-(-(b - a) // longest) for a, b in itertools.pairwise(evaluations))
    assert len(cuts) == fewest


COLLECTIVES = re.compile("all-reduce|all-gather|all-to-all|collective-permute|reduce-scatter")


@pytest.mark.slow
def test_devices_do_not_talk_to_each_other() -> None:
    one = built(2, 4)
    who = one.place(of(SIXTEEN))
    text = one.advance.lower(one.init(who), who, 0, STEPS, 0).compile().as_text()
    assert "dot" in text
    assert not COLLECTIVES.search(text)
    mesh = one.layout.sharding.mesh
    seed = PartitionSpec("seed")
    talking = jax.shard_map(lambda x: x - jax.lax.pmean(x, "seed"), mesh=mesh, in_specs=seed, out_specs=seed)
    assert COLLECTIVES.search(compiled(talking).lower(np.ones(16, np.float32)).compile().as_text())


def test_seeds_on_two_devices_are_shared_out() -> None:
    one = built(2, 1)
    state = one.init(one.place(of(SIXTEEN)))
    for leaf in jax.tree.leaves(state.params):
        assert [shard.data.shape[0] for shard in leaf.addressable_shards] == [8, 8]


def test_lists_of_seeds() -> None:
    assert paired(range(2, 4)) == ((2, 2), (3, 3))
    for call, message in (
        (lambda: paired(8), r"8 is a number: give the seeds themselves, as in paired\(range\(8\)\)"),
        (lambda: crossed(3, range(2)), r"3 is a number: .* as in crossed\(range\(3\), \.\.\.\)"),
        (lambda: crossed(range(2), 3), r"3 is a number: .* as in crossed\(\.\.\., range\(3\)\)"),
    ):
        with pytest.raises(ValueError, match=message):
            call()
    assert crossed([1, 2], iter([7, 9, 8])) == ((1, 7), (1, 9), (1, 8), (2, 7), (2, 9), (2, 8))
    who = members(((5, 2**32 - 1), (0, 3)), 0.5, 0.25, 40)
    assert who.init_seed.tolist() == [5, 0]
    assert who.data_seed.tolist() == [2**32 - 1, 3]
    assert {field.dtype.name for field in who[:2]} == {"uint32"}
    assert who.learning_rate.tolist() == [0.5, 0.5]
    assert who.weight_decay.tolist() == [0.25, 0.25]
    assert who.decay_steps.tolist() == [40, 40]
    check_seeds(paired(range(100)))
    check_seeds([(0, 2**32 - 1), (0, 0), (1, 0)])


@pytest.mark.parametrize(
    ("seeds", "message"),
    [
        ((), "seeds: none given; at least 1 is needed"),
        (paired([3, 4, 3]), "seeds: 3 is given twice; every seed must be different"),
        (((3, 4), (3, 4)), r"seeds: \(3, 4\) is given twice; every seed must be different"),
        (((0, -1),), r"seeds: \(0, -1\) must be integers of 0 to 4294967295"),
        (((2**32, 0),), r"seeds: \(4294967296, 0\) must be integers of 0 to 4294967295"),
    ],
)
def test_seed_errors(seeds: tuple[tuple[int, int], ...], message: str) -> None:
    with pytest.raises(ValueError, match=f"^{message}$"):
        check_seeds(seeds)


def test_cell_is_what_the_tests_think_it_is() -> None:
    assert Cell() == CELL
    assert CELL.model.mlp_width == 27
