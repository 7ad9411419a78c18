"""Which items of a task are sampled until they pass, and how do they stand at the end of training?

``PassUntil`` is the part of an experiment that asks for it; ``sampled`` carries it out.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import jax
import numpy as np

from jaxemerge.evaluation.items import Evaluated, evaluate
from jaxemerge.evaluation.pass_until import PassCounts, estimate
from jaxemerge.evaluation.prompts import prompts
from jaxemerge.evaluation.sampling import Sampling

if TYPE_CHECKING:
    from jaxtyping import Float, Int

    from jaxemerge.devices import Layout
    from jaxemerge.models import Model
    from jaxemerge.tasks import EvaluationSet, Task
    from jaxemerge.types import Params


@dataclass(frozen=True)
class PassUntil:
    """Sampling of a trained population's answers until r of them pass.

    Attributes:
        split: name of the evaluation sets whose items are sampled; empty for all.
        length: length of these sets; None for all.
        items: items of each set, evenly spread over it; 0 for all.
        r: passes to wait for; at least 2, as fewer give no unbiased rate.
        cap: most samples of one item by one seed.
        temperature: at which answers are drawn.
        source: seed of the draws.

    Raises:
        ValueError: a field is out of range; the message says its value and what is allowed.
    """

    split: str = ""
    length: int | None = None
    items: int = 0
    r: int = 2
    cap: int = 10_000
    temperature: float = 1.0
    source: int = 0

    def __post_init__(self) -> None:
        if self.items < 0:
            raise ValueError(f"items={self.items}: must be at least 1, or 0 for all")
        if not 2 <= self.r <= self.cap:
            raise ValueError(f"r={self.r}, cap={self.cap}: r must be at least 2, and cap at least r")
        if not 0 < self.temperature < float("inf"):
            raise ValueError(f"temperature={self.temperature}: must be a positive number")

    def chosen(self, sets: Sequence[EvaluationSet]) -> Int[np.ndarray, " U"]:
        """Places of the chosen items among those of all sets.

        Raises:
            ValueError: no set has this split and length.
        """
        found, first = [], 0
        for one in sets:
            n = len(one.tokens)
            if self.split in ("", one.split) and self.length in (None, one.length):
                spread = np.linspace(0, n - 1, min(self.items or n, n))
                found.append(first + np.unique(np.round(spread).astype(np.int64)))
            first += n
        if not found:
            there = ", ".join(f"{one.split!r} of length {one.length}" for one in sets)
            raise ValueError(
                f"pass_until: no evaluation set is {self.split!r} of length {self.length}; there are {there}"
            )
        return np.concatenate(found)


class Passed(NamedTuple):
    """What came of it, for S seeds and U items.

    Attributes:
        counts: passes and samples.
        split, length, number: of each item, as in ``Evaluated``.
        answers: scored tokens of each item.
        nll: negative log-likelihood of the reference answer, summed, in nats.
    """

    counts: PassCounts
    split: np.ndarray
    length: Int[np.ndarray, " U"]
    number: Int[np.ndarray, " U"]
    answers: Int[np.ndarray, " U"]
    nll: Float[np.ndarray, "S U"]


def sampled(
    task: Task,
    model: Model,
    params: Params,
    seeds: Sequence[tuple[int, int]],
    asked: PassUntil,
    *,
    layout: Layout | None = None,
    seen: Evaluated | None = None,
    between: Callable[[], None] = lambda: None,
) -> Passed:
    """Samples the chosen items until they pass; their answer loss is kept beside the counts.

    Args:
        task, model, params, seeds: as in ``estimate``.
        asked: what is sampled, and for how long.
        layout: as in ``generate``.
        seen: what ``evaluate`` found of this population, where that was done.
        between: called between two batches; may raise to stop.
    """
    sets = task.evaluation_sets()
    which = asked.chosen(sets)
    known = seen or evaluate(task, model, params, layout=layout, written=False)
    counts = estimate(
        *(task, model, params, seeds, prompts(sets).take(which)),
        key=jax.random.key(asked.source, impl="threefry2x32"),
        r=asked.r,
        cap=asked.cap,
        sampling=Sampling(asked.temperature),
        layout=layout,
        between=between,
    )
    items = known.items
    return Passed(
        counts,
        *(known.split[which], known.length[which], known.number[which]),
        *(items.answers[which], items.nll[:, which]),
    )
