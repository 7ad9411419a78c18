"""Are the forms written for host cores the same functions, gradients included, as the plain ones?

The plain ones are written here in NumPy or plain JAX, in float64 where it matters.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import special

from jaxemerge.models import cpu_kernels as fast
from jaxemerge.models.layers import gelu, normalise, rotate


def noise(*shape: int, key: int = 0) -> jax.Array:
    return jnp.asarray(np.random.default_rng(key).normal(size=shape), jnp.float32)


def values_and_gradients(function: Callable[..., Any], arguments: tuple[Any, ...]) -> list[np.ndarray]:
    """The value of a function, and its gradients for a fixed random outer gradient."""
    value, pull = jax.vjp(function, *arguments)
    return [np.asarray(value), *map(np.asarray, pull(noise(*value.shape, key=99)))]


def worst(fast: Callable[..., Any], plain: Callable[..., Any], *arguments: Any) -> float:
    """Largest difference in value and gradients, relative to the largest entry of each."""
    pairs = zip(values_and_gradients(fast, arguments), values_and_gradients(plain, arguments), strict=True)
    return max(float(np.abs(a - b).max() / np.abs(b).max()) for a, b in pairs)


def attention(q: Any, k: Any, v: Any, *, visible: Any = np.tri) -> Any:
    scores = jnp.where(visible(q.shape[2])[None, None] > 0, jnp.einsum("bhtk,bhsk->bhts", q, k), -jnp.inf)
    return jnp.einsum("bhts,bhsk->bhtk", jax.nn.softmax(scores, -1), v)


def layer_norm(x: Any, scale: Any, bias: Any) -> Any:
    centred = x - x.mean(-1, keepdims=True)
    return centred / jnp.sqrt((centred**2).mean(-1, keepdims=True) + 1e-3) * scale[None] + bias[None]


def rms_norm(x: Any, scale: Any) -> Any:
    return x / jnp.sqrt((x**2).mean(-1, keepdims=True) + 1e-3) * scale[None]


@pytest.mark.parametrize(
    ("n_in", "n_out"), [(7, 11), (11, 7), (7, 7), (5, 601), (601, 5), (131, 137), (137, 131)]
)
def test_product(n_in: int, n_out: int) -> None:
    x, weight = noise(13, n_in), noise(n_in, n_out, key=1)
    assert worst(fast.product, jnp.dot, x, weight) < 1e-6
    assert worst(fast.product, lambda x, w: jnp.dot(x, w[::-1]), x, weight) > 1e-2


@pytest.mark.parametrize(
    ("n_in", "n_out", "transposed"),
    [
        (64, 192, False), (64, 64, True), (64, 256, False), (256, 64, True), (64, 44, True), (64, 512, True),
        (127, 127, True), (128, 128, False), (137, 131, False), (256, 1024, False), (1024, 256, False),
    ],
)  # fmt: skip
def test_weight_gradients_of_wide_layers_are_not_transposed(n_in: int, n_out: int, transposed: bool) -> None:
    """Which product makes the gradient of the weights; at width 64 this must stay as it is, bit for bit."""
    x, weight, g = (jax.ShapeDtypeStruct(s, jnp.float32) for s in ((13, n_in), (n_in, n_out), (13, n_out)))
    traced = jax.make_jaxpr(lambda x, w, g: jax.vjp(fast.product, x, w)[1](g)[1])(x, weight, g)
    products = [e for e in traced.eqns if e.primitive.name == "dot_general"]
    contracted = [
        e for e in products if 13 in (e.invars[0].aval.shape[i] for i in e.params["dimension_numbers"][0][0])
    ]
    assert [e.outvars[0].aval.shape for e in contracted] == [(n_out, n_in) if transposed else (n_in, n_out)]


@pytest.mark.parametrize("mean", [0.0, 30.0])
def test_standardise(mean: float) -> None:
    arguments = noise(13, 11) + mean, noise(11, key=1), noise(11, key=2)
    assert worst(lambda *a: fast.standardise(*a, 1e-3), layer_norm, *arguments) < 1e-5
    assert worst(lambda *a: fast.standardise(*a, 1e-2), layer_norm, *arguments) > 1e-3
    assert worst(lambda *a: normalise(*a, 1e-3), layer_norm, *arguments) < 1e-5


def test_rescale() -> None:
    arguments = noise(13, 11), noise(11, key=1)
    assert worst(lambda *a: fast.rescale(*a, 1e-3), rms_norm, *arguments) < 3e-6
    assert worst(lambda x, s: fast.standardise(x, s, jnp.zeros(11), 1e-3), rms_norm, *arguments) > 1e-2
    assert worst(lambda x, s: normalise(x, s, None, 1e-3), rms_norm, *arguments) < 3e-6


@pytest.mark.parametrize("size", [1.0, 30.0])  # scores of some hundred: one weight is nearly 1
def test_causal_attention(size: float) -> None:
    q, k, v = (noise(2, 3, 13, 5, key=i) for i in range(3))
    assert worst(fast.causal_attention, attention, size * q, k, v) < 1e-5
    see_left = lambda n: np.tri(n, k=-1) + np.eye(n)[:, :1] * np.eye(n)[0]  # noqa: E731
    assert worst(fast.causal_attention, lambda *a: attention(*a, visible=see_left), size * q, k, v) > 1e-2


def test_attention_of_the_first_position_is_its_value() -> None:
    q, k, v = (noise(2, 3, 7, 5, key=i) for i in range(3))
    np.testing.assert_allclose(fast.causal_attention(1e4 * q, k, v)[:, :, 0], v[:, :, 0], rtol=1e-6)


def test_attention_in_bfloat16_sums_in_float32() -> None:
    q, k, v = (noise(2, 3, 257, 8, key=i).astype(jnp.bfloat16) for i in range(3))
    quick, exact = (f(*(x.astype(t) for x in (q, k, v))) for f, t in ((fast.causal_attention, jnp.bfloat16),
                                                                       (attention, jnp.float32)))  # fmt: skip
    assert quick.dtype == jnp.bfloat16
    np.testing.assert_allclose(quick.astype(np.float32), exact, atol=0.02)


def test_split_qkv() -> None:
    qkv = noise(2, 7, 3, 5, 11)
    q, k, v = fast.split_qkv(qkv)
    for i, part in enumerate((q, k, v)):
        assert np.array_equal(part, np.swapaxes(qkv[:, :, i], 1, 2))

    def mixed(split: Callable[[Any], Any]) -> Callable[[Any], Any]:
        return lambda x: sum((i + 1) * part**2 for i, part in enumerate(split(x)))

    plain = mixed(lambda x: x.transpose(2, 0, 3, 1, 4))
    assert worst(mixed(fast.split_qkv), plain, qkv) < 1e-6
    assert worst(mixed(lambda x: fast.split_qkv(x)[::-1]), plain, qkv) > 1e-2


def test_rotation_back_is_the_gradient() -> None:
    x = noise(2, 3, 13, 10)
    outer = noise(2, 3, 13, 10, key=1)
    pull = jax.vjp(lambda x: rotate(x, 6, 13.0, -2), x)[1]
    derived = jax.linear_transpose(lambda x: rotate.__wrapped__(x, 6, 13.0, -2), x)
    np.testing.assert_allclose(pull(outer)[0], derived(outer)[0], atol=1e-6)
    np.testing.assert_allclose(rotate(pull(x)[0], 6, 13.0, -2), x, atol=1e-6)


def test_gelu() -> None:
    x = np.linspace(-9, 9, 2001)
    value, gradient = values_and_gradients(gelu, (jnp.asarray(x, jnp.float32),))
    np.testing.assert_allclose(value, x * special.ndtr(x), atol=1e-6)
    slope = special.ndtr(x) + x * np.exp(-x * x / 2) / np.sqrt(2 * np.pi)
    np.testing.assert_allclose(gradient, slope * np.asarray(noise(2001, key=99)), atol=2e-6)


def test_everything_maps_over_seeds() -> None:
    """vmap of each function is the function of each seed."""
    q, k, v = (noise(3, 2, 2, 7, 5, key=i) for i in range(3))
    x, w = noise(3, 13, 11), noise(3, 11, 11, key=1)

    def everything(q: Any, k: Any, v: Any, x: Any, w: Any) -> Any:
        y = fast.standardise(fast.product(x, w), w[0], w[1], 1e-3) + fast.rescale(x, w[2], 1e-3)
        return fast.causal_attention(q, k, v).sum() + (gelu(y) ** 2).sum()

    together = jax.vmap(jax.grad(everything, argnums=(0, 1, 2, 3, 4)))(q, k, v, x, w)
    for i in range(3):
        alone = jax.grad(everything, argnums=(0, 1, 2, 3, 4))(q[i], k[i], v[i], x[i], w[i])
        for a, b in zip(together, alone, strict=True):
            np.testing.assert_allclose(a[i], b, rtol=1e-4, atol=1e-4)
