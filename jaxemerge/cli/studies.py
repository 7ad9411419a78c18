"""Which studies does the program know? They are given to it by name, and imported when one is used."""

from __future__ import annotations

import ast
import importlib
import importlib.util
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from jaxemerge.cli.parser import suggestion
from jaxemerge.runner.records import Records

ELSEWHERE = (
    "no studies here: name a file of your own with cells(), as in jaxemerge run my_study.py; those of the "
    "repository are in experiments/studies, and python experiments/run.py is this program with them"
)


class StudyModules(Mapping[str, Any]):
    """Studies that are modules of a package: name -> module, imported at the first look."""

    def __init__(self, package: str, names: Sequence[str]) -> None:
        """Nothing is imported yet.

        Args:
            package: full name of the package.
            names: of its modules that are studies, the default one first.
        """
        self._package, self._names = package, tuple(names)

    def __getitem__(self, name: str) -> Any:
        if name not in self._names:
            raise KeyError(name)
        return importlib.import_module(f"{self._package}.{name}")

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)

    def __contains__(self, name: object) -> bool:
        return name in self._names

    def header(self, name: str) -> str:
        """The study's docstring, read without importing it."""
        found = importlib.util.find_spec(f"{self._package}.{name}")
        assert found is not None
        assert found.origin is not None
        return ast.get_docstring(ast.parse(Path(found.origin).read_text(encoding="utf-8"))) or ""


def studies_beside(file: str) -> Mapping[str, Any]:
    """The studies of the package ``studies`` in the folder of ``file``, wherever Python looks for modules.

    Studies import each other by name: the folder is put on Python's path, where ``python -P`` leaves it out.
    """
    folder = str(Path(file).resolve().parent)
    if folder not in sys.path:
        sys.path.insert(0, folder)
    return importlib.import_module("studies").STUDIES


@dataclass(frozen=True)
class Front:
    """A program in front of the commands.

    Attributes:
        studies: by name; the first is the default. A study is a module, or anything with ``cells(quick)``
            and, where it has them, ``THRESHOLD``, ``findings``, ``kept`` and ``SAMPLES``; or an ``OwnStudy``.
        file: the program's own file; None for ``python -m jaxemerge`` and the console script.
    """

    studies: Mapping[str, Any] = field(default_factory=dict)
    file: str | None = None

    @property
    def name(self) -> str:
        """How a person starts the program."""
        if self.file is None:
            return "jaxemerge"
        return f"python {min(self.file, os.path.relpath(self.file), key=len)}"

    @property
    def command(self) -> list[str]:
        """How another process starts it."""
        return [sys.executable, *(["-m", "jaxemerge"] if self.file is None else [os.path.abspath(self.file)])]

    @property
    def default(self) -> str:
        """The study that is meant where none is named.

        Raises:
            ValueError: there are no studies.
        """
        if not self.studies:
            raise ValueError(ELSEWHERE)
        return next(iter(self.studies))

    def check(self, name: str) -> None:
        """Rejects the name of no study.

        Raises:
            ValueError: naming the studies that there are.
        """
        if not self.studies:
            raise ValueError(ELSEWHERE)
        if name not in self.studies:
            known = f": must be one of {', '.join(self.studies)}"
            raise ValueError(f"unknown study {name!r}{suggestion(name, self.studies) or known}")

    def headline(self, name: str) -> str:
        """The first line of a study's header."""
        if isinstance(self.studies, StudyModules):
            return self.studies.header(name).partition("\n")[0]
        return (self.studies[name].__doc__ or "").partition("\n")[0]

    def threshold(self, study: str, chance: float = 0.0) -> float:
        """The score that counts as a success: that of the study, if it is one of these, else by chance.

        Args:
            study: its name.
            chance: what guessing scores in its easiest cell.
        """
        from jaxemerge.evaluation.metrics import success_threshold  # imports JAX

        own = getattr(self.studies[study], "THRESHOLD", None) if study in self.studies else None
        return success_threshold(chance) if own is None else own

    def success(self, given: float | None, store: Records) -> float:
        """The score that counts as a success in a results folder.

        Args:
            given: on the command line.
            store: the folder, which records what it was trained with.

        Raises:
            ValueError: the threshold that is given is no more than chance.
        """
        from jaxemerge.evaluation.metrics import success_threshold

        chance = max((record.get("chance", 0.0) for record in store.records()), default=0.0)
        if given is not None:
            return success_threshold(chance, given)
        known = store.threshold
        return known if known is not None and known > chance else self.threshold(store.study, chance)

    def with_file(self, path: Path | None) -> Front:
        """The program with the user's own study first; unchanged without one."""
        if path is None:
            return self
        from jaxemerge.cli.own_study import WithFile

        return replace(self, studies=WithFile(self.studies, path))
