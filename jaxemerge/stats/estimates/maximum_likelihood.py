"""Maximum likelihood of many data sets at once by damped Fisher scoring, and profile-likelihood intervals.

The profile is the log-likelihood maximised over all other parameters; the interval holds the values at which
it is at least some cut. Three searches find its ends: on a grid, for profiles with several maxima; outwards
from the maximum, for many data sets at once; and between the maximum and bounds, for one concave profile.

References:
    Venzon and Moolgavkar (1988), J. R. Stat. Soc. C 37, p. 87 (profile-likelihood intervals).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq

from .interval import Interval

Array = NDArray[np.float64]


class Likelihood(Protocol):
    """Log-likelihoods of B data sets as functions of parameters theta [B, P]."""

    def log_likelihood(self, theta: Array) -> Array:
        """[B] in nats."""
        ...

    def expand(self, theta: Array) -> tuple[Array, Array]:
        """Score [B, P] and expected information [B, P, P]."""
        ...

    def rows(self, index: NDArray[np.int_]) -> Likelihood:
        """The data sets `index`."""
        ...


class Bounds(NamedTuple):
    """Where theta may move: lower and upper ends, and parameters that stay, [B, P] or [P] each."""

    lower: Array
    upper: Array
    fixed: NDArray[np.bool_]

    def of(self, shape: tuple[int, ...]) -> Bounds:
        """The same for every data set."""
        lower, upper = np.broadcast_to(self.lower, shape), np.broadcast_to(self.upper, shape)
        return Bounds(lower, upper, np.broadcast_to(self.fixed, shape))

    def rows(self, index: NDArray[np.int_]) -> Bounds:
        """The bounds of the data sets `index`."""
        return Bounds(self.lower[index], self.upper[index], self.fixed[index])


class Search(NamedTuple):
    """When the search ends, and how far a step may go.

    Attributes:
        iterations: at most.
        gain: of log-likelihood; a smaller one ends the search.
        stiffest: damping at which the search ends.
        ridge: added to the information, as a share of its largest diagonal entry.
        longest: step of any parameter.
        still: steps no longer than this end the search.
    """

    iterations: int
    gain: float
    stiffest: float
    ridge: float
    longest: float = np.inf
    still: float = 0.0


def maximise(
    problem: Likelihood,
    start: Array,
    bounds: Bounds,
    search: Search,
    project: Callable[[Array], Array] = lambda theta: theta,
) -> tuple[Array, Array]:
    """The maximum of each log-likelihood near its start, within the bounds.

    Fisher scoring, damped where a full step would lower the likelihood (Levenberg-Marquardt), on the
    parameters that no bound holds (projected Newton). Data sets leave the search one by one, so that its cost
    goes with those still moving.

    Args:
        problem: B data sets.
        start: [B, P]; taken into the bounds.
        bounds: of theta.
        search: when to stop.
        project: applied to every theta [n, P] after the bounds, for constraints between parameters.

    Returns:
        theta [B, P] and its log-likelihood [B].

    References:
        Bertsekas (1982), SIAM J. Control Optim. 20, p. 221 (projected Newton); Marquardt (1963), J. SIAM 11,
        p. 431 (the damping).
    """
    bounds = bounds.of(start.shape)
    theta = project(np.clip(start, bounds.lower, bounds.upper))
    best = problem.log_likelihood(theta)
    damping = np.full(len(theta), 1e-3)
    live = np.arange(len(theta))
    for _ in range(search.iterations):
        here, inside = problem.rows(live), bounds.rows(live)
        step = _step(here, theta[live], inside, damping[live], search)
        moved = project(np.clip(theta[live] + step, inside.lower, inside.upper))
        reached = here.log_likelihood(moved)
        gain = reached - best[live]
        up = gain > 0
        theta[live[up]], best[live[up]] = moved[up], reached[up]
        damping[live] = np.where(up, np.maximum(damping[live] / 8, 1e-9), damping[live] * 6)
        moving = np.any(np.abs(step) > search.still, axis=-1)
        live = live[np.where(up, gain > search.gain, damping[live] < search.stiffest) & moving]
        if len(live) == 0:
            break
    return theta, best


def best_of_starts(
    maximised: Callable[[Array, NDArray[np.int_]], tuple[Array, Array]], starts: Array
) -> tuple[Array, Array]:
    """The best of Q searches for each of B data sets.

    Args:
        maximised: from starts [B Q, P] and the data set of each [B Q] to theta and log-likelihood.
        starts: [B, Q, P].

    Returns:
        theta [B, P] and its log-likelihood [B].
    """
    fits, tries, size = starts.shape
    theta, log_likelihood = maximised(starts.reshape(-1, size), np.repeat(np.arange(fits), tries))
    winner = log_likelihood.reshape(fits, tries).argmax(axis=1) + tries * np.arange(fits)
    return theta[winner], log_likelihood[winner]


def _step(problem: Likelihood, theta: Array, bounds: Bounds, damping: Array, search: Search) -> Array:
    """[B, P] a damped step in the parameters that no bound holds."""
    score, information = problem.expand(theta)
    at_bound = ((theta <= bounds.lower) & (score <= 0)) | ((theta >= bounds.upper) & (score >= 0))
    held = at_bound | bounds.fixed
    free = ~held
    score = np.where(free, score, 0.0)
    information = np.where(free[:, :, None] & free[:, None, :], information, 0.0)
    diagonal = np.einsum("bpp->bp", information)  # a view: written through below
    diagonal *= 1 + damping[:, None]
    diagonal += np.where(held, 1.0, 1e-10 + search.ridge * diagonal.max(axis=-1, keepdims=True))
    step = np.linalg.solve(information, score[..., None])[..., 0]
    return np.clip(step, -search.longest, search.longest)


Profile = Callable[[Array], Array]

ROUNDS, POINTS = 3, 17
FIRST, DOUBLINGS, BISECTIONS = 0.05, 12, 22
FARTHEST = 20.0  # an end beyond this counts as infinite


def level_set(profile: Profile, grid: Array, log_likelihoods: Array, cut: float) -> Interval:
    """The hull of the values whose profile is at least `cut`, from a grid.

    The outermost points of the grid above the cut are found, and the crossings beyond them refined. A set
    that reaches the end of the grid ends there. A profile with several maxima is covered as a whole.

    Args:
        profile: [G] values -> [G] log-likelihoods, maximised over the other parameters.
        grid: [G] ascending values, coarse, from one end of the range to the other.
        log_likelihoods: [G] the profile on the grid.
        cut: log-likelihood to exceed; at most the largest on the grid.

    Returns:
        Interval of two floats.
    """
    above = np.flatnonzero(log_likelihoods >= cut)
    first, last = int(above[0]), int(above[-1])
    # Each side's bracket: from the last value known to be above the cut to the first known to be below.
    inner = np.array([grid[first], grid[last]])
    outer = np.array([grid[max(first - 1, 0)], grid[min(last + 1, len(grid) - 1)]])
    for _ in range(ROUNDS):
        points_2P = inner[:, None] + (outer - inner)[:, None] * np.linspace(0, 1, POINTS)
        inside = profile(points_2P.ravel()).reshape(points_2P.shape) >= cut
        inside[:, 0] = True
        furthest = POINTS - 1 - np.argmax(inside[:, ::-1], axis=-1)
        inner = points_2P[[0, 1], furthest]
        outer = points_2P[[0, 1], np.minimum(furthest + 1, POINTS - 1)]
    return Interval(float(inner[0]), float(inner[1]))


def ends_outwards(
    above: Callable[[Array, Array], tuple[NDArray[np.bool_], Array]], theta: Array, index: int
) -> tuple[Array, Array]:
    """Both ends of the intervals of one parameter for B data sets, searched outwards from the maximum.

    Steps double until the profile falls below the cut; bisection follows.

    Args:
        above: from values [2 B] of the parameter, lower sides first, and nearby theta [2 B, P] to whether the
            profile is at least the cut, and the maximising theta.
        theta: [B, P] the most likely values.
        index: of the parameter.

    Returns:
        [B] lower and [B] upper ends; infinite where the profile never falls that far.
    """
    fits = len(theta)
    sign = np.repeat([-1.0, 1.0], fits)
    inner = np.tile(theta, (2, 1))
    outer, crossed, width = inner[:, index].copy(), np.zeros(2 * fits, bool), FIRST
    for _ in range(DOUBLINGS):
        tried = np.where(crossed, inner[:, index], inner[:, index] + sign * width)
        inside, found = above(tried, inner)
        outer = np.where(crossed, outer, tried)
        crossed = crossed | ~inside
        inner = np.where(crossed[:, None], inner, found)
        width *= 2
        if crossed.all():
            break
    for _ in range(BISECTIONS):
        middle = (inner[:, index] + outer) / 2
        inside, found = above(middle, inner)
        inner = np.where(inside[:, None], found, inner)
        outer = np.where(inside, outer, middle)
    near = crossed & (np.abs(inner[:, index]) < FARTHEST)
    ends = np.where(near, inner[:, index], sign * np.inf)
    return ends[:fits], ends[fits:]


def ends_within(excess: Callable[[float], float], at: float, bounds: tuple[float, float]) -> Interval:
    """Both ends of the interval of one concave profile, between its maximum and two bounds.

    Args:
        excess: value -> profile less the cut, positive at the maximum.
        at: the most likely value.
        bounds: where the search ends; an interval that reaches one is unbounded on that side.

    Returns:
        Interval of two floats.
    """
    low, high = (
        float(np.sign(bound) * np.inf if excess(bound) >= 0 else brentq(excess, at, bound, xtol=1e-8))
        for bound in bounds
    )
    return Interval(low, high)
