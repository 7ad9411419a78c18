"""An objective in a results folder: interrupted, gone on with, and its numbers along the training."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from polars.testing import assert_frame_equal

from chunks import run_chunk
from jaxemerge import AdamW, Experiment, Objective, paired, train
from jaxemerge.runner import chunk as driver
from jaxemerge.runner.chunk import RunOptions
from jaxemerge.runner.groups import grouped
from jaxemerge.runner.jobs import jobs
from jaxemerge.runner.opening import create_store
from jaxemerge.runner.sweep import cells, product
from jaxemerge.runner.tracking import summary
from own_models import Line

EXPERIMENT = Experiment(
    Line(), optimizer=AdamW(0.05, warmup=3), steps=31, evaluations=(10, 20), seeds=paired([3, 1, 8])
)
KEYS = ("init_seed", "step", "metric")


def test_goes_on_from_its_checkpoint_to_the_same_bits(tmp_path: Path) -> None:
    store = create_store(tmp_path / "results", "lines", [EXPERIMENT])
    [job] = jobs([EXPERIMENT], store)
    running = run_chunk(job, EXPERIMENT.seeds, store, interval=0)
    assert any(progress.step == 20 for progress in running)
    running.close()  # as a kill would
    [job] = jobs([EXPERIMENT], store)
    said: list[str] = []
    for _ in run_chunk(job, job.chunks[0], store, say=said.append, save_weights=True):
        pass
    assert "resuming from the checkpoint of step" in said[0]
    whole = train(EXPERIMENT)
    seen, expected = (frame.drop("study").sort(KEYS) for frame in (store.results(), whole.frame()))
    assert_frame_equal(seen, expected, check_exact=True)
    for seed, arrays in store.weights(EXPERIMENT.cell):
        place = EXPERIMENT.seeds.index(seed)
        for name, array in arrays.items():
            assert array.tobytes() == whole.params[name][place].tobytes()
    assert sorted(store.saved_weights(EXPERIMENT.cell)) == sorted(EXPERIMENT.seeds)


def test_numbers_along_the_training() -> None:
    last = train(EXPERIMENT).evaluations[-1]
    lost = last._replace(diverged=np.array([False, True, False]))
    seen = summary(EXPERIMENT, lost, threshold=0.2)
    shares = np.where(lost.diverged, 0, lost.scores["close"] / 23)
    [test] = seen["tests"]
    assert test["close"] == shares.mean()
    assert test["successes"] == (shares >= 0.2).sum()
    assert seen["values"] == {"worst": np.median(lost.scores["worst"][[0, 2]])}
    assert seen["tokens"] is None


@dataclass(frozen=True)
class Array(Objective):
    """Weights that are one array, not a dict of arrays: a parabola with a random minimum."""

    size: int = 3

    def init(self, key: jax.Array) -> Any:
        return jax.random.normal(key, (self.size,))

    def loss(self, params: Any, key: jax.Array) -> jax.Array:
        return jnp.mean((params - jax.random.uniform(key, (self.size,))) ** 2)

    def score(self, params: Any) -> dict[str, jax.Array]:
        return {"size": jnp.max(jnp.abs(params))}


def test_weights_that_are_one_array_are_saved_of_cells_that_share_a_chunk(tmp_path: Path) -> None:
    base = Experiment(Array(), steps=7, evaluations=2, optimizer=AdamW(0.1, warmup=1))
    rates = cells(base, product({"optimizer.learning_rate": [0.1, 0.03]}))
    both = [cell.with_seeds(paired(seeds)) for cell, seeds in zip(rates, ([4, 1], [1, 0, 2]), strict=True)]
    store = create_store(tmp_path, "arrays", both)
    [group] = grouped(jobs(both, store))
    [chunk] = group.chunks
    assert len(chunk.parts) == 2
    for _ in driver.run_chunk(chunk, store, RunOptions(save_weights=True)):
        pass
    for cell in both:
        alone = train(cell).params
        found = dict(store.weights(cell.cell))
        assert set(found) == set(cell.seeds)
        for i, seed in enumerate(cell.seeds):
            [array] = found[seed].values()
            assert array.tobytes() == np.asarray(alone)[i].tobytes()
