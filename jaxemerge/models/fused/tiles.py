"""What the fused kernels share: blocks of rows in registers, norms and GELU on them, how a kernel is called.

A kernel owns a block of rows of an activation [P, D] and reads it in chunks of ``CHUNK`` columns. Arrays are
passed whole. Their rows are padded to a multiple of the block, so that no access needs a mask. Sums over rows
are computed per block, or per segment of rows, and added up outside the kernel, always in the same order.
"""

from __future__ import annotations

import contextlib
import contextvars
import functools
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental import pallas as pl
from jax.experimental.pallas import triton as plgpu

if TYPE_CHECKING:
    from jaxtyping import Array, Float

CHUNK = 64  # columns that are loaded, multiplied and stored at once
ROWS = 64  # rows of a block: what one instruction of Hopper's tensor cores takes
_BUSY = 128  # programs that occupy a GPU: about the number of its multiprocessors
# Seeds that are trained side by side at least: each brings programs of its own. The number of parts does not
# depend on how many there really are, or a seed's bits would.
_SIDE_BY_SIDE = 4

_interpreting: contextvars.ContextVar[bool] = contextvars.ContextVar("interpreting", default=False)


def interpreting() -> bool:
    """Whether kernels are run operation by operation, which works on every platform."""
    return _interpreting.get()


@contextlib.contextmanager
def interpreted() -> Iterator[None]:
    """Within it, what is traced runs kernels operation by operation: slow, for tests without a GPU."""
    token = _interpreting.set(True)
    try:
        yield
    finally:
        _interpreting.reset(token)


class Launch(NamedTuple):
    """How a kernel is run.

    Attributes:
        interpret: whether XLA runs its operations one by one, on any platform.
        warps: of 32 threads, per program.
        stages: how many loads of a loop may be under way; each takes shared memory.
    """

    interpret: bool
    warps: int = 4
    stages: int = 2


def launch(width: int, interpret: bool) -> Launch:
    """For programs with accumulators as wide as the model."""
    return Launch(interpret, 4 if width <= 128 else 8, 2 if width <= 256 else 1)


def call(
    kernel: Callable[..., None],
    grid: tuple[int, ...],
    outputs: Sequence[tuple[tuple[int, ...], Any]],
    *arguments: Array,
    how: Launch,
) -> list[Array]:
    """Runs a kernel once for each point of the grid; every argument and output is passed whole.

    Args:
        kernel: takes a reference per argument and per output.
        grid: numbers of programs.
        outputs: shape and dtype of each.
        arguments: arrays of rank 1 and more.
        how: it is run.
    """
    shapes = [jax.ShapeDtypeStruct(shape, dtype) for shape, dtype in outputs]
    options: dict[str, Any] = {"interpret": how.interpret}
    if not how.interpret:
        options["compiler_params"] = plgpu.CompilerParams(num_warps=how.warps, num_stages=how.stages)
    run = pl.pallas_call(kernel, out_shape=shapes, grid=grid, **options)
    return list(run(*arguments))


def padded(x: Array, rows: int = ROWS) -> Array:
    """The array with rows of zeros added, up to a multiple of ``rows``."""
    missing = -x.shape[0] % rows
    return jnp.pad(x, [(0, missing)] + [(0, 0)] * (x.ndim - 1)) if missing else x


