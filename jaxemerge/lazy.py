"""Names of a package that are imported when they are first used, so that importing the package is quick."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Mapping
from typing import Any


def imported_when_used(
    package: str, homes: Mapping[str, str]
) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """``__getattr__`` and ``__dir__`` of a package.

    Args:
        package: its ``__name__``.
        homes: module of the package -> its public names, with spaces between them. The modules, too, can be
            used as attributes.

    Raises:
        AttributeError: by ``__getattr__``, where the package has no such name.
    """
    home = {name: module for module, names in homes.items() for name in names.split()}
    parts = {module.partition(".")[0] for module in homes}

    def get(name: str) -> Any:
        if name in home:
            return getattr(importlib.import_module(f"{package}.{home[name]}"), name)
        if name in parts:
            return importlib.import_module(f"{package}.{name}")
        raise AttributeError(f"module {package!r} has no attribute {name!r}")

    return get, lambda: sorted({*home, *parts, *vars(sys.modules[package])})
