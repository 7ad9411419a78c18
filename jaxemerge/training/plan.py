"""How many seeds at once? What fits into memory, shared out evenly."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import jax

from jaxemerge import host
from jaxemerge.devices import DeviceError, Layout
from jaxemerge.training.recipe import Recipe, cost_of, data_of, fixed_part, train_state_bytes

_MEMORY_SHARE = 0.7  # of a device's memory that a chunk may take
# Interpreter, libraries, compiler and report, in the host's memory: a whole run of the quick study's cell.
_PROCESS_BYTES = 1_000_000_000
_HOST_CHUNK = 8  # seeds per core and chunk: a chunk is what an interruption can lose
_ACCELERATOR_CHUNK = 256
_DISPATCH_SECONDS = 2.0
_NOMINAL_FLOPS = {"cpu": 3e10, "gpu": 1e14, "tpu": 1e14}  # per device and second; sets dispatch lengths only


@dataclass(frozen=True)
class Plan:
    """How a cell's seeds are trained.

    Attributes:
        layout: devices, and how many seeds side by side on each.
        chunk: seeds trained together, a multiple of ``layout.multiple``.
        dispatch: most steps in one call of the program, at most about two seconds of work: progress
            and interruptions are seen in between. By formula, so that the same plan adds up the
            same numbers in the same order.
        bytes: estimated peak memory of a chunk on all devices together; on host cores of the whole process.
        source: where the plan comes from: formula, given, recorded, search, cache or halved.
    """

    layout: Layout
    chunk: int
    dispatch: int
    bytes: int
    source: str = "formula"

    @property
    def per_device(self) -> int:
        """Seeds of a chunk on each device."""
        return self.chunk // len(self.layout.devices)

    @property
    def record(self) -> dict[str, int | str]:
        """The plan as plain JSON values; ``resumed_plan`` reads it."""
        return {
            "chunk": self.chunk,
            "width": self.layout.width,
            "devices": len(self.layout.devices),
            "dispatch": self.dispatch,
            "source": self.source,
        }


def make_plan(
    recipe: Recipe,
    n_seeds: int,
    *,
    devices: tuple[jax.Device, ...] = (),
    chunk: int = 0,
    width: int = 0,
    memory: int = 0,
) -> Plan:
    """Chooses chunk and layout for ``n_seeds`` of a cell.

    On host cores each device trains its seeds one after the other, so that a seed's weights stay in
    cache; on an accelerator they are trained side by side. Where the host's memory is too small for a
    seed on every core, fewer cores are used.

    Args:
        recipe: the cell.
        n_seeds: seeds still to train, at least 1.
        devices: those to use; default all local devices.
        chunk: seeds at once, rounded up to a multiple of devices and width; 0 chooses.
        width: seeds side by side on each device, at most as many as it has to train; 0 chooses.
        memory: bytes that may be used: of the process on host cores, of each accelerator otherwise;
            0 takes a share of what there is.

    Returns:
        Plan whose chunks all have the same size; the last may be padded.

    Raises:
        ValueError: a seed, or ``width`` seeds side by side, do not fit into ``memory``.
    """
    used = devices or tuple(jax.local_devices())
    limit = memory_limit(used[0], memory)
    width = min(width, -(-n_seeds // len(used)))
    state, activations = cell_bytes(recipe)
    if _on_host(used):
        each = max(1, width) * (state + activations) + data_bytes(recipe)
        used = _devices_that_fit(used, each, limit)
    fits = _seeds_that_fit(recipe, used, width, limit)
    if memory and fits < max(1, width):
        raise ValueError(_too_little(recipe, used, max(1, width), memory))
    most = min(fits, _HOST_CHUNK if _on_host(used) else _ACCELERATOR_CHUNK)
    if chunk:
        asked = -(-chunk // len(used))
        most = min(asked, fits) if memory else asked
    return _even(recipe, n_seeds, used, max(1, most), width, "given" if chunk or width else "formula")


def resumed_plan(
    recipe: Recipe,
    n_seeds: int,
    record: Mapping[str, Any],
    *,
    kind: str,
    devices: tuple[jax.Device, ...] = (),
    memory: int = 0,
) -> Plan:
    """The plan that a cell's finished seeds were trained with, for its further seeds.

    Width, devices and dispatches are the same, and so is the order in which numbers are added up. Where
    fewer seeds are left than a chunk holds, it has fewer rounds of seeds side by side.

    Args:
        recipe: the cell.
        n_seeds: seeds still to train, at least 1.
        record: a ``Plan.record``.
        kind: kind of the devices it was made for, as JAX names them.
        devices: those at hand; default all local devices.
        memory: as in ``make_plan``.

    Raises:
        ValueError: the plan cannot be used, or would mostly train copies of the last seed.
    """
    there = devices or tuple(jax.local_devices())
    n = record["devices"]
    if kind != there[0].device_kind or n > len(there):
        raise ValueError(f"that was on {n} x {kind}, and here are {len(there)} x {there[0].device_kind}")
    layout = Layout(there[:n], record["width"])
    if 2 * n_seeds < layout.multiple:
        raise ValueError(f"{n_seeds} seeds are few for {layout.multiple} side by side")
    rounds = _rounds(layout, record["chunk"], n_seeds)
    plan = fixed_plan(recipe, layout, rounds * layout.width, "recorded", record["dispatch"])
    if not plan_fits(plan, memory):
        limit = memory_limit(there[0], memory)
        raise ValueError(f"it needs about {plan.bytes / 1e9:.2g} GB, of {limit / 1e9:.2g} GB to be used")
    return plan


def fitted_plan(recipe: Recipe, plan: Plan, n_seeds: int) -> Plan:
    """The plan with a chunk no larger than ``n_seeds`` need; else the same."""
    rounds = _rounds(plan.layout, plan.chunk, n_seeds)
    return fixed_plan(recipe, plan.layout, rounds * plan.layout.width, plan.source, plan.dispatch)


def smaller_plan(recipe: Recipe, plan: Plan) -> Plan:
    """A plan with half the chunk, for when memory has run out.

    Raises:
        DeviceError: the chunk has one seed per device already.
    """
    devices = plan.layout.devices
    if plan.per_device == 1:
        raise DeviceError(
            f"out of memory with one seed on each of {len(devices)} {devices[0].device_kind} devices: "
            "use fewer devices, or a smaller model, batch or context"
        )
    half = -(-plan.per_device // 2)
    width = min(plan.layout.width, half)
    return fixed_plan(recipe, Layout(devices, width), half // width * width, "halved")


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory has run out, on a device or the host."""
    if isinstance(error, jax.errors.JaxRuntimeError):  # allocators have several words for it
        return "RESOURCE_EXHAUSTED" in str(error) or "out of memory" in str(error).lower()
    return isinstance(error, MemoryError)


