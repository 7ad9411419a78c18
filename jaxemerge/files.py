"""Files that appear whole or not at all: written under a dot-name, flushed to disk, renamed, and sealed."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import shutil
import socket
import stat
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

_SEAL = "sha256"
_A_DAY = 86_400.0


class DamagedError(ValueError):
    """A file does not hold what was written to it."""


def write_json(path: Path, value: Any) -> None:
    """Writes JSON whole or not at all."""
    write_bytes(path, (json.dumps(value, indent=1, allow_nan=False) + "\n").encode())


def write_bytes(path: Path, content: bytes) -> None:
    """Writes bytes whole or not at all."""
    with appearing(path) as partial, partial.open("xb") as file:
        file.write(content)


def write_sealed(path: Path, value: Mapping[str, Any]) -> None:
    """Writes a JSON object that carries a digest of itself."""
    write_json(path, {**value, _SEAL: _seal(value)})


def read_sealed(path: Path) -> dict[str, Any]:
    """Reads what ``write_sealed`` wrote.

    Raises:
        DamagedError: the file is missing, is no JSON object, or has changed since.
    """
    try:
        value = json.loads(_content(path))
        seal = value.pop(_SEAL)
    except DamagedError:
        raise
    except (ValueError, RecursionError) as error:
        raise DamagedError(f"{path} is damaged: {error}") from error
    except (KeyError, AttributeError, TypeError) as error:  # not even an object with a digest
        raise DamagedError(f"{path} is damaged, or was not written by jaxemerge: it has no digest") from error
    if seal != _seal(value):
        raise DamagedError(f"{path} is damaged: its content does not match its digest")
    return value


def _seal(value: Mapping[str, Any]) -> str:
    """Digest of what the value is read back as."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, allow_nan=False).encode()).hexdigest()


def make_folder(folder: Path) -> None:
    """Makes a folder and those above it, and has the disk know of them."""
    missing = [one for one in (folder, *folder.parents) if not one.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    for one in missing:
        _flush(one.parent)


def digest(path: Path) -> str:
    """SHA-256 of a file's bytes, in hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def check_digest(path: Path, expected: str) -> None:
    """Refuses a file that is not the one whose digest is known.

    Raises:
        DamagedError: it is missing or has changed.
    """
    _check_file(path)
    if digest(path) != expected:
        raise DamagedError(f"{path} is damaged: its content does not match its digest")


def checked_bytes(path: Path, expected: str) -> bytes:
    """The content of a file whose digest is known.

    Raises:
        DamagedError: it is missing or has changed.
    """
    content = _content(path)
    if hashlib.sha256(content).hexdigest() != expected:
        raise DamagedError(f"{path} is damaged: its content does not match its digest")
    return content


def _content(path: Path) -> bytes:
    _check_file(path)
    return path.read_bytes()


def _check_file(path: Path) -> None:
    """Rejects anything but a regular file: opening a pipe would block forever.

    Raises:
        DamagedError: there is nothing, or something else.
    """
    try:
        kind = path.stat().st_mode
    except FileNotFoundError:
        dead = path.is_symlink()
        raise DamagedError(f"{path} is a link to nothing" if dead else f"{path} is missing") from None
    except OSError as error:
        if error.errno not in (errno.ELOOP, errno.ENOTDIR):
            raise
        raise DamagedError(f"{path} is damaged: {error.strerror}") from error
    if not stat.S_ISREG(kind):
        what = "a folder" if stat.S_ISDIR(kind) else "no file"
        raise DamagedError(f"{path} is damaged: it is {what}")


def set_aside(path: Path) -> Path:
    """Renames a damaged file so that it is read no more, and returns its new name."""
    aside = path.with_name(f"{path.name}.damaged")
    number = 1
    while os.path.lexists(aside):
        number += 1
        aside = path.with_name(f"{path.name}.damaged{number}")
    path.rename(aside)
    return aside


@contextlib.contextmanager
def appearing(path: Path) -> Iterator[Path]:
    """Gives a path to write a file or folder to, which takes its true name when complete and on disk.

    Whatever goes wrong, a full disk included, nothing of it is left. There is nothing at the path that is
    given; create files there with mode ``x``, which follows no link that somebody puts there.
    """
    partial = path.with_name(f".{path.name}.{socket.gethostname()}.{os.getpid()}.partial")
    _remove(partial)  # a dead process of the same number, or a link to elsewhere
    try:
        yield partial
        for inner in sorted(partial.rglob("*")) if partial.is_dir() else ():
            _flush(inner)
        _flush(partial)
        partial.rename(path)
    except OSError as error:
        if error.errno and not error.filename:  # the kernel names no file where a disk is full
            error.filename = str(path)
        raise
    finally:
        _remove(partial)
    _flush(path.parent)


def remove_partial(folder: Path) -> None:
    """Removes what dead processes were writing in a folder: those of this host, and others' after a day."""
    for partial in folder.glob(".*.partial"):
        host, _, pid = partial.name.removesuffix(".partial").rpartition(".")
        ours = host.endswith(f".{socket.gethostname()}") and pid.isdigit()
        with contextlib.suppress(FileNotFoundError):
            if (ours and not alive(int(pid))) or clock_of(folder) - partial.stat().st_mtime > _A_DAY:
                _remove(partial)


def clock_of(folder: Path) -> float:
    """The time by the clock that stamps the files of a folder, in seconds since 1970.

    The clock of a file server may differ from this host's: a new file has the server's time. Where none can
    be written, this host's clock has to do.
    """
    try:
        with tempfile.TemporaryFile(dir=folder, prefix=".clock") as file:
            return os.fstat(file.fileno()).st_mtime
    except OSError:
        return time.time()


def alive(pid: int) -> bool:
    """Whether a process of this host runs."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)  # threads of an interrupted writer may still be at it
    else:
        path.unlink(missing_ok=True)


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
