"""How many seeds does this device train per second, and what share is that of what it can do?"""

from __future__ import annotations

import functools
import os
import statistics
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp

import peak
import timing
from cells import Cell
from jaxemerge.devices import Layout, over_seeds
from jaxemerge.models import kernels
from jaxemerge.models.implementation import KERNELS
from jaxemerge.training.hlo import parse
from jaxemerge.training.traffic import step_kernels, total
from population import Population
from timing import Run

_COPY = "copy"
_COPIED = {"cpu": 2**27, "gpu": 2**30, "tpu": 2**30}  # bytes


@dataclass(frozen=True)
class Case:
    """A population to be timed.

    Attributes:
        cell: what is trained.
        seeds: how many, side by side on an accelerator, one after the other on a host core.
        plain: whether without the library's kernels.
    """

    cell: Cell
    seeds: int
    plain: bool = False

    @property
    def name(self) -> str:
        """In words, unique among cases."""
        dtype = getattr(self.cell.model, "dtype", "float32")
        return f"{self.cell.name}, {dtype}, {self.seeds} seeds{', plain code' if self.plain else ''}"


def built(case: Case) -> Population:
    """Compiles a case for the first device; its weights are drawn later."""
    device = jax.local_devices()[0]
    width = 1 if device.platform == "cpu" else case.seeds
    with kernels(*(() if case.plain else KERNELS)):
        return Population(case.cell, Layout((device,), width), case.seeds, now=False)


def all_built(cases: Sequence[Case], threads: int = 0) -> dict[Case, Population | str]:
    """Compiles cases side by side; of those that cannot be compiled, why."""
    with ThreadPoolExecutor(threads or min(8, os.cpu_count() or 1)) as pool:
        work = {case: pool.submit(built, case) for case in cases}
        return {case: _result(future) for case, future in work.items()}


def _result(future: Any) -> Any:
    try:
        return future.result()
    except Exception as error:  # a case that fails must not cost the others
        return reason(error)


def reason(error: Exception) -> str:
    """An error in one line."""
    return f"{type(error).__name__}: {str(error).strip().partition(chr(10))[0]}"[:300]


def measured(
    cases: Mapping[Case, Population | str],
    *,
    rounds: int = 3,
    seconds: float = 0.8,
    keep: Callable[[list[dict[str, Any]]], object] = lambda records: None,
) -> list[dict[str, Any]]:
    """Times populations in turns, with matrix products and copies of memory beside them.

    Args:
        cases: as from ``all_built``.
        rounds: measurements of each.
        seconds: how long one should last.
        keep: called with the records so far before the first round and after every one.

    Returns:
        A record per case, with ``error`` where it could not be compiled or trained.
    """
    found = [failed(case, why) for case, why in cases.items() if isinstance(why, str)]
    ready: dict[Case, Population] = {}
    for case, one in cases.items():
        if isinstance(one, Population):
            try:
                one.start()
                one.run(1)
                ready[case] = one
            except jax.errors.JaxRuntimeError as error:  # out of memory, most likely
                one.stop()
                found.append(failed(case, reason(error)))
    keep(found)
    if ready:
        dtypes = {getattr(case.cell.model, "dtype", "float32") for case in ready}
        bounds = {dtype: limits(dtype) for dtype in dtypes}
        found += _timed(ready, bounds, rounds, seconds, lambda timed: keep([*found, *timed]))
    for one in ready.values():
        one.stop()
    return found


def limits(dtype: str) -> dict[str, Run]:
    """What bounds training: matrix products, and copies of memory."""
    platform = jax.local_devices()[0].platform
    products = peak.products(dtype, devices=1)
    return {**products, _COPY: _copies(_COPIED.get(platform, 2**30))}


def _copies(size: int) -> Run:
    """Adds to all of an array, over and over: a unit reads ``size`` bytes and writes as many."""
    layout = Layout((jax.local_devices()[0],))
    added = over_seeds(lambda x, n: jax.lax.fori_loop(0, n, lambda _, y: y + 1.0, x), layout, shared=1)
    array = jax.device_put(jnp.zeros((1, size // 4), jnp.float32), layout.sharding)
    return lambda n: added(array, n).block_until_ready()


def peaks(seen: Mapping[str, Sequence[float]]) -> tuple[float, float]:
    """FLOP/s and bytes/s that were reached."""
    size = _COPIED.get(jax.local_devices()[0].platform, 2**30)
    return peak.peak(seen, 1), 2 * size / statistics.median(seen[_COPY])


def _timed(
    ready: Mapping[Case, Population],
    bounds: Mapping[str, Mapping[str, Run]],
    rounds: int,
    seconds: float,
    keep: Callable[[list[dict[str, Any]]], object],
) -> list[dict[str, Any]]:
    runs: dict[str, Run] = {case.name: one.run for case, one in ready.items()}
    for dtype, parts in bounds.items():
        runs |= {f"{dtype} {name}": run for name, run in parts.items()}

    def records(seen: Mapping[str, Sequence[float]]) -> list[dict[str, Any]]:
        highest = {
            dtype: peaks({name: seen[f"{dtype} {name}"] for name in parts}) for dtype, parts in bounds.items()
        }
        return [
            record(case, one, seen[case.name], *highest[getattr(case.cell.model, "dtype", "float32")])
            for case, one in ready.items()
        ]

    def so_far(seen: Mapping[str, Sequence[float]]) -> None:
        keep(records(seen))

    return records(timing.interleaved(runs, rounds=rounds, seconds=seconds, so_far=so_far))


def record(
    case: Case, one: Population, times: Sequence[float], flops: float, bandwidth: float
) -> dict[str, Any]:
    """A timed case as plain JSON values.

    Args:
        case: what was timed.
        one: its population.
        times: seconds per step of all seeds.
        flops: FLOP/s that matrix products reach.
        bandwidth: bytes/s that copies reach.
    """
    per_seed_step = [t / one.seeds for t in times]
    rate, moved = 1 / statistics.median(per_seed_step), bytes_per_seed_step(one)
    temporary = one.temporary_bytes()
    return {
        **labels(case),
        "seed_steps_per_second": rate,
        "milliseconds": 1e3 / rate,
        "spread": timing.spread(per_seed_step),
        "tokens_per_second": rate * case.cell.batch * case.cell.context,
        "model_flops_per_second": rate * case.cell.step_flops,
        "peak_flops_per_second": flops,
        "share_of_peak": rate * case.cell.step_flops / flops,
        "bytes_per_seed_step": moved,
        "bytes_per_second": moved and moved * rate,
        "copied_bytes_per_second": bandwidth,
        "share_of_bandwidth": moved and moved * rate / bandwidth,
        "temporary_bytes_per_seed": temporary and temporary / one.layout.width,
        "compile_seconds": one.compile_seconds,
    }


def labels(case: Case) -> dict[str, Any]:
    """What a case is."""
    with kernels(*(() if case.plain else KERNELS)):
        code = case.cell.model.implementation()
    dtype = getattr(case.cell.model, "dtype", "float32")
    return {"cell": case.cell.name, "dtype": dtype, "seeds": case.seeds, "plain": case.plain, "code": code}


def failed(case: Case, why: str) -> dict[str, Any]:
    """A case that could not be timed."""
    return {**labels(case), "error": why}


@functools.lru_cache(maxsize=32)  # a long text, and asked for after every round
def bytes_per_seed_step(one: Population) -> float | None:
    """What the kernels of the compiled program read and write; None of programs that cannot be read so."""
    try:
        return total(step_kernels(parse(one.text()))) / one.layout.width
    except (LookupError, TypeError, ValueError):  # those of host cores have other instructions
        return None
