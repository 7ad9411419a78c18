"""What shape is the library in?

    python tests/structure.py

Counted from its source: modules, lines, file names that occur in several packages, and circles of imports,
those for types only and those inside functions included. Seen while it runs, on host cores: the files whose
functions are called in one training step, and the calls that lead from the command line to it.
"""

from __future__ import annotations

import ast
import collections
import contextlib
import os
import statistics
import sys
import tempfile
import traceback
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import FrameType, SimpleNamespace
from typing import Any, NoReturn
from unittest import mock

ROOT = Path(__file__).parents[1]
LIBRARY = ROOT / "jaxemerge"
Graph = Mapping[str, set[str]]  # module -> modules that it imports


def modules(root: Path = LIBRARY) -> dict[str, Path]:
    """Every module of the library by its dotted name; packages go by their own name."""
    found = {}
    for path in sorted(root.rglob("*.py")):
        parts = path.relative_to(root.parent).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def imported(name: str, path: Path, known: Mapping[str, Path]) -> Iterator[str]:
    """Modules of the library that one imports anywhere, also inside functions and for types only."""
    package = name.split(".") if path.name == "__init__.py" else name.split(".")[:-1]
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        wanted: list[str] = []
        if isinstance(node, ast.Import):
            wanted = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            whole = ".".join([*base, *filter(None, [node.module])])
            wanted = [f"{whole}.{alias.name}" for alias in node.names]
        for each in wanted:
            while each and each not in known:
                each = each.rpartition(".")[0]
            if each and each != name:
                yield each


def graph(known: Mapping[str, Path]) -> Graph:
    """Who imports whom.

    A package is what its ``__init__.py`` imports. Within a package, taking a name from the package itself
    instead of from the module that has it counts as an import of the package: it is one, and can be a circle.
    """
    return {name: set(imported(name, path, known)) for name, path in known.items()}


def circles(of: Graph) -> list[list[str]]:
    """Groups of modules that import each other, by Tarjan's strongly connected components (1972)."""
    order: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    found: list[list[str]] = []

    def visit(name: str) -> None:
        order[name] = low[name] = len(order)
        stack.append(name)
        for other in sorted(of[name]):
            if other not in order:
                visit(other)
                low[name] = min(low[name], low[other])
            elif other in stack:
                low[name] = min(low[name], order[other])
        if low[name] == order[name]:
            at = stack.index(name)
            group = sorted(stack[at:])
            del stack[at:]
            if len(group) > 1:
                found.append(group)

    for name in sorted(of):
        if name not in order:
            visit(name)
    return found


def repeated_names(known: Mapping[str, Path]) -> dict[str, list[str]]:
    """File names that occur in more than one package, with the packages."""
    places = collections.defaultdict(list)
    for name, path in known.items():
        if path.name not in ("__init__.py", "__main__.py"):
            places[path.stem].append(name.rpartition(".")[0])
    return {stem: where for stem, where in sorted(places.items()) if len(where) > 1}


def small_experiment() -> Any:
    """One seed of a small transformer that learns to count."""
    from jaxemerge import Count, Experiment, neox, paired

    sizes = {"steps": 2, "batch": 2, "context": 17, "seeds": paired([0])}
    return Experiment(Count(11, 5, (3, 7)), neox(1, 16, 2, rotary_fraction=0.5), **sizes)


def files_of_a_step() -> list[str]:
    """Files of the library with a function that one training step calls, loss included."""
    import jax

    from jaxemerge.training.step import initial_state, train_step

    experiment = small_experiment()
    member = jax.tree.map(lambda leaf: leaf[0], experiment.members)
    state = jax.eval_shape(lambda: initial_state(experiment, member))
    found = set()

    def seen(frame: FrameType, event: str, argument: Any) -> None:
        file = Path(frame.f_code.co_filename)
        if event == "call" and file.is_relative_to(LIBRARY):
            found.add(str(file.relative_to(LIBRARY)))

    sys.setprofile(seen)
    try:
        jax.eval_shape(lambda state: train_step(experiment, state, member, 0), state)
    finally:
        sys.setprofile(None)
    return sorted(found)


class _Reached(BaseException):
    """The step is about to be traced."""


def calls_to_a_step() -> list[str]:
    """Functions of the library on the way from the command line to ``train_step``, the outermost first.

    Those with an underscore, and functions within functions, are parts of the one that they serve.
    """
    from jaxemerge import cli
    from jaxemerge.training import population

    calls: list[str] = []

    def reached(*_: Any) -> NoReturn:
        for frame, _line in traceback.walk_stack(None):
            if Path(frame.f_code.co_filename).is_relative_to(LIBRARY):
                calls.append(frame.f_code.co_qualname)
        raise _Reached

    studies = {"small": SimpleNamespace(cells=lambda quick: (small_experiment(),))}
    with (
        tempfile.TemporaryDirectory() as folder,
        mock.patch.object(population, "train_step", reached),
        open(os.devnull, "w") as nowhere,
        contextlib.redirect_stdout(nowhere),
        contextlib.suppress(_Reached),
    ):
        cli.main(["run", "small", "--out", f"{folder}/out", "--no-cache"], studies=studies)
    return [*reversed(calls), "train_step"]


def figures() -> dict[str, object]:
    """The figures by name."""
    known = modules()
    lines = {name: len(path.read_text(encoding="utf-8").splitlines()) for name, path in known.items()}
    largest = max(lines, key=lines.__getitem__)
    return {
        "modules": len(known),
        "lines": sum(lines.values()),
        "median lines of a module": statistics.median(lines.values()),
        "largest module": f"{largest}, {lines[largest]} lines",
        "file names in several packages": repeated_names(known),
        "circles": circles(graph(known)),
        "files that show a training step": files_of_a_step(),
        "calls from the command line to train_step": (calls := calls_to_a_step()),
        "of these, functions with a name of their own": sum(
            call.isidentifier() and call[0] != "_" for call in calls
        ),
    }


def main() -> None:
    """Prints the figures."""
    for name, value in figures().items():
        if isinstance(value, dict):
            print(f"{name}: {len(value)}")
            for stem, where in value.items():
                print(f"    {stem:20} {', '.join(where)}")
        elif isinstance(value, list):
            print(f"{name}: {len(value)}")
            for each in value:
                print(f"    {each if isinstance(each, str) else ', '.join(each)}")
        else:
            print(f"{name}: {value}")


if __name__ == "__main__":
    sys.exit(main())
