"""What is left to do, and doing it."""

import dataclasses

import jax
import pytest

from chunks import called, run_chunk
from jaxemerge import paired
from jaxemerge.files import read_sealed, write_sealed
from jaxemerge.runner import provenance
from jaxemerge.runner.chunk import latest_checkpoint
from jaxemerge.runner.jobs import estimates, jobs, training_flops
from jaxemerge.runner.opening import create_store
from jaxemerge.runner.quantities import duration, quantity
from jaxemerge.runner.records import StoreError
from jaxemerge.training import make_plan


def test_only_missing_seeds_are_trained(tmp_path, tiny, population):
    store = create_store(tmp_path, "tiny", [tiny])
    [job] = jobs([tiny.with_seeds(paired([0, 1, 2]))], store, chunk=2)
    assert [len(seeds) for seeds in job.chunks] == [2, 1]
    for seeds in job.chunks:
        steps = [seen.step for seen in run_chunk(job, seeds, store)]
        assert steps[0] == 0
        assert steps[-1] == 7
    [rest] = jobs([tiny], store)
    assert rest.experiment.seeds == paired([3, 4])
    for _ in run_chunk(rest, rest.chunks[0], store):
        pass
    assert jobs([tiny], store) == []
    key = ["init_seed", "step", "length", "metric"]
    rows, expected = store.results().sort(key), population.frame().sort(key)
    assert rows.drop("value").equals(expected.drop("value"))
    assert (rows["value"] - expected["value"]).abs().max() < 1e-5


def test_an_interrupted_chunk_leaves_no_rows(tmp_path, tiny):
    store = create_store(tmp_path, "tiny", [tiny])
    [job] = jobs([tiny], store)
    running = run_chunk(job, job.chunks[0], store)
    next(running)
    running.close()
    assert store.results().is_empty()
    assert jobs([tiny], store) == [job]


def test_estimates_count_what_is_left(tiny):
    deeper = dataclasses.replace(tiny, model=dataclasses.replace(tiny.model, depth=2))
    todo = jobs([tiny, deeper], None)
    shallow, deep = estimates([tiny, deeper], todo, rate=1e9)
    assert shallow.seeds == 5
    assert shallow.chunk >= 5
    assert shallow.flops == shallow.chunk * training_flops(tiny)
    assert shallow.seconds == pytest.approx(shallow.flops / 1e9)
    assert deep.flops > shallow.flops
    assert deep.parameters > shallow.parameters
    [nothing, _] = estimates([tiny, deeper], todo[1:], rate=1e9)
    assert (nothing.seeds, nothing.flops, nothing.bytes) == (0, 0, 0)


def test_amounts_in_words():
    assert [duration(s) for s in (4.4, 65, 3 * 3600 + 61, 90_000, 4e8)] == [
        "4 s",
        "1 min 05 s",
        "3 h 01 min",
        "1.0 days",
        "12.7 years",
    ]
    assert [quantity(v) for v in (12, 1234, 5.6e6, 7e9, 3.1e13)] == ["12", "1.23k", "5.6M", "7G", "3.1e+13"]


def part(tiny, store, n, **given):
    """Trains the first ``n`` seeds."""
    [job] = jobs([tiny.with_seeds(tiny.seeds[:n])], store, **given)
    for seeds in job.chunks:
        for _ in run_chunk(job, seeds, store):
            pass
    return job.plan


def test_further_seeds_take_up_the_recorded_plan(tmp_path, tiny):
    store = create_store(tmp_path, "tiny", [tiny])
    first = part(tiny, store, 2, chunk=2, width=1)
    assert first.source == "given"
    [job] = jobs([tiny], store)
    assert job.plan == dataclasses.replace(first, source="recorded")
    assert [len(seeds) for seeds in job.chunks] == [2, 1]
    assert job.note == ""
    [by_hand] = jobs([tiny], store, chunk=4)  # what is given wins
    assert (by_hand.plan.chunk, by_hand.plan.source, by_hand.note) == (4, "given", "")


def test_a_recorded_plan_of_another_machine_is_not_used_and_that_is_said(tmp_path, tiny):
    store = create_store(tmp_path, "tiny", [tiny])
    part(tiny, store, 2)
    [path] = (tmp_path / "cells" / tiny.cell).glob("*.json")
    record = read_sealed(path)
    record["provenance"]["devices"] = record["plan"]["devices"] = 16
    write_sealed(path, record)
    [job] = jobs([tiny], store)
    assert job.plan.source == "formula"
    assert job.note == (
        f"{called(tiny)}: planned again, not as its finished seeds were: "
        "that was on 16 x cpu, and here are 2 x cpu"
    )


def test_settings_of_jax_that_give_other_numbers_are_refused(tmp_path, tiny, monkeypatch):
    monkeypatch.delenv("XLA_FLAGS")
    store = create_store(tmp_path, "tiny", [tiny])
    part(tiny, store, 2)
    with jax.default_matmul_precision("bfloat16"):
        differs = "jax_default_matmul_precision was unset and is bfloat16; restore them"
        with pytest.raises(StoreError, match=f"was started under other settings: {differs}"):
            jobs([tiny], store)
    with jax.default_prng_impl("rbg"):
        differs = "jax_default_prng_impl was threefry2x32 and is rbg"
        with pytest.raises(StoreError, match=differs):
            jobs([tiny], store)
    monkeypatch.setenv("XLA_FLAGS", "--xla_cpu_enable_fast_math=true --xla_dump_to=/tmp/x")
    with pytest.raises(
        StoreError, match="XLA_FLAGS was unset and is --xla_cpu_enable_fast_math=true; restore"
    ):
        jobs([tiny], store)
    monkeypatch.setenv("XLA_FLAGS", "--xla_force_host_platform_device_count=2")  # changes no number
    assert [job.note for job in jobs([tiny], store)] == [""]
    monkeypatch.setattr(provenance, "version_of", lambda package: "9.9" if package == "jax" else None)
    [job] = jobs([tiny], store)
    assert f"jax was {jax.__version__} and is 9.9" in job.note


def test_seeds_go_on_from_the_checkpoint_furthest_on(tmp_path, tiny):
    """Where memory ran out, or devices changed, seeds have two: neither order nor names decide."""
    store = create_store(tmp_path, "tiny", [tiny])
    [job] = jobs([tiny], store, chunk=2)
    whole, some = paired([0, 1, 2, 3, 4]), paired([2, 3])
    for seeds, step in ((whole, 2), (some, 4)):
        running = run_chunk(
            dataclasses.replace(job, plan=dataclasses.replace(make_plan(tiny, len(seeds)), dispatch=2)),
            seeds,
            store,
            interval=0.0,
        )
        saved = store.checkpoints(tiny.cell, seeds)
        while (saved.record() or {"step": 0})["step"] < step:
            next(running)
        running.close()
    lines = []
    assert latest_checkpoint(store, tiny.cell, some, lines.append).step >= 4
    [again] = jobs([tiny], store, chunk=2)
    assert set(again.checkpointed[0]) == set(some)
    assert set(again.checkpointed[1]) == set(whole) - set(some)
