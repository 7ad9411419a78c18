"""Norm, projection to queries, keys and values, and rotation, in one kernel each way.

Reads x and writes q, k and v where attention reads them: 4 widths of memory traffic forward. Backward the
gradient of x takes 6 and that of the weights 4, bias gradients included; nothing but x is kept.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental import pallas as pl

from jaxemerge.models.fused import tiles

if TYPE_CHECKING:
    from jaxtyping import Array, Float


class Heads(NamedTuple):
    """Sizes of attention.

    Attributes:
        heads: number H.
        width: of a head, K.
        rotated: how many of its dimensions are turned.
        base: of the rotation.
        length: positions L of a window; row p of an activation stands at position p modulo L.
        epsilon: of the norm.
        interpret: whether kernels are run operation by operation.
    """

    heads: int
    width: int
    rotated: int
    base: float
    length: int
    epsilon: float
    interpret: bool


@functools.partial(jax.custom_vjp, nondiff_argnums=(3,))
def normed_qkv(
    x_PD: Float[Array, "P D"], weight_DO: Float[Array, "D O"], bias_O: Float[Array, " O"], sizes: Heads
) -> tuple[Float[Array, "P D"], Float[Array, "P D"], Float[Array, "P D"], Float[Array, "P D"]]:
    """Rotated queries and keys, and values, of the standardised rows (O = 3 D); and x itself.

    Later code that needs x should use the x that this returns: its gradient is then added within the kernel.

    Args:
        x_PD: input of the block, bfloat16.
        weight_DO: float32, with the norm's scale multiplied in.
        bias_O: float32, with the norm's bias times the weight added.
        sizes: of the heads.
    """
    return _forward(x_PD, weight_DO, bias_O, sizes)[0]


def _forward(x_PD: Array, weight_DO: Array, bias_O: Array, sizes: Heads) -> tuple[Any, Any]:
    rows, x = x_PD.shape[0], tiles.padded(x_PD)
    weight = weight_DO.astype(x.dtype)
    body = functools.partial(_qkv_kernel, sizes=sizes)
    outputs = [(x.shape, x.dtype)] * 3
    grid = (x.shape[0] // tiles.ROWS,)
    turn = _rotation(sizes, x.dtype)
    found = tiles.call(body, grid, outputs, x, weight, bias_O, *turn, how=tiles.Launch(sizes.interpret))
    return (*(part[:rows] for part in found), x_PD), (x_PD, weight)


def _rotation(sizes: Heads, dtype: Any) -> tuple[Array, Array, Array]:
    """Cosines and sines [L, K], and the matrix that exchanges the halves of what is turned, with signs."""
    half = sizes.rotated // 2
    angle = np.outer(np.arange(sizes.length), sizes.base ** (-np.arange(half) / max(half, 1)))
    cos, sin = np.ones((sizes.length, sizes.width)), np.zeros((sizes.length, sizes.width))
    cos[:, : 2 * half], sin[:, : 2 * half] = np.tile(np.cos(angle), 2), np.tile(np.sin(angle), 2)
    swap = np.zeros((sizes.width, sizes.width))
    first = np.arange(half)
    swap[first + half, first], swap[first, first + half] = -1, 1
    return jnp.asarray(cos, jnp.float32), jnp.asarray(sin, jnp.float32), jnp.asarray(swap, dtype)


def _qkv_kernel(
    x: Any, weight: Any, bias: Any, cos: Any, sin: Any, swap: Any, q: Any, k: Any, v: Any, *, sizes: Heads
) -> None:
    here, at = _rows_and_positions(pl.program_id(0) * tiles.ROWS, sizes.length)
    mean, inverse = tiles.moments(x, here, sizes.epsilon)
    columns = tiles.chunks(x.shape[-1])
    units = [tiles.standardised(x, here, c, mean, inverse).astype(x.dtype) for c in columns]
    turn = cos[at, :], sin[at, :], swap[...]
    for part, out in enumerate((q, k, v)):

        def head(h: Any, _: Any, part: int = part, out: Any = out) -> Any:
            place = pl.ds((part * sizes.heads + h) * sizes.width, sizes.width)
            products = [tiles.dot(u, weight[c, place]) for u, c in zip(units, columns, strict=True)]
            y = tiles.summed(products) + bias[place][None]
            out[here, pl.ds(h * sizes.width, sizes.width)] = _turned(y, part, turn, x.dtype)
            return 0

        jax.lax.fori_loop(0, sizes.heads, head, 0)


def _rows_and_positions(start: Any, length: int) -> tuple[Any, Array]:
    """A block of rows, and where in its window each of them stands."""
    return pl.ds(start, tiles.ROWS), jax.lax.rem(start + jnp.arange(tiles.ROWS), length)


def _turned(y: Array, part: int, turn: Any, dtype: Any) -> Array:
    if part == 2:  # values
        return y.astype(dtype)
    cos, sin, swap = turn
    y = y.astype(dtype)
    return (y.astype(jnp.float32) * cos + tiles.dot(y, swap) * sin).astype(dtype)


def _turned_back(g: Array, part: int, turn: Any) -> Array:
    """Gradient before the rotation, given that after it."""
    if part == 2:
        return g
    cos, sin, swap = turn
    g32 = g.astype(jnp.float32)
    return (g32 * cos - tiles.dot((g32 * sin).astype(g.dtype), swap)).astype(g.dtype)


def _backward(sizes: Heads, residuals: Any, gradients: Any) -> tuple[Array, Array, Array]:
    x_PD, weight = residuals
    rows, x = x_PD.shape[0], tiles.padded(x_PD)
    *inputs, other = (tiles.padded(g) for g in gradients)
    turn = _rotation(sizes, x.dtype)
    body, grid = functools.partial(_input_kernel, sizes=sizes), (x.shape[0] // tiles.ROWS,)
    how = tiles.launch(x.shape[1], sizes.interpret)
    (dx,) = tiles.call(body, grid, [(x.shape, x.dtype)], x, weight, *turn, *inputs, other, how=how)
    return dx[:rows], *_weight_gradients(x, turn, inputs, sizes)


def _input_kernel(
    x: Any, weight: Any, cos: Any, sin: Any, swap: Any, dq: Any, dk: Any, dv: Any, other: Any, dx: Any,
    *, sizes: Heads,
) -> None:  # fmt: skip
    here, at = _rows_and_positions(pl.program_id(0) * tiles.ROWS, sizes.length)
    columns = tiles.chunks(x.shape[-1])
    turn = cos[at, :], sin[at, :], swap[...]
    slopes = tuple(jnp.zeros((tiles.ROWS, tiles.CHUNK), jnp.float32) for _ in columns)
    for part, gradient in enumerate((dq, dk, dv)):

        def head(h: Any, slopes: Any, part: int = part, gradient: Any = gradient) -> Any:
            place = pl.ds((part * sizes.heads + h) * sizes.width, sizes.width)
            g = _turned_back(gradient[here, pl.ds(h * sizes.width, sizes.width)], part, turn)
            return tuple(
                s + tiles.dot_right(g, weight[c, place]) for s, c in zip(slopes, columns, strict=True)
            )

        slopes = jax.lax.fori_loop(0, sizes.heads, head, slopes)
    mean, inverse = tiles.moments(x, here, sizes.epsilon)
    steps = tiles.standardise_gradient(x, here, slopes, mean, inverse)
    for c, step in zip(columns, steps, strict=True):
        dx[here, c] = (other[here, c].astype(jnp.float32) + step).astype(dx.dtype)


def weight_parts(blocks: int, heads: int) -> int:
    """In how many parts the gradients of the weights are summed up."""
    return tiles.segments(blocks, 2 * heads)


def _weight_gradients(x: Array, turn: Any, gradients: Any, sizes: Heads) -> tuple[Array, Array]:
    blocks, width = x.shape[0] // tiles.ROWS, x.shape[1]
    parts = weight_parts(blocks, sizes.heads)
    shapes = [((parts, width, 3 * width), jnp.float32), ((parts, 3 * width), jnp.float32)]
    body = functools.partial(_weight_kernel, sizes=sizes, blocks=blocks // parts)
    how = tiles.launch(width, sizes.interpret)
    dw, db = tiles.call(body, (parts, sizes.heads), shapes, x, *turn, *gradients, how=how)
    return dw.sum(0), db.sum(0)


def _weight_kernel(
    x: Any, cos: Any, sin: Any, swap: Any, dq: Any, dk: Any, dv: Any, dw: Any, db: Any,
    *, sizes: Heads, blocks: int,
) -> None:  # fmt: skip
    segment, h = pl.program_id(0), pl.program_id(1)
    columns = tiles.chunks(x.shape[-1])
    for part, gradient in enumerate((dq, dk, dv)):

        def block(i: Any, sums: Any, part: int = part, gradient: Any = gradient) -> Any:
            here, at = _rows_and_positions((segment * blocks + i) * tiles.ROWS, sizes.length)
            turn = (cos[at, :], sin[at, :], swap[...]) if part < 2 else None
            g = _turned_back(gradient[here, pl.ds(h * sizes.width, sizes.width)], part, turn)
            mean, inverse = tiles.moments(x, here, sizes.epsilon)
            units = [tiles.standardised(x, here, c, mean, inverse).astype(x.dtype) for c in columns]
            weights = [s + tiles.dot_left(u, g) for s, u in zip(sums[0], units, strict=True)]
            return tuple(weights), sums[1] + tiles.column_sums(g.astype(jnp.float32))

        zeros = tuple(jnp.zeros((tiles.CHUNK, sizes.width), jnp.float32) for _ in columns)
        sums, bias = jax.lax.fori_loop(0, blocks, block, (zeros, jnp.zeros(sizes.width, jnp.float32)))
        place = pl.ds((part * sizes.heads + h) * sizes.width, sizes.width)
        for c, total in zip(columns, sums, strict=True):
            dw[segment, c, place] = total
        db[segment, place] = bias


normed_qkv.defvjp(_forward, _backward)
