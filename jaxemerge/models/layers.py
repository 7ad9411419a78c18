"""The parts of a transformer block: norm, rotary positions, attention, MLP.

Activations of a whole batch are [P, D] with P = B * L; only attention sees examples apart.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

if TYPE_CHECKING:
    from jaxtyping import Array, Float, Int

    from jaxemerge.models.transformer import Transformer


@jax.custom_vjp
def embedding(table_VD: Float[Array, "V D"], tokens_P: Int[Array, " P"]) -> Float[Array, "P D"]:
    """Rows of the table; its gradient is a product with one-hot tokens.

    The default gradient is a scatter-add: slow on CPU, and its order of additions is not fixed on GPU.
    """
    return table_VD[tokens_P]


def _embedding_forward(table_VD: Array, tokens_P: Array) -> tuple[Array, tuple[Array, int]]:
    return table_VD[tokens_P], (tokens_P, table_VD.shape[0])


def _embedding_backward(residuals: tuple[Array, int], gradient_PD: Array) -> tuple[Array, None]:
    tokens_P, vocabulary = residuals
    one_hot_PV = jax.nn.one_hot(tokens_P, vocabulary, dtype=gradient_PD.dtype)
    return jnp.dot(one_hot_PV.T, gradient_PD, preferred_element_type=jnp.float32), None


embedding.defvjp(_embedding_forward, _embedding_backward)


def project(x_PD: Float[Array, "P D"], head_VD: Float[Array, "V D"]) -> Float[Array, "P V"]:
    """Logits in float32, whatever the precision of the inputs."""
    return jax.lax.dot_general(x_PD, head_VD, (((1,), (1,)), ((), ())), preferred_element_type=jnp.float32)


def normalisation(spec: Transformer, *, rngs: nnx.Rngs) -> nnx.LayerNorm | nnx.RMSNorm:
    """The norm that the specification names; statistics are float32."""
    kind = nnx.LayerNorm if spec.norm == "layer" else nnx.RMSNorm
    return kind(spec.width, epsilon=spec.norm_epsilon, dtype=spec.compute_dtype, rngs=rngs)


def linear(spec: Transformer, n_in: int, n_out: int, *, rngs: nnx.Rngs) -> nnx.Linear:
    """A linear layer with float32 weights, computed in the specification's precision."""
    return nnx.Linear(
        n_in,
        n_out,
        use_bias=spec.bias,
        dtype=spec.compute_dtype,
        kernel_init=nnx.initializers.normal(spec.init_std),
        rngs=rngs,
    )


def rotate(x_BLHK: Float[Array, "B L H K"], rotary_width: int, base: float) -> Float[Array, "B L H K"]:
    """Rotary positions on the first ``rotary_width`` of each head's dimensions.

    Dimension i is paired with i + rotary_width / 2 and turned by position * base^(-2 i / rotary_width).

    References:
        Su et al. (2021), "RoFormer", eq. 15; the pairing is that of GPT-NeoX.
    """
    if rotary_width == 0:
        return x_BLHK
    length, half = x_BLHK.shape[1], rotary_width // 2
    angle = np.outer(np.arange(length), base ** (-np.arange(half) / half))[None, :, None, :]
    cos, sin = np.cos(angle).astype(x_BLHK.dtype), np.sin(angle).astype(x_BLHK.dtype)
    first, second, rest = jnp.split(x_BLHK, [half, rotary_width], axis=-1)
    return jnp.concatenate([first * cos - second * sin, second * cos + first * sin, rest], axis=-1)


class Attention(nnx.Module):
    """Causal multi-head self-attention with rotary positions."""

    def __init__(self, spec: Transformer, *, rngs: nnx.Rngs) -> None:
        self.qkv = linear(spec, spec.width, 3 * spec.width, rngs=rngs)
        self.out = linear(spec, spec.width, spec.width, rngs=rngs)
        self.heads = spec.heads
        self.rotary_width = spec.rotary_width
        self.rotary_base = spec.rotary_base

    def __call__(self, x_PD: Float[Array, "P D"], length: int) -> Float[Array, "P D"]:
        positions, width = x_PD.shape
        shape = (positions // length, length, self.heads, width // self.heads)
        q, k, v = (part.reshape(shape) for part in jnp.split(self.qkv(x_PD), 3, axis=-1))
        q = rotate(q, self.rotary_width, self.rotary_base)
        k = rotate(k, self.rotary_width, self.rotary_base)
        mixed_BLHK = jax.nn.dot_product_attention(q, k, v, is_causal=True)
        return self.out(mixed_BLHK.reshape(positions, width))


class MLP(nnx.Module):
    """Two linear layers around GELU (exact), or gated GELU / SiLU."""

    def __init__(self, spec: Transformer, *, rngs: nnx.Rngs) -> None:
        self.gated = spec.mlp != "gelu"
        self.up = linear(spec, spec.width, spec.mlp_width * (1 + self.gated), rngs=rngs)
        self.down = linear(spec, spec.mlp_width, spec.width, rngs=rngs)
        self.silu = spec.mlp == "swiglu"

    def __call__(self, x_PD: Float[Array, "P D"]) -> Float[Array, "P D"]:
        hidden = self.up(x_PD)
        if not self.gated:
            return self.down(jax.nn.gelu(hidden, approximate=False))
        gate, value = jnp.split(hidden, 2, axis=-1)
        activation = jax.nn.silu(gate) if self.silu else jax.nn.gelu(gate, approximate=False)
        return self.down(activation * value)


class Block(nnx.Module):
    """Attention and MLP, each behind its own norm, added one after the other or in parallel."""

    def __init__(self, spec: Transformer, *, rngs: nnx.Rngs) -> None:
        self.attention_norm = normalisation(spec, rngs=rngs)
        self.attention = Attention(spec, rngs=rngs)
        self.mlp_norm = normalisation(spec, rngs=rngs)
        self.mlp = MLP(spec, rngs=rngs)
        self.parallel = spec.residual == "parallel"

    def __call__(self, x_PD: Float[Array, "P D"], length: int) -> Float[Array, "P D"]:
        attended_PD = x_PD + self.attention(self.attention_norm(x_PD), length)
        mlp_input_PD = x_PD if self.parallel else attended_PD
        return attended_PD + self.mlp(self.mlp_norm(mlp_input_PD))
