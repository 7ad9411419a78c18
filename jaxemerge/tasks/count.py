"""Count from one number to another: length generalisation emerges in some seeds and not in others.

Source: Zhao, Qin, Alvarez-Melis, Kakade, Saphra, "Random Scaling of Emergent Capabilities"
(arXiv 2502.17356), and its workshop version "Distributional Scaling Laws for Emergent Capabilities"
(NeurIPS 2024 workshop).
"""

from __future__ import annotations

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np

from jaxemerge.tasks.task import EvaluationSet, Example, Task
from jaxemerge.types import Key


@dataclass(frozen=True)
class Count(Task):
    """Given two numbers, write every number from the first to the second.

    One token per number, then ``$`` (begin), ``>``, ``.`` (end) and ``*`` (pad). With an answer of
    three numbers that starts at 7:

        $ 7 9 > 7 8 9 .
        0 0 0 0 1 1 1 1      loss weights: the answer and its end
        0 0 0 0 1 1 1 0      scored in evaluation: the answer

    Training: answer length l ~ U{1..train_length}, first number ~ U{0..numbers - l}.
    Evaluation: for each test length *all* numbers - l + 1 answers of that length. As multiple choice: against
    the same answer one too high, one too low, and backwards.

    Attributes:
        numbers: how many numbers there are, 0 .. numbers - 1.
        train_length: longest answer seen in training.
        test_lengths: answer lengths that are scored; those above ``train_length`` ask for
            length generalisation.

    Raises:
        ValueError: a field is out of range; the message says its value and what is allowed.
    """

    numbers: int = 150
    train_length: int = 30
    test_lengths: tuple[int, ...] = (30, 40, 50, 60, 70, 80, 90, 100)

    def __post_init__(self) -> None:
        object.__setattr__(self, "test_lengths", tuple(self.test_lengths))
        if not 1 <= self.train_length <= self.numbers:
            raise ValueError(
                f"train_length={self.train_length}: the longest answer must be 1 to numbers={self.numbers}"
            )
        if not self.test_lengths or len(set(self.test_lengths)) < len(self.test_lengths):
            raise ValueError(f"test_lengths={self.test_lengths}: give one or more different lengths")
        for length in self.test_lengths:
            if not 1 <= length <= self.numbers:
                raise ValueError(
                    f"test_lengths: {length} is not an answer length of 1 to numbers={self.numbers}"
                )

    @property
    def begin(self) -> int:
        """Token id of ``$``."""
        return self.numbers

    @property
    def separator(self) -> int:
        """Token id of ``>``."""
        return self.numbers + 1

    @property
    def end(self) -> int:
        """Token id of ``.``."""
        return self.numbers + 2

    @property
    def pad(self) -> int:
        """Token id of ``*``."""
        return self.numbers + 3

    @property
    def vocabulary(self) -> int:
        return self.numbers + 4

    @property
    def min_length(self) -> int:
        return 1 + 5

    @property
    def max_length(self) -> int:
        return self.train_length + 5

    @property
    def chance(self) -> float:
        """Of the shortest test length, numbers drawn at random."""
        return float(self.numbers) ** -min(self.test_lengths)

    @property
    def best_loss(self) -> float:
        """A prompt has one answer."""
        return 0.0

    def sample(self, key: Key) -> Example:
        length_key, first_key = jax.random.split(key)
        length = jax.random.randint(length_key, (), 1, self.train_length + 1)
        first = jax.random.randint(first_key, (), 0, self.numbers - length + 1)
        place = jnp.arange(self.max_length) - 4  # 0 at the first number of the answer
        answer = jnp.where(place < length, first + place, jnp.where(place == length, self.end, self.pad))
        prompt = jnp.stack([self.begin, first, first + length - 1, self.separator])
        tokens = answer.at[:4].set(prompt)
        learnt = (place >= 0) & (place <= length)
        return Example(tokens.astype(jnp.int32), learnt.astype(jnp.float32), length + 5)

    def evaluation_sets(self) -> tuple[EvaluationSet, ...]:
        return tuple(self._windows(length) for length in self.test_lengths)

    def _windows(self, length: int) -> EvaluationSet:
        """All answers of one length; the end token is not needed to score them."""
        first = np.arange(self.numbers - length + 1)[:, None]
        answer = first + np.arange(length)
        column = np.ones_like(first)
        tokens = np.hstack(
            [
                self.begin * column,
                first,
                first + length - 1,
                self.separator * column,
                answer,
                self.end * column,
            ]
        )
        place = np.arange(length + 5) - 4
        scored = np.broadcast_to((place >= 0) & (place < length), tokens.shape)
        return EvaluationSet("test", length, tokens.astype(np.int32), scored, self._wrong(tokens, length))

    def _wrong(self, tokens: np.ndarray, length: int) -> np.ndarray | None:
        """Answers that are one too high, one too low (both modulo ``numbers``), and from last to first."""
        answer = tokens[:, 4 : 4 + length]
        wrong = [(answer + 1) % self.numbers, (answer - 1) % self.numbers, answer[:, ::-1]]
        if self.numbers == 1:
            return None  # there is no other number
        texts = np.repeat(tokens[:, None].astype(np.int32), 3 if length > 1 else 2, axis=1)
        texts[:, :, 4 : 4 + length] = np.stack(wrong[: texts.shape[1]], axis=1)
        return texts
