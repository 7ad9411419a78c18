"""A cell's training program compiled for a chip, whether or not there is one here.

XLA's compilers for GPUs and TPUs need a description of the chip, not the chip. What comes back is the program
that would run there, with its memory. Products have default tilings, as nothing can be timed.
"""

from __future__ import annotations

import functools
import os
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
from jax.experimental import topologies

from jaxemerge.devices import DeviceError, Layout, compiling_for
from jaxemerge.training.population import Program, program
from jaxemerge.training.recipe import data_of
from jaxemerge.training.step import Members

if TYPE_CHECKING:
    from jaxemerge.training.chips import Chip
    from jaxemerge.training.recipe import Recipe

_LOWERED_FOR = {"cpu": "cpu", "gpu": "cuda", "tpu": "tpu"}
# What compiles for a platform. The plugin for GPUs goes into a folder of its own: on a host without one, JAX
# complains of it at each start. To run on a GPU takes all of jax[cuda13], five times as much.
_WHEELS = {
    "gpu": "pip install --no-deps --target cuda jax-cuda13-plugin=={version} jax-cuda13-pjrt=={version} "
    "nvidia-cuda-nvcc nvidia-nvvm nvidia-cudnn-cu13, and run with PYTHONPATH=cuda",
    "tpu": "pip install 'jax[tpu]=={version}'",
}


class CompilerMissingError(DeviceError):
    """The compiler for a chip is not installed."""


@dataclass(frozen=True)
class Compiled:
    """A compiled training program.

    Attributes:
        text: the program in XLA's HLO language.
        state: bytes per device that stay: weights, moments, members.
        temporary: bytes per device that it needs while it runs, beside those.
        seconds: time that tracing and compiling took.
    """

    text: str
    state: int
    temporary: int
    seconds: float


def compiled_training(recipe: Recipe, layout: Layout, seeds: int) -> Compiled:
    """Compiles the program that trains a cell's seeds, exactly as ``train_population`` would run it.

    Args:
        recipe: the cell.
        layout: devices, which may be those of ``described``, and seeds side by side on each.
        seeds: seeds of a chunk, a multiple of ``layout.multiple``.

    Raises:
        CompilerMissingError: the program calls cuDNN, which is not installed.
    """
    began = time.monotonic()
    kind = _platform(layout.devices[0])
    with compiling_for(kind):
        built = program(recipe, layout)
        state, members, data = _arguments(built, seeds)
        try:
            traced = built.advance.trace(state, members, 0, 1, 0, *data)  # type: ignore[attr-defined]
        except RuntimeError as error:
            if "cuDNN" not in str(error):
                raise
            raise _missing(kind, error) from error
        done = traced.lower(lowering_platforms=(_LOWERED_FOR[kind],)).compile()
    memory = done.memory_analysis()
    seconds = time.monotonic() - began
    return Compiled(done.as_text(), memory.argument_size_in_bytes, memory.temp_size_in_bytes, seconds)


def described(chip: Chip, devices: int = 1) -> tuple[jax.Device, ...]:
    """Devices to compile for, where there may be none.

    Args:
        chip: what they are.
        devices: their number; of a TPU as many as its topology has.

    Raises:
        CompilerMissingError: the compiler for the chip is not installed.
    """
    return _described(chip.platform, chip.target, devices)


@functools.cache
def _described(platform: str, target: str, devices: int) -> tuple[jax.Device, ...]:
    try:
        if platform == "tpu":
            os.environ.setdefault("TPU_SKIP_MDS_QUERY", "1")  # else it asks the cloud which TPU this host has
            return tuple(topologies.get_topology_desc(target, "tpu").devices)
        shape = f"1x1x{devices}"
        found = topologies.get_topology_desc("described", "cuda", target_config=target, topology=shape)
        return tuple(found.devices)
    except (NotImplementedError, RuntimeError) as error:
        raise _missing(platform, error) from error


def _missing(platform: str, error: Exception) -> CompilerMissingError:
    reason = str(error).partition("\n")[0]
    wheels = _WHEELS[platform].format(version=jax.__version__)
    return CompilerMissingError(f"no compiler for {platform.upper()}s here ({reason}); {wheels}")


def _arguments(built: Program, seeds: int) -> tuple[Any, Members, list[Any]]:
    """Shapes of a chunk's state and members and of the task's data, placed as the program has them."""

    def placed(shape: tuple[int, ...], dtype: Any) -> Any:
        return jax.ShapeDtypeStruct(shape, dtype, sharding=built.layout.sharding)

    who = Members(*[placed((seeds,), jnp.uint32)] * 2, *[placed((seeds,), jnp.float32)] * 3)
    state = jax.eval_shape(built.init, who)
    data = [
        jax.ShapeDtypeStruct(each.shape, each.dtype, sharding=built.layout.everywhere)
        for each in data_of(built.recipe)
    ]
    return jax.tree.map(lambda leaf: placed(leaf.shape, leaf.dtype), state), who, data


def _platform(device: jax.Device) -> str:
    return "gpu" if device.platform in ("cuda", "rocm") else device.platform
