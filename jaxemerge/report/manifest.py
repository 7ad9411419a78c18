"""Are the files of a report whole, and is it what would be written now?"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

from jaxemerge.files import DamagedError, check_digest, read_sealed, write_sealed

MANIFEST = "report.json"
# What computes, words and draws a report: parts of this package, and libraries.
_CODE = ("analysis", "charts", "report", "stats", "study", "schema.py", "text.py")
_LIBRARIES = ("altair", "vl-convert-python", "numpy", "scipy", "polars", "jax")


def write_manifest(folder: Path, contents_of: Mapping[str, bytes], source: str) -> None:
    """Writes the digests of a report's files, and of what it was made from."""
    digests = {name: hashlib.sha256(content).hexdigest() for name, content in contents_of.items()}
    write_sealed(folder / MANIFEST, {"files": digests, "source": source})


def source_digest(value: Any) -> str:
    """Digest of what a report is made from: a JSON value, the code and the libraries that write it."""
    package = Path(__file__).parents[1]
    files = sorted(
        path
        for part in _CODE
        for path in ((package / part).rglob("*") if "." not in part else [package / part])
    )
    whole = hashlib.sha256(json.dumps(value, sort_keys=True, default=str).encode())
    for path in files:
        if path.suffix in (".py", ".j2"):
            whole.update(path.read_bytes())
    for name in _LIBRARIES:
        whole.update(f"{name} {version(name)}".encode())
    return whole.hexdigest()


def is_current(folder: Path, source: str) -> bool:
    """Whether a folder's report is whole and was made from just this source."""
    try:
        return read_sealed(folder / MANIFEST).get("source") == source and not report_damage(folder)
    except DamagedError:
        return False


def report_damage(folder: Path) -> list[str]:
    """A line for every file of a folder's report that differs from what was written."""
    if not any((folder / name).exists() for name in ("report.html", MANIFEST)):
        return []
    try:
        expected = read_sealed(folder / MANIFEST)["files"]
    except DamagedError as error:
        return [str(error)]
    found = []
    for name, digest in expected.items():
        try:
            check_digest(folder / name, digest)
        except DamagedError as error:
            found.append(str(error))
    return found
