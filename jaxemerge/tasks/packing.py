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
    """Full context windows; ``weights`` are those of each token as a prediction target."""

    tokens: Int[Array, "*B L"]
    weights: Float[Array, "*B L"]


def pack_window(task: Task, key: Key, context: int) -> Batch:
    """One window of ``context`` tokens, filled with fresh examples.

    Enough of the shortest examples to fill the window are drawn, and each position looks up the
    example that covers it: two gathers, no loop, any mixture of lengths.

    Args:
        task: where the examples come from.
        key: decides every example of this window.
        context: window length in tokens, at least ``task.max_length``.

    Returns:
        Batch of tokens [L] and weights [L].
    """
    n_examples = -(-context // task.min_length)
    examples = jax.vmap(task.sample)(jax.random.split(key, n_examples))
    ends = jnp.cumsum(examples.length)
    starts = ends - examples.length
    position = jnp.arange(context)
    index = jnp.searchsorted(ends, position, side="right", method="compare_all")
    offset = position - starts[index]
    whole = ends[index] <= context
    return Batch(examples.tokens[index, offset], jnp.where(whole, examples.weights[index, offset], 0.0))


def pack_batch(task: Task, key: Key, batch: int, context: int) -> Batch:
    """``batch`` independent windows: tokens [B, L], weights [B, L]."""
    return jax.vmap(lambda k: pack_window(task, k, context))(jax.random.split(key, batch))
