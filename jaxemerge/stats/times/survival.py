"""When do runs break through, and which share has not yet?"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import chdtrc, ndtri

from ..estimates.arguments import as_outcomes, check_confidence
from ..estimates.interval import Estimate, Interval

Array = NDArray[np.float64]


@dataclass(frozen=True)
class BreakthroughTimes:
    """When each run broke through.

    Attributes:
        time: [...] step of the breakthrough, or of the last evaluation where there was none.
        observed: [...] False where training ended first (right-censored).
    """

    time: NDArray[np.float64]
    observed: NDArray[np.bool_]


@dataclass(frozen=True)
class SurvivalCurve:
    """The share of runs that have not broken through, against time.

    Attributes:
        time: [U] distinct times at which a run broke through, ascending.
        survival: [U] share still without a breakthrough just after each time, with pointwise intervals.
        at_risk: [U] runs without one just before.
        events: [U] breakthroughs at each time.
        n: number of runs.
        median: time by which half of the runs have broken through; inf if they have not.
    """

    time: NDArray[np.float64]
    survival: Estimate
    at_risk: NDArray[np.int64]
    events: NDArray[np.int64]
    n: int
    median: Estimate


@dataclass(frozen=True)
class LogRankTest:
    """Do groups of runs break through at the same rate?

    Attributes:
        statistic: chi-square; NaN if fewer than two groups can be compared.
        p_value: of the chi-square law with `dof` degrees of freedom; NaN where the statistic is.
        dof: number of groups compared, less one.
        observed: [G] breakthroughs per group, groups in sorted order.
        expected: [G] breakthroughs expected at a common rate.
    """

    statistic: float
    p_value: float
    dof: int
    observed: NDArray[np.float64]
    expected: NDArray[np.float64]


def breakthrough_time(
    steps: ArrayLike, values: ArrayLike, threshold: float, *, failure: float = 0.0
) -> BreakthroughTimes:
    """The first evaluated step from which a run's score stays at or above a threshold to the end.

    A run above the threshold at the last evaluation only has broken through there. Breakthroughs are observed
    at evaluations: the time is late by at most one interval between evaluations.

    Args:
        steps: [E] evaluated steps, ascending.
        values: [..., E] scores; NaN is a diverged run, which is below.
        threshold: score to reach.
        failure: score of a diverged run.

    Raises:
        ValueError: if there is no evaluation, steps do not ascend or fit the values, or `threshold` is NaN
            or not above `failure`.
    """
    steps_E, scores = np.asarray(steps, np.float64), as_outcomes(values, failure)
    if steps_E.ndim != 1 or len(steps_E) == 0 or not np.all(np.diff(steps_E) > 0):
        raise ValueError(f"steps={steps_E.tolist()} must be one or more steps in ascending order")
    if scores.ndim == 0 or scores.shape[-1] != len(steps_E):
        raise ValueError(f"values of shape {scores.shape} do not fit {len(steps_E)} steps")
    if not threshold > failure:
        raise ValueError(f"threshold={threshold} must be above failure={failure}: a diverged run fails")
    stays = np.logical_and.accumulate(scores[..., ::-1] >= threshold, axis=-1)[..., ::-1]
    observed = stays[..., -1]
    first = np.where(observed, stays.argmax(axis=-1), len(steps_E) - 1)
    return BreakthroughTimes(steps_E[first], observed)


def kaplan_meier(time: ArrayLike, observed: ArrayLike, *, confidence: float = 0.95) -> SurvivalCurve:
    """The Kaplan-Meier estimate of the share of runs without a breakthrough.

        S(t) = prod_{t_i <= t} (1 - d_i / n_i)          d_i breakthroughs among n_i runs at risk.

    Pointwise intervals are Wilson's with the effective number of runs n' = S (1 - S) / V, V Greenwood's
    variance. Before any censoring n' is the number of runs: the interval is that of `success_interval`. Where
    S = 0 all n runs count. The median's interval holds all times at which the interval of S contains 1/2.

    Measured (benchmarks/coverage_of_populations.py) with 60 runs, a quarter censored at random: 95 %
    intervals cover S(t) at its 61 % point in 95.5 % and the median in 95.5 % of 1,000 data sets.

    Args:
        time: [S] step of the breakthrough or of censoring.
        observed: [S] True for a breakthrough.
        confidence: probability in (0, 1).

    Returns:
        SurvivalCurve; without a breakthrough the curve is empty and the median inf, in (inf, inf); without
        a run the median is NaN.

    Raises:
        ValueError: if the arguments do not fit, a time is not finite, or `confidence` is out of its range.

    References:
        Kaplan and Meier (1958), J. Am. Stat. Assoc. 53, p. 457; Rothman (1978), J. Chronic Dis. 31, p. 557
        (effective number); Brookmeyer and Crowley (1982), Biometrics 38, p. 29 (median).
    """
    check_confidence(confidence)
    t, event = check_times(time, observed)
    at_risk, events, times = _table(t, event)
    survival: Array = np.cumprod(1 - events / at_risk).astype(np.float64)
    remaining = at_risk - events
    # Once no run is left the variance is 0 and all n runs count.
    terms = np.divide(events, at_risk * remaining, out=np.zeros(len(times)), where=remaining > 0)
    relative = np.cumsum(terms)
    effective = np.divide(
        1 - survival,
        survival * relative,
        out=np.full(len(times), float(len(t))),
        where=survival * relative > 0,
    )
    interval = _wilson(survival, effective, confidence)
    median = Estimate(_reaches_half(times, survival), _median_interval(times, interval))
    if len(t) == 0:
        median = Estimate(np.nan, Interval(np.nan, np.nan))
    return SurvivalCurve(times, Estimate(survival, interval), at_risk, events, len(t), median)


def log_rank_test(time: ArrayLike, observed: ArrayLike, group: ArrayLike) -> LogRankTest:
    """Tests whether all groups of runs break through at the same rate.

    At each breakthrough the runs at risk of each group are compared with their share of the breakthroughs,
    ties included (hypergeometric variance).

    Measured (benchmarks/coverage_of_populations.py) with three groups of 20 runs, a quarter censored: a true
    null is rejected at the 5 % level in 5.6 % of 1,000 data sets.

    Args:
        time: [S] step of the breakthrough or of censoring.
        observed: [S] True for a breakthrough.
        group: [S] labels, for instance scales or training lengths.

    Returns:
        LogRankTest; NaN with fewer than two groups or without a breakthrough while two groups are at risk.

    Raises:
        ValueError: if the arguments do not fit or a time is not finite.

    References:
        Mantel (1966), Cancer Chemother. Rep. 50, p. 163; Kalbfleisch and Prentice (2002), The Statistical
        Analysis of Failure Time Data, section 1.5.
    """
    t, event = check_times(time, observed)
    labels = np.asarray(group)
    if labels.shape != t.shape:
        raise ValueError(f"group of shape {labels.shape} must hold one label for each of {len(t)} runs")
    _, member = np.unique(labels, return_inverse=True)
    member_SG = member[:, None] == np.arange(member.max(initial=-1) + 1)
    at_risk, events, times = _table(t, event)
    risk_UG = (t >= times[:, None]).astype(np.float64) @ member_SG
    observed_G = (event[:, None] & member_SG).sum(axis=0).astype(np.float64)
    share_UG = risk_UG / at_risk[:, None]
    expected_G = events @ share_UG
    spread = events * (at_risk - events) / np.maximum(at_risk - 1, 1)
    variance = np.diag(spread @ share_UG) - np.einsum("u,ug,uh->gh", spread, share_UG, share_UG)
    excess = observed_G - expected_G
    dof = int(np.linalg.matrix_rank(variance)) if variance.size else 0
    if dof == 0:
        return LogRankTest(np.nan, np.nan, 0, observed_G, expected_G)
    statistic = float(excess @ np.linalg.pinv(variance, hermitian=True) @ excess)
    return LogRankTest(statistic, float(chdtrc(dof, statistic)), dof, observed_G, expected_G)


def check_times(time: ArrayLike, observed: ArrayLike) -> tuple[Array, NDArray[np.bool_]]:
    """Times as floats and events as booleans.

    Raises:
        ValueError: if they are not one per run, or a time is not finite.
    """
    t, event = np.asarray(time, np.float64), np.asarray(observed)
    if t.ndim != 1 or t.shape != event.shape:
        raise ValueError(f"time {t.shape} and observed {event.shape} must be one each per run")
    if not np.all(np.isfinite(t)):
        raise ValueError(
            "every time must be finite: a run without a breakthrough has the time of its last step"
        )
    return t, event.astype(bool)


def _table(
    t: Array, event: NDArray[np.bool_]
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
    """Runs at risk [U], events [U] and distinct times of events [U]."""
    times, events = np.unique(t[event], return_counts=True)
    return len(t) - np.searchsorted(np.sort(t), times, side="left"), events, times


def _wilson(share: Array, n: Array, confidence: float) -> Interval:
    z2 = float(ndtri(0.5 + confidence / 2)) ** 2
    centre = (share + z2 / (2 * n)) / (1 + z2 / n)
    half = np.sqrt(z2 * (share * (1 - share) + z2 / (4 * n)) / n) / (1 + z2 / n)
    return Interval(np.where(share > 0, centre - half, 0.0), centre + half)


def _reaches_half(times: Array, survival: Array) -> float:
    reached = np.flatnonzero(survival <= 0.5 + 1e-12)
    return float(times[reached[0]]) if len(reached) else np.inf


def _median_interval(times: Array, interval: Interval) -> Interval:
    return Interval(
        _reaches_half(times, np.asarray(interval.low)), _reaches_half(times, np.asarray(interval.high))
    )
