"""How well do seeds know the reference texts? Scored in one teacher-forced forward pass.

Greedy decoding writes the reference exactly if and only if every teacher-forced prediction of it is
right, so exact match needs no generation. ``scores`` sums over whole evaluation sets, as training does at
every evaluation; ``evaluate`` returns every item, enough to score a population again without its weights.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeVar

import jax
import jax.numpy as jnp
import numpy as np

from jaxemerge.brief import brief
from jaxemerge.devices import Layout, over_seeds
from jaxemerge.evaluation.generate import Prompts, default_layout, generate, placed_params, prompts
from jaxemerge.evaluation.metrics import Items, edit_distance
from jaxemerge.models import Model
from jaxemerge.models.implementation import Code, code_in_use
from jaxemerge.models.layers import negative_log_likelihood
from jaxemerge.tasks import EvaluationSet, Task
from jaxemerge.tasks.packing import shift, stacked
from jaxemerge.types import Array, Bool, Float, Int, Params

_Scores = TypeVar("_Scores")

BLOCK_TOKENS = 32_768  # positions of one forward pass: bounds the memory of the logits


@brief
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


@brief
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


@brief
@dataclass(frozen=True, eq=False)
class Sheet:
    """All evaluation sets of a task as one padded array, cut into blocks of equal size.

    Attributes:
        splits, lengths: name and answer length of each set.
        items, answers: number of items and of scored tokens of each set.
        text_bytes: bytes of text that the scored tokens of each set stand for; None of sets with answers.
        tokens, scored: [n_blocks, rows, L]; rows beyond the last item score nothing.
        member: [M, n_blocks * rows], True where an item belongs to a set.
    """

    splits: tuple[str, ...]
    lengths: tuple[int | None, ...]
    items: Int[np.ndarray, " M"]
    answers: Int[np.ndarray, " M"]
    text_bytes: tuple[int | None, ...]
    tokens: Int[np.ndarray, "blocks rows L"]
    scored: Bool[np.ndarray, "blocks rows L"]
    member: Bool[np.ndarray, "M E"]


def sheet(task: Task, block_tokens: int = BLOCK_TOKENS) -> Sheet:
    """Lays out a task's evaluation sets for ``scores``."""
    sets = task.evaluation_sets()
    tokens = in_blocks(stacked([one.tokens for one in sets]), block_tokens)
    scored = in_blocks(stacked([one.scored for one in sets]), block_tokens)
    owner = np.repeat(np.arange(len(sets)), [len(s.tokens) for s in sets])
    owner = np.pad(owner, (0, tokens.shape[0] * tokens.shape[1] - len(owner)), constant_values=-1)
    return Sheet(
        splits=tuple(s.split for s in sets),
        lengths=tuple(s.length for s in sets),
        items=np.array([len(s.tokens) for s in sets]),
        answers=np.array([int(s.scored.sum()) for s in sets]),
        text_bytes=tuple(s.text_bytes for s in sets),
        tokens=tokens,
        scored=scored,
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
    texts = jnp.asarray(items.tokens), jnp.asarray(items.scored)
    each = _by_block(item_scores, model, vocabulary, params, texts)
    return SetScores(*(jnp.sum(jnp.where(items.member, x[None, :], 0), axis=-1) for x in each))


def _by_block(
    score: Callable[..., _Scores], model: Model, vocabulary: int, params: Params, texts: tuple[Array, Array]
) -> _Scores:
    """``score`` of every text, its leading axis X, in one forward pass per block.

    Args:
        score: logits, tokens and scored places of a block -> arrays with leading axis rows.
        model, vocabulary, params: of one seed.
        texts: tokens and scored places, [n_blocks, rows, L].
    """

    def block(tokens_and_scored: tuple[Array, Array]) -> _Scores:
        tokens_XL, scored_XL = tokens_and_scored
        logits_XLV = model.apply(vocabulary, params, tokens_XL, jnp.zeros_like(tokens_XL))
        return score(logits_XLV, tokens_XL, scored_XL)

    each: _Scores = jax.lax.map(block, texts)
    return jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:]), each)


