"""Files that appear whole or not at all: written under a dot-name, flushed to disk, renamed."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any


def write_json(path: Path, value: Any) -> None:
    """Writes JSON whole or not at all."""
    with appearing(path) as partial:
        partial.write_text(json.dumps(value, indent=1, allow_nan=False) + "\n", encoding="utf-8")


def write_bytes(path: Path, content: bytes) -> None:
    """Writes bytes whole or not at all."""
    with appearing(path) as partial:
        partial.write_bytes(content)


@contextlib.contextmanager
def appearing(path: Path) -> Iterator[Path]:
    """Gives a path to write to, which takes its true name when it is complete and on disk."""
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        yield partial
        _flush(partial)
        partial.rename(path)
    finally:
        partial.unlink(missing_ok=True)
    _flush(path.parent)


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
