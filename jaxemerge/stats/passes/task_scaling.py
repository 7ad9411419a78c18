"""The task scaling law: how the probability of a pass grows with the number of parameters."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import chdtri

from ...brief import brief
from ..estimates.arguments import check_at_least, check_confidence
from ..estimates.interval import UNKNOWN, Estimate, Interval
from ..estimates.mean import FEWEST
from ..estimates.resampling import generator, order_interval, stretch
from .counts import (
    Pair,
    Unit,
    Units,
    as_observed,
    averaged,
    draw_counts,
    read_arrays,
    resampled,
    units_of,
)
from .growth import Growth, classify
from .growth_curves import (
    HIGHEST,
    LAW,
    LOWEST,
    Array,
    Axis,
    Counts,
    Observed,
    axis_of,
    best_line,
    fit,
    profile_ends,
    slope_sign,
)

LEVELS, UNITS = ("instance", "dataset"), ("samples", "items", "seeds")


@brief
@dataclass(frozen=True)
class TaskScaling:
    """P(pass) = exp(-c N^-alpha) of one curve, or of an array of items [...].

    Attributes:
        c: coefficient, with N as given; inf for a step.
        alpha: exponent; inf where the rate jumps between two scales.
        growth: whether the curve follows the law at all.
        log_likelihood: of the counts, without binomial coefficients; of exact rates -1/2 sum of squared F.
        seen: False where no sample passed at any scale: no law can be fitted there.
        axis: of the scales fitted.
        coefficients: [..., 2] the law F = a - s z in the standardised log scales of `axis`; finite for steps.
        replicates: [R, ..., 2] the same of R resampled data sets; R = 0 where nothing was resampled.
        confidence: of all intervals.
    """

    c: Estimate
    alpha: Estimate
    growth: Growth
    log_likelihood: float | Array
    seen: bool | NDArray[np.bool_]
    axis: Axis = field(repr=False)
    coefficients: Array = field(repr=False)
    replicates: Array = field(repr=False)
    confidence: float

    def predict(self, parameters: ArrayLike) -> Estimate:
        """P(pass) at other scales [M...], of shape [..., M...], with bootstrap intervals.

        NaN where nothing passed, and outside the scales fitted where alpha is infinite.
        """
        return _with_interval(*self._predicted(parameters), self.confidence)

    def average(self, parameters: ArrayLike, unknown: ArrayLike = np.nan) -> Estimate:
        """The mean over the first axis, items, of the predicted P(pass), of shape [M...].

        Args:
            parameters: scales [M...].
            unknown: rates [items, M...] in the place of predictions that are NaN: 0, or those of
                `predict_from_loss`. By default the average is NaN.

        Raises:
            ValueError: if there is one curve only.
        """
        if self.coefficients.ndim == 1:
            raise ValueError("an average needs laws of several items, not one; fit counts [items, scales]")
        value, replicates = self._predicted(parameters)
        drawn = np.where(np.isnan(value) | np.isnan(replicates), unknown, replicates)
        filled = np.where(np.isnan(value), unknown, value)
        return _with_interval(filled.mean(axis=0), drawn.mean(axis=1), self.confidence)

    def _predicted(self, parameters: ArrayLike) -> tuple[Array, Array]:
        """P(pass) [..., M...] and its replicates [R, ..., M...]."""
        z = self.axis.place(np.asarray(parameters, np.float64))
        step = np.isinf(self.alpha.value).reshape(np.shape(self.alpha.value) + (1,) * z.ndim)
        value, replicates = self._at(self.coefficients, z), self._at(self.replicates, z)
        return np.where(step & (np.abs(z) > 1 + 1e-9), np.nan, value), replicates

    @staticmethod
    def _at(theta: Array, z: Array) -> Array:
        f = LAW.value(theta, z.ravel()) if theta.size else np.zeros((*theta.shape[:-1], z.size))
        p = np.exp(-np.exp(np.clip(f, LOWEST, HIGHEST)))
        return p.reshape((*theta.shape[:-1], *z.shape))


def fit_task_scaling(
    parameters: ArrayLike,
    pass_rate: ArrayLike | None = None,
    *,
    counts: Pair | None = None,
    level: Literal["instance", "dataset"] = "instance",
    unit: Unit = "samples",
    stop: tuple[int, int] | None = None,
    margin: float | None = None,
    confidence: float = 0.95,
    bootstraps: int = 200,
    key: Any = 0,
) -> TaskScaling:
    """Fits the task scaling law P = exp(-c N^-alpha), that is F = ln(-ln P) = ln c - alpha ln N.

    Counts are fitted by their likelihood: p^m (1 - p)^(K - m) for m passes of K samples, whether K was fixed
    or sampling stopped at the r-th pass or a cap. A scale without a pass is then an observation like any
    other, and no logarithm of zero is taken. Exact rates are fitted by least squares in F.

    The level is what follows the law: every item ("instance"; the prediction for the data set is the average
    of the predictions), or the average rate over items ("dataset"). With "dataset" the average and its
    variance are expressed as one binomial count.

    Intervals are percentiles of R bootstraps. Counts are drawn again from the fitted laws (unit = "samples":
    other samples of the same models), or whole items or seeds with replacement. Of U items or seeds the
    resampled laws are stretched away from the fitted one by sqrt(U / (U - 1)) and Student's quantile over the
    normal one, as their variance is too small and uncertain; with fewer than three there is no interval.
    Exact rates have none but of items or seeds.

    Measured (benchmarks/coverage_task_scaling.py), 1,000 data sets of 7 scales: with 4,000 samples at each,
    or until 200 passes or 40,000 samples, a law is classed "scaling" in 99.8 %, a chain of two steps
    "sub-scaling" and the better of two circuits "super-scaling" in all; with 1,000 samples a law is
    "scaling" in 61 and "undecided" in 34 %. The test of growth rejects a law at 5 % in 4.7 to 5.8 %. 95 %
    intervals cover alpha in 94.3 to 95.0 % and the rate at twice the largest scale in 94.8 to 95.3 %. One
    curve takes 1.5 ms, with its bootstraps. Of seeds that differ (benchmarks/coverage_of_means.py, 60 to 100
    data sets) 95 % intervals cover alpha in 95 % with 3, 88 to 90 % with 5, less than they say, and 95 % with
    16 and 250.

    Args:
        parameters: [N] numbers of parameters, or another measure of scale.
        pass_rate: [..., N] exact rates, strictly between 0 and 1; NaN where not known.
        counts: passes and samples, [..., N] each, instead; samples = 0 where nothing was measured.
        level: "instance": one law per curve; "dataset": one law of the average over the first axis of
            [U, N], which are items or seeds.
        unit: what bootstraps resample. Seeds are drawn anew at each scale, items at all scales together.
        stop: (r, cap) if sampling stopped at the r-th pass or the cap; then rates are averaged without bias,
            and bootstraps stop in the same way.
        margin: of the growth class, see `Growth`: by default 0.25 for counts and 1e-6 for exact rates.
        confidence: probability in (0, 1); one minus it is the level of the test of growth.
        bootstraps: R; 0 for none.
        key: int or JAX key.

    Returns:
        TaskScaling, of floats if there is one curve.
        Without a pass, or without a failure, alpha and c are NaN. Passes at one end of the scales only are a
        step: alpha infinite, its interval by profile likelihood, that of c NaN.

    Raises:
        ValueError: if shapes do not fit, numbers are impossible, or an argument is out of its range.

    References:
        Hu et al. (2023), "Predicting Emergent Abilities with Infinite Resolution Evaluation",
        arXiv 2310.03262, eq. 4 and section 5.
    """
    check_confidence(confidence)
    _check_options(level, unit, stop, margin, bootstraps)
    scales = np.asarray(parameters, np.float64)
    axis = axis_of(scales)
    rng = generator(key)
    arrays = read_arrays(pass_rate, counts, len(scales), 2 if level == "dataset" else None)
    shape = () if level == "dataset" else arrays[0].shape[:-1]
    if level == "dataset":
        units = units_of(arrays[0], arrays[1], stop) if counts is not None else Units(*3 * arrays)
        data = averaged(units, unit, exact=counts is None)
    else:
        data = as_observed(arrays)
    line, log_likelihood = best_line(data, axis)
    growth = classify(data, axis, line, log_likelihood, margin=margin, confidence=confidence)
    again: Observed | None = None
    if bootstraps and level == "dataset" and unit != "samples":
        again = averaged(resampled(units, unit, bootstraps, rng), unit, exact=counts is None)
    elif bootstraps and isinstance(data, Counts):
        rule = stop if level == "instance" else None
        again = draw_counts(_rates(line, axis), data.samples, rule, bootstraps, rng)
    laws = _laws(line, slope_sign(data, axis))
    drawn = None if again is None else _refit(again, axis, line, bootstraps)
    if drawn is not None and unit != "samples":
        by = _stretch(len(arrays[0]), unit, axis, confidence)
        drawn = drawn._replace(line=line + by * (drawn.line - line))
    found = _record(axis, shape, log_likelihood, laws, drawn, growth, confidence)
    return found if again is None else _with_steps(found, data, line, log_likelihood)


class _Laws(NamedTuple):
    """Laws [..., B, 2], NaN without a pass, and the signs of infinite slopes [..., B], see `slope_sign`."""

    line: Array
    sign: Array


def _laws(line: Array, slopes: Array) -> _Laws:
    # All samples passed: P is 1, whatever the slope. None did: nothing is known.
    unseen = np.isnan(slopes) & (LAW.value(line, np.zeros(1))[..., 0] > LOWEST / 2)
    return _Laws(np.where(unseen[..., None], np.nan, line), slopes)


def _refit(data: Observed, axis: Axis, near: Array, resamples: int) -> _Laws:
    theta, _ = fit(LAW, data, axis, np.tile(near, (resamples, 1)))
    shape = (resamples, len(near))
    return _laws(theta.reshape(*shape, 2), slope_sign(data, axis).reshape(shape))


def _stretch(units: int, unit: Unit, axis: Axis, confidence: float) -> float:
    """Factor for resamples of few units; NaN below three.

    Seeds are drawn anew at each scale, whose shares of the slope's variance go as the squared distance from
    the middle (Satterthwaite's degrees of freedom); items are the same at all scales.
    """
    if units < FEWEST:
        return float("nan")
    z2 = (axis.z - axis.z.mean()) ** 2
    scales = z2.sum() ** 2 / np.sum(z2**2) if unit == "seeds" else 1.0
    return float(np.sqrt(units / (units - 1)) * stretch(scales * (units - 1), confidence))


def _rates(line: Array, axis: Axis) -> Array:
    return np.exp(-np.exp(np.clip(LAW.value(line, axis.z), LOWEST, HIGHEST)))


def _record(
    axis: Axis,
    shape: tuple[int, ...],
    log_likelihood: Array,
    laws: _Laws,
    drawn: _Laws | None,
    growth: Growth,
    confidence: float,
) -> TaskScaling:
    drawn = drawn or _Laws(np.zeros((0, *laws.line.shape)), np.zeros((0, *laws.sign.shape)))
    estimates = [
        _with_interval(a.reshape(shape), r.reshape(len(r), *shape), confidence)
        for a, r in zip(_natural(laws, axis), _natural(drawn, axis), strict=True)
    ]
    return TaskScaling(
        c=estimates[0],
        alpha=estimates[1],
        growth=_reshaped(growth, shape),
        log_likelihood=_scalar(log_likelihood.reshape(shape)),
        seen=_scalar(~np.isnan(laws.line[:, 0]).reshape(shape)),
        axis=axis,
        coefficients=laws.line.reshape(*shape, 2),
        replicates=drawn.line.reshape(len(drawn.line), *shape, 2),
        confidence=confidence,
    )


def _with_steps(found: TaskScaling, data: Observed, line: Array, log_likelihood: Array) -> TaskScaling:
    """With the profile interval of alpha where it is infinite: there resamples are steps as well."""
    shape = np.shape(found.alpha.value)
    alpha = np.ravel(found.alpha.value)
    steps = np.flatnonzero(np.isinf(alpha))
    if len(steps) == 0:
        return found
    cut = log_likelihood[steps] - chdtri(1, 1 - found.confidence) / 2
    ends = profile_ends(LAW, 1, data.rows(steps), found.axis, line[steps], cut)
    low, high = (np.ravel(end).copy() for end in (found.alpha.interval.low, found.alpha.interval.high))
    low[steps], high[steps] = (end / found.axis.unit for end in ends)
    low[alpha == -np.inf], high[alpha == np.inf] = -np.inf, np.inf
    c_low, c_high = (np.ravel(end).copy() for end in (found.c.interval.low, found.c.interval.high))
    c_low[steps], c_high[steps] = np.nan, np.nan
    alpha_ends, c_ends = (
        Interval(*(_scalar(end.reshape(shape)) for end in pair)) for pair in ((low, high), (c_low, c_high))
    )
    return replace(found, alpha=Estimate(found.alpha.value, alpha_ends), c=Estimate(found.c.value, c_ends))


def _natural(laws: _Laws, axis: Axis) -> tuple[Array, Array]:
    """c and alpha, NaN or infinite where the slope is."""
    intercept, slope = laws.line[..., 0], laws.line[..., 1]
    with np.errstate(over="ignore"):
        c = np.exp(intercept + slope / axis.unit * axis.centre)
    finite, step = laws.sign == 0, np.where(laws.sign > 0, np.inf, -np.inf)
    unknown = np.isnan(laws.sign)
    alpha = np.where(finite, slope / axis.unit, np.where(unknown, np.nan, step))
    return np.where(finite, c, np.where(unknown, np.nan, np.maximum(step, 0.0))), alpha


def _with_interval(value: Array, replicates: Array, confidence: float) -> Estimate:
    """Percentiles over the first axis, of the replicates that are not NaN."""
    if len(replicates) == 0:
        nothing = np.full(np.shape(value), np.nan)
        return Estimate(_scalar(value), UNKNOWN if np.ndim(value) == 0 else Interval(nothing, nothing))
    found = order_interval(replicates, confidence)
    low, high = (np.where(np.isnan(value), np.nan, end) for end in (found.low, found.high))
    return Estimate(_scalar(value), Interval(_scalar(low), _scalar(high)))


def _reshaped(growth: Growth, shape: tuple[int, ...]) -> Growth:
    names = np.asarray(growth.name).reshape(shape)
    bend, interval = growth.bend, growth.bend.interval
    parts = [np.asarray(a).reshape(shape) for a in (bend.value, interval.low, interval.high, growth.p_value)]
    value, low, high, p_value = (_scalar(part) for part in parts)
    name = names if shape else str(names)
    return Growth(name, Estimate(value, Interval(low, high)), p_value, growth.margin)


def _scalar(a: Any) -> Any:
    return a if np.ndim(a) else np.asarray(a).item()


def _check_options(
    level: str, unit: str, stop: tuple[int, int] | None, margin: float | None, bootstraps: int
) -> None:
    if level not in LEVELS:
        raise ValueError(f"level={level!r} must be one of {', '.join(LEVELS)}")
    if unit not in UNITS:
        raise ValueError(f"unit={unit!r} must be one of {', '.join(UNITS)}")
    if level == "instance" and unit != "samples":
        raise ValueError(f"unit={unit!r} is resampled at level='dataset' only")
    if stop is not None and not 1 <= stop[0] <= stop[1]:
        raise ValueError(f"stop={stop}: r passes of at most cap samples, 1 <= r <= cap, must hold")
    if margin is not None and not margin >= 0:
        raise ValueError(f"margin={margin} must be at least 0")
    check_at_least(0, bootstraps=bootstraps)
