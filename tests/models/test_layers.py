"""Do the parts of a block, and the likelihood of a token, do what their docstrings say?"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import special

from jaxemerge.models import Transformer, llama, neox
from jaxemerge.models.layers import embedding, negative_log_likelihood, project, rotate
from jaxemerge.tasks.packing import shift


def noise(*shape: int, key: int = 0) -> np.ndarray:
    return np.random.default_rng(key).normal(size=shape).astype(np.float32)


def turned(x_BLHK: np.ndarray, width: int, base: float) -> np.ndarray:
    """Rotation as multiplication by exp(i angle), one position and dimension at a time, in float64."""
    y = x_BLHK.astype(np.float64)
    for position in range(x_BLHK.shape[1]):
        for i in range(width // 2):
            z = x_BLHK[:, position, :, i] + 1j * x_BLHK[:, position, :, i + width // 2].astype(np.float64)
            z = z * np.exp(1j * position * base ** (-2 * i / width))
            y[:, position, :, i], y[:, position, :, i + width // 2] = z.real, z.imag
    return y


@pytest.mark.parametrize("width", [0, 2, 6, 10])
@pytest.mark.parametrize("base", [10_000.0, 13.0])
def test_rotate_equals_complex_numbers(width: int, base: float) -> None:
    x = noise(2, 13, 3, 10)
    seen = np.asarray(rotate(jnp.asarray(x), width, base, -3))
    np.testing.assert_allclose(seen, turned(x, width, base), atol=2e-6)
    assert np.array_equal(seen[..., width:], x[..., width:])
    if width:
        assert np.abs(seen - turned(x, width, 2 * base)).max() > 1e-3 or width == 2
        assert np.abs(seen - turned(x[:, ::-1], width, base)[:, ::-1]).max() > 1e-1


def test_rotation_depends_on_the_distance_only() -> None:
    """The same q and k at all positions: their products are constant along diagonals, and only there."""
    length, k = 11, 8
    q, key = (np.broadcast_to(noise(1, 1, 1, k, key=i), (1, length, 1, k)) for i in (1, 2))
    q, key = (np.asarray(rotate(jnp.asarray(x), k, 100.0, -3), np.float64)[0, :, 0] for x in (q, key))
    scores = q @ key.T
    for distance in range(-length + 1, length):
        np.testing.assert_allclose(np.diagonal(scores, distance), np.diagonal(scores, distance)[0], atol=1e-5)
    rows = scores[0]
    assert np.min(np.abs(rows[:, None] - rows)[~np.eye(length, dtype=bool)]) > 1e-3
    np.testing.assert_allclose((q**2).sum(-1), (q[0] ** 2).sum(), rtol=1e-6)  # lengths stay


def test_rotation_keeps_bfloat16() -> None:
    x = jnp.asarray(noise(1, 5, 1, 4), jnp.bfloat16)
    assert rotate(x, 4, 10_000.0, -3).dtype == jnp.bfloat16


def test_embedding_gradient_equals_that_of_a_gather() -> None:
    vocabulary, width = 11, 7
    tokens = np.array([3, 3, 3, 0, 10, 5, 5, 9, 1, 1, 3, 0, 7], np.int32)  # repeated, and 2, 4, 6, 8 absent
    table, outer = noise(vocabulary, width), noise(len(tokens), width, key=1)

    def through(look_up: Any) -> tuple[np.ndarray, np.ndarray]:
        value, pull = jax.vjp(lambda t: look_up(t, tokens), table)
        return np.asarray(value), np.asarray(pull(outer)[0])

    value, gradient = through(embedding)
    expected_value, expected_gradient = through(lambda t, i: t[i])
    assert np.array_equal(value, expected_value)
    np.testing.assert_allclose(gradient, expected_gradient, rtol=1e-6, atol=1e-6)
    assert np.all(gradient[[2, 4, 6, 8]] == 0)
    _, wrong = through(lambda t, i: t[i[::-1]])
    assert np.abs(wrong - gradient).max() > 0.1


def test_embedding_gradient_under_vmap() -> None:
    tables, tokens, outer = noise(3, 11, 7), np.arange(15, dtype=np.int32).reshape(3, 5) % 11, noise(3, 5, 7)

    def gradient(look_up: Any) -> jax.Array:
        def one(table: Any, ids: Any, weights: Any) -> Any:
            return jax.grad(lambda t: (look_up(t, ids) * weights).sum())(table)

        return jax.vmap(one)(tables, tokens, outer)

    np.testing.assert_allclose(gradient(embedding), gradient(lambda t, i: t[i]), atol=1e-6)


def test_project_sums_bfloat16_in_float32() -> None:
    x, head = jnp.ones((2, 1025), jnp.bfloat16), jnp.ones((3, 1025), jnp.bfloat16)
    logits = project(x, head)
    assert logits.dtype == jnp.float32
    assert np.array_equal(logits, np.full((2, 3), 1025))  # bfloat16 would round to 1024


def test_shift_gives_each_position_its_right_neighbour() -> None:
    x = np.arange(1, 16).reshape(3, 5)
    assert shift(x).tolist() == [[2, 3, 4, 5, 0], [7, 8, 9, 10, 0], [12, 13, 14, 15, 0]]


def test_negative_log_likelihood() -> None:
    logits, targets = 9 * noise(3, 5, 7), np.random.default_rng(1).integers(0, 7, (3, 5))
    log_p = special.log_softmax(logits.astype(np.float64), axis=-1)
    expected = -np.take_along_axis(log_p, targets[..., None], -1)[..., 0]
    np.testing.assert_allclose(negative_log_likelihood(logits, targets), expected, rtol=1e-5, atol=2e-6)
    huge = negative_log_likelihood(jnp.array([[1e4, -1e4, 0.0]]), jnp.array([1]))
    assert huge.tolist() == [2e4]  # no overflow
    gradient = jax.grad(lambda x: negative_log_likelihood(x, targets).sum())(logits)
    np.testing.assert_allclose(gradient, np.exp(log_p) - np.eye(7)[targets], atol=2e-6)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"depth": 0}, "depth=0: must be at least 1"),
        ({"width": -3}, "width=-3: must be at least 1"),
        ({"heads": 0}, "heads=0: must be at least 1"),
        ({"heads": 5}, "heads=5 does not divide width=24"),
        ({"residual": "serial"}, "residual='serial': must be one of sequential, parallel"),
        ({"norm": "batch"}, "norm='batch': must be one of rms, layer"),
        ({"mlp": "relu"}, "mlp='relu': must be one of gelu, geglu, swiglu"),
        ({"dtype": "float16"}, "dtype='float16': must be one of float32, bfloat16"),
        ({"rotary_fraction": 1.01}, r"rotary_fraction=1.01: must lie in \[0, 1\]"),
        ({"rotary_fraction": -0.1}, r"rotary_fraction=-0.1: must lie in \[0, 1\]"),
        ({"rotary_fraction": float("nan")}, r"rotary_fraction=nan: must lie in \[0, 1\]"),
        ({"rotary_fraction": 0.4}, "rotary_fraction=0.4 rotates 3.2 of head width 8: must be an even number"),
        ({"mlp_ratio": 0.02}, "mlp_ratio=0.02: the MLP must be 1 to 2147483647 wide"),
        ({"norm_epsilon": 0.0}, "norm_epsilon=0.0: must be positive"),
        ({"rotary_base": -1.0}, "rotary_base=-1.0: must be positive"),
        ({"init_std": float("nan")}, "init_std=nan: must be positive"),
    ],
)
def test_specification_errors(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=f"^{message}$"):
        Transformer(**{"depth": 2, "width": 24, "heads": 3, **changes})


def test_presets() -> None:
    assert neox(2, 24, 3) == Transformer(
        2, 24, 3, "parallel", "layer", 0.25, "gelu", 4.0, False, True, 1e-5, 10_000.0, 0.02, "float32"
    )
    spec = llama(2, 24, 3)
    assert (spec.residual, spec.norm, spec.rotary_fraction, spec.mlp, spec.bias, spec.tied) == (
        "sequential", "rms", 1.0, "swiglu", False, False,
    )  # fmt: skip
    assert spec.mlp_width == 64
    assert llama(2, 24, 3, bias=True, norm="layer") == llama(2, 24, 3).__class__(
        2, 24, 3, "sequential", "layer", 1.0, "swiglu", 8 / 3, False, True
    )
    assert neox(2, 24, 3, tied=True).tied
    assert (neox(2, 24, 3).head_width, neox(2, 24, 3).rotary_width, neox(2, 24, 3).mlp_width) == (8, 2, 96)
