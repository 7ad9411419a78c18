"""An objective in a results folder: interrupted, gone on with, and its numbers along the training."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from polars.testing import assert_frame_equal

from chunks import run_chunk
from jaxemerge import AdamW, Experiment, paired, train
from jaxemerge.runner.jobs import jobs
from jaxemerge.runner.metrics import summary
from jaxemerge.runner.opening import create_store
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
