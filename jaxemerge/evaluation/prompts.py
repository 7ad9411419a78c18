"""Which tokens of an item are the prompt, and which positions are generated?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from jaxemerge.tasks import EvaluationSet
from jaxemerge.types import Bool, Int


@dataclass(frozen=True, eq=False)
class Prompts:
    """Items to be answered, padded at their end to the same length.

    Attributes:
        tokens: reference texts.
        scored: places that an exact answer gets right.
        writes: generated positions; at all others before the last of these the reference is given.
        numbers: an item's number; with the seed's numbers it decides the item's draws.
    """

    tokens: Int[np.ndarray, "E L"]
    scored: Bool[np.ndarray, "E L"]
    writes: Bool[np.ndarray, "E L"]
    numbers: Int[np.ndarray, " E"]

    def __len__(self) -> int:
        return len(self.tokens)

    @property
    def start(self) -> int:
        """The first position where the model writes, in any item."""
        return int(self.writes.any(0).argmax())

    def take(self, which: Sequence[int] | np.ndarray) -> Prompts:
        """Some of the items with their numbers, and so with the same draws."""
        chosen = np.asarray(which, np.int64)
        return Prompts(self.tokens[chosen], self.scored[chosen], self.writes[chosen], self.numbers[chosen])


def prompts(sets: EvaluationSet | Sequence[EvaluationSet]) -> Prompts:
    """The items of one or more evaluation sets, in order, numbered from 0.

    A model writes from an item's first scored place on, to the end of its set's longest text; tokens that
    are not scored but stand between scored ones are given to it, as they are in teacher forcing.
    """
    chosen = [sets] if isinstance(sets, EvaluationSet) else list(sets)
    scored = stacked([one.scored for one in chosen])
    return Prompts(
        tokens=stacked([one.tokens for one in chosen]).astype(np.int32),
        scored=scored,
        writes=stacked([_writes(one.scored) for one in chosen]),
        numbers=np.arange(len(scored), dtype=np.int32),
    )


def _writes(scored: np.ndarray) -> np.ndarray:
    place = np.arange(scored.shape[1])
    last = scored.shape[1] - 1 - scored[:, ::-1].argmax(1)
    return scored | (place > last[:, None])


def stacked(arrays: Sequence[np.ndarray]) -> np.ndarray:
    """Rows of several arrays as one, [E, L]: each filled up with 0 to the longest."""
    length = max(array.shape[-1] for array in arrays)
    return np.concatenate([np.pad(array, ((0, 0), (0, length - array.shape[-1]))) for array in arrays])
