"""Which answers are so frequent among a task's items that giving always one of them scores?"""

from __future__ import annotations

import functools
from collections import Counter
from typing import NamedTuple

from jaxemerge.tasks.task import EvaluationSet, Task

LEAST_SHARE = 0.1  # of the items of a set: rarer answers are no strategy
_LEAST_ITEMS = 2


class ConstantScore(NamedTuple):
    """The exact match of a model that gives one and the same answer to all items of an evaluation set.

    Attributes:
        split, length: of the set.
        score: share of its items that have this answer.
    """

    split: str
    length: int | None
    score: float


@functools.lru_cache(maxsize=32)
def constant_scores(task: Task) -> tuple[ConstantScore, ...]:
    """Scores of the frequent answers of every evaluation set, such as the majority class."""
    return tuple(each for one in task.evaluation_sets() for each in _of_set(one))


def _of_set(one: EvaluationSet) -> list[ConstantScore]:
    answers = Counter(tuple(row[mask].tolist()) for row, mask in zip(one.tokens, one.scored, strict=True))
    n = len(one.tokens)
    counts = sorted({k for k in answers.values() if k >= max(_LEAST_ITEMS, LEAST_SHARE * n)}, reverse=True)
    return [ConstantScore(one.split, one.length, k / n) for k in counts]
