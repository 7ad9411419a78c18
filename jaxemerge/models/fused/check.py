"""Do the fused kernels compute what they should on the device at hand?

A miscompiled kernel must not decide a result. Values and gradients are compared with the plain code on random
inputs, and two runs of the same program must give the same bits. Kernels are compiled with the options that
training programs have.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxemerge.devices import compiled
from jaxemerge.models.fused import reference
from jaxemerge.models.fused.mlp import EndWeights, block_end
from jaxemerge.models.fused.projection import Heads, normed_qkv
from jaxemerge.models.fused.readout import negative_log_likelihood

if TYPE_CHECKING:
    from jaxtyping import Array

TOLERANCE = 0.015  # of the reference's norm; bfloat16 gives 0.004
_LENGTH, _VOCABULARY = 32, 131  # windows that do not fill the rows
# The last block of rows is not full. On a device there are twelve blocks, in up to four parts, so that the
# sums over blocks of a part and over parts are both checked; operation by operation that takes too long.
_ROWS, _ROWS_INTERPRETED = 741, 293


class Case(NamedTuple):
    """A kernel, the plain code that it replaces, and arguments for both."""

    name: str
    kernel: Callable[..., Any]
    plain: Callable[..., Any]
    arguments: tuple[Any, ...]


def fault(heads: int, head_width: int, rotated: int, hidden: int, interpret: bool = False) -> str | None:
    """What is wrong with the fused kernels at these sizes; None if nothing is seen.

    Args:
        heads: H; the model's width is H times ``head_width``.
        head_width: K.
        rotated: dimensions of a head that are turned.
        hidden: F, width of the MLP.
        interpret: whether kernels are run operation by operation.
    """
    return first_fault(cases(heads, head_width, rotated, hidden, interpret))


def first_fault(checked: Sequence[Case]) -> str | None:
    """What is wrong with the first of these kernels that is wrong; None if nothing is seen."""
    found = ((case, _difference(case)) for case in checked)
    return next((f"{case.name}: {what}" for case, what in found if what), None)


def cases(heads: int, head_width: int, rotated: int, hidden: int, interpret: bool) -> list[Case]:
    """The three kernels with numbers of the size that they meet in training."""
    rng, width, epsilon = np.random.default_rng(0), heads * head_width, 1e-5

    def draw(*shape: int, dtype: Any = jnp.float32) -> Array:
        return jnp.asarray(rng.normal(size=shape) / np.sqrt(shape[0] if len(shape) > 1 else 4), dtype)

    n = _ROWS_INTERPRETED if interpret else _ROWS

    def rows() -> Array:
        return jnp.asarray(rng.normal(size=(n, width)), jnp.bfloat16)

    sizes = Heads(heads, head_width, rotated, 10_000.0, _LENGTH, epsilon, interpret)
    shapes = (width, width), (width,), (width, hidden), (hidden,), (hidden, width), (width,)
    ends = EndWeights(*(draw(*shape) for shape in shapes))
    targets = jnp.asarray(rng.integers(0, _VOCABULARY, n), jnp.int32)

    def likelihood(x: Array, head: Array, bias: Array) -> Array:
        return negative_log_likelihood(x, head, bias, targets, epsilon, interpret)

    def plain_likelihood(x: Array, head: Array, bias: Array) -> Array:
        return reference.negative_log_likelihood(x, head, bias, targets, epsilon)

    head = draw(width, _VOCABULARY).T, draw(_VOCABULARY)
    return [
        Case(
            "normed_qkv",
            lambda x, w, b: normed_qkv(x, w, b, sizes),
            lambda x, w, b: reference.normed_qkv(x, w, b, sizes),
            (rows(), draw(width, 3 * width), draw(3 * width)),
        ),
        Case(
            "block_end",
            lambda x, mixed, weights: block_end(x, mixed, weights, epsilon, interpret),
            lambda x, mixed, weights: reference.block_end(x, mixed, weights, epsilon),
            (rows(), rows(), ends),
        ),
        Case("negative_log_likelihood", likelihood, plain_likelihood, (rows(), *head)),
    ]


def _difference(case: Case) -> str | None:
    kernel = values_and_gradients(case.kernel)
    seen, again = (kernel(*case.arguments) for _ in range(2))
    if not all(np.array_equal(one, other, equal_nan=True) for one, other in zip(seen, again, strict=True)):
        return "two runs give different bits"
    expected = values_and_gradients(case.plain)(*case.arguments)
    worst = max(distance(one, other) for one, other in zip(seen, expected, strict=True))
    return None if worst < TOLERANCE else f"differs from plain code by {worst:.3g}, more than {TOLERANCE}"


def distance(seen: np.ndarray, expected: np.ndarray) -> float:
    """Norm of the difference as a share of the norm expected; infinite where a number is not finite."""
    share = float(np.linalg.norm(seen - expected)) / max(float(np.linalg.norm(expected)), 1e-30)
    return share if np.isfinite(share) else float("inf")


def values_and_gradients(function: Callable[..., Any]) -> Callable[..., list[np.ndarray]]:
    """A program of its values, and of the gradients for one fixed outer gradient, for two seeds side by side.

    The second seed's arguments are the first one's with their rows in reverse order.
    """

    def one(*arguments: Any) -> Any:
        values, pull = jax.vjp(function, *arguments)
        return values, pull(jax.tree.map(_outer, values))

    program = compiled(jax.vmap(one))

    def run(*arguments: Any) -> list[np.ndarray]:
        pairs = jax.tree.map(lambda x: jnp.stack([x, x[::-1]]), arguments)
        return [np.asarray(leaf, np.float64) for leaf in jax.tree.leaves(program(*pairs))]

    return run


def _outer(value: Array) -> Array:
    draw = functools.partial(np.random.default_rng(1).normal, size=value.shape)
    return jnp.asarray(draw(), jnp.bfloat16).astype(value.dtype)
