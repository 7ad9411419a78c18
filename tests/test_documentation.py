"""Is every public name documented, and does the help of each package name them all?"""

from __future__ import annotations

import ast
import builtins
import dataclasses
import importlib
import inspect
import re
import typing
from collections.abc import Iterator
from pathlib import Path
from types import FunctionType, GenericAlias, ModuleType
from typing import Any

import numpy as np
import polars
import pytest

import jaxemerge
from jaxemerge.runner.store import Store

ROOT = Path(jaxemerge.__file__).parent
PACKAGES = ("", *sorted(f".{path.parent.name}" for path in ROOT.glob("*/__init__.py")))
_INDEX = re.compile(r"^    (\w+(?:, \w+)*) {2,}\S", re.MULTILINE)
_MOST = 3  # parameters of a function that may do without a list of them


def package(name: str) -> ModuleType:
    return importlib.import_module(f"jaxemerge{name}")


def public(module: ModuleType) -> list[str]:
    """Names that a package takes from its modules, or defines."""
    names: list[str] = []
    body = ast.parse(Path(str(module.__file__)).read_text(encoding="utf-8")).body
    lazy = [each for node in body if isinstance(node, ast.If) for each in node.body]
    for node in (*body, *lazy):
        if isinstance(node, ast.ImportFrom) and node.level:
            names += [alias.asname or alias.name for alias in node.names]
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            names.append(node.target.id)
    return [name for name in names if not name.startswith("_")]


def contents(module: ModuleType) -> list[str]:
    """Names of the modules and packages within a package."""
    folder = Path(str(module.__file__)).parent
    found = [*folder.glob("*.py"), *(path.parent for path in folder.glob("*/__init__.py"))]
    return sorted(path.stem for path in found if path.stem != "__init__")


def listed(text: str) -> list[str]:
    """Names in the lines ``names    what they are for`` of a package's help."""
    return [name for line in _INDEX.findall(text) for name in line.split(", ")]


def section(text: str, title: str) -> list[str] | None:
    """Names that a section of a docstring is about; None where there is no such section."""
    found = re.search(rf"^{title}:\n((?:(?:    .*)?\n)*)", text + "\n", re.MULTILINE)
    if found is None:
        return None
    entries = re.findall(r"^    (\*{0,2}\w+(?:, \w+)*):", found[1], re.MULTILINE)
    return [name.strip("*") for entry in entries for name in entry.split(", ")]


def text_of(value: Any, name: str) -> str:
    """What a name's help says, but for what a dataclass or a named tuple says by itself."""
    own = value.__doc__ if inspect.isclass(value) else inspect.getdoc(value)
    return "" if own is None or own.startswith(f"{name}(") else inspect.cleandoc(own)


def faults_of_function(function: Any, name: str, inherited: bool = False) -> Iterator[str]:
    text = text_of(function, name.rpartition(".")[2])
    if not text:
        yield f"{name}: no docstring"
        return
    parameters = [each for each in inspect.signature(function).parameters if each not in ("self", "cls")]
    arguments = section(text, "Args")
    if arguments is not None and arguments != parameters:
        yield f"{name}: Args {arguments}, and the parameters are {parameters}"
    if arguments is None and len(parameters) > _MOST and not inherited:  # what a base tells of them
        yield f"{name}: no Args, and {len(parameters)} parameters"
    yield from faults_of_errors(text, name)


def faults_of_errors(text: str, name: str) -> Iterator[str]:
    for error in section(text, "Raises") or ():
        kind = getattr(builtins, error, None) or getattr(jaxemerge.devices, error, None)
        if not (inspect.isclass(kind) and issubclass(kind, BaseException)):
            yield f"{name}: Raises {error}, which is no exception"


def faults_of_class(kind: type, name: str) -> Iterator[str]:
    text = text_of(kind, kind.__name__)
    if not text:
        yield f"{name}: no docstring"
        return
    fields = [field.name for field in dataclasses.fields(kind)] if dataclasses.is_dataclass(kind) else []
    fields = [field for field in fields or getattr(kind, "_fields", ()) if not field.startswith("_")]
    described = section(text, "Attributes") or []
    if sorted(described) != sorted(fields):
        yield f"{name}: Attributes {described}, and the fields are {fields}"
    yield from faults_of_errors(text, name)
    for member, value in members(kind):
        function = value.__func__ if isinstance(value, (classmethod, staticmethod)) else value
        if isinstance(function, FunctionType):
            told = any(
                section(inspect.getdoc(getattr(base, member, None)) or "", "Args")
                for base in kind.__mro__[1:]
            )
            yield from faults_of_function(getattr(kind, member), f"{name}.{member}", inherited=told)
        elif isinstance(function, property) and not inspect.getdoc(getattr(kind, member)):
            bases = (vars(base).get(member) for base in kind.__mro__)
            if not any(inspect.getdoc(each) for each in bases if each is not None):
                yield f"{name}.{member}: no docstring"


def members(kind: type) -> Iterator[tuple[str, Any]]:
    """Public methods and properties, inherited ones too, but for those of tuples."""
    for name in dir(kind):
        if not name.startswith("_") and not (issubclass(kind, tuple) and hasattr(tuple, name)):
            yield name, inspect.getattr_static(kind, name)


def faults(value: Any, name: str) -> list[str]:
    if inspect.isclass(value):
        return list(faults_of_class(value, name))
    if callable(value) and not isinstance(value, GenericAlias):
        return list(faults_of_function(value, name))
    return []


@pytest.mark.parametrize("name", PACKAGES)
def test_help_names_all_that_is_public(name: str) -> None:
    """The docstring of a package's __init__.py lists either all public names or all of its modules."""
    module = package(name)
    named = sorted(listed(module.__doc__ or ""))
    assert named in (sorted(public(module)), contents(module))


