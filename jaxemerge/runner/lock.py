"""One writer per cell: a lock file that names its holder and outlives no process."""

from __future__ import annotations

import contextlib
import datetime
import fcntl
import json
import os
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from jaxemerge.files import alive, clock_of

# The holder touches its file every BEAT seconds. File systems that do not share flock between hosts are safe
# through this: a holder on another host is believed dead after EXPIRY seconds of silence.
BEAT, EXPIRY = 10.0, 120.0


class LockedError(ValueError):
    """Another process holds the lock; the message names its host, its process and since when."""


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Holds a lock while the block runs.

    The kernel drops a dead process' flock, so that on one host a lock is never stale, and two processes
    that find it free cannot both take it. Between hosts whose file system does not share flock, the
    holder's heartbeat decides.

    Args:
        path: of the lock file; its folder must exist. The file is removed with the lock.

    Raises:
        LockedError: another process holds it.
        OSError: the file cannot be written.
    """
    with _held(path, _take(path)):
        yield


@contextlib.contextmanager
def _held(path: Path, descriptor: int) -> Iterator[None]:
    """Beats while the block runs; then removes the file, if it is still its own, and gives the lock back."""
    stop = threading.Event()
    beating = threading.Thread(target=_beat, args=(path, descriptor, stop), daemon=True)
    beating.start()
    try:
        yield
    finally:
        stop.set()
        beating.join()
        with contextlib.suppress(OSError):  # a folder that has become read-only
            if _is_own(path, descriptor):
                path.unlink(missing_ok=True)
        os.close(descriptor)


def holder(path: Path) -> dict[str, Any] | None:
    """Host, process and since when of whoever holds a lock now, for people; None where nobody does.

    Takes nothing, and so stands in nobody's way: it believes the heartbeat, and on this host the process.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        return None
    try:
        found, age = _holder(descriptor), _age(path, descriptor)
    finally:
        os.close(descriptor)
    dead = bool(found) and found["host"] == socket.gethostname() and not alive(found["pid"])
    return None if not found or dead or abs(age) >= EXPIRY else found


def refuse_others(folder: Path, share: str) -> None:
    """Raises where processes write that do not share the cell with this one; removes locks of dead ones.

    Args:
        folder: holds ``.lock``, or ``.lock-GROUP-RANK`` of each process of a group.
        share: ``-GROUP-RANK`` of this process; empty if it is in no group.

    Raises:
        LockedError: another process writes all of the cell, or a process of another group its share.
    """
    group = share.rpartition("-")[0]
    for path in folder.glob(".lock*"):
        if path.name == f".lock{share}" or (share and path.name.startswith(f".lock{group}-")):
            continue
        found = holder(path)
        if found:
            raise LockedError(_sentence(path, found))
        with locked(path):
            pass


@contextlib.contextmanager
def waiting(path: Path, seconds: float = 60.0) -> Iterator[None]:
    """As ``locked``, but waits for a holder that will not be long.

    Raises:
        LockedError: it was held all the time.
    """
    deadline = time.monotonic() + seconds
    while True:
        try:
            descriptor = _take(path)
            break
        except LockedError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.02)
    with _held(path, descriptor):
        yield


def _take(path: Path) -> int:
    """A descriptor that holds the flock of the file that is at ``path`` now."""
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = _holder(descriptor)
            os.close(descriptor)
            raise LockedError(_sentence(path, holder)) from None
        if not _is_at(descriptor, path):  # its holder removed it between our open and our flock
            os.close(descriptor)
            continue
        holder = _holder(descriptor)
        if holder and holder["host"] != socket.gethostname() and not _is_silent(path, descriptor):
            os.close(descriptor)
            raise LockedError(_sentence(path, holder))
        try:
            _sign(descriptor)
        except OSError:  # a full disk
            path.unlink(missing_ok=True)
            os.close(descriptor)
            raise
        return descriptor


def _is_at(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False


def _is_own(path: Path, descriptor: int) -> bool:
    """Whether the file at ``path`` is this one, signed by this process: another may have taken over."""
    if not _is_at(descriptor, path):
        return False
    holder = _holder(descriptor)
    return (holder.get("host"), holder.get("pid")) == (socket.gethostname(), os.getpid())


def _sign(descriptor: int) -> None:
    now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    text = json.dumps({"host": socket.gethostname(), "pid": os.getpid(), "since": now})
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, text.encode(), 0)


def _holder(descriptor: int) -> dict[str, Any]:
    """Who signed the file; empty if nobody did, or is about to."""
    try:
        found = json.loads(os.pread(descriptor, 4096, 0))
        return {name: found[name] for name in ("host", "pid", "since")}
    except (ValueError, KeyError, TypeError):
        return {}


def _is_silent(path: Path, descriptor: int) -> bool:
    """Whether the last beat of the holder is long ago, or in the future, and no other one comes.

    A clock that has been set makes beats of the living look old, and those of the dead look new.
    """
    if abs(_age(path, descriptor)) < EXPIRY:
        return False
    last, until = _last_beat(path), time.monotonic() + 2 * BEAT
    while _last_beat(path) == last:
        if time.monotonic() > until:
            return True
        time.sleep(BEAT / 10)
    return False


def _last_beat(path: Path) -> float | None:
    """The file's modification time; the file is reopened because network file systems cache ``stat``."""
    try:
        with path.open("rb") as file:
            return os.fstat(file.fileno()).st_mtime
    except FileNotFoundError:
        return None


def _age(path: Path, descriptor: int) -> float:
    """Seconds since the holder touched its file, by the clock that stamped it."""
    return clock_of(path.parent) - os.fstat(descriptor).st_mtime


def _sentence(path: Path, holder: dict[str, Any]) -> str:
    if not holder:
        return f"{path.parent} is being written by another process"
    return (
        f"{path.parent} is being written by process {holder['pid']} on {holder['host']} "
        f"since {holder['since']}"
    )


def _beat(path: Path, descriptor: int, stop: threading.Event) -> None:
    """Touches the file while it is this process' own: after a long stop another may have taken over."""
    while not stop.wait(BEAT):
        with contextlib.suppress(OSError):  # a file system that is away for a moment
            if _is_own(path, descriptor):
                os.utime(descriptor)
