"""How are the parts of an experiment written as JSON and read back? Classes and functions by their names."""

from __future__ import annotations

import dataclasses
import functools
import json
import numbers
import typing
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, cast

from jaxemerge.code import is_own, name_of
from jaxemerge.models import Model
from jaxemerge.models.modules import construction
from jaxemerge.tasks import Task
from jaxemerge.training.objective import Pair
from jaxemerge.training.optimizer import BUILT_IN_OPTIMIZERS, AdamW, Optimizer
from jaxemerge.training.own_optimizer import Optax
from jaxemerge.training.schedules import SCHEDULES


def plain(value: Any) -> Any:
    """A part of an experiment, or one of its fields, as plain values; functions by their names."""
    if dataclasses.is_dataclass(value):
        fields = {field.name: plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
        return {"kind": type(value).__name__, **fields}
    if isinstance(value, tuple):
        return tuple(map(plain, value))
    return value.__qualname__ if callable(value) else value


def check_order(task: Any, model: Any) -> None:
    """Tells a model that was given as the task, or a task as the model.

    Raises:
        ValueError: they are swapped, or the task is neither a Task nor an Objective.
    """
    if isinstance(task, Model) or isinstance(model, Task):
        names = f"task={type(task).__name__} and model={type(model).__name__}"
        raise ValueError(f"{names} are swapped: the task comes first, as in Experiment(task, model)")
    if not isinstance(task, type) and not hasattr(task, "name"):
        raise ValueError(f"task={task!r}: must be a Task or an Objective")


def several(name: str, given: Any) -> tuple[Any, ...]:
    """One function, or several, as a tuple.

    Raises:
        ValueError: something else is given.
    """
    if callable(given):
        return (given,)
    if isinstance(given, str) or not isinstance(given, Iterable):
        raise ValueError(f"{name}={given!r}: must be a function, or a list of functions")
    return tuple(given)


def checked_part(value: Any) -> Any:
    """A task, model or optimizer with its numbers in the types of their fields; see ``own_numbers``.

    Raises:
        ValueError: it is a class, or a field of whole numbers holds something else.
    """
    if isinstance(value, type):
        raise ValueError(
            f"{value.__name__} is a class: give one that is made of it, as {construction(value)}"
        )
    changed = own_numbers(value)
    return dataclasses.replace(value, **changed) if changed else value


def own_numbers(value: Any) -> dict[str, int | float]:
    """Fields of a record of the library whose numbers have another type, in their own.

    ``steps=1e3`` is 1000 and ``clip=1`` is 1.0, so that one experiment has one id however it is written.

    Raises:
        ValueError: a field of whole numbers holds something else.
    """
    kind: Any = type(value)
    if not dataclasses.is_dataclass(value) or is_own(kind):
        return {}
    given = {name: getattr(value, name) for name in _kinds(kind)}
    found = {name: _number(name, number, _kinds(kind)[name]) for name, number in given.items()}
    return {name: number for name, number in found.items() if type(number) is not type(given[name])}


@functools.cache
def _kinds(kind: Any) -> dict[str, tuple[Any, ...]]:
    """Fields of a dataclass that hold numbers, and the types that each allows."""
    allowed = {name: typing.get_args(hint) or (hint,) for name, hint in typing.get_type_hints(kind).items()}
    names = [each.name for each in dataclasses.fields(kind)]
    return {name: allowed[name] for name in names if any(kind in allowed[name] for kind in (int, float))}


def _number(name: str, value: Any, allowed: tuple[Any, ...]) -> Any:
    number = isinstance(value, numbers.Real) and not isinstance(value, bool)
    if number and float in allowed:
        return float(value)
    if number and isinstance(value, numbers.Integral):
        return int(value)
    if number and float(value).is_integer():
        return int(float(value))
    if number or allowed == (int,):
        raise ValueError(f"{name}={value!r}: must be a whole number")
    return value


def task_from(saved: dict[str, Any], given: Sequence[Any]) -> Any:
    """A task or objective: a given instance, or an instance of a given class.

    Raises:
        ValueError: it is of another class, was made of functions, or has an unknown field.
    """
    for one in given:
        if not isinstance(one, type) and json.loads(as_json(plain(one))) == saved:
            return one
    if saved["kind"] == Pair.__name__:
        raise ValueError(
            f"objective {saved['called']!r} was made of functions, which are not saved: "
            f"give the same again: tasks=[{pair_call(saved)}]"
        )
    return value_from(saved, {kind.__name__: kind for kind in given if isinstance(kind, type)})


def optimizer_from(saved: dict[str, Any], given: Sequence[Any]) -> Optimizer:
    """An optimizer: a built-in one, or of given classes and functions.

    Raises:
        ValueError: it names another class or function, or an unknown field.
    """
    kinds: dict[str, type[Any]] = {kind.__name__: kind for kind in (*BUILT_IN_OPTIMIZERS, Optax)}
    kinds |= {name_of(each).rpartition(".")[2]: each for each in given if isinstance(each, type)}
    functions = {name_of(each): each for each in given if not isinstance(each, type)}
    fields = {"kind": AdamW.__name__, **saved}
    for name in ("make", "schedule"):
        wanted = fields.get(name)
        if isinstance(wanted, str) and wanted not in SCHEDULES:
            if wanted not in functions:
                raise ValueError(
                    f"optimizer: function {wanted!r} is not saved with results: give optimizers=[{wanted}]"
                )
            fields[name] = functions[wanted]
    return cast(Optimizer, value_from(fields, kinds, "optimizer"))


def metrics_from(saved: Sequence[Any], given: Sequence[Any]) -> tuple[Any, ...]:
    """Own metrics: those that are given, in the order in which they were saved.

    Raises:
        ValueError: one is not given.
    """
    known = {as_json({"": plain(each)}): each for each in given}
    found = []
    for each in saved:
        if (key := as_json({"": each})) not in known:
            name = each if isinstance(each, str) else each["kind"]
            raise ValueError(f"metrics: {name!r} is not saved with results: give metrics=[{name}]")
        found.append(known[key])
    return tuple(found)


def pair_call(saved: Mapping[str, Any]) -> str:
    """The call of ``pair`` that made a saved objective."""
    names = ", ".join(name.rpartition(".")[2] for name in saved["functions"] if name)
    return f"pair({names}, name={saved['called']!r})"


def value_from(saved: Any, kinds: Mapping[str, type[Any]], what: str = "task") -> Any:
    """The value that ``plain`` wrote.

    Raises:
        ValueError: it is of another class, or has an unknown field.
    """
    if isinstance(saved, list):
        return tuple(value_from(each, kinds, what) for each in saved)
    if not isinstance(saved, dict):
        return saved
    name = saved["kind"]
    if name not in kinds:
        raise ValueError(f"{what} {name!r} is unknown: must be one of {', '.join(sorted(kinds)) or 'none'}")
    return built(kinds[name], {k: value_from(v, kinds, what) for k, v in saved.items() if k != "kind"})


def built(kind: type[Any], fields: Mapping[str, Any]) -> Any:
    """An instance of a dataclass.

    Raises:
        ValueError: a field is unknown or out of range.
    """
    known = {each.name for each in dataclasses.fields(kind)}
    for name in fields:
        if name not in known:
            raise ValueError(
                f"{kind.__name__} has no field {name!r}: must be one of {', '.join(sorted(known))}"
            )
    return kind(**fields)


def as_json(fields: Mapping[str, Any]) -> str:
    """JSON in one form: sorted keys, finite numbers."""
    return json.dumps(fields, sort_keys=True, allow_nan=False)
