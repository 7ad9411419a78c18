"""More steps than a finished study had: continued where the schedule allows it, to the same bits."""

import dataclasses
import shutil

import numpy as np
import polars as pl
import pytest

from chunks import called, run_chunk
from jaxemerge import AdamW, Below, paired, train
from jaxemerge.runner.checkpoint import Checkpoint
from jaxemerge.runner.jobs import jobs
from jaxemerge.runner.opening import create_store, open_store
from jaxemerge.runner.records import StoreError

KEYS = ("init_seed", "step", "split", "length", "metric")


def cell(tiny, steps, schedule="constant", evaluations=(4, 8, 11), **more):
    steps_of = tuple(step for step in evaluations if step <= steps) if evaluations != 5 else 5
    optimizer = AdamW(1e-2, warmup=2, schedule=schedule, **more)
    return dataclasses.replace(tiny, optimizer=optimizer, steps=steps, evaluations=steps_of)


def trained(experiment, folder, **options):
    """The study in the folder, trained to its end; the lines that were printed."""
    store, lines = create_store(folder, "tiny", [experiment]), []
    for job in jobs([experiment], store, chunk=2):
        for seeds in job.chunks:
            for _ in run_chunk(job, seeds, store, say=lines.append, save_weights=True, **options):
                pass
    return store, lines


def same_as_at_once(store, experiment):
    """Rows and weights are those of a training that was asked for all steps at once."""
    whole = train(experiment, chunk=2)
    assert store.results().sort(KEYS).equals(whole.frame().sort(KEYS))
    for seed, arrays in store.weights(experiment.cell):
        place = experiment.seeds.index(seed)
        assert arrays["embedding"].tobytes() == whole.params["embedding"][place].tobytes()


@pytest.mark.parametrize(("schedule", "begin"), [("constant", 8), ("wsd", 4)])
def test_continues_from_the_last_step_that_both_have(tiny, tmp_path, schedule, begin):
    short, long = (cell(tiny, steps, schedule) for steps in (8, 15))
    assert short.common_step == begin
    trained(short, tmp_path, save_state=True)
    seen, lines = trained(long, tmp_path)
    assert lines == [f"{called(long)}: continuing from the kept state of step {begin}."] * 3
    assert list(open_store(tmp_path).cells) == [long.cell]
    assert open_store(tmp_path).damage() == []
    same_as_at_once(seen, long)


def test_seeds_that_rules_stopped_before_stay_stopped(tiny, tmp_path):
    [early] = [seen for seen in train(cell(tiny, 15), chunk=2).evaluations if seen.step == 4]
    rule = Below("train_loss", float(np.sort(early.train_loss)[1]), in_a_row=1)
    short, long = (dataclasses.replace(cell(tiny, steps), stop_when=rule) for steps in (8, 15))
    trained(short, tmp_path, save_state=True)
    seen, _ = trained(long, tmp_path)
    stopped = (
        seen.results().filter(pl.col("step") == 15).group_by("init_seed").agg(pl.col("stopped_at").max())
    )
    assert (stopped["stopped_at"] <= 4).sum() >= 2
    same_as_at_once(seen, long)


def test_the_last_step_that_a_longer_training_has_too(tiny):
    def last(*given, **more):
        return cell(tiny, *given, **more).common_step

    assert (last(8, "inverse_sqrt"), last(8, "cosine"), last(8, "linear")) == (8, 0, 0)
    # The decay starts at 0.8 of what follows warm-up: here at step 2 + 0.8 * 8 = 8.4, and never.
    assert last(10, "wsd", evaluations=(7, 8, 9)) == 8
    assert last(10, "wsd", evaluations=(7, 8, 9), horizon=1.3) == 10


def test_twice_and_interrupted(tiny, tmp_path):
    for steps in (4, 8):
        trained(cell(tiny, steps), tmp_path, save_state=True)
    long = cell(tiny, 15)
    store = create_store(tmp_path, "tiny", [long])
    [job] = jobs([long], store, chunk=2)
    for progress in (running := run_chunk(job, job.chunks[0], store, interval=0)):
        if progress.step == 15:
            running.close()  # as a kill would
            break
    seen, lines = trained(long, tmp_path)
    assert f"{called(long)}: resuming from the checkpoint of step 11." in lines
    assert f"{called(long)}: continuing from the kept state of step 8." in lines
    same_as_at_once(seen, long)


def test_further_seeds_are_trained_from_their_beginning(tiny, tmp_path):
    trained(cell(tiny, 8).with_seeds(paired([3, 1])), tmp_path, save_state=True)
    seen, lines = trained(cell(tiny, 15), tmp_path)
    assert len(lines) == 1
    same_as_at_once(seen, cell(tiny, 15))


def test_evaluations_before_are_those_that_were_made(tiny, tmp_path):
    short, long = (cell(tiny, steps, evaluations=5) for steps in (40, 90))
    trained(short, tmp_path, save_state=True)
    rows = trained(long, tmp_path)[0].results()
    after = [step for step in long.evaluation_steps if step > 40]
    assert rows["step"].unique().sort().to_list() == [*short.evaluation_steps, *after]
    whole = train(long, chunk=2).frame()
    last = (pl.col("step") == 90) & (pl.col("metric") != "train_loss")
    assert rows.filter(last).sort(KEYS).equals(whole.filter(last).sort(KEYS))


def test_why_a_study_is_not_continued(tiny, tmp_path):
    trained(cell(tiny, 8, "cosine"), tmp_path / "cosine", save_state=True)
    message = r"steps is 8 there and 15 here.*\(it is not continued: the cosine schedule depends on"
    with pytest.raises(StoreError, match=message):
        create_store(tmp_path / "cosine", "tiny", [cell(tiny, 15, "cosine", evaluations=(4,))])
    trained(cell(tiny, 8), tmp_path / "without")
    with pytest.raises(StoreError, match=r"no state was kept; train with --keep-state\)"):
        create_store(tmp_path / "without", "tiny", [cell(tiny, 15)])
    trained(cell(tiny, 8), tmp_path / "kept", save_state=True)
    other = dataclasses.replace(cell(tiny, 15).optimizer, warmup=3)
    other = dataclasses.replace(cell(tiny, 15), optimizer=other)
    with pytest.raises(StoreError, match=r"optimizer.warmup is 2 there and 3 here"):
        create_store(tmp_path / "kept", "tiny", [other])
    with pytest.raises(StoreError, match=r"steps is 8 there and 4 here; choose another folder"):
        create_store(tmp_path / "kept", "tiny", [cell(tiny, 4)])


def test_planted_faults_show(tiny, tmp_path, monkeypatch):
    """A state of another seed, or a damaged one, does not pass for the right one."""
    trained(cell(tiny, 8), tmp_path, save_state=True)
    shutil.copytree(tmp_path, tmp_path / "copy")
    true = Checkpoint.take
    monkeypatch.setattr(Checkpoint, "take", lambda self, seeds, *rest: true(self, seeds[::-1], *rest))
    seen, _ = trained(cell(tiny, 15), tmp_path / "copy")
    with pytest.raises(AssertionError):
        same_as_at_once(seen, cell(tiny, 15))
    monkeypatch.undo()
    victim = next((tmp_path / "cells").rglob("states/*/*/chunk.json"))
    victim.write_text("{}")
    seen, lines = trained(cell(tiny, 15), tmp_path)
    assert sum("is not used" in line for line in lines) == 1
    same_as_at_once(seen, cell(tiny, 15))
