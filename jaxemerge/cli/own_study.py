"""What does a study in the user's own file ask for?

cells()               the experiments; ``cells(quick)`` is told whether --quick was given
findings(results)     optional: lines of text from the frame of results, printed and in the report
figure(results)       optional: an Altair chart, the first of the report
THRESHOLD             optional: the score that counts as a success
"""

from __future__ import annotations

import dataclasses
import functools
import inspect
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from jaxemerge.cli.custom import Option, from_file, located
from jaxemerge.code import digests
from jaxemerge.runner.experiment import Experiment

_UNNAMED = Experiment.__dataclass_fields__["study"].default


@dataclass(frozen=True)
class Line:
    """A finding: the line that states it, of which a report shows name and numbers."""

    line: str

    @property
    def name(self) -> str:
        """What was found."""
        return self.line.partition(": ")[0]

    @property
    def numbers(self) -> str:
        """The rest of the line."""
        return self.line.partition(": ")[2]


@dataclass(frozen=True)
class OwnStudy:
    """A study in a file of the user's own.

    Attributes:
        path: the file.
        module: the file, run.
    """

    path: Path
    module: ModuleType

    @property
    def code(self) -> dict[str, str]:
        """Names and digests of the file and of those beside it that it imports."""
        return dict(digests(self.module.cells))

    @property
    def THRESHOLD(self) -> float | None:
        """The score that counts as a success; None where the file does not say."""
        return getattr(self.module, "THRESHOLD", None)

    def cells(self, quick: bool = False) -> list[Experiment]:
        """The experiments, with the file's name as that of their study where they have none.

        Raises:
            ValueError: the file's code fails, or returns something else.
        """
        takes = inspect.signature(self.module.cells).parameters
        made = self._called(self.module.cells, **({"quick": quick} if "quick" in takes else {}))
        found = list(made) if isinstance(made, (list, tuple, Iterator)) else made
        if not isinstance(found, list) or not found or not all(isinstance(e, Experiment) for e in found):
            shown = type(made).__name__ if not isinstance(found, list) else repr(found)[:60]
            raise _error(self.path, f"cells() returned {shown}: return a list of Experiments")
        name = self.path.stem
        return [dataclasses.replace(one, study=name) if one.study == _UNNAMED else one for one in found]

    def findings(self, results: Any) -> list[Line]:
        """What the file finds in a frame of results; nothing where it does not ask.

        Raises:
            ValueError: the file's code fails.
        """
        if not hasattr(self.module, "findings"):
            return []
        found = self._called(self.module.findings, results)
        return [Line(str(getattr(each, "line", each))) for each in found or ()]

    def figure(self, results: Any) -> Any:
        """The file's chart of a frame of results, or None if it has no `figure`.

        Raises:
            ValueError: the file's code fails.
        """
        return self._called(self.module.figure, results) if hasattr(self.module, "figure") else None

    def _called(self, function: Callable[..., Any], *given: Any, **named: Any) -> Any:
        try:
            made = function(*given, **named)
            return list(made) if isinstance(made, Iterator) else made
        except Exception as error:  # whatever the author's code raises
            raise _error(self.path, located(error, str(self.path))) from error


class WithFile(Mapping[str, Any]):
    """Studies by name, and one from a file, which is run when it is looked up."""

    def __init__(self, others: Mapping[str, Any], path: Path) -> None:
        """Nothing is run yet."""
        self._others, self._path = others, path

    def __getitem__(self, name: str) -> Any:
        return study_in(self._path) if name == self._path.stem else self._others[name]

    def __iter__(self) -> Iterator[str]:
        return iter({self._path.stem: None, **dict.fromkeys(self._others)})

    def __len__(self) -> int:
        return len({self._path.stem, *self._others})

    def __contains__(self, name: object) -> bool:
        return name == self._path.stem or name in self._others


@functools.cache
def study_in(path: Path) -> OwnStudy:
    """The study in a file.

    Raises:
        ValueError: there is no such file, it fails, or it has no function ``cells``.
    """
    module = from_file(Option("study", str(path), "study", {}, lambda value: False), path)
    if not callable(getattr(module, "cells", None)):
        raise _error(path, "has no function cells(), which returns the study's experiments")
    return OwnStudy(path, module)


def _error(path: Path, reason: str) -> ValueError:
    return ValueError(f"study {path}: {reason}")