@brief
@dataclass(frozen=True, eq=False)
class Evaluated:
    """All items of all evaluation sets, in order, and how S seeds did on them.

    Attributes:
        items: what every seed got on every item, [S, E].
        split: name of the item's evaluation set.
        length: that set's length, -1 where it has none.
        number: place of the item within its set.
        vocabulary, chance: of the task, to say what guessing gets.
    """

    items: Items
    split: np.ndarray
    length: Int[np.ndarray, " E"]
    number: Int[np.ndarray, " E"]
    vocabulary: int
    chance: float


class _Values(NamedTuple):
    """Of every text of one seed; sums run over its scored tokens."""

    exact: Bool[Array, "*S E"]
    right: Int[Array, "*S E"]
    nll: Float[Array, "*S E"]
    brier: Float[Array, "*S E"]
    log_probability: Float[Array, "*S E L"] | None


def evaluate(
    task: Task,
    model: Model,
    params: Params,
    *,
    layout: Layout | None = None,
    written: bool = True,
    log_probabilities: bool = False,
) -> Evaluated:
    """Scores every seed on every item: one forward pass over references and distractors, one greedy answer.

    Args:
        task: its evaluation sets are the items.
        model: what answers.
        params: weights, leading axis S.
        layout: as in ``generate``.
        written: whether answers are written, for their edit distance to the reference.
        log_probabilities: whether to return that of every scored token.
    """
    sets = task.evaluation_sets()
    n_seeds = jax.tree.leaves(params)[0].shape[0]
    used = layout or default_layout(n_seeds)
    asked = prompts(sets)
    n = len(asked)
    tokens, scored, owner = _with_distractors(sets, asked)
    score = _scorer(task, model, used, log_probabilities, code_in_use())
    blocks = (in_blocks(tokens), in_blocks(scored))
    values = score(placed_params(params, n_seeds, used), *(jnp.asarray(x) for x in blocks))
    values = jax.tree.map(lambda x: np.asarray(x)[:n_seeds, : len(tokens)], values)
    each = values.log_probability
    items = Items(
        answers=asked.scored.sum(1),
        exact=values.exact[:, :n],
        right=values.right[:, :n],
        nll=values.nll[:, :n],
        brier=values.brier[:, :n],
        edits=_edits(task, model, params, asked, used) if written else None,
        choices=_choices(-values.nll, owner, n),
        log_probabilities=None if each is None else _in_order(each[:, :n], asked.scored),
    )
    counts = [len(one.tokens) for one in sets]
    return Evaluated(
        items=items,
        split=np.repeat([one.split for one in sets], counts),
        length=np.repeat([-1 if one.length is None else one.length for one in sets], counts),
        number=np.concatenate([np.arange(count) for count in counts]),
        vocabulary=task.vocabulary,
        chance=float(task.chance),
    )


def _with_distractors(
    sets: tuple[EvaluationSet, ...], asked: Prompts
) -> tuple[Int[np.ndarray, "X L"], Bool[np.ndarray, "X L"], Int[np.ndarray, " X"]]:
    """All references, then all distractors: texts, scored places, and the item that each belongs to."""
    texts, owners, first = [asked.tokens], [np.arange(len(asked))], 0
    for one in sets:
        if one.distractors is not None:
            n_items, n_wrong, length = one.distractors.shape
            texts.append(one.distractors.reshape(-1, length).astype(np.int32))
            owners.append(np.repeat(first + np.arange(n_items), n_wrong))
        first += len(one.tokens)
    owner = np.concatenate(owners)
    return stacked(texts), asked.scored[owner], owner


