"""Is what stands inside members what NumPy computes, and does the last state give the predictions?"""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import numpy as np
import pytest

from jaxemerge.devices import Layout
from jaxemerge.evaluation import hidden
from jaxemerge.models import Transformer, apply, init, neox
from numpy_decoder import NumpyDecoder
from own_models import Table

V, S = 11, 3
SPECS = {
    "rotary": neox(2, 24, 3, init_std=0.4, rotary_base=101.0),
    "fire": neox(2, 24, 3, init_std=0.4, positions="fire", max_positions=4, residual="sequential"),
}
TOKENS = np.random.default_rng(0).integers(0, V, (2, 7), dtype=np.int32)
TOLERANCE = 1e-5  # float32 against float64, of the largest entry; 3e-6 seen


def population(spec: Transformer) -> Any:
    return jax.vmap(lambda i: init(spec, V, jax.random.fold_in(jax.random.key(0), i)))(np.arange(S))


@pytest.mark.parametrize("name", SPECS)
def test_equals_numpy_for_every_member(name: str) -> None:
    spec = SPECS[name]
    params = population(spec)
    seen = hidden(spec, params, TOKENS, attention=True)
    assert seen.residual.shape == (S, 3, 2, 7, 24)
    assert seen.attention is not None
    assert seen.attention.shape == (S, 2, 2, 3, 7, 7)
    reference = NumpyDecoder(spec)
    for s in range(S):
        member = jax.tree.map(lambda leaf, s=s: np.asarray(leaf[s]), params)
        for b in range(2):
            residual, attention = reference.stream(member, TOKENS[b])
            np.testing.assert_allclose(
                seen.residual[s, :, b], residual, atol=TOLERANCE * np.abs(residual).max()
            )
            np.testing.assert_allclose(seen.attention[s, :, b], attention, atol=TOLERANCE)
    assert np.abs(seen.residual[0] - seen.residual[1]).max() > 0.1
    np.testing.assert_allclose(seen.attention.sum(-1), 1, atol=1e-6)


def test_the_last_state_through_the_head_is_the_prediction() -> None:
    for spec in (*SPECS.values(), neox(2, 24, 3, tied=True, init_std=0.4)):
        params = init(spec, V, jax.random.key(1))
        seen = spec.hidden(params, TOKENS)
        assert seen.attention is None
        logits = apply(spec, V, params, TOKENS)
        np.testing.assert_allclose(spec.unembed(params, seen.residual[-1]), logits, atol=TOLERANCE)
        assert np.abs(spec.unembed(params, seen.residual[-2]) - logits).max() > 0.1


def test_segments_keep_examples_apart() -> None:
    spec = dataclasses.replace(SPECS["rotary"], within_example=True)
    params = init(spec, V, jax.random.key(1))
    segments = np.array([[0, 0, 0, 1, 1, 1, 1]] * 2, np.int32)
    attention = spec.hidden(params, TOKENS, attention=True, segments=segments).attention
    assert attention is not None
    assert np.all(attention[..., 3:, :3] == 0)
    assert np.all(attention[..., 3, 3] == 1)


def test_any_layout_gives_the_same() -> None:
    spec = SPECS["rotary"]
    one, two = (
        hidden(spec, population(spec), TOKENS, layout=Layout(tuple(jax.devices()[:1]), width)).residual
        for width in (1, 2)
    )
    np.testing.assert_allclose(one, two, atol=TOLERANCE)


def test_says_what_is_wrong() -> None:
    with pytest.raises(ValueError, match=r"^tokens of shape \[7\]: must be \[texts, tokens\]$"):
        hidden(SPECS["rotary"], population(SPECS["rotary"]), TOKENS[0])
    for tokens, why in (
        (TOKENS + 0.5, "tokens of type float64: must be whole numbers"),
        ("1 2 3", "tokens of type <U5: must be whole numbers"),
        (TOKENS - V, r"token -\d+: must be 0 to 10"),
        (TOKENS + V, r"token \d+: must be 0 to 10"),
    ):
        with pytest.raises(ValueError, match=f"^{why}$"):
            hidden(SPECS["rotary"], population(SPECS["rotary"]), tokens, vocabulary=V)
    with pytest.raises(ValueError, match=r"^Table has no hidden states: give it a method hidden"):
        Table().hidden({}, TOKENS)
    with pytest.raises(ValueError, match=r"^Table has no head: give it a method unembed"):
        Table().unembed({}, np.zeros((1, 2)))
    spec, member = SPECS["rotary"], jax.tree.map(lambda x: x[0], population(SPECS["rotary"]))
    for swapped in (
        lambda: spec.hidden(TOKENS, member),
        lambda: spec.unembed(np.zeros((1, 24)), member),
        lambda: hidden(spec, TOKENS, population(spec)),
    ):
        with pytest.raises(ValueError, match=r"^(params of type ndarray: give|tokens of type object: must)"):
            swapped()
