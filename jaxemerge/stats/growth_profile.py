"""Which values of one parameter of a growth curve are as likely as counts allow? Many curves at once."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .growth_curves import Array, Axis, Curve
from .growth_fit import Observed, climb

FIRST, DOUBLINGS, BISECTIONS = 0.05, 12, 22
FARTHEST = 20.0  # a slope or bend that may be this large may be of any size


def profile_ends(
    curve: Curve, index: int, data: Observed, axis: Axis, theta: Array, cut: Array
) -> tuple[Array, Array]:
    """Both ends of the profile-likelihood interval of one parameter, [B] each.

    From the most likely value outwards in steps that double until the likelihood, maximised over the other
    parameters, falls below the cut; then by bisection.

    Args:
        curve: P parameters.
        index: of the parameter.
        data: B data sets.
        axis: of the scales.
        theta: [B, P] the most likely values.
        cut: [B] log-likelihoods that the interval keeps above.

    Returns:
        Infinite where the likelihood never falls that far.
    """
    fits = len(theta)
    both, cuts = data.rows(np.tile(np.arange(fits), 2)), np.tile(cut, 2)
    held = np.arange(curve.size) == index
    sign = np.repeat([-1.0, 1.0], fits)

    def above(values: Array, near: Array) -> tuple[NDArray[np.bool_], Array]:
        found, height = climb(curve, both, axis, np.where(held, values[:, None], near), held)
        return height >= cuts, found

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
