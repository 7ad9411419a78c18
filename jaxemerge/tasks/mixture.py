"""Several tasks in one run: do abilities emerge together, across seeds?"""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np

from jaxemerge.tasks.task import EvaluationSet, Example, Task
from jaxemerge.types import Array, Bool, Int, Key


@dataclass(frozen=True)
class TaskMixture(Task):
    """Every example is drawn from one of the tasks, chosen at random; each task has its own evaluation sets.

    Tokens of task i become tokens of the mixture in this way, where V_j is the vocabulary of task j:

    * ``shared=True``: token t stays t. The same id means the same input to all tasks; the digit 3 of one may
      be the number 3 or the letter d of another.
    * ``shared=False``: token t becomes V_0 + ... + V_(i-1) + t. Tasks have no token in common.
    * ``marked=True``: the example begins with a token of its own that names its task, max V_j + i or
      V_0 + ... + V_(n-1) + i; it is not learnt.

    ``TaskMixture((Parity(), Modular(5)))``, of 3 and 7 tokens; ``10110>1`` and ``3 + 4 = 2`` are:

        7 1 0 1 1 0 2 1
        0 0 0 0 0 0 0 1

        8 3 5 4 6 2
        0 0 0 0 0 1

    ``TaskMixture((Parity(), Modular(5)), shared=False)``:

        10 1 0 1 1 0 2 1
        0  0 0 0 0 0 0 1

        11 6 8 7 9 5
        0  0 0 0 0 1

    Evaluation sets are those of the tasks, in their order, with the split ``task/split``, as in
    ``count/test``. The second task of a name is numbered, as in ``count2/test``.

    Attributes:
        tasks: two or more tasks.
        weights: share of the examples (not of the tokens) of each task, up to a common factor; none means
            equal shares.
        shared: whether tasks share their token ids.
        marked: whether examples begin with a token that names the task.

    Raises:
        ValueError: fewer than two tasks, no tasks, or weights that are not positive or not one per task.
    """

    tasks: tuple[Task, ...]
    weights: tuple[float, ...] = ()
    shared: bool = True
    marked: bool = True

    def __post_init__(self) -> None:
        object.__setattr__(self, "tasks", tuple(self.tasks))
        object.__setattr__(self, "weights", tuple(float(weight) for weight in self.weights))
        if len(self.tasks) < 2:
            raise ValueError(f"tasks: {len(self.tasks)} given; a mixture has two or more")
        for task in self.tasks:
            if not isinstance(task, Task):
                raise ValueError(f"tasks: {task!r} is no Task")
        if self.weights and len(self.weights) != len(self.tasks):
            raise ValueError(f"weights={self.weights}: give one for each of {len(self.tasks)} tasks, or none")
        if not all(0 < weight < float("inf") for weight in self.weights):
            raise ValueError(f"weights={self.weights}: must be positive")

    @property
    def labels(self) -> tuple[str, ...]:
        """Name of each task in this mixture; those that share one are numbered from the second on."""
        seen: Counter[str] = Counter()
        found = []
        for task in self.tasks:
            seen[task.name] += 1
            found.append(task.name + (str(seen[task.name]) if seen[task.name] > 1 else ""))
        return tuple(found)

    @property
    def offsets(self) -> tuple[int, ...]:
        """What is added to the tokens of each task; one more than there are tasks, for the marks."""
        sizes = [task.vocabulary for task in self.tasks]
        if self.shared:
            return (*(0 for _ in sizes), max(sizes))
        return tuple(int(offset) for offset in np.cumsum([0, *sizes]))

    @property
    def vocabulary(self) -> int:
        return self.offsets[-1] + self.marked * len(self.tasks)

    @property
    def min_length(self) -> int:
        return min(task.min_length for task in self.tasks) + self.marked

    @property
    def max_length(self) -> int:
        return max(task.max_length for task in self.tasks) + self.marked

    @property
    def chance(self) -> float:
        """Of the task that is easiest to guess."""
        return max(task.chance for task in self.tasks)

    @property
    def end(self) -> int | None:
        """That of the tasks, where it is the same token for all."""
        ends = {
            None if task.end is None else task.end + offset
            for task, offset in zip(self.tasks, self.offsets, strict=False)
        }
        return ends.pop() if len(ends) == 1 else None

    @property
    def best_loss(self) -> float | None:
        """0 where it is 0 for every task and none can be taken for another; else not known."""
        return 0.0 if self._apart and all(task.best_loss == 0 for task in self.tasks) else None

    @property
    def files(self) -> tuple[str, ...]:
        """Those of all tasks."""
        return tuple(path for task in self.tasks for path in task.files)

    @property
    def data(self) -> tuple[Array | np.ndarray, ...]:
        """That of all tasks, in their order."""
        return tuple(array for task in self.tasks for array in task.data)

    def sample(self, key: Key, *data: Array) -> Example:
        which_key, example_key = jax.random.split(key)
        shares = np.array(self.weights or [1.0] * len(self.tasks))
        which = jax.random.choice(which_key, len(self.tasks), p=jnp.asarray(shares / shares.sum()))
        ends = np.cumsum([len(task.data) for task in self.tasks])
        own = [data[end - len(task.data) : end] for task, end in zip(self.tasks, ends, strict=True)]
        return jax.lax.switch(which, [self._drawer(*each) for each in enumerate(own)], example_key)

    def _drawer(self, index: int, data: Sequence[Array]) -> Callable[[Key], Example]:
        """Draws an example of one task, in the mixture's tokens and padded to its length."""
        sample: Callable[..., Example] = self.tasks[index].sample

        def draw(key: Key) -> Example:
            tokens, weights, length = sample(key, *data)
            beyond = self.max_length - self.marked - len(tokens)
            mark = jnp.full(int(self.marked), self.offsets[-1] + index)
            tokens = jnp.concatenate([mark, jnp.pad(tokens + self.offsets[index], (0, beyond))])
            weights = jnp.pad(weights, (int(self.marked), beyond))
            return Example(
                tokens.astype(jnp.int32),
                weights.astype(jnp.float32),
                (length + self.marked).astype(jnp.int32),
            )

        return draw

    def evaluation_sets(self) -> tuple[EvaluationSet, ...]:
        return tuple(
            self._translated(i, one, f"{label}/{one.split}")
            for i, (task, label) in enumerate(zip(self.tasks, self.labels, strict=True))
            for one in task.evaluation_sets()
        )

    def accepts(
        self, text: Int[Array, " L"], reference: Int[Array, " L"], scored: Bool[Array, " L"]
    ) -> Bool[Array, ""]:
        """Whether the item's own task accepts it; only the reference is, where that task is ambiguous."""
        if not self._apart:
            return super().accepts(text, reference, scored)
        which = reference[0] - self.offsets[-1]
        if not self.marked:
            which = jnp.searchsorted(jnp.asarray(self.offsets), reference[0], side="right") - 1
        judges = [functools.partial(self._accepts, index) for index in range(len(self.tasks))]
        return jax.lax.switch(which, judges, text, reference, scored)

    def _accepts(self, index: int, text: Array, reference: Array, scored: Array) -> Array:
        """What one task accepts, of texts in the mixture's tokens."""
        first, offset = int(self.marked), self.offsets[index]
        written, right = (jnp.where(x < 0, x, x - offset)[first:] for x in (text, reference))
        return self.tasks[index].accepts(written, right, scored[first:])

    @property
    def _apart(self) -> bool:
        """Whether an example's tokens say which task it is of."""
        return self.marked or not self.shared

    def _translated(self, index: int, one: EvaluationSet, split: str) -> EvaluationSet:
        """An evaluation set of one task in the mixture's tokens."""
        first = int(self.marked)

        def marked(texts: np.ndarray) -> np.ndarray:
            padded = np.pad(texts + self.offsets[index], [(0, 0)] * (texts.ndim - 1) + [(first, 0)])
            padded[..., :first] = self.offsets[-1] + index
            return padded.astype(np.int32)

        return EvaluationSet(
            split,
            one.length,
            marked(one.tokens),
            np.pad(one.scored, ((0, 0), (first, 0))),
            None if one.distractors is None else marked(one.distractors),
            one.text_bytes,
        )
