"""Does an outcome change with scale, and how large a change can be excluded?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import ndtri

from jaxemerge.brief import brief

from ..estimates.arguments import as_outcomes, check_at_least, check_confidence
from ..estimates.interval import UNKNOWN, Estimate
from ..estimates.resampling import generator, permutation_p_value
from .trend_interval import trend_interval

Array = NDArray[np.float64]


@brief
@dataclass(frozen=True)
class TrendTest:
    """A linear trend of outcomes within strata, and how often chance alone produces one as steep.

    Attributes:
        slope: change of the outcome per unit of scale within strata; NaN where no stratum has runs at two
            scales.
        p_value: two-sided, from permutations within strata; NaN where the slope is.
        excluded: slopes of this size and more, in either direction, are rejected by two one-sided tests at
            level 1 - confidence: what can be said where no trend is detected. NaN where the interval is.
        detectable: size of a slope that these runs would show, at level 1 - confidence, with probability 0.8.
        runs: number of runs behind the slope: those in strata with two or more scales.
        permutations: number of random permutations, not counting the observed order.
    """

    slope: Estimate
    p_value: float
    excluded: float
    detectable: float
    runs: int
    permutations: int


POWER = 0.8
ROUNDING = 1e-12  # of a sum, relative to its terms


def trend_test(
    scale: ArrayLike,
    outcomes: ArrayLike,
    stratum: ArrayLike | None = None,
    *,
    failure: float = 0.0,
    permutations: int = 9_999,
    confidence: float = 0.95,
    key: Any = 0,
) -> TrendTest:
    """Tests for a linear trend of outcomes with scale among runs that are otherwise alike.

    The slope is that of least squares with an intercept of its own for every stratum,

        slope = sum_s d_s y_s / sum_s d_s^2,        d_s = x_s - mean of x in the stratum of run s.

    With outcomes 0 and 1 it is a change of P(success), and the test that of Cochran and Armitage, stratified.
    p-value: the outcomes are shuffled within each stratum, which is exact for any distribution if scale has
    no effect there; p is the share of shuffles with a slope at least as large in size.

    Interval: the slope is a weighted sum of the means of cells, the runs of one stratum at one scale, and
    only seeds within cells are random; the design is not. Of outcomes 0 and 1 the intervals of the cells'
    shares are combined (MOVER), so that cells without a success or a failure add what is not known of them.
    Of other outcomes it is Student's with the variance of each cell and Satterthwaite's degrees of freedom;
    a cell of one run has the variance of the others, and without any repeated cell it is that about the
    lines. NaN where nothing varies.

    Args:
        scale: [S] finite, usually a logarithm: log2 of depth makes the slope one per doubling.
        outcomes: [S] scores, or 0 and 1; NaN is a diverged run.
        stratum: [S] labels of runs that are alike in all but scale; None where all are.
        failure: outcome of a diverged run.
        permutations: number of shuffles; the smallest p-value is 1/(permutations + 1).
        confidence: probability in (0, 1).
        key: int or JAX key.

    Raises:
        ValueError: if the arguments do not fit, a scale is not finite, or an argument is out of its range.

    References:
        Armitage (1955), Biometrics 11, p. 375; Mantel (1963), J. Am. Stat. Assoc. 58, p. 690 (strata); Zou
        and Donner (2008), Stat. Med. 27, p. 1693 (MOVER); Schuirmann (1987), J. Pharmacokinet. Biopharm. 15,
        p. 657 (two one-sided tests).
    """
    check_confidence(confidence)
    check_at_least(1, permutations=permutations)
    x, y = np.asarray(scale, np.float64), as_outcomes(outcomes, failure)
    labels = np.zeros(x.shape) if stratum is None else np.asarray(stratum)
    if x.ndim != 1 or not x.shape == y.shape == labels.shape:
        raise ValueError(
            f"scale {x.shape}, outcomes {y.shape} and stratum {labels.shape} must be one each per run"
        )
    if not np.all(np.isfinite(x)):
        raise ValueError("every scale must be finite")
    groups = [labels == label for label in np.unique(labels)]
    telling = [(x[group], y[group]) for group in groups if np.ptp(x[group]) > 0]
    if not telling:
        return TrendTest(Estimate(np.nan, UNKNOWN), np.nan, np.nan, np.nan, 0, permutations)
    rng = generator(key)
    slope = float(_slope([(u[None], v[None]) for u, v in telling])[0])
    shuffled = [
        (u[None], rng.permuted(np.broadcast_to(v, (permutations, len(v))), axis=1)) for u, v in telling
    ]
    p_value = float(permutation_p_value(abs(slope), np.abs(_slope(shuffled))))
    interval, inner = (trend_interval(telling, slope, level) for level in (confidence, 2 * confidence - 1))
    excluded = max(abs(float(inner.low)), abs(float(inner.high)))
    level = ndtri((1 + confidence) / 2)
    detectable = float((1 + ndtri(POWER) / level) * (interval.high - interval.low) / 2)
    runs = sum(len(u) for u, _ in telling)
    return TrendTest(Estimate(slope, interval), p_value, excluded, detectable, runs, permutations)


def _slope(strata: list[tuple[Array, Array]]) -> Array:
    """Slopes [R] of strata of scales and outcomes, each [R or 1, n]; NaN without a spread of scale.

    Sums within rounding error of 0 become 0, so that outcomes without a trend tie with their permutations.
    """
    away = [x - x.mean(axis=1, keepdims=True) for x, _ in strata]
    terms = [a * y for a, (_, y) in zip(away, strata, strict=True)]
    rise = sum((np.sum(t, axis=1) for t in terms), np.zeros(1))
    size = sum((np.sum(np.abs(t), axis=1) for t in terms), np.zeros(1))
    rise = np.where(np.abs(rise) <= ROUNDING * size, 0.0, rise)
    spread = sum((np.sum(a**2, axis=1) for a in away), np.zeros(1))
    rise, spread = np.broadcast_arrays(rise, spread)
    return np.divide(rise, spread, out=np.full(rise.shape, np.nan), where=spread > 1e-12)
