"""How do exponents of compute compare with those in print?"""

from __future__ import annotations

from dataclasses import dataclass

from .frontier import ComputeOptimal
from .interval import Estimate, Interval

UNSAID = float("nan")


@dataclass(frozen=True)
class PublishedExponents:
    """N_opt ~ C^a and D_opt ~ C^b as printed.

    Attributes:
        source: author and year, with the place in the paper.
        approach: "envelope", "isoflop", "parametric" or "kaplan".
        a: exponent of the parameters; NaN ends where no interval is printed.
        b: exponent of the tokens.
        interval: what the ends are.
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


@dataclass(frozen=True)
class ExponentRow:
    """One line of the comparison.

    Attributes:
        source: "these runs", or what was published where.
        approach: see `PublishedExponents`.
        a: exponent of the parameters.
        b: exponent of the tokens.
    """

    source: str
    approach: str
    a: Estimate
    b: Estimate


def compare_exponents(*laws: ComputeOptimal) -> tuple[ExponentRow, ...]:
    """The exponents of laws fitted here, and below them those in print."""
    own = [ExponentRow("these runs", law.approach, law.a, law.b) for law in laws]
    return (*own, *(ExponentRow(p.source, p.approach, p.a, p.b) for p in PUBLISHED))
