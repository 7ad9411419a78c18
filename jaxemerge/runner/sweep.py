"""Which cells does a study have? Sweeps are lists of dicts, made and combined by plain functions.

cells(base, product({"model.depth": [1, 2, 4], "optimizer.learning_rate": [1e-3, 3e-3]}))
"""

from __future__ import annotations

import ast
import dataclasses
import difflib
import itertools
import typing
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

from jaxemerge.runner.experiment import Experiment

Sweep = list[dict[str, Any]]


def product(axes: Mapping[str, Iterable[Any]]) -> Sweep:
    """Every combination of the values of all fields."""
    return [dict(zip(axes, values, strict=True)) for values in itertools.product(*axes.values())]


def together(axes: Mapping[str, Iterable[Any]]) -> Sweep:
    """The first values of all fields, then the second ones, and so on.

    Raises:
        ValueError: fields have different numbers of values.
    """
    return [dict(zip(axes, values, strict=True)) for values in zip(*axes.values(), strict=True)]


def chain(*sweeps: Sweep) -> Sweep:
    """One sweep after the other."""
    return [dict(point) for sweep in sweeps for point in sweep]


def cells(base: Experiment, sweep: Sweep) -> tuple[Experiment, ...]:
    """The base experiment with each point of a sweep applied; equal cells once."""
    return distinct(override(base, point) for point in sweep)


def distinct(experiments: Iterable[Experiment]) -> tuple[Experiment, ...]:
    """Experiments in their order, those that are the same cell once."""
    return tuple({experiment.cell: experiment for experiment in experiments}.values())


def override(experiment: Experiment, changes: Mapping[str, Any]) -> Experiment:
    """Replaces fields by their dotted names (``model.depth``), all at once.

    Raises:
        ValueError: a field is unknown or its value out of range.
    """
    return typing.cast(Experiment, _replaced(experiment, changes, prefix=""))


def parse(experiment: Experiment, assignment: str) -> tuple[str, Any]:
    """Reads ``model.depth=6`` into a name and a value of the field's own type.

    Raises:
        ValueError: no ``=``, an unknown field, or a value of another type.
    """
    name, equals, text = assignment.partition("=")
    if not equals:
        raise ValueError(f"{assignment!r}: write FIELD=VALUE, for example model.depth=6")
    if experiment.model is None and name in ("batch", "context"):
        raise ValueError(f"{name}: {experiment.task.name} is an objective, which draws its own data")
    owner: Any = experiment
    *path, last = name.split(".")
    for i, part in enumerate(path):
        _check_field(owner, part, ".".join(path[:i]))
        owner = getattr(owner, part)
    _check_field(owner, last, ".".join(path))
    if dataclasses.is_dataclass(getattr(owner, last)):
        raise ValueError(f"{name} is a group of fields: name one of {_allowed(getattr(owner, last), name)}")
    if owner is experiment and last == "seeds":
        raise ValueError("seeds: use --seeds to choose them")
    return name, converted(name, typing.get_type_hints(type(owner))[last], text)


def _replaced(owner: Any, changes: Mapping[str, Any], prefix: str) -> Any:
    groups: dict[str, dict[str, Any]] = {}
    values: dict[str, Any] = {}
    for name, value in changes.items():
        head, _, tail = name.partition(".")
        _check_field(owner, head, prefix)
        if tail:
            groups.setdefault(head, {})[tail] = value
        else:
            values[head] = value
    for head, group in groups.items():
        values[head] = _replaced(getattr(owner, head), group, f"{prefix}.{head}".strip("."))
    return dataclasses.replace(owner, **values)


def _check_field(owner: Any, name: str, prefix: str) -> None:
    full = f"{prefix}.{name}".strip(".")
    if not dataclasses.is_dataclass(owner):
        raise ValueError(f"unknown field {full}: {prefix} is a plain value, it has no fields")
    names = [field.name for field in dataclasses.fields(owner)]
    if name not in names:
        close = [f"{prefix}.{each}".strip(".") for each in difflib.get_close_matches(name, names, n=1)]
        hint = f"; did you mean {close[0]}?" if close else ""
        raise ValueError(f"unknown field {full}: must be one of {_allowed(owner, prefix)}{hint}")


def _allowed(owner: Any, prefix: str) -> str:
    return ", ".join(f"{prefix}.{field.name}".strip(".") for field in dataclasses.fields(owner))


def converted(name: str, kind: Any, text: str) -> Any:
    """Text as a value of a field's annotated type.

    Raises:
        ValueError: it is a value of another type.
    """
    if typing.get_origin(kind) is Literal or kind is str:
        return text
    try:
        value = ast.literal_eval(text)
    except (ValueError, SyntaxError):
        value = text
    if isinstance(value, float) and value.is_integer() and kind is not float:
        value = int(value)  # 1e4 steps
    if kind is float and type(value) is int:
        value = float(value)
    if kind == tuple[float, ...] and isinstance(value, tuple):
        value = tuple(float(each) if type(each) is int else each for each in value)
    if not _fits(value, kind) and str in typing.get_args(kind):
        value = text  # a path such as 2024
    if not _fits(value, kind):
        raise ValueError(f"{name}={text}: must be {_described(kind)}")
    return value


def _fits(value: Any, kind: Any) -> bool:
    options = typing.get_args(kind) if typing.get_origin(kind) is not tuple else ()
    if options:
        return any(_fits(value, option) for option in options)
    if typing.get_origin(kind) is tuple:
        return isinstance(value, tuple) and all(type(v) is typing.get_args(kind)[0] for v in value)
    return type(value) is kind


def _described(kind: Any) -> str:
    words = {int: "a whole number", float: "a number", bool: "True or False"}
    if kind == tuple[int, ...]:
        return "whole numbers with commas between them, as in 10,20,"
    if kind == tuple[float, ...]:
        return "numbers with commas between them, as in 1,2.5,"
    if typing.get_origin(kind) is tuple:
        return "given in a study: it cannot be written on the command line"
    parts = typing.get_args(kind)
    if not parts and kind not in words:
        return "None" if kind is type(None) else "given in a study"
    return " or ".join(_described(part) for part in parts) or words[kind]


def varied_fields(experiments: Sequence[Experiment]) -> list[str]:
    """Dotted names of the fields in which experiments differ, labels and seeds aside."""
    flat = [flat_fields(experiment) for experiment in experiments]
    names = dict.fromkeys(name for fields in flat for name in fields)
    return [name for name in names if len({repr(fields.get(name)) for fields in flat}) > 1]


def flat_fields(experiment: Experiment) -> dict[str, Any]:
    """All fields by their dotted names, labels and seeds aside."""
    fields = experiment.to_dict()
    others = ("seeds", "study", "family", "code", "files")
    return _flat({name: value for name, value in fields.items() if name not in others})


def _flat(fields: Mapping[str, Any]) -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in fields.items():
        tasks = isinstance(value, tuple) and any(isinstance(each, dict) for each in value)
        nested = dict(enumerate(value)) if tasks else value
        if isinstance(nested, dict):
            flat.update(_flat({f"{name}.{key}": inner for key, inner in nested.items()}))
        else:
            flat[name] = value
    return flat
