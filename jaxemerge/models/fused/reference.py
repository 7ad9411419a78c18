"""What the fused kernels compute, in plain JAX and float32: to be read, and to check them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import jax
import jax.numpy as jnp
import numpy as np

if TYPE_CHECKING:
    from jaxtyping import Array, Float, Int

    from jaxemerge.models.fused.mlp import EndWeights
    from jaxemerge.models.fused.projection import Heads


def standardised(x_PD: Float[Array, "P D"], epsilon: float) -> Float[Array, "P D"]:
    """Rows with mean 0 and variance 1."""
    x_PD = x_PD.astype(jnp.float32)
    centred_PD = x_PD - jnp.mean(x_PD, -1, keepdims=True)
    return centred_PD * jax.lax.rsqrt(jnp.mean(centred_PD**2, -1, keepdims=True) + epsilon)


def normed_qkv(
    x_PD: Float[Array, "P D"], weight_DO: Float[Array, "D O"], bias_O: Float[Array, " O"], sizes: Heads
) -> tuple[Array, Array, Array, Array]:
    """As ``projection.normed_qkv``."""
    qkv_PO = jnp.dot(standardised(x_PD, sizes.epsilon), weight_DO) + bias_O[None]
    q, k, v = jnp.moveaxis(qkv_PO.reshape(len(x_PD), 3, sizes.heads, sizes.width), 1, 0)
    q, k = (_rotated(part, sizes) for part in (q, k))
    q, k, v = (part.reshape(x_PD.shape) for part in (q, k, v))
    return q, k, v, x_PD.astype(jnp.float32)


def _rotated(x_PHK: Array, sizes: Heads) -> Array:
    half = sizes.rotated // 2
    position_P = np.arange(x_PHK.shape[0]) % sizes.length
    angle = np.outer(position_P, sizes.base ** (-np.arange(half) / max(half, 1)))[:, None]
    cos, sin = np.cos(angle).astype(np.float32), np.sin(angle).astype(np.float32)
    first, second, rest = jnp.split(x_PHK, [half, 2 * half], axis=-1)
    return jnp.concatenate([first * cos - second * sin, second * cos + first * sin, rest], axis=-1)


def block_end(
    x_PD: Float[Array, "P D"], mixed_PD: Float[Array, "P D"], weights: EndWeights, epsilon: float
) -> Float[Array, "P D"]:
    """As ``mlp.block_end``."""
    hidden_PF = jnp.dot(standardised(x_PD, epsilon), weights.up) + weights.up_bias[None]
    activation_PF = jax.nn.gelu(hidden_PF, approximate=False)
    attended_PD = jnp.dot(mixed_PD.astype(jnp.float32), weights.out) + weights.out_bias[None]
    mlp_PD = jnp.dot(activation_PF, weights.down) + weights.down_bias[None]
    return x_PD.astype(jnp.float32) + attended_PD + mlp_PD


def negative_log_likelihood(
    x_PD: Float[Array, "P D"],
    head_VD: Float[Array, "V D"],
    bias_V: Float[Array, " V"],
    targets_P: Int[Array, " P"],
    epsilon: float,
) -> Float[Array, " P"]:
    """As ``readout.negative_log_likelihood``."""
    logits_PV = jnp.dot(standardised(x_PD, epsilon), head_VD.T) + bias_V[None]
    return -jnp.take_along_axis(jax.nn.log_softmax(logits_PV), targets_P[:, None], axis=1)[:, 0]
