"""IsoFLOP profiles: the second approach of Hoffmann et al. to compute-optimal sizes."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from jaxemerge.brief import brief

from ..estimates.arguments import check_at_least, check_confidence
from ..estimates.interval import Estimate
from ..estimates.resampling import generator
from .frontier import ComputeOptimal, frontier, line
from .runs import (
    columns,
    degrees_of_freedom,
    estimate,
    resampled_weights,
    scale_of,
)

Floats = NDArray[np.float64]


@brief
@dataclass(frozen=True)
class IsoFlop:
    """At each budget loss = lowest + curvature (ln N - ln N_opt)^2; N_opt is a power law of the budget.

    Attributes:
        law: the compute-optimal frontier; its tokens are C / (6 N_opt).
        budgets: [G] training FLOPs, ascending.
        parameters: [G] N_opt at each.
        loss: [G] lowest loss at each.
        curvature: [G] of the parabolas, positive.
        runs: [n] index of the budget of each run; -1 for runs of a budget that cannot be used.
        skipped: the budgets that cannot be used, each with the reason.
    """

    law: ComputeOptimal
    budgets: Floats
    parameters: Estimate
    loss: Estimate
    curvature: Floats
    runs: NDArray[np.int64]
    skipped: tuple[str, ...] = ()

    def profile(self, parameters: ArrayLike) -> Floats:
        """[G, ...] losses of the parabolas at model sizes [...]."""
        x = np.log(np.asarray(parameters, np.float64))
        best, lowest, curvature = (
            np.asarray(a).reshape(-1, *[1] * x.ndim)
            for a in (np.log(self.parameters.value), self.loss.value, self.curvature)
        )
        return lowest + curvature * (x - best) ** 2


def fit_isoflop(
    parameters: ArrayLike,
    loss: ArrayLike,
    flops: ArrayLike,
    *,
    tolerance: float = 0.05,
    bootstraps: int = 0,
    confidence: float = 0.95,
    key: Any = None,
) -> IsoFlop:
    """Fits a parabola in ln N to the runs of each budget, and power laws to their minima.

    If every model size has repeats at every budget, the bootstrap resamples seeds within them. Otherwise it
    resamples the relative residuals of all parabolas, studentised by their leverage, which assumes equal
    noise at all budgets. Intervals are wider than percentiles by the ratio of Student's to normal quantiles,
    with the effective degrees of freedom (`degrees_of_freedom`), or the number of runs less three per
    parabola.

    Measured (benchmarks/coverage_laws.py), 300 data sets, six budgets of seven sizes: 95 % intervals cover
    the exponent in 94.3 % with one run each and in 93.3 % with three seeds each.

    Args:
        parameters: [n] N of each run, positive.
        loss: [n] final loss, positive.
        flops: [n] training FLOPs, as the runs were given them: with embeddings counted they are not 6 N D. At
            least two budgets need three sizes and a minimum between them. Others are skipped.
        tolerance: budgets that differ by less than this share are one, at their geometric mean.
        bootstraps: number of resamples for the intervals; 0 leaves them NaN.
        confidence: of the percentile intervals, in (0, 1).
        key: int or JAX key of the bootstrap; None is 0.

    Returns:
        IsoFlop.

    Raises:
        ValueError: if a value is NaN or not positive, fewer than two budgets can be used, or an argument is
            out of its range.

    Warns:
        UserWarning: if budgets are skipped, if a minimum lies outside the sizes tried at its budget,
            and if the exponent lies outside (0, 1).

    References:
        Hoffmann et al. (2022), arXiv 2203.15556, section 3.2; Davison and Hinkley (1997), Bootstrap Methods
        and their Application, section 6.2 (residuals); Hesterberg (2015), Am. Stat. 69, p. 371 (width).
    """
    check_confidence(confidence)
    check_at_least(0, bootstraps=bootstraps)
    N, L, C = columns(parameters=parameters, loss=loss, flops=flops)
    if not tolerance > 0:
        raise ValueError(f"tolerance={tolerance} must be positive")
    found, every = _budgets(C, tolerance)
    reasons = [_unusable(np.log(N[found == g]), L[found == g]) for g in range(len(every))]
    skipped = tuple(f"{c:.3g} FLOPs: {why}" for c, why in zip(every, reasons, strict=True) if why)
    usable = np.array([not why for why in reasons])
    if usable.sum() < 2:
        raise ValueError(
            f"{usable.sum()} of {len(every)} budgets have a minimum; at least 2 are needed" + _listed(skipped)
        )
    if skipped:
        warnings.warn(f"skipped {len(skipped)} of {len(every)} budgets{_listed(skipped)}", stacklevel=2)
    runs = np.where(usable[found], np.cumsum(usable)[found] - 1, -1)
    N, L, budget, budgets = N[runs >= 0], L[runs >= 0], runs[runs >= 0], every[usable]
    x = np.log(N)
    here = _minima(x, L[None], np.ones((1, len(L))), budget)[0]
    _warn_outside(here, budgets, N, budget)
    centre = float(np.exp(np.mean(np.log(budgets))))
    scale = scale_of(budget.astype(np.float64), x)
    repeated = bool(np.bincount(scale).min() >= 2)
    if repeated:
        weights = resampled_weights(scale, bootstraps, key)
        losses = np.broadcast_to(L, weights.shape)
    else:
        losses = _scattered(x, L, budget, bootstraps, key)
        weights = np.ones_like(losses)
    again = _minima(x, losses, weights, budget)
    lines = line(again[:, 0], budgets, centre)
    free = degrees_of_freedom(lines[:, 0], weights, scale) if repeated else len(L) - 3 * len(budgets)
    exponents = line(here[None, 0], budgets, centre)[0]
    law = frontier("isoflop", exponents, lines, centre, confidence, max(free, 1.0))
    if not 0 < law.a.value < 1:
        warnings.warn(f"a={law.a.value:.4g} is outside (0, 1): not a plausible exponent", stacklevel=2)
    return IsoFlop(
        law=law,
        budgets=budgets,
        parameters=estimate(np.exp(here[0]), np.exp(again[:, 0]), confidence, law.degrees),
        loss=estimate(here[1], again[:, 1], confidence, law.degrees),
        curvature=here[2],
        runs=runs,
        skipped=skipped,
    )


def _budgets(flops: Floats, tolerance: float) -> tuple[NDArray[np.int64], Floats]:
    """[n] budget of each run and [G] FLOPs of each budget."""
    order = np.argsort(flops)
    jumps = np.diff(np.log(flops[order]), prepend=np.log(flops.min())) > np.log1p(tolerance)
    budget = np.empty(len(flops), np.int64)
    budget[order] = np.cumsum(jumps)
    logs = np.bincount(budget, np.log(flops)) / np.bincount(budget)
    return budget, np.exp(logs)


def _scattered(x: Floats, L: Floats, budget: NDArray[np.int64], bootstraps: int, key: Any) -> Floats:
    """[R, n] losses of the parabolas with relative residuals drawn from those of all budgets.

    NaN where every budget has three sizes, through which a parabola leaves no residual.
    """
    fitted, left = np.empty_like(L), np.empty_like(L)
    for place in range(budget.max() + 1):
        members = budget == place
        basis = np.linalg.qr(np.vander(x[members] - x[members].mean(), 3))[0]
        fitted[members] = basis @ (basis.T @ L[members])
        left[members] = 1 - np.sum(basis**2, axis=1)
    free = left > 1e-6
    if not free.any():
        return np.full((bootstraps, len(L)), np.nan)
    residuals = ((L - fitted) / fitted)[free] / np.sqrt(left[free])
    drawn = generator(0 if key is None else key).choice(residuals - residuals.mean(), (bootstraps, len(L)))
    return fitted * (1 + drawn)


def _minima(x: Floats, L: Floats, weights: Floats, budget: NDArray[np.int64]) -> Floats:
    """[R, 3, G] ln N_opt, lowest loss and curvature of the parabolas; NaN where there is no minimum."""
    found = np.full((len(L), 3, budget.max() + 1), np.nan)
    for place in range(budget.max() + 1):
        members = budget == place
        middle = x[members].mean()
        powers = np.vander(x[members] - middle, 3, increasing=True)
        weighted = weights[:, members, None] * powers
        system = powers.T @ weighted
        right = np.einsum("rnp,rn->rp", weighted, L[:, members])
        some = np.linalg.cond(system) < 1e12
        bottom, slope, curvature = np.linalg.solve(system[some], right[some][..., None])[..., 0].T
        hollow = curvature > 0
        at = np.divide(-slope, 2 * curvature, out=np.full(len(slope), np.nan), where=hollow)
        found[some, :, place] = np.stack(
            [middle + at, bottom + slope * at / 2, np.where(hollow, curvature, np.nan)], axis=1
        )
    return found


SHOWN = 5  # budgets whose reasons are listed in an error


def _listed(reasons: tuple[str, ...]) -> str:
    more = f"; and {len(reasons) - SHOWN} more" if len(reasons) > SHOWN else ""
    return f" ({'; '.join(reasons[:SHOWN])}{more})" if reasons else ""


def _unusable(x: Floats, L: Floats) -> str:
    """Why the runs of one budget, at ln N, have no best size; empty if they have one."""
    sizes = len(np.unique(x))
    if sizes < 3:
        return f"{sizes} model size{'' if sizes == 1 else 's'}, 3 are needed"
    lowest = _minima(x, L[None], np.ones((1, len(L))), np.zeros(len(x), np.int64))[0, 0, 0]
    return f"no minimum between {_span(np.exp(x))} parameters" if np.isnan(lowest) else ""


def _warn_outside(here: Floats, budgets: Floats, N: Floats, budget: NDArray[np.int64]) -> None:
    for place, value in enumerate(budgets):
        sizes, best = N[budget == place], np.exp(here[0, place])
        if not sizes.min() <= best <= sizes.max():
            warnings.warn(
                f"the minimum at {value:.3g} FLOPs, {best:.3g}, is outside the {_span(sizes)} parameters",
                stacklevel=3,
            )


def _span(sizes: Floats) -> str:
    return f"{sizes.min():.3g} to {sizes.max():.3g}"
