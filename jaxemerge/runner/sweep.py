"""Which cells does a study have? Sweeps are lists of dicts, made and combined by plain functions.

sweep(base, {"model.depth": [1, 2, 4], "optimizer.learning_rate": [1e-3, 3e-3]})    # six cells
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
from jaxemerge.runner.stopping import StopRule, read_rules

Sweep = list[dict[str, Any]]


def sweep(
    base: Experiment, axes: Mapping[str, Iterable[Any]], *, zipped: bool = False
) -> tuple[Experiment, ...]:
    """Cells that differ in the fields that are named, the last one varying fastest.

    Args:
        base: what they have in common.
        axes: values by the dotted name of their field, such as ``optimizer.learning_rate``; or of a whole
            part, such as ``optimizer`` or ``task``.
        zipped: whether the first values of all fields make a cell, then the second ones, and so on; otherwise
            every combination makes one.

    Returns:
        The experiments; cells that are equal appear once.

    Raises:
        ValueError: a field is unknown, a value is out of range, or fields that are zipped have different
            numbers of values.
    """
    if not isinstance(base, Experiment) or not isinstance(axes, Mapping):
        given = f"{type(base).__name__} and {type(axes).__name__}"
        raise ValueError(f"sweep of {given}: give an Experiment, then a dict of lists of values by field")
    listed = {name: _several(name, values) for name, values in axes.items()}
    return cells(base, together(listed) if zipped else product(listed))


def _several(name: str, values: Any) -> list[Any]:
    if isinstance(values, str) or not isinstance(values, Iterable):
        raise ValueError(f"{name}={values!r}: give a list of values, as in {{{name!r}: [{values!r}]}}")
    return list(values)


def product(axes: Mapping[str, Iterable[Any]]) -> Sweep:
    """Every combination of the values of all fields."""
    return [dict(zip(axes, values, strict=True)) for values in itertools.product(*axes.values())]


def together(axes: Mapping[str, Sequence[Any]]) -> Sweep:
    """The first values of all fields, then the second ones, and so on.

    Raises:
        ValueError: fields have different numbers of values.
    """
    if len({len(values) for values in axes.values()}) > 1:
        counts = ", ".join(f"{name} has {len(values)}" for name, values in axes.items())
        raise ValueError(f"fields that are paired must have equally many values: {counts}")
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


def assigned(experiment: Experiment, assignments: Iterable[str], *, zipped: bool = False) -> list[Experiment]:
    """The cells that texts such as ``model.depth=6,8`` make of an experiment; see ``parse``.

    Args:
        experiment: what they change.
        assignments: fields of one value have it in every cell; the last assignment to a field counts.
        zipped: whether the first values of all fields of several values make a cell, then the second ones,
            and so on; otherwise every combination makes one.

    Raises:
        ValueError: as ``parse``; there is nothing to zip, or fields that are zipped
            have different numbers of values.
    """
    axes = _parsed(experiment, assignments)
    fixed = {name: values[0] for name, values in axes.items() if len(values) == 1}
    several = {name: values for name, values in axes.items() if len(values) > 1}
    if zipped and len(several) < 2:
        raise ValueError("--zip pairs the values of fields: give several to two fields or more, with --set")
    points = together(several) if zipped else product(several)
    return [override(experiment, {**fixed, **point}) for point in points]


def _parsed(experiment: Experiment, assignments: Iterable[str]) -> dict[str, tuple[Any, ...]]:
    """The values of all fields.

    Raises:
        ValueError: what is wrong with every text that cannot be read.
    """
    axes: dict[str, tuple[Any, ...]] = {}
    problems = []
    for text in assignments:
        try:
            name, values = parse(experiment, text)
            axes[name] = values
        except ValueError as error:
            problems.append(str(error))
    if problems:
        raise ValueError("; ".join(problems))
    return axes


def parse(experiment: Experiment, assignment: str) -> tuple[str, tuple[Any, ...]]:
    """Reads ``model.depth=6`` or ``model.depth=6,8`` into a name and values of the field's own type.

    Commas are part of the value of a field that holds several numbers: ``evaluations=3,5`` is one value.
    Brackets list values of any field: ``evaluations=[10,20]``, ``task.test_lengths=[(10,15),(20,30)]``. A
    comma within quotes is text.

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
    if owner is experiment and last == "metrics":
        raise ValueError("metrics: use --metrics FILE.py:NAME to add them")
    if owner is experiment and last in ("study", "family"):
        return name, (text,)  # they name cells, and make none
    kind = typing.get_type_hints(type(owner))[last]
    return name, tuple(converted(name, kind, part) for part in listed(name, kind, text))


def listed(name: str, kind: Any, text: str) -> list[str]:
    """The values of a field of some type that a text lists.

    Raises:
        ValueError: there is nothing between two commas.
    """
    inner = text.strip()
    if inner.startswith("[") and inner.endswith("]"):
        parts = _split(inner[1:-1])
    elif _holds_several(kind):
        return [text]
    else:
        parts = _split(text)
    if len(parts) > 1 and not all(part.strip() for part in parts):
        raise ValueError(f"{name}={text}: there is no value between two commas, or after the last")
    return [part.strip() for part in parts] if len(parts) > 1 else parts


def _split(text: str) -> list[str]:
    """Parts between commas that stand outside of brackets and quotes."""
    parts, depth, quote = [""], 0, ""
    for character in text:
        if quote:
            quote = "" if character == quote else quote
        elif character in "'\"":
            quote = character
        else:
            depth += (character in "([{") - (character in ")]}")
        if character == "," and not depth and not quote:
            parts.append("")
        else:
            parts[-1] += character
    return parts


def _holds_several(kind: Any) -> bool:
    return typing.get_origin(kind) is tuple or any(map(_holds_several, typing.get_args(kind)))


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
    if kind == tuple[StopRule, ...]:
        return read_rules(text)
    if typing.get_origin(kind) is Literal or kind is str:
        quoted = len(text) > 1 and text[0] == text[-1] and text[0] in "'\""
        return text[1:-1] if quoted else text
    try:
        value = ast.literal_eval(text)
    except (ValueError, SyntaxError):
        value = text
    allowed = typing.get_args(kind) or (kind,)
    if isinstance(value, float) and value.is_integer() and float not in allowed:
        value = int(value)  # 1e4 steps
    if float in allowed and type(value) is int:
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
