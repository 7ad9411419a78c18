"""How many tokens must be inserted, deleted or replaced to make one answer into another?"""

from __future__ import annotations

from typing import TYPE_CHECKING

import jax
import jax.numpy as jnp

if TYPE_CHECKING:
    from jaxtyping import Array, Int


def edit_distance(
    left: Int[Array, " A"],
    right: Int[Array, " B"],
    left_length: Int[Array, ""] | int,
    right_length: Int[Array, ""] | int,
) -> Int[Array, ""]:
    """Edit distance of two padded sequences; traceable, to be mapped over pairs.

    Row i of the table is the distance of the first i tokens on the left to every beginning of the right.
    Insertions along a row are a running minimum, so a row is a few operations on whole vectors.

    Args:
        left, right: tokens; what stands beyond the lengths is ignored.
        left_length, right_length: tokens that count, from 0 to A and B.

    References:
        Levenshtein (1966); the table is that of Wagner and Fischer (1974).
    """
    column = jnp.arange(right.shape[0] + 1)

    def row(before: Array, token_and_place: tuple[Array, Array]) -> tuple[Array, None]:
        token, i = token_and_place
        replaced = before[:-1] + (right != token)
        reached = jnp.concatenate([i[None], jnp.minimum(before[1:] + 1, replaced)])
        inserted = jax.lax.cummin(reached - column) + column
        return jnp.where(i <= left_length, inserted, before), None

    places = jnp.arange(1, left.shape[0] + 1)
    last, _ = jax.lax.scan(row, column, (left, places))
    return last[right_length]
