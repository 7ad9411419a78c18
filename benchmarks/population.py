"""A chunk of seeds of a cell, compiled and ready to be timed."""

from __future__ import annotations

import copy
import time
from collections.abc import Iterable
from typing import Any

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
        layout: where they are trained.
        compile_seconds: of the training program; the one that draws weights is left out.
    """

    def __init__(self, cell: Cell, layout: Layout, seeds: int, *, fillers: int = 0, now: bool = True) -> None:
        """Compiles.

        Args:
            cell: what is trained.
            layout: where, and how many seeds side by side.
            seeds: how many, numbered from 0.
            fillers: further seeds that fill the layout and do not count.
            now: whether the weights are drawn at once; else ``start`` does it.
        """
        self.seeds, self.work, self.layout = seeds, float(seeds), layout
        self._program = program(cell, layout)
        self._cell, self._members = cell, self._placed(cell, range(seeds + fillers))
        self._state: Any = None
        draw: Any = self._program.init  # jitted
        self._drawn = draw.lower(self._members).compile()
        began = time.perf_counter()
        self._compiled = self._lowered().compile()
        self.compile_seconds = time.perf_counter() - began
        if now:
            self.start()

    def _lowered(self) -> Any:
        shapes = jax.eval_shape(self._program.init, self._members)
        placed = jax.tree.map(
            lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=self.layout.sharding), shapes
        )
        advance: Any = self._program.advance  # jitted
        return advance.lower(placed, self._members, 0, 1, 0)

    def _placed(self, cell: Cell, seeds: Iterable[int]) -> Any:
        own = cell.optimizer
        who = members(paired(seeds), own.learning_rate, own.weight_decay, cell.steps)
        return self._program.place(who)

    def of(self, first: int) -> Population:
        """The same program for other seeds, numbered from ``first``."""
        other = copy.copy(self)
        count = len(self._members.init_seed)
        other._members, other._state = self._placed(self._cell, range(first, first + count)), None
        return other

    def start(self) -> None:
        """Draws the initial weights."""
        self._state = self._drawn(self._members)

    def stop(self) -> None:
        """Gives the memory of the state back."""
        self._state = None

    def text(self) -> str:
        """The compiled training program."""
        return self._compiled.as_text() or ""

    def temporary_bytes(self) -> int | None:
        """Memory that the training program takes besides the state; None where the backend does not say."""
        analysis = self._compiled.memory_analysis()
        return None if analysis is None else int(analysis.temp_size_in_bytes)

    def losses(self, steps: int) -> list[float]:
        """Losses of the first seed in its first steps."""
        state, seen = self._drawn(self._members), []
        for step in range(steps):
            state, info = self._compiled(state, self._members, step, step + 1, 0)
            seen.append(float(np.asarray(info.last.loss)[0]))
        return seen

    def weights(self, steps: int) -> Any:
        """Weights [S, ...] of all seeds after their first steps, on the host."""
        return jax.tree.map(np.asarray, self._advanced(steps)[0].params)

    def final_losses(self, steps: int) -> np.ndarray:
        """Losses [S] of all seeds in the last of their first steps."""
        return np.asarray(self._advanced(steps)[1].last.loss)

    def _advanced(self, steps: int) -> Any:
        return self._compiled(self._drawn(self._members), self._members, 0, steps, 0)

    def run(self, steps: int) -> object:
        """Trains on, and returns when that is done."""
        self._state, info = self._compiled(self._state, self._members, 0, steps, 0)
        return jax.block_until_ready(info)
