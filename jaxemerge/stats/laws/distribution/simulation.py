"""Which scores would a law's seeds have? Counts drawn from it, for parametric bootstraps."""

from __future__ import annotations

import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from ..minimise import float64, host
from .likelihood import LINKS, Design, Parts, Shape, parts
from .population import rows_for

Floats = NDArray[np.float64]


@functools.cache
def tabulating(shape: Shape) -> Callable[..., Parts]:
    """The compiled law at given cells."""
    _, options = host()
    return jax.jit(functools.partial(parts, shape), compiler_options=dict(options))


def drawn_counts(
    rng: np.random.Generator, shape: Shape, theta: Floats, design: Design, seeds: NDArray[np.int64]
) -> tuple[NDArray[np.int64], Floats]:
    """One study drawn from the law: cells' effects, seeds' effects, and counts.

    Args:
        rng: generator.
        shape: of the law.
        theta: [P].
        design: of the C cells.
        seeds: [C] number of seeds in each.

    Returns:
        counts [C, M, L], M at least the most seeds of a cell, and [C, M] which of these rows are seeds.
    """
    with float64():
        found = tabulating(shape)(*jax.device_put((theta, design), host()[0]))
        C, L = found.eta.shape
        M = rows_for(int(seeds.max()))
        cells = float(found.cells) * rng.standard_normal((C, 1, 1))
        own = float(found.seeds) * rng.standard_normal((C, M, 1))
        logits = np.asarray(found.eta)[:, None] + cells + own
        success_CML = float(found.ceiling) * np.asarray(LINKS[shape.link](jnp.asarray(logits)))
    good = rng.random((C, M, L)) < success_CML
    table_2CLn = np.cumsum(np.exp(np.stack([found.failure, found.success])), axis=-1)
    cumulative = table_2CLn[good * 1, np.arange(C)[:, None, None], np.arange(L)]
    counts = np.sum(rng.random((C, M, L, 1)) > cumulative, axis=-1)
    counts = np.minimum(counts, np.asarray(shape.trials))
    return counts, (np.arange(M) < seeds[:, None]).astype(np.float64)
