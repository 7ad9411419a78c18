"""Final norm, output projection and loss in one kernel each way: logits never reach memory.

Forward reads x and writes two numbers per token; the gradients of x and of the head take 2 and 1 widths of
traffic and recompute the logits.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
from jax.experimental import pallas as pl

from jaxemerge.models.fused import tiles

if TYPE_CHECKING:
    from jaxtyping import Array, Float, Int

_NEVER = -1e30  # logit of a token that pads the vocabulary


@functools.partial(jax.custom_vjp, nondiff_argnums=(4, 5))
def negative_log_likelihood(
    x_PD: Float[Array, "P D"],
    head_VD: Float[Array, "V D"],
    bias_V: Float[Array, " V"],
    targets_P: Int[Array, " P"],
    epsilon: float,
    interpret: bool,
) -> Float[Array, " P"]:
    """Nats of each target under the softmax of ``standardised(x) @ head.T + bias``.

    Args:
        x_PD: what the last block gives, bfloat16.
        head_VD: float32, with the norm's scale multiplied in.
        bias_V: float32, the norm's bias times the head.
        targets_P: token ids.
        epsilon: of the norm.
        interpret: whether kernels are run operation by operation.
    """
    return _forward(x_PD, head_VD, bias_V, targets_P, epsilon, interpret)[0]


def _forward(
    x_PD: Array, head_VD: Array, bias_V: Array, targets_P: Array, epsilon: float, interpret: bool
) -> tuple[Array, Any]:
    rows, x, targets = x_PD.shape[0], tiles.padded(x_PD), tiles.padded(targets_P)
    head = tiles.padded(head_VD.astype(x.dtype), tiles.CHUNK)
    bias = jnp.pad(bias_V, (0, head.shape[0] - len(bias_V)), constant_values=_NEVER)
    shapes = [((x.shape[0],), jnp.float32)] * 2
    body, grid = functools.partial(_likelihood_kernel, epsilon=epsilon), (x.shape[0] // tiles.ROWS,)
    nll, total = tiles.call(body, grid, shapes, x, head, bias, targets, how=tiles.Launch(interpret))
    return nll[:rows], (x_PD, head, bias, bias_V, targets, total)


def _logits(units: Any, head: Any, bias: Any, columns: Any, place: Any) -> Array:
    products = [tiles.dot_right(u, head[place, c]) for u, c in zip(units, columns, strict=True)]
    return tiles.summed(products) + bias[place][None]


def _is_target(targets: Array, start: Any) -> Array:
    ids = start + jax.lax.broadcasted_iota(jnp.int32, (tiles.ROWS, tiles.CHUNK), 1)
    return targets[:, None] == ids


def _likelihood_kernel(
    x: Any, head: Any, bias: Any, targets: Any, nll: Any, log_total: Any, *, epsilon: float
) -> None:
    here, columns = pl.ds(pl.program_id(0) * tiles.ROWS, tiles.ROWS), tiles.chunks(x.shape[-1])
    mean, inverse = tiles.moments(x, here, epsilon)
    units = [tiles.standardised(x, here, c, mean, inverse).astype(x.dtype) for c in columns]
    target = targets[here]

    def some(i: Any, seen: Any) -> Any:
        """Running maximum, sum of exponentials below it, and logit of the target."""
        top, total, picked = seen
        logits = _logits(units, head, bias, columns, pl.ds(i * tiles.CHUNK, tiles.CHUNK))
        higher = jnp.maximum(top, jnp.max(logits, axis=-1))
        total = total * jnp.exp(top - higher) + jnp.sum(jnp.exp(logits - higher[:, None]), axis=-1)
        hit = jnp.where(_is_target(target, i * tiles.CHUNK), logits, 0.0)
        return higher, total, picked + jnp.sum(hit, axis=-1)

    start = jnp.full(tiles.ROWS, _NEVER, jnp.float32), *[jnp.zeros(tiles.ROWS, jnp.float32)] * 2
    top, total, picked = jax.lax.fori_loop(0, head.shape[0] // tiles.CHUNK, some, start)
    log_total[here] = top + jnp.log(total)
    nll[here] = top + jnp.log(total) - picked


def _backward(epsilon: float, interpret: bool, residuals: Any, gradient_P: Array) -> tuple[Any, ...]:
    x_PD, head, bias, bias_V, targets, total = residuals
    rows, x, g = x_PD.shape[0], tiles.padded(x_PD), tiles.padded(gradient_P)
    arguments = x, head, bias, targets, total, g
    how = tiles.launch(x.shape[1], interpret)
    body, grid = functools.partial(_input_kernel, epsilon=epsilon), (x.shape[0] // tiles.ROWS,)
    (dx,) = tiles.call(body, grid, [(x.shape, x.dtype)], *arguments, how=how)
    blocks = x.shape[0] // tiles.ROWS
    parts = weight_parts(blocks, head.shape[0])
    shapes = [((parts, *head.shape), jnp.float32), ((parts, head.shape[0]), jnp.float32)]
    body = functools.partial(_weight_kernel, epsilon=epsilon, blocks=blocks // parts)
    dhead, dbias = tiles.call(body, (parts, head.shape[0] // tiles.CHUNK), shapes, *arguments, how=how)
    n = len(bias_V)
    return dx[:rows], dhead.sum(0)[:n], dbias.sum(0)[:n], None


def weight_parts(blocks: int, vocabulary: int) -> int:
    """In how many parts the gradient of the head is summed up; ``vocabulary`` is a multiple of a chunk."""
    return tiles.segments(blocks, vocabulary // tiles.CHUNK)


def _logit_gradients(logits: Array, targets: Array, start: Any, total: Array, g: Array) -> Array:
    hit = jnp.where(_is_target(targets, start), 1.0, 0.0)
    return (jnp.exp(logits - total[:, None]) - hit) * g[:, None]


def _input_kernel(
    x: Any, head: Any, bias: Any, targets: Any, total: Any, g: Any, dx: Any, *, epsilon: float
) -> None:
    here, columns = pl.ds(pl.program_id(0) * tiles.ROWS, tiles.ROWS), tiles.chunks(x.shape[-1])
    mean, inverse = tiles.moments(x, here, epsilon)
    units = [tiles.standardised(x, here, c, mean, inverse).astype(x.dtype) for c in columns]
    target, log_total, outer = targets[here], total[here], g[here]

    def some(i: Any, sums: Any) -> Any:
        place = pl.ds(i * tiles.CHUNK, tiles.CHUNK)
        logits = _logits(units, head, bias, columns, place)
        slope = _logit_gradients(logits, target, i * tiles.CHUNK, log_total, outer).astype(x.dtype)
        return tuple(s + tiles.dot(slope, head[place, c]) for s, c in zip(sums, columns, strict=True))

    zeros = tuple(jnp.zeros((tiles.ROWS, tiles.CHUNK), jnp.float32) for _ in columns)
    sums = jax.lax.fori_loop(0, head.shape[0] // tiles.CHUNK, some, zeros)
    steps = tiles.standardise_gradient(x, here, sums, mean, inverse)
    for c, step in zip(columns, steps, strict=True):
        dx[here, c] = step.astype(dx.dtype)


def _weight_kernel(
    x: Any, head: Any, bias: Any, targets: Any, total: Any, g: Any, dhead: Any, dbias: Any,
    *, epsilon: float, blocks: int,
) -> None:  # fmt: skip
    segment, start = pl.program_id(0), pl.program_id(1) * tiles.CHUNK
    columns, place = tiles.chunks(x.shape[-1]), pl.ds(pl.program_id(1) * tiles.CHUNK, tiles.CHUNK)

    def block(i: Any, sums: Any) -> Any:
        here = pl.ds((segment * blocks + i) * tiles.ROWS, tiles.ROWS)
        mean, inverse = tiles.moments(x, here, epsilon)
        units = [tiles.standardised(x, here, c, mean, inverse).astype(x.dtype) for c in columns]
        logits = _logits(units, head, bias, columns, place)
        slope = _logit_gradients(logits, targets[here], start, total[here], g[here])
        small = slope.astype(x.dtype)
        weights = tuple(s + tiles.dot_left(small, u) for s, u in zip(sums[0], units, strict=True))
        return weights, sums[1] + tiles.column_sums(slope)

    zeros = tuple(jnp.zeros((tiles.CHUNK, tiles.CHUNK), jnp.float32) for _ in columns)
    weights, bias_sum = jax.lax.fori_loop(0, blocks, block, (zeros, jnp.zeros(tiles.CHUNK, jnp.float32)))
    for c, one in zip(columns, weights, strict=True):
        dhead[segment, place, c] = one
    dbias[segment, place] = bias_sum


negative_log_likelihood.defvjp(_forward, _backward)
