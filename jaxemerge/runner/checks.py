"""Can an experiment be trained here? Devices, data files, and the parts that are the user's own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

from jaxemerge.code import is_own
from jaxemerge.devices import self_test
from jaxemerge.inputs import check_unchanged
from jaxemerge.models import check_model
from jaxemerge.runner.experiment import Experiment
from jaxemerge.runner.scores import check_metrics, metric_names
from jaxemerge.tasks import Task, check_task
from jaxemerge.training import Objective, Scheduled, check_objective, init_shapes


def prepare(experiment: Experiment) -> None:
    """Checks devices, task, model and objective before training.

    Raises:
        DeviceError: the devices return wrong numbers.
        ValueError: the task, model or objective breaks its contract, a data file has changed since this
            process read it, or the optimizer names weights that there are not; the message says how.
    """
    self_test()
    task, model = experiment.task, experiment.model
    check_unchanged(task)
    if isinstance(experiment.optimizer, Scheduled) and experiment.optimizer.decayed is not None:
        experiment.optimizer.decay_mask(init_shapes(experiment))
    if model is None:
        _raise_problems(f"objective {task.name}", check_objective(cast("Objective", task)))
        _check_rules(experiment)
        return
    known = cast("Task", task)
    _raise_problems(f"task {task.name}", check_task(known))
    if experiment.metrics:
        _raise_problems("metrics", check_metrics(experiment))
    _check_rules(experiment)
    if is_own(type(model)):
        longest = max(experiment.context, *(one.tokens.shape[1] for one in known.evaluation_sets()))
        _raise_problems(f"model {type(model).__name__}", check_model(model, known.vocabulary, longest))


def _raise_problems(what: str, problems: Sequence[str]) -> None:
    if problems:
        raise ValueError(f"{what}: {'; '.join(problems)}")


def _check_rules(experiment: Experiment) -> None:
    """Raises ValueError where a rule's metric is not among those of the experiment."""
    if not experiment.stop_when:
        return
    names = metric_names(experiment)
    for rule in experiment.stop_when:
        if rule.metric not in names:
            raise ValueError(f"stop_when: {rule.metric!r} is not a metric: must be one of {', '.join(names)}")
