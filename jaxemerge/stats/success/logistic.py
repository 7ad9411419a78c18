"""The fit of a logistic curve with lapses, posed: parameters, bounds, and where to start from."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import expit, xlog1py, xlogy

Array = NDArray[np.float64]

STEEPEST = 40.0  # logits between two neighbouring scales: from here on a curve is a step
FAR = 30.0  # ranges of the log scale: a midpoint further away than this is infinitely far


class Counts(NamedTuple):
    """Logarithms of scale [N, K], successes [N] and trials [N] of the cells that have seeds."""

    logs: Array
    successes: Array
    trials: Array


def check_counts(scale: ArrayLike, successes: ArrayLike, trials: ArrayLike) -> Counts:
    """Cells with seeds, in the order given.

    Raises:
        ValueError: if shapes do not fit, scales are not positive, or some 0 <= successes <= trials does not
            hold.
    """
    scales, k, n = (np.asarray(a, np.float64) for a in (scale, successes, trials))
    if scales.ndim not in (1, 2) or (scales.ndim == 2 and scales.shape[1] not in (1, 2)):
        raise ValueError(f"scale of shape {scales.shape} must be [N] or [N, 2]")
    if not k.shape == n.shape == scales.shape[:1]:
        raise ValueError(
            f"successes {k.shape} and trials {n.shape} must be one each for {len(scales)} scales"
        )
    if not np.all(np.isfinite(scales) & (scales > 0)):
        raise ValueError(f"scale={scales.tolist()} must be positive numbers")
    if not np.all((k >= 0) & (k <= n) & np.isfinite(n)):
        raise ValueError(f"successes={k.tolist()} of trials={n.tolist()}: 0 <= k <= n must hold")
    some = n > 0
    logs = np.log(scales if scales.ndim == 2 else scales[:, None])
    return Counts(logs[some], k[some], n[some])


class Problem(NamedTuple):
    """A curve to be fitted, in standardised logarithms of scale.

    Attributes:
        z: [N, K] standardised logarithms, (logs - centre) / unit.
        centre, unit: [K].
        design: [1, N, P] columns 1, z and perhaps their product.
        successes, trials: [1, N].
        lower, upper: [P + 2] bounds of the coefficients, floor and ceiling; equal where a value is fixed.
        starts: [Q, P + 2] where to start from.
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
        theta, height = self.climb(self.starts[None], self.lower, self.upper)
        return theta[0], float(height[0])

    def some_starts(self) -> Array:
        """About a dozen of the starts, for fits whose neighbourhood is known."""
        return self.starts[np.unique(np.linspace(0, len(self.starts) - 1, 12).astype(int))]

    def climb(
        self,
        starts: Array,
        lower: Array,
        upper: Array,
        design: Array | None = None,
        successes: Array | None = None,
    ) -> tuple[Array, Array]:
        """Best of Q starts [G, Q, P + 2] for each of G fits; the other arguments are [G, ...] or shared."""
        fits, tries, size = starts.shape

        def spread(a: Array) -> Array:
            return np.repeat(np.broadcast_to(a, (fits, *a.shape[1:])), tries, axis=0)

        theta, height = maximise(
            starts.reshape(-1, size),
            spread(self.design if design is None else design),
            spread(self.successes if successes is None else successes),
            spread(self.trials),
            spread(np.atleast_2d(lower)),
            spread(np.atleast_2d(upper)),
        )
        winner = height.reshape(fits, tries).argmax(axis=1) + tries * np.arange(fits)
        return theta[winner], height[winner]