@pytest.mark.parametrize("name", PACKAGES)
def test_public_names_are_documented(name: str) -> None:
    module = package(name)
    assert [fault for each in public(module) for fault in faults(getattr(module, each), each)] == []


@pytest.mark.parametrize("name", PACKAGES)
def test_examples_in_help_use_what_there_is(name: str) -> None:
    """Every function that an example calls by its name, or as one of `je`, is public."""
    known = {*public(package(name)), *public(jaxemerge), *vars(builtins)}
    called = [node.func for node in ast.walk(ast.parse(example(name))) if isinstance(node, ast.Call)]
    assert called
    for function in called:
        if isinstance(function, ast.Name):
            assert function.id in known
        elif isinstance(function, ast.Attribute) and getattr(function.value, "id", "") == "je":
            assert function.attr in known


def example(name: str) -> str:
    """The code in a package's help: what is indented before the first list of names."""
    lines = re.split(_INDEX, package(name).__doc__ or "")[0].splitlines()
    return "\n".join(line[4:] for line in lines if line.startswith("    "))


def test_every_module_class_and_function_says_what_it_is() -> None:
    silent = []
    for path in ROOT.rglob("*.py"):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        kinds = (ast.FunctionDef, ast.ClassDef)
        named = [node for node in tree.body if isinstance(node, kinds) and not node.name.startswith("_")]
        silent += [
            f"{path.name} {getattr(node, 'name', '')}"
            for node in (tree, *named)
            if not ast.get_docstring(node)
        ]
    assert silent == []


def raised(tree: ast.Module) -> Iterator[tuple[str, str]]:
    """Public functions, and classes, that raise an error of their own: name and docstring."""
    for node in tree.body:
        if not isinstance(node, (ast.FunctionDef, ast.ClassDef)) or node.name.startswith("_"):
            continue
        for inner in node.body if isinstance(node, ast.ClassDef) else [node]:
            checks = getattr(inner, "name", "") == "__post_init__"  # told where the fields are
            if not isinstance(inner, ast.FunctionDef) or (inner.name.startswith("_") and not checks):
                continue
            errors = [each.exc for each in ast.walk(inner) if isinstance(each, ast.Raise)]
            if any(
                isinstance(error, ast.Call) and ast.unparse(error.func).endswith("Error") for error in errors
            ):
                yield f"{node.name} {inner.name}", ast.get_docstring(node if checks else inner) or ""


def test_who_raises_says_so() -> None:
    trees = [ast.parse(path.read_text(encoding="utf-8")) for path in ROOT.rglob("*.py")]
    found = [each for tree in trees for each in raised(tree)]
    assert len(found) > 100
    assert [name for name, text in found if "Raises" not in text] == []


@dataclasses.dataclass
class Bad:
    """A record.

    Attributes:
        there: a field.
        nowhere: none.
    """

    there: int
    untold: int

    def silent(self) -> None:
        pass

    @property
    def still(self) -> int:
        return 1


class Tuple(typing.NamedTuple):
    """A record of one."""

    first: int


@dataclasses.dataclass
class Silent:
    x: int


def bad(one: int, other: int) -> None:
    """Does something.

    Args:
        one: told.
        another: not there.

    Raises:
        ValeuError: never.
    """


def many(a: int, b: int, c: int, d: int) -> None:
    """Takes a lot."""


def fine(a: int, b: int, *c: int, **d: int) -> None:
    """Takes a lot.

    Args:
        a, b: two numbers.
        *c: more, with
            a second line: and a colon.
        **d: by name.

    Raises:
        ValueError: sometimes.
    """


def test_faults_are_seen() -> None:
    assert faults(bad, "bad") == [
        "bad: Args ['one', 'another'], and the parameters are ['one', 'other']",
        "bad: Raises ValeuError, which is no exception",
    ]
    assert faults(many, "many") == ["many: no Args, and 4 parameters"]
    assert faults(fine, "fine") == []
    assert faults(Bad, "Bad") == [
        "Bad: Attributes ['there', 'nowhere'], and the fields are ['there', 'untold']",
        "Bad.silent: no docstring",
        "Bad.still: no docstring",
    ]
    assert faults(Tuple, "Tuple") == ["Tuple: Attributes [], and the fields are ['first']"]
    assert faults(Silent, "Silent") == ["Silent: no docstring"]
    assert listed("What.\n\n    one, two    both\n    x = one(two)\n\n    three  last") == [
        "one",
        "two",
        "three",
    ]
    [(name, text)] = raised(
        ast.parse("def f():\n    'Does.'\n    raise ValueError(1)\ndef _g():\n    raise KeyError(1)")
    )
    assert (name, text) == ("f f", "Does.")


@pytest.mark.parametrize("name", PACKAGES)
def test_types_of_public_names_can_be_looked_up(name: str) -> None:
    """Of records and functions, where jaxtyping is not installed, too: ``types`` stands for it when run."""
    for each in public(package(name)):
        value = getattr(package(name), each)
        if isinstance(value, (type, FunctionType)):
            optional = {"pl": polars, "Store": Store}  # not imported by what trains
            hints = typing.get_type_hints(value, localns=optional, include_extras=True)
            assert "jaxtyping" not in {getattr(hint, "__module__", "") for hint in hints.values()}


def test_a_type_says_its_shape() -> None:
    hints = typing.get_type_hints(jaxemerge.EvaluationSet, include_extras=True)
    assert hints["tokens"] == typing.Annotated[np.ndarray, "Int E L"]


def test_star_import_takes_every_public_name() -> None:
    taken: dict[str, Any] = {}
    exec("from jaxemerge import *", taken)
    assert set(taken) - {"__builtins__"} == set(public(jaxemerge))
    assert taken["train"] is jaxemerge.train
