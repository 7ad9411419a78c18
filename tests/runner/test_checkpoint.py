"""An interrupted chunk goes on as if nothing had been, to the bit; what is damaged is named, not used."""

import dataclasses
import errno
import os
import resource
import shutil
import sys
import time

import jax
import numpy as np
import pytest

from chunks import called, run_chunk
from jaxemerge import files, paired
from jaxemerge.files import DamagedError
from jaxemerge.runner import checkpoint
from jaxemerge.runner import jobs as planning
from jaxemerge.runner.groups import grouped
from jaxemerge.runner.jobs import jobs
from jaxemerge.runner.opening import create_store
from jaxemerge.runner.signals import StoppedError
from jaxemerge.training import members, program


class StopAt:
    """Asks for a stop from a step on."""

    def __init__(self, step):
        self.step, self.seen = step, 0

    def __bool__(self):
        return self.seen >= self.step

    def raise_if_asked(self):
        if self:
            raise StoppedError(15)


def trained(experiment, folder, *, stop=None, interval=300.0, say=lambda line: None, **given):
    """The study in this folder trained up to its end or the stop."""
    store = create_store(folder, "tiny", [experiment])
    for job in jobs([experiment], store, **given):
        for seeds in job.chunks:
            for seen in run_chunk(job, seeds, store, stop=stop, interval=interval, say=say):
                if stop is not None:
                    stop.seen = max(stop.seen, seen.step + 1)
    return store


def stopped(experiment, folder, step, **given):
    """Interrupted at the first dispatch that ends after ``step``; returns its store."""
    stop = StopAt(step)
    with pytest.raises(StoppedError):
        trained(experiment, folder, stop=stop, **given)
    return create_store(folder, "tiny", [experiment])


@pytest.fixture(scope="module")
def longer(tiny):
    """Evaluations at 0, 5, 10 and 15, and dispatches of at most two steps."""
    return dataclasses.replace(tiny, steps=15, evaluations=(5, 10))


@pytest.fixture(autouse=True)
def _short_dispatches(monkeypatch):

    true = planning.make_plan
    monkeypatch.setattr(planning, "make_plan", lambda *a, **k: dataclasses.replace(true(*a, **k), dispatch=2))


@pytest.fixture(scope="module")
def undisturbed(longer, tmp_path_factory):
    patch = pytest.MonkeyPatch()

    true = planning.make_plan
    patch.setattr(planning, "make_plan", lambda *a, **k: dataclasses.replace(true(*a, **k), dispatch=2))
    rows = trained(longer, tmp_path_factory.mktemp("whole")).results()
    patch.undo()
    return rows


@pytest.mark.parametrize("step", [2, 4, 6, 9])
def test_a_stopped_chunk_goes_on_bit_for_bit(longer, undisturbed, tmp_path, step):
    store = stopped(longer, tmp_path, step)
    assert store.results().is_empty()
    [chunk] = store.checkpointed(longer.cell)
    at = chunk.record()["step"]
    assert step <= at <= step + 3
    lines = []
    again = trained(longer, tmp_path, say=lines.append)
    assert again.results().equals(undisturbed)
    assert lines == [f"{called(longer)}: resuming from the checkpoint of step {at}."]
    assert not (tmp_path / "cells" / longer.cell / "checkpoints").exists()


@pytest.mark.parametrize("how", ["moved", "deleted"])
def test_a_folder_that_is_gone_ends_the_training(longer, undisturbed, tmp_path, how):
    """No other folder is made in its place; the moved one is continued."""
    folder, away = tmp_path / "out", tmp_path / "away"
    store = create_store(folder, "tiny", [longer])
    [job] = jobs([longer], store)
    training = run_chunk(job, job.chunks[0], store, interval=0.0)
    while next(training).step < 6:
        pass
    folder.rename(away) if how == "moved" else shutil.rmtree(folder)
    with pytest.raises(OSError, match=r"out has been moved or deleted: move it back, or run the command"):
        next(training)
    assert not folder.exists()
    if how == "moved":
        lines = []
        assert trained(longer, away, say=lines.append).results().equals(undisturbed)
        assert lines[0].endswith("resuming from the checkpoint of step 5.")


