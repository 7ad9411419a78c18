"""The contract of a task: what a population needs to learn it and to be scored on it.

A task describes *one* example. Packing examples into full contexts, batching, and drawing different
data for every seed and step is the library's work.
"""

from __future__ import annotations

import abc
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np

from jaxemerge.brief import brief
from jaxemerge.types import Array, Bool, Float, Int, Key


@brief
class Example(NamedTuple):
    """One training example, padded to the task's ``max_length``.

    Attributes:
        tokens: token ids; whatever stands at or after ``length`` is ignored.
        weights: loss weight of each token *as a prediction target* (0: not learnt). The first token
            of a context is never predicted, so its weight never counts.
        length: number of tokens that are part of the example.
    """

    tokens: Int[Array, " L"]
    weights: Float[Array, " L"]
    length: Int[Array, ""]


@brief
@dataclass(frozen=True, eq=False)
class EvaluationSet:
    """Reference texts on which every seed is scored; never depends on a seed.

    Attributes:
        split: name of the split, for example ``test``.
        length: what the items of this set have in common (answer length, ...), or None.
        tokens: int32 ids, one item per row, each starting at position 0. Shorter items are padded
            at their end; a causal model cannot see the padding.
        scored: True where the model's prediction of that token counts. Exact match asks for all of
            an item's scored tokens. Position 0 is never predicted and must be False.
        distractors: for multiple choice, C wrong answers to every item: texts that differ from the item's
            in scored places and nowhere else. None where there is no choice.
        text_bytes: of running text, the bytes that all scored tokens together stand for. It is scored by its
            loss, per token and in bits per byte, and not by exact match. None where items have answers.
    """

    split: str
    length: int | None
    tokens: Int[np.ndarray, "E L"]
    scored: Bool[np.ndarray, "E L"]
    distractors: Int[np.ndarray, "E C L"] | None = None
    text_bytes: int | None = None


class Task(abc.ABC):
    """One source of examples; subclass it as a frozen dataclass of plain fields.

    A task that reads files names them in ``files``, and gives the arrays it makes of them as ``data``.
    ``check_task(task)`` lists the breaches of this contract, with their fixes.
    """

    @property
    def name(self) -> str:
        """Short name in results and reports; by default the class name in snake case."""
        return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", type(self).__name__).lower()

    @property
    @abc.abstractmethod
    def vocabulary(self) -> int:
        """Number of token ids; every token lies in [0, vocabulary)."""

    @property
    @abc.abstractmethod
    def min_length(self) -> int:
        """Tokens in the shortest training example; decides how many are drawn to fill a context."""

    @property
    @abc.abstractmethod
    def max_length(self) -> int:
        """Tokens in the longest training example; the static length of ``sample``'s arrays."""

    @property
    def best_loss(self) -> float | None:
        """Lowest loss that any model can reach, in nats per weighted token; None where it is unknown."""
        return None

    @property
    def end(self) -> int | None:
        """Token that ends an answer; None where answers have no end token."""
        return None

    @property
    def chance(self) -> float:
        """Probability of an exact answer by guessing, in [0, 1]."""
        return 0.0

    @property
    def files(self) -> tuple[str, ...]:
        """Paths of the files and folders that it reads: their digests are part of a cell's identity."""
        return ()

    @property
    def data(self) -> tuple[Array | np.ndarray, ...]:
        """Large arrays that ``sample`` takes after its key.

        They are on each device once, whatever the number of seeds, and no part of the compiled program.
        """
        return ()

    @abc.abstractmethod
    def sample(self, key: Key) -> Example:
        """Draws one training example; pure, traceable by ``jax.jit`` and ``jax.vmap``.

        A task with ``data`` takes those arrays as further arguments: ``sample(self, key, *data)``.
        """

    @abc.abstractmethod
    def evaluation_sets(self) -> tuple[EvaluationSet, ...]:
        """All items on which the model is scored, as NumPy arrays, in a fixed order."""

    def accepts(
        self, text: Int[Array, " L"], reference: Int[Array, " L"], scored: Bool[Array, " L"]
    ) -> Bool[Array, ""]:
        """Whether a text that a model wrote answers its item; traceable by ``jax.jit`` and ``jax.vmap``.

        By default the reference is the only right answer. A task that knows others overrides this; it
        must accept its own references.

        Args:
            text: the item's prompt and what was written after it; -1 where nothing was, as after ``end``.
            reference: the item's own text.
            scored: the item's scored places.
        """
        return jnp.all((text == reference) | ~scored)


def check_whole(task: Task, low: int, *names: str) -> None:
    """Checks that fields are whole numbers of at least ``low``.

    Raises:
        ValueError: naming the field, its value and what is allowed.
    """
    for name in names:
        value = getattr(task, name)
        if type(value) is not int or value < low:
            raise ValueError(f"{name}={value!r}: must be a whole number of at least {low}")


def check_one_of(task: Task, name: str, allowed: Iterable[str]) -> None:
    """Checks that a field is one of some words.

    Raises:
        ValueError: naming the field, its value and what is allowed.
    """
    words = tuple(allowed)
    if getattr(task, name) not in words:
        raise ValueError(f"{name}={getattr(task, name)!r}: must be one of {', '.join(words)}")


def check_distinct(task: Task, name: str, low: int = 1, high: int | None = None) -> None:
    """Makes a field a tuple, and checks that it holds different whole numbers of ``low`` to ``high``.

    Raises:
        ValueError: naming the field, its value and what is allowed.
    """
    values = tuple(getattr(task, name))
    object.__setattr__(task, name, values)
    if not values or len(set(values)) < len(values):
        raise ValueError(f"{name}={values}: give one or more different numbers")
    for value in values:
        if type(value) is not int or value < low or (high is not None and value > high):
            allowed = f"at least {low}" if high is None else f"{low} to {high}"
            raise ValueError(f"{name}: {value!r} is not a whole number of {allowed}")
