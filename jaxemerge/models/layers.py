"""The parts of a transformer block: norm, attention, MLP.

Activations of a whole batch are [P, D] with P = B * L; only attention sees examples apart.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from jaxemerge.devices import on_cpu, platform
from jaxemerge.models import cpu_kernels
from jaxemerge.models.architecture import Architecture
from jaxemerge.models.implementation import implementation
from jaxemerge.models.positions import Fire, Windows, alibi_slopes, dropped, rotate, rotate_one
from jaxemerge.types import Array, Float, Int, Key


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


class Attention(nnx.Module):
    """Causal multi-head self-attention; positions turn its queries and keys, or are added to its scores."""

    def __init__(self, spec: Architecture, *, rngs: nnx.Rngs) -> None:
        self.qkv = linear(spec, spec.width, 3 * spec.width, rngs=rngs)
        self.out = linear(spec, spec.width, spec.width, rngs=rngs)
        self.heads = spec.heads
        self.rotary_width = spec.rotary_width
        self.rotary_base = spec.rotary_base
        self.alibi = spec.positions == "alibi"
        self.fire = Fire(spec, rngs=rngs) if spec.positions == "fire" else None
        self.implementation = implementation(spec, platform()).attention

    def __call__(self, x_PD: Float[Array, "P D"], windows: Windows) -> Float[Array, "P D"]:
        return self.read(x_PD, windows)[0]

    def read(self, x_PD: Float[Array, "P D"], windows: Windows) -> tuple[Float[Array, "P D"], Array, Array]:
        """Attention within whole texts, and their keys (rotated) and values, each [B, H, L, K]."""
        mix = self._on_cpu if self.implementation == "cpu" else self._on_accelerator
        mixed_BLHK, k_BHLK, v_BHLK = mix(self._split(x_PD, windows), self.bias(windows))
        return self.out(mixed_BLHK.reshape(x_PD.shape)), k_BHLK, v_BHLK

    def _split(self, x_PD: Float[Array, "P D"], windows: Windows) -> Float[Array, "B L 3 H K"]:
        """Queries, keys and values of every position and head."""
        positions, width = x_PD.shape
        length = windows.length
        return self.qkv(x_PD).reshape(positions // length, length, 3, self.heads, width // self.heads)

    def _on_cpu(self, qkv_BLCHK: Array, bias_BHTS: Any) -> tuple[Array, Array, Array]:
        q, k, v = cpu_kernels.split_qkv(qkv_BLCHK)
        q, k = (rotate(x, self.rotary_width, self.rotary_base, -2) for x in (q, k))
        scale = np.asarray(1 / np.sqrt(q.shape[-1]), q.dtype)
        mixed_BHLK = cpu_kernels.causal_attention(q * scale, k, v, bias_BHTS)
        return mixed_BHLK.transpose(0, 2, 1, 3), k, v

    def _on_accelerator(self, qkv_BLCHK: Array, bias_BHTS: Any) -> tuple[Array, Array, Array]:
        q, k, v = (qkv_BLCHK[:, :, i] for i in range(3))
        q, k = (rotate(x, self.rotary_width, self.rotary_base, -3) for x in (q, k))
        return self.mix(q, k, v, bias_BHTS), k.swapaxes(1, 2), v.swapaxes(1, 2)

    def mix(
        self,
        q_BLHK: Float[Array, "B L H K"],
        k_BLHK: Float[Array, "B L H K"],
        v_BLHK: Float[Array, "B L H K"],
        bias_BHTS: Float[Array, "B H T S"] | None = None,
    ) -> Float[Array, "B L H K"]:
        """Values mixed by causal attention, on an accelerator."""
        code: Any = self.implementation
        qkv, how = (q_BLHK, k_BLHK, v_BLHK), {"is_causal": True, "implementation": code}
        if bias_BHTS is None:
            return jax.nn.dot_product_attention(*qkv, **how)
        return jax.nn.dot_product_attention(*qkv, jnp.asarray(bias_BHTS), **how)

    def bias(self, windows: Windows) -> Float[Array, "B H T S"] | None:
        """What is added to the score of a query at t and a key at s; None for nothing.

        The axes B and H are 1 where it is the same in all windows or heads. Minus infinity keeps examples
        apart.
        """
        place_L = np.arange(windows.length, dtype=np.float32)
        query_BT = place_L[None] if windows.positions is None else windows.positions
        bias_BHTS = self._distance_bias(place_L[:, None] - place_L[None], query_BT)
        if windows.segments is None:
            return bias_BHTS
        same_BTS = windows.segments[:, :, None] == windows.segments[:, None]
        return jnp.where(same_BTS[:, None], 0.0 if bias_BHTS is None else bias_BHTS, -jnp.inf)

    def _distance_bias(self, distance_TS: Any, query_BT: Any) -> Any:
        if self.fire is not None:
            return self.fire(distance_TS, query_BT)
        if not self.alibi:
            return None
        slopes_H11 = alibi_slopes(self.heads).astype(np.float32)[:, None, None]
        return (-slopes_H11 * distance_TS[None])[None]

    def weights(self, x_PD: Float[Array, "P D"], windows: Windows) -> Float[Array, "B H L L"]:
        """How much each query (third axis) attends to each key (last axis), in float32; rows sum to 1."""
        q, k, _ = (part.swapaxes(1, 2) for part in jnp.moveaxis(self._split(x_PD, windows), 2, 0))
        q, k = (rotate(x, self.rotary_width, self.rotary_base, -2) for x in (q, k))
        scores_BHTS = jnp.einsum("bhtk,bhsk->bhts", q, k, preferred_element_type=jnp.float32)
        scores_BHTS *= q.shape[-1] ** -0.5
        bias_BHTS = self.bias(windows)
        if bias_BHTS is not None:
            scores_BHTS += bias_BHTS
        visible_TS = np.tri(windows.length, dtype=bool)
        return jax.nn.softmax(jnp.where(visible_TS[None, None], scores_BHTS, -jnp.inf), axis=-1)

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
        place_L = jnp.arange(length)
        bias_BHTS = self._distance_bias(position - place_L[None], jnp.full((1, 1), position))
        if bias_BHTS is not None:
            scores_BHL += bias_BHTS[:, :, 0]
        visible_L = place_L <= position
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
        self.dropout = spec.dropout
        self.fused = implementation(spec, platform()).blocks == "fused"

    def __call__(
        self, x_PD: Float[Array, "P D"], windows: Windows, dropout_key: Key | None = None
    ) -> Float[Array, "P D"]:
        if self.fused:
            from jaxemerge.models.fused import parallel_block

            return parallel_block(self, x_PD, windows.length)
        return self.after(x_PD, self.attention(self.attention_norm(x_PD), windows), dropout_key)

    def after(
        self,
        x_PD: Float[Array, "P D"],
        attention_PD: Float[Array, "P D"],
        dropout_key: Key | None = None,
    ) -> Float[Array, "P D"]:
        """The block's output, given its input and what its attention makes of that."""
        attention_key, mlp_key = (None, None) if dropout_key is None else jax.random.split(dropout_key)
        attended_PD = x_PD + self._dropped(attention_PD, attention_key)
        mlp_input_PD = x_PD if self.parallel else attended_PD
        return attended_PD + self._dropped(self.mlp(self.mlp_norm(mlp_input_PD)), mlp_key)

    def _dropped(self, x_PD: Float[Array, "P D"], key: Key | None) -> Float[Array, "P D"]:
        return x_PD if key is None else dropped(x_PD, self.dropout, key)
