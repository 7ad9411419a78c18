"""Which parts of the law does scale move, is the change gradual, and where are populations two-sided?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from jaxemerge.brief import brief

from ...estimates.arguments import check_at_least
from ...estimates.interval import UNKNOWN, Estimate, Interval
from ...estimates.resampling import generator
from .fitting import Optimum, Problem, maximise
from .law import DistributionLaw, free_slopes, side_by_side
from .prediction import described
from .simulation import drawn_counts

Floats = NDArray[np.float64]

GRID = 241  # scales between which crossings are interpolated
BEYOND = 4.0  # how far beyond the smallest and largest scale they are looked for


@brief
@dataclass(frozen=True)
class NestedTest:
    """Whether a law in which some slopes are 0 is rejected.

    Attributes:
        held: the slopes that are 0 under the null hypothesis.
        statistic: twice the gain of the penalised log-likelihood when they are free, 0 or more.
        p_value: share of studies drawn from the restricted law with at least this statistic.
        simulated: [R] statistics of these studies.
        log_likelihood: of the restricted law.
    """

    held: dict[str, tuple[int, ...]]
    statistic: float
    p_value: float
    simulated: Floats
    log_likelihood: float


def nested_test(
    law: DistributionLaw, held: Mapping[str, Sequence[int]], *, bootstraps: int = 199, key: Any = 0
) -> NestedTest:
    """Tests whether some slopes are 0, by a parametric bootstrap of the likelihood ratio.

    For a law of depth and width, `{"weights": [1]}` asks whether width moves the weights besides depth, and
    `{"means": [0]}` whether depth moves the means besides width. The p-value allows for the priors, the
    effects of cells and few seeds, as every simulated study is fitted in the same way.

    Measured (benchmarks/distribution_law.py), 200 studies of 6 cells of 24 seeds on 2 tests: a true null is
    rejected at 5 % in 2.0 % [0.8, 5.0] for the weights and 4.5 % [2.4, 8.3] for the means; a slope of 0.6 of
    the weights is found in 12 %, one of 0.2 of the means in 18 %.

    Args:
        law: the fit in which the slopes are free.
        held: coordinates by "weights", "means" or "precisions".
        bootstraps: R, studies drawn from the restricted law.
        key: int or JAX key.

    Returns:
        NestedTest.

    Raises:
        ValueError: if `held` is empty or names slopes that are not there.
    """
    check_at_least(1, bootstraps=bootstraps)
    free = law.problem.free & free_slopes(law.shape, held)
    if np.all(free == law.problem.free):
        raise ValueError(f"held={dict(held)} must name slopes that are free in the law")
    restricted = law.problem._replace(free=free)
    small = from_start(restricted, law.seen.seeds, law.optimum.theta)
    statistic = gain(law.optimum, small)
    seeds = law.seen.seeds.sum(axis=1).astype(np.int64)
    rng = generator(key)
    studies = [
        drawn_counts(rng, law.shape, small.theta, law.problem.design, seeds) for _ in range(bootstraps)
    ]

    def refitted(study: tuple[NDArray[np.int64], Floats]) -> float:
        counts, rows = study
        low = maximise(restricted._replace(counts=counts), rows, small.theta, small)
        # The search for the larger law begins at the smaller one, so that it cannot end below.
        start = law.optimum._replace(centres=low.centres)
        return gain(maximise(law.problem._replace(counts=counts), rows, low.theta, start), low)

    simulated = np.array(side_by_side(refitted, studies))
    p_value = (1 + np.sum(simulated >= statistic - 1e-9)) / (1 + bootstraps)
    named = {kind: tuple(int(i) for i in which) for kind, which in held.items()}
    return NestedTest(named, statistic, float(p_value), simulated, small.log_likelihood)


def from_start(problem: Problem, seeds: Floats, theta: Floats) -> Optimum:
    """The optimum of a law with fewer free slopes, from that of a larger one."""
    start = theta.copy()
    for kind in ("weights", "means", "precisions"):
        place = problem.shape.places[kind]
        start[place] = np.where(problem.free[place], start[place], 0.0)
    return maximise(problem, seeds, start)


def gain(large: Optimum, small: Optimum) -> float:
    """Twice the gain of the penalised log-likelihood; searches end within a rounding error of each other."""
    return max(2 * (large.log_posterior - small.log_posterior), 0.0)


@dataclass(frozen=True)
class StepAlternative:
    """Whether the weights change at one scale, or gradually.

    Attributes:
        coordinate: of scale along which they change.
        cut: the scale from which on the weights are others, in the best law with a step.
        statistic: twice the penalised log-likelihood of the law with a step less that of the smooth law.
        smooth: p-value of the smooth law: share of studies drawn from it with at least this statistic.
        stepped: p-value of the step: share of studies drawn from it with at most this statistic.
    """

    coordinate: int
    cut: float
    statistic: float
    smooth: float
    stepped: float


def step_alternative(
    law: DistributionLaw, coordinate: int = 0, *, bootstraps: int = 99, key: Any = 0
) -> StepAlternative:
    """Compares the smooth law of the weights with one that has a step between two neighbouring scales.

    Neither law contains the other: each is tested against studies drawn from itself (Cox's test by
    simulation). With two values of the coordinate both laws are the same.

    Args:
        law: a smooth law.
        coordinate: 0 to K - 1, with at least three values.
        bootstraps: studies drawn from each of the two laws.
        key: int or JAX key.

    Returns:
        StepAlternative.

    Raises:
        ValueError: if there is no such coordinate, or it has fewer than three values.

    References:
        Cox (1962), J. R. Stat. Soc. B 24, p. 406; Williams (1970), Biometrics 26, p. 23 (by simulation).
    """
    check_at_least(1, bootstraps=bootstraps)
    K = len(law.names)
    if not 0 <= coordinate < K:
        raise ValueError(f"coordinate={coordinate} must lie in 0..{K - 1}")
    values = np.unique(law.seen.scale[:, coordinate])
    if len(values) < 3:
        raise ValueError(f"{law.names[coordinate]} takes {len(values)} values; a step needs at least three")
    stepped = [
        law.problem._replace(
            design=law.columns._replace(step=(coordinate, float(cut))).of(law.seen.scale, law.lengths)
        )
        for cut in values[1:]
    ]
    fits = [maximise(problem, law.seen.seeds, law.optimum.theta) for problem in stepped]
    best = int(np.argmax([fit.log_posterior for fit in fits]))
    statistic = 2 * (fits[best].log_posterior - law.optimum.log_posterior)
    seeds = law.seen.seeds.sum(axis=1).astype(np.int64)
    rng = generator(key)

    def compared(study: tuple[NDArray[np.int64], Floats]) -> float:
        counts, rows = study
        smooth = maximise(law.problem._replace(counts=counts), rows, law.optimum.theta, law.optimum)
        others = [
            maximise(problem._replace(counts=counts), rows, fit.theta, fit)
            for problem, fit in zip(stepped, fits, strict=True)
        ]
        return 2 * (max(fit.log_posterior for fit in others) - smooth.log_posterior)

    def simulated(problem: Problem, truth: Optimum) -> Floats:
        studies = [
            drawn_counts(rng, law.shape, truth.theta, problem.design, seeds) for _ in range(bootstraps)
        ]
        return np.array(side_by_side(compared, studies))

    if_smooth = simulated(law.problem, law.optimum)
    if_stepped = simulated(stepped[best], fits[best])
    return StepAlternative(
        coordinate,
        float(values[1:][best]),
        float(statistic),
        float((1 + np.sum(if_smooth >= statistic)) / (1 + bootstraps)),
        float((1 + np.sum(if_stepped <= statistic)) / (1 + bootstraps)),
    )


def two_sided_range(
    law: DistributionLaw,
    coordinate: int = 0,
    *,
    length: float | None = None,
    at: Sequence[float] | None = None,
    share: float = 0.1,
) -> tuple[Estimate, Estimate]:
    """Between which scales is a population two-sided: P(success) between `share` and 1 - `share`?

    Args:
        law: a fit, with bootstraps for intervals.
        coordinate: of scale that varies, 0 to K - 1.
        length: of the test; the longest by default.
        at: [K] scale at which the other coordinates stay; by default their geometric means over the cells.
        share: in (0, 0.5).

    Returns:
        The scale at which P(success) first exceeds `share`, and that at which it exceeds 1 - `share`, with
        intervals. Scales are looked for up to four times beyond the trained ones; 0 where P(success) is
        above throughout, infinite where it stays below.

    Raises:
        ValueError: if an argument is out of its range.
    """
    K, lengths = len(law.names), law.lengths
    if not 0 <= coordinate < K:
        raise ValueError(f"coordinate={coordinate} must lie in 0..{K - 1}")
    if not 0 < share < 0.5:
        raise ValueError(f"share={share} must lie in (0, 0.5)")
    wanted = lengths[-1] if length is None else length
    test = np.flatnonzero(lengths == wanted)
    if len(test) == 0:
        raise ValueError(f"length={wanted:g} must be one of {', '.join(f'{each:g}' for each in lengths)}")
    middle = np.exp(law.columns.centre) if at is None else np.asarray(at, np.float64)
    if middle.shape != (K,) or not np.all(middle > 0):
        raise ValueError(f"at={at} must be {K} positive numbers")
    seen = law.seen.scale[:, coordinate]
    grid = np.geomspace(seen.min() / BEYOND, seen.max() * BEYOND, GRID)
    scale = np.tile(middle, (GRID, 1))
    scale[:, coordinate] = grid
    theta = np.concatenate([law.optimum.theta[None], law.replicates])
    design = law.columns.of(scale, lengths)
    success = described(law.shape, theta, design, np.zeros((len(theta), GRID)), True)[0][..., test[0]]
    ends = [np.array([crossing(grid, row, level) for row in success]) for level in (share, 1 - share)]
    first, last = (Estimate(float(end[0]), _between(end[1:], law.confidence)) for end in ends)
    return first, last


def _between(replicates: Floats, confidence: float) -> Interval:
    """Percentiles of scales that may be infinite, between which one cannot interpolate."""
    if len(replicates) == 0:
        return UNKNOWN
    tails = (1 - confidence) / 2, (1 + confidence) / 2
    low, high = np.quantile(replicates, tails, method="inverted_cdf")
    return Interval(float(low), float(high))


def crossing(grid: Floats, success: Floats, level: float) -> float:
    """The first scale at which a curve reaches a level; 0 if it is above from the start, inf if never."""
    above = np.flatnonzero(success >= level)
    if len(above) == 0:
        return float("inf")
    place = above[0]
    if place == 0:
        return 0.0
    low, high = success[place - 1 : place + 1]
    x = np.log(grid[place - 1 : place + 1])
    return float(np.exp(x[0] + (x[1] - x[0]) * (level - low) / (high - low)))
