"""How far apart are two populations of runs, and is the distance larger than chance gives?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..estimates.arguments import as_outcomes, check_at_least
from ..estimates.resampling import PermutationTest, generator, in_pieces, permutation_p_value


def wasserstein(x: ArrayLike, y: ArrayLike, p: float = 2, *, failure: float = 0.0) -> NDArray[np.float64]:
    """The p-Wasserstein distance between samples on a line, exactly, also for unequal sizes.

    With quantile functions F and G of the two samples,

        W_p = (integral_0^1 |F^-1(u) - G^-1(u)|^p du)^(1/p);      W_inf = max_u |F^-1(u) - G^-1(u)|.

    Both are step functions, with steps at multiples of 1/S and 1/T: the integral is a finite sum.

    Args:
        x: [..., S] one sample per row; NaN is a diverged run.
        y: [..., T], leading axes broadcast against those of `x`.
        p: order, at least 1; may be infinite.
        failure: value of a diverged run.

    Returns:
        [...] distances, in the unit of the values; NaN where a sample is empty.

    Raises:
        ValueError: if p < 1, a value is infinite, or a sample is a single number.

    References:
        Villani (2003), Topics in Optimal Transportation, theorem 2.18 (the line).
    """
    if not p >= 1:
        raise ValueError(f"p={p} must be at least 1")
    first, second = _sample(x, failure), _sample(y, failure)
    n, m = first.shape[-1], second.shape[-1]
    if n == 0 or m == 0:
        return np.full(np.broadcast_shapes(first.shape[:-1], second.shape[:-1]), np.nan)
    # Levels u in units of 1/(S T), so that which quantile they fall on is integer arithmetic.
    steps = np.union1d(np.arange(n) * m, np.arange(m) * n)
    share = np.diff(steps, append=n * m) / (n * m)
    gaps = np.abs(np.sort(first)[..., steps // m] - np.sort(second)[..., steps // n])
    if np.isinf(p):
        return gaps.max(axis=-1)
    # Scaled by the largest gap, so that a large p neither under- nor overflows.
    largest = gaps.max(axis=-1, keepdims=True)
    scaled = gaps / np.where(largest > 0, largest, 1.0)
    return largest[..., 0] * np.sum(share * scaled**p, axis=-1) ** (1 / p)


def wasserstein_matrix(
    populations: Sequence[ArrayLike], p: float = 2, *, failure: float = 0.0
) -> NDArray[np.float64]:
    """Distances between all pairs of populations, which may differ in size.

    Args:
        populations: N samples [S_i], for instance one per scale.
        p: order, at least 1.
        failure: value of a diverged run.

    Returns:
        [N, N] symmetric, 0 on the diagonal; NaN against an empty sample.

    Raises:
        ValueError: as `wasserstein`.
    """
    samples = [np.sort(_sample(population, failure)) for population in populations]
    matrix = np.zeros((len(samples), len(samples)))
    for i, first in enumerate(samples):
        for j, second in enumerate(samples[: i + 1]):
            matrix[i, j] = matrix[j, i] = wasserstein(first, second, p)
    return matrix


def wasserstein_test(
    x: ArrayLike,
    y: ArrayLike,
    p: float = 2,
    *,
    failure: float = 0.0,
    permutations: int = 9999,
    key: Any = 0,
) -> PermutationTest:
    """Could two populations of seeds be draws from one distribution?

    Runs are assigned to the two populations at random, `permutations` times; the p-value is the share of
    assignments with at least the observed distance, counting the observed one. The size is exact for any
    distribution, including ties at a floor.

    Measured (benchmarks/coverage_of_populations.py) at 20 against 31 seeds, half of them at exactly 0, 199
    permutations: a true null is rejected at the 5 % level in 5.1 % of 1,000 pairs.

    Args:
        x: [S] values; NaN is a diverged run.
        y: [T] values.
        p: order of the distance.
        failure: value of a diverged run.
        permutations: number of random assignments; the smallest p-value is 1/(permutations + 1).
        key: int or JAX key.

    Returns:
        Distance and p-value; NaN and NaN if a population is empty. One seed on each side gives p = 1.

    Raises:
        ValueError: if a population is not one-dimensional, or an argument is out of its range.

    References:
        Phipson and Smyth (2010), Stat. Appl. Genet. Mol. Biol. 9, article 39 (p-values are never zero).
    """
    first, second = _sample(x, failure), _sample(y, failure)
    if first.ndim != 1 or second.ndim != 1:
        raise ValueError(f"x and y of shapes {first.shape} and {second.shape} must be one value per seed")
    check_at_least(1, permutations=permutations)
    observed = float(wasserstein(first, second, p))
    pooled, rng = np.sort(np.concatenate([first, second])), generator(key)

    def dealt(deals: int) -> NDArray[np.float64]:
        return _dealt_distances(pooled, len(first), p, deals, rng)

    chance = in_pieces(dealt, permutations, len(pooled))
    return PermutationTest(observed, float(permutation_p_value(observed, chance)), permutations)


def _dealt_distances(
    pooled: NDArray[np.float64], n: int, p: float, deals: int, rng: np.random.Generator
) -> NDArray[np.float64]:
    """Distances [R] between n runs assigned to the first population at random and the rest."""
    first = np.broadcast_to(np.arange(len(pooled)) < n, (deals, len(pooled)))
    first = rng.permuted(first, axis=1)
    rows = np.broadcast_to(pooled, first.shape)
    return wasserstein(rows[first].reshape(deals, n), rows[~first].reshape(deals, len(pooled) - n), p)


def _sample(values: ArrayLike, failure: float) -> NDArray[np.float64]:
    sample = as_outcomes(values, failure)
    if sample.ndim == 0:
        raise ValueError(f"a sample must have an axis of seeds, not be the single number {sample:g}")
    return sample
