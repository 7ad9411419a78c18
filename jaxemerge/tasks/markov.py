"""Predict a random second-order source: a task whose best possible loss is known exactly.

The next token depends on the two before it, through a table with one entry per pair. Pairs are as unequal
as words are (Zipf), so that more weights and more data each hold more of the table: the loss falls with both,
towards the entropy rate of the source and no further.

References:
    Shannon (1948), "A mathematical theory of communication", section 7 (entropy of a Markov source).
    Michaud, Liu, Girit, Tegmark (2023), "The quantization model of neural scaling", arXiv 2303.13506 (scaling
    laws from Zipf-distributed pieces of knowledge).
"""

from __future__ import annotations

import functools
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np

from jaxemerge.tasks.task import EvaluationSet, Example, Task
from jaxemerge.types import Array, Float, Int, Key

_SWEEPS = 10_000  # of the power iteration; it converges in dozens
_TOLERANCE = 1e-13


@dataclass(frozen=True)
class Markov(Task):
    """A text of ``words`` kinds of tokens; with probability ``signal`` the table decides, else chance.

    With the two tokens a, b before it, the next token is ``table[a, b]`` with probability ``signal``, and
    else drawn from Zipf's law: word k with a probability proportional to 1 / (k + 1). The table itself is
    drawn from that law, from ``source``; it is the same for every seed.

        a b table[a, b] ...
        0 0 1           ...      loss weights: all tokens but the first two

    ``Markov(words=3, signal=0.9, length=10)``, whose table has the rows 1 0 0, 0 1 2 and 1 1 0:

        0 1 2 2 0 1 0 0 1 0
        0 0 1 1 1 1 1 1 1 1

    Here all follows from the table but the third token, where it says 0.

    The first two tokens are drawn from the stationary distribution of pairs, so that every weighted token
    has the same best possible loss: the entropy rate of the source, ``best_loss``. Evaluation texts
    (split ``held_out``) are drawn once, from ``source`` too, and no training text repeats them but by chance.

    Attributes:
        words: size of the vocabulary.
        signal: probability that the table decides.
        length: tokens of one text.
        texts: number of evaluation texts.
        source: seed of the table and of the evaluation texts.

    Raises:
        ValueError: a field is out of range; the message says its value and what is allowed.
    """

    words: int = 64
    signal: float = 0.8
    length: int = 64
    texts: int = 128
    source: int = 0

    def __post_init__(self) -> None:
        if self.words < 2:
            raise ValueError(f"words={self.words}: must be at least 2")
        if not 0 <= self.signal < 1:
            raise ValueError(f"signal={self.signal}: must lie in [0, 1)")
        if self.length < 3:
            raise ValueError(f"length={self.length}: must be at least 3, two tokens and one to predict")
        if self.texts < 1:
            raise ValueError(f"texts={self.texts}: must be at least 1")
        if self.source < 0:
            raise ValueError(f"source={self.source}: must not be negative")

    @property
    def vocabulary(self) -> int:
        return self.words

    @property
    def min_length(self) -> int:
        return self.length

    @property
    def max_length(self) -> int:
        return self.length

    @property
    def chance(self) -> float:
        """Of a whole text, tokens drawn at random."""
        return float(self.words) ** -(self.length - 2)

    @property
    def best_loss(self) -> float:
        """Entropy rate of the source, in nats per token."""
        # What follows a pair is as uncertain as any other pair that the table continues with the same word.
        drawn = (1 - self.signal) * _zipf(self.words)
        decided = drawn + self.signal
        rest = drawn * np.log(drawn)
        entropies = rest - rest.sum() - decided * np.log(decided)
        return float((stationary_pairs(self) * entropies[_table(self)]).sum())

    def sample(self, key: Key) -> Example:
        first_key, table_key, chance_key = jax.random.split(key, 3)
        ends, table = jnp.asarray(_zipf_ends(self.words)), jnp.asarray(_table(self))
        pair_ends = jnp.asarray(np.cumsum(stationary_pairs(self).ravel()), jnp.float32)
        place = _place(pair_ends, jax.random.uniform(first_key))
        decided = jax.random.bernoulli(table_key, self.signal, (self.length - 2,))
        drawn = _place(ends, jax.random.uniform(chance_key, (self.length - 2,)))

        def following(pair: tuple, now: tuple) -> tuple:
            chosen = jnp.where(now[0], table[pair], now[1])
            return (pair[1], chosen), chosen

        first = (place // self.words, place % self.words)
        rest: Array
        _, rest = jax.lax.scan(following, first, (decided, drawn))
        tokens = jnp.concatenate([jnp.stack(first), rest]).astype(jnp.int32)
        weights = (jnp.arange(self.length) >= 2).astype(jnp.float32)
        return Example(tokens, weights, jnp.array(self.length))

    def evaluation_sets(self) -> tuple[EvaluationSet, ...]:
        rng = np.random.default_rng([self.source, 1])
        tokens = np.zeros((self.texts, self.length), np.int32)
        place = rng.choice(self.words**2, self.texts, p=stationary_pairs(self).ravel())
        tokens[:, 0], tokens[:, 1] = place // self.words, place % self.words
        law, table = _zipf(self.words), _table(self)
        for i in range(2, self.length):
            decided = rng.random(self.texts) < self.signal
            drawn = rng.choice(self.words, self.texts, p=law)
            tokens[:, i] = np.where(decided, table[tokens[:, i - 2], tokens[:, i - 1]], drawn)
        scored = np.broadcast_to(np.arange(self.length) >= 2, tokens.shape)
        return (EvaluationSet("held_out", None, tokens, scored),)


def next_chances(task: Markov) -> Float[np.ndarray, "V V V"]:
    """Probability of the next token (last axis) after each pair."""
    chances = np.broadcast_to((1 - task.signal) * _zipf(task.words), (task.words,) * 3).copy()
    a, b = np.indices((task.words, task.words))
    chances[a, b, _table(task)] += task.signal
    return chances


@functools.lru_cache(maxsize=8)
def stationary_pairs(task: Markov) -> Float[np.ndarray, "V V"]:
    """Long-run share of every pair of neighbours, by power iteration (signal < 1: the source is ergodic)."""
    chances = next_chances(task)
    pairs = np.full((task.words, task.words), task.words**-2.0)
    for _ in range(_SWEEPS):
        moved = np.einsum("ab,abc->bc", pairs, chances)
        if np.abs(moved - pairs).sum() < _TOLERANCE:
            break
        pairs = moved
    return moved / moved.sum()


def _zipf(words: int) -> Float[np.ndarray, " V"]:
    law = 1 / np.arange(1, words + 1)
    return law / law.sum()


def _zipf_ends(words: int) -> Float[np.ndarray, " V"]:
    return np.cumsum(_zipf(words)).astype(np.float32)


@functools.lru_cache(maxsize=8)
def _table(task: Markov) -> Int[np.ndarray, "V V"]:
    rng = np.random.default_rng([task.source, 0])
    return rng.choice(task.words, (task.words, task.words), p=_zipf(task.words)).astype(np.int32)


def _place(ends: jax.Array, draws: jax.Array) -> jax.Array:
    """Where uniform draws fall among cumulative probabilities; rounding must not lead past the last."""
    return jnp.minimum(jnp.searchsorted(ends, draws, side="right"), len(ends) - 1)
