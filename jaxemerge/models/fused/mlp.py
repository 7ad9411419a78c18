"""The second half of a parallel block in one kernel each way: x + o W + b + MLP(norm(x)).

The hidden activations of the MLP never reach memory: forward takes 3 widths of traffic, the gradient of the
inputs 4, that of the weights 4. The backward kernels recompute the hidden activations from x, which is
cheaper than reading them as long as the model is narrow; from ``_KEEP_WIDTH`` on the gradient of the inputs
leaves activations and their slopes in memory for plain weight products.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.experimental import pallas as pl

from jaxemerge.models.fused import tiles

if TYPE_CHECKING:
    from jaxtyping import Array, Float

_KEEP_WIDTH = 384


def keeps_hidden(width: int) -> bool:
    """Whether the backward pass writes the hidden layer to memory."""
    return width >= _KEEP_WIDTH


def weight_parts(blocks: int, width: int, hidden: int) -> int:
    """In how many parts the gradients of the hidden layer's weights are summed up."""
    return tiles.segments(blocks, hidden // _tile(width))


def _tile(width: int) -> int:
    """Hidden activations that a program takes, so that its sums fit into registers."""
    return tiles.CHUNK if width <= 128 else tiles.CHUNK // 2


class EndWeights(NamedTuple):
    """Weights of ``block_end``: float32, the norm's scale and bias multiplied into ``up``.

    Attributes:
        out, out_bias: projection of what attention mixed, [D, D] and [D].
        up, up_bias: to the hidden layer, [D, F] and [F].
        down, down_bias: from it, [F, D] and [D].
    """

    out: Float[Array, "D D"]
    out_bias: Float[Array, " D"]
    up: Float[Array, "D F"]
    up_bias: Float[Array, " F"]
    down: Float[Array, "F D"]
    down_bias: Float[Array, " D"]


@functools.partial(jax.custom_vjp, nondiff_argnums=(3, 4))
def block_end(
    x_PD: Float[Array, "P D"],
    mixed_PD: Float[Array, "P D"],
    weights: EndWeights,
    epsilon: float,
    interpret: bool,
) -> Float[Array, "P D"]:
    """``x + mixed @ out + out_bias + gelu(standardised(x) @ up + up_bias) @ down + down_bias``.

    Args:
        x_PD: input of the block, bfloat16.
        mixed_PD: what attention mixed, bfloat16.
        weights: of the projections.
        epsilon: of the norm.
        interpret: whether kernels are run operation by operation.
    """
    return _forward(x_PD, mixed_PD, weights, epsilon, interpret)[0]


def _forward(
    x_PD: Array, mixed_PD: Array, weights: EndWeights, epsilon: float, interpret: bool
) -> tuple[Array, Any]:
    rows, x, mixed = x_PD.shape[0], tiles.padded(x_PD), tiles.padded(mixed_PD)
    out, up, down = (w.astype(x.dtype) for w in (weights.out, weights.up, weights.down))
    arguments = x, mixed, out, weights.out_bias + weights.down_bias, up, weights.up_bias, down
    body, grid = functools.partial(_end_kernel, epsilon=epsilon), (x.shape[0] // tiles.ROWS,)
    how = tiles.launch(x.shape[1], interpret)
    (y,) = tiles.call(body, grid, [(x.shape, x.dtype)], *arguments, how=how)
    return y[:rows], (x_PD, mixed_PD, out, up, weights.up_bias, down)


def _hidden_places(up: Any) -> Any:
    return up.shape[1] // tiles.CHUNK, lambda i: pl.ds(i * tiles.CHUNK, tiles.CHUNK)


def _end_kernel(
    x: Any, mixed: Any, out: Any, bias: Any, up: Any, up_bias: Any, down: Any, y: Any, *, epsilon: float
) -> None:
    here, columns = pl.ds(pl.program_id(0) * tiles.ROWS, tiles.ROWS), tiles.chunks(x.shape[-1])
    mean, inverse = tiles.moments(x, here, epsilon)
    units = [tiles.standardised(x, here, c, mean, inverse).astype(x.dtype) for c in columns]
    sums = []
    for c in columns:
        attended = tiles.summed([tiles.dot(mixed[here, i], out[i, c]) for i in columns])
        sums.append(x[here, c].astype(jnp.float32) + bias[c][None] + attended)
    n, place = _hidden_places(up)

    def hidden(i: Any, sums: Any) -> Any:
        f = place(i)
        h = tiles.summed([tiles.dot(u, up[c, f]) for u, c in zip(units, columns, strict=True)])
        activation = tiles.gelu_and_slope(h + up_bias[f][None])[0].astype(x.dtype)
        return tuple(s + tiles.dot(activation, down[f, c]) for s, c in zip(sums, columns, strict=True))

    for c, total in zip(columns, jax.lax.fori_loop(0, n, hidden, tuple(sums)), strict=True):
        y[here, c] = total.astype(y.dtype)


def _backward(epsilon: float, interpret: bool, residuals: Any, gradient_PD: Array) -> tuple[Any, ...]:
    x_PD, mixed_PD, out, up, up_bias, down = residuals
    rows, x, g = x_PD.shape[0], tiles.padded(x_PD), tiles.padded(gradient_PD)
    keep = keeps_hidden(x.shape[1])
    shapes = [(x.shape, x.dtype), (x.shape, x.dtype), ((x.shape[0] // tiles.ROWS, x.shape[1]), jnp.float32)]
    if keep:
        wide = (x.shape[0], up.shape[1])
        blocks = (x.shape[0] // tiles.ROWS, up.shape[1])
        shapes += [(wide, x.dtype), (wide, x.dtype), (x.shape, x.dtype), (blocks, jnp.float32)]
    how = tiles.launch(x.shape[1], interpret)
    body, grid = functools.partial(_input_kernel, epsilon=epsilon), (x.shape[0] // tiles.ROWS,)
    dmixed, dx, dbias, *kept = tiles.call(body, grid, shapes, x, g, out, up, up_bias, down, how=how)
    if keep:
        activations, slopes, units, dup_bias = kept
        dup, ddown = _weight_product(units, slopes), _weight_product(activations, g)
        hidden = dup, dup_bias.sum(0), ddown
    else:
        hidden = _hidden_gradients(x, g, up, up_bias, down, epsilon, how)
    dout = _weight_product(mixed_PD, gradient_PD)
    total = dbias.sum(0)
    return dx[:rows], dmixed[:rows], EndWeights(dout, total, *hidden, total)


def _weight_product(x_PI: Array, g_PO: Array) -> Array:
    return jax.lax.dot_general(x_PI, g_PO, (((0,), (0,)), ((), ())), preferred_element_type=jnp.float32)


def _input_kernel(
    x: Any, g: Any, out: Any, up: Any, up_bias: Any, down: Any, dmixed: Any, dx: Any, dbias: Any,
    activations: Any = None, slopes: Any = None, standardised: Any = None, dup_bias: Any = None,
    *, epsilon: float,
) -> None:  # fmt: skip
    """Gradients of both inputs; and per block of rows the column sums of the outer gradient."""
    block = pl.program_id(0)
    here, columns = pl.ds(block * tiles.ROWS, tiles.ROWS), tiles.chunks(x.shape[-1])
    mean, inverse = tiles.moments(x, here, epsilon)
    units = [tiles.standardised(x, here, c, mean, inverse).astype(x.dtype) for c in columns]
    outer = [g[here, c] for c in columns]
    for c, each, unit in zip(columns, outer, units, strict=True):
        back = tiles.summed([tiles.dot_right(o, out[c, i]) for o, i in zip(outer, columns, strict=True)])
        dmixed[here, c] = back.astype(dmixed.dtype)
        dbias[block, c] = tiles.column_sums(each.astype(jnp.float32))
        if standardised is not None:
            standardised[here, c] = unit
    n, place = _hidden_places(up)

    def hidden(i: Any, sums: Any) -> Any:
        f = place(i)
        activation, slope = _activation_and_gradient(units, outer, up, up_bias, down, columns, f)
        if activations is not None:
            activations[here, f], slopes[here, f] = activation, slope
            dup_bias[block, f] = tiles.column_sums(slope.astype(jnp.float32))
        return tuple(s + tiles.dot_right(slope, up[c, f]) for s, c in zip(sums, columns, strict=True))

    zeros = tuple(jnp.zeros((tiles.ROWS, tiles.CHUNK), jnp.float32) for _ in columns)
    sums = jax.lax.fori_loop(0, n, hidden, zeros)
    steps = tiles.standardise_gradient(x, here, sums, mean, inverse)
    for c, step in zip(columns, steps, strict=True):
        dx[here, c] = (g[here, c].astype(jnp.float32) + step).astype(dx.dtype)


def _activation_and_gradient(
    units: Any, outer: Any, up: Any, up_bias: Any, down: Any, columns: Any, f: Any
) -> tuple[Array, Array]:
    """A chunk of the hidden layer, recomputed: GELU of it, and the gradient before GELU."""
    h = tiles.summed([tiles.dot(u, up[c, f]) for u, c in zip(units, columns, strict=True)])
    activation, slope = tiles.gelu_and_slope(h + up_bias[f][None])
    after = tiles.summed([tiles.dot_right(o, down[f, c]) for o, c in zip(outer, columns, strict=True)])
    return activation.astype(units[0].dtype), (slope * after).astype(units[0].dtype)


def _hidden_gradients(
    x: Array, g: Array, up: Array, up_bias: Array, down: Array, epsilon: float, how: tiles.Launch
) -> tuple[Array, Array, Array]:
    blocks, (width, hidden) = x.shape[0] // tiles.ROWS, up.shape
    tile, parts = _tile(width), weight_parts(blocks, width, hidden)
    shapes = [(parts, width, hidden), (parts, hidden), (parts, hidden, width)]
    body = functools.partial(_weight_kernel, epsilon=epsilon, blocks=blocks // parts, tile=tile)
    outputs = [(shape, jnp.float32) for shape in shapes]
    found = tiles.call(body, (parts, hidden // tile), outputs, x, g, up, up_bias, down, how=how)
    dup, dup_bias, ddown = (part.sum(0) for part in found)
    return dup, dup_bias, ddown


def _weight_kernel(
    x: Any, g: Any, up: Any, up_bias: Any, down: Any, dup: Any, dup_bias: Any, ddown: Any,
    *, epsilon: float, blocks: int, tile: int,
) -> None:  # fmt: skip
    """Gradients of ``tile`` columns of ``up`` and rows of ``down``, summed over a segment of the rows."""
    segment, f = pl.program_id(0), pl.ds(pl.program_id(1) * tile, tile)
    columns = tiles.chunks(x.shape[-1])

    def block(i: Any, sums: Any) -> Any:
        ups, downs, bias = sums
        here = pl.ds((segment * blocks + i) * tiles.ROWS, tiles.ROWS)
        mean, inverse = tiles.moments(x, here, epsilon)
        units = [tiles.standardised(x, here, c, mean, inverse).astype(x.dtype) for c in columns]
        outer = [g[here, c] for c in columns]
        activation, slope = _activation_and_gradient(units, outer, up, up_bias, down, columns, f)
        ups = tuple(s + tiles.dot_left(u, slope) for s, u in zip(ups, units, strict=True))
        downs = tuple(s + tiles.dot_left(activation, o) for s, o in zip(downs, outer, strict=True))
        return ups, downs, bias + tiles.column_sums(slope.astype(jnp.float32))

    ups = tuple(jnp.zeros((tiles.CHUNK, tile), jnp.float32) for _ in columns)
    downs = tuple(jnp.zeros((tile, tiles.CHUNK), jnp.float32) for _ in columns)
    ups, downs, bias = jax.lax.fori_loop(0, blocks, block, (ups, downs, jnp.zeros(tile, jnp.float32)))
    for c, one, other in zip(columns, ups, downs, strict=True):
        dup[segment, c, f], ddown[segment, f, c] = one, other
    dup_bias[segment, f] = bias


block_end.defvjp(_forward, _backward)
