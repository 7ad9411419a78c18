"""Which numbers describe the scores of a population?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import kstwo

from jaxemerge.brief import brief

from ..estimates.arguments import check_confidence, check_threshold
from ..estimates.interval import UNKNOWN, Estimate, Interval, success_interval
from ..estimates.mean import FEWEST, mean_interval
from ..estimates.resampling import percentile_interval, resample_indices
from ..estimates.shared_seeds import Labels, shared_labels, shared_mean_interval, shared_success_interval
from .observations import Array, scores_of_seeds

HIGH, LOW = 0.5, 0.1


@brief
@dataclass(frozen=True)
class Summaries:
    """The four summaries of S scores in [0, 1], each with its interval, and the counts behind them.

    Attributes:
        n: number of seeds S, diverged ones included.
        n_success: seeds with score >= threshold.
        threshold: least score that counts as success.
        mode: half-sample mode of the scores.
        mean: mean score.
        success: P(success), share of seeds with score >= threshold.
        success_mean: mean score of the successful seeds; NaN if there are none.
        above_half: share of seeds with score > 0.5.
        below_tenth: share of seeds with score < 0.1.
    """

    n: int
    n_success: int
    threshold: float
    mode: Estimate
    mean: Estimate
    success: Estimate
    success_mean: Estimate
    above_half: Estimate
    below_tenth: Estimate


def summaries(
    values: ArrayLike,
    threshold: float = 0.2,
    *,
    groups: ArrayLike | None = None,
    key: Any = 0,
    resamples: int = 1000,
    confidence: float = 0.95,
) -> Summaries:
    """The four summaries of the scores of one population.

    With scores y_1..y_S and threshold t:

        mode          half-sample mode of y                       interval: percentile bootstrap over seeds
        mean          sum_s y_s / S                               interval: `mean_interval`, within [0, 1]
        success       #{s: y_s >= t} / S                          interval: `success_interval`
        success_mean  sum_{y_s >= t} y_s / #{s: y_s >= t}         interval: `mean_interval`, within [t, 1]

    NaN scores are diverged runs: failures, with score 0, counted in S.

    The intervals of means assume nothing about the distribution and hold for any number of seeds
    (benchmarks/coverage_of_means.py); they are NaN for fewer than three seeds, or three successes. That of
    `success_mean` is conditional on the number of successes. The half-sample mode converges slowly (as
    S^(-1/3)); its interval indicates stability and has no exact coverage.

    Runs of a crossed design share seeds and are worth fewer independent ones: with `groups` the intervals of
    shares and means are those of an effective number of runs (jaxemerge/stats/estimates/shared_seeds.py).
    Measured (benchmarks/coverage_of_populations.py), 200 designs each of 5 by 5, 10 by 15 and 10 by 25 runs
    with 5 to 50 % of successes: where both seeds matter, 95 % intervals cover P(success) in 95 to 100 %,
    means in 94 to 100 % (as if independent: 49 to 94 %). Where the init seed has three quarters of the latent
    variance, less than they say, for so few seeds succeed: P(success) in 85 to 100 %, means in 82 to 100 %,
    means of successes in 76 to 100 % (as if independent: 40 to 92 % of shares and means).

    Args:
        values: [S] scores in [0, 1] or NaN, one per seed.
        threshold: success is a score of at least this; in (0, 1].
        groups: [S, G] labels of what runs share, such as init seed and data seed; None if they share nothing.
        key: int or JAX key of the bootstrap.
        resamples: number of bootstrap resamples.
        confidence: probability in (0, 1) of every interval.

    Raises:
        ValueError: if there are no values, one lies outside [0, 1], or an argument is out of its range.

    References:
        Zhao et al. (2025), arXiv 2502.17356 (the four summaries); Bickel and Frühwirth (2006) (the mode).
    """
    scores_S = _scores(values, threshold)
    check_confidence(confidence)
    n = len(scores_S)
    n_success = int(np.sum(scores_S >= threshold))
    resampled_RS = scores_S[resample_indices(n, key=key, resamples=resamples)]

    modes = percentile_interval(half_sample_mode(resampled_RS), confidence) if n >= FEWEST else UNKNOWN
    shared = shared_labels(np.arange(n)[:, None] if groups is None else groups, n)
    successful = scores_S >= threshold

    def share(those: NDArray[np.bool_]) -> Estimate:
        value = float(np.mean(those))
        if shared.shape[1]:
            return Estimate(value, shared_success_interval(those, shared, confidence))
        return Estimate(value, success_interval(int(those.sum()), n, confidence))

    return Summaries(
        n=n,
        n_success=n_success,
        threshold=threshold,
        mode=Estimate(float(half_sample_mode(scores_S)), modes),
        mean=_mean(scores_S, shared, confidence, (0.0, 1.0)),
        success=share(successful),
        success_mean=_mean(scores_S[successful], shared[successful], confidence, (threshold, 1.0)),
        above_half=share(scores_S > HIGH),
        below_tenth=share(scores_S < LOW),
    )


def _scores(values: ArrayLike, threshold: float) -> NDArray[np.float64]:
    check_threshold(threshold)
    scores = np.asarray(values, np.float64)
    if scores.ndim != 1 or len(scores) == 0:
        raise ValueError(f"values of shape {scores.shape} must be one score per seed, of at least one seed")
    scores = np.where(np.isnan(scores), 0.0, scores)
    if scores.min() < 0 or scores.max() > 1:
        raise ValueError(f"values from {scores.min():g} to {scores.max():g} must be scores in [0, 1]")
    return scores


def _mean(scores: Array, shared: Labels, confidence: float, bounds: tuple[float, float]) -> Estimate:
    """The mean of scores within bounds, of runs that may share seeds."""
    if bounds[0] == bounds[1]:
        return Estimate(1.0 if len(scores) else np.nan, Interval(1.0, 1.0) if len(scores) else UNKNOWN)
    if shared.shape[1]:
        return shared_mean_interval(scores, shared, confidence, bounds)
    return mean_interval(scores, confidence, bounds=bounds)


# Widths closer than this share of the sample's range are ties: k/n scores differ by rounding alone.
TIE = 1e-12


def half_sample_mode(values: ArrayLike) -> NDArray[np.float64]:
    """The half-sample mode along the last axis.

    Of n sorted points keep the ceil(n/2) neighbours that span the shortest interval, and repeat on those. Two
    points left: their mean. Three left: the mean of the closer pair, or the middle one if neither is closer.
    It needs no bandwidth, and a majority of equal values (such as a floor of zeros) is always the mode.
    Of equally short intervals the lowest is taken, so that a tie between failure and success gives failure.

    Args:
        values: [..., S], finite, S >= 1.

    Returns:
        [...], one mode per sample.

    Raises:
        ValueError: if the last axis is empty.

    References:
        Bickel and Frühwirth (2006), Comput. Stat. Data Anal. 50, section 2 (the half-sample mode).
    """
    points = np.sort(np.atleast_1d(np.asarray(values, np.float64)), axis=-1)
    if points.shape[-1] == 0:
        raise ValueError(f"values of shape {points.shape} must have at least one value along the last axis")
    tolerance = TIE * (points[..., -1:] - points[..., :1])
    while points.shape[-1] > 3:
        points = _shortest_half(points, tolerance)
    return _mode_of_three(points, tolerance[..., 0]) if points.shape[-1] == 3 else points.mean(axis=-1)


def _shortest_half(points: NDArray[np.float64], tolerance: NDArray[np.float64]) -> NDArray[np.float64]:
    keep = -(-points.shape[-1] // 2)
    widths = points[..., keep - 1 :] - points[..., : points.shape[-1] - keep + 1]
    first = np.argmax(widths <= widths.min(axis=-1, keepdims=True) + tolerance, axis=-1)
    return np.take_along_axis(points, first[..., None] + np.arange(keep), axis=-1)


def _mode_of_three(points: NDArray[np.float64], tolerance: NDArray[np.float64]) -> NDArray[np.float64]:
    low, middle, high = np.moveaxis(points, -1, 0)
    lead = (high - middle) - (middle - low)
    closer = np.where(lead > tolerance, (low + middle) / 2, (middle + high) / 2)
    return np.where(np.abs(lead) <= tolerance, middle, closer)


@brief
@dataclass(frozen=True)
class ThresholdScan:
    """P(success) of S seeds for T definitions of success.

    Attributes:
        thresholds: [T] success is a score of at least this.
        n: number of seeds S, diverged ones included.
        n_success: [T] seeds that succeed.
        success: [T] their shares.
        interval: [T] Wilson's interval at each threshold alone.
        band: [T] band that holds P(success) at all thresholds at once.
    """

    thresholds: Array
    n: int
    n_success: Array
    success: Array
    interval: Interval
    band: Interval


def threshold_scan(
    values: ArrayLike, thresholds: ArrayLike | None = None, confidence: float = 0.95
) -> ThresholdScan:
    """P(success) as a function of the threshold: success(t) = #{s: y_s >= t} / S.

    The interval at one threshold is Wilson's. The band is success(t) ± e, cut to [0, 1], where e is the exact
    quantile of Kolmogorov's statistic of S seeds: with probability `confidence` (or more, if scores are tied)
    it holds the true curve everywhere, so that the threshold may be chosen after seeing the data. e is just
    below the bound sqrt(ln(2 / (1 - confidence)) / 2S) of Dvoretzky, Kiefer and Wolfowitz.

    NaN proportions are diverged runs: failures with score 0, counted in S. Where scores go beyond [0, 1], NaN
    seeds fail at every threshold and are counted in S as well.

    Args:
        values: [S] scores, one per seed.
        thresholds: [T] thresholds; the distinct scores if None, where the curve has its steps.
        confidence: probability in (0, 1).

    Raises:
        ValueError: if there is no score, a threshold is NaN, or `confidence` is not in (0, 1).

    References:
        Kolmogorov (1933), G. Ist. Ital. Attuari 4, p. 83; Massart (1990), Ann. Probab. 18, p. 1269 (the
        bound).
    """
    check_confidence(confidence)
    scores, n = scores_of_seeds(values, proportions=False), np.size(values)
    at = np.unique(scores) if thresholds is None else np.atleast_1d(np.asarray(thresholds, np.float64))
    if at.ndim != 1 or np.isnan(at).any():
        raise ValueError(f"thresholds={thresholds!r} must be numbers along one axis")
    n_success = (len(scores) - np.searchsorted(np.sort(scores), at, side="left")).astype(np.float64)
    success = n_success / n
    margin = float(kstwo.ppf(confidence, n))
    band = Interval(np.maximum(success - margin, 0.0), np.minimum(success + margin, 1.0))
    return ThresholdScan(at, n, n_success, success, success_interval(n_success, n, confidence), band)
