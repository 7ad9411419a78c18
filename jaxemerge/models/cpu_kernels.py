"""The same mathematics for host cores: what XLA's CPU backend does slowly, written in the form it does fast.

Each function here equals a plain one (its docstring says which) to rounding, gradients included. Measured
on two cores of an AMD EPYC with AVX2, jaxlib 0.10.2; the shapes are those of a training step.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxemerge.types import Array, Float

# In layers narrower than this the form of a weight gradient depends on its shape; see ``_weight_gradient``.
_WIDE = 128

# In narrow layers, rows this long are transposed instead of the other operand.
_LONG_ROWS = 512


@jax.custom_vjp
def product(x_PI: Float[Array, "P I"], weight_IO: Float[Array, "I O"]) -> Float[Array, "P O"]:
    """``x @ weight``, its gradients with operands laid out in memory as the matrix kernel wants them.

    A product of transposed operands runs at 30 to 60 % of the speed of one whose left operand has
    contiguous rows. XLA folds a plain transpose back into the product: the barriers make it a copy.
    """
    return jnp.dot(x_PI, weight_IO)


def _product_forward(x_PI: Array, weight_IO: Array) -> tuple[Array, tuple[Array, Array]]:
    return jnp.dot(x_PI, weight_IO), (x_PI, weight_IO)


def _product_backward(residuals: tuple[Array, Array], g_PO: Array) -> tuple[Array, Array]:
    x_PI, weight_IO = residuals
    return jnp.dot(g_PO, _copied(weight_IO.T)), _weight_gradient(x_PI, g_PO)


def _weight_gradient(x_PI: Array, g_PO: Array) -> Array:
    """``x^T g``.

    In a narrow layer the product can be faster the other way round, as ``(g^T x)^T``. In a wide one that
    never pays: both products run at the same speed, and the result would have to be transposed as well.
    """
    n_in, n_out = x_PI.shape[1], g_PO.shape[1]
    if min(n_in, n_out) >= _WIDE:
        return jnp.dot(_copied(x_PI.T), g_PO)
    wide_is_long = max(n_in, n_out) >= _LONG_ROWS
    if (n_in < n_out) != wide_is_long:
        return jnp.dot(_copied(x_PI.T), g_PO)
    return _copied(jnp.dot(_copied(g_PO.T), x_PI)).T


def _copied(x: Array) -> Array:
    return jax.lax.optimization_barrier(x)


product.defvjp(_product_forward, _product_backward)


@jax.custom_vjp
def shift(x_PO: Float[Array, "P O"], bias_O: Float[Array, " O"]) -> Float[Array, "P O"]:
    """``x + bias`` for each row."""
    return x_PO + bias_O[None]


shift.defvjp(lambda x_PO, bias_O: (x_PO + bias_O[None], None), lambda _, g_PO: (g_PO, _column_sums(g_PO)))


def _column_sums(x_PD: Float[Array, "P D"]) -> Float[Array, " D"]:
    """Sums over all rows: as a product they take one pass, a reduction takes several."""
    return jnp.dot(jnp.ones((1, x_PD.shape[0]), x_PD.dtype), x_PD)[0]


def _row_means(x_PD: Float[Array, "P D"], weight_D: Float[Array, " D"] | float = 1.0) -> Float[Array, "P 1"]:
    """Means of the rows, each entry weighted: as a product, since reductions of rows are not vectorised."""
    weight_D1 = (jnp.ones(x_PD.shape[1], x_PD.dtype) * (weight_D / x_PD.shape[1]))[:, None]
    return jnp.dot(x_PD, weight_D1)


@jax.custom_vjp
def standardise(x_PD: Array, scale_D: Array, bias_D: Array, epsilon: float) -> Array:
    """LayerNorm of the rows: ``(x - mean) / sqrt(variance + epsilon) * scale + bias``, in float32."""
    return _standardise_forward(x_PD, scale_D, bias_D, epsilon)[0]


def _standardise_forward(x_PD: Array, scale_D: Array, bias_D: Array, epsilon: float) -> tuple[Array, Any]:
    centred_PD = x_PD - _row_means(x_PD)
    y_PD, residuals = _rescale(centred_PD, scale_D, epsilon)
    return y_PD + bias_D[None], residuals


def _rescale(x_PD: Array, scale_D: Array, epsilon: float) -> tuple[Array, Any]:
    inverse_P1 = jax.lax.rsqrt(_row_means(x_PD * x_PD) + epsilon)
    unit_PD = x_PD * inverse_P1
    return unit_PD * scale_D[None], (unit_PD, inverse_P1, scale_D)


def _standardise_backward(residuals: Any, g_PD: Array) -> tuple[Array, Array, Array, None]:
    unit_PD, inverse_P1, scale_D = residuals
    product_PD = g_PD * unit_PD
    along_P1, level_P1 = _row_means(product_PD, scale_D), _row_means(g_PD, scale_D)
    x_PD = inverse_P1 * (g_PD * scale_D[None] - level_P1 - unit_PD * along_P1)
    return x_PD, _column_sums(product_PD), _column_sums(g_PD), None


standardise.defvjp(_standardise_forward, _standardise_backward)


@jax.custom_vjp
def rescale(x_PD: Array, scale_D: Array, epsilon: float) -> Array:
    """RMSNorm of the rows: ``x / sqrt(mean(x^2) + epsilon) * scale``, in float32."""
    return _rescale(x_PD, scale_D, epsilon)[0]


def _rescale_forward(x_PD: Array, scale_D: Array, epsilon: float) -> tuple[Array, Any]:
    return _rescale(x_PD, scale_D, epsilon)


def _rescale_backward(residuals: Any, g_PD: Array) -> tuple[Array, Array, None]:
    unit_PD, inverse_P1, scale_D = residuals
    product_PD = g_PD * unit_PD
    along_P1 = _row_means(product_PD, scale_D)
    return inverse_P1 * (g_PD * scale_D[None] - unit_PD * along_P1), _column_sums(product_PD), None


rescale.defvjp(_rescale_forward, _rescale_backward)


@jax.custom_vjp
def split_qkv(qkv_BLCHK: Float[Array, "B L 3 H K"]) -> tuple[Array, Array, Array]:
    """Queries, keys and values, each [B, H, L, K]: one matrix per example and head.

    The derived gradient would add three padded arrays; this one puts them side by side, each copied first:
    what it is made of would be computed again for every entry of the whole.
    """
    q, k, v = qkv_BLCHK.transpose(2, 0, 3, 1, 4)
    return q, k, v


split_qkv.defvjp(
    lambda qkv_BLCHK: (split_qkv(qkv_BLCHK), None),
    lambda _, gradients: (jnp.stack([_copied(g).transpose(0, 2, 1, 3) for g in gradients], axis=2),),
)


@jax.custom_vjp
def causal_attention(
    q_BHTK: Float[Array, "B H T K"],
    k_BHSK: Float[Array, "B H S K"],
    v_BHSK: Float[Array, "B H S K"],
    bias_BHTS: Float[Array, "B H T S"] | None = None,
) -> Float[Array, "B H T K"]:
    """``softmax(q k^T + bias, over the positions s <= t) v``; the caller scales q.

    The bias may have one batch or one head for all. Where it is minus infinity a position is not seen.

    The scores are kept as [S, T]: maxima and sums over s then run over whole rows, which is vectorised.
    The weights stay unnormalised; dividing the K-wide results instead of the S-wide weights is less work.

    References:
        The backward pass in terms of row sums of (gradient * output): Dao et al. (2022), "FlashAttention",
        appendix B.
    """
    return _attention_forward(q_BHTK, k_BHSK, v_BHSK, bias_BHTS)[0]


def _attention_forward(q: Array, k: Array, v: Array, bias_BHTS: Any) -> tuple[Array, Any]:
    length = q.shape[2]
    visible_ST = np.arange(length)[:, None] <= np.arange(length)
    scores_BHST = _batched(k, q, 3, 3, jnp.float32)
    if bias_BHTS is not None:
        scores_BHST += bias_BHTS.swapaxes(2, 3)
    scores_BHST = jnp.where(visible_ST[None, None], scores_BHST, -jnp.inf)
    weights_BHST = jnp.exp(scores_BHST - scores_BHST.max(-2, keepdims=True)).astype(v.dtype)
    total_BHT1 = weights_BHST.sum(-2, dtype=jnp.float32)[..., None]
    mixed_BHTK = _batched(weights_BHST, v, 2, 2, jnp.float32) / total_BHT1
    return mixed_BHTK.astype(v.dtype), (q, k, v, weights_BHST, total_BHT1, mixed_BHTK, bias_BHTS)


def _attention_backward(residuals: Any, gradient_BHTK: Array) -> tuple[Array, Array, Array, Array | None]:
    q, k, v, weights_BHST, total_BHT1, mixed_BHTK, bias_BHTS = residuals
    product_PK = (gradient_BHTK * mixed_BHTK).reshape(-1, q.shape[-1])
    along_BHT1 = jnp.dot(product_PK, jnp.ones((q.shape[-1], 1))).reshape(total_BHT1.shape) / total_BHT1
    g_BHTK = (gradient_BHTK / total_BHT1).astype(v.dtype)
    slope_BHST = _batched(v, g_BHTK, 3, 3, jnp.float32) - along_BHT1.swapaxes(2, 3)
    exact_BHST = weights_BHST * slope_BHST
    s_BHST = exact_BHST.astype(q.dtype)
    q_BHTK, k_BHSK = _batched(s_BHST, k, 2, 2), _batched(s_BHST, q, 3, 2)
    v_BHSK = _batched(weights_BHST, g_BHTK, 3, 2)
    return q_BHTK, k_BHSK, v_BHSK, _bias_gradient(exact_BHST, bias_BHTS)


def _bias_gradient(scores_BHST: Array, bias_BHTS: Array | None) -> Array | None:
    """That of the scores, summed over the windows and heads that share a bias."""
    if bias_BHTS is None:
        return None
    shared = tuple(axis for axis in (0, 1) if bias_BHTS.shape[axis] == 1)
    return jnp.sum(scores_BHST, axis=shared, keepdims=True).swapaxes(2, 3)


causal_attention.defvjp(_attention_forward, _attention_backward)


def _batched(a: Array, b: Array, over_a: int, over_b: int, dtype: Any = None) -> Array:
    """Products of the matrices of each example and head, summed over one axis of each."""
    return jax.lax.dot_general(
        a, b, (((over_a,), (over_b,)), ((0, 1), (0, 1))), preferred_element_type=dtype or a.dtype
    )
