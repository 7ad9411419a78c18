"""Curves of F = ln(-ln P(pass)) against ln(scale), and their fits to many data sets at once."""

from __future__ import annotations

import abc
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import xlogy

from ..estimates.maximum_likelihood import Bounds, Search, best_of_starts, ends_outwards, maximise

Array = NDArray[np.float64]

HIGHEST, LOWEST = 6.5, -35.0  # of F: P = exp(-e^6.5) is 1e-289, and 1 - P at e^-35 is rounding
STEEPEST = 10.0  # of F between two neighbouring scales: from here on a curve is a step


class Curve(abc.ABC):
    """F as a function of parameters theta [..., P] and of standardised log scales z [N]."""

    size: int

    @abc.abstractmethod
    def value(self, theta: Array, z: Array) -> Array:
        """F [..., N]."""

    @abc.abstractmethod
    def slopes(self, theta: Array, z: Array) -> Array:
        """Derivatives of F by theta [..., N, P]."""

    @abc.abstractmethod
    def box(self, steepest: float) -> tuple[Array, Array]:
        """Lower and upper bounds [P] of theta."""

    @abc.abstractmethod
    def starts(self, line: Array) -> Array:
        """Starts of the search [..., Q, P], given the best line [..., 2]."""


class Polynomial(Curve):
    """F = a - s z, the task scaling law of Hu et al. (2023), and with a third parameter + b z².

    With z from -1 to 1 the bend b is how far the middle lies below the chord through the two ends.
    """

    def __init__(self, size: int) -> None:
        self.size = size

    def _columns(self, z: Array) -> Array:
        return np.stack([np.ones_like(z), -z, z**2], axis=-1)[..., : self.size]

    def value(self, theta: Array, z: Array) -> Array:
        return np.einsum("...np,...p->...n", self._columns(z), theta)

    def slopes(self, theta: Array, z: Array) -> Array:
        return np.broadcast_to(self._columns(z), (*theta.shape[:-1], z.shape[-1], self.size))

    def box(self, steepest: float) -> tuple[Array, Array]:
        most = np.array([40.0 + steepest, steepest, 40.0 + steepest])[: self.size]
        return -most, most

    def starts(self, line: Array) -> Array:
        return np.concatenate([line, np.zeros((*line.shape[:-1], self.size - 2))], axis=-1)[..., None, :]


class _Pair(Curve):
    """Two lines a_i - s_i z with s_i >= 0, theta = (a_1, s_1, a_2, s_2)."""

    size = 4

    def _lines(self, theta: Array, z: Array) -> Array:
        """[..., N, 2]"""
        return theta[..., None, ::2] - theta[..., None, 1::2] * z[..., None]

    @abc.abstractmethod
    def _of_lines(self, lines: Array) -> tuple[Array, Array]:
        """F [..., N] and its derivatives by the two lines [..., N, 2]."""

    def value(self, theta: Array, z: Array) -> Array:
        return self._of_lines(self._lines(theta, z))[0]

    def slopes(self, theta: Array, z: Array) -> Array:
        by_line = self._of_lines(self._lines(theta, z))[1]
        return np.stack(
            [by_line[..., 0], -z * by_line[..., 0], by_line[..., 1], -z * by_line[..., 1]], axis=-1
        )

    def box(self, steepest: float) -> tuple[Array, Array]:
        most = np.array([40.0 + steepest, steepest] * 2)
        return most * [-1, 0, -1, 0], most

    def starts(self, line: Array) -> Array:
        """Pairs of lines, one flatter and one steeper than the best line, that cross it at several places."""
        a, s = line[..., 0], np.abs(line[..., 1]) + 0.1
        found = []
        for crossing in (-0.6, 0.0, 0.6):
            level = a - line[..., 1] * crossing
            for flat, steep in ((0.0, 1.3), (0.5, 2.0), (0.7, 5.0)):
                found.append(
                    np.stack(
                        [level + flat * s * crossing, flat * s, level + steep * s * crossing, steep * s],
                        axis=-1,
                    )
                )
        return np.stack(found, axis=-2)


class Chain(_Pair):
    """Two steps that must both succeed, each with its own law: F = ln(e^F1 + e^F2), which is convex."""

    def _of_lines(self, lines: Array) -> tuple[Array, Array]:
        total = np.logaddexp(lines[..., 0], lines[..., 1])
        return total, np.exp(lines - total[..., None])


