"""Do intervals and tests of populations of runs keep what they promise? Simulation.

    python benchmarks/coverage_of_populations.py            all (3 minutes on one core)
    python benchmarks/coverage_of_populations.py survival   one of them

The figures stand in the docstrings of `jaxemerge.stats`.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from jaxemerge import stats

Array = NDArray[np.float64]
Row = dict[str, bool]


def covers(interval: stats.Interval, truth: float) -> bool:
    return bool(interval.low <= truth <= interval.high)


def distance(rng: np.random.Generator, key: int) -> Row:
    """20 against 31 seeds of one distribution, half of them at exactly 0."""
    x, y = (np.where(rng.random(n) < 0.5, rng.beta(4, 4, n), 0.0) for n in (20, 31))
    return {
        "rejects a true null": bool(stats.wasserstein_test(x, y, permutations=199, key=key).p_value <= 0.05)
    }


def survival(rng: np.random.Generator, key: int) -> Row:
    """100 runs at five scales, 40 evaluations, for the hazard; 60 runs, a quarter censored, for the rest."""
    x = np.repeat(np.arange(5.0), 20)
    time = np.minimum(np.ceil(rng.exponential(40 / 2 ** (0.5 * x))), 40)
    observed = time < 40
    hazard = stats.fit_hazard(time, observed, x)
    alike = np.ceil(rng.exponential(20, 60))
    end = rng.integers(5, 60, 60)
    curve = stats.kaplan_meier(np.minimum(alike, end), alike <= end)
    at_ten = np.searchsorted(curve.time, 10, side="right") - 1
    low, high = (
        np.asarray(side)[at_ten] for side in (curve.survival.interval.low, curve.survival.interval.high)
    )
    ends = hazard.coefficient.interval
    slope_low, slope_high = np.asarray(ends.low), np.asarray(ends.high)
    test = stats.log_rank_test(np.minimum(alike, end), alike <= end, np.arange(60) % 3)
    return {
        "hazard": bool(slope_low[0] <= 0.5 * np.log(2) <= slope_high[0]),
        "S(10)": bool(low <= np.exp(-0.5) <= high),
        "median": covers(curve.median.interval, 14),
        "log-rank rejects a true null": bool(test.p_value <= 0.05),
    }


def variance(rng: np.random.Generator, key: int) -> Row:
    """10 init by 15 data seeds, latent variances 1, 2 and 1: as they are, and thresholded to 0 and 1."""
    latent = rng.normal(size=(10, 1)) + np.sqrt(2) * rng.normal(size=15) + rng.normal(size=(10, 15))
    null = np.sqrt(2) * rng.normal(size=15) + rng.normal(size=(10, 15))
    normal = stats.split_variance(latent, resamples=2000, key=key)
    binary = stats.split_variance(latent > 0, resamples=2000, key=key)
    # P(both of a pair above 0) - 1/4 is arcsin(r) / 2 pi for correlation r: a part's variance in 0 and 1.
    init, data, total = (np.arcsin(r) / (2 * np.pi) for r in (1 / 4, 2 / 4, 1))
    return {
        "init": covers(normal.init.interval, 1),
        "data": covers(normal.data.interval, 2),
        "residual": covers(normal.residual.interval, 1),
        "init share": covers(normal.init_share.interval, 1 / 4),
        "0/1 init": covers(binary.init.interval, init),
        "0/1 data": covers(binary.data.interval, data),
        "0/1 residual": covers(binary.residual.interval, total - init - data),
        "0/1 init share": covers(binary.init_share.interval, init / total),
        "0/1 data share": covers(binary.data_share.interval, data / total),
        "F test of init rejects a true null": stats.split_variance(null, resamples=1).init_p <= 0.05,
        "0/1 F test of init rejects a true null": stats.split_variance(null > 0, resamples=1).init_p <= 0.05,
    }


def correlation(rng: np.random.Generator, key: int) -> Row:
    """40 seeds: two outcomes with Pearson correlation .6, and two unrelated ones mostly at 0."""
    shared = rng.normal(size=40)
    pair = np.stack([np.sqrt(0.6) * shared + np.sqrt(0.4) * rng.normal(size=40) for _ in range(2)], axis=1)
    found = stats.correlation(pair, key=key, permutations=1, resamples=500)
    floor = np.maximum(rng.normal(-0.5, 1, size=(40, 2)), 0.0)
    null = stats.correlation(floor, key=key, permutations=199, resamples=1)
    low, high = (np.asarray(end)[0, 1] for end in (found.value.interval.low, found.value.interval.high))
    return {
        "Spearman": bool(low <= 6 / np.pi * np.arcsin(0.3) <= high),
        "rejects a true null": bool(null.p_value[0, 1] <= 0.05),
    }


STUDIES: dict[str, Callable[[np.random.Generator, int], Row]] = {
    study.__name__: study for study in (distance, survival, variance, correlation)
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("studies", nargs="*", default=list(STUDIES))
    parser.add_argument("--sets", type=int, default=1000)
    arguments = parser.parse_args()
    for name in arguments.studies:
        rows = [STUDIES[name](np.random.default_rng(key), key) for key in range(arguments.sets)]
        print(name, *(f"{what} {np.mean([row[what] for row in rows]):.3f}" for what in rows[0]), sep="\n    ")


if __name__ == "__main__":
    main()
