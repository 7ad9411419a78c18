"""How does the probability of success grow with scale?"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import chdtri

from jaxemerge.brief import brief

from ..estimates.arguments import check_at_least, check_confidence
from ..estimates.interval import UNKNOWN, Estimate, Interval
from ..estimates.maximum_likelihood import level_set
from ..estimates.resampling import generator, order_interval
from .logistic import (
    FAR,
    Counts,
    Curves,
    Direction,
    Problem,
    check_counts,
    check_direction,
    design_of,
    pose,
    probability,
    range_of,
)

Array = NDArray[np.float64]

SAME = 1e-4  # of log-likelihood: fits this close are equally good
OPEN = (-np.inf, np.inf)
NOTHING = Estimate(float("nan"), UNKNOWN)


@brief
@dataclass(frozen=True)
class SuccessCurve:
    """P(success) as a logistic function of the logarithm of scale, between two asymptotes.

    Attributes:
        midpoint: scale at which P is halfway between floor and ceiling; NaN with two measures of scale.
        slope: logits per unit of ln(scale), a float, or one for each of two measures of scale, each at the
            geometric mean of the other; negative where success falls, inf or -inf for a step.
        interaction: logits per unit of ln(first) ln(second); NaN with one measure of scale or if left out.
        floor: the lower level of P.
        ceiling: the upper level; 1 - ceiling is the lapse rate.
        log_likelihood: of the counts, binomial coefficients left out.
        centre: [K] geometric means of the K measures of scale, over the cells.
        coefficients: [4], [5] or [6]: intercept, slopes and interaction in ln(scale / centre), then floor and
            ceiling, of a curve of the highest likelihood; finite also for a step.
    """

    midpoint: Estimate
    slope: Estimate
    interaction: Estimate
    floor: Estimate
    ceiling: Estimate
    log_likelihood: float
    centre: NDArray[np.float64]
    coefficients: NDArray[np.float64]

    def probability(self, scale: ArrayLike) -> NDArray[np.float64]:
        """P(success) at other scales, [...] or with two measures [..., 2]; NaN if nothing was fitted."""
        scales = np.asarray(scale, np.float64)
        logs = np.log(scales[..., None] if len(self.centre) == 1 else scales) - np.log(self.centre)
        design = design_of(logs, len(self.coefficients) == 6)
        flat = design.reshape(1, -1, design.shape[-1])
        return probability(self.coefficients[None], flat)[0].reshape(design.shape[:-1])


def fit_success_curve(
    scale: ArrayLike,
    successes: ArrayLike,
    trials: ArrayLike,
    *,
    floor: float | None = 0.0,
    ceiling: float | None = None,
    interaction: bool = True,
    direction: Direction = "either",
    interval: Literal["profile", "bootstrap"] = "profile",
    confidence: float = 0.95,
    resamples: int = 1000,
    key: Any = 0,
) -> SuccessCurve:
    """Fits a logistic curve with lapses to the numbers of successful seeds per scale, by maximum likelihood.

        P(s) = floor + (ceiling - floor) / (1 + exp(-slope (ln s - ln midpoint)))

    or, with two measures of scale such as depth and width at once, and x_k = ln(s_k / centre_k),

        logit = intercept + slope_1 x_1 + slope_2 x_2 + interaction x_1 x_2

    in the place of slope (ln s - ln midpoint). P rises with scale where the slope is positive, as with model
    size, and falls where it is negative, as with label noise. Seeds are independent, so counts are binomial.

    Intervals: "profile" holds all values that a likelihood-ratio test at level 1 - confidence does not
    reject; it exists for every data set and may be unbounded. "bootstrap" resamples seeds within each cell
    and takes percentiles; under separation it is too narrow, as resamples are separated too.

    What the data do not determine shows in the intervals, without a warning. All failures below a scale, all
    successes above: slope inf, midpoint the geometric middle of the gap, finite interval around it. Values
    that fit equally well (within 1e-4 of log-likelihood) and reach to infinity or to a bound: the middle of
    them, which is inf where they have a finite end and NaN where they have none, as with all seeds failed.
    If P is known to rise to 1, all failures give a midpoint of inf with a finite lower end.

    Measured (benchmarks/coverage_success_curve.py), 50 seeds at each of seven scales, ceiling .8 fitted, 95 %
    profile intervals, 500 data sets: midpoint covered in 94.6 %, slope in 95.4 %, ceiling in 94.8 %; with
    a slope of 5 in 94.2, 93.0 and 95.0 %; with the floor fitted too in 94.2, 95.4 and 93.6 %.
    One fit takes 0.2 s on one core, with two measures of scale 1 s.

    Args:
        scale: [N] or [N, 2] positive: parameters, depth and width, ...; equal ones are allowed.
        successes: [N] successful seeds.
        trials: [N] seeds, diverged ones included; cells with 0 say nothing.
        floor: the lower level of P; None to fit it.
        ceiling: the upper level; None to fit it.
        interaction: whether two measures of scale may interact.
        direction: of P with one measure of scale, where it is known: slopes are then >= 0 or <= 0.
        interval: how intervals are found.
        confidence: probability in (0, 1).
        resamples: number of bootstrap resamples.
        key: int or JAX key of the bootstrap.

    Returns:
        SuccessCurve; all NaN if there are no seeds.

    Raises:
        ValueError: if shapes do not fit, scales are not positive, some 0 <= successes <= trials does not
            hold, an asymptote is free with more parameters than scales, or an argument is out of its range.

    References:
        Wichmann and Hill (2001), Percept. Psychophys. 63, p. 1293, eq. 1 (lapses); Venzon and Moolgavkar
        (1988), J. R. Stat. Soc. C 37, p. 87 (profile likelihood).
    """
    check_confidence(confidence)
    if interval not in ("profile", "bootstrap"):
        raise ValueError(f"interval={interval!r} must be 'profile' or 'bootstrap'")
    check_at_least(1, resamples=resamples)
    counts = check_counts(scale, successes, trials)
    check_direction(direction, counts.logs.shape[1])
    if len(counts.trials) == 0:
        return _nothing(counts.logs.shape[1], interaction)
    _check_scales(counts, (floor is None) + (ceiling is None), interaction)
    problem = pose(counts, floor, ceiling, interaction, direction)
    theta, estimates = _profiled(problem, chdtri(1, 1 - confidence) / 2)
    if interval == "bootstrap":
        intervals = _bootstrapped(problem, theta, confidence, resamples, generator(key))
        estimates = [Estimate(e.value, i) for e, i in zip(estimates, intervals, strict=True)]
    return _record(problem, theta, estimates)


def _check_scales(counts: Counts, asymptotes: int, interaction: bool) -> None:
    """Rejects free asymptotes where the curve would have more parameters than there are scales."""
    scales, measures = len(np.unique(counts.logs, axis=0)), counts.logs.shape[1]
    parameters = 1 + measures + (measures == 2 and interaction) + asymptotes
    if asymptotes and scales < parameters:
        raise ValueError(
            f"{scales} scales cannot determine {parameters} parameters: give the ceiling or the floor"
        )


def _profiled(problem: Problem, drop: float) -> tuple[Array, list[Estimate]]:
    """The most likely theta, and estimates of all parameters in units of z.

    The midpoint stands in the place of the intercept.
    """
    theta, maximum = problem.best()
    estimates = [
        _estimate(_fixed_profile(problem, theta, j), *range_of(problem, theta, j), maximum, drop)
        for j in range(1, len(theta))
    ]
    if problem.z.shape[1] == 2:
        return theta, [NOTHING, *estimates]
    is_step = bool(np.isinf(estimates[0].value))
    profile = _midpoint_profile(problem, theta)
    grid, at = _midpoints(problem, theta)
    midpoint = _estimate(lambda m: profile(m)[1], grid, at, OPEN, maximum, drop, set_valued=is_step)
    if is_step and np.isfinite(midpoint.value):
        theta = profile(np.array([midpoint.value]))[0][0]
    return theta, [midpoint, *estimates]


def _estimate(
    profile: Callable[[Array], Array],
    grid: Array,
    at: float,
    ends: tuple[float, float],
    maximum: float,
    drop: float,
    *,
    set_valued: bool = False,
) -> Estimate:
    """The most likely value and its profile interval.

    Args:
        profile: values -> log-likelihoods.
        grid: ascending values over the whole range.
        at: the most likely value found.
        ends: what the ends of the grid stand for, perhaps infinity.
        maximum: log-likelihood there.
        drop: of log-likelihood, allowed within the interval.
        set_valued: whether values besides `at` may fit equally well; then their middle is reported.
    """
    if len(grid) == 1:
        return Estimate(at, Interval(at, at))
    on_grid = profile(grid)
    top = max(maximum, float(on_grid.max()))

    def within(below: float) -> Interval:
        found = level_set(profile, grid, on_grid, min(top - below, float(on_grid.max())))
        low = ends[0] if found.low == grid[0] else float(found.low)
        return Interval(low, ends[1] if found.high == grid[-1] else float(found.high))

    good = [on_grid[0] >= top - SAME, on_grid[-1] >= top - SAME]
    if all(good):
        at = np.nan
    elif set_valued or (good[0] and np.isinf(ends[0])) or (good[1] and np.isinf(ends[1])):
        equal = within(SAME)
        at = float((equal.low + equal.high) / 2)
    return Estimate(at, within(drop))


def _fixed_profile(problem: Problem, theta: Array, j: int) -> Callable[[Array], Array]:
    """Log-likelihood at values of parameter j, maximised over the others."""
    starts = np.concatenate([theta[None], problem.some_starts()])
    one_slope = j == 1 and problem.z.shape[1] == 1
    middles = np.divide(-starts[:, 0], starts[:, 1], out=np.zeros(len(starts)), where=starts[:, 1] != 0)

    def profile(values: Array) -> Array:
        fits = len(values)
        start, lower, upper = (
            np.broadcast_to(a, (fits, *a.shape)).copy() for a in (starts, problem.lower, problem.upper)
        )
        start[:, :, j] = values[:, None]
        if one_slope:  # another slope about the same midpoints
            start[:, :, 0] = -values[:, None] * middles
        lower[:, j] = upper[:, j] = values
        lower[:, -1] = np.maximum(lower[:, -1], lower[:, -2])
        upper[:, -2] = np.minimum(upper[:, -2], upper[:, -1])
        return problem.maximise(start, lower, upper)[1]

    return profile


def _midpoints(problem: Problem, theta: Array) -> tuple[Array, float]:
    """The grid of midpoints, in units of z, and the one of theta."""
    places = np.unique(problem.z)
    extent = float(np.ptp(places)) or 1.0
    beyond = extent * np.geomspace(0.03, FAR, 10)
    inside = np.linspace(places[0], places[-1], 25)
    gaps = (places[1:] + places[:-1]) / 2
    at = float(-theta[0] / theta[1]) if theta[1] else np.nan
    grid = np.concatenate([places[0] - beyond, inside, gaps, places, places[-1] + beyond])
    kept = [at] if grid.min() < at < grid.max() else []
    return np.union1d(grid, kept), at


def _midpoint_profile(problem: Problem, theta: Array) -> Callable[[Array], tuple[Array, Array]]:
    """theta [G, P + 2] and log-likelihood [G] at midpoints, maximised over slope and asymptotes."""
    ends = (problem.lower[1], problem.upper[1])
    slopes = [
        theta[1],
        *(each for end in ends if end for each in np.sign(end) * np.array([0.5, 3.0, abs(end) / 3])),
    ]
    share = problem.successes / problem.trials
    tops = [(theta[2], theta[3]), (share.min(), 1.0)]
    starts = np.array([(0.0, slope, *pair) for slope in slopes for pair in tops])
    lower, upper = problem.lower.copy(), problem.upper.copy()
    lower[0] = upper[0] = 0.0

    def profile(values: Array) -> tuple[Array, Array]:
        design = np.stack(np.broadcast_arrays(1.0, problem.z[:, 0] - values[:, None]), axis=-1)
        start = np.broadcast_to(starts, (len(values), *starts.shape))
        fitted, log_likelihood = problem.maximise(start, lower, upper, design)
        fitted[:, 0] = -fitted[:, 1] * values
        return fitted, log_likelihood

    return profile


def _bootstrapped(
    problem: Problem, theta: Array, confidence: float, resamples: int, rng: np.random.Generator
) -> list[Interval]:
    """Percentile intervals in the order of `_profiled`. Resampling n seeds is drawing from B(n, k/n)."""
    trials, share = problem.trials[0], problem.successes[0] / problem.trials[0]
    drawn = rng.binomial(trials.astype(int), share, size=(resamples, len(share))).astype(np.float64)
    starts = np.concatenate([theta[None], problem.some_starts()])
    starts = np.broadcast_to(starts, (resamples, *starts.shape))
    found, _ = problem.maximise(starts, problem.lower, problem.upper, successes=drawn)
    slopes = found[:, 1:-2]
    middles = np.divide(-found[:, 0], found[:, 1], out=np.full(resamples, np.inf), where=found[:, 1] != 0)
    steep = np.maximum(problem.upper, -problem.lower)[1:-2] / 2.5
    found[:, 1:-2] = np.where(np.abs(slopes) > steep, np.sign(slopes) * np.inf, slopes)
    intervals = [order_interval(column, confidence) for column in found[:, 1:].T]
    one = problem.z.shape[1] == 1
    return [order_interval(middles, confidence) if one else UNKNOWN, *intervals]


def _record(problem: Problem, theta: Array, estimates: list[Estimate]) -> SuccessCurve:
    """From units of z to those of the logarithm of scale."""
    unit, centre = problem.unit, problem.centre
    scales = len(unit)
    product = len(theta) - 3 - scales
    units = np.concatenate([unit, [unit.prod()] * product])
    midpoint, *steepness, floor, ceiling = estimates
    slopes = [_scaled(estimate, 1 / by) for estimate, by in zip(steepness, units, strict=True)]
    with np.errstate(over="ignore"):  # a midpoint too far away for a float is infinite
        ends = np.exp(
            centre[0] + unit[0] * np.array([midpoint.value, midpoint.interval.low, midpoint.interval.high])
        )
    return SuccessCurve(
        midpoint=Estimate(float(ends[0]), Interval(float(ends[1]), float(ends[2]))),
        slope=slopes[0] if scales == 1 else _joined(slopes[:2]),
        interaction=slopes[2] if product else NOTHING,
        floor=floor,
        ceiling=ceiling,
        log_likelihood=float(
            Curves(problem.design, problem.successes, problem.trials).log_likelihood(theta[None])[0]
        ),
        centre=np.exp(centre),
        coefficients=np.concatenate([theta[:1], theta[1:-2] / units, theta[-2:]]),
    )


def _scaled(estimate: Estimate, by: float) -> Estimate:
    low, high = estimate.interval.low, estimate.interval.high
    return Estimate(float(estimate.value * by), Interval(float(low * by), float(high * by)))


def _joined(estimates: list[Estimate]) -> Estimate:
    low, high = (np.array([getattr(e.interval, end) for e in estimates]) for end in ("low", "high"))
    return Estimate(np.array([e.value for e in estimates]), Interval(low, high))


def _nothing(scales: int, interaction: bool) -> SuccessCurve:
    unknown = np.full(scales, np.nan)
    slope = NOTHING if scales == 1 else Estimate(unknown, Interval(unknown, unknown))
    size = 3 + scales + (scales == 2 and interaction)
    return SuccessCurve(
        NOTHING, slope, NOTHING, NOTHING, NOTHING, 0.0, np.ones(scales), np.full(size, np.nan)
    )
