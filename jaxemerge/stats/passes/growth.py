"""Does an ability grow as the task scaling law says, faster or slower, and which model describes it best?"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import chdtrc, chdtri

from jaxemerge.brief import brief

from ..estimates.interval import Estimate, Interval
from .counts import Pair, as_observed, read_arrays
from .growth_curves import (
    BENT,
    CHAIN,
    CIRCUITS,
    LAW,
    Array,
    Axis,
    Curve,
    Exact,
    Observed,
    axis_of,
    best_curve,
    best_line,
    profile_ends,
    slope_sign,
)

SCALING, SUB, SUPER, UNDECIDED = "scaling", "sub-scaling", "super-scaling", "undecided"
# Bends smaller than this do not count as a departure from the law: 0.25 is a factor of 1.28 in -ln P half
# way. For exact rates only rounding is allowed.
MARGIN, ROUNDING = 0.25, 1e-6


@brief
@dataclass(frozen=True)
class Growth:
    """Growth classes of one or several curves of F = ln(-ln P) against the logarithm of scale.

    Attributes:
        name: "scaling", "sub-scaling", "super-scaling" or "undecided"; a string or an array of them.
        bend: how far F in the middle of the log scales lies below the chord between the smallest and the
            largest, of the parabola that fits best, with its profile-likelihood interval: positive where F is
            convex (sub-scaling), negative where it is concave (super-scaling).
        p_value: of the likelihood-ratio test of a bend against none; NaN for exact rates.
        margin: bends within plus or minus this count as 0.
    """

    name: str | NDArray[np.str_]
    bend: Estimate
    p_value: float | Array
    margin: float


def classify(
    data: Observed, axis: Axis, line: Array, log_likelihood: Array, *, margin: float | None, confidence: float
) -> Growth:
    """Classes of B data sets with their best laws `line` [B, 2] of log-likelihood `log_likelihood` [B].

    "scaling" if the whole interval of the bend lies within the margin; else by the sign of the bend if the
    likelihood-ratio test rejects a straight line; else "undecided". Exact rates are never undecided.
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
        p_value = np.where(known, chdtrc(1, np.maximum(2 * (top - log_likelihood), 0.0)), np.nan)
        bent = known & (p_value <= 1 - confidence)
    straight = known & (low >= -allowed) & (high <= allowed)
    name = np.where(straight, SCALING, np.where(bent, np.where(bend > 0, SUB, SUPER), UNDECIDED))
    return Growth(name, Estimate(bend, Interval(low, high)), p_value, float(allowed))


def _identified(data: Observed, axis: Axis) -> NDArray[np.bool_]:
    """Whether there are three different scales or more, with passes and failures among them."""
    places = np.unique(axis.z)
    there = data.rough()[1] > 0
    number = np.stack([there[:, axis.z == z].any(axis=1) for z in places], axis=1).sum(axis=1)
    return (number >= 3) & ~np.isnan(slope_sign(data, axis))


MODELS: dict[str, Curve] = {"law": LAW, "chain": CHAIN, "circuits": CIRCUITS}
FLOOR = 1e-9  # of F: exact rates cannot fit better than this


@brief
@dataclass(frozen=True)
class GrowthModels:
    """Three models of one or several curves [...].

    Attributes:
        bic: by model, -2 log-likelihood + parameters x ln(samples); lower is better.
        preferred: "law", "chain" or "circuits", the model of least BIC; a string or an array of them.
        fitted: by model, F = ln(-ln P) [..., N] at the scales fitted.
        coefficients: by model, [..., 2] or [..., 4]: ln c and alpha of the law, or of both of its laws.
    """

    bic: Mapping[str, float | Array]
    preferred: str | NDArray[np.str_]
    fitted: dict[str, Array]
    coefficients: dict[str, Array]


def fit_growth_models(
    parameters: ArrayLike, pass_rate: ArrayLike | None = None, *, counts: Pair | None = None
) -> GrowthModels:
    """Fits three models of F = ln(-ln P) against ln N and compares them by BIC.

        law:       F = F1                            two parameters,   F1 = ln c1 - alpha1 ln N
        chain:     F = ln(e^F1 + e^F2)               two steps that must both go right, convex
        circuits:  F = w1 F1 + w2 F2, w = softmax(-F)   the better of two circuits counts, concave

    Both with alphas of at least 0. For counts a sample is an observation, for exact rates a scale, with
    normal deviations of F of a variance that is fitted too. This is not a test: several models can fit
    equally well, and a good fit does not identify the mechanism.

    Args:
        parameters: [N] numbers of parameters.
        pass_rate: [..., N] exact rates, strictly between 0 and 1.
        counts: passes and samples, [..., N] each, instead.

    Returns:
        GrowthModels, of floats and a string if there is one curve.

    Raises:
        ValueError: as `fit_task_scaling`.

    References:
        Hu et al. (2023), arXiv 2310.03262, theorems 2 and 3 and the fitted form in section 6; Schwarz (1978),
        Ann. Stat. 6, p. 461 (BIC).
    """
    scales = np.asarray(parameters, np.float64)
    axis = axis_of(scales)
    arrays = read_arrays(pass_rate, counts, len(scales))
    shape, data = arrays[0].shape[:-1], as_observed(arrays)
    line, log_likelihood = best_line(data, axis)
    bic, fitted, coefficients = {}, {}, {}
    for name, curve in MODELS.items():
        theta, top = (line, log_likelihood) if curve is LAW else best_curve(curve, data, axis, line)
        bic[name] = _bic(data, top, curve.size)
        fitted[name] = curve.value(theta, axis.z).reshape(*shape, -1)
        coefficients[name] = _natural(theta, axis).reshape(*shape, -1)
    table = np.stack(list(bic.values()), axis=-1)
    preferred = np.array(list(MODELS))[table.argmin(axis=-1)]
    if not shape:
        single = {name: float(value[0]) for name, value in bic.items()}
        return GrowthModels(single, str(preferred[0]), fitted, coefficients)
    return GrowthModels(
        {name: v.reshape(shape) for name, v in bic.items()}, preferred.reshape(shape), fitted, coefficients
    )


def _bic(data: Observed, log_likelihood: Array, size: int) -> Array:
    if isinstance(data, Exact):
        scales = data.weight.sum(axis=-1)
        deviance = scales * np.log(-2 * log_likelihood / np.maximum(scales, 1) + FLOOR**2)
        return deviance + size * np.log(np.maximum(scales, 1))
    return -2 * log_likelihood + size * np.log(np.maximum(data.samples.sum(axis=-1), 1))


def _natural(theta: Array, axis: Axis) -> Array:
    """ln c and alpha of each line a - s z, next to each other."""
    lines = theta.reshape(len(theta), -1, 2)
    intercept, slope = lines[..., 0], lines[..., 1] / axis.unit
    return np.stack([intercept + slope * axis.centre, slope], axis=-1).reshape(theta.shape)
