"""Are all kinds of positions, and attention within examples, those that the specification describes?"""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxemerge.devices import compiled, compiling_for
from jaxemerge.models import Transformer, apply, check_model, init, neox
from jaxemerge.models.implementation import implementation
from jaxemerge.models.positions import alibi_slopes, restarted
from models.test_forward import TOLERANCE, VOCABULARY, distance, spec_of, tokens_of, weights
from numpy_decoder import NumpyDecoder

KINDS = ("rotary", "none", "learned", "alibi", "fire")
BEYOND = {"learned", "fire"}  # kinds that see more than distances
SEGMENTS = np.array([[0, 0, 0, 1, 1, 1, 1], [0, 1, 1, 2, 2, 2, 2], [0, 0, 0, 0, 0, 0, 0]], np.int32)
OF_KIND: dict[str, dict[str, Any]] = {"fire": {"max_positions": 4}}  # a threshold within the text


def spec_with(kind: str, **changes: Any) -> Transformer:
    return spec_of({"positions": kind, "rotary_fraction": 0.5, **OF_KIND.get(kind, {}), **changes})


def one_block(kind: str) -> Any:
    """Weights of the first block alone."""
    params = weights(spec_with(kind))
    return {**params, "blocks": {0: params["blocks"][0]}}


@pytest.mark.parametrize("platform", ["cpu", "gpu"])
@pytest.mark.parametrize("within", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_equals_numpy(kind: str, within: bool, platform: str) -> None:
    spec, tokens = spec_with(kind, within_example=within), tokens_of()
    params = weights(spec)
    with compiling_for(platform):
        logits = apply(spec, VOCABULARY, params, tokens, SEGMENTS)
    assert distance(logits, NumpyDecoder(spec)(params, tokens, SEGMENTS)) < TOLERANCE
    crossing = NumpyDecoder(spec_with(kind, within_example=not within))
    assert distance(logits, crossing(params, tokens, SEGMENTS)) > 30 * TOLERANCE


@pytest.mark.parametrize("kind", KINDS)
def test_examples_of_a_window_are_those_alone(kind: str) -> None:
    """Kept within its example, a token sees what it would see if its example were the whole window."""
    spec, tokens = spec_with(kind, within_example=True), tokens_of()
    params = weights(spec)
    window = np.asarray(apply(spec, VOCABULARY, params, tokens[:1], SEGMENTS[:1]))
    for part in (slice(0, 3), slice(3, 7)):
        alone = apply(spec, VOCABULARY, params, tokens[:1, part])
        assert distance(window[:, part], np.asarray(alone, np.float64)) < TOLERANCE


def test_positions_restart_with_every_example() -> None:
    assert restarted(jnp.asarray(SEGMENTS)).tolist() == [
        [0, 1, 2, 0, 1, 2, 3],
        [0, 0, 1, 0, 1, 2, 3],
        [0, 1, 2, 3, 4, 5, 6],
    ]


@pytest.mark.parametrize("within", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_gradient_sees_the_past_of_the_example_and_nothing_else(kind: str, within: bool) -> None:
    """With different tokens at all places, a row of the embedding's gradient is that of one input."""
    batch, length, vocabulary = 2, 7, 17
    spec = spec_with(kind, within_example=within)
    params = weights(spec, vocabulary)
    tokens = np.random.default_rng(2).permutation(vocabulary)[: batch * length].reshape(batch, length)
    segments = SEGMENTS[:batch]
    direction = np.random.default_rng(3).normal(size=vocabulary).astype(np.float32)

    def seen(table: jax.Array) -> jax.Array:
        return apply(spec, vocabulary, {**params, "embedding": table}, tokens, segments) @ direction

    jacobian = np.asarray(jax.jit(jax.jacrev(seen))(params["embedding"]))  # [B, L, V, D]
    at_inputs = np.abs(jacobian[:, :, tokens, :]).max(-1)  # [B, L, B', L']
    past = np.broadcast_to(np.tril(np.ones((length, length), bool)), (batch, length, length))
    if within:
        past = past & (segments[:, :, None] == segments[:, None])
    allowed = np.eye(batch, dtype=bool)[:, None, :, None] & past[:, :, None, :]
    assert np.all(at_inputs[~allowed] == 0)
    assert np.all(at_inputs[allowed] > 1e-5)


@pytest.mark.parametrize("kind", ["none", "fire"])
def test_gradients_of_the_form_for_host_cores(kind: str) -> None:
    """Those of every weight against the plain form's: with a bias of its own per window, and per head too."""
    spec, tokens = dataclasses.replace(spec_with(kind, within_example=True), depth=1), tokens_of()
    params = one_block(kind)

    def gradients(platform: str) -> Any:
        with compiling_for(platform):
            return jax.jit(jax.grad(lambda p: (apply(spec, VOCABULARY, p, tokens, SEGMENTS) ** 2).mean()))(
                params
            )

    for seen, right in zip(*(jax.tree.leaves(gradients(each)) for each in ("cpu", "gpu")), strict=True):
        assert np.linalg.norm(seen - right) <= 1e-4 * np.linalg.norm(right) + 1e-6


@pytest.mark.parametrize("kind", sorted(BEYOND))
def test_offsets_are_drawn_in_training_alone(kind: str) -> None:
    spec, tokens, key = spec_with(kind, random_offset=2), tokens_of(), jax.random.key(6)
    params, zeros = weights(spec), np.zeros_like(tokens_of())
    target = np.ones_like(tokens)
    drawn = np.asarray(jax.random.randint(jax.random.split(key)[0], (3, 1), 0, 3))[:, 0]
    assert len(set(drawn)) > 1

    def of_numpy(offsets: Any) -> np.ndarray:
        logits = NumpyDecoder(spec)(params, tokens, offsets=offsets)
        return np.log(np.exp(logits).sum(-1)) - logits[..., 1]

    trained = spec.training_losses(VOCABULARY, params, tokens, zeros, target, key)
    assert distance(trained, of_numpy(drawn)) < TOLERANCE
    assert distance(trained, of_numpy(drawn[::-1])) > 30 * TOLERANCE
    scored = spec.losses(VOCABULARY, params, tokens, zeros, target)
    assert distance(scored, of_numpy(None)) < TOLERANCE


def test_slopes_by_hand() -> None:
    assert alibi_slopes(8).tolist() == [2.0**-h for h in range(1, 9)]
    assert alibi_slopes(3).tolist() == [2.0**-4, 2.0**-8, 2.0**-2]
    assert alibi_slopes(1).tolist() == [2.0**-8]


def test_all_other_weights_start_alike() -> None:
    """The same seed with two kinds of positions: a comparison of kinds, not of initial weights."""
    usual = init(neox(2, 24, 3), 11, jax.random.key(4))
    for kind in ("learned", "fire"):  # the others have no weights of their own
        drawn = init(neox(2, 24, 3, positions=kind), 11, jax.random.key(4))
        drawn.pop("position_embedding", None)
        for block in drawn["blocks"].values():
            block["attention"].pop("fire", None)
        assert jax.tree.structure(drawn) == jax.tree.structure(usual)
        assert all(map(np.array_equal, jax.tree.leaves(drawn), jax.tree.leaves(usual)))
    fires = init(neox(2, 24, 3, positions="fire"), 11, jax.random.key(4))["blocks"]
    one, other = (fires[i]["attention"]["fire"]["up_kernel"] for i in (0, 1))
    assert not np.array_equal(one, other)


@pytest.mark.parametrize("kind", ["learned", "alibi", "fire"])
def test_check_model_finds_no_fault(kind: str) -> None:
    spec = dataclasses.replace(spec_with(kind, within_example=True, dropout=0.1), depth=1)
    assert check_model(spec, VOCABULARY, 4) == ()


def test_check_model_sees_a_bias_that_shows_the_future(monkeypatch: pytest.MonkeyPatch) -> None:
    from jaxemerge.models import layers

    monkeypatch.setattr(
        layers.cpu_kernels, "causal_attention", lambda q, k, v, b: jax.nn.softmax(q @ k.mT + b) @ v
    )
    [problem] = check_model(dataclasses.replace(spec_with("alibi"), depth=1), VOCABULARY, 8)
    assert "change with later tokens" in problem


def test_check_model_sees_a_table_that_is_too_short() -> None:
    [problem] = check_model(neox(1, 16, 2, positions="learned", max_positions=70), 11, 80)
    assert "max_positions=70: learned positions have no row for the end of a text of 80 tokens" in problem


@pytest.mark.parametrize(
    ("changes", "attention", "blocks"),
    [
        ({"positions": "none"}, "cudnn", "fused"),
        ({"positions": "learned", "random_offset": 3}, "cudnn", "fused"),
        ({"positions": "alibi"}, "xla", "plain"),
        ({"positions": "fire"}, "xla", "plain"),
        ({"within_example": True}, "xla", "plain"),
        ({"dropout": 0.1}, "cudnn", "plain"),
    ],
)
def test_kernels_are_used_where_they_can_be(changes: dict[str, Any], attention: str, blocks: str) -> None:
    chosen = implementation(neox(1, 64, 1, dtype="bfloat16", **changes), "gpu")
    assert (chosen.attention, chosen.blocks) == (attention, blocks)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"positions": "sinus"}, "positions='sinus': must be one of rotary, none, learned, alibi, fire"),
        ({"max_positions": 0}, "max_positions=0: must be at least 1"),
        ({"dropout": 1.0}, r"dropout=1.0: must lie in \[0, 1\)"),
        ({"random_offset": -1}, f"random_offset=-1: must be 0 to {2**31 - 1}"),
        (
            {"random_offset": 3},
            "random_offset=3 has no effect with positions='rotary', which sees distances alone: use 0, or "
            "positions learned or fire",
        ),
    ],
)
def test_refuses(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=f"^{message}$"):
        neox(2, 24, 3, **changes)


def test_names_the_row_that_is_missing() -> None:
    spec = neox(1, 16, 2, positions="learned", max_positions=9, random_offset=4)
    params, tokens = init(spec, 11, jax.random.key(0)), np.zeros((1, 8), np.int32)
    assert apply(spec, 11, params, tokens).shape == (1, 8, 11)
    with pytest.raises(
        ValueError, match=r"text of 8 tokens and an offset of up to 4; it must be at least 12$"
    ):
        spec.training_losses(11, params, tokens, tokens, tokens, jax.random.key(0))
    _, cache = spec.read(11, params, tokens)
    with pytest.raises(ValueError, match=r"text of 10 tokens; it must be at least 10$"):
        spec.extend(11, params, cache.longer(10), tokens[:, 0], 8)


def test_runs_compiled_in_bfloat16() -> None:
    for kind in ("learned", "fire"):
        fine, coarse = (spec_with(kind, within_example=True, dtype=t) for t in ("float32", "bfloat16"))
        params, tokens = weights(fine), tokens_of()
        logits = compiled(lambda p, spec=coarse: apply(spec, VOCABULARY, p, tokens_of(), SEGMENTS))(params)
        assert distance(logits, NumpyDecoder(fine)(params, tokens, SEGMENTS)) < 0.06
