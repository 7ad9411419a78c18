"""The parts of a transformer block: norm, rotary positions, attention, MLP.

Activations of a whole batch are [P, D] with P = B * L; only attention sees examples apart.
"""

from __future__ import annotations

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from jaxemerge.devices import on_cpu, platform
from jaxemerge.models import cpu_kernels
from jaxemerge.models.architecture import Architecture
from jaxemerge.models.implementation import implementation
from jaxemerge.types import Array, Float, Int


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
    one_hot_VP = jax.nn.one_hot(tokens_P, vocabulary, axis=0, dtype=gradient_PD.dtype)
    return jnp.dot(one_hot_VP, gradient_PD, preferred_element_type=jnp.float32), None


embedding.defvjp(_embedding_forward, _embedding_backward)


def project(x_PD: Float[Array, "P D"], head_VD: Float[Array, "V D"]) -> Float[Array, "P V"]:
    """Logits in float32, whatever the precision of the inputs."""
    if on_cpu() and x_PD.dtype == jnp.float32:
        return cpu_kernels.product(x_PD, head_VD.T)
    return jax.lax.dot_general(x_PD, head_VD, (((1,), (1,)), ((), ())), preferred_element_type=jnp.float32)


def negative_log_likelihood(logits: Float[Array, "*B V"], targets: Int[Array, "*B"]) -> Float[Array, "*B"]:
    """Nats of each target token under the softmax of its logits."""
    # A one-hot product instead of a gather: its gradient is elementwise, not a scatter.
    picked = jnp.sum(logits * jax.nn.one_hot(targets, logits.shape[-1], dtype=logits.dtype), axis=-1)
    return jax.nn.logsumexp(logits, axis=-1) - picked


class Norm(nnx.Module):
    """LayerNorm (Ba et al. 2016) or RMSNorm (Zhang & Sennrich 2019); statistics are float32."""

    def __init__(self, spec: Architecture) -> None:
        self.scale = nnx.Param(jnp.ones(spec.width))
        self.bias = nnx.Param(jnp.zeros(spec.width)) if spec.norm == "layer" else None
        self.epsilon = spec.norm_epsilon
        self.dtype = spec.compute_dtype

    def __call__(self, x_PD: Float[Array, "P D"]) -> Float[Array, "P D"]:
        bias_D = None if self.bias is None else self.bias[...]
        return normalise(x_PD.astype(jnp.float32), self.scale[...], bias_D, self.epsilon).astype(self.dtype)


def normalise(
    x_PD: Float[Array, "P D"], scale_D: Float[Array, " D"], bias_D: Float[Array, " D"] | None, epsilon: float
) -> Float[Array, "P D"]:
    """Rows divided by their standard deviation (given a bias: LayerNorm) or root mean square (RMSNorm)."""
    if on_cpu():
        if bias_D is None:
            return cpu_kernels.rescale(x_PD, scale_D, epsilon)
        return cpu_kernels.standardise(x_PD, scale_D, bias_D, epsilon)
    if bias_D is not None:
        x_PD = x_PD - jnp.mean(x_PD, -1, keepdims=True)
    unit_PD = x_PD * jax.lax.rsqrt(jnp.mean(x_PD**2, -1, keepdims=True) + epsilon)
    return unit_PD * scale_D[None] + (0.0 if bias_D is None else bias_D[None])


class HostLinear(nnx.Linear):
    """The same as its parent, of matrices, in the form that is fast on host cores."""

    def __call__(self, inputs: Float[Array, "P I"], out_sharding: Any = None) -> Float[Array, "P O"]:
        bias = None if self.bias is None else self.bias[...]
        x_PI, weight_IO, bias_O = self.promote_dtype((inputs, self.kernel[...], bias), dtype=self.dtype)
        y_PO = cpu_kernels.product(x_PI, weight_IO)
        return y_PO if bias_O is None else cpu_kernels.shift(y_PO, bias_O)


def linear(spec: Architecture, n_in: int, n_out: int, *, rngs: nnx.Rngs) -> nnx.Linear:
    """A linear layer with float32 weights, computed in the specification's precision."""
    kind = HostLinear if on_cpu() else nnx.Linear
    return kind(
        n_in,
        n_out,
        use_bias=spec.bias,
        dtype=spec.compute_dtype,
        kernel_init=nnx.initializers.normal(spec.init_std),
        rngs=rngs,
    )


def gelu(x: Array) -> Array:
    """x times the normal distribution function of x, exactly (Hendrycks & Gimpel 2016).

    Through erf: ``jax.nn.gelu`` goes through erfc, whose two branches are both computed.
    """
    return x * (0.5 + 0.5 * jax.lax.erf(x * np.sqrt(0.5).astype(x.dtype)))


