"""Which code runs here? Versions of packages; where a user's own code failed, and whether it has changed."""

from __future__ import annotations

import ast
import dataclasses
import functools
import hashlib
import importlib.metadata
import math
import sys
import traceback
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any

_DIGITS = 12  # of a file's digest


def version_of(package: str) -> str | None:
    """Version of an installed package; None where it is not installed, as of a checkout."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def is_own(kind: Any) -> bool:
    """Whether a class or function is the user's own: defined outside the library."""
    return is_own_module(kind.__module__)


def is_own_module(name: str) -> bool:
    """Whether a module is none of the library's."""
    return name.partition(".")[0] != __name__.partition(".")[0]


def is_foreign(path: Path) -> bool:
    """Whether a file is the library's, or installed."""
    return _is_installed(path) or path.resolve().is_relative_to(Path(__file__).resolve().parent)


def is_plain(value: Any, within: type | None = None) -> bool:
    """Whether JSON can hold a value and give it back: a number, text, bool, None, or tuples of these.

    Args:
        value: of a field.
        within: instances of this class are plain too, where they are dataclasses of plain fields.
    """
    if isinstance(value, tuple):
        return all(is_plain(each, within) for each in value)
    if within is not None and isinstance(value, within):
        if not dataclasses.is_dataclass(value):
            return False
        return all(is_plain(getattr(value, field.name), within) for field in dataclasses.fields(value))
    if type(value) not in (int, float, str, bool, type(None)):
        return False
    return not isinstance(value, float) or math.isfinite(value)


def name_of(function: Any) -> str:
    """A function's name, or the class of a callable record."""
    return str(getattr(function, "__qualname__", type(function).__name__))


def check_function(what: str, function: Any) -> None:
    """Raises ValueError unless name and fields tell a function apart from others."""
    plain = isinstance(function, FunctionType) and not function.__closure__
    if plain and "<lambda>" not in function.__qualname__:
        return
    if dataclasses.is_dataclass(function) and not isinstance(function, type) and callable(function):
        hash(function)
        return
    kind = "a lambda" if plain else "a function that closes over variables"
    if not isinstance(function, FunctionType):
        kind = repr(function)
    raise ValueError(
        f"{what} is {kind}: give a named function of a module, or a frozen dataclass with __call__, so that "
        "results of two different ones are never mixed"
    )


def first_problems(stages: Iterable[Callable[[], Iterable[str]]]) -> tuple[str, ...]:
    """The problems of the first stage of a check that finds any: later stages rest on earlier ones."""
    return next(filter(None, (tuple(stage()) for stage in stages)), ())


def told(error: Exception, kinds: Iterable[Any]) -> str:
    """An error of the user's code in one line, with the line of that code in which it arose.

    Args:
        error: what was raised.
        kinds: classes and functions of the user.
    """
    files = {path for kind in kinds for path in _places(kind)}
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename in files]
    place = f" ({frames[-1].filename}, line {frames[-1].lineno})" if frames else ""
    return f"{type(error).__name__}: {str(error).partition(chr(10))[0]}{place}"


def _places(kind: Any) -> Iterator[str]:
    """Files of a function, or of the methods of a class and its bases, but for installed ones."""
    bases = kind.__mro__ if isinstance(kind, type) else ()
    values = [each for base in bases if is_own(base) for each in vars(base).values()]
    for each in values if bases else (kind,):
        code = getattr(getattr(each, "__wrapped__", each), "__code__", None)
        if code is not None and not _is_installed(Path(code.co_filename)):
            yield code.co_filename


@functools.cache
def digests(kind: Any) -> tuple[tuple[str, str], ...]:
    """Name and digest of the file that defines a class or function, and of those beside it that it imports.

    Empty for what is the library's, or has no file, as in a notebook. Files are read once: later changes
    are changes to code that this process does not run.
    """
    module = sys.modules.get(kind.__module__)
    path = _file(module) if module else None
    if module is None or path is None or not is_own(kind):
        return ()
    files = sorted(_with_imports(module, path.parent, set()))
    return tuple(
        (str(each.relative_to(path.parent)), hashlib.sha256(each.read_bytes()).hexdigest()[:_DIGITS])
        for each in files
    )


@functools.cache
def digest_of(folder: Path, parts: tuple[str, ...]) -> str:
    """Digest of what Python runs of parts of a package: comments and docstrings do not count.

    Args:
        folder: a package.
        parts: names of files in it, or of packages, which are taken whole.

    Raises:
        OSError: a file cannot be read.
        SyntaxError: a file is not Python.
    """
    whole = hashlib.sha256()
    for path in sorted(path for part in parts for path in _python_files(folder / part)):
        tree = ast.parse(path.read_bytes())
        for node in ast.walk(tree):
            if (
                isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef)
                and ast.get_docstring(node) is not None
            ):
                node.body = node.body[1:]
        whole.update(f"{path.relative_to(folder).as_posix()}\n{ast.dump(tree)}\n".encode())
    return whole.hexdigest()[:_DIGITS]


def _python_files(place: Path) -> Iterator[Path]:
    yield from place.rglob("*.py") if place.is_dir() else [place]


def code_of(values: Iterable[Any]) -> dict[str, str]:
    """Names and digests of the files that tasks, models and objectives come from; none of the library's.

    Files of one name in several folders share an entry, which has the digests of all.
    """
    found: dict[str, set[str]] = {}
    for name, digest in (pair for kind in _kinds(values) for pair in digests(kind)):
        found.setdefault(name, set()).add(digest)
    return {name: "+".join(sorted(found[name])) for name in sorted(found)}


def _kinds(values: Iterable[Any]) -> Iterator[Any]:
    """Classes and functions that tasks, models and objectives are made of."""
    for value in values:
        if dataclasses.is_dataclass(value):
            yield type(value)
            yield from _kinds(getattr(value, field.name) for field in dataclasses.fields(value))
        elif isinstance(value, tuple):
            yield from _kinds(value)
        elif callable(value):
            yield value


def _with_imports(module: ModuleType, folder: Path, seen: set[Path]) -> set[Path]:
    """Files of a module and of all that it imports from a folder and below, but for installed packages."""
    path = _file(module)
    if path is None or path in seen or not path.is_relative_to(folder) or _is_installed(path):
        return seen
    seen.add(path)
    for name in _imported(path, module.__package__ or ""):
        other = sys.modules.get(name)
        if other is not None and is_own_module(name):
            _with_imports(other, folder, seen)
    return seen


def _is_installed(path: Path) -> bool:
    return any(path.is_relative_to(place) for place in map(Path, {sys.prefix, sys.base_prefix}))


def _imported(path: Path, package: str) -> Iterator[str]:
    """Full names of the modules that a file may import, and of what it takes from them."""
    for node in ast.walk(ast.parse(path.read_bytes())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package.rsplit(".", node.level - 1)[0] if node.level else ""
            base = ".".join(filter(None, [above, node.module]))
            yield from (base, *(f"{base}.{alias.name}" for alias in node.names))


def _file(module: ModuleType) -> Path | None:
    found = getattr(module, "__file__", None)
    return Path(found).resolve() if found and found.endswith(".py") and Path(found).is_file() else None
