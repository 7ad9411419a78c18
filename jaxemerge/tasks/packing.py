"""How do pieces become an example, and examples of different lengths full context windows?

A task draws numbers and says in which pieces they are written; the position of each token, the tokens that
carry loss and those that are scored follow, by the same formula in training and in evaluation. Examples are
laid end to end until the context is full. The last one is usually cut off; it stays as context but carries
no loss. There is no padding and no document mask. All of it runs on the device.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxemerge.brief import brief
from jaxemerge.tasks.task import EvaluationSet, Example, Task
from jaxemerge.types import Array, Float, Int, Key


@brief
class Batch(NamedTuple):
    """Full context windows.

    Attributes:
        tokens: token ids.
        weights: of each token as a prediction target.
        segments: which example of its window each token belongs to, counted from 0.
    """

    tokens: Int[Array, "*B L"]
    weights: Float[Array, "*B L"]
    segments: Int[Array, "*B L"]


def pack_window(task: Task, key: Key, context: int, data: Sequence[Array] = ()) -> Batch:
    """One window of ``context`` tokens, filled with fresh examples.

    Enough of the shortest examples to fill the window are drawn, and each position looks up the
    example that covers it: two gathers, no loop, any mixture of lengths.

    Args:
        task: where the examples come from.
        key: decides every example of this window.
        context: window length in tokens, at least ``task.max_length``.
        data: the task's ``data`` on the device.

    Returns:
        Batch of tokens, weights and segments, each [L].
    """
    n_examples = -(-context // task.min_length)
    sample: Callable[..., Example] = task.sample
    examples = jax.vmap(lambda k: sample(k, *data))(jax.random.split(key, n_examples))
    ends = jnp.cumsum(examples.length)
    starts = ends - examples.length
    position = jnp.arange(context)
    index = jnp.searchsorted(ends, position, side="right", method="compare_all")
    offset = position - starts[index]
    whole = ends[index] <= context
    weights = jnp.where(whole, examples.weights[index, offset], 0.0)
    return Batch(examples.tokens[index, offset], weights, index.astype(jnp.int32))


def pack_batch(task: Task, key: Key, batch: int, context: int, data: Sequence[Array] = ()) -> Batch:
    """``batch`` independent windows: tokens, weights and segments, each [B, L].

    Args:
        task: what examples are drawn from.
        key: decides all of them.
        batch: windows B.
        context: tokens L per window, at least those of the longest example.
        data: the task's ``data`` on the device.
    """
    return jax.vmap(lambda k: pack_window(task, k, context, data))(jax.random.split(key, batch))


class Piece(NamedTuple):
    """Some tokens that are written one after the other.

    Attributes:
        tokens: ids, a single one or a row whose first ``written`` are written.
        written: how many are written, all where it is None; may be traced.
        learnt: whether they carry loss, and are scored in evaluation.
    """

    tokens: Int[Array, "*P"] | int
    written: Int[Array, ""] | int | None = None
    learnt: bool = False


def joined(pieces: Sequence[Piece], size: int) -> Example:
    """One example of pieces laid end to end, padded with token 0 to ``size``.

    Each position looks up the piece that covers it, as packing does with examples.
    """
    rows = [jnp.atleast_1d(jnp.asarray(piece.tokens, jnp.int32)) for piece in pieces]
    counts = [len(row) if p.written is None else p.written for row, p in zip(rows, pieces, strict=True)]
    ends = jnp.cumsum(jnp.stack([jnp.asarray(count, jnp.int32) for count in counts]))
    begins = jnp.concatenate([jnp.zeros(1, jnp.int32), ends[:-1]])
    place = jnp.arange(size)
    inside = place < ends[-1]
    index = jnp.searchsorted(ends, place, side="right", method="compare_all")
    index = jnp.minimum(index, len(rows) - 1)
    firsts = jnp.asarray(np.cumsum([0, *(len(row) for row in rows[:-1])]))
    tokens = jnp.concatenate(rows)[jnp.where(inside, firsts[index] + place - begins[index], 0)]
    learnt = jnp.asarray([piece.learnt for piece in pieces])[index] & inside
    return Example(jnp.where(inside, tokens, 0), learnt.astype(jnp.float32), ends[-1])


def evaluation_sets(
    split: str, write: Callable[..., Example], draws: Mapping[int, tuple[np.ndarray, ...]]
) -> tuple[EvaluationSet, ...]:
    """One set per length, from the numbers drawn for its items; the learnt tokens are scored.

    Args:
        split: name of the sets.
        write: what was drawn for one item -> its text; the same size of text for all lengths.
        draws: per length, arrays whose first axis is items, of the same shape otherwise.
    """
    columns = [np.concatenate(column) for column in zip(*draws.values(), strict=True)]
    tokens, weights, lengths = map(np.asarray, jax.jit(jax.vmap(write))(*columns))
    cuts = np.cumsum([len(arrays[0]) for arrays in draws.values()])[:-1]
    parts = zip(*(np.split(x, cuts) for x in (tokens, weights, lengths)), strict=True)
    return tuple(
        EvaluationSet(split, length, ids[:, : sizes.max()], learnt[:, : sizes.max()] > 0)
        for length, (ids, learnt, sizes) in zip(draws, parts, strict=True)
    )


def different(draw: Callable[[int], tuple[np.ndarray, ...]], items: int) -> tuple[np.ndarray, ...]:
    """Up to ``items`` distinct draws, in their order.

    Fewer where there are hardly more.

    Args:
        draw: a number -> arrays whose first axis has that many independent draws.
        items: how many are wanted.
    """
    drawn = draw(8 * items)
    rows = np.hstack([array.reshape(len(array), -1) for array in drawn])
    _, first = np.unique(rows, axis=0, return_index=True)
    chosen = np.sort(first)[:items]
    return tuple(array[chosen] for array in drawn)


def shift(x_BL: Array) -> Array:
    """What each position predicts: its right neighbour; 0 at the last position, which has none."""
    return jnp.pad(x_BL[:, 1:], ((0, 0), (0, 1)))


def stacked(arrays: Sequence[np.ndarray]) -> np.ndarray:
    """Rows of several arrays as one, [E, L]: each filled up with 0 to the longest."""
    length = max(array.shape[-1] for array in arrays)
    return np.concatenate([np.pad(array, ((0, 0), (0, length - array.shape[-1]))) for array in arrays])
