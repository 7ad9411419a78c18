"""Cells that ride along in one program: each seed gets what it would have got alone."""

import dataclasses
import io
from typing import Any

import numpy as np
import polars as pl
import pytest
from rich.console import Console

import chunks
from chunks import called
from jaxemerge import paired
from jaxemerge.analysis import rescore
from jaxemerge.devices import compiled
from jaxemerge.evaluation import scores, sheet
from jaxemerge.evaluation.metrics import ANSWER_NLL
from jaxemerge.runner import chunk as chunk_module
from jaxemerge.runner.chunk import RunOptions, run_chunk
from jaxemerge.runner.groups import grouped
from jaxemerge.runner.jobs import jobs
from jaxemerge.runner.opening import create_store
from jaxemerge.runner.progress import Display
from jaxemerge.runner.signals import StoppedError
from jaxemerge.runner.store import Store
from jaxemerge.runner.study import train_jobs
from jaxemerge.runner.sweep import override
from jaxemerge.runner.weights import unnamed
from jaxemerge.training import init_shapes

# The bits of seeds alone and together are to be those that users get.
pytestmark = pytest.mark.usefixtures("full_optimization")

KEY = ["cell", "init_seed", "step", "length", "metric"]
RATES = (3e-3, 1e-2, 3e-2)


@pytest.fixture(scope="module")
def grid(tiny):
    """Three learning rates with 2, 3 and 1 seeds."""
    seeds = (paired([4, 0]), paired([1, 0, 7]), paired([5]))
    cells = [override(tiny, {"optimizer.learning_rate": rate}) for rate in RATES]
    return [cell.with_seeds(own) for cell, own in zip(cells, seeds, strict=True)]


@pytest.fixture(scope="module")
def alone(grid, tmp_path_factory):
    """Rows of each cell trained by itself."""
    store = create_store(tmp_path_factory.mktemp("alone"), "grid", grid)
    for cell in grid:
        [job] = jobs([cell], None)
        job = dataclasses.replace(job, columns={"learning_rate": cell.optimizer.learning_rate})
        for seeds in job.chunks:
            for _ in chunks.run_chunk(job, seeds, store):
                pass
    return store.results().sort(KEY)


class AskedAfter:
    """A stop that is asked for when it was looked at ``n`` times."""

    def __init__(self, n: int) -> None:
        self.left = n

    def __bool__(self) -> bool:
        self.left -= 1
        return self.left < 0

    def raise_if_asked(self) -> None:
        if self.left < 0:
            raise StoppedError(15)


def seeds_of(chunk):
    return [seed for part in chunk.parts for seed in part.seeds]


def train_all(cells, store, **options: Any):
    sizes = []
    for group in grouped(jobs(cells, store, chunk=4)):
        for chunk in group.chunks:
            sizes.append((len(chunk), len(chunk.parts)))
            for _ in run_chunk(chunk, store, RunOptions(**options)):
                pass
    return sizes


def test_each_cell_keeps_its_own_rows_and_they_are_those_it_has_alone(grid, alone, tmp_path):
    store = create_store(tmp_path, "grid", grid)
    assert train_all(grid, store) == [(4, 2), (2, 2)]  # seeds, cells
    rows = store.results().sort(KEY)
    assert rows.select(alone.columns).equals(alone)
    # A seed in the wrong cell would be seen: seed 0 is another one under each learning rate.
    losses = rows.filter(metric="train_loss", init_seed=0, step=7)
    assert losses["value"].n_unique() == losses.height == 2
    assert jobs(grid, store) == []
    times = {record["cell"]: record["seconds"] for record in store.records()}
    assert len(times) == 3
    assert min(times.values()) >= 0


def test_what_was_stopped_together_goes_on_cell_by_cell_to_the_same_bits(grid, alone, tmp_path):
    store = create_store(tmp_path, "grid", grid)
    with pytest.raises(StoppedError):
        train_all(grid, store, stop=AskedAfter(1))
    assert store.results().is_empty()
    begun = [len(store.checkpointed(cell.cell)) for cell in grid]
    assert begun == [1, 1, 0]
    groups = grouped(jobs(grid, store))
    assert [len(group.jobs) for group in groups] == [1, 1, 1]
    said: list[str] = []
    train_all(grid, store, say=said.append)
    assert said == [f"{called(cell, *grid)}: resuming from the checkpoint of step 3." for cell in grid[:2]]
    assert store.results().sort(KEY).select(alone.columns).equals(alone)
    assert [store.checkpointed(cell.cell) for cell in grid] == [[], [], []]


def test_which_cells_are_trained_together(grid, tiny):
    deeper = override(tiny, {"model.depth": 2})
    longer = override(tiny, {"steps": 8})
    decay = override(tiny, {"optimizer.weight_decay": 0.3})
    groups = grouped(jobs([grid[0], deeper, grid[1], longer, decay], None))
    assert [[job.experiment for job in group.jobs] for group in groups] == [
        [grid[0], grid[1], decay],
        [deeper],
        [longer],
    ]
    first = groups[0]
    assert first.plan.chunk == 10
    assert [job.grouped_seeds for job in first.jobs] == [8, 7, 5]
    assert sum(job.flops for job in first.jobs) == pytest.approx(first.flops)


