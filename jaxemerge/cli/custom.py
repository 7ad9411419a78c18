"""Tasks, objectives, models, optimizers and metrics of the user's own, as the command line names them."""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import itertools
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, is_dataclass, replace
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any

from jaxemerge.code import is_foreign
from jaxemerge.models import Model, flax_model, is_flax_module
from jaxemerge.models import model_contract as models
from jaxemerge.runner.experiment import Experiment
from jaxemerge.tasks import BUILT_IN, Task
from jaxemerge.tasks import task_contract as tasks
from jaxemerge.training import Objective, Optimizer
from jaxemerge.training import objective as objectives
from jaxemerge.training.optimizer import BUILT_IN_OPTIMIZERS


@dataclass(frozen=True)
class Option:
    """What an option of the command line may name.

    Attributes:
        flag: the option.
        where: what was given: ``path/to/file.py:NAME``, ``module:NAME`` or a built-in name.
        what: what is asked for, in words.
        built_in: by name.
        serves: whether a value, or what a class makes, is that.
    """

    flag: str
    where: str
    what: str
    built_in: Mapping[str, Any]
    serves: Callable[[Any], bool]

    def error(self, reason: str) -> ValueError:
        """The option with what is wrong about it."""
        return ValueError(f"{self.flag} {self.where}: {reason}")


def with_task(cells: Sequence[Experiment], where: str) -> list[Experiment]:
    """The cells with another task in its default form, and contexts that hold that task's examples.

    An objective takes the place of task and model.

    Args:
        cells: what is to be trained otherwise.
        where: ``path/to/file.py:NAME``, ``module:NAME`` or the name of a built-in task.

    Raises:
        ValueError: there is no such task, or it cannot be made; an error in the user's code is reported with
            its file and line.
    """
    built_in = {kind.__name__: kind for kind in BUILT_IN}
    option = Option("--task", where, "Task or Objective", built_in, lambda each: _is(each, Task, Objective))
    task = made(option)
    if _is(task, Objective):
        return [replace(cell, task=task, model=None) for cell in cells]
    longest = task.max_length
    return told(
        option,
        type(task),
        lambda: [replace(cell, task=task, context=max(cell.context, longest)) for cell in cells],
    )


def with_model(cells: Sequence[Experiment], where: str) -> list[Experiment]:
    """The cells with a model of the user's own: a Model or a Flax module, each a class or already made.

    Raises:
        ValueError: as in ``with_task``.
    """
    option = Option("--model", where, "Model or Flax module", {}, _is_model)
    model = made(option)
    return [replace(cell, model=model) for cell in cells]


def with_optimizer(cells: Sequence[Experiment], where: str) -> list[Experiment]:
    """The cells with another optimizer: a built-in one, the user's class or object, or an optax function.

    Raises:
        ValueError: as in ``with_task``.
    """
    built_in = {kind.__name__: kind for kind in BUILT_IN_OPTIMIZERS}
    option = Option("--optimizer", where, "optimizer or function of the steps", built_in, _is_optimizer)
    optimizer = made(option)
    try:
        return [replace(cell, optimizer=optimizer) for cell in cells]
    except ValueError as error:
        raise option.error(str(error)) from error


def with_metrics(cells: Sequence[Experiment], places: Sequence[str]) -> list[Experiment]:
    """The cells with further metrics of the user's own: functions, or callable records.

    Args:
        cells: what is to be scored by them, too.
        places: ``path/to/file.py:NAME`` or ``module:NAME`` of each metric.

    Raises:
        ValueError: as in ``with_task``.
    """
    for where in places:
        option = Option("--metrics", where, "function or callable record", {}, _is_metric)
        metric = made(option)
        try:
            cells = [replace(cell, metrics=(*cell.metrics, metric)) for cell in cells]
        except ValueError as error:
            raise option.error(str(error)) from error
    return list(cells)


def _is_metric(value: Any) -> bool:
    kind = value if isinstance(value, type) else type(value)
    record = is_dataclass(kind) and "__call__" in dir(kind)
    return isinstance(value, FunctionType) or (record and not _is_model(value))


def _is_optimizer(value: Any) -> bool:
    return _is(value, Optimizer) or isinstance(value, FunctionType)


def _is_model(value: Any) -> bool:
    return _is(value, Model) or is_flax_module(value)


def _is(value: Any, *kinds: type) -> bool:
    """Whether a value is of one of these kinds, or a class of them."""
    return not {*kinds}.isdisjoint((value if isinstance(value, type) else type(value)).__mro__)


def made(option: Option) -> Any:
    """What an option names; of classes one with all fields at their defaults.

    Raises:
        ValueError: there is none, or it cannot be made.
    """
    found = named(option)
    if isinstance(found, type):
        kind = told(option, found, lambda: flax_model(found)) if is_flax_module(found) else found
        found = told(option, found, kind)
    for problem in declaration_problems(found):
        raise option.error(problem)
    return found


