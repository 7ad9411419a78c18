"""How do libraries that each want all cores share one benchmark? In processes of their own, in turns.

A worker prepares its trainers when first asked and trains when told; between turns it waits for its
standard input and uses no core. Requests and answers are lines of JSON.
"""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol

import numpy as np

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
    """

    width: int
    depth: int
    batch: int
    context: int
    seeds: int
    folder: str
    core: int = -1


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
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what libraries print is no answer
    work = Work(**json.loads(sys.argv[1]))
    if work.core >= 0:
        os.sched_setaffinity(0, {work.core})
    makers = trainers(work)
    made: dict[str, Trainer] = {}
    for line in sys.stdin:
        try:
            answer = _answer(makers, made, *json.loads(line))
        except Exception as error:
            traceback.print_exc()
            answer = {"error": f"{type(error).__name__}: {str(error).strip().partition(chr(10))[0]}"}
        print(json.dumps(answer), file=answers, flush=True)


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
    """The parent's end of a worker process."""

    def __init__(self, script: Path, work: Work, environment: Mapping[str, str], log: Path) -> None:
        self.log = log
        with log.open("a") as errors:
            self._process = subprocess.Popen(
                [sys.executable, str(script), json.dumps(dataclasses.asdict(work))],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                env={**os.environ, **environment},
            )

    def ask(self, what: str, name: str = "", n: int = 0) -> None:
        """Sends a request; ``answer`` waits for what comes of it."""
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps([what, name, n]) + "\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            raise self._ended() from None

    def answer(self) -> dict[str, Any]:
        """The answer to the oldest open request.

        Raises:
            WorkerError: the worker failed, or ended.
        """
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise self._ended()
        answer = json.loads(line)
        if "error" in answer:
            raise WorkerError(answer["error"])
        return answer

    def _ended(self) -> WorkerError:
        last = self.log.read_text().strip().rpartition("\n")[2]
        return WorkerError(f"its process ended: {last or 'no message'}")

    def close(self) -> None:
        """Ends the process."""
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                stream.close()
        try:
            self._process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