class Circuits(_Pair):
    """The better of two circuits: F = w1 F1 + w2 F2 with w the softmax of -F.

    A smooth form of min(F1, F2), which is concave.
    """

    def _of_lines(self, lines: Array) -> tuple[Array, Array]:
        weights = np.exp(-(lines - lines.min(axis=-1, keepdims=True)))
        weights /= weights.sum(axis=-1, keepdims=True)
        value = (weights * lines).sum(axis=-1)
        return value, weights * (1 - lines + value[..., None])


LAW, BENT, CHAIN, CIRCUITS = Polynomial(2), Polynomial(3), Chain(), Circuits()


class Axis(NamedTuple):
    """The logarithms of N scales, brought to -1 ... 1.

    Attributes:
        z: [N].
        centre, unit: ln(scale) = centre + unit z.
    """

    z: Array
    centre: float
    unit: float

    def place(self, scale: Array) -> Array:
        """z of other scales."""
        return (np.log(scale) - self.centre) / self.unit

    @property
    def steepest(self) -> float:
        """The slope in z from which on a curve is a step."""
        return STEEPEST / float(np.diff(np.unique(self.z)).min())


def axis_of(parameters: Array) -> Axis:
    """The axis of scales [N].

    Raises:
        ValueError: if the scales are not positive numbers, two of them different.
    """
    good = parameters.ndim == 1 and np.all(np.isfinite(parameters) & (parameters > 0))
    if not good or np.ptp(parameters) == 0:
        raise ValueError(f"parameters={parameters.tolist()} must be positive numbers, two or more different")
    logs = np.log(parameters)
    centre, unit = (logs.max() + logs.min()) / 2, (logs.max() - logs.min()) / 2
    return Axis((logs - centre) / unit, float(centre), float(unit))


SEARCH = Search(iterations=200, gain=1e-10, stiffest=1e12, ridge=1e-12, longest=5.0, still=1e-13)


class Counts(NamedTuple):
    """B data sets of passes and samples at N scales, [B, N] each.

    The likelihood is p^m (1 - p)^(n - m), for binomial counts and for sampling stopped at the r-th pass.
    """

    passes: Array
    samples: Array

    def log_likelihood(self, f: Array) -> Array:
        """[B] of curves F [B, N]."""
        hazard = np.exp(np.clip(f, LOWEST, HIGHEST))
        failed = self.samples - self.passes
        return np.sum(-self.passes * hazard + xlogy(failed, -np.expm1(-hazard)), axis=-1)

    def expand(self, f: Array) -> tuple[Array, Array]:
        """Derivative of the log-likelihood by F and expected information, [B, N] each."""
        hazard = np.exp(np.clip(f, LOWEST, HIGHEST))
        odds = 1 / np.expm1(hazard)  # p / (1 - p)
        slope = hazard * ((self.samples - self.passes) * odds - self.passes)
        return slope, self.samples * hazard**2 * odds

    def rough(self) -> tuple[Array, Array]:
        """Smoothed F of the data, and weights that are 0 without samples, [B, N] each."""
        p = (self.passes + 0.5) / (self.samples + 1)
        weight = np.where(self.samples > 0, -np.log(p) * self.passes + 0.05, 0.0)
        return np.log(-np.log(p)), weight

    def rows(self, chosen: NDArray[np.int_]) -> Counts:
        """Some of the data sets."""
        return Counts(self.passes[chosen], self.samples[chosen])


class Exact(NamedTuple):
    """F itself of B curves [B, N], and weights [B, N] that are 0 where it is not known; as `Counts`."""

    f: Array
    weight: Array

    def log_likelihood(self, f: Array) -> Array:
        return -np.sum(self.weight * (self.f - f) ** 2, axis=-1) / 2

    def expand(self, f: Array) -> tuple[Array, Array]:
        return self.weight * (self.f - f), self.weight

    def rough(self) -> tuple[Array, Array]:
        return self.f, self.weight

    def rows(self, chosen: NDArray[np.int_]) -> Exact:
        return Exact(self.f[chosen], self.weight[chosen])


Observed = Counts | Exact


def best_line(data: Observed, axis: Axis) -> tuple[Array, Array]:
    """The most likely laws [B, 2] and their log-likelihoods [B]."""
    f, weight = data.rough()
    total = np.maximum(weight.sum(axis=-1), 1e-12)
    mean_z, mean_f = ((weight * a).sum(axis=-1) / total for a in (axis.z, f))
    away = axis.z - mean_z[:, None]
    spread = np.maximum((weight * away**2).sum(axis=-1), 1e-9 * total)
    slope = -(weight * away * f).sum(axis=-1) / spread
    rough = np.stack([mean_f + slope * mean_z, slope], axis=-1)
    return fit(LAW, data, axis, rough)


