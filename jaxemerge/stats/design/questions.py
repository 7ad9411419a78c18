"""Questions about seeds, each with a simulated effect and the test or interval that answers it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, ndtri

from ..estimates.arguments import check_at_least, check_threshold
from ..populations.mixture_model import fit_mixture
from ..populations.summaries import summaries
from ..populations.variance import split_variance
from ..success.success_curve import fit_success_curve
from .question import Found, Question, check_inside, check_positive, check_share, check_shares
from .two_rates import fisher_p_values

Array = NDArray[np.float64]

# Resamples of one simulated study: of mixtures, where a majority of them decides, and of means. The F test
# needs none.
BOOTSTRAPS, RESAMPLES = 19, 200


@dataclass(frozen=True)
class TwoSided(Question):
    """Is a population two-sided?

    Attributes:
        weight: share of the seeds on the upper side.
        means: mean scores of the two sides; 0 and 1 are point masses.
        concentration: a + b of the Beta law of a seed's rate within a side; larger is narrower.
        items: items of the test.

    Raises:
        ValueError: if a value is out of its range.
    """

    asks: ClassVar[str] = "Does a population of seeds have two sides?"
    answered: ClassVar[str] = "fit_mixture finds the population two-sided"
    least: ClassVar[int] = 8
    studies: ClassVar[int] = 240

    weight: float = 0.3
    means: tuple[float, ...] = (0.1, 0.7)
    concentration: float = 20.0
    items: int = 100

    def __post_init__(self) -> None:
        check_inside(weight=self.weight)
        check_shares(means=self.means, length=2)
        check_positive(concentration=self.concentration)
        check_at_least(2, items=self.items)

    def found(self, size: int, studies: int, confidence: float, rng: np.random.Generator) -> Found:
        """As `Question.found`: by `fit_mixture` with one or two components and 19 bootstraps."""
        scores_RS = _scores(
            np.where(rng.random((studies, size)) < self.weight, max(self.means), min(self.means)),
            self.concentration,
            self.items,
            rng,
        )
        keys = rng.integers(2**31, size=studies)
        return np.array(
            [
                fit_mixture(
                    scores, self.items, (1, 2), key=int(key), bootstraps=BOOTSTRAPS, confidence=confidence
                ).two_sided
                for scores, key in zip(scores_RS, keys, strict=True)
            ]
        )


@dataclass(frozen=True)
class Rates(Question):
    """Do two cells differ in P(success)?

    Attributes:
        rates: success rates of the two cells.

    Raises:
        ValueError: if a value is out of its range.
    """

    asks: ClassVar[str] = "Do two cells differ in P(success)?"
    answered: ClassVar[str] = "Fisher's exact test tells the two rates apart"

    rates: tuple[float, ...] = (0.2, 0.5)

    def __post_init__(self) -> None:
        check_shares(rates=self.rates, length=2)
        if self.rates[0] == self.rates[1]:
            raise ValueError(f"rates={self.rates}: two different rates are needed")

    @property
    def cells(self) -> int:
        """The two that are compared."""
        return 2

    def found(self, size: int, studies: int, confidence: float, rng: np.random.Generator) -> Found:
        """As `Question.found`."""
        first, second = rng.binomial(size, self.rates, size=(studies, 2)).T
        return np.asarray(fisher_p_values(first, second, size) <= 1 - confidence)


@dataclass(frozen=True)
class Midpoint(Question):
    """At which scale do half of the seeds succeed?

    Attributes:
        precision: largest half-width of the interval that answers, in units of ln(scale).
        scales: one cell of seeds at each.
        midpoint: scale at which P(success) is half its ceiling.
        slope: of P(success) there, in logits per unit of ln(scale).
        ceiling: P(success) far above.
        free_ceiling: whether the ceiling is fitted; else it is known.

    Raises:
        ValueError: if a value is out of its range.
    """

    asks: ClassVar[str] = "At which scale do half of the seeds succeed?"
    answered: ClassVar[str] = "the midpoint's profile interval is narrow enough"
    studies: ClassVar[int] = 240

    precision: float = 0.5
    scales: tuple[float, ...] = (1.0, 2.0, 4.0, 8.0, 16.0)
    midpoint: float = 4.0
    slope: float = 2.0
    ceiling: float = 0.8
    free_ceiling: bool = True

    def __post_init__(self) -> None:
        check_positive(precision=self.precision, midpoint=self.midpoint, slope=self.slope)
        if len(set(self.scales)) < 2 or not all(scale > 0 for scale in self.scales):
            raise ValueError(f"scales={self.scales}: two or more different positive scales are needed")
        check_share(ceiling=self.ceiling)

    @property
    def cells(self) -> int:
        """One per scale."""
        return len(self.scales)

    def found(self, size: int, studies: int, confidence: float, rng: np.random.Generator) -> Found:
        """As `Question.found`: by `fit_success_curve`, with its floor at 0."""
        logits = self.slope * np.log(np.array(self.scales) / self.midpoint)
        counts = rng.binomial(size, self.ceiling * expit(logits), size=(studies, len(self.scales)))
        different, place = np.unique(counts, axis=0, return_inverse=True)
        ceiling = None if self.free_ceiling else self.ceiling
        trials = [size] * len(self.scales)
        found = [
            fit_success_curve(self.scales, row, trials, ceiling=ceiling, confidence=confidence).midpoint
            for row in different
        ]
        ends = np.array([(each.interval.low, each.interval.high) for each in found])
        with np.errstate(divide="ignore", invalid="ignore"):
            widths = np.log(ends[:, 1] / ends[:, 0]) / 2
        return (widths <= self.precision)[place.ravel()]


@dataclass(frozen=True)
class Init(Question):
    """Does the initialisation have an effect of its own, besides that of the data order?

    Attributes:
        init: share of the variance over runs that is due to the initialisation.
        data: share that is due to the data order; their combination has the rest.
        data_seeds: number of data orders; 0 for as many as initialisations.
        rate: where the outcome is success or failure, P(success): the normal outcome is cut so that this
            share succeeds, and the shares of variance are those before the cut. 0 for scores.

    Raises:
        ValueError: if a value is out of its range.
    """

    asks: ClassVar[str] = "Does the initialisation decide, besides the data order?"
    answered: ClassVar[str] = "the F test of split_variance finds an effect of the initialisation"
    least: ClassVar[int] = 2
    studies: ClassVar[int] = 2000

    init: float = 0.3
    data: float = 0.2
    data_seeds: int = 0
    rate: float = 0.0

    def __post_init__(self) -> None:
        if not (self.init > 0 and self.data >= 0 and self.init + self.data < 1):
            raise ValueError(
                f"init={self.init}, data={self.data}: shares of the variance with a sum below 1 are needed"
            )
        if self.data_seeds:
            check_at_least(2, data_seeds=self.data_seeds)
        if self.rate:
            check_inside(rate=self.rate)

    def seeds(self, size: int) -> int:
        """Runs of a crossed design with `size` initialisations."""
        return size * (self.data_seeds or size)

    def crossed(self, size: int) -> tuple[int, int]:
        """As `Question.crossed`."""
        return size, self.data_seeds or size

    def found(self, size: int, studies: int, confidence: float, rng: np.random.Generator) -> Found:
        """As `Question.found`."""
        orders = self.data_seeds or size
        parts = (self.init, (size, 1)), (self.data, (1, orders))
        rest = 1 - self.init - self.data
        y_RID = math.sqrt(rest) * rng.standard_normal((studies, size, orders))
        for share, shape in parts:
            y_RID = y_RID + math.sqrt(share) * rng.standard_normal((studies, *shape))
        if self.rate:
            y_RID = (y_RID > ndtri(1 - self.rate)).astype(np.float64)
        p_values = [split_variance(y, resamples=1, confidence=confidence).init_p for y in y_RID]
        return np.array(p_values) <= 1 - confidence


@dataclass(frozen=True)
class SuccessMeanWidth(Question):
    """How good are the successes?

    Attributes:
        width: largest width of the interval of their mean that answers.
        rate: P(success).
        mean: mean score of the successful seeds.
        concentration: a + b of the Beta law of their rates; larger is narrower.
        items: items of the test.
        threshold: score that counts as a success.

    Raises:
        ValueError: if a value is out of its range.
    """

    asks: ClassVar[str] = "How good are the successful seeds?"
    answered: ClassVar[str] = "the interval of the mean of the successes is narrow enough"
    studies: ClassVar[int] = 800

    width: float = 0.1
    rate: float = 0.5
    mean: float = 0.6
    concentration: float = 10.0
    items: int = 100
    threshold: float = 0.2

    def __post_init__(self) -> None:
        check_positive(width=self.width, concentration=self.concentration)
        check_share(rate=self.rate)
        check_threshold(self.threshold)
        check_at_least(2, items=self.items)
        if not self.threshold <= self.mean <= 1:
            raise ValueError(f"mean={self.mean} must lie in [threshold={self.threshold}, 1]")

    def found(self, size: int, studies: int, confidence: float, rng: np.random.Generator) -> Found:
        """As `Question.found`: by `summaries` with 200 resamples."""
        means = np.where(rng.random((studies, size)) < self.rate, self.mean, 0.0)
        found = [
            summaries(scores, self.threshold, resamples=RESAMPLES, confidence=confidence).success_mean
            for scores in _scores(means, self.concentration, self.items, rng)
        ]
        return np.array([each.interval.high - each.interval.low <= self.width for each in found])


@dataclass(frozen=True)
class Outcomes(Question):
    """Is every kind of outcome seen?

    Attributes:
        share: of the seeds that have the outcome, or the shares of several.
        times: how many seeds must show each of them.

    Raises:
        ValueError: if a value is out of its range.
    """

    asks: ClassVar[str] = "Is every kind of outcome seen?"
    answered: ClassVar[str] = "every one of these outcomes is seen so many times"
    least: ClassVar[int] = 1

    share: float | tuple[float, ...] = 0.1
    times: int = 3

    def __post_init__(self) -> None:
        shares = self.share if isinstance(self.share, tuple) else (self.share,)
        if not shares or not all(0 < share < 1 for share in shares) or sum(shares) > 1 + 1e-9:
            raise ValueError(f"share={self.share}: shares above 0 with a sum of at most 1 are needed")
        check_at_least(1, times=self.times)

    def found(self, size: int, studies: int, confidence: float, rng: np.random.Generator) -> Found:
        """As `Question.found`."""
        shares = np.atleast_1d(self.share)
        seen = rng.multinomial(size, [*shares, max(0.0, 1 - shares.sum())], size=studies)[:, :-1]
        return np.all(seen >= self.times, axis=1)


QUESTIONS: Mapping[str, type[Question]] = {
    "two_sided": TwoSided,
    "rates": Rates,
    "midpoint": Midpoint,
    "init": Init,
    "success_mean": SuccessMeanWidth,
    "outcomes": Outcomes,
}


def question_of(name: str, effect: Mapping[str, Any]) -> Question:
    """The question of that name, with the effect that is to be seen.

    Raises:
        ValueError: there is no such question, it has no such field, or a value is out of its range.
    """
    if name not in QUESTIONS:
        raise ValueError(f"question={name!r} must be one of {', '.join(QUESTIONS)}")
    kind: Any = QUESTIONS[name]
    known = [field.name for field in fields(kind)]
    for given in effect:
        if given not in known:
            raise ValueError(f"effect {given!r}: {name} has {', '.join(known)}")
    return kind(**{name: tuple(v) if isinstance(v, list) else v for name, v in effect.items()})


def _scores(means: Array, concentration: float, items: int, rng: np.random.Generator) -> Array:
    """Scores [...] of seeds with mean rates [...]: Beta rates and binomial counts, exact at 0 and 1."""
    inside = (means > 0) & (means < 1)
    middle = np.where(inside, means, 0.5)
    rates = np.where(inside, rng.beta(middle * concentration, (1 - middle) * concentration), means)
    return np.asarray(rng.binomial(items, rates) / items)
