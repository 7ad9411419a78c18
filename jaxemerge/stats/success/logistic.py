"""Which logistic curve between two asymptotes fits counts of successes best? Many fits at once."""

from __future__ import annotations

from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import expit, xlog1py, xlogy

from ..estimates.maximum_likelihood import Bounds, Search, best_of_starts, maximise

Array = NDArray[np.float64]
Direction = Literal["either", "rises", "falls"]

STEEPEST = 40.0  # logits between two neighbouring scales: from here on a curve is a step
SEARCH = Search(iterations=300, gain=1e-9, stiffest=1e10, ridge=1e-14)
TINY = 1e-290  # least probability, so that an impossible success costs much but not infinitely much
FAR = 30.0  # ranges of the log scale: a midpoint further away than this is infinitely far


class Counts(NamedTuple):
    """Logarithms of scale [N, K], successes [N] and trials [N] of the cells with seeds."""

    logs: Array
    successes: Array
    trials: Array


def check_counts(scale: ArrayLike, successes: ArrayLike, trials: ArrayLike) -> Counts:
    """Cells with seeds, in the order given.

    Raises:
        ValueError: as `cells_with_seeds`, or if scales are not positive.
    """
    if np.ndim(scale) and not np.all(np.asarray(scale, np.float64) > 0):
        raise ValueError(f"scale={np.asarray(scale, np.float64).tolist()} must be positive numbers")
    scales, k, n = cells_with_seeds(scale, successes, trials)
    return Counts(np.log(scales if scales.ndim == 2 else scales[:, None]), k, n)


def cells_with_seeds(scale: ArrayLike, successes: ArrayLike, trials: ArrayLike) -> tuple[Array, Array, Array]:
    """Scale, successes and trials of the cells with seeds, in the order given.

    Raises:
        ValueError: if shapes do not fit, scales are not finite, or some 0 <= successes <= trials does not
            hold.
    """
    scales, k, n = (np.asarray(a, np.float64) for a in (scale, successes, trials))
    if scales.ndim not in (1, 2) or (scales.ndim == 2 and scales.shape[1] not in (1, 2)):
        raise ValueError(f"scale of shape {scales.shape} must be [N] or [N, 2]")
    if not k.shape == n.shape == scales.shape[:1]:
        raise ValueError(
            f"successes {k.shape} and trials {n.shape} must be one each for {len(scales)} scales"
        )
    if not np.all(np.isfinite(scales)):
        raise ValueError(f"scale={scales.tolist()} must be finite numbers")
    if not np.all((k >= 0) & (k <= n) & np.isfinite(n)):
        raise ValueError(f"successes={k.tolist()} of trials={n.tolist()}: 0 <= k <= n must hold")
    some = n > 0
    return scales[some], k[some], n[some]


class Curves(NamedTuple):
    """Counts of B data sets, with likelihoods of theta [B, K + 2]: coefficients, then floor and ceiling.

    Attributes:
        design: [B, N, K].
        successes, trials: [B, N].
    """

    design: Array
    successes: Array
    trials: Array

    def log_likelihood(self, theta: Array) -> Array:
        """[B] binomial log-likelihoods, without the binomial coefficients."""
        p = np.clip(probability(theta, self.design), TINY, 1 - 1e-16)
        return np.sum(xlogy(self.successes, p) + xlog1py(self.trials - self.successes, -p), axis=-1)

    def expand(self, theta: Array) -> tuple[Array, Array]:
        """Score [B, K + 2] and expected information [B, K + 2, K + 2]."""
        s = expit(np.einsum("bnk,bk->bn", self.design, theta[:, :-2]))
        floor, ceiling = theta[:, -2, None], theta[:, -1, None]
        p = np.clip(floor + (ceiling - floor) * s, 1e-12, 1 - 1e-12)
        slope = ((ceiling - floor) * s * (1 - s))[..., None] * self.design
        gradient_BNK = np.concatenate([slope, (1 - s)[..., None], s[..., None]], axis=-1)  # of p in theta
        weight = 1 / (p * (1 - p))
        score = np.einsum("bn,bnk->bk", (self.successes - self.trials * p) * weight, gradient_BNK)
        return score, ((self.trials * weight)[..., None] * gradient_BNK).swapaxes(1, 2) @ gradient_BNK

    def rows(self, index: NDArray[np.int_]) -> Curves:
        """The data sets `index`."""
        return Curves(*(a[index] for a in self))


