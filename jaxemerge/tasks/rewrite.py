"""Copy, reverse or sort a word: the simplest tasks on which length generalisation is studied.

References:
    Graves, Wayne, Danihelka (2014), "Neural Turing machines", arXiv 1410.5401, section 4.1 (copy).
    Deletang et al. (2023), "Neural networks and the Chomsky hierarchy", arXiv 2207.02098 (reverse, duplicate,
    sort, trained on short and tested on long words).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np

from jaxemerge.tasks.packing import Piece, different, evaluation_sets, joined
from jaxemerge.tasks.task import EvaluationSet, Example, Task, check_distinct, check_one_of, check_whole
from jaxemerge.types import Array, Int, Key

OPERATIONS = ("copy", "reverse", "sort")


@dataclass(frozen=True)
class Rewrite(Task):
    """Given a word of random symbols, write it again: as it is, from its end, or in order.

    One token per symbol, then ``>`` and ``.`` (end). The answer and its end are learnt and scored.

    ``Rewrite("copy")``:

        3 1 4 1 > 3 1 4 1 .
        0 0 0 0 0 1 1 1 1 1

    ``Rewrite("reverse")``:

        3 1 4 1 > 1 4 1 3 .
        0 0 0 0 0 1 1 1 1 1

    ``Rewrite("sort")``:

        3 1 4 1 > 1 1 3 4 .
        0 0 0 0 0 1 1 1 1 1

    Training: word length ~ U{1..train_length}, symbols uniform and independent. Evaluation: for each test
    length ``items`` different words drawn from the same law (all there are, where these are few); they are
    not held out, so short ones are seen in training. The best possible loss is 0: a prompt has one answer.

    Attributes:
        operation: ``copy``, ``reverse`` or ``sort``; also the task's name in results.
        symbols: how many there are, tokens 0 .. symbols - 1.
        train_length: longest word seen in training.
        test_lengths: word lengths that are scored; those above ``train_length`` ask for length
            generalisation.
        items: evaluation items per length, at most.

    Raises:
        ValueError: a field is out of range.
    """

    operation: Literal["copy", "reverse", "sort"] = "copy"
    symbols: int = 10
    train_length: int = 10
    test_lengths: tuple[int, ...] = (10, 15, 20)
    items: int = 200

    def __post_init__(self) -> None:
        check_one_of(self, "operation", OPERATIONS)
        check_whole(self, 2, "symbols")
        check_whole(self, 1, "train_length", "items")
        check_distinct(self, "test_lengths")

    @property
    def name(self) -> str:
        return self.operation

    @property
    def alphabet(self) -> tuple[str, ...]:
        """The text of every token, in the order of their ids."""
        return (*map(str, range(self.symbols)), ">", ".")

    @property
    def vocabulary(self) -> int:
        return self.symbols + 2

    @property
    def min_length(self) -> int:
        return _size(1)

    @property
    def max_length(self) -> int:
        return _size(self.train_length)

    @property
    def end(self) -> int:
        return self.symbols + 1

    @property
    def chance(self) -> float:
        """Of the shortest test length, symbols drawn at random."""
        return float(self.symbols) ** -min(self.test_lengths)

    @property
    def best_loss(self) -> float:
        return 0.0

    def sample(self, key: Key) -> Example:
        length_key, word_key = jax.random.split(key)
        length = jax.random.randint(length_key, (), 1, self.train_length + 1)
        return self._write(jax.random.randint(word_key, (self.train_length,), 0, self.symbols), length)

    def evaluation_sets(self) -> tuple[EvaluationSet, ...]:
        return evaluation_sets("test", self._write, {n: self._words(n) for n in self.test_lengths})

    def _words(self, length: int) -> tuple[np.ndarray, np.ndarray]:
        """Different words of one length, padded to the longest, and their lengths."""
        rng = np.random.default_rng(length)
        (words,) = different(lambda n: (rng.integers(0, self.symbols, (n, length)),), self.items)
        padded = np.pad(words, ((0, 0), (0, max(self.test_lengths) - length)))
        return padded, np.full(len(words), length)

    def _write(self, word: Int[Array, " P"], length: Int[Array, ""]) -> Example:
        place = jnp.arange(len(word))
        if self.operation == "copy":
            answer = word
        elif self.operation == "reverse":
            answer = word[jnp.maximum(length - 1 - place, 0)]
        else:
            answer = jnp.sort(jnp.where(place < length, word, self.symbols))
        pieces = (
            Piece(word, length),
            Piece(self.symbols),
            Piece(answer, length, learnt=True),
            Piece(self.end, learnt=True),
        )
        return joined(pieces, _size(len(word)))


def _size(length: int) -> int:
    return 2 * length + 2
