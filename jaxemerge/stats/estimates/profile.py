"""Which values of one parameter are as likely as the data allow? Likelihood profiles, many points at once."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from .interval import Interval

Array = NDArray[np.float64]
Profile = Callable[[Array], Array]

ROUNDS, POINTS = 3, 17


def level_set(profile: Profile, grid: Array, heights: Array, cut: float) -> Interval:
    """The hull of the values whose profile log-likelihood is at least `cut`.

    The outermost points of the grid above the cut are found, and the crossings beyond them refined. A set
    that reaches the end of the grid ends there. A profile of several hills is covered as a whole.

    Args:
        profile: [G] values -> [G] log-likelihoods, maximised over the other parameters.
        grid: [G] ascending values, coarse, from one end of the range to the other.
        heights: [G] the profile on the grid.
        cut: log-likelihood to exceed; at most the largest of `heights`.

    Returns:
        Interval of two floats.

    References:
        Venzon and Moolgavkar (1988), J. R. Stat. Soc. C 37, p. 87 (profile-likelihood intervals).
    """
    above = np.flatnonzero(heights >= cut)
    first, last = int(above[0]), int(above[-1])
    # Each side's bracket: from the last value known to be above the cut to the first known to be below.
    inner = np.array([grid[first], grid[last]])
    outer = np.array([grid[max(first - 1, 0)], grid[min(last + 1, len(grid) - 1)]])
    for _ in range(ROUNDS):
        points_2P = inner[:, None] + (outer - inner)[:, None] * np.linspace(0, 1, POINTS)
        inside = profile(points_2P.ravel()).reshape(points_2P.shape) >= cut
        inside[:, 0] = True
        furthest = POINTS - 1 - np.argmax(inside[:, ::-1], axis=-1)
        inner = points_2P[[0, 1], furthest]
        outer = points_2P[[0, 1], np.minimum(furthest + 1, POINTS - 1)]
    return Interval(float(inner[0]), float(inner[1]))
