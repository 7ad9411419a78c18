"""Makes ordinary result parts of what ``paper_cell`` wrote on a machine without Polars, and sums them up."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import polars as pl

from jaxemerge import Experiment
from jaxemerge.analysis import summarise
from jaxemerge.runner.opening import create_store
from jaxemerge.runner.store import Store
from jaxemerge.runner.tables import results_table
from paper_cell import SUCCESS, Chunk, finished_chunks

STUDY = "paper"


def opened(folder: Path, cells: Mapping[str, Experiment]) -> Store:
    """The results folder of these cells, made where there is none."""
    return create_store(folder, STUDY, [replace(one, study=STUDY) for one in cells.values()])


def add(source: Path, folder: Path, cells: Mapping[str, Experiment]) -> list[str]:
    """Adds the finished chunks in ``source`` whose seeds the results folder lacks; a line on each.

    Raises:
        StoreError: the folder holds something else, or another process writes it.
    """
    store = opened(folder, cells)
    return [
        _added(store, replace(one, study=STUDY), chunk)
        for one in cells.values()
        for chunk in finished_chunks(source, one.cell)
    ]


def _added(store: Store, experiment: Experiment, chunk: Chunk) -> str:
    seeds = chunk.experiment.seeds
    name = f"{experiment.cell}, seeds {seeds[0][0]} to {seeds[-1][0]}"
    if not store.finished(experiment.cell).isdisjoint(seeds):
        return f"{name}: some are there already; left out"
    with store.writing(experiment.cell):
        rows = results_table(experiment, seeds, chunk.evaluations)
        store.write(experiment.cell, seeds, rows, chunk.record)
    return f"{name}: added"


def distribution(folder: Path, cells: Mapping[str, Experiment]) -> pl.DataFrame:
    """P(success) and mean of the successes of every cell and length with their 95 % intervals."""
    results = opened(folder, cells).results()
    table = summarise(results, threshold=SUCCESS)
    names = [f"{name}{end}" for name in ("success", "success_mean") for end in ("", "_low", "_high")]
    return table.select("cell", "length", "seeds", "diverged", *names)
