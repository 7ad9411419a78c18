"""How does P(success) grow with scale if nothing but growth is assumed?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import isotonic_regression
from scipy.special import xlog1py, xlogy

from .bootstrap import generator, percentile_interval
from .interval import Estimate, Interval, check_confidence
from .logistic import check_counts


@dataclass(frozen=True)
class IsotonicSuccess:
    """P(success) as any function that does not fall with scale.

    Attributes:
        scale: [U] distinct scales that have seeds, ascending.
        success: P(success) at each, float64 [U] arrays.
        log_likelihood: of the counts, binomial coefficients left out; no rising curve has a larger one.
    """

    scale: NDArray[np.float64]
    success: Estimate
    log_likelihood: float


def isotonic_success(
    scale: ArrayLike,
    successes: ArrayLike,
    trials: ArrayLike,
    *,
    confidence: float = 0.95,
    resamples: int = 1000,
    key: Any = 0,
) -> IsotonicSuccess:
    """Maximum-likelihood P(success) among all functions that do not fall with scale.

    Neighbours whose shares fall are pooled until none does. Cells of equal scale are one cell. Intervals are
    pointwise percentiles over resampled seeds, a guide where scales are pooled; at shares of 0 and 1 they
    have no width, and `success_interval` of the cell is the one to show.

    Args:
        scale: [N] positive.
        successes: [N] successful seeds.
        trials: [N] seeds; cells with 0 are left out.
        confidence: probability in (0, 1).
        resamples: number of bootstrap resamples.
        key: int or JAX key.

    Raises:
        ValueError: as `fit_success_curve`, or if there are two measures of scale.

    References:
        Barlow, Bartholomew, Bremner and Brunk (1972), Statistical Inference under Order Restrictions,
        section 1.2 (pooling adjacent violators) and example 1.10 (binomial counts).
    """
    check_confidence(confidence)
    if np.ndim(scale) != 1:
        raise ValueError(f"scale of shape {np.shape(scale)} must be [N]: growth needs one measure of scale")
    if resamples < 1:
        raise ValueError(f"resamples={resamples} must be at least 1")
    counts = check_counts(scale, successes, trials)
    logs, cell = np.unique(counts.logs[:, 0], return_inverse=True)
    k, n = (np.bincount(cell, a).astype(np.float64) for a in (counts.successes, counts.trials))
    if len(logs) == 0:
        return IsotonicSuccess(logs, Estimate(logs, Interval(logs, logs)), 0.0)
    p = _pooled(k / n, n)
    drawn = generator(key).binomial(n.astype(int), k / n, size=(resamples, len(n)))
    interval = percentile_interval(np.array([_pooled(row / n, n) for row in drawn]), confidence)
    height = np.sum(xlogy(k, p) + xlog1py(n - k, -p))
    return IsotonicSuccess(np.exp(logs), Estimate(p, interval), float(height))


def _pooled(share: NDArray[np.float64], weight: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.clip(isotonic_regression(share, weights=weight).x, 0.0, 1.0)
