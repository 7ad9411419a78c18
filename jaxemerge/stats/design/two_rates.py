"""Fisher's exact test of two success rates: its p-values, its power, and the difference that it detects."""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import gammaln
from scipy.stats import binom

from ..estimates.arguments import check_at_least, check_confidence

Array = NDArray[np.float64]

TIE = 1e-7  # tables whose probabilities are this close, relative to their size, are equally likely
FINEST = 0.005  # precision of a detectable difference


def fisher_p_values(first: ArrayLike, second: ArrayLike, seeds: int) -> Array:
    """Two-sided p-values of Fisher's exact test for pairs of cells with the same number of seeds.

    p is the probability, given the number of successes in both cells together, of a table that is at most as
    likely as the one observed.

    Args:
        first: [K] successful seeds in the first cell.
        second: [K] successful seeds in the second one.
        seeds: number of seeds in each cell.

    Returns:
        [K] p-values in (0, 1].

    References:
        Fisher (1935), J. R. Stat. Soc. 98, p. 39.
    """
    k, other = np.asarray(first, np.int64), np.asarray(second, np.int64)
    p_values = np.empty(k.shape)
    for total in np.unique(k + other):
        here = k + other == total
        p_values[here] = _of_total(int(total), seeds)[k[here] - max(0, int(total) - seeds)]
    return p_values


def rate_difference_power(rates: tuple[float, float], seeds: int, confidence: float = 0.95) -> float:
    """Probability that Fisher's test tells two success rates apart, by summing over all outcomes.

    Args:
        rates: success rates of the two cells, in [0, 1].
        seeds: number of seeds in each cell.
        confidence: 1 - level of the test.

    Raises:
        ValueError: if `seeds` is below 1 or `confidence` is not in (0, 1).
    """
    check_at_least(1, seeds=seeds)
    check_confidence(confidence)
    k = np.arange(seeds + 1)
    return float(binom.pmf(k, seeds, rates[0]) @ _rejects(seeds, confidence) @ binom.pmf(k, seeds, rates[1]))


@cache
def detectable_difference(seeds: int, power: float = 0.5, confidence: float = 0.95) -> float:
    """The difference of two success rates around 1/2 that Fisher's test detects with a given probability.

    Differences between rates close to 0 or 1 are easier to detect: 1/2 is the least favourable place.

    Args:
        seeds: number of seeds in each of the two cells.
        power: probability of detection, in (0, 1).
        confidence: 1 - level of the test.

    Returns:
        Difference in (0, 1], within 0.005; NaN where even 0 against 1 is not detected.

    Raises:
        ValueError: if an argument is out of its range.
    """
    check_at_least(1, seeds=seeds)
    check_confidence(confidence)
    if not 0.0 < power < 1.0:
        raise ValueError(f"power={power} must lie in (0, 1)")
    k, rejects = np.arange(seeds + 1), _rejects(seeds, confidence)
    low, high = 0.0, 1.0
    if not rejects[0, seeds]:
        return float("nan")
    while high - low > FINEST:
        middle = (low + high) / 2
        ends = [binom.pmf(k, seeds, 0.5 + side * middle / 2) for side in (-1, 1)]
        low, high = (low, middle) if ends[0] @ rejects @ ends[1] >= power else (middle, high)
    return high


def _of_total(total: int, seeds: int) -> Array:
    """p-values of all splits of `total` successes between two cells, from the fewest in the first."""
    k = _splits(total, seeds)
    logs = -sum(gammaln(n + 1) for n in (k, seeds - k, total - k, seeds - total + k))
    chance = np.exp(logs - logs.max())
    rising = np.sort(chance)
    at_most = np.cumsum(rising)[np.searchsorted(rising, chance * (1 + TIE), side="right") - 1]
    return np.asarray(np.minimum(at_most / rising.sum(), 1.0), np.float64)


def _splits(total: int, seeds: int) -> NDArray[np.int64]:
    """Successes that the first cell can have, out of `total` in both."""
    return np.arange(max(0, total - seeds), min(seeds, total) + 1)


def _rejects(seeds: int, confidence: float) -> NDArray[np.bool_]:
    """[seeds + 1, seeds + 1] which pairs of numbers of successes the test rejects."""
    rejects = np.zeros((seeds + 1, seeds + 1), bool)
    for total in range(2 * seeds + 1):
        k = _splits(total, seeds)
        rejects[k, total - k] = _of_total(total, seeds) <= 1 - confidence
    return rejects
