"""How well does one seed know the reference texts? Scored in one teacher-forced forward pass.

Greedy decoding writes the reference exactly if and only if every teacher-forced prediction of it is
right, so exact match needs no generation.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxemerge.models.likelihood import negative_log_likelihood, shift

if TYPE_CHECKING:
    from jaxtyping import Array, Bool, Float, Int

    from jaxemerge.models import Model
    from jaxemerge.tasks import Task
    from jaxemerge.types import Params

BLOCK_TOKENS = 32_768  # positions of one forward pass: bounds the memory of the logits


class ItemScores(NamedTuple):
    """Scores of every evaluation item.

    Attributes:
        exact: whether all scored tokens were predicted.
        right: how many scored tokens were predicted.
        nll: negative log-likelihood of the scored tokens, summed, in nats.
    """

    exact: Bool[Array, " E"]
    right: Int[Array, " E"]
    nll: Float[Array, " E"]


class SetScores(NamedTuple):
    """Scores summed over the items of each of M evaluation sets (leading axis S in a population).

    Attributes:
        exact: how many items had all their scored tokens predicted.
        right: how many scored tokens were predicted.
        nll: negative log-likelihood of the scored tokens, in nats.
    """

    exact: Int[Array | np.ndarray, "*S M"]
    right: Int[Array | np.ndarray, "*S M"]
    nll: Float[Array | np.ndarray, "*S M"]


@dataclass(frozen=True, eq=False)
class Sheet:
    """All evaluation sets of a task as one padded array, cut into blocks of equal size.

    Attributes:
        splits, lengths: name and answer length of each set.
        items, answers: number of items and of scored tokens of each set.
        tokens, scored: [n_blocks, rows, L]; rows beyond the last item score nothing.
        member: [M, n_blocks * rows], True where an item belongs to a set.
    """

    splits: tuple[str, ...]
    lengths: tuple[int | None, ...]
    items: Int[np.ndarray, " M"]
    answers: Int[np.ndarray, " M"]
    tokens: Int[np.ndarray, "blocks rows L"]
    scored: Bool[np.ndarray, "blocks rows L"]
    member: Bool[np.ndarray, "M E"]


def sheet(task: Task, block_tokens: int = BLOCK_TOKENS) -> Sheet:
    """Lays out a task's evaluation sets for ``scores``."""
    sets = task.evaluation_sets()
    length = max(s.tokens.shape[1] for s in sets)

    def blocks(name: str) -> np.ndarray:
        arrays = [np.pad(getattr(s, name), ((0, 0), (0, length - s.tokens.shape[1]))) for s in sets]
        return in_blocks(np.concatenate(arrays), block_tokens)

    tokens = blocks("tokens")
    owner = np.repeat(np.arange(len(sets)), [len(s.tokens) for s in sets])
    owner = np.pad(owner, (0, tokens.shape[0] * tokens.shape[1] - len(owner)), constant_values=-1)
    return Sheet(
        splits=tuple(s.split for s in sets),
        lengths=tuple(s.length for s in sets),
        items=np.array([len(s.tokens) for s in sets]),
        answers=np.array([int(s.scored.sum()) for s in sets]),
        tokens=tokens,
        scored=blocks("scored"),
        member=owner == np.arange(len(sets))[:, None],
    )


def in_blocks(whole_EL: np.ndarray, block_tokens: int = BLOCK_TOKENS) -> np.ndarray:
    """Rows in blocks of equal size of about ``block_tokens``, [n_blocks, rows, L], filled up with 0."""
    n_items, length = whole_EL.shape
    n_blocks = -(-n_items // max(1, block_tokens // length))
    rows = -(-n_items // n_blocks)
    return np.pad(whole_EL, ((0, n_blocks * rows - n_items), (0, 0))).reshape(n_blocks, rows, length)


def item_scores(
    logits: Float[Array, "E L V"], tokens: Int[Array, "E L"], scored: Bool[Array, "E L"]
) -> ItemScores:
    """Scores each item from the logits of its reference text.

    A prediction counts only if its logits are finite: the arg max of NaN is token 0, which would
    otherwise make a diverged seed right about it.
    """
    target_EL, scored_EL = shift(tokens), shift(scored)
    right_EL = (jnp.argmax(logits, axis=-1) == target_EL) & jnp.isfinite(jnp.max(logits, axis=-1))
    nll_EL = negative_log_likelihood(logits, target_EL)
    return ItemScores(
        exact=jnp.all(right_EL | ~scored_EL, axis=-1),
        right=jnp.sum(right_EL & scored_EL, axis=-1),
        nll=jnp.sum(jnp.where(scored_EL, nll_EL, 0.0), axis=-1),
    )


def scores(model: Model, vocabulary: int, items: Sheet, params: Params) -> SetScores:
    """Scores one seed on all evaluation sets, block by block.

    Args:
        model: what was trained.
        vocabulary: number of token ids.
        items: the sets, as ``sheet`` lays them out.
        params: weights of the seed.
    """

    def block(tokens_and_scored: tuple[Array, Array]) -> ItemScores:
        tokens_EL, scored_EL = tokens_and_scored
        logits_ELV = model.apply(vocabulary, params, tokens_EL, jnp.zeros_like(tokens_EL))
        return item_scores(logits_ELV, tokens_EL, scored_EL)

    each = jax.lax.map(block, (jnp.asarray(items.tokens), jnp.asarray(items.scored)))
    flat = jax.tree.map(jnp.ravel, each)
    return SetScores(*(jnp.sum(jnp.where(items.member, x[None, :], 0), axis=-1) for x in flat))
