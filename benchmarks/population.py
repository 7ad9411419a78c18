"""A chunk of seeds of a cell, compiled and ready to be timed."""

from __future__ import annotations

import time

import jax
import numpy as np

from cells import Cell
from jaxemerge.devices import Layout
from jaxemerge.training import members, paired, program


class Population:
    """Seeds trained together; every seed draws its own data while it trains.

    Attributes:
        seeds: those that count.
        work: seed-steps of one unit of ``run``.
        compile_seconds: until the training program was ready; the one that draws weights is left out.
    """

    def __init__(self, cell: Cell, layout: Layout, seeds: int, *, fillers: int = 0) -> None:
        """Compiles; ``fillers`` are trained beside the seeds to fill the layout, and do not count."""
        self.seeds, self.work = seeds, float(seeds)
        self._program = program(cell, layout)
        who = paired(range(seeds + fillers))
        self._members = self._program.place(
            members(who, cell.optimizer.learning_rate, cell.optimizer.weight_decay, cell.steps)
        )
        self._state = self._program.init(self._members)
        # No step: the time is that of compiling, and of what a call takes for many seeds without any step.
        first, second = self._no_step(), self._no_step()
        self.compile_seconds = max(first - second, 0.0)

    def _no_step(self) -> float:
        began = time.perf_counter()
        self.run(0)
        return time.perf_counter() - began

    def losses(self, steps: int) -> list[float]:
        """Losses of the first seed in its first steps."""
        state, seen = self._program.init(self._members), []
        for step in range(steps):
            state, info = self._program.advance(state, self._members, step, step + 1, 0)
            seen.append(float(np.asarray(info.last.loss)[0]))
        return seen

    def run(self, steps: int) -> object:
        """Trains on, and returns when that is done."""
        self._state, info = self._program.advance(self._state, self._members, 0, steps, 0)
        return jax.block_until_ready(info)
