"""How do libraries that each want all cores share one benchmark? In processes of their own, in turns.

A worker prepares its trainers when first asked and trains when told; between turns it waits for its
standard input and uses no core. Requests and answers are lines of JSON.
"""

from __future__ import annotations

import dataclasses
import json
import os
import select
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol, TextIO

import numpy as np

from cells import Cell, peer

_COMMON = "common.npz"


class WorkerError(RuntimeError):
    """A worker could not do what it was asked."""


@dataclasses.dataclass(frozen=True)
class Work:
    """What all variants train.

    Attributes:
        width, depth, batch, context: of the cell.
        seeds: trained by one call of the variants that train several at once.
        folder: where the common weights and batches are.
        core: the only core to use, or -1 for all.
        study: whether it is the count study's task and heads instead of the quick study's.
        dtype: precision of the computation; weights and moments are float32.
    """

    width: int
    depth: int
    batch: int
    context: int
    seeds: int
    folder: str
    core: int = -1
    study: bool = False
    dtype: str = "float32"

    @property
    def cell(self) -> Cell:
        """What is trained."""
        shape = {name: getattr(self, name) for name in ("width", "depth", "batch", "context")}
        return peer(study=self.study, dtype=self.dtype, **shape)


class Trainer(Protocol):
    """One variant.

    Attributes:
        work: seed-steps of one unit of ``run``.
    """

    work: float

    def losses(self, steps: int) -> list[float]:
        """Losses of seed 0 in its first steps, from the common weights on the common batches."""

    def run(self, units: int) -> object:
        """Trains on, and returns when that is done."""


@dataclasses.dataclass(frozen=True)
class Common:
    """What all start from, written by jaxemerge.

    Attributes:
        weights: by dotted name, float32.
        tokens, weights_of_loss: batches [N, B, L]; the first ones are seed 0's in the first steps.
    """

    weights: dict[str, np.ndarray]
    tokens: np.ndarray
    weights_of_loss: np.ndarray

    def write(self, folder: str) -> None:
        """Writes all arrays into one file."""
        named: dict[str, Any] = {f"weights.{name}": value for name, value in self.weights.items()}
        np.savez(Path(folder, _COMMON), tokens=self.tokens, weights_of_loss=self.weights_of_loss, **named)

    @staticmethod
    def read(folder: str) -> Common:
        """Reads what ``write`` wrote."""
        with np.load(Path(folder, _COMMON), allow_pickle=False) as file:
            prefix = "weights."
            named = {n.removeprefix(prefix): file[n] for n in file.files if n.startswith(prefix)}
            return Common(named, file["tokens"], file["weights_of_loss"])


def serve(trainers: Callable[[Work], Mapping[str, Callable[[], Trainer]]]) -> None:
    """Answers requests until standard input ends; the program's only argument is its Work as JSON."""
    answers = own_output()
    work = Work(**json.loads(sys.argv[1]))
    if work.core >= 0:
        os.sched_setaffinity(0, {work.core})
    makers = trainers(work)
    made: dict[str, Trainer] = {}
    answer_requests(answers, lambda what, name, n: _answer(makers, made, what, name, n))


def own_output() -> TextIO:
    """Standard output for answers alone: what libraries print goes to standard error from now on."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    return answers


def answer_requests(answers: TextIO, handle: Callable[[str, str, int], dict[str, Any]]) -> None:
    """Answers every line of standard input; an exception becomes an answer of its own."""
    for line in sys.stdin:
        try:
            answer = json.dumps(handle(*json.loads(line)))
        except Exception as error:
            traceback.print_exc()
            why = f"{type(error).__name__}: {str(error).strip().partition(chr(10))[0]}"
            answer = json.dumps({"error": why})
        print(answer, file=answers, flush=True)


def _answer(
    makers: Mapping[str, Callable[[], Trainer]], made: dict[str, Trainer], what: str, name: str, n: int
) -> dict[str, Any]:
    if what == "list":
        return {"names": list(makers)}
    if name not in made:
        made[name] = makers[name]()
    if what == "losses":
        return {"losses": made[name].losses(n), "work": made[name].work}
    made[name].run(n)
    return {}


class Worker:
    """The parent's end of a worker process.

    Attributes:
        log: file of what it prints.
        deadline: when ``answer`` stops waiting, by ``time.monotonic``; None for as long as it takes.
    """

    def __init__(
        self, script: Path, work: Mapping[str, Any], environment: Mapping[str, str], log: Path
    ) -> None:
        self.log = log
        self.deadline: float | None = None
        self._unread = b""
        with log.open("a") as errors:
            self._process = subprocess.Popen(
                [sys.executable, str(script), json.dumps(dict(work))],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                bufsize=0,
                env={**os.environ, **environment},
            )

    def ask(self, what: str, name: str = "", n: int = 0) -> None:
        """Sends a request; ``answer`` waits for what comes of it."""
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(f"{json.dumps([what, name, n])}\n".encode())
        except BrokenPipeError:
            raise self._ended() from None

    def answer(self) -> dict[str, Any]:
        """The answer to the oldest open request.

        Raises:
            WorkerError: the worker failed, ended, or took too long; then it is ended.
        """
        answer = json.loads(self._line())
        if "error" in answer:
            raise WorkerError(answer["error"])
        return answer

    def _line(self) -> bytes:
        """The next line that it prints; a line may come in pieces."""
        assert self._process.stdout is not None
        began = time.monotonic()
        while b"\n" not in self._unread:
            left = None if self.deadline is None else max(0.0, self.deadline - time.monotonic())
            ready, _, _ = select.select([self._process.stdout], [], [], left)
            if not ready:
                self._process.kill()
                raise WorkerError(f"no answer within {time.monotonic() - began:.0f} s")
            piece = os.read(self._process.stdout.fileno(), 1 << 16)
            if not piece:
                raise self._ended()
            self._unread += piece
        line, _, self._unread = self._unread.partition(b"\n")
        return line

    def _ended(self) -> WorkerError:
        last = self.log.read_text().strip().rpartition("\n")[2]
        return WorkerError(f"its process ended: {last or 'no message'}")

    def close(self, wait: float = 10.0) -> None:
        """Ends the process, after ``wait`` seconds at most."""
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                stream.close()
        try:
            self._process.wait(timeout=wait)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
