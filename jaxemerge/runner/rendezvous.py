"""Are all processes of a study there? They meet before JAX connects them: JAX cannot say who is missing.

Process 0 listens, the others call it. A caller sends a line ``RANK COUNT``; process 0 answers
``missing RANKS``, ``go`` or ``error TEXT``.
"""

from __future__ import annotations

import contextlib
import errno
import os
import select
import socket
import threading
import time
from collections.abc import Callable, Iterable, Iterator

from jaxemerge.runner.quantities import duration

TOLD = 10.0  # seconds between two lines on who is missing
_RETRY = 0.3  # seconds between two calls
_ANSWER = 2.0  # seconds that a caller has to say who it is, and a host to take a call

Say = Callable[[str], None]


class MissingError(Exception):
    """Not all processes came; the message says which, or what stands in their way."""


def meet(host: str, port: int, rank: int, count: int, seconds: float, say: Say) -> None:
    """Returns when all processes are there.

    Args:
        host: name or address of process 0.
        port: where it listens.
        rank: of this process, from 0.
        count: of processes, at least 2.
        seconds: that all of them have to come.
        say: prints a line.

    Raises:
        MissingError: the address cannot be used, or processes are missing after that time.
    """
    if not 0 < port < 2**16:
        raise MissingError(f"port {port} must be 1 to 65535")
    try:
        socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise MissingError(
            f"{host} is not known here: {getattr(error, 'strerror', None) or error}"
        ) from error
    until = time.monotonic() + seconds
    if rank == 0:
        _gather(port, count, until, seconds, say)
    else:
        _call(host, port, rank, count, until, seconds, say)


def _gather(port: int, count: int, until: float, seconds: float, say: Say) -> None:
    """Waits for the calls of all others."""
    try:
        server = _listening(port)
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno else str(error)
        raise MissingError(f"process 0 cannot listen at port {port}: {reason}") from error
    here: dict[int, socket.socket] = {}
    with server, contextlib.ExitStack() as callers:
        said = time.monotonic()
        while missing := sorted(set(range(1, count)) - here.keys()):
            now = time.monotonic()
            if now >= until:
                _tell(here.values(), f"error {_late(missing, seconds)}")
                raise MissingError(_late(missing, seconds))
            if now - said >= TOLD:
                said = now
                say(f"Waiting for {_named(missing)} of {count}.")
                _tell(here.values(), f"missing {_named(missing)} of {count}")
            ready, _, _ = select.select([server, *here.values()], [], [], min(TOLD, until - now))
            for rank, caller in list(here.items()):
                if caller in ready:  # it has nothing to say: it is gone
                    del here[rank]
            if server in ready:
                caller, _ = server.accept()
                _take_in(callers.enter_context(caller), count, here)
        _tell(here.values(), "go")
        for caller in here.values():  # who closes first keeps the port for a while
            select.select([caller], [], [], _ANSWER)


@contextlib.contextmanager
def within(seconds: float, late: Callable[[], None], say: Say) -> Iterator[None]:
    """Says every ten seconds that others are waited for; calls ``late`` where the block takes longer.

    For code that Python cannot interrupt.
    """
    done = threading.Event()

    def watch() -> None:
        until = time.monotonic() + seconds
        while not done.wait(min(TOLD, max(0.0, until - time.monotonic()))):
            if time.monotonic() >= until:
                return late()
            say("Waiting for the other processes.")

    watching = threading.Thread(target=watch, daemon=True)
    watching.start()
    try:
        yield
    finally:
        done.set()
        watching.join()


def _listening(port: int) -> socket.socket:
    if socket.has_dualstack_ipv6():
        with contextlib.suppress(OSError):  # a kernel without IPv6
            return socket.create_server(("", port), family=socket.AF_INET6, dualstack_ipv6=True)
    return socket.create_server(("", port))


def _take_in(caller: socket.socket, count: int, here: dict[int, socket.socket]) -> None:
    """Has a caller say who it is; others than processes of this study are not heard.

    Raises:
        MissingError: it expects another number of processes, or its rank is taken.
    """
    words = _line(caller, _ANSWER).split()
    if len(words) != 2 or not all(word.isdecimal() for word in words):
        return
    rank, of = map(int, words)
    problem = ""
    if of != count:
        problem = f"process {rank} was started as one of {of}, and process 0 as one of {count}"
    elif rank in here:
        problem = f"two processes are started as process {rank}"
    if problem:
        _tell([*here.values(), caller], f"error {problem}")
        raise MissingError(problem)
    here[rank] = caller


def _call(host: str, port: int, rank: int, count: int, until: float, seconds: float, say: Say) -> None:
    """Calls process 0 until it says that all are there."""
    said, reason = time.monotonic(), "no answer"
    while time.monotonic() < until:
        try:
            with socket.create_connection((host, port), timeout=_ANSWER) as line:
                line.sendall(f"{rank} {count}\n".encode())
                if _wait_for_others(line, until, say):
                    return
                reason = "what listens there is no process 0 of this program, or it has ended"
        except OSError as error:
            reason = "no answer" if isinstance(error, TimeoutError) else error.strerror or str(error)
            if error.errno in (errno.ENETUNREACH, errno.EHOSTUNREACH):
                reason = f"{reason}: there is no way from here"
        if time.monotonic() - said >= TOLD:
            said = time.monotonic()
            say(f"Waiting for process 0 at {host}:{port}: {reason}.")
        time.sleep(_RETRY)
    raise MissingError(f"process 0 did not answer at {host}:{port} within {duration(seconds)}: {reason}")


def _wait_for_others(line: socket.socket, until: float, say: Say) -> bool:
    """Whether all are there; False where the line is cut, or something else is at its other end.

    Raises:
        MissingError: process 0 says what is wrong.
    """
    while (left := until + 2 * _ANSWER - time.monotonic()) > 0:  # process 0 is the one that ends it
        kind, _, text = _line(line, left).partition(" ")
        if kind == "go":
            return True
        if kind == "error":
            raise MissingError(text)
        if kind != "missing":
            return False
        say(f"Waiting for {text}.")
    return False


def _line(connection: socket.socket, seconds: float) -> str:
    """The next line that comes in, without its end; empty where none comes."""
    connection.settimeout(seconds)
    found = b""
    with contextlib.suppress(OSError):
        while not found.endswith(b"\n") and len(found) < 1000:
            more = connection.recv(1)
            if not more:
                break
            found += more
    return found.decode("ascii", "replace").strip() if found.endswith(b"\n") else ""


def _tell(callers: Iterable[socket.socket], text: str) -> None:
    for caller in callers:
        with contextlib.suppress(OSError):
            caller.sendall(f"{text}\n".encode())


def _late(missing: Iterable[int], seconds: float) -> str:
    return f"{_named(missing)} did not come within {duration(seconds)}"


def _named(ranks: Iterable[int]) -> str:
    """``process 1``, ``processes 1, 2 and 5 more``."""
    names = [str(rank) for rank in ranks]
    shown, more = names[:8], len(names) - 8
    text = ", ".join(shown) + (f" and {more} more" if more > 0 else "")
    return f"process{'es' * (len(names) > 1)} {text}"
