"""What shape is the library in? Counted from its source, without importing it.

    python tests/structure.py

Modules, lines, file names that occur in several packages, and circles of imports, those for types only and
those inside functions included.
"""

from __future__ import annotations

import ast
import collections
import statistics
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

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
            for group in value:
                print(f"    {', '.join(group)}")
        else:
            print(f"{name}: {value}")


if __name__ == "__main__":
    sys.exit(main())