def test_a_group_after_its_first_chunks_and_a_smaller_one(grid):
    [group] = grouped(jobs(grid, None, chunk=4))
    assert [seeds_of(chunk) for chunk in group.chunks] == [
        [(4, 4), (0, 0), (1, 1), (0, 0)],
        [(7, 7), (5, 5)],
    ]
    rest = group.after(1)
    assert [job.experiment.seeds for job in rest.jobs] == [paired([7]), paired([5])]
    less = rest.smaller()
    assert (less.plan.chunk, less.plan.source) == (2, "halved")
    [last] = less.chunks
    assert [(part.seeds, part.place) for part in last.parts] == [
        (paired([7]), slice(0, 1)),
        (paired([5]), slice(1, 2)),
    ]


def test_items_and_weights_are_kept_of_each_cell(grid, tmp_path):
    """In chunks of one cell and of several; scored anew they are the rows of results."""
    store = create_store(tmp_path, "grid", grid)
    train_all(grid, store, save_items=True, save_weights=True)
    rows = store.results().filter(pl.col("metric") == "answer_nll", pl.col("step") == grid[0].steps)
    again = rescore(store.items(), ANSWER_NLL)
    keys = ["cell", "init_seed", "data_seed", "split", "length"]
    both = rows.join(again, on=keys, suffix="_again", nulls_equal=True)
    assert both.height == rows.height == again.height > 0
    assert both["cell"].n_unique() == len(grid)
    np.testing.assert_allclose(both["value_again"], both["value"], rtol=1e-4)
    items, shapes = sheet(grid[0].task), init_shapes(grid[0])
    score = compiled(lambda params: scores(grid[0].model, grid[0].task.vocabulary, items, params).nll)
    for cell in grid:
        kept = dict(store.weights(cell.cell))
        assert set(kept) == set(cell.seeds)
        for (init, data), arrays in kept.items():
            mine = {"cell": cell.cell, "init_seed": init, "data_seed": data}
            own = rows.filter(**mine).sort("length")["value"]
            np.testing.assert_allclose(score(unnamed(arrays, shapes)) / items.answers, own, rtol=1e-4)


def test_memory_that_runs_out_with_the_results_of_a_later_cell_trains_no_seed_twice(
    grid, alone, tmp_path, monkeypatch
):
    """The items of the second cell fail once: nothing of the first may have been written by then."""
    true, calls = chunk_module.items_table, []

    def failing(*arguments):
        calls.append(arguments[1])
        if len(calls) == 2:
            raise MemoryError
        return true(*arguments)

    monkeypatch.setattr(chunk_module, "items_table", failing)
    store = create_store(tmp_path, "grid", grid)
    todo = jobs(grid, store, chunk=4)
    console = Console(file=io.StringIO(), width=200)
    with Display(console, grouped(todo), 0.2) as display:
        train_jobs(todo, store, display, RunOptions(save_items=True))
    assert "Out of memory: continuing with 2 seeds at once." in console.file.getvalue()
    rows = store.results().sort(KEY)
    assert rows.select(alone.columns).equals(alone)
    assert store.items().n_unique(["cell", "init_seed", "length", "item"]) == store.items().height


def test_checkpoints_of_a_process_killed_after_it_wrote_its_rows_are_removed(grid, tmp_path, monkeypatch):
    """This process had planned before: it finds the cell finished."""
    store = create_store(tmp_path, "grid", grid[:1])
    todo = jobs(grid[:1], store)
    with monkeypatch.context() as killed:
        killed.setattr(Store, "clear", lambda *_: None)
        train_all(grid[:1], store, interval=0.0)
    [left] = store.checkpointed(grid[0].cell)
    with Display(Console(file=io.StringIO()), grouped(todo), 0.2) as display:
        train_jobs(todo, store, display)
    assert not left.folder.parent.exists()


@pytest.mark.parametrize(("chunk", "cells"), [(2, [1, 1, 1, 1, 1]), (4, [2, 2, 1]), (6, [3, 2])])
def test_groups_end_where_chunks_end_with_a_cell(tiny, chunk, cells):
    """What one process takes at once is no more than its chunks need; others may take the next."""
    rates = [override(tiny, {"optimizer.learning_rate": 1e-3 * (i + 1)}) for i in range(5)]
    todo = jobs([cell.with_seeds(paired(range(2))) for cell in rates], None, chunk=chunk)
    groups = grouped(todo)
    assert [len(group.jobs) for group in groups] == cells
    assert [job.experiment for group in groups for job in group.jobs] == [job.experiment for job in todo]
