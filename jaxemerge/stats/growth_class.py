"""Does an ability grow as the task scaling law says, faster (super-scaling) or slower (sub-scaling)?"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import chdtrc, chdtri

from .growth_curves import BENT, Array, Axis
from .growth_fit import Exact, Observed, best_curve, told
from .growth_profile import profile_ends
from .interval import Estimate, Interval

SCALING, SUB, SUPER, UNDECIDED = "scaling", "sub-scaling", "super-scaling", "undecided"
# Bends smaller than this are no departure from the law: 0.25 is a factor of 1.28 in -ln P half way. Of exact
# rates only rounding is forgiven.
MARGIN, ROUNDING = 0.25, 1e-6


@dataclass(frozen=True)
class Growth:
    """Growth classes of one or several curves of F = ln(-ln P) against the logarithm of scale.

    Attributes:
        name: "scaling", "sub-scaling", "super-scaling" or "undecided"; a string or an array of them.
        bend: how far F in the middle of the log scales lies below the chord between the smallest and the
            largest, of the parabola that fits best, with its profile-likelihood interval: positive where F is
            convex (sub-scaling), negative where it is concave (super-scaling).
        p_value: of the likelihood-ratio test of a bend against none; NaN for exact rates.
        margin: bends within plus or minus this count as none.
    """

    name: str | NDArray[np.str_]
    bend: Estimate
    p_value: float | Array
    margin: float


def classify(
    data: Observed, axis: Axis, line: Array, height: Array, *, margin: float | None, confidence: float
) -> Growth:
    """Classes of B data sets with their best laws `line` [B, 2] of log-likelihood `height` [B].

    "scaling" if the whole interval of the bend lies within the margin; else by the sign of the bend if the
    likelihood-ratio test refuses a straight line; else "undecided". Exact rates are never undecided.
    """
    exact = isinstance(data, Exact)
    allowed = (ROUNDING if exact else MARGIN) if margin is None else margin
    theta, top = best_curve(BENT, data, axis, line)
    known = _identified(data, axis)
    bend = np.where(known, theta[:, 2], np.nan)
    if exact:
        low, high, p_value = bend, bend, np.full(len(bend), np.nan)
        bent = known
    else:
        drop = chdtri(1, 1 - confidence) / 2
        low, high = (
            np.where(known, end, np.nan) for end in profile_ends(BENT, 2, data, axis, theta, top - drop)
        )
        p_value = np.where(known, chdtrc(1, np.maximum(2 * (top - height), 0.0)), np.nan)
        bent = known & (p_value <= 1 - confidence)
    straight = known & (low >= -allowed) & (high <= allowed)
    name = np.where(straight, SCALING, np.where(bent, np.where(bend > 0, SUB, SUPER), UNDECIDED))
    return Growth(name, Estimate(bend, Interval(low, high)), p_value, float(allowed))


def _identified(data: Observed, axis: Axis) -> NDArray[np.bool_]:
    """Whether there are three different scales or more, with passes and failures among them."""
    places = np.unique(axis.z)
    there = data.rough()[1] > 0
    number = np.stack([there[:, axis.z == z].any(axis=1) for z in places], axis=1).sum(axis=1)
    return (number >= 3) & ~np.isnan(told(data, axis))
