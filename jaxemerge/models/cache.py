"""What must be kept of a text so that its next token costs one position and not all of them?

Keys and values of the positions so far, block by block. The same modules and weights compute them as in
the forward pass over whole texts, and the logits agree with its to rounding.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import jax.numpy as jnp

if TYPE_CHECKING:
    from jaxtyping import Array, Float, Int

    from jaxemerge.models.transformer import Decoder, Transformer


class Cache(NamedTuple):
    """Keys and values of B texts, one array [B, H, L, K] per block.

    Attributes:
        keys: rotated by their positions; whatever stands at positions not yet read is not looked at.
        values: likewise.
    """

    keys: tuple[Float[Array, "B H L K"], ...]
    values: tuple[Float[Array, "B H L K"], ...]

    @property
    def length(self) -> int:
        """Positions there is room for."""
        return self.keys[0].shape[2]

    def longer(self, length: int) -> Cache:
        """The same texts, with room for ``length`` positions."""
        room = ((0, 0), (0, 0), (0, length - self.length), (0, 0))
        return jax.tree.map(lambda x: jnp.pad(x, room), self)

    def repeated(self, times: int) -> Cache:
        """Every text ``times`` times, copies side by side."""
        return jax.tree.map(lambda x: jnp.repeat(x, times, axis=0), self)


def read(model: Decoder, tokens: Int[Array, "B L"], dtype: Any) -> tuple[Float[Array, "B V"], Cache]:
    """Reads the beginnings of texts, all of one length.

    Args:
        model: with its weights.
        tokens: at least one position.
        dtype: precision of the cache.

    Returns:
        Float32 logits of the token that comes next, and the cache of these positions.
    """
    batch, length = tokens.shape
    keys, values = [], []
    x_PD = model.embed(tokens.reshape(-1))
    for block in model.blocks:
        attention_PD, k_BHLK, v_BHLK = block.attention.read(block.attention_norm(x_PD), length)
        x_PD = block.after(x_PD, attention_PD)
        keys.append(k_BHLK.astype(dtype))
        values.append(v_BHLK.astype(dtype))
    last_BD = x_PD.reshape(batch, length, -1)[:, -1]
    return model.predict(last_BD), Cache(tuple(keys), tuple(values))


def extend(
    model: Decoder, cache: Cache, tokens: Int[Array, " B"], position: Int[Array, ""] | int
) -> tuple[Float[Array, "B V"], Cache]:
    """Reads one more token of every text.

    Args:
        model: with its weights.
        cache: of the positions before, with room for one more.
        tokens: one of each text.
        position: where they stand, the same for all; may be traced.

    Returns:
        Float32 logits of the token that comes next, and the cache with this position.
    """
    keys, values = [], []
    x_BD = model.embed(tokens)
    for block, k_BHLK, v_BHLK in zip(model.blocks, cache.keys, cache.values, strict=True):
        y_BD = block.attention_norm(x_BD)
        attention_BD, k_BHLK, v_BHLK = block.attention.extend(y_BD, k_BHLK, v_BHLK, position)
        x_BD = block.after(x_BD, attention_BD)
        keys.append(k_BHLK)
        values.append(v_BHLK)
    return model.predict(x_BD), Cache(tuple(keys), tuple(values))


def cache_bytes(spec: Transformer, length: int, dtype: Any = None) -> int:
    """Bytes of the cache of one text."""
    return 2 * spec.depth * spec.width * length * jnp.dtype(dtype or spec.compute_dtype).itemsize
