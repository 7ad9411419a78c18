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
from jaxemerge.code import name_of, told
from jaxemerge.devices import Layout, over_seeds
from jaxemerge.evaluation import METRICS, SetScores, Sheet, scores, sheet
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
from jaxemerge.runner.experiment import Experiment, OwnMetric
from jaxemerge.tasks import EvaluationSet, Task
from jaxemerge.training import Objective, init_shapes
from jaxemerge.training.objective import TAKEN, metric_problems
from jaxemerge.types import Bool, Float, Int, Params

BITS_PER_BYTE = "bits_per_byte"  # metric of running text
TRAINING = ("train_loss", "grad_norm")  # metrics of training batches
# SetScores of a task, within WithOwn where there are own metrics; of an objective a dict of arrays [S]:
# numbers, or how many items are True.
Scores = Any


@brief
class WithOwn(NamedTuple):
    """Scores of a task, and those of the user's own metrics.

    Attributes:
        sets: sums over the items of each evaluation set.
        own: arrays [S] by place of the evaluation set and name, ``0.margin``: numbers, or how many are True.
    """

    sets: SetScores
    own: dict[str, Any]


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
        stopped_at: steps at which rules stopped seeds, -1 for those not stopped yet; None without rules.
    """

    step: int
    scores: Scores
    train_loss: Float[np.ndarray, " S"]
    gradient_norm: Float[np.ndarray, " S"]
    diverged: Bool[np.ndarray, " S"]
    stopped_at: Int[np.ndarray, " S"] | None = None


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


def scorer(experiment: Experiment, layout: Layout) -> Callable[[Params], Scores]:
    """The program that scores a population on a task's evaluation sets, or as an objective says."""
    return _scorer(experiment.task, experiment.model, experiment.metrics, layout, code_in_use())


@functools.lru_cache(maxsize=32)
def _scorer(
    task: Task | Objective, model: Model | None, metrics: tuple[OwnMetric, ...], layout: Layout, code: Code
) -> Callable[[Params], Scores]:
    del code
    if model is None:
        return over_seeds(functools.partial(_counted, cast("Objective", task)), layout)
    known = cast("Task", task)
    sets = functools.partial(scores, model, known.vocabulary, sheet_of(known))
    if not metrics:
        return over_seeds(sets, layout)
    own = functools.partial(_own, known, model, known.evaluation_sets(), metrics)
    return over_seeds(lambda params: WithOwn(sets(params), _count(own(params))), layout)


def _own(
    task: Task,
    model: Model,
    sets: Sequence[EvaluationSet],
    metrics: tuple[OwnMetric, ...],
    params: Params,
) -> dict[str, Any]:
    """What the user's metrics return for one seed, by place of the evaluation set and name.

    The sets are made before: a task that draws them with JAX must not do so under ``jax.jit``.
    """

    def apply(weights: Params, tokens: Any) -> Any:
        tokens_EL = jnp.asarray(tokens)
        return model.apply(task.vocabulary, weights, tokens_EL, jnp.zeros_like(tokens_EL))

    return {
        f"{i}.{name}": jnp.asarray(value)
        for i, one in enumerate(sets)
        for metric in metrics
        for name, value in _named(metric, metric(apply, params, one)).items()
    }


def _named(metric: OwnMetric, returned: Any) -> Mapping[str, Any]:
    if not isinstance(returned, Mapping):
        raise TypeError(
            f"{name_of(metric)} returned {type(returned).__name__}: return a dict of named values"
        )
    return returned


def check_metrics(experiment: Experiment) -> tuple[str, ...]:
    """The faults of the user's metrics, a sentence each; empty if they can be used."""
    task, model = experiment.language()
    params, sets, found = init_shapes(experiment), task.evaluation_sets(), list[str]()
    taken = [*TAKEN, *(each.name for each in METRICS), BITS_PER_BYTE, "pass_rate"]
    for metric in experiment.metrics:
        name = name_of(metric)
        try:
            seen = jax.eval_shape(functools.partial(_own, task, model, sets, (metric,)), params)
        except Exception as error:  # whatever the author's code raises is the finding
            found.append(f"{name} fails under jax.jit: {told(error, [metric])}")
            continue
        returned = {key.partition(".")[2]: value for key, value in seen.items()}
        found += metric_problems(name, returned, tuple(taken))
        taken += returned
    return tuple(found)


@functools.lru_cache(maxsize=32)
def sheet_of(task: Task) -> Sheet:
    """A task's evaluation sets."""
    return sheet(task)


def _counted(objective: Objective, params: Params) -> dict[str, Any]:
    """Metrics of one seed; of bools, how many are True."""
    return _count({name: jnp.asarray(value) for name, value in objective.score(params).items()})


def _count(seen: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: jnp.sum(value, dtype=jnp.int32) if value.dtype == bool else value.astype(jnp.float32)
        for name, value in seen.items()
    }


@functools.lru_cache(maxsize=32)
def _trials(objective: Objective) -> Mapping[str, int | None]:
    """How many bools each metric is made of; None for numbers."""
    params = jax.eval_shape(objective.init, jax.random.key(0))
    return _bools(jax.eval_shape(objective.score, params))


def _bools(found: Mapping[str, Any]) -> dict[str, int | None]:
    return {name: math.prod(x.shape) if x.dtype == bool else None for name, x in found.items()}


@functools.lru_cache(maxsize=32)
def _own_trials(task: Task, model: Model, metrics: tuple[OwnMetric, ...]) -> Mapping[str, int | None]:
    """The same of own metrics, by place of the evaluation set and name."""
    params = jax.eval_shape(functools.partial(model.init, task.vocabulary), jax.random.key(0))
    return _bools(
        jax.eval_shape(functools.partial(_own, task, model, task.evaluation_sets(), metrics), params)
    )


def measured(experiment: Experiment, seen: Scores) -> list[Measured]:
    """All metrics of an evaluation, test by test."""
    if experiment.model is None:
        objective = cast("Objective", experiment.task)
        return [
            Measured("test", None, name, trials, seen[name] / (trials or 1))
            for name, trials in _trials(objective).items()
        ]
    items = sheet_of(cast("Task", experiment.task))
    if not isinstance(seen, WithOwn):
        return _of_task(items, seen)
    return [*_of_task(items, seen.sets), *own_metrics(experiment, seen)]


def metric_names(experiment: Experiment) -> tuple[str, ...]:
    """Names of all metrics of an evaluation."""
    if experiment.model is None:
        names = list(_trials(cast("Objective", experiment.task)))
    else:
        task, model = experiment.language()
        items = sheet_of(task)
        nothing = SetScores(*(np.zeros((1, len(items.splits))) for _ in SetScores._fields))
        own = _own_trials(task, model, experiment.metrics) if experiment.metrics else ()
        names = [one.metric for one in _of_task(items, nothing)] + [key.partition(".")[2] for key in own]
    return tuple(dict.fromkeys([*names, *TRAINING]))


def own_metrics(experiment: Experiment, seen: Scores) -> list[Measured]:
    """The user's own metrics of an evaluation of a task, test by test."""
    if not isinstance(seen, WithOwn):
        return []
    task, model = experiment.language()
    items, found = sheet_of(task), []
    for key, trials in _own_trials(task, model, experiment.metrics).items():
        place, _, name = key.partition(".")
        where = items.splits[int(place)], items.lengths[int(place)]
        found.append(Measured(*where, name, trials, np.asarray(seen.own[key]) / (trials or 1)))
    return found


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
