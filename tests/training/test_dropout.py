"""Is dropout drawn per data seed and step, for each seed on its own, and never at evaluation?"""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxemerge.models import init
from jaxemerge.models.positions import dropped
from jaxemerge.training.objective import NextToken, noise_key
from jaxemerge.training.step import data_key
from small_cell import CELL, Cell, built, of, run, same, seed_of

RATE = 0.3
MODEL = dataclasses.replace(CELL.model, dropout=RATE)
DROPPING = Cell(model=MODEL)
PARAMS = init(MODEL, CELL.task.vocabulary, jax.random.key(0))
OBJECTIVE = NextToken(CELL.task, MODEL, CELL.batch, CELL.context)


def test_numbers_are_dropped_at_the_rate_and_keep_their_mean() -> None:
    seen = np.asarray(dropped(jnp.ones((501, 401)), RATE, jax.random.key(0)))
    assert set(np.unique(seen)) == {np.float32(0), np.float32(1 / (1 - RATE))}
    share = (seen == 0).mean()
    assert abs(share - RATE) < 4 * np.sqrt(RATE * (1 - RATE) / seen.size)
    assert seen.mean() == pytest.approx(1, abs=0.01)


def test_a_steps_masks_follow_from_data_seed_and_step() -> None:
    loss = jax.jit(OBJECTIVE.loss)
    losses = {
        (seed, step): float(loss(PARAMS, data_key(np.uint32(seed), step)))
        for seed in (1, 2)
        for step in (5, 6)
    }
    assert len(set(losses.values())) == 4
    assert losses[1, 5] == float(loss(PARAMS, data_key(np.uint32(1), 5)))


def test_the_key_of_the_masks_is_that_of_no_window() -> None:
    key = data_key(np.uint32(1), 5)
    windows = jax.random.key_data(jax.random.split(key, 300))
    assert not np.any(np.all(windows == jax.random.key_data(noise_key(key))[None], axis=-1))


def test_dropout_changes_the_training_loss() -> None:
    plain = NextToken(CELL.task, CELL.model, CELL.batch, CELL.context)
    key = data_key(np.uint32(1), 5)
    assert abs(float(plain.loss(PARAMS, key)) - float(OBJECTIVE.loss(PARAMS, key))) > 1e-4


def test_evaluation_drops_nothing() -> None:
    tokens = np.arange(14, dtype=np.int32).reshape(2, 7) % CELL.task.vocabulary
    read = [m.apply(CELL.task.vocabulary, PARAMS, tokens, 0 * tokens) for m in (MODEL, CELL.model)]
    assert np.array_equal(*read)
    losses = [m.losses(CELL.task.vocabulary, PARAMS, tokens, 0 * tokens, tokens) for m in (MODEL, CELL.model)]
    assert np.array_equal(*losses)


def test_a_seed_does_not_see_its_neighbours() -> None:
    """Seed 7 next to 3, and next to 11, in one vmap: the same weights to the last bit."""
    program = built(1, 2, DROPPING)
    first, second = (run(program, of(seeds), 6)[0].params for seeds in ([3, 7], [11, 7]))
    assert same(seed_of(first, 1), seed_of(second, 1))
    assert not same(seed_of(first, 0), seed_of(second, 0))
    alone = run(built(1, 1, DROPPING), of([7]), 6)[0].params
    for one, other in zip(seed_of(alone, 0), seed_of(first, 1), strict=True):
        np.testing.assert_allclose(one, other, atol=2e-4)
    without = run(built(1, 2), of([3, 7]), 6)[0].params
    assert not same(seed_of(first, 1), seed_of(without, 1))


def test_a_planted_coupling_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    """Masks of one key for all seeds: two members with the same weights and other data seeds drop alike."""
    from jaxemerge.training import objective

    keys = [data_key(np.uint32(seed), 5) for seed in (1, 2)]
    mine, theirs = (jax.random.key_data(noise_key(key)) for key in keys)
    assert not np.array_equal(mine, theirs)
    monkeypatch.setattr(objective, "noise_key", lambda key: jax.random.key(0))
    tokens = np.arange(14, dtype=np.int32).reshape(2, 7) % CELL.task.vocabulary
    args = (CELL.task.vocabulary, PARAMS, tokens, 0 * tokens, tokens)
    coupled = [MODEL.training_losses(*args, objective.noise_key(key)) for key in keys]
    apart = [MODEL.training_losses(*args, noise_key(key)) for key in keys]
    assert np.array_equal(*coupled)
    assert not np.array_equal(*apart)
