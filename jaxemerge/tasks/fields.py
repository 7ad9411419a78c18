"""Are a task's fields in range? Checks that several tasks share, each with one clear line."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from jaxemerge.tasks.base import Task


def whole(task: Task, low: int, *names: str) -> None:
    """Refuses fields that are not whole numbers of at least ``low``.

    Raises:
        ValueError: naming the field, its value and what is allowed.
    """
    for name in names:
        value = getattr(task, name)
        if type(value) is not int or value < low:
            raise ValueError(f"{name}={value!r}: must be a whole number of at least {low}")


def one_of(task: Task, name: str, allowed: Iterable[str]) -> None:
    """Refuses a field that is none of some words.

    Raises:
        ValueError: naming the field, its value and what is allowed.
    """
    words = tuple(allowed)
    if getattr(task, name) not in words:
        raise ValueError(f"{name}={getattr(task, name)!r}: must be one of {', '.join(words)}")


def distinct(task: Task, name: str, low: int = 1, high: int | None = None) -> None:
    """Makes a field a tuple, and refuses all but different whole numbers of ``low`` to ``high``.

    Raises:
        ValueError: naming the field, its value and what is allowed.
    """
    values = tuple(getattr(task, name))
    object.__setattr__(task, name, values)
    if not values or len(set(values)) < len(values):
        raise ValueError(f"{name}={values}: give one or more different numbers")
    for value in values:
        if type(value) is not int or value < low or (high is not None and value > high):
            allowed = f"at least {low}" if high is None else f"{low} to {high}"
            raise ValueError(f"{name}: {value!r} is not a whole number of {allowed}")
