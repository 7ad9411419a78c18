"""How much does P(success) hang on what is called success?"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import kstwo

from .interval import Interval, check_confidence
from .observations import Array, scores_of_seeds
from .proportion import success_interval


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
    it holds the true curve everywhere, so that a threshold may be chosen after looking. e is just below the
    bound sqrt(ln(2 / (1 - confidence)) / 2S) of Dvoretzky, Kiefer and Wolfowitz.

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
