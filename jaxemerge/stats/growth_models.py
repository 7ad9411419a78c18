"""One law, a chain of steps, or competing circuits: which of them do pass rates across scale speak for?"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .growth_curves import CHAIN, CIRCUITS, LAW, Array, Axis, Curve, axis_of
from .growth_fit import Exact, Observed, best_curve, best_line
from .pass_data import Pair, as_observed, read_arrays

MODELS: dict[str, Curve] = {"law": LAW, "chain": CHAIN, "circuits": CIRCUITS}
ROUNDING = 1e-9  # of F: exact rates cannot fit better than this


@dataclass(frozen=True)
class GrowthModels:
    """Three models of one or several curves [...].

    Attributes:
        bic: by model, -2 log-likelihood + parameters x ln(samples); the least speaks for the model.
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
    normal deviations of F of a variance that is fitted too. No test: two of these can fit equally well, and
    neither shows what goes on in the models.

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
    line, height = best_line(data, axis)
    bic, fitted, coefficients = {}, {}, {}
    for name, curve in MODELS.items():
        theta, top = (line, height) if curve is LAW else best_curve(curve, data, axis, line)
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


def _bic(data: Observed, height: Array, size: int) -> Array:
    if isinstance(data, Exact):
        scales = data.weight.sum(axis=-1)
        deviance = scales * np.log(-2 * height / np.maximum(scales, 1) + ROUNDING**2)
        return deviance + size * np.log(np.maximum(scales, 1))
    return -2 * height + size * np.log(np.maximum(data.samples.sum(axis=-1), 1))


def _natural(theta: Array, axis: Axis) -> Array:
    """ln c and alpha of each line a - s z, next to each other."""
    lines = theta.reshape(len(theta), -1, 2)
    intercept, slope = lines[..., 0], lines[..., 1] / axis.unit
    return np.stack([intercept + slope * axis.centre, slope], axis=-1).reshape(theta.shape)
