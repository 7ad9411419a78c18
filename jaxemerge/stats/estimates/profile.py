"""Which values of one parameter does the likelihood support? Ends of profile-likelihood intervals.

The profile is the log-likelihood maximised over all other parameters; the interval holds the values at which
it is at least some cut. Three searches find its ends: on a grid, for profiles with several maxima; outwards
from the maximum, for many data sets at once; and between the maximum and bounds, for one concave profile.

References:
    Venzon and Moolgavkar (1988), J. R. Stat. Soc. C 37, p. 87 (profile-likelihood intervals).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq

from .interval import Interval

Array = NDArray[np.float64]
Profile = Callable[[Array], Array]

ROUNDS, POINTS = 3, 17
FIRST, DOUBLINGS, BISECTIONS = 0.05, 12, 22
FARTHEST = 20.0  # an end beyond this counts as infinite


def level_set(profile: Profile, grid: Array, log_likelihoods: Array, cut: float) -> Interval:
    """The hull of the values whose profile is at least `cut`, from a grid.

    The outermost points of the grid above the cut are found, and the crossings beyond them refined. A set
    that reaches the end of the grid ends there. A profile with several maxima is covered as a whole.

    Args:
        profile: [G] values -> [G] log-likelihoods, maximised over the other parameters.
        grid: [G] ascending values, coarse, from one end of the range to the other.
        log_likelihoods: [G] the profile on the grid.
        cut: log-likelihood to exceed; at most the largest on the grid.

    Returns:
        Interval of two floats.
    """
    above = np.flatnonzero(log_likelihoods >= cut)
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


def ends_outwards(
    above: Callable[[Array, Array], tuple[NDArray[np.bool_], Array]], theta: Array, index: int
) -> tuple[Array, Array]:
    """Both ends of the intervals of one parameter for B data sets, searched outwards from the maximum.

    Steps double until the profile falls below the cut; bisection follows.

    Args:
        above: from values [2 B] of the parameter, lower sides first, and nearby theta [2 B, P] to whether the
            profile is at least the cut, and the maximising theta.
        theta: [B, P] the most likely values.
        index: of the parameter.

    Returns:
        [B] lower and [B] upper ends; infinite where the profile never falls that far.
    """
    fits = len(theta)
    sign = np.repeat([-1.0, 1.0], fits)
    inner = np.tile(theta, (2, 1))
    outer, crossed, width = inner[:, index].copy(), np.zeros(2 * fits, bool), FIRST
    for _ in range(DOUBLINGS):
        tried = np.where(crossed, inner[:, index], inner[:, index] + sign * width)
        inside, found = above(tried, inner)
        outer = np.where(crossed, outer, tried)
        crossed = crossed | ~inside
        inner = np.where(crossed[:, None], inner, found)
        width *= 2
        if crossed.all():
            break
    for _ in range(BISECTIONS):
        middle = (inner[:, index] + outer) / 2
        inside, found = above(middle, inner)
        inner = np.where(inside[:, None], found, inner)
        outer = np.where(inside, outer, middle)
    near = crossed & (np.abs(inner[:, index]) < FARTHEST)
    ends = np.where(near, inner[:, index], sign * np.inf)
    return ends[:fits], ends[fits:]


def ends_within(excess: Callable[[float], float], at: float, bounds: tuple[float, float]) -> Interval:
    """Both ends of the interval of one concave profile, between its maximum and two bounds.

    Args:
        excess: value -> profile less the cut, positive at the maximum.
        at: the most likely value.
        bounds: where the search ends; an interval that reaches one is unbounded on that side.

    Returns:
        Interval of two floats.
    """
    low, high = (
        float(np.sign(bound) * np.inf if excess(bound) >= 0 else brentq(excess, at, bound, xtol=1e-8))
        for bound in bounds
    )
    return Interval(low, high)
