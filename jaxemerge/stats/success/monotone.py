"""How does P(success) change with scale if no curve is assumed, and does it change in one step?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import isotonic_regression
from scipy.special import xlog1py, xlogy

from jaxemerge.brief import brief

from ..estimates.arguments import check_at_least, check_confidence
from ..estimates.interval import UNKNOWN, Estimate, Interval
from ..estimates.resampling import generator, percentile_interval
from .logistic import Counts, Direction, Problem, cells_with_seeds, check_counts, check_direction, pose

Array = NDArray[np.float64]


@brief
@dataclass(frozen=True)
class IsotonicSuccess:
    """P(success) as any monotone function of scale.

    Attributes:
        scale: [U] distinct scales that have seeds, ascending.
        success: P(success) at each, float64 [U] arrays.
        direction: the more likely one; "rises" where both fit equally well.
        log_likelihood: of the counts, binomial coefficients left out; the largest of any monotone curve.
    """

    scale: NDArray[np.float64]
    success: Estimate
    direction: Literal["rises", "falls"]
    log_likelihood: float


def isotonic_success(
    scale: ArrayLike,
    successes: ArrayLike,
    trials: ArrayLike,
    *,
    direction: Direction = "either",
    confidence: float = 0.95,
    resamples: int = 1000,
    key: Any = 0,
) -> IsotonicSuccess:
    """Maximum-likelihood P(success) among all monotone functions of scale.

    Adjacent cells whose shares go the wrong way are pooled until none do; of both directions the more likely
    one counts, in every resample again. Cells of equal scale are one cell. Intervals are pointwise
    percentiles over resampled seeds, approximate where scales are pooled. At shares of 0 and 1 they have zero
    width; use `success_interval` of the cell there.

    Args:
        scale: [N] finite, 0 and below included: only their order matters.
        successes: [N] successful seeds.
        trials: [N] seeds; cells with 0 are left out.
        direction: of P(success), where it is known.
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
    check_at_least(1, resamples=resamples)
    check_direction(direction)
    scales, *counts = cells_with_seeds(scale, successes, trials)
    places, cell = np.unique(scales, return_inverse=True)
    if len(places) == 0:
        return IsotonicSuccess(places, Estimate(places, Interval(places, places)), "rises", 0.0)
    k, n = (np.bincount(cell, a).astype(np.float64) for a in counts)
    p, found, log_likelihood = _monotone(k, n, direction)
    drawn = generator(key).binomial(n.astype(int), k / n, size=(resamples, len(n))).astype(np.float64)
    resampled = np.array([_monotone(row, n, direction)[0] for row in drawn])
    interval = percentile_interval(resampled, confidence)
    return IsotonicSuccess(places, Estimate(p, interval), found, log_likelihood)


def _monotone(k: Array, n: Array, direction: Direction) -> tuple[Array, Literal["rises", "falls"], float]:
    """The most likely monotone shares, their direction and log-likelihood."""
    ways: tuple[Literal["rises", "falls"], ...] = ("rises", "falls")
    fits = []
    for way in ways if direction == "either" else (direction,):
        p = np.clip(isotonic_regression(k / n, weights=n, increasing=way == "rises").x, 0.0, 1.0)
        fits.append((p, way, float(np.sum(xlogy(k, p) + xlog1py(n - k, -p)))))
    return max(fits, key=lambda fit: fit[2])


@brief
@dataclass(frozen=True)
class StepTest:
    """A likelihood-ratio test of a step in P(success) against a logistic curve.

    Attributes:
        statistic: twice the gain in log-likelihood of the curve over the step, >= 0.
        p_value: small where the change is gradual; NaN without seeds.
        step: scales between which the best step lies; NaN if there is none.
        before: P(success) at smaller scales.
        after: P(success) at larger ones.
        resamples: number of simulated data sets behind the p-value.
    """

    statistic: float
    p_value: float
    step: Interval
    before: float
    after: float
    resamples: int


