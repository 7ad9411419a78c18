"""Other programs for the same training on the same accelerator: compiled first, then timed in turn.

A program that fails, or is not compiled in time, is named and left out; the others are still compared.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import peak
import peers
import timing
from jaxemerge.files import make_folder
from worker import Work, WorkerError

SEEDS = 16  # at once, of those that train several
_SHAPES = {"4x64": (64, 4, 128, 256), "4x256": (256, 4, 128, 256)}
CELLS = tuple(_SHAPES)
_TINY_SHAPE = (32, 1, 2, 16)
_LOSSES = 5.0  # seconds for the first losses of programs that are compiled


class _FailedError(WorkerError):
    """One of them failed while it was timed."""

    def __init__(self, name: str, why: WorkerError) -> None:
        super().__init__(str(why))
        self.name = name


class Rivals:
    """Processes that train the same cell; this library's is among them.

    Attributes:
        faults: those that are left out, and why.
    """

    def __init__(
        self,
        cell: str,
        names: Sequence[str],
        folder: Path,
        variables: Mapping[str, str],
        deadline: float,
        *,
        tiny: bool = False,
    ) -> None:
        """Starts them; they compile in the background.

        Args:
            cell: one of ``CELLS``.
            names: of ``peers.VARIANTS``.
            folder: for logs and what all start from.
            variables: of the environment of all processes.
            deadline: when everything must be done, by ``time.monotonic``.
            tiny: whether it is a small cell instead, to rehearse.

        Raises:
            WorkerError: this library's process failed.
        """
        width, depth, batch, context = _TINY_SHAPE if tiny else _SHAPES[cell]
        make_folder(folder)
        self.work = Work(
            **{"width": width, "depth": depth, "batch": batch, "context": context},
            seeds=2 if tiny else SEEDS,
            folder=str(folder),
            study=not tiny,
            dtype="bfloat16",
        )
        self.rounds, self.seconds = (2, 0.05) if tiny else (4, 0.8)
        self.faults: dict[str, str] = {}
        self.teams, self.workers = peers.start(self.work, names, variables, deadline)
        for name, team in list(self.teams.items()):
            try:
                team.prepare()
            except WorkerError as error:
                self._leave_out(name, error)

    def measure(
        self, deadline: float, device: str, keep: Callable[[dict[str, Any]], object] = lambda part: None
    ) -> dict[str, Any]:
        """Compares losses, then speeds.

        Args:
            deadline: when it must be done, by ``time.monotonic``.
            device: its name, for the table.
            keep: called with the answer so far after every round.

        Raises:
            WorkerError: this library's process failed, or there is no time left.
        """
        self._wait_until(deadline - self._timing_seconds)
        self.faults |= peers.checked(self.teams, peers.TOLERANCE["bfloat16"])
        self._wait_until(deadline)
        self.teams = {name: team for name, team in self.teams.items() if name not in self.faults}

        def so_far(seen: Mapping[str, Sequence[float]]) -> None:
            keep(self._answer(seen, device))

        seen = self._timed(so_far)
        print(peers.report(peers.results(self.teams, seen, self.work, device)), flush=True)
        return self._answer(seen, device)

    @property
    def _timing_seconds(self) -> float:
        """What all rounds take, calibration included."""
        return _LOSSES + (self.rounds + 2) * 2 * self.seconds * len(self.teams)

    def _wait_until(self, deadline: float) -> None:
        for worker in self.workers:
            worker.deadline = deadline

    def _timed(self, so_far: Callable[[Mapping[str, Sequence[float]]], object]) -> dict[str, list[float]]:
        """Seconds per unit of work. If a program fails, it is dropped and timing starts over."""
        while True:
            runs = {name: _named(name, team.run) for name, team in self.teams.items()}
            try:
                return timing.interleaved(runs, rounds=self.rounds, seconds=self.seconds, so_far=so_far)
            except _FailedError as error:
                if error.name == peers.OURS or peak.is_product(error.name):
                    raise
                self._leave_out(error.name, error)

    def _leave_out(self, name: str, why: WorkerError) -> None:
        if name == peers.OURS:
            self.close()
            raise why
        self.faults[name] = str(why)
        del self.teams[name]

    def _answer(self, seen: Mapping[str, Sequence[float]], device: str) -> dict[str, Any]:
        times = {name: list(each) for name, each in seen.items()}
        found = peers.results(self.teams, times, self.work, device)
        lines = [{"variant": r.variant, "value": r.value, "unit": r.unit, **r.more} for r in found]
        return {"peers": [{"cell": self.work.cell.name, "results": lines, "left_out": dict(self.faults)}]}

    def close(self) -> None:
        """Ends all processes."""
        for worker in self.workers:
            worker.close(wait=0.2)


def _named(name: str, run: timing.Run) -> timing.Run:
    """The same, with failures that say whose they are."""

    def named(units: int) -> object:
        try:
            return run(units)
        except WorkerError as error:
            raise _FailedError(name, error) from error

    return named


def time_left(deadline: float) -> float:
    """Seconds until a deadline, at least 0."""
    return max(0.0, deadline - time.monotonic())