def segments(blocks: int, tiles: int) -> int:
    """In how many parts rows are summed up: a power of two that divides ``blocks``.

    With ``tiles`` programs per part and a few seeds side by side it is enough to occupy a GPU. More parts
    would only mean more partial sums to write and read.
    """
    wanted = max(1, _BUSY // (_SIDE_BY_SIDE * tiles))
    return int(np.gcd(blocks, 2 ** int(np.log2(wanted))))


def chunks(width: int) -> list[Any]:
    """Slices of the columns."""
    return [pl.ds(start, CHUNK) for start in range(0, width, CHUNK)]


def moments(x_ref: Any, here: Any, epsilon: float) -> tuple[Array, Array]:
    """Mean and inverse standard deviation of each row, float32 [R, 1]."""
    width = x_ref.shape[-1]
    each = [x_ref[here, columns].astype(jnp.float32) for columns in chunks(width)]
    mean_R1 = functools.reduce(jnp.add, [_row_sums(x) for x in each]) / width
    square_R1 = functools.reduce(jnp.add, [_row_sums((x - mean_R1) ** 2) for x in each]) / width
    return mean_R1, jax.lax.rsqrt(square_R1 + epsilon)


def standardised(x_ref: Any, here: Any, columns: Any, mean_R1: Array, inverse_R1: Array) -> Array:
    """A chunk of the rows with mean 0 and variance 1, float32."""
    return (x_ref[here, columns].astype(jnp.float32) - mean_R1) * inverse_R1


def standardise_gradient(
    x_ref: Any, here: Any, slopes: Sequence[Array], mean_R1: Array, inverse_R1: Array
) -> list[Array]:
    """Gradient with respect to the rows, by chunks, given that of the standardised rows."""
    width = x_ref.shape[-1]
    units = [standardised(x_ref, here, columns, mean_R1, inverse_R1) for columns in chunks(width)]
    level_R1 = functools.reduce(jnp.add, [_row_sums(s) for s in slopes]) / width
    along_R1 = (
        functools.reduce(jnp.add, [_row_sums(s * u) for s, u in zip(slopes, units, strict=True)]) / width
    )
    return [inverse_R1 * (s - level_R1 - u * along_R1) for s, u in zip(slopes, units, strict=True)]


def _row_sums(x: Array) -> Array:
    return jnp.sum(x, axis=-1)[:, None]


def column_sums(x: Array) -> Array:
    """Sums over the rows of a block."""
    return jnp.sum(x, axis=0)


def dot(a: Float[Array, "R I"], b: Float[Array, "I O"]) -> Float[Array, "R O"]:
    """``a @ b``, summed in float32."""
    return _product(a, b, 1, 0)


def dot_right(a: Float[Array, "R O"], b: Float[Array, "I O"]) -> Float[Array, "R I"]:
    """``a @ b.T``, summed in float32."""
    return _product(a, b, 1, 1)


def dot_left(a: Float[Array, "R I"], b: Float[Array, "R O"]) -> Float[Array, "I O"]:
    """``a.T @ b``, summed in float32."""
    return _product(a, b, 0, 0)


def _product(a: Array, b: Array, over_a: int, over_b: int) -> Array:
    return jax.lax.dot_general(a, b, (((over_a,), (over_b,)), ((), ())), preferred_element_type=jnp.float32)


def summed(terms: Sequence[Array]) -> Array:
    """Sum from left to right."""
    return functools.reduce(jnp.add, terms)


# Abramowitz & Stegun (1964), 7.1.26: erfc(z) = exp(-z^2) * polynomial(1 / (1 + p z)) for z >= 0, to 1.5e-7.
_P = 0.3275911
_COEFFICIENTS = (0.254829592, -0.284496736, 1.421413741, -1.453152027, 1.061405429)


def gelu_and_slope(x: Float[Array, "R F"]) -> tuple[Float[Array, "R F"], Float[Array, "R F"]]:
    """GELU (x times the normal distribution function of x) and its derivative, in float32.

    The Triton backend has no erf; one exponential serves both this approximation and the density.

    References:
        Abramowitz & Stegun (1964), "Handbook of Mathematical Functions", 7.1.26.
    """
    z = jnp.abs(x) * np.float32(np.sqrt(0.5))
    bell = jnp.exp(-z * z)
    t = 1.0 / (1.0 + _P * z)
    tail = (
        functools.reduce(lambda total, c: total * t + c, _COEFFICIENTS[::-1], jnp.zeros_like(t))
        * t
        * bell
        * 0.5
    )
    distribution = jnp.where(x < 0, tail, 1.0 - tail)
    return x * distribution, distribution + x * bell * np.float32(1 / np.sqrt(2 * np.pi))