def probability(theta: Array, design: Array) -> Array:
    """Success probabilities floor + (ceiling - floor) sigmoid(design @ beta).

    Args:
        theta: [B, K + 2] coefficients beta, then floor and ceiling.
        design: [B, N, K].

    Returns:
        [B, N].
    """
    floor, ceiling = theta[:, -2, None], theta[:, -1, None]
    return floor + (ceiling - floor) * expit(np.einsum("bnk,bk->bn", design, theta[:, :-2]))


def _floor_below_ceiling(theta: Array) -> Array:
    theta[:, -2] = np.minimum(theta[:, -2], theta[:, -1])
    return theta


class Problem(NamedTuple):
    """A curve to be fitted, in standardised logarithms of scale.

    Attributes:
        z: [N, K] standardised logarithms, (logs - centre) / unit.
        centre, unit: [K].
        design: [1, N, P] columns 1, z and perhaps their product.
        successes, trials: [1, N].
        lower, upper: [P + 2] bounds of the coefficients, floor and ceiling; equal where a value is fixed.
        starts: [Q, P + 2] of the search.
    """

    z: Array
    centre: Array
    unit: Array
    design: Array
    successes: Array
    trials: Array
    lower: Array
    upper: Array
    starts: Array

    def best(self) -> tuple[Array, float]:
        """The most likely theta [P + 2] and its log-likelihood."""
        theta, log_likelihood = self.maximise(self.starts[None], self.lower, self.upper)
        return theta[0], float(log_likelihood[0])

    def some_starts(self) -> Array:
        """About a dozen of the starts, for fits close to one that is known."""
        return self.starts[np.unique(np.linspace(0, len(self.starts) - 1, 12).astype(int))]

    def maximise(
        self,
        starts: Array,
        lower: Array,
        upper: Array,
        design: Array | None = None,
        successes: Array | None = None,
    ) -> tuple[Array, Array]:
        """The best of Q starts [G, Q, P + 2] for each of G fits; the other arguments are [G, ...] or shared.

        Equal bounds fix a parameter. A search finds the maximum near its start, so that fitted asymptotes
        need several starts.

        Returns:
            theta [G, P + 2] and log-likelihoods [G].
        """
        fits = len(starts)
        data = [
            self.design if design is None else design,
            self.successes if successes is None else successes,
            self.trials,
            np.atleast_2d(lower),
            np.atleast_2d(upper),
        ]
        spread = [np.broadcast_to(a, (fits, *a.shape[1:])) for a in data]

        def maximised(flat: Array, fit: NDArray[np.int_]) -> tuple[Array, Array]:
            *counts, low, high = (a[fit] for a in spread)
            bounds = Bounds(low, high, low == high)
            return maximise(Curves(*counts), flat, bounds, SEARCH, _floor_below_ceiling)

        return best_of_starts(maximised, starts)


def check_direction(direction: str, measures: int = 1) -> None:
    """Rejects anything but "either", "rises" and "falls", and the latter two for two measures of scale.

    Raises:
        ValueError: naming the direction.
    """
    if direction not in ("either", "rises", "falls"):
        raise ValueError(f"direction={direction!r} must be 'either', 'rises' or 'falls'")
    if direction != "either" and measures > 1:
        raise ValueError(f"direction={direction!r} needs one measure of scale: two have a slope each")