@functools.partial(jax.custom_vjp, nondiff_argnums=(1, 2, 3))
def rotate(x: Array, rotary_width: int, base: float, axis: int) -> Array:
    """Rotary positions on the first ``rotary_width`` of each head's dimensions (the last axis).

    Dimension i is paired with i + rotary_width / 2 and turned by position * base^(-2 i / rotary_width).

    Args:
        x: queries or keys [..., K], with the positions on ``axis``.
        rotary_width: how many dimensions are turned, an even number.
        base: the slowest rotation is about one turn in 2 pi * base positions.
        axis: which axis is the position, counted from the end (negative).

    References:
        Su et al. (2021), "RoFormer", eq. 15; the pairing is that of GPT-NeoX.
    """
    return _turned(x, rotary_width, base, axis, 1.0)


def _turned(x: Array, rotary_width: int, base: float, axis: int, direction: float) -> Array:
    if rotary_width == 0:
        return x
    angle = _angles(x.shape[axis], rotary_width, base)
    angle = angle.reshape([x.shape[axis], *[1] * (-axis - 2), rotary_width // 2])
    return _turned_by(x, np.cos(angle), direction * np.sin(angle))


def _angles(positions: int, rotary_width: int, base: float) -> Float[np.ndarray, "L half"]:
    """By how much each pair of dimensions is turned at each position, in float64."""
    half = rotary_width // 2
    return np.outer(np.arange(positions), base ** (-np.arange(half) / half))


def _turned_by(x: Array, cos: Any, sin: Any) -> Array:
    """Pairs of the leading dimensions turned; cos and sin broadcast against x from the right."""
    half = cos.shape[-1]
    cos, sin = (part.reshape([1] * (x.ndim - part.ndim) + list(part.shape)) for part in (cos, sin))
    cos, sin = cos.astype(x.dtype), sin.astype(x.dtype)
    first, second, rest = jnp.split(x, [half, 2 * half], axis=-1)
    return jnp.concatenate([first * cos - second * sin, second * cos + first * sin, rest], axis=-1)


def rotate_one(
    x_BHK: Float[Array, "B H K"], position: Any, positions: int, rotary_width: int, base: float
) -> Float[Array, "B H K"]:
    """``rotate`` of queries or keys that all stand at one position, below ``positions``."""
    if rotary_width == 0:
        return x_BHK
    angle = _angles(positions, rotary_width, base)
    cos, sin = (jnp.asarray(table, x_BHK.dtype)[position] for table in (np.cos(angle), np.sin(angle)))
    return _turned_by(x_BHK, cos, sin)


# The gradient of a rotation is the rotation back; the derived one would pad and add slices.
rotate.defvjp(
    lambda x, rotary_width, base, axis: (_turned(x, rotary_width, base, axis, 1.0), None),
    lambda rotary_width, base, axis, _, gradient: (_turned(gradient, rotary_width, base, axis, -1.0),),
)


class Attention(nnx.Module):
    """Causal multi-head self-attention with rotary positions."""

    def __init__(self, spec: Architecture, *, rngs: nnx.Rngs) -> None:
        self.qkv = linear(spec, spec.width, 3 * spec.width, rngs=rngs)
        self.out = linear(spec, spec.width, spec.width, rngs=rngs)
        self.heads = spec.heads
        self.rotary_width = spec.rotary_width
        self.rotary_base = spec.rotary_base
        self.implementation = implementation(spec, platform()).attention

    def __call__(self, x_PD: Float[Array, "P D"], length: int) -> Float[Array, "P D"]:
        return self.read(x_PD, length)[0]

    def read(self, x_PD: Float[Array, "P D"], length: int) -> tuple[Float[Array, "P D"], Array, Array]:
        """Attention within whole texts, and their keys (rotated) and values, each [B, H, L, K]."""
        positions, width = x_PD.shape
        qkv_BLCHK = self.qkv(x_PD).reshape(positions // length, length, 3, self.heads, width // self.heads)
        mix = self._on_cpu if self.implementation == "cpu" else self._on_accelerator
        mixed_BLHK, k_BHLK, v_BHLK = mix(qkv_BLCHK)
        return self.out(mixed_BLHK.reshape(positions, width)), k_BHLK, v_BHLK

    def _on_cpu(self, qkv_BLCHK: Array) -> tuple[Array, Array, Array]:
        q, k, v = cpu_kernels.split_qkv(qkv_BLCHK)
        q, k = (rotate(x, self.rotary_width, self.rotary_base, -2) for x in (q, k))
        scale = np.asarray(1 / np.sqrt(q.shape[-1]), q.dtype)
        return cpu_kernels.causal_attention(q * scale, k, v).transpose(0, 2, 1, 3), k, v

    def _on_accelerator(self, qkv_BLCHK: Array) -> tuple[Array, Array, Array]:
        q, k, v = (qkv_BLCHK[:, :, i] for i in range(3))
        q, k = (rotate(x, self.rotary_width, self.rotary_base, -3) for x in (q, k))
        return self.mix(q, k, v), k.swapaxes(1, 2), v.swapaxes(1, 2)

    def mix(
        self,
        q_BLHK: Float[Array, "B L H K"],
        k_BLHK: Float[Array, "B L H K"],
        v_BLHK: Float[Array, "B L H K"],
    ) -> Float[Array, "B L H K"]:
        """Values mixed by causal attention, on an accelerator."""
        code: Any = self.implementation
        return jax.nn.dot_product_attention(q_BLHK, k_BLHK, v_BLHK, is_causal=True, implementation=code)

    def extend(
        self,
        x_BD: Float[Array, "B D"],
        keys_BHLK: Float[Array, "B H L K"],
        values_BHLK: Float[Array, "B H L K"],
        position: Int[Array, ""] | int,
    ) -> tuple[Float[Array, "B D"], Array, Array]:
        """Attention of the token at ``position`` to itself and those before it, and the memory with it."""
        n, length = x_BD.shape[0], keys_BHLK.shape[2]
        q_BHK, k_BHK, v_BHK = self.qkv(x_BD).reshape(n, 3, self.heads, -1).swapaxes(0, 1)
        q_BHK, k_BHK = (
            rotate_one(x, position, length, self.rotary_width, self.rotary_base) for x in (q_BHK, k_BHK)
        )
        keys_BHLK, values_BHLK = (
            jax.lax.dynamic_update_slice(memory, new[:, :, None].astype(memory.dtype), (0, 0, position, 0))
            for memory, new in ((keys_BHLK, k_BHK), (values_BHLK, v_BHK))
        )
        scale = np.asarray(1 / np.sqrt(q_BHK.shape[-1]), q_BHK.dtype)
        scores_BHL = _per_head(q_BHK * scale, keys_BHLK, 3)
        visible_L = jnp.arange(length) <= position
        weights_BHL = jax.nn.softmax(jnp.where(visible_L[None, None], scores_BHL, -jnp.inf), axis=-1)
        mixed_BHK = _per_head(weights_BHL.astype(q_BHK.dtype), values_BHLK, 2)
        return self.out(mixed_BHK.astype(x_BD.dtype).reshape(n, -1)), keys_BHLK, values_BHLK


def _per_head(a_BHI: Array, b_BHLK: Array, axis: int) -> Float[Array, "B H O"]:
    """Products of a vector and a matrix for each example and head, summed in float32."""
    return jax.lax.dot_general(
        a_BHI,
        b_BHLK.astype(a_BHI.dtype),
        (((2,), (axis,)), ((0, 1), (0, 1))),
        preferred_element_type=jnp.float32,
    )


class MLP(nnx.Module):
    """Two linear layers around GELU (exact), or gated GELU / SiLU."""

    def __init__(self, spec: Architecture, *, rngs: nnx.Rngs) -> None:
        self.gated = spec.mlp != "gelu"
        self.up = linear(spec, spec.width, spec.mlp_width * (1 + self.gated), rngs=rngs)
        self.down = linear(spec, spec.mlp_width, spec.width, rngs=rngs)
        self.silu = spec.mlp == "swiglu"

    def __call__(self, x_PD: Float[Array, "P D"]) -> Float[Array, "P D"]:
        hidden = self.up(x_PD)
        if not self.gated:
            return self.down(gelu(hidden))
        gate, value = jnp.split(hidden, 2, axis=-1)
        activation = jax.nn.silu(gate) if self.silu else gelu(gate)
        return self.down(activation * value)


class Block(nnx.Module):
    """Attention and MLP, each behind its own norm, added one after the other or in parallel."""

    def __init__(self, spec: Architecture, *, rngs: nnx.Rngs) -> None:
        self.attention_norm = Norm(spec)
        self.attention = Attention(spec, rngs=rngs)
        self.mlp_norm = Norm(spec)
        self.mlp = MLP(spec, rngs=rngs)
        self.parallel = spec.residual == "parallel"
        self.fused = implementation(spec, platform()).blocks == "fused"

    def __call__(self, x_PD: Float[Array, "P D"], length: int) -> Float[Array, "P D"]:
        if self.fused:
            from jaxemerge.models.fused import parallel_block

            return parallel_block(self, x_PD, length)
        return self.after(x_PD, self.attention(self.attention_norm(x_PD), length))

    def after(self, x_PD: Float[Array, "P D"], attention_PD: Float[Array, "P D"]) -> Float[Array, "P D"]:
        """The block's output, given its input and what its attention makes of that."""
        attended_PD = x_PD + attention_PD
        mlp_input_PD = x_PD if self.parallel else attended_PD
        return attended_PD + self.mlp(self.mlp_norm(mlp_input_PD))
