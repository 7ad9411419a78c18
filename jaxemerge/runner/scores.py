"""Which scores does a population have? Those of its task or objective, as metrics by name."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, cast

import jax
import jax.numpy as jnp
import numpy as np

from jaxemerge.brief import brief
from jaxemerge.devices import Layout, over_seeds
from jaxemerge.evaluation import SetScores, Sheet, scores, sheet
from jaxemerge.evaluation.metrics import (
    ANSWER_NLL,
    EXACT_MATCH,
    TOKEN_ACCURACY,
    answer_nll,
    bits_per_byte,
    token_accuracy,
)
from jaxemerge.models import Model
from jaxemerge.models.implementation import Code, code_in_use
from jaxemerge.runner.experiment import Experiment
from jaxemerge.tasks import Task
from jaxemerge.training import Objective
from jaxemerge.types import Bool, Float, Params

BITS_PER_BYTE = "bits_per_byte"  # metric of running text
Scores = Any  # SetScores of a task; of an objective a dict of arrays [S]: numbers, or how many items are True


class Measured(NamedTuple):
    """One metric of S seeds on one test.

    Attributes:
        split, length: what was tested; length is None where it means nothing.
        metric: its name.
        trials: items behind a proportion; None for other numbers.
        values: [S].
    """

    split: str
    length: int | None
    metric: str
    trials: int | None
    values: Float[np.ndarray, " S"]


@brief
class Evaluation(NamedTuple):
    """All scores of S seeds at one step, on the host.

    Attributes:
        step: updates made before it.
        scores: sums over the items of each evaluation set, [S, M]; of an objective its metrics, [S].
        train_loss, gradient_norm: see ``jaxemerge.training.Snapshot``.
        diverged: whether a loss or gradient was ever not finite up to this step.
    """

    step: int
    scores: Scores
    train_loss: Float[np.ndarray, " S"]
    gradient_norm: Float[np.ndarray, " S"]
    diverged: Bool[np.ndarray, " S"]


def joined(parts: Sequence[Evaluation]) -> Evaluation:
    """One step of several populations as one evaluation, their seeds one after the other."""
    arrays = jax.tree.map(lambda *x: np.concatenate(x), *(part[1:] for part in parts))
    return Evaluation(parts[0].step, *arrays)


class Progress(NamedTuple):
    """A chunk after a dispatch.

    Attributes:
        step: updates made so far.
        loss: training loss of every seed, in nats.
        evaluation: the scores, if this step is an evaluation step.
    """

    step: int
    loss: Float[np.ndarray, " S"]
    evaluation: Evaluation | None


def scorer(task: Task | Objective, model: Model | None, layout: Layout) -> Callable[[Params], Scores]:
    """The program that scores a population on a task's evaluation sets, or as an objective says."""
    return _scorer(task, model, layout, code_in_use())


@functools.lru_cache(maxsize=32)
def _scorer(
    task: Task | Objective, model: Model | None, layout: Layout, code: Code
) -> Callable[[Params], Scores]:
    del code
    if model is None:
        return over_seeds(functools.partial(_counted, cast("Objective", task)), layout)
    known = cast("Task", task)
    return over_seeds(functools.partial(scores, model, known.vocabulary, sheet_of(known)), layout)


@functools.lru_cache(maxsize=32)
def sheet_of(task: Task) -> Sheet:
    """A task's evaluation sets."""
    return sheet(task)


def _counted(objective: Objective, params: Params) -> dict[str, Any]:
    """Metrics of one seed; of bools, how many are True."""
    seen = {name: jnp.asarray(value) for name, value in objective.score(params).items()}
    return {
        name: jnp.sum(value, dtype=jnp.int32) if value.dtype == bool else value.astype(jnp.float32)
        for name, value in seen.items()
    }


@functools.lru_cache(maxsize=32)
def _trials(objective: Objective) -> Mapping[str, int | None]:
    """How many bools each metric is made of; None for numbers."""
    params = jax.eval_shape(objective.init, jax.random.key(0))
    found = jax.eval_shape(objective.score, params)
    return {name: math.prod(x.shape) if x.dtype == bool else None for name, x in found.items()}


def measured(experiment: Experiment, seen: Scores) -> list[Measured]:
    """All metrics of an evaluation, test by test."""
    if experiment.model is None:
        objective = cast("Objective", experiment.task)
        return [
            Measured("test", None, name, trials, seen[name] / (trials or 1))
            for name, trials in _trials(objective).items()
        ]
    return _of_task(sheet_of(cast("Task", experiment.task)), seen)


def _of_task(items: Sheet, seen: SetScores) -> list[Measured]:
    found = []
    for i, (split, length) in enumerate(zip(items.splits, items.lengths, strict=True)):
        n_items, n_answers = int(items.items[i]), int(items.answers[i])
        exact, right, nll = (np.asarray(x)[:, i] for x in seen)
        accuracy = Measured(split, length, TOKEN_ACCURACY.name, n_answers, token_accuracy(right, n_answers))
        loss = Measured(split, length, ANSWER_NLL.name, None, answer_nll(nll, n_answers))
        n_bytes = items.text_bytes[i]
        if n_bytes is None:
            found += [Measured(split, length, EXACT_MATCH.name, n_items, exact / n_items), accuracy, loss]
        else:
            bits = Measured(split, length, BITS_PER_BYTE, None, bits_per_byte(nll, n_bytes))
            found += [loss, bits, accuracy]
    return found


def successes(experiment: Experiment, seen: Scores) -> list[Measured]:
    """The metrics by which a seed can succeed: exact match on every test, or an objective's shares."""
    found = measured(experiment, seen)
    if experiment.model is None:
        return [one for one in found if one.trials is not None]
    return [one for one in found if one.metric == EXACT_MATCH.name]