def pose(
    counts: Counts,
    floor: float | None,
    ceiling: float | None,
    interaction: bool = True,
    direction: Direction = "either",
) -> Problem:
    """The problem of fitting a curve to counts; two measures of scale have slopes of either sign.

    Raises:
        ValueError: if an asymptote is not a probability, or the floor is above the ceiling.
    """
    low = (0.0, 1.0) if floor is None else (floor, floor)
    high = (0.0, 1.0) if ceiling is None else (ceiling, ceiling)
    if not (low[0] >= 0 and low[1] <= 1 and high[0] >= 0 and high[1] <= 1 and low[0] <= high[1]):
        raise ValueError(f"floor={floor}, ceiling={ceiling}: 0 <= floor <= ceiling <= 1 must hold")
    centre = counts.logs.mean(axis=0)
    spread = counts.logs.std(axis=0)
    unit = np.where(spread > 1e-12, spread, 1.0)
    z = np.where(spread > 1e-12, (counts.logs - centre) / unit, 0.0)
    design = design_of(z, interaction)
    columns = [np.unique(np.round(design[:, j], 9)) for j in range(1, design.shape[1])]
    steepest = np.array([STEEPEST / np.diff(c).min() if len(c) > 1 else STEEPEST for c in columns])
    reach = float(np.sum(steepest * np.abs(design[:, 1:]).max(axis=0))) * (1 + 2 * FAR) + STEEPEST
    slopes = (-steepest * (direction != "rises"), steepest * (direction != "falls"))
    lower = np.array([-reach, *slopes[0], low[0], max(high[0], low[0])])
    upper = np.array([reach, *slopes[1], min(low[1], high[1]), high[1]])
    k, n = counts.successes, counts.trials
    if z.shape[1] == 2:
        starts = _flat_starts(design.shape[1], k / n)
    else:
        starts = np.concatenate([_starts(z, end[0], k / n) for end in slopes if end[0]])
    return Problem(z, centre, unit, design[None], k[None], n[None], lower, upper, starts)


def range_of(problem: Problem, theta: Array, j: int) -> tuple[Array, float, tuple[float, float]]:
    """The grid of one parameter, its value, and what the ends of the grid stand for."""
    low, high = problem.lower[j], problem.upper[j]
    if low == high:
        return np.array([low]), float(low), (low, high)
    if j >= len(theta) - 2:
        return np.union1d(np.linspace(low, high, 21), theta[j]), float(theta[j]), (low, high)
    sizes = np.geomspace(1 / 3000, 1, 24)
    grid = np.concatenate([low * sizes, [0.0], high * sizes])
    ends = (-np.inf if low < 0 else 0.0, np.inf if high > 0 else 0.0)
    return np.union1d(grid, theta[j]), float(theta[j]), ends


def design_of(z: Array, interaction: bool) -> Array:
    """[..., 1 + K (+ 1)] columns: one, the measures of scale, and with two of them perhaps their product."""
    product = [z[..., :1] * z[..., 1:]] if z.shape[-1] == 2 and interaction else []
    return np.concatenate([np.ones((*z.shape[:-1], 1)), z, *product], axis=-1)


def _starts(z: Array, steepest: float, share: Array) -> Array:
    """Midpoints at and between the scales, three slopes, and ceilings at 1 and at the largest share seen."""
    sign = np.sign(steepest)
    places = np.unique(z)
    middles = np.concatenate([places, (places[1:] + places[:-1]) / 2])
    middles = middles[np.unique(np.linspace(0, len(middles) - 1, 15).astype(int))]
    rows = [
        (-slope * middle, slope, share.min(), top)
        for middle in middles
        for slope in (1.5 * sign, 6.0 * sign, steepest)
        for top in (max(share.max(), 0.05), 1.0)
    ]
    return np.array(rows)


def _flat_starts(size: int, share: Array) -> Array:
    slopes = [(0, 0), (2, 0), (0, 2), (2, 2), (-2, 2), (2, -2)]
    rest = [0.0] * (size - 3)
    tops = (max(share.max(), 0.05), 1.0)
    return np.array([(0, *pair, *rest, share.min(), top) for pair in slopes for top in tops], np.float64)