def test_the_weights_are_the_same_bits_too(longer, tmp_path):
    """The last checkpoint of a run in pieces and of one in one go hold the same arrays."""
    for folder, step in (("pieces", 4), ("pieces", 11), ("whole", 11)):
        stopped(longer, tmp_path / folder, step)
    found = []
    for folder in ("pieces", "whole"):
        [chunk] = create_store(tmp_path / folder, "tiny", [longer]).checkpointed(longer.cell)
        found.append(chunk.latest(pytest.fail))
    assert found[0].step == found[1].step
    assert found[0].arrays.keys() == found[1].arrays.keys()
    assert any("optimizer" in name for name in found[0].arrays)
    for name, array in found[0].arrays.items():
        assert array.tobytes() == found[1].arrays[name].tobytes(), name


def test_a_planted_fault_shows(longer, undisturbed, tmp_path, monkeypatch):
    """Had the optimizer's state been lost, the rows would be others."""
    stopped(longer, tmp_path, 6)
    true = checkpoint.Checkpoint.take

    def forgetful(self, *arguments):
        resumed, evaluations = true(self, *arguments)
        fresh = jax.tree.map(np.zeros_like, resumed.state.optimizer)
        return resumed._replace(state=resumed.state._replace(optimizer=fresh)), evaluations

    monkeypatch.setattr(checkpoint.Checkpoint, "take", forgetful)
    assert not trained(longer, tmp_path).results().equals(undisturbed)


def test_the_last_two_are_kept(longer, tmp_path):
    store = stopped(longer, tmp_path, 12, interval=0.0)
    [chunk] = store.checkpointed(longer.cell)
    steps = sorted(int(p.name) for p in chunk.folder.iterdir())
    assert len(steps) == 2
    assert steps[0] < steps[1]


def test_verifying_names_the_damage_and_changes_nothing(longer, tmp_path):
    store = stopped(longer, tmp_path, 12, interval=0.0)
    assert store.damage() == []
    [chunk] = store.checkpointed(longer.cell)
    victim = max(p for p in chunk.folder.rglob("*") if p.stat().st_size > 100 and p.is_file())
    victim.write_bytes(flipped(victim.read_bytes()))
    names = sorted(tmp_path.rglob("*"))
    assert [str(victim) in line for line in store.damage()] == [True]
    assert sorted(tmp_path.rglob("*")) == names


def flipped(content):
    """With one bit changed in the middle, where no white space is."""
    place = len(content) // 2
    while content[place : place + 1].isspace():
        place += 1
    return content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :] if content else b"x"


def test_a_run_with_both_checkpoints_damaged_starts_anew(longer, undisturbed, tmp_path):
    store = stopped(longer, tmp_path, 12, interval=0.0)
    [chunk] = store.checkpointed(longer.cell)
    for folder in chunk.folder.iterdir():
        (folder / "chunk.json").write_text("{}")
    lines = []
    again = trained(longer, tmp_path, say=lines.append)
    assert len(lines) == 2
    assert again.results().equals(undisturbed)
    assert not (tmp_path / "cells" / longer.cell / "checkpoints").exists()


def test_a_full_disk_costs_no_earlier_checkpoint(longer, undisturbed, tmp_path, monkeypatch):
    stopped(longer, tmp_path, 4)
    true = files._flush

    def full(path):
        if "arrays" in str(path):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
        true(path)

    monkeypatch.setattr(files, "_flush", full)
    with pytest.raises(OSError, match="No space left on device"):
        trained(longer, tmp_path, interval=0.0)
    monkeypatch.setattr(files, "_flush", true)
    assert not [p for p in tmp_path.rglob("*") if p.name.endswith(".partial")]
    lines = []
    assert trained(longer, tmp_path, say=lines.append).results().equals(undisturbed)
    assert "resuming from the checkpoint of step" in lines[0]


