"""Which part of the variance over seeds is due to initialisation, data order, and their interaction?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import fdtrc

from jaxemerge.brief import brief

from ..estimates.arguments import as_outcomes, check_at_least, check_confidence
from ..estimates.interval import UNKNOWN, Estimate
from ..estimates.resampling import generator, percentile_interval

Array = NDArray[np.float64]


@brief
@dataclass(frozen=True)
class VarianceSplit:
    """The variance of outcomes over seeds, in three parts.

    Attributes:
        mean: mean outcome.
        init, data, residual: variance components of the init seed, the data seed and their interaction, in
            squared units of the outcome.
        init_share, data_share, residual_share: the same as shares of their sum.
        init_p, data_p: p-values of the F tests that a factor has no effect.
    """

    mean: float
    init: Estimate
    data: Estimate
    residual: Estimate
    init_share: Estimate
    data_share: Estimate
    residual_share: Estimate
    init_p: float
    data_p: float


def split_variance(
    outcomes: ArrayLike,
    *,
    failure: float = 0.0,
    confidence: float = 0.95,
    resamples: int = 10_000,
    key: Any = 0,
) -> VarianceSplit:
    """Variance components of a crossed design, every init seed with every data seed.

    Model (two-way random effects): outcome_id = mean + init_i + data_d + residual_id. A run is a function of
    its two seeds, so the residual is their interaction, not noise. By the method of moments, with the mean
    squares of the analysis of variance,

        residual = MS_r,     init = (MS_i - MS_r) / D,     data = (MS_d - MS_r) / I,

    negative estimates set to 0. Intervals are generalised confidence intervals: the mean squares are
    replaced by MS * dof / chi-square(dof) for `resamples` independent draws and the estimates redone.

    The intervals and F tests rest on normal effects. Measured (benchmarks/coverage_of_populations.py, 4,000
    designs of 10 by 15, 95 % intervals): normal outcomes, variances covered in 94.9 to 95.1 %, init share in
    95.6 %; the same outcomes thresholded to 0 and 1, init in 96.0 %, data in 98.3 %, residual in 91.8 %,
    shares of init and data in 94.2 and 93.9 %; F test of init under its null 5.9 %, thresholded 4.3 %.

    Args:
        outcomes: [I, D], one run per pair of init seed and data seed; NaN is a diverged run.
        failure: outcome of a diverged run.
        confidence: probability in (0, 1).
        resamples: number of draws.
        key: int or JAX key.

    Returns:
        VarianceSplit. With one init seed or one data seed the components are not identified: NaN, except the
        mean. Equal outcomes have variances 0 and shares and p-values NaN.

    Raises:
        ValueError: if `outcomes` is not [I, D] with at least one run, or an argument is out of its range.

    References:
        Searle, Casella and McCulloch (1992), Variance Components, section 4.3; Weerahandi (1993), J. Am.
        Stat. Assoc. 88, p. 899 (generalised intervals).
    """
    check_confidence(confidence)
    y = as_outcomes(outcomes, failure)
    if y.ndim != 2 or y.size == 0:
        raise ValueError(
            f"outcomes of shape {y.shape} must be [init seeds, data seeds], at least one of each"
        )
    check_at_least(1, resamples=resamples)
    mean = float(y.mean())
    if min(y.shape) < 2:
        unknown = Estimate(np.nan, UNKNOWN)
        return _record(mean, [unknown] * 6, [np.nan] * 2)
    squares, dof = _sums_of_squares(y)
    parts = _parts(squares / dof, y.shape)
    draws = squares / generator(key).chisquare(dof, size=(resamples, 3))
    drawn = _parts(draws, y.shape)
    variances = [
        Estimate(float(v), percentile_interval(d, confidence)) for v, d in zip(parts, drawn.T, strict=True)
    ]
    shares, drawn_shares = _shares(parts), _shares(drawn)
    split = [
        Estimate(float(v), percentile_interval(d, confidence))
        for v, d in zip(shares, drawn_shares.T, strict=True)
    ]
    p_values = [_f_test(squares, dof, factor) for factor in (0, 1)]
    return _record(mean, [*variances, *split], p_values)


def _record(mean: float, parts: list[Estimate], p_values: list[float]) -> VarianceSplit:
    init, data, residual, init_share, data_share, residual_share = parts
    return VarianceSplit(
        mean, init, data, residual, init_share, data_share, residual_share, p_values[0], p_values[1]
    )


def _sums_of_squares(y: Array) -> tuple[Array, Array]:
    """Of init seeds, data seeds and the residual, [3], and their degrees of freedom."""
    inits, orders = y.shape
    centred = y - y.mean()
    rows, columns = centred.mean(axis=1), centred.mean(axis=0)
    rest = centred - rows[:, None] - columns
    squares = np.array([orders * np.sum(rows**2), inits * np.sum(columns**2), np.sum(rest**2)])
    # Equal numbers less their mean leave rounding errors, not variance.
    squares[squares <= 1e-24 * y.size * np.max(np.abs(y)) ** 2] = 0.0
    return squares, np.array([inits - 1, orders - 1, (inits - 1) * (orders - 1)], np.float64)


def _parts(mean_squares: Array, shape: tuple[int, ...]) -> Array:
    """Variances [..., 3] from mean squares [..., 3]."""
    init, data, residual = np.moveaxis(mean_squares, -1, 0)
    return np.maximum(
        np.stack([(init - residual) / shape[1], (data - residual) / shape[0], residual], axis=-1), 0.0
    )


def _shares(parts: Array) -> Array:
    total = parts.sum(axis=-1, keepdims=True)
    return np.divide(parts, total, out=np.full(parts.shape, np.nan), where=total > 0)


def _f_test(squares: Array, dof: Array, factor: int) -> float:
    if squares[2] == 0:
        return 0.0 if squares[factor] > 0 else np.nan
    ratio = squares[factor] / dof[factor] / (squares[2] / dof[2])
    return float(fdtrc(dof[factor], dof[2], ratio))
