"""One seed of sixteen goes to NaN: it is named with its step, and the others do not notice."""

import dataclasses
import io

import jax.numpy as jnp
import polars as pl
import pytest
from rich.console import Console

from chunks import run_chunk
from jaxemerge import Experiment, paired
from jaxemerge.cli import report
from jaxemerge.runner.jobs import jobs
from jaxemerge.runner.opening import create_store

POISONED = 5
KEY = ["init_seed", "step", "split", "length", "metric"]


def results(tiny, folder, seeds, width):
    """Rows of a study of these seeds in one chunk of 16."""
    cell = dataclasses.replace(tiny, seeds=paired(seeds), steps=9, evaluations=(3, 6))
    store = create_store(folder, "tiny", [cell])
    [job] = jobs([cell], store, chunk=16, width=width)
    assert (job.plan.chunk, job.plan.layout.width) == (16, width)
    for _ in run_chunk(job, job.chunks[0], store):
        pass
    return store.results().sort(KEY)


@pytest.mark.parametrize("width", [1, pytest.param(8, marks=pytest.mark.slow)])
def test_fifteen_seeds_are_the_same_bits_beside_a_poisoned_one(tiny, tmp_path, monkeypatch, width):
    """One after the other (map) and side by side (vmap): as without it, and as beside a healthy one."""
    healthy = results(tiny, tmp_path / "healthy", range(16), width)
    without = results(tiny, tmp_path / "without", [s for s in range(16) if s != POISONED], width)
    true = Experiment.members_of

    def poisoned(experiment, seeds):
        members = true(experiment, seeds)
        bad = members.init_seed == POISONED
        return members._replace(learning_rate=jnp.where(bad, 1e30, members.learning_rate))

    monkeypatch.setattr(Experiment, "members_of", poisoned)
    found = results(tiny, tmp_path / "poisoned", range(16), width)
    others = pl.col("init_seed") != POISONED
    assert found.filter(others).equals(without)
    assert found.filter(others).equals(healthy.filter(others))
    bad = found.filter(~others)
    assert not bad.equals(healthy.filter(~others))
    assert bad.filter("diverged")["step"].unique().sort().to_list() == [3, 6, 9]
    late = bad.filter("diverged")
    assert late.filter(pl.col("trials").is_not_null())["value"].unique().to_list() == [0.0]
    assert late.filter(pl.col("trials").is_null())["value"].null_count() == late["trials"].null_count()
    console = Console(file=io.StringIO(), width=200)
    report.print_diverged(console, found)
    said = console.file.getvalue()
    assert said.startswith("1 of 16 seeds diverged; they count as failures. First seen: seed 5 of ")
    assert said.rstrip().endswith("at step 3.")
    report.print_diverged(console, healthy)
    assert console.file.getvalue() == said
