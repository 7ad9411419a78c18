"""A task from the user's own file or module, by the words of ``--task``."""

from __future__ import annotations

import importlib
import importlib.util
import sys
import traceback
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import ModuleType

from jaxemerge.runner.spec import Experiment
from jaxemerge.tasks import BUILT_IN, Task


def with_task(cells: Sequence[Experiment], where: str) -> list[Experiment]:
    """The cells with another task in its default form, and contexts that hold that task's examples.

    Args:
        cells: what is to be trained otherwise.
        where: ``path/to/file.py:CLASS``, ``module:CLASS`` or the name of a built-in task.

    Raises:
        ValueError: there is no such task, or it cannot be made; an error in the user's code is told with its
            file and line.
    """
    kind = task_class(where)
    try:
        task = kind()
        longest = task.max_length
    except ValueError as error:  # what the task says of its own fields
        raise ValueError(f"--task {where}: {error}") from error
    except Exception as error:
        raise ValueError(
            f"--task {where}: {located(error, sys.modules[kind.__module__].__file__)}"
        ) from error
    return [replace(cell, task=task, context=max(cell.context, longest)) for cell in cells]


def task_class(where: str) -> type[Task]:
    """The class that the words of ``--task`` name.

    Raises:
        ValueError: there is none.
    """
    place, colon, name = where.rpartition(":")
    if not colon:
        built_in = {kind.__name__: kind for kind in BUILT_IN}
        if where not in built_in:
            raise ValueError(
                f"--task {where}: write FILE.py:CLASS, MODULE:CLASS or one of {', '.join(built_in)}"
            )
        return built_in[where]
    module = from_file(where, Path(place)) if place.endswith(".py") else from_module(where, place)
    found = getattr(module, name, None)
    if not (isinstance(found, type) and issubclass(found, Task)):
        there = [key for key, each in vars(module).items() if is_own_task(each, module)]
        raise ValueError(
            f"--task {where}: {place} has no Task of this name: it has {', '.join(there) or 'none'}"
        )
    return found


def is_own_task(value: object, module: ModuleType) -> bool:
    """Whether a module defines this subclass of Task itself."""
    return isinstance(value, type) and issubclass(value, Task) and value.__module__ == module.__name__


def from_file(where: str, path: Path) -> ModuleType:
    """Runs a file as a module; what lies beside it can be imported by it, as where Python runs it itself."""
    if not path.is_file():
        raise ValueError(f"--task {where}: {path} is no file")
    name = f"custom_{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.path.insert(0, str(path.resolve().parent))
    sys.modules[name] = module  # dataclasses look up their module there
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        raise ValueError(f"--task {where}: {located(error, str(path))}") from error
    return module


def from_module(where: str, name: str) -> ModuleType:
    """Imports a module by its name, from the current folder too."""
    sys.path.insert(0, "")
    try:
        return importlib.import_module(name)
    except Exception as error:
        missing = isinstance(error, ModuleNotFoundError) and name.startswith(error.name or " ")
        reason = f"no module {name} here" if missing else located(error, None)
        raise ValueError(f"--task {where}: {reason}") from error


def located(error: Exception, path: str | None) -> str:
    """An error in words, with the line of the user's file in which it arose."""
    if isinstance(error, SyntaxError):
        return f"{error.filename}, line {error.lineno}: {type(error).__name__}: {error.msg}"
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if path and Path(frame.filename).resolve() == Path(path).resolve()]
    last = (own or frames)[-1]
    return f"{last.filename}, line {last.lineno}: {type(error).__name__}: {error}"
