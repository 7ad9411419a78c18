"""Which data files decide an experiment, and have they changed since this process first read them?

A task or objective that reads files names them in an attribute ``files``: a tuple of paths of files and
folders. Their digests are part of a cell's identity, so that results on different data are never mixed. A
process reads a file once; training stops with one line where the file is another by then.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Any, NamedTuple

_DIGITS = 12  # of a digest, as of code


class _Seen(NamedTuple):
    """A file or folder as it was read.

    Attributes:
        digest: of a file the first digits of its SHA-256; of a folder of its files' digests and names.
        stamps: path, size in bytes and time of the last change (ns) of every file.
    """

    digest: str
    stamps: tuple[tuple[str, int, int], ...]


_seen: dict[str, _Seen] = {}  # by absolute path


def files_of(value: Any) -> tuple[str, ...]:
    """Paths of the files and folders that a task or objective names; none where it names none.

    Raises:
        ValueError: ``files`` is something other than a tuple of paths.
    """
    named = getattr(value, "files", ())
    if not isinstance(named, tuple) or not all(isinstance(each, str | os.PathLike) for each in named):
        raise ValueError(f"files is {named!r}: return a tuple of paths")
    return tuple(map(os.fspath, named))


def digests(value: Any) -> dict[str, str]:
    """Paths that a task or objective names, and digests of their content when this process first read them.

    Raises:
        ValueError: a file cannot be read; the message names it.
    """
    return {path: _first_seen(path).digest for path in files_of(value)}


def contents(path: str) -> list[bytes]:
    """The bytes of a file, or of every file of a folder and below in the order of their paths.

    Names that begin with a dot are left out.

    Raises:
        ValueError: a file cannot be read, a folder holds none, or the content is not what the digest says.
    """
    seen, read = _looked_at(path)
    if _seen.setdefault(os.path.abspath(path), seen).digest != seen.digest:
        raise _changed(path)
    return read


def check_unchanged(value: Any) -> None:
    """Checks that files are still what this process read.

    Raises:
        ValueError: one has changed, or can no longer be read.
    """
    for path in files_of(value):
        before = _first_seen(path)
        if _stamps(path) != before.stamps and _looked_at(path)[0].digest != before.digest:
            raise _changed(path)


def _changed(path: str) -> ValueError:
    return ValueError(f"{path} has changed since this process read it: start again to train on the new data")


def _first_seen(path: str) -> _Seen:
    place = os.path.abspath(path)
    if place not in _seen:
        _seen[place] = _looked_at(path)[0]
    return _seen[place]


def _looked_at(path: str) -> tuple[_Seen, list[bytes]]:
    stamps = _stamps(path)
    read = [_bytes(Path(name)) for name, *_ in stamps]
    parts = [hashlib.sha256(content).hexdigest() for content in read]
    if Path(path).is_dir():
        names = (Path(name).relative_to(path).as_posix() for name, *_ in stamps)
        listing = "".join(f"{part} {name}\n" for part, name in zip(parts, names, strict=True))
        parts = [hashlib.sha256(listing.encode()).hexdigest()]
    return _Seen(parts[0][:_DIGITS], stamps), read


def _stamps(path: str) -> tuple[tuple[str, int, int], ...]:
    try:
        found = [(str(each), each.stat()) for each in _members(Path(path))]
    except OSError as error:
        raise _unreadable(path, error) from error
    return tuple((name, about.st_size, about.st_mtime_ns) for name, about in found)


def _members(path: Path) -> list[Path]:
    """The files of a folder and below, or the file."""
    if path.is_dir():
        found = [each for each in path.rglob("*") if each.is_file() and not _hidden(each.relative_to(path))]
        if not found:
            raise ValueError(f"{path} holds no files")
        return sorted(found, key=lambda each: each.relative_to(path).as_posix())
    if path.exists() and not path.is_file():
        raise ValueError(f"{path} is neither a file nor a folder")
    return [path]


def _hidden(path: Path) -> bool:
    return any(part.startswith(".") for part in path.parts)


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise _unreadable(str(path), error) from error


def _unreadable(path: str, error: OSError) -> ValueError:
    return ValueError(f"{path} cannot be read: {error.strerror or error}")
