"""A task unlike Count: very different lengths, weights beyond 0 and 1, an evaluation set without a length."""

from __future__ import annotations

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np

from jaxemerge import EvaluationSet, Example, Task


@dataclass(frozen=True)
class Echo(Task):
    """A letter, n times, then the end token; half of the examples have n = 1, the rest up to ``longest``."""

    letters: int = 5
    longest: int = 28

    @property
    def vocabulary(self) -> int:
        return self.letters + 1

    @property
    def min_length(self) -> int:
        return 2

    @property
    def max_length(self) -> int:
        return self.longest + 1

    def sample(self, key: jax.Array) -> Example:
        short, letter, repeats = jax.random.split(key, 3)
        n = jnp.where(jax.random.bernoulli(short), 1, jax.random.randint(repeats, (), 2, self.longest + 1))
        place = jnp.arange(self.max_length)
        tokens = jnp.where(place < n, jax.random.randint(letter, (), 0, self.letters), self.letters)
        return Example(tokens, jnp.where(place <= n, 0.25 * (1 + place % 3), 0.0), n + 1)

    def evaluation_sets(self) -> tuple[EvaluationSet, ...]:
        def one(split: str, length: int | None, n: int, letters: range) -> EvaluationSet:
            tokens = np.array([[letter] * n + [self.letters] for letter in letters], np.int32)
            scored = np.arange(n + 1) >= max(1, n - 2)
            return EvaluationSet(split, length, tokens, np.tile(scored, (len(tokens), 1)))

        return (
            one("short", None, 3, range(self.letters)),
            one("long", 11, 11, range(1, self.letters)),
            one("long", 7, 7, range(self.letters - 1)),
        )
