"""What is minimised: the weighted mean of the negative log-likelihood of the next token."""

from __future__ import annotations

from typing import TYPE_CHECKING

import jax.numpy as jnp

from jaxemerge.models.likelihood import negative_log_likelihood, shift

if TYPE_CHECKING:
    from jaxtyping import Array, Float, Int


def loss(
    logits: Float[Array, "B L V"], tokens: Int[Array, "B L"], weights: Float[Array, "B L"]
) -> Float[Array, ""]:
    """Weighted mean over a batch, in nats per weighted token.

    Args:
        logits: predictions of each position for its right neighbour.
        tokens: the context windows.
        weights: weight of each token as a prediction target.

    Returns:
        Sum of weight * negative log-likelihood over the sum of weights; 0 where all weights are 0.
    """
    weight_BL = shift(weights)
    total = jnp.sum(weight_BL * negative_log_likelihood(logits, shift(tokens)))
    return total / jnp.maximum(jnp.sum(weight_BL), jnp.finfo(jnp.float32).tiny)
