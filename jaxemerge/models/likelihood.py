"""How likely does a model find a token? Shared by training and evaluation."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from jaxemerge.types import Array, Float, Int


def shift(x_BL: Array) -> Array:
    """What each position predicts: its right neighbour; 0 at the last position, which has none."""
    return jnp.pad(x_BL[:, 1:], ((0, 0), (0, 1)))


def negative_log_likelihood(logits: Float[Array, "*B V"], targets: Int[Array, "*B"]) -> Float[Array, "*B"]:
    """Nats of each target token under the softmax of its logits."""
    # A one-hot product instead of a gather: its gradient is elementwise, not a scatter.
    picked = jnp.sum(logits * jax.nn.one_hot(targets, logits.shape[-1], dtype=logits.dtype), axis=-1)
    return jax.nn.logsumexp(logits, axis=-1) - picked