def step_test(
    scale: ArrayLike,
    successes: ArrayLike,
    trials: ArrayLike,
    *,
    floor: float | None = None,
    ceiling: float | None = None,
    direction: Direction = "either",
    resamples: int = 500,
    key: Any = 0,
) -> StepTest:
    """Is the change of P(success) with scale continuous? Likelihood ratio of a logistic curve over a step.

    Null: P = before up to some scale and P = after beyond it. Alternative: the logistic curve of
    `fit_success_curve` with the same asymptotes and direction. A step is a curve of infinite slope, on the
    edge of the alternative, so that no chi-square law holds; the p-value comes from data simulated from the
    fitted step (parametric bootstrap), both models fitted again each time.

    Only scales inside the transition can distinguish the two. Without one, p is large whether the truth is
    sharp or smooth: it then reflects the grid of scales.

    Measured (benchmarks/coverage_success_curve.py), 50 seeds at each of seven scales: 99 resamples: a step
    from 0 to .8 is rejected at the 5 % level in 4.0 % and one from .02 to .8 in 5.4 % of 500 data sets;
    curves of slope 1, 2 and 5 in 93, 100 and 97 % of 100.

    Args:
        scale: [N] positive.
        successes: [N] successful seeds.
        trials: [N] seeds.
        floor: the lower level of P; None to fit it.
        ceiling: the upper level; None to fit it.
        direction: of P(success), where it is known.
        resamples: number of simulated data sets; the smallest p-value is 1/(resamples + 1).
        key: int or JAX key.

    Returns:
        StepTest; statistic inf where given asymptotes make every step impossible. Data that do not change, or
        not in the direction given, have no step: statistic 0, p-value 1. NaN without seeds.

    Raises:
        ValueError: as `fit_success_curve`, or if there are two measures of scale.

    References:
        Davison and Hinkley (1997), Bootstrap Methods and their Application, section 4.2.3, eq. 4.11.
    """
    if np.ndim(scale) != 1:
        raise ValueError(f"scale of shape {np.shape(scale)} must be [N]: a step has one measure of scale")
    check_at_least(1, resamples=resamples)
    check_direction(direction)
    counts = check_counts(scale, successes, trials)
    order = np.argsort(counts.logs[:, 0], kind="stable")
    logs, k, n = counts.logs[order, 0], counts.successes[order], counts.trials[order]
    if len(n) == 0:
        nan = float("nan")
        return StepTest(nan, nan, UNKNOWN, nan, nan, resamples)
    problem = pose(Counts(logs[:, None], k, n), floor, ceiling, direction=direction)
    cuts = np.flatnonzero(np.diff(logs) > 0) + 1
    cuts = np.append(cuts, len(n))  # the last one is the fit without a step: all scales lie below it
    log_likelihoods, before, after = _steps(k[None], n, cuts, floor, ceiling, direction)
    no_step = log_likelihoods[0, -1] >= log_likelihoods[0].max() - 1e-9
    best = len(cuts) - 1 if no_step else int(log_likelihoods[0].argmax())
    cut, low, high = int(cuts[best]), float(before[0, best]), float(after[0, best])
    observed = _gain(problem, k[None], log_likelihoods)[0]

    p = np.where(np.arange(len(n)) < cut, low, high)
    drawn = generator(key).binomial(n.astype(int), p, size=(resamples, len(n))).astype(np.float64)
    chance = _gain(problem, drawn, _steps(drawn, n, cuts, floor, ceiling, direction)[0])
    # Gains this small are rounding: they count as ties.
    p_value = (1 + np.sum(chance >= observed - 1e-6)) / (1 + resamples)
    ends = np.exp(logs[cut - 1 : cut + 1]) if cut < len(n) else (np.nan, np.nan)
    return StepTest(
        float(observed), float(p_value), Interval(float(ends[0]), float(ends[1])), low, high, resamples
    )


def _steps(
    successes: Array,
    trials: Array,
    cuts: NDArray[np.int64],
    floor: float | None,
    ceiling: float | None,
    direction: Direction,
) -> tuple[Array, Array, Array]:
    """Log-likelihood and the two probabilities [R, C] of the best step at each cut."""
    rising = _rising_steps(successes, trials, cuts, floor, ceiling)
    if direction == "rises":
        return rising
    # Where success falls, failure rises, from 1 - ceiling to 1 - floor.
    levels = [None if level is None else 1 - level for level in (ceiling, floor)]
    log_likelihood, *failure = _rising_steps(trials - successes, trials, cuts, *levels)
    falling = (log_likelihood, 1 - failure[0], 1 - failure[1])
    if direction == "falls":
        return falling
    better = falling[0] > rising[0] + 1e-9  # less is rounding
    one, two, three = (np.where(better, fall, rise) for fall, rise in zip(falling, rising, strict=True))
    return one, two, three


def _rising_steps(
    successes: Array, trials: Array, cuts: NDArray[np.int64], floor: float | None, ceiling: float | None
) -> tuple[Array, Array, Array]:
    """As `_steps`, with before <= after."""
    below_k = np.cumsum(successes, axis=-1)[:, cuts - 1]
    below_n = np.cumsum(trials)[cuts - 1]
    above_k, above_n = successes.sum(axis=-1, keepdims=True) - below_k, trials.sum() - below_n
    pooled = (below_k + above_k) / trials.sum()
    before = below_k / below_n if floor is None else np.full(below_k.shape, floor)
    after = np.divide(above_k, above_n, out=before.copy(), where=above_n > 0)
    after = after if ceiling is None else np.full(below_k.shape, ceiling)
    falls = before > after
    if floor is None and ceiling is None:
        before, after = np.where(falls, pooled, before), np.where(falls, pooled, after)
    elif ceiling is None:
        after = np.where(falls, before, after)
    else:
        before = np.where(falls, after, before)
    log_likelihood = xlogy(below_k, before) + xlog1py(below_n - below_k, -before)
    return log_likelihood + xlogy(above_k, after) + xlog1py(above_n - above_k, -after), before, after


def _gain(problem: Problem, successes: Array, of_steps: Array) -> Array:
    """Twice the gain of the best curve over the best step [R]; a step being a curve, never negative."""
    starts = problem.starts if len(successes) == 1 else problem.some_starts()
    starts = np.broadcast_to(starts, (len(successes), *starts.shape))
    _, curve = problem.maximise(starts, problem.lower, problem.upper, successes=successes)
    return np.maximum(2 * (curve - of_steps.max(axis=-1)), 0.0)
