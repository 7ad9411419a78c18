"""Is the forward pass the one that the specification describes?"""

from __future__ import annotations

import functools
import itertools
from typing import Any

import jax
import numpy as np
import pytest

from jaxemerge.devices import compiled
from jaxemerge.models import Transformer, apply, init
from numpy_decoder import FAULTS, NO_FAULT, NumpyDecoder
from small_cell import parameter_shapes

BATCH, LENGTH, VOCABULARY = 3, 7, 11
TOLERANCE = 3e-6  # largest difference over largest logit; float32 against float64; 1e-6 seen

CHOICES: dict[str, tuple[Any, ...]] = {
    "residual": ("sequential", "parallel"),
    "norm": ("rms", "layer"),
    "mlp": ("gelu", "geglu", "swiglu"),
    "tied": (False, True),
    "bias": (False, True),
    "rotary_fraction": (0.0, 0.25, 0.5, 1.0),
}
EVERY = [dict(zip(CHOICES, values, strict=True)) for values in itertools.product(*CHOICES.values())]
# The quick run takes those whose choices, counted, add up to a multiple of four: all pairs of choices.
QUICK = [f for f in EVERY if sum(CHOICES[name].index(value) for name, value in f.items()) % 4 == 0]
SOME = [pytest.param(f, marks=[] if f in QUICK else pytest.mark.slow) for f in EVERY]
# Rotation is fast and the epsilon large, so that a fault in either cannot hide.
BASE: dict[str, Any] = {"mlp_ratio": 37 / 24, "norm_epsilon": 0.05, "rotary_base": 101.0, "max_positions": 9}


def spec_of(fields: dict[str, Any]) -> Transformer:
    return Transformer(depth=2, width=24, heads=3, **{**BASE, **fields})


def weights(spec: Transformer, vocabulary: int = VOCABULARY, key: int = 0) -> dict[Any, Any]:
    """Weights far from their initial values: every nonlinearity bends, no bias is 0, no scale is 1."""
    # Nothing else changes the shapes: 24 trees and those of positions serve all specifications.
    choices = spec.norm, spec.mlp, spec.tied, spec.bias, spec.positions
    return _weights(choices, vocabulary, key)


@functools.cache
def _weights(choices: tuple[Any, ...], vocabulary: int, key: int) -> dict[Any, Any]:
    spec = spec_of(dict(zip(("norm", "mlp", "tied", "bias", "positions"), choices, strict=True)))
    rng = np.random.default_rng(key)

    def draw(path: Any, leaf: jax.ShapeDtypeStruct) -> np.ndarray:
        noise = rng.normal(size=leaf.shape).astype(np.float32)
        name = str(path[-1].key).rpartition("_")[2]
        if name == "scale":
            return 1 + 0.3 * noise
        return {"kernel": 0.4, "bias": 0.5, "embedding": 1.0, "head": 1.0}[name] * noise

    return jax.tree_util.tree_map_with_path(draw, parameter_shapes(spec, vocabulary))


def tokens_of(batch: int = BATCH, length: int = LENGTH, vocabulary: int = VOCABULARY) -> np.ndarray:
    return np.random.default_rng(1).integers(0, vocabulary, (batch, length), dtype=np.int32)


def distance(seen: Any, expected: np.ndarray) -> float:
    return float(np.max(np.abs(np.asarray(seen, np.float64) - expected)) / np.max(np.abs(expected)))


@pytest.mark.parametrize("fields", SOME, ids=lambda f: "-".join(str(v) for v in f.values()))
def test_equals_numpy(fields: dict[str, Any]) -> None:
    spec, tokens = spec_of(fields), tokens_of()
    params = weights(spec)
    logits = apply(spec, VOCABULARY, params, tokens)
    assert logits.shape == (BATCH, LENGTH, VOCABULARY)
    assert logits.dtype == np.float32
    assert distance(logits, NumpyDecoder(spec)(params, tokens)) < TOLERANCE


@pytest.mark.parametrize("number", [5, 54, 103, 188])
def test_equals_numpy_when_compiled(number: int) -> None:
    spec, tokens = spec_of(EVERY[number]), tokens_of()
    params = weights(spec)
    logits = compiled(lambda p, t: apply(spec, VOCABULARY, p, t))(params, tokens)
    assert distance(logits, NumpyDecoder(spec)(params, tokens)) < TOLERANCE


@pytest.mark.parametrize("name", FAULTS)
def test_sees_a_fault(name: str) -> None:
    faulty, fields = FAULTS[name]
    spec, tokens = spec_of(fields), tokens_of()
    params = weights(spec)
    logits = apply(spec, VOCABULARY, params, tokens)
    assert distance(logits, NumpyDecoder(spec)(params, tokens)) < TOLERANCE
    assert distance(logits, faulty(spec)(params, tokens)) > 30 * TOLERANCE


def test_sees_only_distances() -> None:
    spec, tokens = spec_of({"rotary_fraction": 1.0}), tokens_of()
    params = weights(spec)
    assert distance(apply(spec, VOCABULARY, params, tokens), NO_FAULT(spec)(params, tokens)) < TOLERANCE


