"""Which of several tests still reject when all of them count?"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray


def holm(p_values: ArrayLike) -> NDArray[np.float64]:
    """Holm's adjusted p-values: rejecting those at most q is wrong anywhere with probability at most q.

    With p_(1) <= ... <= p_(m), the adjusted value of p_(i) is max_{j <= i} min(1, (m - j + 1) p_(j)). The
    tests may depend on each other in any way.

    Args:
        p_values: [m]; NaN is a test that was not made, and does not count in m.

    Returns:
        [m] adjusted p-values, NaN where `p_values` is.

    Raises:
        ValueError: if a p-value is outside [0, 1], or they have not one axis.

    References:
        Holm (1979), Scand. J. Stat. 6, p. 65.
    """
    p_m = np.asarray(p_values, np.float64)
    if p_m.ndim != 1:
        raise ValueError(f"p_values of shape {p_m.shape} must be one number per test")
    known = ~np.isnan(p_m)
    if not np.all((p_m[known] >= 0) & (p_m[known] <= 1)):
        raise ValueError(f"p_values from {p_m[known].min():g} to {p_m[known].max():g} must lie in [0, 1]")
    order = np.flatnonzero(known)[np.argsort(p_m[known], kind="stable")]
    left = np.arange(len(order), 0, -1)
    adjusted = np.full(p_m.shape, np.nan)
    adjusted[order] = np.maximum.accumulate(np.minimum(1.0, left * p_m[order]))
    return adjusted
