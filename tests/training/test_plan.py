"""How many seeds at once: even shares, whole devices, within memory."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import jax
import pytest

from jaxemerge.devices import DeviceError, Layout
from jaxemerge.models import llama
from jaxemerge.training import is_out_of_memory, make_plan, plan, resumed_plan, smaller_plan
from small_cell import CELL

V = CELL.task.vocabulary
STATE = 12 * CELL.model.total_parameters(V)
STEP = STATE + CELL.model.activation_bytes(V, CELL.batch, CELL.context)
PROCESS = plan._PROCESS_BYTES


def cpus(n: int) -> tuple[Any, ...]:
    return tuple(
        SimpleNamespace(platform="cpu", device_kind="cpu", memory_stats=lambda: None, id=i) for i in range(n)
    )


def accelerators(n: int, memory: int) -> tuple[Any, ...]:
    return tuple(
        SimpleNamespace(
            platform="gpu", device_kind="H100", memory_stats=lambda: {"bytes_limit": memory}, id=i
        )
        for i in range(n)
    )


@pytest.mark.parametrize("devices", [1, 2, 3, 5])
@pytest.mark.parametrize("seeds", [1, 2, 7, 16, 17, 250])
@pytest.mark.parametrize("chunk", [0, 1, 7, 100])
def test_chunks_are_whole_and_even(devices: int, seeds: int, chunk: int) -> None:
    for used, width_of in (
        (cpus(devices), lambda p: 1),
        (accelerators(devices, 10**9), lambda p: p.chunk // devices),
    ):
        seen = make_plan(CELL, seeds, devices=used, chunk=chunk)
        assert seen.layout.devices == used
        assert seen.layout.width == width_of(seen)
        assert seen.chunk % devices == 0
        assert seen.chunk % seen.layout.multiple == 0
        chunks = -(-seeds // seen.chunk)
        assert chunks * seen.chunk - seeds < chunks * devices  # no more padding than whole devices ask for
        limit = chunk or {"cpu": 8, "gpu": 256}[used[0].platform] * devices
        assert seen.chunk <= -(-limit // devices) * devices


def test_default_uses_local_devices() -> None:
    seen = make_plan(CELL, 250)
    assert seen.layout.devices == tuple(jax.local_devices())
    assert len(seen.layout.devices) == 2
    assert (seen.layout.width, seen.chunk) == (1, 16)


def test_few_seeds_ask_for_no_more_than_they_need() -> None:
    assert make_plan(CELL, 1, devices=cpus(2)).chunk == 2
    assert make_plan(CELL, 3, devices=cpus(2)).chunk == 4
    assert make_plan(CELL, 9, devices=cpus(1)).chunk == 5  # 5 + 4, not 8 + 1


def test_requested_chunk() -> None:
    assert make_plan(CELL, 250, devices=cpus(2), chunk=5).chunk == 6
    assert make_plan(CELL, 250, devices=accelerators(2, 1), chunk=50).chunk == 50  # even beyond memory


def test_memory_limits_an_accelerators_chunk() -> None:
    for fits in (1, 3, 11):
        memory = int((STATE + STEP) * (fits + 0.5) / plan._MEMORY_SHARE)
        seen = make_plan(CELL, 10_000, devices=accelerators(2, memory))
        assert seen.chunk == 2 * fits
        assert seen.bytes == 2 * fits * (STATE + STEP)
        assert seen.bytes <= 2 * memory
    assert make_plan(CELL, 10_000, devices=accelerators(2, 10)).chunk == 2  # at least a seed per device


def test_memory_limits_a_hosts_chunk(monkeypatch: pytest.MonkeyPatch) -> None:
    """Cores share the memory; each computes one seed at a time, but keeps the state of all its seeds."""
    for fits in (1, 3, 5):
        memory = int((PROCESS + 2 * STEP + 2 * (fits + 0.5) * STATE) / plan._MEMORY_SHARE) + 1
        monkeypatch.setattr(plan, "device_memory", lambda device, memory=memory: memory)
        seen = make_plan(CELL, 10_000, devices=cpus(2))
        assert seen.chunk == 2 * fits
        assert seen.bytes == 2 * fits * STATE + 2 * STEP + PROCESS
        assert seen.bytes <= memory
    monkeypatch.setattr(plan, "device_memory", lambda device: 10)
    assert make_plan(CELL, 10_000, devices=cpus(2)).chunk == 1


def test_a_host_short_of_memory_uses_fewer_cores() -> None:
    seed = STATE + STEP
    for cores in (1, 2, 3):
        seen = make_plan(CELL, 250, devices=cpus(3), memory=PROCESS + cores * seed + seed // 2)
        assert len(seen.layout.devices) == cores
        assert seen.bytes <= PROCESS + cores * seed + seed // 2


@pytest.mark.parametrize("chunk", [0, 100])
def test_a_budget_holds_whatever_chunk_is_asked_for(chunk: int) -> None:
    budget = PROCESS + 2 * STEP + 7 * STATE
    seen = make_plan(CELL, 250, devices=cpus(2), chunk=chunk, memory=budget)
    assert seen.chunk == 6
    assert seen.bytes <= budget
    assert make_plan(CELL, 250, devices=accelerators(2, 1), memory=4 * (STATE + STEP)).chunk == 8


def test_a_budget_too_small_for_one_seed_is_refused() -> None:
    with pytest.raises(ValueError, match=r"^memory=0\.5 GB is too little: one seed needs about 1 GB$"):
        make_plan(CELL, 250, devices=cpus(2), memory=500_000_000)
    with pytest.raises(ValueError, match=r"^memory=1e-09 GB is too little"):
        make_plan(CELL, 250, devices=accelerators(1, 10**9), memory=1)


def test_dispatches_take_about_two_seconds() -> None:
    small = make_plan(CELL, 2, devices=cpus(2))
    assert small.dispatch == 500
    big = replace(CELL, model=llama(8, 512, 8), batch=128, context=256)
    one, eight = (make_plan(big, n, devices=cpus(1)).dispatch for n in (1, 8))
    assert one == eight == 1
    middle = replace(CELL, model=llama(2, 64, 2), batch=29)
    one, few, many = (make_plan(middle, n, devices=cpus(1), chunk=n).dispatch for n in (1, 8, 32))
    assert one == few  # a seed's losses are added up in the same order, whoever is beside it
    assert 1 <= many < few <= 500
    assert few / many == pytest.approx(4, rel=0.1)
    assert make_plan(big, 1, devices=accelerators(1, 10**11)).dispatch > 1


def test_memory_of_devices() -> None:
    assert plan.device_memory(accelerators(1, 12345)[0]) == 12345
    host = plan.device_memory(cpus(1)[0])
    assert 10**8 < host < 10**14
    assert plan.cell_bytes(CELL) == (STATE, STEP)


@pytest.mark.parametrize("devices", [1, 2, 3])
@pytest.mark.parametrize("seeds", [1, 7, 250])
@pytest.mark.parametrize("width", [1, 3, 8])
@pytest.mark.parametrize("chunk", [0, 1, 20])
def test_a_width_by_hand(devices: int, seeds: int, width: int, chunk: int) -> None:
    for used in (cpus(devices), accelerators(devices, 10**10)):
        seen = make_plan(CELL, seeds, devices=used, chunk=chunk, width=width)
        each = -(-seeds // devices)
        assert seen.layout.width == min(width, each)  # no more side by side than there are
        assert seen.chunk % seen.layout.multiple == 0
        assert seen.source == "given"
        if chunk:
            assert seen.chunk <= max(chunk + devices - 1, seen.layout.multiple)
    assert make_plan(CELL, 7).source == "formula"


def test_a_width_keeps_to_a_budget() -> None:
    on_host = PROCESS + 2 * (3 * STEP + 7 * STATE)
    seen = make_plan(CELL, 250, devices=cpus(2), width=3, memory=on_host)
    assert (seen.layout.width, seen.chunk) == (3, 12)
    assert seen.bytes == PROCESS + 2 * (3 * STEP + 6 * STATE)
    with pytest.raises(ValueError, match=r"too little: 30 seeds side by side need about 1 GB$"):
        make_plan(CELL, 250, devices=cpus(2), width=30, memory=on_host)
    with pytest.raises(ValueError, match="too little: 5 seeds side by side need about"):
        make_plan(CELL, 250, devices=accelerators(1, 10**9), width=5, memory=5 * (STATE + STEP) - 1)


def test_a_recorded_plan_is_taken_up_again() -> None:
    for used in (cpus(3), accelerators(3, 10**10)):
        kind = used[0].device_kind
        first = make_plan(CELL, 250, devices=used[:2], width=3, chunk=24)
        again = resumed_plan(CELL, 200, first.record, kind=kind, devices=used)
        assert replace(again, source="given") == first
        assert again.source == "recorded"
        few = resumed_plan(CELL, 8, first.record, kind=kind, devices=used)
        assert few == replace(again, chunk=12, bytes=few.bytes)  # 8 and 4 copies, not 16
        assert few.bytes < again.bytes
        assert resumed_plan(CELL, 3, first.record, kind=kind, devices=used).chunk == 6


def test_a_recorded_plan_that_cannot_be_used_here() -> None:
    two = accelerators(2, 10**9)
    record = make_plan(CELL, 64, devices=two).record
    with pytest.raises(ValueError, match=r"^that was on 2 x H100, and here are 1 x H100$"):
        resumed_plan(CELL, 64, record, kind="H100", devices=two[:1])
    with pytest.raises(ValueError, match=r"^that was on 2 x H100, and here are 3 x cpu$"):
        resumed_plan(CELL, 64, record, kind="H100", devices=cpus(3))
    with pytest.raises(ValueError, match=r"^31 seeds are few for 64 side by side$"):
        resumed_plan(CELL, 31, record, kind="H100", devices=two)
    assert resumed_plan(CELL, 32, record, kind="H100", devices=two).chunk == 64
    budget = 32 * (STATE + STEP)
    assert resumed_plan(CELL, 64, record, kind="H100", devices=two, memory=budget).chunk == 64
    with pytest.raises(ValueError, match=r"^it needs about .* GB, of .* GB to be used$"):
        resumed_plan(CELL, 64, record, kind="H100", devices=two, memory=budget - 1)


@pytest.mark.parametrize(("width", "chunk"), [(1, 26), (3, 12), (13, 26), (4, 8), (1, 2)])
def test_halving_ends_at_one_seed_per_device(width: int, chunk: int) -> None:
    seen = plan.fixed_plan(CELL, Layout(cpus(2), width), chunk // 2, "formula")
    while seen.per_device > 1:
        less = smaller_plan(CELL, seen)
        assert less.chunk <= max(2, -(-seen.per_device // 2) * 2)
        assert less.chunk % less.layout.multiple == 0
        assert less.layout.width <= width
        assert less.bytes < seen.bytes
        assert less.source == "halved"
        seen = less
    with pytest.raises(
        DeviceError, match=r"^out of memory with one seed on each of 2 cpu devices: use fewer"
    ):
        smaller_plan(CELL, seen)


def test_what_counts_as_out_of_memory() -> None:
    assert is_out_of_memory(MemoryError())
    assert is_out_of_memory(
        jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: Out of memory allocating 7 bytes")
    )
    assert not is_out_of_memory(jax.errors.JaxRuntimeError("INTERNAL: lost"))
    assert not is_out_of_memory(ValueError("RESOURCE_EXHAUSTED"))
