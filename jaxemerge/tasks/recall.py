"""Look up what followed a key earlier in the context: the task that induction heads solve.

References:
    Olsson et al. (2022), "In-context learning and induction heads", arXiv 2209.11895.
    Arora, Eyuboglu, Timalsina, Johnson, Poli, Zou, Rudra, Re (2023), "Zoology: measuring and improving
    recall in efficient language models", arXiv 2312.04927, definition 3.1 (several queries per context).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np

from jaxemerge.tasks.packing import Piece, evaluation_sets, joined
from jaxemerge.tasks.task import EvaluationSet, Example, Task, check_distinct, check_whole
from jaxemerge.types import Array, Int, Key


@dataclass(frozen=True)
class Recall(Task):
    """Given pairs of a key and a value, in any order, write the value of each key that is asked for.

    One token per key (``k0`` ..) and value (``v0`` ..), ``$`` (begin) and ``>``. Only the values asked for
    are learnt and scored.

    ``Recall(queries=2)``:

        $ k3 v1 k0 v7 k8 v1 > k0 v7 k3 v1
        0 0  0  0  0  0  0  0 0  1  0  1

    Training: number of pairs ~ U{1..pairs}; keys differ from each other, values are uniform and
    independent; the pairs that are asked for differ too (all pairs where there are fewer than ``queries``).
    The value of a key is drawn for every example, so it can only be read from the context.
    Evaluation: for each test number of pairs ``items`` contexts drawn from the same law. The best possible
    loss is 0: a prompt has one answer.

    Attributes:
        keys: how many there are.
        values: how many there are.
        pairs: most pairs seen in training.
        queries: keys asked for in each example, at most.
        test_pairs: numbers of pairs that are scored; those above ``pairs`` ask for generalisation.
        items: evaluation items per number of pairs.

    Raises:
        ValueError: a field is out of range.
    """

    keys: int = 32
    values: int = 32
    pairs: int = 8
    queries: int = 4
    test_pairs: tuple[int, ...] = (4, 8, 16)
    items: int = 200

    def __post_init__(self) -> None:
        check_whole(self, 2, "values")
        check_whole(self, 1, "keys", "pairs", "queries", "items")
        check_distinct(self, "test_pairs", high=self.keys)
        if self.pairs > self.keys:
            raise ValueError(f"pairs={self.pairs}: must be at most keys={self.keys}, as keys differ")

    @property
    def alphabet(self) -> tuple[str, ...]:
        """The text of every token, in the order of their ids."""
        keys = (f"k{i}" for i in range(self.keys))
        return (*keys, *(f"v{i}" for i in range(self.values)), "$", ">")

    @property
    def vocabulary(self) -> int:
        return self.keys + self.values + 2

    @property
    def min_length(self) -> int:
        return self._size(1)

    @property
    def max_length(self) -> int:
        return self._size(self.pairs)

    @property
    def chance(self) -> float:
        """Of the values in the context in random order, for the fewest test pairs."""
        fewest = min(self.test_pairs)
        return 1 / math.perm(fewest, min(fewest, self.queries))

    @property
    def best_loss(self) -> float:
        return 0.0

    def sample(self, key: Key) -> Example:
        count_key, keys_key, values_key, asked_key = jax.random.split(key, 4)
        count = jax.random.randint(count_key, (), 1, self.pairs + 1)
        keys = jax.random.permutation(keys_key, self.keys)[: self.pairs]
        values = jax.random.randint(values_key, (self.pairs,), 0, self.values)
        order = jnp.where(jnp.arange(self.pairs) < count, jax.random.uniform(asked_key, (self.pairs,)), 1)
        return self._write(keys, values, count, jnp.argsort(order))

    def evaluation_sets(self) -> tuple[EvaluationSet, ...]:
        return evaluation_sets("test", self._write, {n: self._contexts(n) for n in self.test_pairs})

    def _contexts(self, count: int) -> tuple[np.ndarray, ...]:
        rng = np.random.default_rng(count)
        keys = rng.permuted(np.tile(np.arange(self.keys), (self.items, 1)), axis=1)
        values = rng.integers(0, self.values, (self.items, max(self.test_pairs)))
        asked = np.tile(np.arange(max(self.test_pairs)), (self.items, 1))
        asked[:, :count] = rng.permuted(asked[:, :count], axis=1)
        return keys[:, : max(self.test_pairs)], values, np.full(self.items, count), asked

    def _write(
        self,
        keys: Int[Array, " P"],
        values: Int[Array, " P"],
        count: Int[Array, ""],
        asked: Int[Array, " P"],
    ) -> Example:
        """The text of the first ``count`` pairs, and of those that are asked for, in this order."""
        begin = self.keys + self.values
        pairs = jnp.stack([keys, self.keys + values], axis=1)
        pieces = [Piece(begin), Piece(pairs.ravel(), 2 * count), Piece(begin + 1)]
        for i, pair in enumerate(pairs[asked[: self.queries]]):
            there = (i < count).astype(int)
            pieces += [Piece(pair[0], there), Piece(pair[1], there, learnt=True)]
        return joined(pieces, self._size(len(keys)))

    def _size(self, pairs: int) -> int:
        return 2 + 2 * pairs + 2 * min(pairs, self.queries)
