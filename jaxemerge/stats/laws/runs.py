"""The runs that a law is fitted to: checks, scales with repeated seeds, and bootstraps over seeds."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import ndtr, stdtrit

from ..estimates.arguments import check_at_least
from ..estimates.interval import Estimate, Interval
from ..estimates.resampling import generator, percentile_interval

Floats = NDArray[np.float64]


def columns(**given: ArrayLike) -> list[Floats]:
    """Columns of runs as float64, in the order given.

    Raises:
        ValueError: if they are not one-dimensional and of one length, or hold NaN or anything not positive.
    """
    arrays = {name: np.asarray(column, np.float64) for name, column in given.items()}
    shapes = {name: array.shape for name, array in arrays.items()}
    if len(set(shapes.values())) > 1 or any(len(shape) != 1 for shape in shapes.values()):
        said = ", ".join(f"{name} {shape}" for name, shape in shapes.items())
        raise ValueError(f"shapes {said}: one value per run is needed, and as many of each")
    for name, array in arrays.items():
        if np.isnan(array).any():
            raise ValueError(
                f"{name} is NaN in {np.isnan(array).sum()} of {len(array)} runs; it must be a number"
            )
        bad = array[~(np.isfinite(array) & (array > 0))]
        if len(bad):
            raise ValueError(f"{name}={bad[0]:g} in one run (of {len(bad)} such) must be positive and finite")
    return list(arrays.values())


def need_runs(count: int, parameters: int, what: str = "runs of different scale") -> None:
    """Rejects fits with more parameters than points.

    Raises:
        ValueError: if `count` is below `parameters`.
    """
    if count < parameters:
        raise ValueError(
            f"{count} {what} cannot determine {parameters} parameters; at least {parameters} are needed"
        )


def need_scales(least: int, **given: Floats) -> None:
    """Rejects columns with too few different values.

    Raises:
        ValueError: if a column has fewer than `least` different values.
    """
    for name, column in given.items():
        distinct = np.unique(column)
        if len(distinct) < least:
            values = ", ".join(f"{value:g}" for value in distinct)
            raise ValueError(
                f"{name} takes {len(distinct)} values only ({values}); at least {least} are needed"
            )


COLLINEAR = 0.1  # scatter of ln D about a line in ln N below which D is a function of N


def common_power(parameters: ArrayLike, tokens: ArrayLike) -> float | None:
    """The power of N that D follows in all runs to about 10 %, as in D = 20 N; None where it does not.

    Along such a line A / N^alpha + B / D^beta is a sum of two powers of one number, and any split between
    the two fits nearly as well.

    Args:
        parameters: [n] N, positive.
        tokens: [n] D, positive.
    """
    x, y = np.log(np.asarray(parameters, np.float64)), np.log(np.asarray(tokens, np.float64))
    if np.ptp(x) == 0 or np.ptp(y) == 0:
        return None
    slope = float(np.cov(x, y)[0, 1] / np.var(x, ddof=1))
    residual = y - y.mean() - slope * (x - x.mean())
    return slope if float(np.sqrt(np.mean(residual**2))) < COLLINEAR else None


def scale_of(*given: Floats) -> NDArray[np.int64]:
    """[n] index of the scale of each run: runs equal in all columns are repeats of one scale."""
    return np.unique(np.stack(given, axis=1), axis=0, return_inverse=True)[1].reshape(-1)


def resampled_weights(scale: NDArray[np.int64], bootstraps: int, key: Any) -> Floats:
    """[R, n] weights of the runs in each resample of the seeds.

    If every scale has repeats, seeds are resampled within scales: of k seeds k - 1 are drawn with
    replacement and weigh k / (k - 1) each, as otherwise the mean of few seeds would vary too little. If some
    scale has a single run, runs are drawn from all scales together.

    Args:
        scale: [n] scale of each run, 0 to the number of scales - 1.
        bootstraps: R, 0 or more.
        key: int or JAX key; None is 0.

    Raises:
        ValueError: if `bootstraps` is negative.

    References:
        Rao and Wu (1988), J. Am. Stat. Assoc. 83, p. 231, with resamples of size n - 1.
    """
    check_at_least(0, bootstraps=bootstraps)
    rng = generator(0 if key is None else key)
    if np.bincount(scale).min() < 2:
        scale = np.zeros_like(scale)
    weights = np.zeros((bootstraps, len(scale)))
    for place in range(scale.max() + 1):
        members = np.flatnonzero(scale == place)
        k = len(members)
        drawn = rng.multinomial(max(k - 1, 1), np.full(k, 1 / k), size=bootstraps)
        weights[:, members] = drawn * (k / max(k - 1, 1))
    return weights


def degrees_of_freedom(replicates: Floats, weights: Floats, scale: NDArray[np.int64]) -> float:
    """Effective degrees of freedom of the variance of a statistic over resamples of the seeds.

    A statistic that depends on the seeds of two or three scales, such as those at the ends of the range, has
    an uncertain variance however many runs there are. The share of each scale is found by regressing the
    replicates on the weights of its seeds. As shares are estimates themselves, k seeds count as k + 1 in
    Satterthwaite's sum, from which 2 is subtracted.

    Args:
        replicates: [R] of the statistic; NaN is left out.
        weights: [R, n] what `resampled_weights` drew.
        scale: [n] of each run.

    Returns:
        At least 1; inf where it cannot be estimated.

    References:
        Satterthwaite (1946), Biometrics Bull. 2, p. 110.
    """
    known = ~np.isnan(replicates)
    count = known.sum()
    if count < 3 or np.ptp(replicates[known]) == 0:
        return float("inf")
    if np.bincount(scale).min() < 2:
        return float(len(scale) - 1)
    z = replicates[known] - replicates[known].mean()
    together = z @ (weights[known] - 1) / count
    k = np.bincount(scale)
    # The covariance of the weights of k seeds is k / (k - 1) on the plane where they sum to k. Regressions on
    # noise would explain (k - 1) / R of the variance.
    shares = (k - 1) / k * np.bincount(scale, together**2) - (k - 1) * z.var() / count
    shares = np.maximum(shares, 0)
    if not shares.any():
        return float("inf")
    return float(max(shares.sum() ** 2 / np.sum(shares**2 / (k + 1)) - 2, 1.0))


def fewest_degrees(replicates: Floats, weights: Floats, scale: NDArray[np.int64]) -> float:
    """The least degrees of freedom among the parameters [R, P] of a law; inf where whole runs are drawn."""
    if np.bincount(scale).min() < 2:
        return float("inf")
    return min(degrees_of_freedom(column, weights, scale) for column in replicates.T)


def widened(confidence: float, degrees: float) -> float:
    """The confidence at which percentiles of normal replicates equal Student's quantiles.

    References:
        Hesterberg (2015), Am. Stat. 69, p. 371 (expanded percentile interval).
    """
    if np.isinf(degrees):
        return confidence
    level = 2 * ndtr(stdtrit(degrees, (1 + confidence) / 2)) - 1
    return float(min(level, np.nextafter(1.0, 0.0)))


def estimate(
    value: ArrayLike, replicates: Floats, confidence: float, degrees: float = float("inf")
) -> Estimate:
    """A value [...] with the percentile interval of its replicates [R, ...]; NaN ends if there are none.

    Percentiles are taken further out where the replicates' variance has few `degrees` of freedom.
    """
    array = np.asarray(value, np.float64)
    if len(replicates) == 0:
        interval = Interval(np.full(array.shape, np.nan), np.full(array.shape, np.nan))
    else:
        with np.errstate(invalid="ignore"):  # between two infinite replicates
            interval = percentile_interval(replicates, widened(confidence, degrees))
    if array.ndim:
        return Estimate(array, interval)
    return Estimate(float(array), Interval(float(interval.low), float(interval.high)))
