"""Fits of curves of F = ln(-ln P(pass)) to counts or exact rates, for many data sets at once."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import xlogy

from ..estimates.fisher_scoring import Bounds, Search, best_of_starts, maximise
from ..estimates.profile import ends_outwards
from .growth_curves import HIGHEST, LAW, LOWEST, Array, Axis, Curve

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
