"""Which logistic curve between two asymptotes explains counts best? Many fits at once, within bounds."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, xlog1py, xlogy

Array = NDArray[np.float64]

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