def _choices(
    log_probability: Float[np.ndarray, "S X"], owner: Int[np.ndarray, " X"], n: int
) -> Float[np.ndarray, "S E C"] | None:
    """Of the right answer and the item's distractors; minus infinity where it has fewer than others."""
    if len(owner) == n:
        return None
    order = np.argsort(owner, kind="stable")  # an item's reference comes before its distractors
    counts = np.bincount(owner, minlength=n)
    column = np.arange(len(owner)) - np.repeat(np.cumsum(counts) - counts, counts)
    found = np.full((len(log_probability), n, counts.max()), -np.inf, np.float32)
    found[:, owner[order], column] = log_probability[:, order]
    return found


def _in_order(values: Float[np.ndarray, "S E L"], scored: Bool[np.ndarray, "E L"]) -> np.ndarray:
    """Values of scored places side by side, NaN beyond the last."""
    item, place = np.nonzero(scored)
    column = np.cumsum(scored, axis=1)[item, place] - 1
    found = np.full((*values.shape[:2], column.max() + 1), np.nan, np.float32)
    found[:, item, column] = values[:, item, place - 1]  # token t is predicted at t - 1
    return found


@functools.lru_cache(maxsize=32)
def _scorer(task: Task, model: Model, layout: Layout, each: bool, code: Code) -> Callable[..., Any]:
    del code
    score = functools.partial(_values, each=each)

    def one(params: Params, tokens: Array, scored: Array) -> _Values:
        return _by_block(score, model, task.vocabulary, params, (tokens, scored))

    return over_seeds(one, layout, mapped=1, shared=2)


def _values(
    logits: Float[Array, "E L V"], tokens: Int[Array, "E L"], scored: Bool[Array, "E L"], each: bool
) -> _Values:
    base = item_scores(logits, tokens, scored)
    log_ELV = jax.nn.log_softmax(logits, axis=-1)
    hot_ELV = jax.nn.one_hot(shift(tokens), logits.shape[-1], dtype=logits.dtype)
    distance_EL = jnp.sum((jnp.exp(log_ELV) - hot_ELV) ** 2, axis=-1)
    brier_E = jnp.sum(jnp.where(shift(scored), distance_EL, 0.0), axis=-1)
    return _Values(*base, brier_E, jnp.sum(log_ELV * hot_ELV, axis=-1) if each else None)


def _edits(task: Task, model: Model, params: Params, asked: Prompts, layout: Layout) -> np.ndarray:
    seeds = [(0, 0)] * jax.tree.leaves(params)[0].shape[0]  # greedy: nothing is drawn
    texts = generate(task, model, params, seeds, asked, layout=layout).tokens[:, :, 0]
    return answer_edits(texts, asked, task.end)


def answer_edits(texts: Int[np.ndarray, "S E L"], asked: Prompts, end: int | None) -> Int[np.ndarray, "S E"]:
    """Token edit distance of written answers to their references.

    An answer is what was written up to the item's last scored place; end tokens count on neither side, so
    that an exact answer is at distance 0.
    """
    place = np.arange(texts.shape[-1])
    last = (place * asked.scored).max(axis=1, keepdims=True)
    wrote = asked.writes & (place <= last) & (texts >= 0) & (texts != end)
    meant = np.broadcast_to(asked.scored & (asked.tokens != end), texts.shape)
    left, right = (_compacted(x, mask) for x, mask in ((texts, wrote), (asked.tokens, meant)))
    pairs = (left, right, wrote.sum(-1), meant.sum(-1))
    distances = _edit_distances(*(jnp.asarray(x.reshape(-1, *x.shape[2:])) for x in pairs))
    return np.asarray(distances).reshape(texts.shape[:2])


_edit_distances = jax.jit(jax.vmap(edit_distance))


def _compacted(values: np.ndarray, mask: Bool[np.ndarray, "S E L"]) -> Int[np.ndarray, "S E L"]:
    """Chosen values of every row side by side, at its beginning."""
    order = np.argsort(~mask, axis=-1, kind="stable")
    return np.take_along_axis(np.broadcast_to(values, mask.shape), order, axis=-1)
