"""Signals while compiling, stepping, evaluating and saving: a clean end, and the same results afterwards."""

import contextlib
import errno
import importlib
import io
import os
import signal
import sys
import threading
import time
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import pytest

from jaxemerge import Count, Experiment, cli, neox, paired
from jaxemerge.runner import checkpoint, chunk, jobs, signals
from jaxemerge.runner.opening import open_store
from jaxemerge.training import population

training = importlib.import_module("jaxemerge.runner.train")  # the package's `train` is the function
program = importlib.import_module("jaxemerge.cli.run")
SHORT = {}  # studies
MOMENTS = ("compiling", "stepping", "evaluating", "saving")


@pytest.fixture(scope="module")
def cell():
    made = Experiment(
        Count(11, 3, (3, 5)), neox(1, 24, 3), steps=18, batch=2, context=13, seeds=paired(range(4)),
        evaluations=(4, 9), study="short",
    )  # fmt: skip
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(SHORT, "short", SimpleNamespace(cells=lambda quick: (made,)))
        patch.setattr(signals, "PATIENCE", 600.0)  # not to end the tests
        patch.setattr("jaxemerge.cli.report.write", lambda *_, **__: None)  # no concern of these tests
        yield made


@pytest.fixture(scope="module")
def rows(cell, tmp_path_factory):
    return finished(tmp_path_factory.mktemp("whole") / "out")


def command(folder):
    return cli.main(["short", "--no-cache", "--checkpoint-every", "0", "--out", str(folder)], SHORT)


def finished(folder):
    assert command(folder) == 0
    store = open_store(folder)
    assert store.damage() == []
    assert [p for p in folder.rglob("*") if p.name.endswith((".partial", ".lock", "checkpoints"))] == []
    return store.results()


class Sender:
    """Sends signals to this process, once."""

    def __init__(self, *numbers):
        self.numbers, self.sent, self.came_back = numbers, False, False

    def around(self, call):
        """Makes a call that is interrupted before its end by this thread, between two of its lines."""

        def interrupted(*arguments, **options):
            if self.sent:
                return call(*arguments, **options)
            self.sent = True
            for number in self.numbers:
                os.kill(os.getpid(), number)
            found = call(*arguments, **options)
            self.came_back = True
            return found

        return interrupted

    def during(self, call):
        """The same from another thread, while the call is at work."""

        def interrupted(*arguments):
            if not self.sent:
                self.sent = True
                timer = threading.Timer(0.2, lambda: [os.kill(os.getpid(), n) for n in self.numbers])
                timer.start()
                began = time.monotonic()
                found = call(*arguments)
                took = time.monotonic() - began
                timer.join()  # a signal that comes later would end the tests
                assert took > 0.2  # it did compile
                self.came_back = True
                return found
            return call(*arguments)

        return interrupted


def sends(monkeypatch, moment, sender):
    """Has the sender do so at a moment."""
    if moment == "compiling":
        true_look = population._first_look

        def looking(*arguments):
            # A program that is in no cache, where it would be found in no time: its constant is new, for
            # below 2^24 every whole number is a float32 of its own.
            anew = time.monotonic_ns() // 1_000_000 % 2**24
            sender.during(lambda: jax.jit(lambda x: long_to_compile(x) + anew).lower(1.0).compile())()
            return true_look(*arguments)

        monkeypatch.setattr(population, "_first_look", looking)
    elif moment == "stepping":
        true = training.train_population

        def stepping(built, *rest, **more):
            for snapshot in true(built, *rest, **more):
                if snapshot.step == 9:  # its dispatch is on the device
                    sender.around(lambda: None)()
                yield snapshot

        monkeypatch.setattr(training, "train_population", stepping)
    elif moment == "evaluating":
        true_scored = training._scored

        def scored(snapshot, score):
            at = sender.around(score) if snapshot.step == 9 else score
            return true_scored(snapshot, at)

        monkeypatch.setattr(training, "_scored", scored)
    else:
        true_orbax = checkpoint._orbax
        saves = iter(range(100))

        def saving(use):
            second = next(saves) == 1
            return true_orbax(lambda saver: sender.around(lambda: use(saver))() if second else use(saver))

        monkeypatch.setattr(checkpoint, "_orbax", saving)


