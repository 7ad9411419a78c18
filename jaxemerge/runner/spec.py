"""What is an experiment? Everything that decides its numbers, in one frozen, JSON-serialisable record."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
import re
import typing
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from jaxemerge.evaluation import PassUntil
from jaxemerge.models import Transformer
from jaxemerge.tasks import BUILT_IN, Task
from jaxemerge.training import AdamW, Members, Seed, check_seeds, members, paired

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.+-]*")  # a task's name is part of the name of a folder
_LABELS = ("study", "family", "seeds")  # name a run without changing what a seed of it does


@dataclass(frozen=True)
class Experiment:
    """One model on one task, trained from many seeds; a *cell* of a study when seeds are set aside.

    Attributes:
        task: what is learnt.
        model: what learns.
        optimizer: how it learns.
        steps: training steps.
        batch: context windows per step and seed.
        context: tokens per window; must hold the task's longest example.
        seeds: (init_seed, data_seed) of each member; see ``paired`` and ``crossed``.
        evaluations: steps at which every seed is scored. An integer asks for so many, spaced evenly
            in log(step) over the last 99 % of training. Step 0 and the last are always among them.
        pass_until: which items are sampled at the end of training until they pass; None for none.
        study: name of the study this belongs to.
        family: name of the scale family, where there are several.

    Raises:
        ValueError: a field is out of range; the message says its value and what is allowed.
    """

    task: Task
    model: Transformer
    optimizer: AdamW = field(default_factory=AdamW)
    steps: int = 1_000
    batch: int = 32
    context: int = 64
    seeds: tuple[Seed, ...] = paired(range(16))
    evaluations: int | tuple[int, ...] = 20
    pass_until: PassUntil | None = None
    study: str = "untitled"
    family: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "seeds", tuple((int(i), int(d)) for i, d in self.seeds))
        if not isinstance(self.evaluations, int):
            object.__setattr__(self, "evaluations", tuple(int(e) for e in self.evaluations))
        for name in ("steps", "batch"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name}={getattr(self, name)}: must be at least 1")
        check_seeds(self.seeds)
        if not _NAME.fullmatch(self.task.name):
            raise ValueError(
                f"task name {self.task.name!r}: must be letters, digits, or any of _.+- but for the first"
            )
        if self.context < self.task.max_length:
            raise ValueError(
                f"context={self.context} is shorter than the longest example of {self.task.name}: "
                f"it must be at least {self.task.max_length} tokens"
            )
        self._check_evaluations()
        if self.pass_until is not None:
            self.pass_until.chosen(self.task.evaluation_sets())

    def _check_evaluations(self) -> None:
        if isinstance(self.evaluations, int):
            if self.evaluations < 1:
                raise ValueError(f"evaluations={self.evaluations}: must be at least 1, or a list of steps")
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
    def members(self) -> Members:
        """The seeds with this experiment's hyperparameters, as arrays."""
        return self.members_of(self.seeds)

    def members_of(self, seeds: Iterable[Seed]) -> Members:
        """Any seeds with this experiment's hyperparameters."""
        own = self.optimizer
        return members(seeds, own.learning_rate, own.weight_decay, self.steps * own.horizon)

    @property
    def cell(self) -> str:
        """Stable, readable id of this experiment without its seeds and labels."""
        fields = {k: v for k, v in self.to_dict().items() if k not in _LABELS}
        if self.optimizer.horizon == 1:  # ids are those from before there was a choice
            fields["optimizer"] = {k: v for k, v in fields["optimizer"].items() if k != "horizon"}
        if self.pass_until is None:
            del fields["pass_until"]
        digest = hashlib.sha256(_canonical(fields).encode()).hexdigest()[:8]
        return f"{self.task.name}-depth{self.model.depth}-width{self.model.width}-{digest}"

    def with_seeds(self, seeds: Iterable[Seed]) -> Experiment:
        """The same cell with other seeds."""
        return dataclasses.replace(self, seeds=tuple(seeds))

    def to_dict(self) -> dict[str, Any]:
        """Plain nested dict; the task, and tasks within it, carry their class name as ``kind``."""
        return {**dataclasses.asdict(self), "task": _task_fields(self.task)}

    def to_json(self) -> str:
        """The experiment as JSON; ``from_json`` gives back an equal one."""
        return _canonical(self.to_dict())

    @classmethod
    def from_json(cls, text: str, tasks: Iterable[type[Task]] = BUILT_IN) -> Experiment:
        """Reads what ``to_json`` wrote.

        Args:
            text: JSON of one experiment.
            tasks: task classes it may name; give your own here.

        Raises:
            ValueError: the task's class is not among ``tasks``, or a field is unknown or out of range.
        """
        fields = json.loads(text)
        kinds = {kind.__name__: kind for kind in tasks}
        return cls(
            **{
                **fields,
                "task": _value(fields["task"], kinds),
                "model": _build(Transformer, fields["model"]),
                "optimizer": _build(AdamW, fields["optimizer"]),
                "pass_until": _build(PassUntil, asked) if (asked := fields.get("pass_until")) else None,
                "seeds": tuple(map(tuple, fields["seeds"])),
            }
        )


def _task_fields(value: Any) -> Any:
    """A field of a task, or a task, as plain values."""
    if isinstance(value, Task):
        fields = {f.name: getattr(value, f.name) for f in dataclasses.fields(typing.cast(Any, value))}
        return {"kind": type(value).__name__, **{name: _task_fields(each) for name, each in fields.items()}}
    return tuple(map(_task_fields, value)) if isinstance(value, tuple) else value


def _value(plain: Any, kinds: Mapping[str, type[Task]]) -> Any:
    """What ``_task_fields`` made plain."""
    if isinstance(plain, list):
        return tuple(_value(each, kinds) for each in plain)
    if not isinstance(plain, dict):
        return plain
    name = plain["kind"]
    if name not in kinds:
        raise ValueError(f"task {name!r} is unknown: must be one of {', '.join(sorted(kinds))}")
    return _build(kinds[name], {k: _value(v, kinds) for k, v in plain.items() if k != "kind"})


def _build(kind: type[Any], fields: Mapping[str, Any]) -> Any:
    known = {each.name for each in dataclasses.fields(kind)}
    for name in fields:
        if name not in known:
            raise ValueError(
                f"{kind.__name__} has no field {name!r}: must be one of {', '.join(sorted(known))}"
            )
    return kind(**fields)


def _canonical(fields: Mapping[str, Any]) -> str:
    return json.dumps(fields, sort_keys=True, allow_nan=False)


def log_spaced(steps: int, count: int) -> tuple[int, ...]:
    """``count`` steps from steps / 100 to ``steps``, evenly spaced in their logarithm, rounded."""
    if count == 1:
        return (steps,)
    first = math.log(max(steps / 100, 1.0))
    span = math.log(steps) - first
    return tuple(sorted({round(math.exp(first + span * i / (count - 1))) for i in range(count)}))
