"""Is the number of ones odd? Of all bits of a word, or of a few secret ones.

References:
    Barak, Edelman, Goel, Kakade, Malach, Zhang (2022), "Hidden progress in deep learning: SGD learns parities
    near the computational limit", arXiv 2207.08799 (sparse parity, fresh samples).
    Edelman, Goel, Kakade, Malach, Zhang (2023), "Pareto frontiers in neural feature learning", arXiv
    2309.03800 (success probability against width).
    Hahn (2020), "Theoretical limitations of self-attention in neural sequence models", arXiv 1906.06755
    (parity of long words).
"""

from __future__ import annotations

import functools
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np

from jaxemerge.tasks.packing import Piece, different, evaluation_sets, joined
from jaxemerge.tasks.task import EvaluationSet, Example, Task, check_distinct, check_whole
from jaxemerge.types import Array, Int, Key

_ALPHABET = ("0", "1", ">")


@dataclass(frozen=True)
class Parity(Task):
    """Given a word of bits, write whether the number of its ones is odd; lengths beyond training are tested.

    Only the answer is learnt and scored.

    ``Parity()``:

        10110>1
        0000001

        11>0
        0001

    Training: word length ~ U{1..train_length}, bits fair and independent. Evaluation: for each test length
    ``items`` different words (all there are, where these are few), drawn uniformly; they are not held out,
    so short ones are seen in training. The best possible loss is 0: a prompt has one answer.

    Attributes:
        train_length: longest word seen in training.
        test_lengths: word lengths that are scored; those above ``train_length`` ask for length
            generalisation.
        items: evaluation items per length, at most.

    Raises:
        ValueError: a field is out of range.
    """

    train_length: int = 10
    test_lengths: tuple[int, ...] = (10, 15, 20)
    items: int = 500

    def __post_init__(self) -> None:
        check_whole(self, 1, "train_length", "items")
        check_distinct(self, "test_lengths")

    @property
    def alphabet(self) -> tuple[str, ...]:
        """The text of every token, in the order of their ids."""
        return _ALPHABET

    @property
    def vocabulary(self) -> int:
        return len(_ALPHABET)

    @property
    def min_length(self) -> int:
        return 1 + 2

    @property
    def max_length(self) -> int:
        return self.train_length + 2

    @property
    def chance(self) -> float:
        return 0.5

    @property
    def best_loss(self) -> float:
        return 0.0

    def sample(self, key: Key) -> Example:
        length_key, word_key = jax.random.split(key)
        length = jax.random.randint(length_key, (), 1, self.train_length + 1)
        return self._write(jax.random.randint(word_key, (self.train_length,), 0, 2), length)

    def evaluation_sets(self) -> tuple[EvaluationSet, ...]:
        return evaluation_sets("test", self._write, {n: self._words(n) for n in self.test_lengths})

    def _words(self, length: int) -> tuple[np.ndarray, np.ndarray]:
        words = _words(length, self.items)
        return np.pad(words, ((0, 0), (0, max(self.test_lengths) - length))), np.full(len(words), length)

    def _write(self, word: Int[Array, " P"], length: Int[Array, ""]) -> Example:
        ones = jnp.sum(jnp.where(jnp.arange(len(word)) < length, word, 0))
        return joined([Piece(word, length), Piece(2), Piece(ones % 2, learnt=True)], len(word) + 2)


@dataclass(frozen=True)
class SparseParity(Task):
    """Given a word of bits, write whether the number of ones at a few secret places is odd.

    Which places these are is drawn once, from ``source``, and is the same for every seed. Only the answer is
    learnt and scored. Places 1, 2 and 4 of six, counted from 0, decide in

    ``SparseParity(length=6, relevant=3, source=1)``:

        100010>1
        00000001

        111101>0
        00000001

        011110>1
        00000001

    Training: bits fair and independent, fresh for every example. Evaluation: ``items`` different words, drawn
    uniformly, or all there are where these are no more; they are not held out. The best possible loss is 0:
    a prompt has one answer.

    Attributes:
        length: bits of a word.
        relevant: how many of them decide; ``length`` makes it the parity of all.
        items: evaluation items, at most.
        source: seed of the choice of places.

    Raises:
        ValueError: a field is out of range.
    """

    length: int = 20
    relevant: int = 3
    items: int = 1_000
    source: int = 0

    def __post_init__(self) -> None:
        check_whole(self, 1, "length", "relevant", "items")
        check_whole(self, 0, "source")
        if self.relevant > self.length:
            raise ValueError(f"relevant={self.relevant}: must be at most length={self.length}")

    @property
    def alphabet(self) -> tuple[str, ...]:
        """The text of every token, in the order of their ids."""
        return _ALPHABET

    @property
    def vocabulary(self) -> int:
        return len(_ALPHABET)

    @property
    def min_length(self) -> int:
        return self.length + 2

    @property
    def max_length(self) -> int:
        return self.length + 2

    @property
    def chance(self) -> float:
        return 0.5

    @property
    def best_loss(self) -> float:
        return 0.0

    @functools.cached_property
    def places(self) -> tuple[int, ...]:
        """The places that decide, counted from 0, in increasing order."""
        chosen = np.random.default_rng(self.source).choice(self.length, self.relevant, replace=False)
        return tuple(sorted(chosen.tolist()))

    def sample(self, key: Key) -> Example:
        return self._write(jax.random.randint(key, (self.length,), 0, 2))

    def evaluation_sets(self) -> tuple[EvaluationSet, ...]:
        return evaluation_sets("test", self._write, {self.length: (_words(self.length, self.items),)})

    def _write(self, word: Int[Array, " P"]) -> Example:
        odd = jnp.sum(word[jnp.asarray(self.places)]) % 2
        return joined([Piece(word), Piece(2), Piece(odd, learnt=True)], self.length + 2)


def _words(length: int, items: int) -> Int[np.ndarray, "E P"]:
    """Different words of bits: all of them in order where there are no more than asked for."""
    if 2**length <= items:
        return np.arange(2**length)[:, None] >> np.arange(length) & 1
    rng = np.random.default_rng(length)
    return different(lambda n: (rng.integers(0, 2, (n, length)),), items)[0]
