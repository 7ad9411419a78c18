"""Are the logits of one more token those of a forward pass over the whole text?"""

from __future__ import annotations

import functools
from typing import Any

import jax
import numpy as np
import pytest

from jaxemerge.devices import compiled, compiling_for
from jaxemerge.models import Transformer, apply, init, llama, neox
from jaxemerge.models.transformer import Cache

VOCABULARY, BATCH, LENGTH, START = 11, 3, 13, 4
TOLERANCE = 5e-6  # largest difference over largest logit, in float32; 1e-6 seen
BASE = {"init_std": 0.4, "rotary_base": 101.0}  # fast rotation and sure weights: no fault can hide
SPECS = {
    "neox": neox(2, 24, 3, **BASE),
    "neox tied": neox(2, 24, 3, tied=True, rotary_fraction=0.5, **BASE),
    "not rotated": neox(2, 24, 3, rotary_fraction=0.0, **BASE),
    "llama": llama(2, 24, 3, **BASE),
    "llama tied": llama(2, 24, 3, tied=True, rotary_fraction=0.5, **BASE),
    "geglu": llama(2, 24, 3, mlp="geglu", residual="parallel", bias=True, **BASE),
    "none": neox(2, 24, 3, positions="none", **BASE),
    "learned": neox(2, 24, 3, positions="learned", max_positions=20, **BASE),
    "alibi": neox(2, 24, 3, positions="alibi", **BASE),
    "fire": llama(2, 24, 3, positions="fire", max_positions=6, **BASE),
    "within": neox(2, 24, 3, within_example=True, dropout=0.1, **BASE),
}


def tokens_of(key: int = 0) -> np.ndarray:
    return np.random.default_rng(key).integers(0, VOCABULARY, (BATCH, LENGTH), dtype=np.int32)


@functools.cache
def weights(spec: Transformer) -> Any:
    noise = iter(range(100))  # biases and scales that are not 0 and 1
    drawn = init(spec, VOCABULARY, jax.random.key(1))
    return jax.tree.map(
        lambda leaf: leaf + 0.2 * jax.random.normal(jax.random.key(next(noise)), leaf.shape), drawn
    )


def step_by_step(spec: Transformer, tokens: np.ndarray, dtype: Any = None, room: int = LENGTH) -> np.ndarray:
    """Logits after each position from the last of the beginning on."""
    params = weights(spec)
    start = compiled(lambda p, t: spec.read(VOCABULARY, p, t, dtype))
    more = compiled(lambda p, c, t, i: spec.extend(VOCABULARY, p, c, t, i))
    logits, cache = start(params, tokens[:, :START])
    seen, cache = [logits], cache.longer(room)
    for position in range(START, LENGTH):
        logits, cache = more(params, cache, tokens[:, position], position)
        seen.append(logits)
    return np.stack(seen, axis=1)


def whole(spec: Transformer, tokens: np.ndarray) -> np.ndarray:
    logits = compiled(lambda p, t: apply(spec, VOCABULARY, p, t))(weights(spec), tokens)
    return np.asarray(logits)[:, START - 1 :]


def distance(seen: np.ndarray, expected: np.ndarray) -> float:
    return float(np.abs(seen - expected).max() / np.abs(expected).max())


@pytest.mark.parametrize("name", SPECS)
def test_agrees_with_the_whole_text(name: str) -> None:
    spec, tokens = SPECS[name], tokens_of()
    assert distance(step_by_step(spec, tokens), whole(spec, tokens)) < TOLERANCE


@pytest.mark.parametrize("name", ["neox", "llama", "learned", "fire"])
def test_agrees_in_the_form_for_accelerators(name: str) -> None:
    spec, tokens = SPECS[name], tokens_of()
    on_host = whole(spec, tokens)
    with compiling_for("gpu"):
        assert distance(step_by_step(spec, tokens), on_host) < TOLERANCE


def test_sees_a_token_turned_by_one_position_too_many(monkeypatch: pytest.MonkeyPatch) -> None:
    from jaxemerge.models import layers

    spec, tokens = SPECS["neox"], tokens_of()
    right = layers.rotate_one
    monkeypatch.setattr(layers, "rotate_one", lambda x, at, n, *rest: right(x, at + 1, n + 1, *rest))
    assert distance(step_by_step(spec, tokens), whole(spec, tokens)) > 100 * TOLERANCE


@pytest.mark.parametrize("name", ["alibi", "fire"])
def test_sees_a_bias_of_one_position_too_many(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from jaxemerge.models.layers import Attention

    spec, tokens = SPECS[name], tokens_of()
    right = Attention._distance_bias

    def wrong(self: Attention, distance: Any, query: Any) -> Any:
        return right(self, distance[:, ::-1] if distance.shape[0] == 1 else distance, query)

    monkeypatch.setattr(Attention, "_distance_bias", wrong)
    assert distance(step_by_step(spec, tokens), whole(spec, tokens)) > 100 * TOLERANCE


def test_sees_a_row_of_the_table_too_far(monkeypatch: pytest.MonkeyPatch) -> None:
    from jaxemerge.models import transformer

    spec, tokens = SPECS["learned"], tokens_of()
    right = transformer.Windows
    monkeypatch.setattr(transformer, "Windows", lambda length, at: right(length, at + 1))
    assert distance(step_by_step(spec, tokens), whole(spec, tokens)) > 100 * TOLERANCE


def test_sees_a_position_too_far(monkeypatch: pytest.MonkeyPatch) -> None:
    """Room beyond the text is not looked at; looking one position too far is seen."""
    from jaxemerge.models import layers

    spec, tokens = SPECS["llama"], tokens_of()
    assert distance(step_by_step(spec, tokens, room=LENGTH + 7), whole(spec, tokens)) < TOLERANCE
    arange = layers.jnp.arange
    monkeypatch.setattr(layers.jnp, "arange", lambda n: arange(-1, n - 1))
    assert distance(step_by_step(spec, tokens), whole(spec, tokens)) > 100 * TOLERANCE


def test_cache_in_bfloat16() -> None:
    spec, tokens = SPECS["neox"], tokens_of()
    coarse = step_by_step(spec, tokens, dtype="bfloat16")
    assert coarse.dtype == np.float32
    assert 10 * TOLERANCE < distance(coarse, whole(spec, tokens)) < 0.02  # bfloat16 keeps 8 bits


def test_model_in_bfloat16() -> None:
    spec = neox(2, 24, 3, dtype="bfloat16", **BASE)
    cache = spec.read(VOCABULARY, weights(spec), tokens_of()[:, :START])[1]
    assert {leaf.dtype for leaf in jax.tree.leaves(cache)} == {jax.numpy.dtype("bfloat16")}
    assert distance(step_by_step(spec, tokens_of()), whole(spec, tokens_of())) < 0.04


def test_copies_and_bytes() -> None:
    spec = SPECS["neox"]
    cache: Cache = spec.read(VOCABULARY, weights(spec), tokens_of()[:, :START])[1]
    assert cache.length == START
    assert sum(leaf.nbytes for leaf in jax.tree.leaves(cache)) == BATCH * spec.cache_bytes(START)
    assert 2 * spec.cache_bytes(7, "bfloat16") == spec.cache_bytes(7)
    twice = cache.repeated(2)
    for one, two in zip(jax.tree.leaves(cache), jax.tree.leaves(twice), strict=True):
        assert np.array_equal(two[::2], one)
        assert np.array_equal(two[1::2], one)
