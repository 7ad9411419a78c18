"""Signals are noted, and obeyed where the program asks."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from jaxemerge.runner import signals
from jaxemerge.runner.signals import StoppedError, StopRequest

BUSY = """
import hashlib
from jaxemerge.runner import signals
signals.PATIENCE = 0.2
with signals.StopRequest(lambda number: print("noted", flush=True)):
    print("busy", flush=True)
    hashlib.pbkdf2_hmac("sha256", b"", b"", 10**9)  # as a compiler: Python has no say before its end
"""


@pytest.fixture(autouse=True)
def heeded():
    """SIGHUP and SIGINT are not ignored, as they are where the tests run under nohup or in the background."""
    given = {signal.SIGHUP: signal.SIG_DFL, signal.SIGINT: signal.default_int_handler}
    former = {number: signal.signal(number, handler) for number, handler in given.items()}
    yield
    for number, handler in former.items():
        signal.signal(number, handler)


@pytest.mark.parametrize(
    ("number", "code"),
    [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGUSR2, 140), (signal.SIGHUP, 129)],
)
def test_a_signal_waits_until_it_is_asked_for(number, code):
    told = []
    with StopRequest(told.append) as stop:
        stop.raise_if_asked()
        assert not stop
        signal.raise_signal(number)
        assert stop
        with pytest.raises(StoppedError, match=signal.Signals(number).name) as stopped:
            stop.raise_if_asked()
    assert stopped.value.exit_code == code
    assert told == [number]


def test_a_second_interrupt_stops_at_once_and_a_second_term_does_not():
    with StopRequest() as stop:
        signal.raise_signal(signal.SIGTERM)
        signal.raise_signal(signal.SIGTERM)
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
        with pytest.raises(StoppedError, match="SIGTERM"):
            stop.raise_if_asked()


def test_former_handlers_come_back():
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR2)
    before = [signal.getsignal(n) for n in numbers]
    with StopRequest():
        assert signal.getsignal(signal.SIGTERM) != before[1]
    assert [signal.getsignal(n) for n in numbers] == before


def test_a_hook_for_dropped_errors_that_others_put_there_stays(monkeypatch):
    before, seen = sys.unraisablehook, []
    with StopRequest():
        assert sys.unraisablehook != before
    assert sys.unraisablehook == before
    monkeypatch.setattr(sys, "unraisablehook", before)
    with StopRequest():
        sys.unraisablehook = seen.append
    assert sys.unraisablehook == seen.append


def test_a_signal_to_another_process_is_obeyed_too():
    elsewhere = [0]
    stop = StopRequest(elsewhere=lambda: elsewhere[0])
    stop.raise_if_asked()
    elsewhere[0] = signal.SIGTERM
    assert stop
    elsewhere[0] = 0  # it is not forgotten
    with pytest.raises(StoppedError, match="SIGTERM"):
        stop.raise_if_asked()


@pytest.mark.parametrize("also", [0, signal.SIGINT])
def test_a_signal_that_comes_while_others_are_asked_is_not_lost(also):
    """A handler runs between any two operations: what it notes must not be overwritten."""

    def elsewhere():
        signal.raise_signal(signal.SIGTERM)
        return also

    with StopRequest(elsewhere=elsewhere) as stop:
        assert stop
        with pytest.raises(StoppedError, match="SIGTERM"):
            stop.raise_if_asked()


def test_a_hangup_that_is_ignored_stays_ignored():
    """As nohup has it."""
    former = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with StopRequest() as stop:
            signal.raise_signal(signal.SIGHUP)
            assert not stop
        assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, former)


def test_a_signal_that_comes_while_the_program_prints_does_not_break_it():
    def printing(number):
        raise RuntimeError("reentrant call inside <_io.BufferedWriter name='<stdout>'>")

    with StopRequest(printing) as stop:
        signal.raise_signal(signal.SIGTERM)
        assert stop


def test_where_nothing_is_lost_a_signal_is_obeyed_at_once_whatever_the_users_code_catches():
    def careless():  # as a task's file may have it
        with contextlib.suppress(Exception):
            signal.raise_signal(signal.SIGTERM)

    with StopRequest() as stop, pytest.raises(StoppedError, match="SIGTERM"), stop.at_once():
        careless()


class Finalised:
    """Sends a signal from where Python drops what is raised."""

    def __del__(self):
        signal.raise_signal(signal.SIGTERM)
        for _ in range(3):
            pass


class Failing:
    def __del__(self):
        raise KeyError("other")


def test_a_signal_in_a_destructor_is_obeyed_afterwards(monkeypatch):
    """Python prints a traceback of what it drops there, but for the stop."""
    dropped = []
    monkeypatch.setattr(sys, "unraisablehook", lambda what: dropped.append(what.exc_type))
    with StopRequest() as stop:
        Failing()
        with pytest.raises(StoppedError, match="SIGTERM"), stop.at_once():
            Finalised()
    assert dropped == [KeyError]


def test_where_nothing_is_lost_python_need_not_have_a_say():
    with started(BUSY.replace("flush=True)):", "flush=True)) as stop, stop.at_once():")) as busy:
        try:
            assert busy.stdout.readline() == "busy\n"
            time.sleep(0.5)
            busy.send_signal(signal.SIGTERM)
            assert busy.wait(timeout=30) == 143
            line = "SIGTERM: stopped at once. Finished seeds and checkpoints are kept.\n"
            assert busy.stderr.read() == line
        finally:
            busy.kill()


def started(code):
    environment = {**os.environ, "PYTHONPATH": str(Path(signals.__file__).parents[2])}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return subprocess.Popen([sys.executable, "-c", code], **pipes, text=True, env=environment)


def test_a_second_interrupt_ends_what_does_not_listen():
    with started(BUSY) as busy:
        try:
            assert busy.stdout.readline() == "busy\n"
            time.sleep(0.5)
            busy.send_signal(signal.SIGINT)
            time.sleep(0.5)
            assert busy.poll() is None
            busy.send_signal(signal.SIGINT)
            assert busy.wait(timeout=30) == 130
            assert busy.stdout.read() == ""
        finally:
            busy.kill()


def test_nothing_is_left_open():
    before = len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else 0
    for _ in range(5):
        with StopRequest():
            pass
    time.sleep(0.2)
    assert (len(os.listdir("/proc/self/fd")) if before else 0) == before
    assert signal.set_wakeup_fd(-1) == -1