def fixed_plan(recipe: Recipe, layout: Layout, per_device: int, source: str, dispatch: int = 0) -> Plan:
    """The plan with this layout and so many seeds on each device, a multiple of its width."""
    n, platform = len(layout.devices), layout.devices[0].platform
    state, activations = cell_bytes(recipe)
    needed = n * (state * per_device + activations * layout.width + data_bytes(recipe))
    needed += _PROCESS_BYTES if _on_host(layout.devices) else 0
    dispatch = dispatch or _dispatch(recipe, platform, per_device)
    return Plan(layout, n * per_device, dispatch, needed, source)


def plan_fits(plan: Plan, memory: int = 0) -> bool:
    """Whether a plan keeps to ``memory`` bytes, as in ``make_plan``."""
    devices = plan.layout.devices
    parts = 1 if _on_host(devices) else len(devices)  # cores share the host's memory
    return plan.bytes <= parts * memory_limit(devices[0], memory)


def memory_limit(device: jax.Device, memory: int = 0) -> int:
    """Bytes that may be used: ``memory`` where it is given, else a share of what there is."""
    return memory or int(_MEMORY_SHARE * device_memory(device))


def _rounds(layout: Layout, chunk: int, n_seeds: int) -> int:
    """How often each device's seeds side by side make up a chunk, or as many as there are seeds."""
    return -(-min(n_seeds, chunk) // layout.multiple)


def _on_host(devices: tuple[jax.Device, ...]) -> bool:
    return devices[0].platform == "cpu"


def _devices_that_fit(devices: tuple[jax.Device, ...], each: int, limit: int) -> tuple[jax.Device, ...]:
    """As many of the host's devices as can each hold ``each`` bytes; at least one."""
    return devices[: max(1, min(len(devices), (limit - _PROCESS_BYTES) // each))]


def _seeds_that_fit(recipe: Recipe, devices: tuple[jax.Device, ...], width: int, limit: int) -> int:
    """Seeds per device that fit into ``limit``; width 0 stands for the platform's own."""
    state, activations = cell_bytes(recipe)
    limit -= data_bytes(recipe) * (len(devices) if _on_host(devices) else 1)
    if _on_host(devices):
        n = len(devices)
        return (limit - _PROCESS_BYTES - activations * max(1, width) * n) // (state * n)
    return (limit - activations * width) // state if width else limit // (state + activations)


def _too_little(recipe: Recipe, devices: tuple[jax.Device, ...], width: int, memory: int) -> str:
    needed = (
        width * sum(cell_bytes(recipe)) + data_bytes(recipe) + (_PROCESS_BYTES if _on_host(devices) else 0)
    )
    who = "one seed needs" if width == 1 else f"{width} seeds side by side need"
    return f"memory={memory / 1e9:g} GB is too little: {who} about {needed / 1e9:.2g} GB"


def _even(
    recipe: Recipe, n_seeds: int, devices: tuple[jax.Device, ...], most: int, width: int, source: str
) -> Plan:
    """Chunks of equal size, of at most ``most`` seeds per device, or one round of ``width``."""
    most = max(most // width * width, width) if width else most
    n_chunks = -(-n_seeds // (most * len(devices)))
    per_device = -(-n_seeds // (n_chunks * len(devices)))
    width = width or (1 if _on_host(devices) else per_device)
    return fixed_plan(recipe, Layout(devices, width), -(-per_device // width) * width, source)


def _dispatch(recipe: Recipe, platform: str, seeds_per_device: int) -> int:
    # On host cores as for a chunk of the usual size where it is smaller: then a seed's losses are added up
    # in the same order alone as among those of other cells. Side by side they are rounded otherwise anyhow.
    seeds = max(seeds_per_device, _HOST_CHUNK) if platform == "cpu" else seeds_per_device
    work = max(cost_of(recipe).flops, 1.0) * seeds
    return int(min(max(_NOMINAL_FLOPS.get(platform, 1e14) * _DISPATCH_SECONDS / work, 1), 500))


def cell_bytes(recipe: Recipe) -> tuple[int, int]:
    """Estimated bytes of one seed: what stays (weights, moments), and what a step needs on top.

    A step works on a copy of the seed's state, which is then put back in its place.
    """
    state = train_state_bytes(fixed_part(recipe))
    return state, state + cost_of(recipe).activation_bytes


def data_bytes(recipe: Recipe) -> int:
    """Bytes of the task's data, which every device holds once."""
    return sum(each.nbytes for each in data_of(recipe))


def device_memory(device: jax.Device) -> int:
    """Bytes a device may use: an accelerator's own limit, or what this process may use of the host."""
    statistics = device.memory_stats() or {}
    if "bytes_limit" in statistics:
        return int(statistics["bytes_limit"])
    return host.memory()
