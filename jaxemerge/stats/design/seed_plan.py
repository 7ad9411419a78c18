"""How many seeds are needed to answer a question with a given probability?"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import expit, logit, ndtri

from jaxemerge.brief import brief

from ..estimates.arguments import check_at_least, check_confidence
from ..estimates.interval import UNKNOWN, Estimate, Interval, success_interval
from ..estimates.resampling import generator
from ..success.monotone import isotonic_success
from ..success.onset import onset
from .question import Question
from .questions import question_of

Array = NDArray[np.float64]

SPARSE = 16  # one in so many of the studies is simulated at each size while the answer is far
ROUNDS = 4  # of simulation around the answer
NEAR = 2.0  # sizes within this factor of the answer tell the power there
MONTE_CARLO = 0.95  # confidence of all intervals of simulation


@brief
@dataclass(frozen=True)
class SeedPlan:
    """The number of seeds that answers a question, and the power of others.

    Intervals hold the error of simulation alone, 95 %.

    Attributes:
        question: its name, such as "two_sided".
        asks: the question in words.
        answered: what counts as an answer in one study.
        effect: the effect that is to be seen, by the names of its parts.
        target: power asked for.
        confidence: of the library's interval, or 1 - level of its test.
        cells: cells of the design; each has `seeds` seeds.
        seeds: least number of seeds per cell with the target power, and the numbers that simulation cannot
            tell from it. inf where the most that was allowed does not suffice.
        crossed: numbers of init seeds and data seeds where the design crosses them; else None.
        power: reached with that number of seeds, or with the most that was allowed.
        studies: simulated studies behind `power`.
        curve_seeds: [K] numbers of seeds per cell that were simulated, ascending.
        curve: [K] share of the simulated studies that answer, with each of them.
        curve_studies: [K] simulated studies behind each.
    """

    question: str
    asks: str
    answered: str
    effect: dict[str, Any]
    target: float
    confidence: float
    cells: int
    seeds: Estimate
    crossed: tuple[int, int] | None
    power: Estimate
    studies: int
    curve_seeds: NDArray[np.int64]
    curve: Estimate
    curve_studies: NDArray[np.int64]

    @property
    def runs(self) -> float:
        """Runs of the whole design; inf where no number of seeds was found."""
        return float(self.seeds.value) * self.cells


def plan_seeds(
    question: str,
    effect: Mapping[str, Any] | None = None,
    power: float = 0.8,
    *,
    confidence: float = 0.95,
    studies: int | None = None,
    most: int = 2000,
    key: Any = 0,
) -> SeedPlan:
    """Finds the least number of seeds with which a study answers a question, by simulating studies.

    Every simulated study is analysed by the library's own test or interval. Questions, what answers them, and
    the parts of their effects (help(jaxemerge.stats.design.questions) has more):

        two_sided     `fit_mixture` finds two sides: weight, means, concentration, items
        rates         Fisher's test tells two success rates apart: rates
        midpoint      the profile interval of `fit_success_curve`, half its width in ln(scale), is at most
                      precision: scales, midpoint, slope, ceiling, free_ceiling
        init          the F test of `split_variance` finds an effect of the initialisation, in a crossed
                      design: init, data (shares of the variance), data_seeds, rate
        success_mean  the interval of `summaries` for the mean of the successes is at most width: rate, mean,
                      concentration, items, threshold
        outcomes      every outcome is seen in so many seeds: share (one or several), times

    Search: sizes are doubled until the power exceeds the target; then four rounds simulate studies where the
    target is expected by then. The answer and its power come from a logistic curve of power against ln(size),
    fitted to the sizes within a factor of two. With the default number of studies the standard error of the
    power is about .005 (rates, outcomes), .01 (init), .015 (success_mean) and .025 (midpoint, two_sided).

    Args:
        question: one of the names above.
        effect: parts of the effect by name; those left out have their defaults.
        power: probability that a study answers the question, in (0, 1).
        confidence: of the interval, or 1 - level of the test; in (0, 1).
        studies: studies to simulate around the answer; None for the question's own number.
        most: largest number of seeds per cell that is tried.
        key: int or JAX key; the same key gives the same plan.

    Returns:
        SeedPlan. `seeds` is inf where `most` do not suffice.

    Raises:
        ValueError: there is no such question or part of an effect, or an argument is out of its range.

    References:
        Cohen (1988), Statistical Power Analysis for the Behavioral Sciences, chapter 1; Kelley and Maxwell
        (2003), Psychol. Methods 8, p. 305 (planning for the width of an interval).
    """
    asked = question_of(question, effect or {})
    if not 0.0 < power < 1.0:
        raise ValueError(f"power={power} must lie in (0, 1)")
    check_confidence(confidence)
    around = asked.studies if studies is None else studies
    check_at_least(40, studies=around)
    check_at_least(asked.seeds(asked.least), most=most)
    search = _Search(asked, power, confidence, generator(key), most)
    reached = search.brackets(max(20, around // SPARSE))
    for _ in range(ROUNDS if reached else 0):
        search.simulate(search.crossing(), around // ROUNDS)
    return _record(question, search, reached=reached)


class _Search:
    """Simulated studies by size, and where their power crosses the target."""

    def __init__(
        self, asked: Question, power: float, confidence: float, rng: np.random.Generator, most: int
    ) -> None:
        self.asked, self.power, self.confidence, self.rng, self.most = asked, power, confidence, rng, most
        self.tallies: dict[int, tuple[int, int]] = {}  # size -> studies that answer, studies

    def simulate(self, size: int, studies: int) -> float:
        """Adds studies of one size; the share that answers."""
        found, done = self.tallies.get(size, (0, 0))
        new = self.asked.found(size, studies, self.confidence, self.rng)
        self.tallies[size] = found + int(new.sum()), done + studies
        return float(new.mean())

    def brackets(self, studies: int) -> bool:
        """Doubles the number of seeds until the power exceeds the target; False if it never does."""
        size = self.asked.least
        while self.simulate(size, studies) <= self.power:
            larger = self._doubled(size)
            if larger == size:
                return False
            size = larger
        return True

    def crossing(self) -> int:
        """The least size with the target power, as far as is known."""
        needed = self.curve().size_of(self.power)
        size = max(self.asked.least, math.ceil(needed - 1e-9))
        while self.asked.seeds(size) > self.most:
            size -= 1
        return size

    def curve(self) -> _Curve:
        """Power near the size at which a rising curve through all sizes crosses the target."""
        sizes, found, studies = self.counts()
        rising = isotonic_success(sizes, found, studies, direction="rises", resamples=1).success.value
        rough = float(onset(sizes, rising, self.power))
        rough = sizes[-1] if math.isinf(rough) else max(rough, sizes[0])
        apart = np.abs(np.log(sizes / rough))
        near = apart <= max(math.log(NEAR), np.sort(apart)[:2][-1])
        return _fitted(rough, sizes[near], found[near], studies[near])

    def counts(self) -> tuple[Array, Array, Array]:
        """Sizes, studies that answer, and studies, [K], in order of size."""
        rows = np.array([(size, *self.tallies[size]) for size in sorted(self.tallies)], np.float64)
        return rows[:, 0], rows[:, 1], rows[:, 2]

    def _doubled(self, size: int) -> int:
        """The largest size with at most twice the seeds, or the next one; the same if no more are allowed."""
        if self.asked.seeds(size + 1) > self.most:
            return size
        larger = size + 1
        while self.asked.seeds(larger + 1) <= min(2 * self.asked.seeds(size), self.most):
            larger += 1
        return larger


@dataclass(frozen=True)
class _Curve:
    """Power near one size: logit(power) = height + slope ln(size / centre), with a covariance [2, 2]."""

    centre: float
    height: float
    slope: float
    covariance: Array
    studies: int

    def size_of(self, power: float) -> float:
        """The size with this power, within a factor of two of the centre."""
        if self.slope <= 0:
            return self.centre
        away = (logit(power) - self.height) / self.slope
        return self.centre * math.exp(float(np.clip(away, -math.log(NEAR), math.log(NEAR))))

    def error(self, size: float) -> float:
        """Half the width of the interval of logit(power)."""
        x = np.array([1.0, math.log(size / self.centre)])
        return float(ndtri(0.5 + MONTE_CARLO / 2) * math.sqrt(x @ self.covariance @ x))

    def power_at(self, size: float) -> Estimate:
        """The power of a size, with the error of simulation."""
        value, error = self.height + self.slope * math.log(size / self.centre), self.error(size)
        low, middle, high = (float(expit(value + by)) for by in (-error, 0.0, error))
        return Estimate(middle, Interval(low, high))

    def sizes_around(self, power: float) -> Interval:
        """Sizes at which simulation cannot rule out that the power is reached there."""
        size = self.size_of(power)
        if self.slope <= 0:
            return Interval(size, size)
        by = math.exp(min(self.error(size) / self.slope, 30.0))
        return Interval(size / by, size * by)


def _fitted(centre: float, sizes: Array, found: Array, studies: Array) -> _Curve:
    """Logistic regression with priors of standard deviation 10, which matter for all or none found only."""
    design_K2 = np.stack([np.ones(len(sizes)), np.log(sizes / centre)], axis=1)

    def loss(theta: Array) -> tuple[float, Array]:
        z = design_K2 @ theta
        value = studies @ np.logaddexp(0, z) - found @ z + theta @ theta / 200
        return float(value), design_K2.T @ (studies * expit(z) - found) + theta / 100

    theta = minimize(loss, np.zeros(2), jac=True, method="BFGS").x
    p = expit(design_K2 @ theta)
    information = design_K2.T @ (design_K2 * (studies * p * (1 - p))[:, None]) + np.eye(2) / 100
    return _Curve(centre, float(theta[0]), float(theta[1]), np.linalg.inv(information), int(studies.sum()))


def _between(asked: Question, sizes: Interval) -> Interval:
    """Seeds per cell of the next whole sizes."""
    low, high = (max(asked.least, math.ceil(end - 1e-9)) for end in (float(sizes.low), float(sizes.high)))
    return Interval(float(asked.seeds(low)), float(asked.seeds(high)))


def _record(question: str, search: _Search, *, reached: bool) -> SeedPlan:
    asked, curve = search.asked, search.curve()
    sizes, found, studies = search.counts()
    size = search.crossing() if reached else int(sizes[-1])
    needed = Estimate(float(asked.seeds(size)), _between(asked, curve.sizes_around(search.power)))
    return SeedPlan(
        question=question,
        asks=asked.asks,
        answered=asked.answered,
        effect=asdict(asked),
        target=search.power,
        confidence=search.confidence,
        cells=asked.cells,
        seeds=needed if reached else Estimate(math.inf, UNKNOWN),
        crossed=asked.crossed(size),
        power=curve.power_at(size),
        studies=curve.studies,
        curve_seeds=np.array([asked.seeds(int(size)) for size in sizes]),
        curve=Estimate(found / studies, success_interval(found, studies, MONTE_CARLO)),
        curve_studies=studies.astype(np.int64),
    )
