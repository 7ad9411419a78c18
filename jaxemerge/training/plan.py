"""How many seeds at once? What fits into memory, shared out evenly."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

import jax

from jaxemerge.devices import Layout
from jaxemerge.models.flops import activation_bytes, state_bytes, training_flops_per_token

if TYPE_CHECKING:
    from jaxemerge.training.step import Recipe

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
        dispatch: most steps in one call of the program, about two seconds of work: progress and
            interruptions are seen in between. By formula, so that the same plan adds up the
            same numbers in the same order.
        bytes: estimated peak memory of a chunk on all devices together; on host cores of the whole process.
    """

    layout: Layout
    chunk: int
    dispatch: int
    bytes: int


def make_plan(
    recipe: Recipe, n_seeds: int, *, devices: tuple[jax.Device, ...] = (), chunk: int = 0, memory: int = 0
) -> Plan:
    """Chooses chunk and layout for ``n_seeds`` of a cell.

    On host cores each device trains its seeds one after the other, so that a seed's weights stay in
    cache; on an accelerator they are trained side by side. Where the host's memory is too small for a
    seed on every core, fewer cores are used.

    Args:
        recipe: the cell.
        n_seeds: seeds still to train, at least 1.
        devices: those to use; default all local devices.
        chunk: seeds at once, rounded up to a multiple of the devices; 0 chooses.
        memory: bytes that may be used: of the process on host cores, of each accelerator otherwise;
            0 takes a share of what there is.

    Returns:
        Plan whose chunks all have the same size; the last may be padded.

    Raises:
        ValueError: a seed does not fit into ``memory``.
    """
    used = devices or tuple(jax.local_devices())
    state, activations = cell_bytes(recipe)
    on_host = used[0].platform == "cpu"
    limit = memory or int(_MEMORY_SHARE * device_memory(used[0]))
    if on_host:
        used = _devices_that_fit(used, state + activations, limit)
        fits = (limit - _PROCESS_BYTES - activations * len(used)) // (state * len(used))
    else:
        fits = limit // (state + activations)
    if memory and fits < 1:
        needed = state + activations + (_PROCESS_BYTES if on_host else 0)
        raise ValueError(
            f"memory={memory / 1e9:g} GB is too little: one seed needs about {needed / 1e9:.2g} GB"
        )
    most = min(int(fits), _HOST_CHUNK if on_host else _ACCELERATOR_CHUNK)
    if chunk:
        most = min(-(-chunk // len(used)), int(fits)) if memory else -(-chunk // len(used))
    return _even(recipe, n_seeds, used, max(1, most))


def _devices_that_fit(devices: tuple[jax.Device, ...], seed: int, limit: int) -> tuple[jax.Device, ...]:
    """As many of the host's devices as can each hold one seed; at least one."""
    return devices[: max(1, min(len(devices), (limit - _PROCESS_BYTES) // seed))]


def _even(recipe: Recipe, n_seeds: int, devices: tuple[jax.Device, ...], most: int) -> Plan:
    """Chunks of equal size, of at most ``most`` seeds per device."""
    state, activations = cell_bytes(recipe)
    on_host = devices[0].platform == "cpu"
    n_chunks = -(-n_seeds // (most * len(devices)))
    per_device = -(-n_seeds // (n_chunks * len(devices)))
    width = 1 if on_host else per_device
    size = per_device * len(devices)
    needed = state * size + activations * width * len(devices) + (_PROCESS_BYTES if on_host else 0)
    return Plan(Layout(devices, width), size, _dispatch(recipe, devices[0].platform, per_device), needed)


def _dispatch(recipe: Recipe, platform: str, seeds_per_device: int) -> int:
    per_token = training_flops_per_token(recipe.model, recipe.task.vocabulary, recipe.context)
    work = per_token * recipe.batch * recipe.context * seeds_per_device
    return int(min(max(_NOMINAL_FLOPS.get(platform, 1e14) * _DISPATCH_SECONDS / work, 1), 500))


def cell_bytes(recipe: Recipe) -> tuple[int, int]:
    """Estimated bytes of one seed: what stays (weights, moments), and what a step needs beside it."""
    vocabulary = recipe.task.vocabulary
    return (
        state_bytes(recipe.model, vocabulary),
        activation_bytes(recipe.model, vocabulary, recipe.batch, recipe.context),
    )


def device_memory(device: jax.Device) -> int:
    """Bytes a device may use: an accelerator's own limit, or the host's physical memory."""
    statistics = device.memory_stats() or {}
    if "bytes_limit" in statistics:
        return int(statistics["bytes_limit"])
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
