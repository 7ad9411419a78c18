"""Arithmetic modulo a prime with part of the table held out: the task of the grokking experiments.

References:
    Power, Burda, Edwards, Babuschkin, Misra (2022), "Grokking: generalization beyond overfitting on small
    algorithmic datasets", arXiv 2201.02177, section 3 and appendix A.1.1.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np

from jaxemerge.tasks.task import EvaluationSet, Example, Task, check_one_of, check_whole
from jaxemerge.types import Int, Key

OPERATIONS = {"add": "+", "subtract": "-", "multiply": "*", "divide": "/", "quadratic": "o"}


@dataclass(frozen=True)
class Modular(Task):
    """Given two numbers, write what an operation makes of them, modulo ``modulus``.

    One token per number, then the operation's sign and ``=``. Only the result is learnt and scored.

    ``Modular(modulus=7)``:

        3 + 5 = 1
        0 0 0 0 1

    ``Modular(modulus=7, operation="subtract")``:

        3 - 5 = 5
        0 0 0 0 1

    ``Modular(modulus=7, operation="multiply")``:

        3 * 5 = 1
        0 0 0 0 1

    ``Modular(modulus=7, operation="divide")`` (2 x 5 = 10, which is 3):

        3 / 5 = 2
        0 0 0 0 1

    ``Modular(modulus=7, operation="quadratic")`` (x^2 + x y + y^2):

        3 o 5 = 0
        0 0 0 0 1

    The table has one entry per pair of numbers (division by 0 left out). A share of it, chosen at random from
    ``source`` and the same for every seed, is for training: its entries are drawn uniformly. The others are
    never trained on. Evaluation: *all* entries of either part, splits ``train`` and ``held_out``. The best
    possible loss is 0: a prompt has one answer.

    Attributes:
        modulus: numbers are 0 .. modulus - 1; must be prime where the operation is ``divide``.
        operation: ``add``, ``subtract``, ``multiply``, ``divide`` or ``quadratic``.
        train_share: share of the table that is for training, rounded to whole entries.
        source: seed of the choice of these entries.

    Raises:
        ValueError: a field is out of range, or a part of the table would be empty.
    """

    modulus: int = 97
    operation: Literal["add", "subtract", "multiply", "divide", "quadratic"] = "add"
    train_share: float = 0.5
    source: int = 0

    def __post_init__(self) -> None:
        check_whole(self, 2, "modulus")
        check_one_of(self, "operation", OPERATIONS)
        check_whole(self, 0, "source")
        if self.operation == "divide" and any(self.modulus % k == 0 for k in range(2, self.modulus)):
            raise ValueError(f"modulus={self.modulus}: must be prime for operation='divide'")
        entries = self.modulus * (self.modulus - (self.operation == "divide"))
        if not 0 < round(self.train_share * entries) < entries:
            raise ValueError(
                f"train_share={self.train_share}: must leave at least one of {entries} entries for training "
                "and one held out"
            )

    @property
    def alphabet(self) -> tuple[str, ...]:
        """The text of every token, in the order of their ids."""
        return (*map(str, range(self.modulus)), OPERATIONS[self.operation], "=")

    @property
    def vocabulary(self) -> int:
        return self.modulus + 2

    @property
    def min_length(self) -> int:
        return 5

    @property
    def max_length(self) -> int:
        return 5

    @property
    def chance(self) -> float:
        return 1 / self.modulus

    @property
    def best_loss(self) -> float:
        return 0.0

    def sample(self, key: Key) -> Example:
        trained, _ = table(self)
        row = jax.random.randint(key, (), 0, len(trained))
        return Example(jnp.asarray(trained)[row], jnp.asarray([0.0, 0.0, 0.0, 0.0, 1.0]), jnp.asarray(5))

    def evaluation_sets(self) -> tuple[EvaluationSet, ...]:
        return tuple(
            EvaluationSet(split, None, part, np.broadcast_to(np.arange(5) == 4, part.shape))
            for split, part in zip(("train", "held_out"), table(self), strict=True)
        )


@functools.lru_cache(maxsize=8)
def table(task: Modular) -> tuple[Int[np.ndarray, "E 5"], Int[np.ndarray, "E 5"]]:
    """Texts of the entries that are trained on, and of those held out."""
    modulus = task.modulus
    a, b = (x.ravel() for x in np.indices((modulus, modulus)))
    if task.operation == "divide":
        a, b = a[b > 0], b[b > 0]
    results = {
        "add": lambda: a + b,
        "subtract": lambda: a - b,
        "multiply": lambda: a * b,
        "divide": lambda: a * np.array([pow(int(x), modulus - 2, modulus) for x in b]),  # Fermat's inverse
        "quadratic": lambda: a * a + a * b + b * b,
    }
    sign, equals = np.full_like(a, modulus), np.full_like(a, modulus + 1)
    texts = np.stack([a, sign, b, equals, results[task.operation]() % modulus], axis=1).astype(np.int32)
    texts = np.random.default_rng(task.source).permutation(texts)
    trained = round(task.train_share * len(texts))
    return texts[:trained], texts[trained:]
