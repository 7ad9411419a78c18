"""A lock has one holder, says who it is, and is not kept by the dead."""

import collections
import itertools
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from jaxemerge.runner import lock
from jaxemerge.runner.lock import LockedError, locked

ROOT = Path(lock.__file__).parents[2]
HOLDER = """
import sys, time
from pathlib import Path
from jaxemerge.runner.lock import locked
with locked(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""
# When told to, takes the lock so many times, and notes on a shared file when it had it; says how often it
# was refused.
TAKER = """
import os, sys, time
from pathlib import Path
from jaxemerge.runner.lock import LockedError, locked
path, log, times = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
print("ready", flush=True)
sys.stdin.readline()
refused = 0
with open(log, "a", buffering=1) as notes:
    while times:
        try:
            with locked(path):
                notes.write(f"+{os.getpid()}\\n")
                time.sleep(0.001)
                notes.write(f"-{os.getpid()}\\n")
                times -= 1
        except LockedError:
            refused += 1
            time.sleep(0.0003)
print(refused)
"""


def started(code, *arguments):
    command = [sys.executable, "-c", code, *map(str, arguments)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    return subprocess.Popen(command, text=True, env=environment, **pipes)


def test_the_file_is_there_while_the_lock_is_held(tmp_path):
    path = tmp_path / ".lock"
    with locked(path):
        holder = json.loads(path.read_text())
        assert (holder["host"], holder["pid"]) == (socket.gethostname(), os.getpid())
        with pytest.raises(LockedError, match=f"written by process {os.getpid()} on "), locked(path):
            pass
    assert not path.exists()
    with locked(path):
        pass


def test_a_killed_holder_leaves_it_free(tmp_path):
    path = tmp_path / ".lock"
    holder = started(HOLDER, path)
    assert holder.stdout.readline() == "held\n"
    with pytest.raises(LockedError, match=rf"process {holder.pid} on .* since 20\d\d-"), locked(path):
        pass
    holder.send_signal(signal.SIGKILL)
    holder.communicate()
    assert path.exists()
    with locked(path):
        assert json.loads(path.read_text())["pid"] == os.getpid()


@pytest.mark.parametrize(("silent", "free"), [(5, False), (119, False), (121, True)])
def test_another_host_is_believed_alive_while_it_beats(tmp_path, monkeypatch, silent, free):
    monkeypatch.setattr(lock, "BEAT", 0.01)
    path = tmp_path / ".lock"
    path.write_text(json.dumps({"host": "elsewhere", "pid": 7, "since": "2026-01-01T00:00:00+00:00"}))
    os.utime(path, (time.time() - silent,) * 2)
    if free:
        with locked(path):
            pass
    else:
        with pytest.raises(LockedError, match="process 7 on elsewhere since 2026-01-01"), locked(path):
            pass
        assert path.exists()


def test_the_holder_beats(tmp_path, monkeypatch):
    monkeypatch.setattr(lock, "BEAT", 0.01)
    path = tmp_path / ".lock"
    with locked(path):
        os.utime(path, (0, 0))
        deadline = time.monotonic() + 5
        while path.stat().st_mtime < 1 and time.monotonic() < deadline:
            time.sleep(0.01)
        assert time.time() - path.stat().st_mtime < 5


@pytest.mark.parametrize("ahead", [-3600, 131, 3600])
def test_age_is_judged_by_the_clock_that_stamps_files(tmp_path, monkeypatch, ahead):
    """A reader whose own clock is wrong does not take over a live cell."""
    path = tmp_path / ".lock"
    path.write_text(json.dumps({"host": "elsewhere", "pid": 7, "since": "2026-01-01T00:00:00+00:00"}))
    now = time.time()
    monkeypatch.setattr(lock.time, "time", lambda: now + ahead)
    assert lock.holder(path)["pid"] == 7
    with pytest.raises(LockedError, match="process 7 on elsewhere"), locked(path):
        pass
    os.utime(path, (now - 200, now - 200))
    assert lock.holder(path) is None
    assert [p.name for p in tmp_path.iterdir()] == [".lock"]


@pytest.mark.parametrize("days", [-9, 3])
@pytest.mark.parametrize("beats", [True, False])
def test_a_clock_that_was_set_neither_kills_the_living_nor_revives_the_dead(
    tmp_path, monkeypatch, days, beats
):
    """The clock that stamps files jumps by days: the last beat is of long ago, or in the future."""
    monkeypatch.setattr(lock, "BEAT", 0.3)
    path, stop = tmp_path / ".lock", threading.Event()
    path.write_text(json.dumps({"host": "elsewhere", "pid": 7, "since": "2026-01-01T00:00:00+00:00"}))
    os.utime(path, (time.time() - days * 86_400,) * 2)

    def beat():
        while beats and not stop.wait(0.1):
            os.utime(path)

    other = threading.Thread(target=beat)
    other.start()
    try:
        if beats:
            with pytest.raises(LockedError, match="process 7 on elsewhere"), locked(path):
                pass
        else:
            with locked(path):
                assert json.loads(path.read_text())["pid"] == os.getpid()
    finally:
        stop.set()
        other.join()


@pytest.mark.parametrize("how", ["replaced", "signed anew"])
def test_a_holder_that_was_taken_for_dead_touches_and_removes_nothing(tmp_path, monkeypatch, how):
    """It was stopped for longer than a lock lives, on a file system that does not share flock."""
    monkeypatch.setattr(lock, "BEAT", 0.01)
    path = tmp_path / ".lock"
    other = json.dumps({"host": "elsewhere", "pid": 7, "since": "2026-01-01T00:00:00+00:00"})
    with locked(path):
        if how == "replaced":
            (tmp_path / "new").write_text(other)
            (tmp_path / "new").rename(path)
        else:
            path.write_text(other)
        time.sleep(0.05)
        os.utime(path, (1000.0, 1000.0))
        time.sleep(0.1)
        assert path.stat().st_mtime == 1000.0
    assert path.read_text() == other


def test_a_lock_that_cannot_be_removed_hides_no_error(tmp_path, monkeypatch):
    """As in a folder that has become read-only."""

    def rejected(path, missing_ok=False):
        raise PermissionError(13, "Permission denied", str(path))

    with monkeypatch.context() as patch:
        patch.setattr(Path, "unlink", rejected)
        with pytest.raises(KeyError, match="first"), locked(tmp_path / ".lock"):
            raise KeyError("first")
    with locked(tmp_path / ".lock"):
        pass


def test_an_unsigned_or_spoilt_file_is_no_obstacle(tmp_path):
    for content in ("", "{", "[]", '{"host": "x"}'):
        (tmp_path / ".lock").write_text(content)
        with locked(tmp_path / ".lock"):
            pass


def test_many_takers_never_hold_it_together(tmp_path):
    """Four processes that begin together; there is no clock, so that a busy machine only takes longer."""
    path, log, times = tmp_path / ".lock", tmp_path / "log", 60
    takers = [started(TAKER, path, log, times) for _ in range(4)]
    assert [taker.stdout.readline() for taker in takers] == ["ready\n"] * 4
    for taker in takers:
        taker.stdin.write("go\n")
        taker.stdin.flush()
    refused = [int(taker.communicate()[0]) for taker in takers]
    assert [taker.returncode for taker in takers] == [0] * 4
    assert sum(refused) > 0  # they did get in each other's way
    notes = log.read_text().splitlines()
    assert collections.Counter(notes) == {f"{sign}{t.pid}": times for sign in "+-" for t in takers}
    for taken, given in zip(notes[::2], notes[1::2], strict=True):
        assert taken[0] == "+"
        assert given == "-" + taken[1:]
    turns = sum(one != other for one, other in itertools.pairwise(notes[::2]))
    assert turns > 3  # not one after the other, each with all of its times