def best_curve(curve: Curve, data: Observed, axis: Axis, line: Array) -> tuple[Array, Array]:
    """The most likely of a curve's fits from all of its starts, theta [B, P] and log-likelihoods [B]."""

    def maximised(starts: Array, rows: NDArray[np.int_]) -> tuple[Array, Array]:
        return fit(curve, data.rows(rows), axis, starts)

    return best_of_starts(maximised, curve.starts(line))


class _Fit(NamedTuple):
    """Likelihoods of the parameters theta [B, P] of one curve."""

    curve: Curve
    data: Observed
    axis: Axis

    def log_likelihood(self, theta: Array) -> Array:
        return self.data.log_likelihood(self.curve.value(theta, self.axis.z))

    def expand(self, theta: Array) -> tuple[Array, Array]:
        slope, information = self.data.expand(self.curve.value(theta, self.axis.z))
        by_theta = self.curve.slopes(theta, self.axis.z)
        score = np.einsum("bn,bnp->bp", slope, by_theta)
        return score, (information[..., None] * by_theta).swapaxes(1, 2) @ by_theta

    def rows(self, index: NDArray[np.int_]) -> _Fit:
        return self._replace(data=self.data.rows(index))


def fit(
    curve: Curve, data: Observed, axis: Axis, start: Array, held: NDArray[np.bool_] | None = None
) -> tuple[Array, Array]:
    """The most likely parameters near a start, within the curve's box.

    A law has one maximum only, as the likelihood is log-concave in F.

    Args:
        curve: P parameters.
        data: B data sets.
        axis: of the scales.
        start: [B, P].
        held: [P], True for parameters that stay as they are.

    Returns:
        theta [B, P] and its log-likelihood [B].
    """
    fixed = np.zeros(curve.size, np.bool_) if held is None else held
    return maximise(_Fit(curve, data, axis), start, Bounds(*curve.box(axis.steepest), fixed), SEARCH)


def slope_sign(data: Observed, axis: Axis) -> Array:
    """Whether B data sets bound the slope of a law [B].

    0 where it is finite; 1 where all scales above some place passed more than those below in a way that the
    steepest law explains best, and -1 where those below did; NaN where nothing passed, nothing failed, or one
    scale alone was measured.
    """
    if isinstance(data, Exact):
        return np.where(_places(data.weight > 0, axis.z).sum(axis=-1) >= 2, 0.0, np.nan)
    passed, failed = data.passes > 0, data.passes < data.samples
    mixed = passed & failed
    if _places(mixed, axis.z).sum(axis=-1).min() >= 2:
        return np.zeros(len(mixed))
    none, full = failed & ~passed, passed & ~failed

    def ends(where: NDArray[np.bool_]) -> tuple[Array, Array]:
        return np.where(where, axis.z, np.inf).min(axis=-1), np.where(where, axis.z, -np.inf).max(axis=-1)

    (first_none, last_none), (first_full, last_full), (first, last) = map(ends, (none, full, mixed))
    up = (last_none < np.minimum(first, first_full)) & (last < first_full)
    down = (last_full < np.minimum(first, first_none)) & (last < first_none)
    several = _places(data.samples > 0, axis.z).sum(axis=-1) >= 2
    sign = np.where(up, 1.0, np.where(down, -1.0, 0.0))
    sign = np.where(_places(mixed, axis.z).sum(axis=-1) >= 2, 0.0, sign)
    known = passed.any(axis=-1) & failed.any(axis=-1) & several
    return np.where(known, sign, np.nan)


def _places(where: NDArray[np.bool_], z: Array) -> NDArray[np.bool_]:
    """[B, G] at which of the G different scales there is one."""
    return np.stack([where[:, z == place].any(axis=1) for place in np.unique(z)], axis=1)


def profile_ends(
    curve: Curve, index: int, data: Observed, axis: Axis, theta: Array, cut: Array
) -> tuple[Array, Array]:
    """Both ends of the profile-likelihood interval of one parameter, [B] each.

    Args:
        curve: P parameters.
        index: of the parameter.
        data: B data sets.
        axis: of the scales.
        theta: [B, P] the most likely values.
        cut: [B] least log-likelihoods within the intervals.

    Returns:
        Infinite where the likelihood never falls that far.
    """
    both, cuts = data.rows(np.tile(np.arange(len(theta)), 2)), np.tile(cut, 2)
    held = np.arange(curve.size) == index

    def above(values: Array, near: Array) -> tuple[NDArray[np.bool_], Array]:
        found, log_likelihood = fit(curve, both, axis, np.where(held, values[:, None], near), held)
        return log_likelihood >= cuts, found

    return ends_outwards(above, theta, index)
