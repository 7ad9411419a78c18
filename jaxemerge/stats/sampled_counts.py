"""What counts would other samples have given?"""

from __future__ import annotations

import numpy as np

from .growth_curves import Array
from .growth_fit import Counts


def draw_counts(
    rate: Array, samples: Array, stop: tuple[int, int] | None, resamples: int, rng: np.random.Generator
) -> Counts:
    """R times the counts of B curves at N scales, as [R B, N].

    Args:
        rate: [B, N] probabilities of a pass.
        samples: [B, N] numbers of samples; 0 stays 0.
        stop: (r, cap) draws one after the other until r passes or cap samples instead.
        resamples: R.
        rng: random numbers.
    """
    scales = rate.shape[-1]
    if stop is None:
        size = np.round(samples).astype(np.int64)
        drawn = rng.binomial(size, rate, size=(resamples, *rate.shape))
        kept = np.broadcast_to(size, drawn.shape)
        return Counts(*(a.reshape(-1, scales).astype(np.float64) for a in (drawn, kept)))
    r, cap = stop
    # A rate below this has no pass within the cap, and numpy's geometric would run over.
    rare = np.maximum(rate, 1e-3 / cap)
    at = np.cumsum(rng.geometric(rare, size=(r, resamples, *rate.shape)), axis=0)
    passes = np.where(samples > 0, np.sum(at <= cap, axis=0), 0)
    kept = np.where(samples > 0, np.minimum(at[-1], cap), 0)
    return Counts(*(a.reshape(-1, scales).astype(np.float64) for a in (passes, kept)))
