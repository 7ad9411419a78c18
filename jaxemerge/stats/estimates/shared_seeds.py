"""How sure is a mean over runs that share seeds, as all runs of a crossed design do?"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import betaincinv, stdtrit

from .interval import UNKNOWN, Estimate, Interval, success_interval
from .mean import FEWEST, mean_interval

Array = NDArray[np.float64]
Labels = NDArray[np.int64]


def shared_labels(groups: ArrayLike, runs: int) -> Labels:
    """The columns of `groups` that say which runs share a seed.

    Args:
        groups: [S, G] labels of each run, such as init seed and data seed; G is 1 or 2.
        runs: S.

    Returns:
        [S, at most G] labels as numbers from 0. A column in which every run has a label of its own, or all
        have the same, is left out: it says nothing of how runs depend on each other.

    Raises:
        ValueError: if `groups` has another shape.
    """
    given = np.asarray(groups)
    if given.ndim != 2 or len(given) != runs or given.shape[1] not in (1, 2):
        raise ValueError(f"groups of shape {given.shape} must be [{runs}, 1 or 2], one row per seed")
    numbered = [np.unique(column, return_inverse=True)[1].reshape(-1) for column in given.T]
    kept = [labels for labels in numbered if 1 <= labels.max() < runs - 1]
    return np.stack(kept, axis=1) if kept else np.empty((runs, 0), np.int64)


def effective_runs(values: Array, labels: Labels, confidence: float) -> float:
    """How many independent 0/1 outcomes tell as much of the mean as these values in [0, 1].

    m (1 - m) / V, m the mean and V its variance with clusters of one and of the other seed, less that of
    single runs, which is in both; V is no less than any of the three. The number is reduced by the squared
    ratio of Student's quantiles for the runs and for the clusters. Equal values do not show how alike runs of
    one seed are: they count as one per seed, of the rarer kind.

    Returns:
        A positive number; NaN where all runs share one seed.

    References:
        Cameron, Gelbach and Miller (2011), J. Bus. Econ. Stat. 29, p. 238, eq. 2.11 (the variance);
        Korn and Graubard (1998), Survey Methodology 24, p. 193 (effective number and quantiles).
    """
    n, away = len(values), values - values.mean()
    parts, dof = [], []
    for column in (*labels.T, np.arange(n)):
        levels = len(np.unique(column))
        if levels < 2:
            return float("nan")
        sums = np.bincount(column, away)
        parts.append(levels / (levels - 1) * np.sum(sums**2) / n**2)
        dof.append(levels - 1.0)
    if parts[-1] <= 1e-24:
        return float(min(dof) + 1)
    crossed = parts[0] + parts[1] - parts[2] if len(parts) == 3 else 0.0
    variance = max(crossed, *parts)
    degrees = max(variance**2 / sum(p**2 / d for p, d in zip(parts, dof, strict=True)), min(dof))
    level, mean = (1 + confidence) / 2, values.mean()
    return float(mean * (1 - mean) / variance * (stdtrit(n - 1, level) / stdtrit(degrees, level)) ** 2)


def shared_success_interval(success: NDArray[np.bool_], labels: Labels, confidence: float) -> Interval:
    """`success_interval` of the share of successes among runs that share seeds [S]."""
    runs = min(effective_runs(success.astype(np.float64), labels, confidence), len(success))
    return success_interval(float(success.mean()) * runs, runs, confidence)


def shared_mean_interval(
    values: Array, labels: Labels, confidence: float, bounds: tuple[float, float]
) -> Estimate:
    """The mean of bounded values of runs that share seeds.

    The interval of Clopper and Pearson for the effective number of runs, and that of `mean_interval` where it
    reaches further; NaN with fewer than three runs, and where all of them share one seed.

    Args:
        values: [S] within the bounds.
        labels: [S, G] of the seeds.
        confidence: probability in (0, 1).
        bounds: least and largest possible value.

    References:
        Korn and Graubard (1998), Survey Methodology 24, p. 193.
    """
    if len(values) == 0:
        return Estimate(float("nan"), UNKNOWN)
    low, high = bounds
    unit, mean = np.clip((values - low) / (high - low), 0, 1), float(values.mean())
    n = effective_runs(unit, labels, confidence) if len(values) >= FEWEST else float("nan")
    if np.isnan(n):
        return Estimate(mean, UNKNOWN)
    k, tail = float(unit.mean()) * n, (1 - confidence) / 2
    below = betaincinv(k, n - k + 1, tail) if k > 0 else 0.0
    above = betaincinv(k + 1, n - k, 1 - tail) if k < n else 1.0
    alone = mean_interval(unit, confidence, bounds=(0.0, 1.0)).interval
    ends = min(float(below), alone.low), max(float(above), alone.high)
    return Estimate(mean, Interval(*(low + (high - low) * end for end in ends)))
