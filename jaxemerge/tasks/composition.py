"""Apply fixed functions one after the other: a chain whose steps can be scored one by one.

If every step succeeds with a probability of its own, a chain succeeds with their product: it appears suddenly
where its steps improve smoothly.

References:
    Okawa, Lubana, Dick, Tanaka (2023), "Compositional abilities emerge multiplicatively", arXiv 2310.09336.
    Hu et al. (2023), "Unlock predictable scaling from emergent abilities", arXiv 2310.03262, theorem 2
    (chains of steps that each obey the task scaling law).
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


@dataclass(frozen=True)
class Composition(Task):
    """Given a value and the names of functions, write the value after each of them, or only after the last.

    One token per value (``0`` ..) and function (``f0`` ..), then ``=`` and ``.`` (end). The functions are
    random permutations of the values, drawn once, from ``source``, the same for every seed. The answer and
    its end are learnt and scored. With four values, f0 maps 0 1 2 3 to 2 0 1 3 and f1 maps them to 3 2 1 0:

    ``Composition(values=4, functions=2)``:

        1 f0 f1 f1 = 0 3 0 .
        0 0  0  0  0 1 1 1 1

    ``Composition(values=4, functions=2, shown=False)``:

        1 f0 f1 f1 = 0 .
        0 0  0  0  0 1 1

    Training: number of steps ~ U{1..steps}; first value and functions uniform and independent. Evaluation:
    ``items`` different items drawn from the same law (fewer where there are few), not held out, in two
    splits:

    * split ``chain``, one set per number of ``test_steps``: the whole answer of chains of so many steps.
    * split ``step``, where the steps are shown: one set per step of the longest of these chains, in which
      only that step's result is scored, given the right results before it. An item of that chain is exact
      if and only if it is exact in all of these, and the end is right.

    Where steps are not shown, chains of one step tell how well single steps succeed. The best possible loss
    is 0: a prompt has one answer.

    Attributes:
        values: how many there are.
        functions: how many there are.
        steps: most steps seen in training.
        shown: whether the result of every step is part of the answer.
        test_steps: numbers of steps that are scored; those above ``steps`` ask for length generalisation.
        items: evaluation items per set, at most.
        source: seed of the functions.

    Raises:
        ValueError: a field is out of range.
    """

    values: int = 10
    functions: int = 4
    steps: int = 4
    shown: bool = True
    test_steps: tuple[int, ...] = (1, 2, 3, 4)
    items: int = 200
    source: int = 0

    def __post_init__(self) -> None:
        check_whole(self, 2, "values")
        check_whole(self, 1, "functions", "steps", "items")
        check_whole(self, 0, "source")
        check_distinct(self, "test_steps")

    @property
    def alphabet(self) -> tuple[str, ...]:
        """The text of every token, in the order of their ids."""
        return (*map(str, range(self.values)), *(f"f{i}" for i in range(self.functions)), "=", ".")

    @property
    def vocabulary(self) -> int:
        return self.values + self.functions + 2

    @property
    def min_length(self) -> int:
        return self._size(1)

    @property
    def max_length(self) -> int:
        return self._size(self.steps)

    @property
    def end(self) -> int:
        return self.values + self.functions + 1

    @property
    def chance(self) -> float:
        return 1 / self.values

    @property
    def best_loss(self) -> float:
        return 0.0

    def sample(self, key: Key) -> Example:
        count_key, first_key, chain_key = jax.random.split(key, 3)
        count = jax.random.randint(count_key, (), 1, self.steps + 1)
        first = jax.random.randint(first_key, (), 0, self.values)
        return self._write(first, jax.random.randint(chain_key, (self.steps,), 0, self.functions), count)

    def evaluation_sets(self) -> tuple[EvaluationSet, ...]:
        chains = evaluation_sets("chain", self._write, {n: self._chains(n) for n in self.test_steps})
        if not self.shown:
            return chains
        longest = next(one for one in chains if one.length == max(self.test_steps))
        places = np.arange(longest.tokens.shape[1]) - max(self.test_steps) - 2  # 0 at the first result
        steps = (
            EvaluationSet("step", i + 1, longest.tokens, np.broadcast_to(places == i, longest.tokens.shape))
            for i in range(max(self.test_steps))
        )
        return (*chains, *steps)

    def _chains(self, count: int) -> tuple[np.ndarray, ...]:
        rng = np.random.default_rng(count)

        def draw(n: int) -> tuple[np.ndarray, np.ndarray]:
            return rng.integers(0, self.values, n), rng.integers(0, self.functions, (n, count))

        first, chain = different(draw, self.items)
        padded = np.pad(chain, ((0, 0), (0, max(self.test_steps) - count)))
        return first, padded, np.full(len(first), count)

    def _write(self, first: Int[Array, ""], chain: Int[Array, " P"], count: Int[Array, ""]) -> Example:
        """The text of a chain whose first ``count`` functions are applied."""
        results = [first]
        for function in chain:
            results.append(jnp.asarray(maps(self))[function, results[-1]])
        after = jnp.stack(results)
        pieces = (
            Piece(first),
            Piece(self.values + chain, count),
            Piece(self.values + self.functions),
            Piece(after[1:], count, learnt=True) if self.shown else Piece(after[count], learnt=True),
            Piece(self.end, learnt=True),
        )
        return joined(pieces, self._size(len(chain)))

    def _size(self, steps: int) -> int:
        return 3 + steps + (steps if self.shown else 1)


@functools.lru_cache(maxsize=8)
def maps(task: Composition) -> Int[np.ndarray, "functions values"]:
    """What each function makes of each value."""
    rng = np.random.default_rng(task.source)
    return rng.permuted(np.tile(np.arange(task.values), (task.functions, 1)), axis=1)
