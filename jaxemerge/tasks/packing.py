"""How do examples of different lengths become full context windows, without the host?

Examples are laid end to end until the context is full. The last one is usually cut off; it is kept
as context but carries no loss. There is no padding and no document mask.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import jax
import jax.numpy as jnp

if TYPE_CHECKING:
    from jaxtyping import Array, Float, Int

    from jaxemerge.tasks.base import Task
    from jaxemerge.types import Key


class Batch(NamedTuple):
    """Full context windows.

    Attributes:
        tokens: token ids.
        weights: of each token as a prediction target.
        segments: which example of its window each token belongs to, counted from 0.
    """

    tokens: Int[Array, "*B L"]
    weights: Float[Array, "*B L"]
    segments: Int[Array, "*B L"]


def pack_window(task: Task, key: Key, context: int) -> Batch:
    """One window of ``context`` tokens, filled with fresh examples.

    Enough of the shortest examples to fill the window are drawn, and each position looks up the
    example that covers it: two gathers, no loop, any mixture of lengths.

    Args:
        task: where the examples come from.
        key: decides every example of this window.
        context: window length in tokens, at least ``task.max_length``.

    Returns:
        Batch of tokens, weights and segments, each [L].
    """
    n_examples = -(-context // task.min_length)
    examples = jax.vmap(task.sample)(jax.random.split(key, n_examples))
    ends = jnp.cumsum(examples.length)
    starts = ends - examples.length
    position = jnp.arange(context)
    index = jnp.searchsorted(ends, position, side="right", method="compare_all")
    offset = position - starts[index]
    whole = ends[index] <= context
    weights = jnp.where(whole, examples.weights[index, offset], 0.0)
    return Batch(examples.tokens[index, offset], weights, index.astype(jnp.int32))


def pack_batch(task: Task, key: Key, batch: int, context: int) -> Batch:
    """``batch`` independent windows: tokens, weights and segments, each [B, L].

    Args:
        task: what examples are drawn from.
        key: decides all of them.
        batch: windows B.
        context: tokens L per window, at least those of the longest example.
    """
    return jax.vmap(lambda k: pack_window(task, k, context))(jax.random.split(key, batch))
