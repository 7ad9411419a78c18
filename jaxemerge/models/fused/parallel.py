"""A parallel block and the loss of a transformer, made of the fused kernels and the modules' weights."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import jax

from jaxemerge.models.fused.mlp import EndWeights, block_end
from jaxemerge.models.fused.projection import Heads, normed_qkv
from jaxemerge.models.fused.readout import negative_log_likelihood
from jaxemerge.models.fused.tiles import interpreting

if TYPE_CHECKING:
    from jaxtyping import Array, Float, Int


def parallel_block(block: Any, x_PD: Float[Array, "P D"], length: int) -> Float[Array, "P D"]:
    """What a ``layers.Block`` gives for whole windows of ``length`` positions.

    Args:
        block: the module; only its weights and sizes, and how it mixes values, are used.
        x_PD: its input, bfloat16.
        length: positions L of a window.
    """
    attention, mlp = block.attention, block.mlp
    positions, width = x_PD.shape
    heads, epsilon = attention.heads, block.attention_norm.epsilon
    turn = (attention.rotary_width, attention.rotary_base)
    sizes = Heads(heads, width // heads, *turn, length, epsilon, interpreting())
    *qkv, x_PD = normed_qkv(x_PD, *_folded(block.attention_norm, attention.qkv), sizes)
    q, k, v = (part.reshape(positions // length, length, heads, width // heads) for part in qkv)
    mixed_BLHK = attention.mix(q, k, v)
    up, up_bias = _folded(block.mlp_norm, mlp.up)
    out, down = attention.out, mlp.down
    arrays = out.kernel[...], out.bias[...], up, up_bias, down.kernel[...], down.bias[...]
    mixed_PD = mixed_BLHK.reshape(positions, width)
    return block_end(x_PD, mixed_PD, EndWeights(*arrays), epsilon, interpreting())


def losses(
    norm: Any, x_PD: Float[Array, "P D"], head_VD: Float[Array, "V D"], targets_P: Int[Array, " P"]
) -> Float[Array, " P"]:
    """Nats of each target, from what the last block gives; ``norm`` is the final ``layers.Norm``."""
    scaled_VD, bias_V = head_VD * norm.scale[...][None], _sum_product(head_VD, norm.bias[...])
    return negative_log_likelihood(x_PD, scaled_VD, bias_V, targets_P, norm.epsilon, interpreting())


def _folded(norm: Any, linear: Any) -> tuple[Array, Array]:
    """Weight and bias of a linear layer that is given standardised rows instead of normed ones."""
    weight_IO = linear.kernel[...]
    shift_O = _sum_product(weight_IO.T, norm.bias[...])
    return norm.scale[...][:, None] * weight_IO, linear.bias[...] + shift_O


def _sum_product(weight_OI: Array, bias_I: Array) -> Array:
    """``weight @ bias`` in full float32: a few numbers, added to activations."""
    return jax.numpy.sum(weight_OI * bias_I[None], axis=1)
