"""How fast can these devices multiply matrices? The measure that training is held against."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp

from jaxemerge.devices import Layout, over_seeds
from timing import Run

_SIZES = {"cpu": (512, 1024, 2048)}
_ACCELERATOR_SIZES = (4096, 8192)
_NAME = "product "


def products(dtype: str, sizes: Sequence[int] = (), devices: int = 0) -> dict[str, Run]:
    """Square matrix products, one on every local device at once, as variants to time.

    Args:
        dtype: of the matrices.
        sizes: of the matrices; by default those that are good for the platform.
        devices: how many devices; 0 for all.
    """
    here = jax.local_devices()
    used = here[: devices or len(here)]
    chosen = sizes or _SIZES.get(used[0].platform, _ACCELERATOR_SIZES)
    return {f"{_NAME}{size}": _product(tuple(used), size, dtype) for size in chosen}


def _product(devices: tuple[jax.Device, ...], size: int, dtype: str) -> Run:
    layout = Layout(devices)

    def repeated(matrix: Any, repeats: Any) -> Any:
        # Each product waits for the one before it; scaled, so that nothing grows.
        return jax.lax.fori_loop(0, repeats, lambda _, x: jnp.dot(x, matrix), matrix)

    def matrices(_: Any) -> Any:
        return jnp.full((size, size), 1 / size, dtype)

    whole = over_seeds(matrices, layout)(jnp.zeros(len(devices)))
    program = over_seeds(repeated, layout, shared=1)
    return lambda n: program(whole, n).block_until_ready()


def is_product(variant: str) -> bool:
    """Whether a variant is one of ``products``."""
    return variant.startswith(_NAME)


def peak(seen: Mapping[str, Sequence[float]], devices: int) -> float:
    """FLOP/s of all devices together: the best size's median."""
    rates = [
        2.0 * int(name.removeprefix(_NAME)) ** 3 * devices / statistics.median(times)
        for name, times in seen.items()
        if is_product(name)
    ]
    return max(rates)
