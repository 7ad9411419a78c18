"""Counts of passes or exact rates, as they are given: do they fit the scales, and are they possible?"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from .growth_curves import Array
from .growth_fit import Counts, Exact, Observed

Pair = tuple[ArrayLike, ArrayLike]


def read_arrays(
    pass_rate: ArrayLike | None, counts: Pair | None, scales: int, axes: int | None = None
) -> list[Array]:
    """Passes and samples, or rates alone, of one shape [..., N].

    Args:
        pass_rate, counts: one of them.
        scales: N.
        axes: how many axes there must be; any number by default.

    Raises:
        ValueError: if neither or both are given, shapes do not fit or numbers are impossible.
    """
    if (pass_rate is None) == (counts is None):
        raise ValueError("give either pass_rate=, exact rates, or counts=(passes, samples)")
    given = [np.asarray(a, np.float64) for a in ([pass_rate] if counts is None else counts)]
    arrays = list(np.broadcast_arrays(*given))
    shape = arrays[0].shape
    if len(shape) == 0 or shape[-1] != scales or (axes is not None and len(shape) != axes):
        wanted = "[..., N]" if axes is None else "[U, N]"
        raise ValueError(f"rates or counts of shape {shape} must be {wanted} with N={scales} scales")
    if counts is None:
        outside = arrays[0][(arrays[0] <= 0) | (arrays[0] >= 1)]
        if len(outside):
            raise ValueError(
                f"pass_rate={outside[0]:g}: exact rates lie strictly between 0 and 1; give counts instead"
            )
    elif not np.all((arrays[0] >= 0) & (arrays[0] <= arrays[1]) & np.isfinite(arrays[1])):
        raise ValueError("counts=(passes, samples): 0 <= passes <= samples must hold everywhere")
    return arrays


def as_observed(arrays: list[Array]) -> Observed:
    """B data sets of what `read_arrays` returned, leading axes in one."""
    flat = [a.reshape(-1, a.shape[-1]) for a in arrays]
    return Counts(*flat) if len(flat) == 2 else as_exact(flat[0])


def as_exact(rate: Array) -> Exact:
    """Rates [B, N]; NaN is not known."""
    known = ~np.isnan(rate)
    return Exact(np.log(-np.log(np.where(known, rate, 0.5))), known.astype(np.float64))