def pose(counts: Counts, floor: float | None, ceiling: float | None, interaction: bool = True) -> Problem:
    """The problem of fitting a curve to counts.

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
    flattest = np.zeros(1) if z.shape[1] == 1 else -steepest
    lower = np.array([-reach, *flattest, low[0], max(high[0], low[0])])
    upper = np.array([reach, *steepest, min(low[1], high[1]), high[1]])
    k, n = counts.successes, counts.trials
    starts = _starts(z, steepest, k / n) if z.shape[1] == 1 else _flat_starts(design.shape[1], k / n)
    return Problem(z, centre, unit, design[None], k[None], n[None], lower, upper, starts)


def design_of(z: Array, interaction: bool) -> Array:
    """[..., 1 + K (+ 1)] columns: one, the measures of scale, and with two of them perhaps their product."""
    product = [z[..., :1] * z[..., 1:]] if z.shape[-1] == 2 and interaction else []
    return np.concatenate([np.ones((*z.shape[:-1], 1)), z, *product], axis=-1)


def _starts(z: Array, steepest: Array, share: Array) -> Array:
    """Midpoints at and between the scales, three slopes, and ceilings at 1 and at the largest share seen."""
    places = np.unique(z)
    middles = np.concatenate([places, (places[1:] + places[:-1]) / 2])
    middles = middles[np.unique(np.linspace(0, len(middles) - 1, 15).astype(int))]
    rows = [
        (-slope * middle, slope, share.min(), top)
        for middle in middles
        for slope in (1.5, 6.0, steepest[0])
        for top in (max(share.max(), 0.05), 1.0)
    ]
    return np.array(rows)


def _flat_starts(size: int, share: Array) -> Array:
    slopes = [(0, 0), (2, 0), (0, 2), (2, 2), (-2, 2), (2, -2)]
    rest = [0.0] * (size - 3)
    tops = (max(share.max(), 0.05), 1.0)
    return np.array([(0, *pair, *rest, share.min(), top) for pair in slopes for top in tops], np.float64)


ITERATIONS = 300
GAIN = 1e-9  # of log-likelihood: a smaller step ends the climb
TINY = 1e-290  # least probability, so that an impossible success costs much but not infinitely much
STIFFEST = 1e10


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


def log_likelihood(theta: Array, design: Array, successes: Array, trials: Array) -> Array:
    """[B] binomial log-likelihoods, without the binomial coefficients."""
    p = np.clip(probability(theta, design), TINY, 1 - 1e-16)
    return np.sum(xlogy(successes, p) + xlog1py(trials - successes, -p), axis=-1)


def maximise(
    start: Array, design: Array, successes: Array, trials: Array, lower: Array, upper: Array
) -> tuple[Array, Array]:
    """Maximum-likelihood coefficients and asymptotes of B data sets within a box.

    Fisher scoring, damped where a full step would not climb (Levenberg-Marquardt), on the parameters that
    are not held by a bound (projected Newton). A parameter is fixed by equal bounds. It climbs to the top
    near its start: with fitted asymptotes give several starts and keep the best.

    Args:
        start: [B, K + 2], as in `probability`; taken into the box.
        design: [B, N, K].
        successes: [B, N].
        trials: [B, N].
        lower: [B, K + 2] or broadcastable.
        upper: [B, K + 2] or broadcastable.

    Returns:
        theta [B, K + 2] and its log-likelihood [B].

    References:
        Bertsekas (1982), SIAM J. Control Optim. 20, p. 221 (projected Newton).
    """
    lower, upper = np.broadcast_to(lower, start.shape), np.broadcast_to(upper, start.shape)
    data = [np.broadcast_to(a, (len(start), *a.shape[1:])) for a in (design, successes, trials)]
    theta = np.clip(start, lower, upper)
    theta[:, -2] = np.minimum(theta[:, -2], theta[:, -1])
    best = log_likelihood(theta, *data)
    damping = np.full(len(theta), 1e-3)
    live = np.arange(len(theta))
    for _ in range(ITERATIONS):
        here = (data[0][live], data[1][live], data[2][live])
        step = _step(theta[live], *here, lower[live], upper[live], damping[live])
        moved = np.clip(theta[live] + step, lower[live], upper[live])
        moved[:, -2] = np.minimum(moved[:, -2], moved[:, -1])
        reached = log_likelihood(moved, *here)
        gain = reached - best[live]
        up = gain > 0
        theta[live[up]], best[live[up]] = moved[up], reached[up]
        damping[live] = np.where(up, np.maximum(damping[live] / 8, 1e-9), damping[live] * 6)
        live = live[np.where(up, gain > GAIN, damping[live] < STIFFEST) & np.any(step != 0, axis=-1)]
        if len(live) == 0:
            break
    return theta, best


def _step(
    theta: Array, design: Array, successes: Array, trials: Array, lower: Array, upper: Array, damping: Array
) -> Array:
    s = expit(np.einsum("bnk,bk->bn", design, theta[:, :-2]))
    floor, ceiling = theta[:, -2, None], theta[:, -1, None]
    p = np.clip(floor + (ceiling - floor) * s, 1e-12, 1 - 1e-12)
    slope = ((ceiling - floor) * s * (1 - s))[..., None] * design
    gradient_BNK = np.concatenate([slope, (1 - s)[..., None], s[..., None]], axis=-1)  # of p in theta
    weight = 1 / (p * (1 - p))
    score = np.einsum("bn,bnk->bk", (successes - trials * p) * weight, gradient_BNK)
    information = ((trials * weight)[..., None] * gradient_BNK).swapaxes(1, 2) @ gradient_BNK

    held = ((theta <= lower) & (score <= 0)) | ((theta >= upper) & (score >= 0)) | (lower == upper)
    score = np.where(held, 0.0, score)
    free = ~held
    information = np.where(free[:, :, None] & free[:, None, :], information, 0.0)
    diagonal = np.einsum("bkk->bk", information)  # a view: written through below
    diagonal *= 1 + damping[:, None]
    diagonal += np.where(held, 1.0, 1e-10 + 1e-14 * diagonal.max(axis=-1, keepdims=True))
    return np.linalg.solve(information, score[..., None])[..., 0]
