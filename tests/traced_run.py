"""The command line as a program that notes what it does in a file, for tests that kill it.

Every line is a JSON object: the state after a dispatch, a checkpoint that was gone on from, a part committed.
It knows two studies of its own: one cell, and twelve that share one compiled program. It writes no report,
which takes longer than the training, unless asked to.

Each run is a process of its own, forked from one that has imported all modules and has not started JAX:
importing them again takes longer than many a test trains.
"""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from multiprocessing import forkserver
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest import mock

import jax
import numpy as np

from coarse_run import coarse
from jaxemerge import AdamW, Count, Experiment, cli, neox, paired
from jaxemerge.cli import run as training
from jaxemerge.runner import chunk
from jaxemerge.runner.store import Store
from jaxemerge.runner.sweep import cells, product

train_chunk, write = chunk.train_chunk, Store.write
FORKS = multiprocessing.get_context("forkserver")
FORKS.set_forkserver_preload(["traced_run"])


class Running:
    """The program at work; signals, exit code and output as of ``subprocess.Popen``."""

    def __init__(self, notes: Path, stop: int, arguments: Sequence[object], *, report: bool) -> None:
        """Starts it.

        Args:
            notes: file for its notes.
            stop: a step after which it sends itself SIGTERM, or 0.
            arguments: of the command line.
            report: whether it writes a report.
        """
        handle, output = tempfile.mkstemp(dir=os.environ["XDG_CACHE_HOME"])  # removed when the tests end
        os.close(handle)
        self._output = Path(output)
        words = list(map(str, arguments))
        with mock.patch.dict(os.environ, PYTHONPATH=os.pathsep.join(filter(None, sys.path))):
            forkserver.ensure_running()  # it finds the modules that this process finds
        given = (self._output, notes, stop, words, report)
        self._process = FORKS.Process(target=_alone, args=given, daemon=True)  # it ends with the tests
        self._process.start()
        self.pid = int(self._process.pid or 0)
        self.kill = self._process.kill

    def send_signal(self, number: int) -> None:
        os.kill(self.pid, number)

    def poll(self) -> int | None:
        """The exit code, or minus the signal that killed it; None while it runs."""
        return self._process.exitcode

    @property
    def printed(self) -> str:
        """What it has printed so far."""
        return self._output.read_text()

    def wait_until(self, text: str, timeout: float = 120.0) -> None:
        """Returns when it has printed the text, or has ended."""
        end = time.monotonic() + timeout
        while text not in self.printed and self.poll() is None and time.monotonic() < end:
            time.sleep(0.01)

    def wait(self, timeout: float = 500.0) -> int:
        """The exit code.

        Raises:
            subprocess.TimeoutExpired: it has not ended within so many seconds.
        """
        self._process.join(timeout)
        if (code := self.poll()) is None:
            raise subprocess.TimeoutExpired("traced_run", timeout)
        return code


def _alone(output: Path, notes: Path, stop: int, arguments: list[str], report: bool) -> None:
    """What the process does."""
    file = open(output, "w", buffering=1)  # noqa: SIM115 - to its end
    for number in (1, 2):
        os.dup2(file.fileno(), number)
    sys.stdout = sys.stderr = file
    sys.exit(main(notes, stop, arguments, report))


def digest(state: Any, n: int) -> str:
    """Of all arrays of the first n seeds: weights, optimizer, flags."""
    leaves = [np.ascontiguousarray(np.asarray(leaf)[:n]) for leaf in jax.tree.leaves(state)]
    return hashlib.sha256(b"".join(leaf.tobytes() for leaf in leaves)).hexdigest()


def main(notes: Path, stop: int, arguments: list[str], report: bool) -> int:
    def note(**fields: Any) -> None:
        with open(notes, "a") as file:
            file.write(json.dumps({"pid": os.getpid(), **fields}) + "\n")

    def noting(experiment: Any, plan: Any, who: Any, *, resume: Any, **options: Any) -> Any:
        seeds = np.stack([who.init_seed, who.data_seed], axis=1).tolist()

        def gone_on(built: Any, population: Any) -> Any:
            resumed = resume(built, population)
            note(kind="begun", seeds=seeds, step=resumed.step, digest=digest(resumed.state, len(seeds)))
            return resumed

        running = train_chunk(experiment, plan, who, resume=gone_on if resume else None, **options)
        for progress, snapshot in running:
            if snapshot is not None:
                seen = digest(snapshot.state, len(seeds))
                note(kind="done", seeds=seeds, step=progress.step, digest=seen)
            if progress.step == stop > 0:
                os.kill(os.getpid(), signal.SIGTERM)
            yield progress, snapshot

    def committing(self: Store, cell: str, *rest: Any) -> None:
        write(self, cell, *rest)
        note(kind="committed", cell=cell)

    chunk.train_chunk = noting
    Store.write = committing  # type: ignore[method-assign]
    if report:
        coarse()
    else:
        training.conclude = lambda *_: 0
    front = Path(__file__).parents[1] / "experiments" / "run.py"
    studies = {"count_quick": SimpleNamespace(cells=one), "twelve": SimpleNamespace(cells=twelve)}
    return cli.main(arguments, studies, str(front))


def one(quick: bool) -> tuple[Experiment, ...]:
    """The first cell of the study of this name, as far as training goes."""
    return (
        Experiment(
            task=Count(numbers=40, train_length=10, test_lengths=(10, 15)),
            model=neox(1, 64, 2),
            optimizer=AdamW(learning_rate=3e-3, warmup=30, weight_decay=0.1, clip=1.0),
            steps=60,
            batch=2,
            context=64,
            seeds=paired(range(4)),
            evaluations=5,
            study="count_quick",
            family="count_quick",
        ),
    )


def twelve(quick: bool) -> tuple[Experiment, ...]:
    """Twelve learning rates."""
    base = Experiment(
        task=Count(11, 3, (3, 5)),
        model=neox(1, 24, 3),
        optimizer=AdamW(warmup=2),
        steps=20,
        batch=2,
        context=13,
        seeds=paired(range(2)),
        evaluations=4,
        study="twelve",
    )
    return cells(base, product({"optimizer.learning_rate": [1e-3 * (i + 1) for i in range(12)]}))