@pytest.mark.parametrize("moment", MOMENTS)
@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_ends_cleanly_and_the_command_goes_on(
    cell, rows, tmp_path, monkeypatch, capsys, moment, number, code
):
    folder, sender = tmp_path / "out", Sender(number)
    with monkeypatch.context() as patch:
        sends(patch, moment, sender)
        assert command(folder) == code
    assert sender.came_back  # what was being done was brought to its end
    said = capsys.readouterr().out
    assert f"{signal.Signals(number).name}: stopping after a checkpoint." in said
    assert "Run the same command again to resume." in said
    steps = [chunk.record()["step"] for chunk in open_store(folder).checkpointed(cell.cell)]
    assert steps == ([] if moment == "compiling" else [9])
    assert finished(folder).equals(rows)
    assert ("resuming from the checkpoint of step 9." in capsys.readouterr().out) == (moment != "compiling")


def long_to_compile(x):
    for i in range(2000):
        x = jnp.sin(x) * i
    return x


@pytest.mark.parametrize("moment", MOMENTS[1:])  # tests/runner/test_signals.py has the first
def test_a_second_control_c_stops_at_once_and_harms_nothing(
    cell, rows, tmp_path, monkeypatch, capsys, moment
):
    folder, sender = tmp_path / "out", Sender(signal.SIGINT, signal.SIGINT)
    with monkeypatch.context() as patch:
        sends(patch, moment, sender)
        assert command(folder) == 130
    assert sender.sent
    assert not sender.came_back
    assert "finished seeds and checkpoints are kept" in capsys.readouterr().out
    with contextlib.suppress(FileNotFoundError):
        assert open_store(folder).damage() == []
    assert finished(folder).equals(rows)


def test_a_signal_before_and_after_training(cell, rows, tmp_path, monkeypatch, capsys):
    """While plans are made, and while the report is written: that stops at once."""
    folder, early, late = tmp_path / "out", Sender(signal.SIGTERM), Sender(signal.SIGTERM)
    with monkeypatch.context() as patch:
        patch.setattr(program, "jobs", early.around(jobs.jobs))
        assert command(folder) == 143
    assert "Run the same command again to resume." in capsys.readouterr().out
    with monkeypatch.context() as patch:
        patch.setattr("jaxemerge.cli.report.write", late.around(lambda *_, **__: None))
        assert command(folder) == 143
    assert not late.came_back
    assert "Run the same command again to resume." in capsys.readouterr().out
    assert finished(folder).equals(rows)


class Gone(io.StringIO):
    """A terminal that was closed."""

    def write(self, text):
        raise OSError(errno.EIO, os.strerror(errno.EIO))


def test_a_terminal_that_is_gone_does_not_end_training(rows, tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(sys, "stdout", Gone())
        patch.setattr(sys, "stderr", Gone())
        assert command(tmp_path / "out") == 0
    assert open_store(tmp_path / "out").results().equals(rows)


def test_out_of_memory_is_recorded_with_the_run(cell, tmp_path, monkeypatch, capsys):
    """More than two seeds at once fail: the plan that was used instead is written down."""
    true = chunk.train_chunk

    def failing(experiment, plan, seeds, **more):
        for seen in true(experiment, plan, seeds, **more):
            if plan.chunk > 2:
                raise MemoryError
            yield seen

    monkeypatch.setattr(chunk, "train_chunk", failing)
    assert command(tmp_path / "out") == 0
    assert "Out of memory: continuing with 2 seeds at once." in capsys.readouterr().out
    plans = [record["plan"] for record in open_store(tmp_path / "out").records()]
    assert [(plan["chunk"], plan["source"]) for plan in plans] == [(2, "halved"), (2, "halved")]
