"""jaxemerge as its users get it, and the devices' matrix-product peak."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from cells import Cell
from jaxemerge.devices import compiled, use_host_cores
from jaxemerge.tasks import Batch, pack_batch
from jaxemerge.training import make_plan, members, paired
from jaxemerge.training.step import data_key, initial_state
from peak import products
from population import Population
from timing import Run
from worker import Common, Trainer, Work, serve

BATCHES = 8


def _population(cell: Cell, seeds: int) -> Population:
    """By the library's plan."""
    plan = make_plan(cell, seeds)
    counted = min(seeds, plan.chunk)
    return Population(cell, plan.layout, counted, fillers=plan.chunk - counted)


class Product:
    """Matrix products of one size; a unit is one product on every device."""

    def __init__(self, run: Run) -> None:
        self.work = float(jax.local_device_count())
        self.run = run

    def losses(self, steps: int) -> list[float]:
        return []


def _share(cell: Cell, folder: str) -> None:
    """Writes seed 0's initial weights and first batches for the others."""
    who = jax.tree.map(lambda leaf: leaf[0], members(paired([0]), 0.0, 0.0, 1.0))
    params = compiled(lambda: initial_state(cell, who).params)()
    named = {
        jax.tree_util.keystr(path, simple=True, separator="."): np.asarray(leaf)
        for path, leaf in jax.tree_util.tree_leaves_with_path(params)
    }

    def batch(step: jax.Array) -> Batch:
        return pack_batch(cell.task, data_key(who.data_seed, step), cell.batch, cell.context)

    batches = compiled(jax.vmap(batch))(jnp.arange(BATCHES))
    Common(named, np.asarray(batches.tokens), np.asarray(batches.weights)).write(folder)


def trainers(work: Work) -> Mapping[str, Callable[[], Trainer]]:
    use_host_cores()
    cell = work.cell
    _share(cell, work.folder)
    peaks = {name: partial(Product, run) for name, run in products(work.dtype).items()}
    return {"jaxemerge": lambda: _population(cell, work.seeds), **peaks}


if __name__ == "__main__":
    serve(trainers)
