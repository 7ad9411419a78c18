"""How does a transformer know where a token stands? Rotation, a learned table, or a bias of attention scores.

Positions count from 0 at the first token of a text. In training they may start at a random offset, and they
start again with every example where attention stays within examples.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from jaxemerge.models.architecture import FIRE_WIDTH, Architecture
from jaxemerge.types import Array, Float, Int, Key


@dataclass(frozen=True)
class Windows:
    """What attention must know of the windows of a batch besides their activations.

    Attributes:
        length: positions L of a window.
        positions: [B, L] of every token; None where they are 0 to L - 1 in every window.
        segments: [B, L] example of every token; None where attention crosses examples.
    """

    length: int
    positions: Int[Array, "B L"] | None = None
    segments: Int[Array, "B L"] | None = None


def windows_of(
    spec: Architecture,
    shape: tuple[int, ...],
    segments_BL: Int[Array, "B L"] | None,
    offset_key: Key | None = None,
) -> Windows:
    """The windows of a batch, as a specification wants them read.

    Args:
        spec: the transformer.
        shape: number of windows B and positions L of each.
        segments_BL: which example each token belongs to; None for windows of one example each.
        offset_key: draws each window's offset; None outside training.

    Raises:
        ValueError: ``learned`` has no row for the last position.
    """
    length = shape[1]
    drawn = 0 if offset_key is None else spec.random_offset
    check_table(spec, length, drawn)
    segments_BL = segments_BL if spec.within_example else None
    if spec.positions not in ("learned", "fire") or (segments_BL is None and not drawn):
        return Windows(length, None, segments_BL)  # the other kinds see distances alone
    positions_BL = jnp.arange(length)[None]
    if segments_BL is not None:
        positions_BL = restarted(segments_BL)
    if drawn:
        assert offset_key is not None
        offset_B1 = jax.random.randint(offset_key, (shape[0], 1), 0, drawn + 1)
        positions_BL = positions_BL + offset_B1
    return Windows(length, positions_BL, segments_BL)


def check_table(spec: Architecture, length: int, offset: int = 0) -> None:
    """Checks that a text of this length, starting at up to this offset, fits into the learned table.

    Raises:
        ValueError: ``learned`` has no row for the last position.
    """
    if spec.positions == "learned" and length + offset > spec.max_positions:
        beyond = f" and an offset of up to {offset}" if offset else ""
        raise ValueError(
            f"max_positions={spec.max_positions}: learned positions have no row for the end of a text of "
            f"{length} tokens{beyond}; it must be at least {length + offset}"
        )


def restarted(segments_BL: Int[Array, "B L"]) -> Int[Array, "B L"]:
    """Positions that count from 0 in every example of a window."""
    place_BL = jnp.broadcast_to(jnp.arange(segments_BL.shape[1]), segments_BL.shape)
    first_BL = jnp.pad(segments_BL[:, 1:] != segments_BL[:, :-1], ((0, 0), (1, 0)), constant_values=True)
    return place_BL - jax.lax.cummax(jnp.where(first_BL, place_BL, 0), axis=1)


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


def alibi_slopes(heads: int) -> Float[np.ndarray, " H"]:
    """By how much each head's scores fall per position of distance.

    A geometric sequence from 2^(-8 / heads) to 2^-8. Where the number of heads is no power of two: the
    sequence of the power below it, then every other slope of the sequence of the power above it.

    References:
        Press et al. (2022), "Train short, test long", section 3 and their published code.
    """
    power = 1 << (heads.bit_length() - 1)
    slopes = 2.0 ** (-8 * np.arange(1, power + 1) / power)
    between = 2.0 ** (-8 * np.arange(1, 2 * power + 1, 2) / (2 * power))
    return np.concatenate([slopes, between])[:heads]


class Fire(nnx.Module):
    """A bias of attention scores: a small network of the distance, as a share of the text's length so far.

    The bias of head h at query position i and distance d is f_h(log(c d + 1) / log(c max(L, i) + 1)). f has
    one hidden layer of ReLUs; c and the threshold L are learned, starting at 0.1 and ``max_positions``.

    References:
        Li et al. (2024), "Functional interpolation for relative positions improves long context
        transformers", eq. 4 and section 4.1.
    """

    def __init__(self, spec: Architecture, *, rngs: nnx.Rngs) -> None:
        # A stream of its own: all other weights are then the same for every kind of positions.
        up, bias, down = (rngs.positions() for _ in range(3))
        self.up_kernel = nnx.Param(jax.random.normal(up, (1, FIRE_WIDTH)))
        self.up_bias = nnx.Param(jax.random.uniform(bias, (FIRE_WIDTH,), minval=-1.0))
        self.down_kernel = nnx.Param(jax.random.normal(down, (FIRE_WIDTH, spec.heads)) / FIRE_WIDTH**0.5)
        self.down_bias = nnx.Param(jnp.zeros(spec.heads))
        self.rate_scale = nnx.Param(jnp.ones(1))
        self.threshold_scale = nnx.Param(jnp.ones(1))
        self.max_positions = spec.max_positions

    def __call__(
        self, distance_TS: Int[Array, "T S"], query_BT: Int[Array, "B T"]
    ) -> Float[Array, "B H T S"]:
        """The bias, in float32.

        Args:
            distance_TS: of a query at t to a key at s; negative ones are masked later and count as 0.
            query_BT: positions of the queries; B is 1 where they are the same in all windows.
        """
        rate = 0.1 * jnp.abs(self.rate_scale[0])
        threshold = self.max_positions * jnp.abs(self.threshold_scale[0])
        longest_BT = jnp.maximum(jnp.asarray(query_BT, jnp.float32), threshold)
        near_TS = jnp.log1p(rate * jnp.maximum(jnp.asarray(distance_TS, jnp.float32), 0.0))
        share_BTS = near_TS[None] / (jnp.log1p(rate * longest_BT) + 1e-6)[:, :, None]
        hidden_BTSF = jax.nn.relu(
            share_BTS[..., None] * self.up_kernel[0][None, None, None] + self.up_bias[...][None, None, None]
        )
        bias_BTSH = jnp.dot(hidden_BTSF, self.down_kernel[...]) + self.down_bias[...][None, None, None]
        return bias_BTSH.transpose(0, 3, 1, 2)


def dropped(x_PD: Float[Array, "P D"], rate: float, key: Key) -> Float[Array, "P D"]:
    """Dropout: each number is 0 with probability ``rate``, and divided by 1 - rate otherwise."""
    kept_PD = jax.random.bernoulli(key, 1 - rate, x_PD.shape)
    return jnp.where(kept_PD, x_PD / (1 - rate), 0).astype(x_PD.dtype)
