"""Do intervals and tests of populations of runs keep what they promise? Simulation.

    python benchmarks/coverage_of_populations.py            all (3 minutes on one core)
    python benchmarks/coverage_of_populations.py survival   one of them

The figures stand in the docstrings of `jaxemerge.stats`.
"""

from __future__ import annotations

import argparse
import functools
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy.stats import multivariate_normal, norm

from jaxemerge import stats

Array = NDArray[np.float64]
Row = dict[str, bool | None]


def covers(interval: stats.Interval, truth: float) -> bool | None:
    """None if there is no interval."""
    if np.isnan(interval.low):
        return None
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


# Latent variances of init seed, data seed and both together: spread over all, and mostly of the init seed.
LATENT = {"spread": (1.0, 2.0, 1.0), "init": (3.0, 0.2, 0.8)}
DESIGNS = ((5, 5), (10, 15), (10, 25))
SHARES = (0.05, 0.1, 0.2, 0.5)  # of runs that succeed


def crossed(rng: np.random.Generator, shape: tuple[int, int], latent: tuple[float, ...]) -> Array:
    """[I, D] normal outcomes of variance 1."""
    init, data, rest = np.sqrt(np.array(latent) / sum(latent))
    return (
        init * rng.normal(size=(shape[0], 1))
        + data * rng.normal(size=shape[1])
        + rest * rng.normal(size=shape)
    )


def variance(rng: np.random.Generator, key: int) -> Row:
    """Crossed designs: components and shares of normal outcomes, and of successes; the F test of init."""
    row: Row = {}
    parts = ("init", "data", "residual", "init_share", "data_share", "residual_share")
    for name, latent in LATENT.items():
        for shape in DESIGNS:
            y = crossed(rng, shape, latent)
            outcomes = {"normal": (y, np.array(latent) / sum(latent))}
            for p in SHARES:
                outcomes[f"{p:.0%} succeed"] = (y > norm.isf(p)) * 1.0, _binary_parts(p, name)
            for kind, (seen, truth) in outcomes.items():
                found = stats.split_variance(seen, resamples=1000, key=key)
                for part, value in zip(parts, [*truth, *truth / truth.sum()], strict=True):
                    row[f"{name} {shape[0]}x{shape[1]}, {kind}: {part}"] = covers(
                        getattr(found, part).interval, value
                    )
    null = crossed(rng, (10, 15), (0.0, 2.0, 1.0))
    nulls = {"normal": null}
    nulls |= {f"{p:.0%} succeed": (null > norm.isf(p)) * 1.0 for p in (0.1, 0.5)}
    for kind, alike in nulls.items():
        p_value = stats.split_variance(alike, resamples=1).init_p
        row[f"F test of init rejects a true null, {kind}"] = p_value <= 0.05
    return row


@functools.cache
def _binary_parts(p: float, name: str) -> Array:
    """[3] variances of successes: P(both of two runs succeed) - p^2, by the latent correlation."""
    latent, cut = np.array(LATENT[name]), norm.isf(p)
    pairs = [
        multivariate_normal([0, 0], [[1, r], [r, 1]]).cdf([-cut, -cut]) - p**2
        for r in latent[:2] / latent.sum()
    ]
    return np.array([*pairs, p * (1 - p) - sum(pairs)])


def shared(rng: np.random.Generator, key: int) -> Row:
    """Crossed designs: P(success), mean score and mean of the successes of runs that share seeds."""
    row: Row = {}
    for name, latent in LATENT.items():
        for shape in DESIGNS:
            y, groups = crossed(rng, shape, latent).ravel(), np.indices(shape).reshape(2, -1).T
            for p in SHARES:
                scores = _graded(y, p)
                mean, successful = _graded_means(p)
                for way, given in (("", groups), (", as if independent", None)):
                    found = stats.summaries(scores, resamples=1, groups=given)
                    what = f"{name} {shape[0]}x{shape[1]}, {p:.0%} succeed{way}"
                    row[f"{what}: P(success)"] = covers(found.success.interval, p)
                    row[f"{what}: mean"] = covers(found.mean.interval, mean)
                    row[f"{what}: mean of successes"] = covers(found.success_mean.interval, successful)
    return row


def _graded(latent: Array, p: float) -> Array:
    """Scores in [0, 1]: 0 for failures, from 0.3 on for a share p of successes."""
    above = latent - norm.isf(p)
    return np.where(above > 0, np.clip(0.3 + 0.4 * above, 0, 1), 0.0)


@functools.cache
def _graded_means(p: float) -> tuple[float, float]:
    grid = np.linspace(norm.isf(p), 9, 200_001)
    mean = float(np.trapezoid(norm.pdf(grid) * np.clip(0.3 + 0.4 * (grid - norm.isf(p)), 0, 1), grid))
    return mean, mean / p


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
    study.__name__: study for study in (distance, survival, variance, shared, correlation)
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("studies", nargs="*", default=list(STUDIES))
    parser.add_argument("--sets", type=int, default=1000)
    arguments = parser.parse_args()
    for name in arguments.studies:
        rows = [STUDIES[name](np.random.default_rng(key), key) for key in range(arguments.sets)]
        print(name, *(f"{what} {share(rows, what)}" for what in rows[0]), sep="\n    ", flush=True)


def share(rows: list[Row], what: str) -> str:
    """Of the data sets with an interval, and how many have none."""
    known = [hit for row in rows if (hit := row[what]) is not None]
    missing = len(rows) - len(known)
    return f"{np.mean(known) if known else np.nan:.3f}" + (
        f" ({missing / len(rows):.0%} none)" if missing else ""
    )


if __name__ == "__main__":
    main()
