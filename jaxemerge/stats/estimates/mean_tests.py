"""Do the means of two populations differ, and is one below a target, given a few seeds of each?"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import stdtr, stdtrit

from jaxemerge.brief import brief

from .arguments import check_confidence
from .interval import UNKNOWN, Estimate, Interval
from .weighted_means import welch

Array = NDArray[np.float64]


@brief
@dataclass(frozen=True)
class MeanDifference:
    """The mean of a second population less that of a first.

    Attributes:
        difference: second less first, with Welch's interval; NaN where it is not known.
        p_value: two-sided, that both means are equal; NaN where the interval is.
    """

    difference: Estimate
    p_value: float


def mean_difference(first: ArrayLike, second: ArrayLike, confidence: float = 0.95) -> MeanDifference:
    """Compares the means of two populations, which may be unlike variable (Welch).

    A population of one seed is taken to be as variable as the other.

    Args:
        first, second: [S] finite values of seeds.
        confidence: probability in (0, 1).

    Returns:
        MeanDifference; interval and p-value are NaN where neither population has two seeds that differ.

    Raises:
        ValueError: if values are not finite or a population is empty, or `confidence` is out of its range.

    References:
        Welch (1947), Biometrika 34, p. 28.
    """
    check_confidence(confidence)
    samples = [_sample(values) for values in (first, second)]
    value = _mean(samples[1]) - _mean(samples[0])
    error, degrees = _error(*samples)
    if not error > 0:
        return MeanDifference(Estimate(value, UNKNOWN), np.nan)
    half = float(stdtrit(degrees, (1 + confidence) / 2) * error)
    p_value = float(2 * stdtr(degrees, -abs(value) / error))
    return MeanDifference(Estimate(value, Interval(value - half, value + half)), p_value)


def _error(first: Array, second: Array) -> tuple[float, float]:
    """Standard error of the difference of the means, and its degrees of freedom."""
    runs = np.array([float(len(first)), float(len(second))])
    if runs.min() > 1:
        return welch(np.ones(2), runs, np.array([_variance(first), _variance(second)]))
    if runs.max() == 1:
        return 0.0, 1.0
    spread = np.sqrt(_variance(max(first, second, key=len)))  # of the only population that shows any
    return float(spread * np.sqrt(np.sum(1 / runs))), float(runs.max() - 1)


@brief
@dataclass(frozen=True)
class MeanTest:
    """A one-sided test of the mean of a population against a target.

    Attributes:
        mean: of the seeds.
        bound: the mean is at most (or least) this with probability `confidence`; NaN with one seed.
        p_value: that seeds like these come from a population whose mean misses the target; NaN with one seed.
    """

    mean: float
    bound: float
    p_value: float


def mean_at_most(values: ArrayLike, target: float, confidence: float = 0.95) -> MeanTest:
    """Tests whether the mean of a population is at most a target: Student's one-sided test.

    It is exact for normal values with two seeds and more. For "at least" give the negatives of both.

    Args:
        values: [S] finite values of seeds.
        target: the mean is tested against it.
        confidence: of the upper bound, in (0, 1).

    Returns:
        MeanTest; of equal values the bound is their mean and the p-value 0 or 1.

    Raises:
        ValueError: if values are not finite, or there are none, or an argument is out of its range.

    References:
        Student (1908), Biometrika 6, p. 1.
    """
    check_confidence(confidence)
    x = _sample(values)
    if not np.isfinite(target):
        raise ValueError(f"target={target} must be finite")
    mean = _mean(x)
    if len(x) < 2:
        return MeanTest(mean, np.nan, np.nan)
    error = float(np.sqrt(_variance(x) / len(x)))
    if not error > 0:
        return MeanTest(mean, mean, float(mean > target))
    bound = mean + float(stdtrit(len(x) - 1, confidence)) * error
    return MeanTest(mean, bound, float(stdtr(len(x) - 1, (mean - target) / error)))


def _mean(x: Array) -> float:
    """The mean; that of equal values is their value, without rounding."""
    return float(x[0] + (x - x[0]).mean())


def _variance(x: Array) -> float:
    """The sample variance; that of equal values is 0, without rounding."""
    return float((x - x[0]).var(ddof=1))


def _sample(values: ArrayLike) -> Array:
    x = np.asarray(values, np.float64)
    if x.ndim != 1 or not len(x) or not np.all(np.isfinite(x)):
        raise ValueError(f"values of shape {x.shape} must be one or more finite numbers, one per seed")
    return x
