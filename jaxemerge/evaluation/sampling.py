"""Which token is drawn, given the logits?"""

from __future__ import annotations

from dataclasses import dataclass

import jax
import jax.numpy as jnp

from jaxemerge.types import Array, Float, Int


@dataclass(frozen=True)
class Sampling:
    """How tokens are drawn from a model's distribution.

    Attributes:
        temperature: logits are divided by it; 0 takes the likeliest token.
        top_k: draw from the k likeliest tokens; 0 from all. Ties with the k-th all count.
        top_p: draw from the fewest likeliest tokens that together have at least this probability (Holtzman
            et al. 2020); 1 from all. It applies to what ``temperature`` and ``top_k`` leave.

    Raises:
        ValueError: a field is out of range; the message says its value and what is allowed.
    """

    temperature: float = 1.0
    top_k: int = 0
    top_p: float = 1.0

    def __post_init__(self) -> None:
        if not 0 <= self.temperature < float("inf"):
            raise ValueError(f"temperature={self.temperature}: must be 0 (greedy) or a positive number")
        if self.top_k < 0:
            raise ValueError(f"top_k={self.top_k}: must be at least 1, or 0 for all tokens")
        if not 0 < self.top_p <= 1:
            raise ValueError(f"top_p={self.top_p}: must lie in (0, 1]")


GREEDY = Sampling(temperature=0.0)


def pick(logits: Float[Array, "B V"], uniform: Float[Array, " B"], sampling: Sampling) -> Int[Array, " B"]:
    """A token for each row: -1 where the logits are not finite.

    Draws by inverting the distribution function: one uniform number per token, whose 24 bits are the
    resolution of a token's probability (6e-8).

    Args:
        logits: float32.
        uniform: in [0, 1); not looked at by greedy decoding.
        sampling: how to draw.
    """
    highest_B = jnp.max(logits, axis=-1)
    if sampling.temperature == 0:
        chosen_B = jnp.argmax(logits, axis=-1)
    else:
        scaled_BV = (logits - highest_B[:, None]) / sampling.temperature
        chosen_B = _inverted(jnp.exp(_kept(scaled_BV, sampling)), uniform)
    return jnp.where(jnp.isfinite(highest_B), chosen_B, -1).astype(jnp.int32)


def _inverted(weights_BV: Float[Array, "B V"], uniform_B: Float[Array, " B"]) -> Int[Array, " B"]:
    """The first token at which the running sum of the weights exceeds this share of their total."""
    sums_BV = jnp.cumsum(weights_BV, axis=-1)
    below_BV = sums_BV <= (uniform_B * sums_BV[:, -1])[:, None]
    return jnp.minimum(jnp.sum(below_BV, axis=-1), weights_BV.shape[-1] - 1)


def _kept(logits_BV: Float[Array, "B V"], sampling: Sampling) -> Float[Array, "B V"]:
    """Logits with minus infinity for tokens that may not be drawn."""
    vocabulary = logits_BV.shape[-1]
    if 0 < sampling.top_k < vocabulary:
        least_B = jax.lax.top_k(logits_BV, sampling.top_k)[0][:, -1]
        logits_BV = jnp.where(logits_BV >= least_B[:, None], logits_BV, -jnp.inf)
    if sampling.top_p < 1:
        sorted_BV = -jnp.sort(-logits_BV, axis=-1)
        shares_BV = jax.nn.softmax(sorted_BV, axis=-1)
        before_BV = jnp.cumsum(shares_BV, axis=-1) - shares_BV
        n_B = jnp.maximum(jnp.sum(before_BV < sampling.top_p, axis=-1), 1)
        least_B = jnp.take_along_axis(sorted_BV, n_B[:, None] - 1, axis=-1)
        logits_BV = jnp.where(logits_BV >= least_B, logits_BV, -jnp.inf)
    return logits_BV