def test_too_few_inodes_are_a_full_disk(longer, tmp_path, monkeypatch):
    """Orbax alone would fail in many threads at once, each with a traceback."""
    true = os.statvfs

    def few(path):
        found = list(true(path))
        found[7] = 30  # f_favail
        return os.statvfs_result(found)

    monkeypatch.setattr(os, "statvfs", few)
    with pytest.raises(OSError, match="No space left on device"):
        trained(longer, tmp_path, interval=0.0)
    assert not [p for p in tmp_path.rglob("*") if p.name.endswith(".partial")]


def test_files_that_cannot_be_written_are_one_error(tmp_path, monkeypatch):
    """Orbax writes in many threads; those that are left when one fails print nothing."""
    dropped, arrays = [], np.random.default_rng(0).random((12, 100, 300))
    monkeypatch.setattr(sys, "unraisablehook", dropped.append)
    former = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4000, former[1]))  # an array takes more, its description less
    try:
        with pytest.raises(ValueError, match="Failed to write") as failed:
            checkpoint._save(tmp_path / "arrays", {f"array{i:04d}": each for i, each in enumerate(arrays)})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, former)
    time.sleep(0.3)
    assert dropped == []
    assert checkpoint._error_number(failed.value) == errno.EFBIG
    assert checkpoint._error_number(OSError(errno.EROFS, "read-only")) == errno.EROFS
    assert checkpoint._error_number(ValueError("other")) == errno.EIO


@pytest.mark.parametrize("given", [{"chunk": 2}, {"chunk": 6, "width": 3}, {"chunk": 1}])
def test_other_devices_or_chunks_go_on_from_it_too(longer, undisturbed, tmp_path, given, monkeypatch):
    stopped(longer, tmp_path, 6)
    if given == {"chunk": 1}:
        one = jax.local_devices()[:1]
        monkeypatch.setattr(jax, "local_devices", lambda *a, **k: one)
    lines = []
    found = trained(longer, tmp_path, say=lines.append, **given).results()
    assert all("resuming from the checkpoint" in line for line in lines)
    assert len(lines) == -(-5 // given["chunk"])
    key = ["init_seed", "step", "split", "length", "metric"]
    found, expected = found.sort(key), undisturbed.sort(key)
    assert found.drop("value").equals(expected.drop("value"))
    assert (found["value"] - expected["value"]).abs().max() < 1e-4
    early = found["step"] <= 5
    assert found.filter(early).equals(expected.filter(early))


def test_further_seeds_are_trained_after_those_with_a_checkpoint(longer, tmp_path):
    few = longer.with_seeds(paired([1, 3]))
    stopped(few, tmp_path, 6)
    store = create_store(tmp_path, "tiny", [longer])
    [job] = jobs([longer], store, chunk=4)
    assert job.chunks == [paired([1, 3]), paired([0, 2, 4])]
    [group] = grouped([job])
    assert [part.seeds for part in group.after(1).chunks[0].parts] == [paired([0, 2, 4])]


def test_a_model_of_another_shape_is_refused(longer, tmp_path):
    store = stopped(longer, tmp_path, 6)
    [chunk] = store.checkpointed(longer.cell)
    found = chunk.latest(pytest.fail)
    name = next(name for name in found.arrays if name.startswith("state"))
    for array, seen in ((found.arrays[name].astype(np.float64), "float64"), (None, "missing")):
        arrays = {**found.arrays, name: array} if array is not None else dict(found.arrays)
        if array is None:
            del arrays[name]
        other = dataclasses.replace(found, arrays=arrays)
        [job] = jobs([longer], store)
        built = program(longer, job.plan.layout)
        seeds = longer.seeds + longer.seeds[-1:]
        with pytest.raises(DamagedError, match=f"is {seen}"):
            other.take(longer.seeds, built, members(seeds, 1e-2, 0.0, 9))
