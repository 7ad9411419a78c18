"""Processes meet before they work together; whoever does not come is named, soon."""

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

import jaxemerge
import run
from jaxemerge.runner import rendezvous
from jaxemerge.runner.rendezvous import MissingError, meet, within


@pytest.fixture
def port():
    with socket.socket() as found:
        found.bind(("localhost", 0))
        return found.getsockname()[1]


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(rendezvous, "TOLD", 0.1)
    monkeypatch.setattr(rendezvous, "_RETRY", 0.02)


def met(port, *who, seconds=20.0):
    """What each of ``(rank, count)`` is told, and its error."""

    def one(rank, count):
        lines = []
        try:
            meet("localhost", port, rank, count, seconds, lines.append)
        except MissingError as error:
            return lines, str(error)
        return lines, None

    with ThreadPoolExecutor(len(who)) as pool:
        return list(pool.map(lambda each: one(*each), who))


def test_all_processes_meet_in_any_order(port):
    assert [error for _, error in met(port, (2, 3), (0, 3), (1, 3))] == [None] * 3
    assert [error for _, error in met(port, (0, 3), (1, 3), (2, 3))] == [None] * 3  # at once again


def test_who_is_missing_is_named_by_all_and_then_it_is_over(port):
    began = time.monotonic()
    first, second = met(port, (0, 4), (2, 4), seconds=1.0)
    assert time.monotonic() - began < 5
    for lines, error in (first, second):
        assert "Waiting for processes 1, 3 of 4." in lines
        assert error == "processes 1, 3 did not come within 1 s"


def test_without_process_0_there_is_a_reason(port):
    [(lines, error)] = met(port, (1, 2), seconds=0.5)
    assert f"Waiting for process 0 at localhost:{port}: Connection refused." in lines
    assert error == f"process 0 did not answer at localhost:{port} within 0 s: Connection refused"


def test_numbers_that_do_not_fit(port):
    wrong = "process 1 was started as one of 3, and process 0 as one of 2"
    assert [error for _, error in met(port, (0, 2), (1, 3))] == [wrong] * 2
    twice = "two processes are started as process 1"
    assert [error for _, error in met(port, (0, 3), (1, 3), (1, 3))] == [twice] * 3


def test_a_process_that_dies_while_it_waits_is_missing_and_may_come_again(port):
    died = threading.Event()

    def mortal():
        while True:
            try:
                line = socket.create_connection(("localhost", port), timeout=5)
                break
            except OSError:
                time.sleep(0.02)
        line.sendall(b"1 3\n")
        time.sleep(0.3)
        line.close()
        died.set()

    threading.Thread(target=mortal).start()
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(met, port, (0, 3))
        assert died.wait(10)
        others = pool.submit(met, port, (1, 3), (2, 3))
        lines, error = first.result()[0]
        assert [each for _, each in others.result()] == [None, None]
    assert error is None
    assert "Waiting for process 2 of 3." in lines


def test_strangers_are_not_heard(port):
    """A scan of ports, a browser; and at the other end a server of something else."""
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(met, port, (0, 2))
        for hello in (b"", b"GET / HTTP/1.0\r\n\r\n", b"1\n", b"-1 2\n", b"\xff\xff\n"):
            while True:
                try:
                    with socket.create_connection(("localhost", port)) as line:
                        line.sendall(hello)
                    break
                except OSError:
                    time.sleep(0.02)
        assert met(port, (1, 2))[0][1] is None
        assert first.result()[0][1] is None
    with socket.create_server(("localhost", port)) as other, ThreadPoolExecutor(1) as pool:
        second = pool.submit(met, port, (1, 2), seconds=0.6)
        caller, _ = other.accept()
        caller.sendall(b"\0\0\x12\4\0\n")  # as gRPC does
        caller.close()
    assert "what listens there is no process 0" in second.result()[0][0][0]


@pytest.mark.parametrize(
    ("address", "reason"),
    [
        ("localhost:0", "port 0 must be 1 to 65535"),
        ("localhost:65536", "port 65536 must be 1 to 65535"),
        ("no-such-host.invalid:1234", "no-such-host.invalid is not known here: "),
        ("a..b:1234", "a..b is not known here: "),
    ],
)
@pytest.mark.parametrize("rank", [0, 1])
def test_an_address_that_cannot_be_is_one_line_at_once(address, reason, rank, capsys):
    with pytest.raises(SystemExit) as stopped:
        run.main(["--plan", "--distributed", f"{address},{rank},2"])
    assert stopped.value.code == 2
    error = capsys.readouterr().err
    assert error.startswith(f"error: --distributed {address},{rank},2: {reason}")
    assert error.endswith("or continue without the others: --distributed off\n")
    assert error.count("\n") == 1


def test_a_port_that_is_taken_is_one_line_at_once(port, capsys):
    with socket.create_server(("", port)), pytest.raises(SystemExit):
        run.main(["--distributed", f"localhost:{port},0,2"])
    assert f"process 0 cannot listen at port {port}: Address already in use; " in capsys.readouterr().err


def test_the_command_line_ends_after_the_time_it_is_given(port, capsys):
    with pytest.raises(SystemExit):
        run.main(["--distributed", f"localhost:{port},0,3", "--distributed-wait", "0.3"])
    printed = capsys.readouterr()
    assert "Waiting for processes 1, 2 of 3.\n" in printed.out
    assert "processes 1, 2 did not come within 0 s; " in printed.err


def test_what_python_cannot_interrupt_is_watched():
    late, lines = [], []
    with within(0.35, lambda: late.append(True), lines.append):
        time.sleep(0.6)
    assert late == [True]
    assert set(lines) == {"Waiting for the other processes."}
    with within(60.0, lambda: late.append(True), lines.append):
        pass
    assert late == [True]


STUCK = """
import time
from jaxemerge.runner import processes
processes._expected = lambda environment: {"num_processes": 2}
processes.jax.distributed.initialize = lambda **arguments: time.sleep(60)
processes.join("auto", 0.2)
"""


def test_where_jax_waits_for_ever_the_process_ends_in_one_line():
    environment = {**os.environ, "PYTHONPATH": str(Path(jaxemerge.__file__).parents[1])}
    command = [sys.executable, "-c", STUCK]
    done = subprocess.run(command, capture_output=True, text=True, timeout=50, env=environment)
    assert done.returncode == 2
    assert done.stderr.startswith("error: --distributed auto: the other processes did not come within 0 s; ")
    assert done.stderr.count("\n") == 1


def test_a_process_that_waits_can_be_stopped(port):
    environment = {**os.environ, "PYTHONPATH": str(Path(jaxemerge.__file__).parents[1])}
    code = f"from jaxemerge.runner.processes import join\njoin('localhost:{port},0,2', 60, lambda line: None)"
    with subprocess.Popen([sys.executable, "-c", code], env=environment) as waiting:
        while True:
            try:
                socket.create_connection(("localhost", port)).close()
                break
            except OSError:
                time.sleep(0.05)
        waiting.send_signal(signal.SIGTERM)
        assert waiting.wait(timeout=20) == -signal.SIGTERM
