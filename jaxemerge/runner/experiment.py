"""What is an experiment? Everything that decides its numbers, in one frozen, JSON-serialisable record."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
import re
import typing
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from jaxemerge.code import check_function, code_of, is_own, told
from jaxemerge.evaluation import PassUntil
from jaxemerge.inputs import digests
from jaxemerge.models import Model, Transformer
from jaxemerge.runner.identity import identity
from jaxemerge.runner.plain import (
    as_json,
    built,
    check_order,
    checked_part,
    metrics_from,
    optimizer_from,
    own_numbers,
    plain,
    several,
    task_from,
    value_from,
)
from jaxemerge.runner.start import Start
from jaxemerge.runner.stopping import StopRule, checked_rules, read_rules
from jaxemerge.tasks import BUILT_IN, EvaluationSet, Task
from jaxemerge.training import (
    Members,
    Objective,
    Recipe,
    Seed,
    check_numbers,
    check_seeds,
    members,
    objective_of,
    paired,
    seed_pairs,
)
from jaxemerge.training.optimizer import AdamW, Optimizer, Scheduled
from jaxemerge.training.own_optimizer import Optax
from jaxemerge.types import Params

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.+-]*")  # a task's name is part of the name of a folder
_LABELS = ("study", "family", "seeds")  # name a run without changing what a seed of it does
_MOST_EVALUATIONS = 100_000
OwnMetric = Callable[[Callable[..., Any], Params, EvaluationSet], Mapping[str, Any]]


@dataclass(frozen=True)
class Experiment(Recipe):
    """One model on one task, trained from many seeds; without its seeds, a *cell* of a study.

    Attributes:
        task: the task that is learnt; or an ``Objective``, which needs no model.
        model: the model that learns it; None for an objective.
        optimizer: ``AdamW``, ``Adam``, ``SGD``, ``Lion`` or ``Muon``, or a function of the number of steps
            that returns an optax transformation; see ``Optax``.
        steps: training steps.
        batch: context windows per step and seed; 1 for an objective, which draws its own data.
        context: tokens per window; must hold the task's longest example; 1 for an objective.
        seeds: (init_seed, data_seed) of each member; see ``paired`` and ``crossed``.
        evaluations: steps at which every seed is scored. An integer is their number, spaced evenly in
            log(step) over the last 99 % of training. Steps 0 and ``steps`` are always among them.
        pass_until: items that are sampled at the end of training until they pass; None for none.
        start: weights to start from, as ``Start.of`` takes them: a population, for example, or the path of
            an export; None for random ones.
        metrics: your own, at every evaluation: ``f(apply, params, evaluation_set) -> {name: value}`` of one
            member, where ``apply(params, tokens)`` are logits [E, L, V] of tokens [E, L]. A value is a
            number, or one bool per item.
        stop_when: rules that freeze single seeds at evaluations: ``Above``, ``Below``, ``Patience``. Any of
            them stops a seed; its later results repeat its last scores.
        study: name of its study.
        family: name of the scale family, where there are several.

    Raises:
        ValueError: a field is out of range; the message says its value and what is allowed.
    """

    seeds: tuple[Seed, ...] = paired(range(16))
    evaluations: int | tuple[int, ...] = 20
    pass_until: PassUntil | None = None
    start: Start | None = None
    metrics: tuple[OwnMetric, ...] = ()
    stop_when: tuple[StopRule, ...] = ()
    study: str = "untitled"
    family: str = ""

    def __post_init__(self) -> None:
        check_order(self.task, self.model)
        for name in ("task", "model", "optimizer"):
            object.__setattr__(self, name, checked_part(getattr(self, name)))
        for name, number in own_numbers(self).items():
            object.__setattr__(self, name, number)
        object.__setattr__(self, "seeds", seed_pairs(self.seeds))
        object.__setattr__(self, "metrics", several("metrics", self.metrics))
        object.__setattr__(self, "stop_when", checked_rules(self.stop_when))
        if not isinstance(self.evaluations, int):
            object.__setattr__(self, "evaluations", tuple(int(e) for e in self.evaluations))
        for name in ("steps", "batch"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name}={getattr(self, name)}: must be at least 1")
        check_seeds(self.seeds)
        check_numbers(self)
        if not isinstance(self.task.name, str) or not _NAME.fullmatch(self.task.name):
            raise ValueError(
                f"task name {self.task.name!r}: must be letters, digits, or any of _.+- but for the first"
            )
        self._check_optimizer()
        self._check_model()
        self._check_evaluations()
        if self.start is not None:
            object.__setattr__(self, "start", Start.of(self.start))
            self.start.check(objective_of(self), self.seeds)

    def _check_model(self) -> None:
        if not isinstance(self.task, Task):
            if self.model is not None:
                raise ValueError(f"model: {self.task.name} is an objective and is trained without a model")
            object.__setattr__(self, "batch", 1)
            object.__setattr__(self, "context", 1)
        elif self.model is None:
            raise ValueError(f"model=None: {self.task.name} is a task and needs a model that learns it")
        elif type(self.task.max_length) is not int:
            raise ValueError(
                f"{self.task.name}: max_length is {self.task.max_length!r}: return a positive int"
            )
        elif self.context < self.task.max_length:
            raise ValueError(
                f"context={self.context} is shorter than the longest example of {self.task.name}: "
                f"it must be at least {self.task.max_length} tokens"
            )
        if self.model is None and self.metrics:
            raise ValueError(f"metrics: {self.task.name} is an objective: its metrics are those of score")
        for metric in self.metrics:
            check_function("metrics", metric)
        if self.pass_until is not None:
            self.pass_until.chosen(self.language()[0].evaluation_sets())

    def _check_optimizer(self) -> None:
        if not isinstance(self.optimizer, Optimizer):
            object.__setattr__(self, "optimizer", Optax(self.optimizer))
        if isinstance(self.optimizer, Optax):
            try:
                self.optimizer.transformation(0.0, self.steps)
            except Exception as error:  # whatever the author's code raises
                raise ValueError(f"optimizer: {told(error, [self.optimizer.make])}") from error

    def _check_evaluations(self) -> None:
        if isinstance(self.evaluations, int):
            if not 1 <= self.evaluations <= _MOST_EVALUATIONS:
                allowed = f"must be 1 to {_MOST_EVALUATIONS}, or a list of steps"
                raise ValueError(f"evaluations={self.evaluations}: {allowed}")
            return
        for step in self.evaluations:
            if not 0 <= step <= self.steps:
                raise ValueError(f"evaluations: step {step} must lie between 0 and steps={self.steps}")

    @property
    def evaluation_steps(self) -> tuple[int, ...]:
        """Increasing steps at which every seed is scored, from 0 to ``steps``."""
        chosen = self.evaluations
        if isinstance(chosen, int):
            chosen = log_spaced(self.steps, chosen)
        return tuple(sorted({0, self.steps, *chosen}))

    @property
    def common_step(self) -> int:
        """The last evaluation step at which a training of more steps has the same weights; 0 for none."""
        common = self.optimizer.common_steps(self.steps) if isinstance(self.optimizer, Scheduled) else 0
        return max(step for step in self.evaluation_steps if step <= common)

    @property
    def members(self) -> Members:
        """The seeds with this experiment's hyperparameters, as arrays."""
        return self.members_of(self.seeds)

    def members_of(self, seeds: Iterable[Seed]) -> Members:
        """Some seeds with this experiment's hyperparameters, as arrays."""
        return members(seeds, *self.optimizer.hyperparameters(self.steps))

    @property
    def learner(self) -> Model | Objective:
        """What has parameters: the model, or the objective."""
        return typing.cast(Objective, self.task) if self.model is None else self.model

    @property
    def tokens_per_step(self) -> int | None:
        """Tokens that one seed sees in a step; None for an objective."""
        return None if self.model is None else self.batch * self.context

    @property
    def chance(self) -> float:
        """Probability of an exact answer by guessing; 0 for an objective."""
        return 0.0 if self.model is None else float(self.language()[0].chance)

    @property
    def best_loss(self) -> float | None:
        """Lowest loss that any model can reach, in nats per weighted token; None where it is unknown."""
        return None if self.model is None else self.language()[0].best_loss

    def language(self) -> tuple[Task, Model]:
        """Task and model.

        Raises:
            ValueError: this is an objective.
        """
        if self.model is None:
            raise ValueError(f"{self.task.name} is an objective: it has no items, and writes no texts")
        return typing.cast(Task, self.task), self.model

    @property
    def cell(self) -> str:
        """Stable, readable id of this experiment without its seeds and labels; see ``identity``."""
        fields = {k: v for k, v in identity(self.to_dict(), self).items() if k not in _LABELS}
        digest = hashlib.sha256(as_json(fields).encode()).hexdigest()[:8]
        return "-".join(filter(None, [self.task.name, self.learner.label, digest]))

    def with_seeds(self, seeds: Iterable[Seed]) -> Experiment:
        """The same cell with other seeds."""
        return dataclasses.replace(self, seeds=tuple(seeds))

    def to_dict(self) -> dict[str, Any]:
        """Plain nested dict; tasks and a user's own models carry their class as ``kind``.

        ``code`` holds the digests of the files of a user's own classes, ``files`` those of data files.
        """
        fields = {each.name: getattr(self, each.name) for each in dataclasses.fields(self)}
        fields |= {name: plain(fields[name]) for name in ("task", "optimizer", "metrics")}
        if type(self.optimizer) is AdamW:
            del fields["optimizer"]["kind"]
        if self.pass_until is not None:
            fields["pass_until"] = dataclasses.asdict(self.pass_until)
        if self.start is not None:
            fields["start"] = self.start.digest
        if self.model is not None:
            fields["model"] = plain(self.model)
            if not is_own(type(self.model)):  # there is one kind
                del fields["model"]["kind"]
        code = code_of((self.task, self.model, self.optimizer, self.metrics))
        rules = ", ".join(map(str, fields.pop("stop_when")))
        others = {"stop_when": rules, "code": code, "files": digests(self.task)}
        return {**fields, **{name: value for name, value in others.items() if value}}

    def to_json(self) -> str:
        """The experiment as JSON; ``from_json`` gives back an equal one."""
        return as_json(self.to_dict())

    @classmethod
    def from_json(
        cls,
        text: str,
        tasks: Iterable[Any] = BUILT_IN,
        models: Iterable[type[Model]] = (),
        optimizers: Iterable[Any] = (),
        metrics: Iterable[OwnMetric] = (),
    ) -> Experiment:
        """Reads what ``to_json`` wrote.

        Args:
            text: JSON of one experiment.
            tasks: classes of tasks and objectives that it may name, yours included. What has functions among
                its fields, as the result of ``pair``, cannot be read from text: pass the instance.
            models: your own model classes.
            optimizers: your own classes of optimizers, and functions that make one or are its schedule.
            metrics: your own metrics.

        Raises:
            ValueError: a class is not among them, or a field is unknown or out of range.
        """
        fields = json.loads(text)
        for name in ("code", "files"):
            fields.pop(name, None)
        given = tuple(tasks)
        model = fields["model"]
        if model is not None:
            others = {kind.__name__: kind for kind in models}
            model = value_from(model, others, "model") if "kind" in model else built(Transformer, model)
        return cls(
            **{
                **fields,
                "task": task_from(fields["task"], given),
                "model": model,
                "optimizer": optimizer_from(fields["optimizer"], tuple(optimizers)),
                "pass_until": built(PassUntil, asked) if (asked := fields.get("pass_until")) else None,
                "metrics": metrics_from(fields.get("metrics", ()), tuple(metrics)),
                "stop_when": read_rules(fields.get("stop_when", "")),
                "start": Start(digest) if (digest := fields.get("start")) else None,
                "seeds": tuple(map(tuple, fields["seeds"])),
            }
        )


def log_spaced(steps: int, count: int) -> tuple[int, ...]:
    """``count`` steps from steps / 100 to ``steps``, evenly spaced in their logarithm, rounded."""
    if count == 1:
        return (steps,)
    first = math.log(max(steps / 100, 1.0))
    span = math.log(steps) - first
    return tuple(sorted({round(math.exp(first + span * i / (count - 1))) for i in range(count)}))
