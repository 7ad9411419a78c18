"""What must be kept of a text so that its next token costs one position and not all of them?

Keys and values of the positions so far, block by block. The same modules and weights compute them as in
the forward pass over whole texts, and the logits agree with its to rounding.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jaxemerge.models.architecture import Architecture
from jaxemerge.types import Array, Float


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


def cache_bytes(spec: Architecture, length: int, dtype: Any = None) -> int:
    """Bytes of the cache of one text."""
    return 2 * spec.depth * spec.width * length * jnp.dtype(dtype or spec.compute_dtype).itemsize
