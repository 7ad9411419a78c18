"""Signals are noted, and obeyed where the program asks."""

import os
import signal

import pytest

from jaxemerge.runner.signals import StoppedError, StopRequest


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGUSR2, 140)]
)
def test_a_signal_waits_until_it_is_asked_for(number, code):
    told = []
    with StopRequest(told.append) as stop:
        stop.raise_if_asked()
        assert not stop
        os.kill(os.getpid(), number)
        assert stop
        with pytest.raises(StoppedError, match=signal.Signals(number).name) as stopped:
            stop.raise_if_asked()
    assert stopped.value.exit_code == code
    assert told == [number]


def test_a_second_interrupt_stops_at_once_and_a_second_term_does_not():
    with StopRequest() as stop:
        os.kill(os.getpid(), signal.SIGTERM)
        os.kill(os.getpid(), signal.SIGTERM)
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
        with pytest.raises(StoppedError, match="SIGTERM"):
            stop.raise_if_asked()


def test_former_handlers_come_back():
    before = [signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR2)]
    with StopRequest():
        assert signal.getsignal(signal.SIGTERM) != before[1]
    assert [signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR2)] == before


def test_a_signal_to_another_process_is_obeyed_too():
    elsewhere = [0]
    stop = StopRequest(elsewhere=lambda: elsewhere[0])
    stop.raise_if_asked()
    elsewhere[0] = signal.SIGTERM
    assert stop
    elsewhere[0] = 0  # it is not forgotten
    with pytest.raises(StoppedError, match="SIGTERM"):
        stop.raise_if_asked()