def declaration_problems(found: Any) -> Iterator[str]:
    """What is wrong with a task, objective or model before anything is asked of it."""
    if _is_optimizer(found) or _is_metric(found):
        return iter(())
    if _is(found, Task):
        return tasks.declaration_problems(found)
    if _is(found, Objective):
        return objectives.declaration_problems(found)
    return models.declaration_problems(found)


def told(option: Option, kind: type, make: Callable[[], Any]) -> Any:
    """What the user's code returns.

    Raises:
        ValueError: it fails; where the error is not a ValueError its line is named.
    """
    try:
        return make()
    except ValueError as error:  # what a task says of its own fields
        raise option.error(str(error)) from error
    except Exception as error:
        raise option.error(located(error, sys.modules[kind.__module__].__file__)) from error


def named(option: Option) -> Any:
    """The class or value that the words of an option name.

    Raises:
        ValueError: there is none.
    """
    place, colon, name = option.where.rpartition(":")
    if not colon:
        if option.where not in option.built_in:
            others = f" or one of {', '.join(option.built_in)}" if option.built_in else ""
            forms = "FILE.py:NAME, MODULE:NAME" if others else "FILE.py:NAME or MODULE:NAME"
            raise option.error(f"write {forms}{others}")
        return option.built_in[option.where]
    module = from_file(option, Path(place)) if place.endswith(".py") else from_module(option, place)
    found = getattr(module, name, None)
    if found is None or not option.serves(found):
        there = [key for key, each in vars(module).items() if is_own(option, each, module)]
        raise option.error(f"{place} has no {option.what} of this name: it has {', '.join(there) or 'none'}")
    return found


def is_own(option: Option, value: Any, module: ModuleType) -> bool:
    """Whether a module defines this class or value itself."""
    kind = value if isinstance(value, type | FunctionType) else type(value)
    return option.serves(value) and kind.__module__ == module.__name__


def from_file(option: Option, path: Path) -> ModuleType:
    """Runs a file as a module, once; it can import files next to it, with and without a dot."""
    if not path.is_file():
        raise option.error(f"{path} is no file")
    name, source = _module_name(path), path.read_bytes()
    there = sys.modules.get(name)
    if there is not None and there.__spec__ is not None and there.__spec__.loader_state == source:
        return there
    folder = str(path.resolve().parent)
    spec = importlib.util.spec_from_file_location(name, path, submodule_search_locations=[folder])
    assert spec is not None
    assert spec.loader is not None
    spec.loader_state = source
    module = importlib.util.module_from_spec(spec)
    sys.path.insert(0, folder)
    sys.modules[name] = module  # dataclasses look up their module there
    try:
        with contextlib.chdir(Path.cwd()):  # relative paths mean the same whatever the file does
            spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        del sys.modules[name]
        raise option.error(located(error, str(path))) from error
    return module


def _module_name(path: Path) -> str:
    """Of a file as a module; numbered where another file of this name has been run."""
    first = f"custom_{path.stem}"
    names = itertools.chain([first], (f"{first}_{number}" for number in itertools.count(2)))
    return next(name for name in names if _is_free(name, path))


def _is_free(name: str, path: Path) -> bool:
    """Whether no module has this name, or one that was made from this very file."""
    there = sys.modules.get(name)
    return there is None or Path(str(there.__file__)).resolve() == path.resolve()


def from_module(option: Option, name: str) -> ModuleType:
    """Imports a module by its name, from the current folder too."""
    sys.path.insert(0, "")
    try:
        return importlib.import_module(name)
    except (Exception, SystemExit) as error:
        missing = isinstance(error, ModuleNotFoundError) and name.startswith(error.name or " ")
        reason = f"no module {name} here" if missing else located(error, None)
        raise option.error(reason) from error


def located(error: BaseException, path: str | None) -> str:
    """An error in words, with the line in which it arose, of the user's file or of one next to it."""
    if isinstance(error, SyntaxError):
        line = f", line {error.lineno}" if error.lineno else ""  # none in what is not text
        return f"{error.filename or path}{line}: {type(error).__name__}: {error.msg}"
    reason = f"{type(error).__name__}: {' '.join(str(error).split())}"
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if path and is_beside(Path(frame.filename), Path(path))]
    last = (own or frames)[-1]
    if last.filename == __file__:  # it was called with what it does not take
        return f"{reason}; give it defaults, or name a value that is made" if "missing" in reason else reason
    return f"{last.filename}, line {last.lineno}: {reason}"


def is_beside(file: Path, path: Path) -> bool:
    """Whether a file is the user's, or in the same folder or one below, and none that is installed."""
    folder, file = path.resolve().parent, file.resolve()
    return file == path.resolve() or (file.is_file() and file.is_relative_to(folder) and not is_foreign(file))
