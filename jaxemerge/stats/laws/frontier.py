"""The compute-optimal split between parameters and tokens, from any approach, and published exponents."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from jaxemerge.brief import brief

from ..estimates.interval import Estimate, Interval
from .runs import estimate

Floats = NDArray[np.float64]

FLOPS_PER_PARAMETER_AND_TOKEN = 6.0


@brief
@dataclass(frozen=True)
class Allocation:
    """The best model and data for given training FLOPs.

    Attributes:
        flops: C, as asked for: a float or [...].
        parameters: N of the lowest loss, of the same shape.
        tokens: D of the lowest loss.
        loss: the loss there; NaN where the approach does not model the loss.
    """

    flops: float | Floats
    parameters: Estimate
    tokens: Estimate
    loss: Estimate


@brief
@dataclass(frozen=True)
class ComputeOptimal:
    """The compute-optimal frontier as two power laws,

        N_opt = parameters (C / centre)^a,     D_opt = tokens (C / centre)^b.

    Attributes:
        approach: "envelope", "isoflop", "parametric" or "kaplan".
        a: exponent of the parameters.
        b: exponent of the tokens.
        parameters: N_opt at the centre.
        tokens: D_opt at the centre.
        centre: FLOPs, geometric mean of those fitted.
        replicates: [R, 4] a, ln parameters, b, ln tokens in each resample; R may be 0.
        confidence: of all intervals.
        degrees: of freedom of the variance over resamples; fewer ones widen the intervals. inf for plain
            percentiles.
    """

    approach: str
    a: Estimate
    b: Estimate
    parameters: Estimate
    tokens: Estimate
    centre: float
    replicates: Floats
    confidence: float
    degrees: float = float("inf")

    def optimal(self, flops: ArrayLike) -> Allocation:
        """N_opt and D_opt at training FLOPs [...]; the loss is not part of this record.

        Raises:
            ValueError: if FLOPs are not positive.
        """
        C = check_flops(flops)
        x = np.log(C / self.centre)
        N = self.parameters.value * np.exp(self.a.value * x)
        D = self.tokens.value * np.exp(self.b.value * x)
        again = self.replicates.reshape(len(self.replicates), 4, *[1] * x.ndim)
        drawn_N, drawn_D = (np.exp(again[:, i + 1] + again[:, i] * x) for i in (0, 2))
        unknown = np.full(x.shape, np.nan)
        return Allocation(
            flops=float(C) if C.ndim == 0 else C,
            parameters=estimate(N, drawn_N, self.confidence, self.degrees),
            tokens=estimate(D, drawn_D, self.confidence, self.degrees),
            loss=estimate(unknown, unknown[None][:0], self.confidence),
        )


def frontier(
    approach: str,
    exponents: Floats,
    replicates: Floats,
    centre: float,
    confidence: float,
    degrees: float = float("inf"),
) -> ComputeOptimal:
    """The record from a, ln N, b, ln D at the centre: [4] of the runs and [R, 4] of resamples."""
    a, log_N, b, log_D = exponents
    return ComputeOptimal(
        approach=approach,
        a=estimate(a, replicates[:, 0], confidence, degrees),
        b=estimate(b, replicates[:, 2], confidence, degrees),
        parameters=estimate(np.exp(log_N), np.exp(replicates[:, 1]), confidence, degrees),
        tokens=estimate(np.exp(log_D), np.exp(replicates[:, 3]), confidence, degrees),
        centre=centre,
        replicates=replicates,
        confidence=confidence,
        degrees=degrees,
    )


def line(log_N: Floats, flops: Floats, centre: float) -> Floats:
    """[R, 4] a, ln N_opt, b, ln D_opt at the centre, by least squares of ln N_opt on ln C; D = C / (6 N).

    Args:
        log_N: [R, G] ln N_opt; NaN is left out.
        flops: [G] C.
        centre: FLOPs.

    Returns:
        [R, 4]; NaN where fewer than two are known.
    """
    known = ~np.isnan(log_N)
    z = np.log(flops / centre)
    with np.errstate(invalid="ignore", divide="ignore"):
        count = np.where(known.sum(axis=1) > 1, known.sum(axis=1), np.nan)
        mean_z = np.sum(known * z, axis=1) / count
        mean_y = np.nansum(log_N, axis=1) / count
        away = known * (z - mean_z[:, None])
        a = np.sum(away * np.where(known, log_N, 0.0), axis=1) / np.sum(away**2, axis=1)
        top = mean_y - a * mean_z
    return np.stack([a, top, 1 - a, np.log(centre / FLOPS_PER_PARAMETER_AND_TOKEN) - top], axis=1)


def check_flops(flops: ArrayLike) -> Floats:
    """FLOPs as float64.

    Raises:
        ValueError: if they are not positive and finite.
    """
    C = np.asarray(flops, np.float64)
    bad = C[~(np.isfinite(C) & (C > 0))]
    if bad.size:
        raise ValueError(f"flops={bad.ravel()[0]:g} must be positive and finite")
    return C


UNSAID = float("nan")


@brief
@dataclass(frozen=True)
class PublishedExponents:
    """Published exponents, N_opt ~ C^a and D_opt ~ C^b.

    Attributes:
        source: author and year, with the place in the paper.
        approach: "envelope", "isoflop", "parametric" or "kaplan".
        a: exponent of the parameters; NaN ends where no interval was published.
        b: exponent of the tokens.
        interval: meaning of the ends.
    """

    source: str
    approach: str
    a: Estimate
    b: Estimate
    interval: str


def _printed(a: float, a_low: float, a_high: float) -> Estimate:
    return Estimate(a, Interval(a_low, a_high))


_DECILES = "10th and 90th percentile of bootstraps"
PUBLISHED = (
    PublishedExponents(
        "Kaplan et al. 2020, eq. 1.7 and table 6",
        "kaplan",
        _printed(0.73, UNSAID, UNSAID),
        _printed(0.27, UNSAID, UNSAID),
        "none",
    ),
    PublishedExponents(
        "Hoffmann et al. 2022, table 2, approach 1",
        "envelope",
        _printed(0.50, 0.488, 0.502),
        _printed(0.50, 0.501, 0.512),
        _DECILES,
    ),
    PublishedExponents(
        "Hoffmann et al. 2022, table 2, approach 2",
        "isoflop",
        _printed(0.49, 0.462, 0.534),
        _printed(0.51, 0.483, 0.529),
        _DECILES,
    ),
    PublishedExponents(
        "Hoffmann et al. 2022, table 2, approach 3",
        "parametric",
        _printed(0.46, 0.454, 0.455),
        _printed(0.54, 0.542, 0.543),
        _DECILES,
    ),
    PublishedExponents(
        "Besiroglu et al. 2024, approach 3 of Hoffmann et al. on their runs",
        "parametric",
        _printed(0.513, 0.513 - 1.96 * 0.020, 0.513 + 1.96 * 0.020),
        _printed(0.487, 0.487 - 1.96 * 0.020, 0.487 + 1.96 * 0.020),
        "1.96 standard errors",
    ),
)


@brief
@dataclass(frozen=True)
class ExponentRow:
    """One line of the comparison.

    Attributes:
        source: "these runs", or the publication.
        approach: see `PublishedExponents`.
        a: exponent of the parameters.
        b: exponent of the tokens.
    """

    source: str
    approach: str
    a: Estimate
    b: Estimate


def compare_exponents(*laws: ComputeOptimal) -> tuple[ExponentRow, ...]:
    """The exponents of the laws given, followed by the published ones."""
    own = [ExponentRow("these runs", law.approach, law.a, law.b) for law in laws]
    return (*own, *(ExponentRow(p.source, p.approach, p.a, p.b) for p in PUBLISHED))
