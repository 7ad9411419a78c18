"""jaxemerge as its users get it, and the devices' matrix-product peak."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from cells import Cell, laptop
from jaxemerge.devices import compiled, use_host_cores
from jaxemerge.training import make_plan, members, paired, program
from jaxemerge.training.step import initial_state, training_batch
from peak import products
from timing import Run
from worker import Common, Trainer, Work, serve

BATCHES = 8


class Population:
    """S seeds by the library's plan; every seed draws its own data while it trains."""

    def __init__(self, cell: Cell, seeds: int) -> None:
        plan = make_plan(cell, seeds)
        self.work = float(min(seeds, plan.chunk))
        self._program = program(cell, plan.layout)
        who = members(paired(range(plan.chunk)), cell.optimizer.learning_rate, cell.optimizer.weight_decay)
        self._members = self._program.place(who)
        self._state = self._program.init(self._members)

    def losses(self, steps: int) -> list[float]:
        state, seen = self._program.init(self._members), []
        for step in range(steps):
            state, info = self._program.advance(state, self._members, step, step + 1, 0)
            seen.append(float(np.asarray(info.last.loss)[0]))
        return seen

    def run(self, units: int) -> object:
        self._state, info = self._program.advance(self._state, self._members, 0, units, 0)
        return jax.block_until_ready(info)


class Product:
    """Matrix products of one size; a unit is one product on every device."""

    def __init__(self, run: Run) -> None:
        self.work = float(jax.local_device_count())
        self.run = run

    def losses(self, steps: int) -> list[float]:
        return []


def _share(cell: Cell, folder: str) -> None:
    """Writes seed 0's initial weights and first batches for the others."""
    who = jax.tree.map(lambda leaf: leaf[0], members(paired([0]), 0.0, 0.0))
    params = compiled(lambda: initial_state(cell, who).params)()
    named = {
        jax.tree_util.keystr(path, simple=True, separator="."): np.asarray(leaf)
        for path, leaf in jax.tree_util.tree_leaves_with_path(params)
    }
    batches = compiled(jax.vmap(lambda step: training_batch(cell, who, step)))(jnp.arange(BATCHES))
    Common(named, np.asarray(batches.tokens), np.asarray(batches.weights)).write(folder)


def trainers(work: Work) -> Mapping[str, Callable[[], Trainer]]:
    use_host_cores()
    cell = laptop(work.width, work.depth, work.batch, work.context)
    _share(cell, work.folder)
    peaks = {name: partial(Product, run) for name, run in products("float32").items()}
    return {"jaxemerge": lambda: Population(cell, work.seeds), **peaks}


if __name__ == "__main__":
    serve(trainers)