@pytest.mark.parametrize("tied", [False, True])
def test_head_is_tied_only_if_asked(tied: bool) -> None:
    spec = spec_of({"tied": tied})
    params, tokens = weights(spec), tokens_of()
    assert ("head" in params) is not tied
    other = NumpyDecoder(spec_of({"tied": not tied}))
    logits = apply(spec, VOCABULARY, params, tokens)
    assert distance(logits, other({"head": params["embedding"][::-1], **params}, tokens)) > 30 * TOLERANCE


@pytest.mark.parametrize("residual", CHOICES["residual"])
def test_gradient_sees_the_past_and_nothing_else(residual: str) -> None:
    """With different tokens at all places, a row of the embedding's gradient is that of one input."""
    batch, length, vocabulary = 2, 7, 17
    spec = spec_of({"residual": residual})
    params = weights(spec, vocabulary)
    tokens = np.random.default_rng(2).permutation(vocabulary)[: batch * length].reshape(batch, length)
    direction = np.random.default_rng(3).normal(size=vocabulary).astype(np.float32)

    def seen(table: jax.Array) -> jax.Array:
        return apply(spec, vocabulary, {**params, "embedding": table}, tokens) @ direction

    jacobian = np.asarray(jax.jit(jax.jacrev(seen))(params["embedding"]))  # [B, L, V, D]
    at_inputs = np.abs(jacobian[:, :, tokens, :]).max(-1)  # [B, L, B', L']
    past = np.tril(np.ones((length, length), bool))
    allowed = np.eye(batch, dtype=bool)[:, None, :, None] & past[None, :, None, :]
    assert np.all(at_inputs[~allowed] == 0)
    assert np.all(at_inputs[allowed] > 1e-4)
    assert np.all(jacobian[:, :, np.setdiff1d(np.arange(vocabulary), tokens)] == 0)


BFLOAT16_TOLERANCE = 0.04  # of the largest logit; 0.022 seen. bfloat16 keeps 8 bits: 2^-9 per rounding


@pytest.mark.parametrize("number", [0, 71, 120, 187])
def test_bfloat16_logits(number: int) -> None:
    fine, coarse = (spec_of({**EVERY[number], "dtype": dtype}) for dtype in ("float32", "bfloat16"))
    params, tokens = weights(fine), tokens_of()
    logits = apply(coarse, VOCABULARY, params, tokens)
    assert logits.dtype == np.float32
    assert 30 * TOLERANCE < distance(logits, NumpyDecoder(fine)(params, tokens)) < BFLOAT16_TOLERANCE


def test_bfloat16_keeps_weights_and_gradients_in_float32() -> None:
    fine, coarse = (spec_of({**EVERY[120], "dtype": dtype}) for dtype in ("float32", "bfloat16"))
    params, tokens = weights(fine), tokens_of()

    @functools.partial(jax.jit, static_argnums=0)
    def gradient(spec: Transformer, params: Any) -> Any:
        return jax.grad(lambda p: (apply(spec, VOCABULARY, p, tokens) ** 2).mean())(params)

    rough = gradient(coarse, params)
    for tree in (parameter_shapes(coarse, VOCABULARY), rough):
        assert {leaf.dtype for leaf in jax.tree.leaves(tree)} == {np.dtype(np.float32)}
    for seen, right in zip(jax.tree.leaves(rough), jax.tree.leaves(gradient(fine, params)), strict=True):
        assert 1e-5 < np.linalg.norm(seen - right) / np.linalg.norm(right) < 0.05


def test_initial_weights() -> None:
    spec = Transformer(1, 30, 5, rotary_fraction=1.0, init_std=0.07, mlp_ratio=2.1)
    draw = jax.jit(lambda key: init(spec, 101, key))
    params = draw(jax.random.key(4))
    for path, leaf in jax.tree_util.tree_leaves_with_path(params):
        name = str(path[-1].key)
        if name in ("kernel", "embedding", "head"):
            # The standard deviation of n draws is right to about 1 / sqrt(2 n).
            assert abs(np.std(leaf) / 0.07 - 1) < 4 / np.sqrt(2 * leaf.size)
            assert abs(np.mean(leaf)) < 4 * 0.07 / np.sqrt(leaf.size)
        else:
            assert np.all(np.asarray(leaf) == {"bias": 0, "scale": 1}[name])
    drawn = [np.asarray(leaf).ravel() for leaf in jax.tree.leaves(params) if leaf.ndim == 2]
    starts = [tuple(values[:3]) for values in drawn]
    assert len(set(starts)) == len(starts) == 4 + 2  # no two matrices share their numbers
    again, other = draw(jax.random.key(4)), draw(jax.random.key(5))
    assert all(np.array_equal(a, b) for a, b in zip(drawn, _matrices(again), strict=True))
    assert not any(np.array_equal(a, b) for a, b in zip(drawn, _matrices(other), strict=True))


def _matrices(params: Any) -> list[np.ndarray]:
    return [np.asarray(leaf).ravel() for leaf in jax.tree.leaves(params) if leaf.ndim == 2]
