"""Do 95 % intervals over seeds hold the truth with few seeds? Simulation, 2 to 250 seeds.

    python benchmarks/coverage_of_means.py                    all (20 minutes on one core)
    python benchmarks/coverage_of_means.py means trends       some of them

Prints a line per quantity: the percentage of data sets whose interval covers the true value, for each number
of seeds (per cell, if there are several), or a dash if no interval exists. Docstrings of `jaxemerge.stats`
quote the figures. `--sets` is the number of simulated data sets.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit
from scipy.stats import binom

from jaxemerge import stats

Array = NDArray[np.float64]
Row = dict[str, bool | None]
SEEDS = (2, 3, 5, 8, 16, 40, 250)


def covers(interval: stats.Interval, truth: float) -> bool | None:
    if np.isnan(interval.low):
        return None
    return bool(interval.low <= truth <= interval.high)


def rare(rng: np.random.Generator, n: int, p: float, score: float) -> Array:
    return np.where(rng.random(n) < p, score, 0.0)


def two_sided(rng: np.random.Generator, n: int) -> Array:
    return np.where(rng.random(n) < 0.3, rng.beta(8, 2, n), rng.beta(1, 30, n))


# Populations of scores in [0, 1] and their means.
POPULATIONS: dict[str, tuple[Callable[[np.random.Generator, int], Array], float]] = {
    "a tenth at 0.8, others 0": (lambda rng, n: rare(rng, n, 0.1, 0.8), 0.08),
    "half at 0.6, others 0": (lambda rng, n: rare(rng, n, 0.5, 0.6), 0.3),
    "nine tenths at 1, others 0": (lambda rng, n: rare(rng, n, 0.9, 1.0), 0.9),
    "beta(8, 2) with 0.3, else beta(1, 30)": (two_sided, 0.3 * 0.8 + 0.7 / 31),
    "beta(20, 5)": (lambda rng, n: rng.beta(20, 5, n), 0.8),
    "beta(1, 9)": (lambda rng, n: rng.beta(1, 9, n), 0.1),
    "uniform": (lambda rng, n: rng.random(n), 0.5),
    "1 in 97 % , else 0": (lambda rng, n: rare(rng, n, 0.97, 1.0), 0.97),
}


def mean(v: Array) -> Array:
    return v.mean(axis=1)


def means(rng: np.random.Generator, n: int, key: int) -> Row:
    """Means of eight populations: Gaffke's and Student's intervals, and the bootstrap's, with percentiles."""
    row: Row = {}
    for name, (draw, truth) in POPULATIONS.items():
        scores = draw(rng, n)
        row[name] = covers(stats.mean_interval(scores, bounds=(0, 1)).interval, truth)
        row[f"{name}, Student"] = covers(stats.mean_interval(scores).interval, truth)
    normal, skewed = rng.normal(size=n), rng.exponential(size=n)
    for name, values, truth in (("normal", normal, 0.0), ("exponential", skewed, 1.0)):
        row[f"{name}, Student"] = covers(stats.mean_interval(values).interval, truth)
        row[f"{name}, bootstrap"] = covers(
            stats.bootstrap(values, mean, key=key, resamples=400).interval, truth
        )
        drawn = values[stats.resample_indices(n, key=key, resamples=400)].mean(axis=1)
        row[f"{name}, percentiles alone"] = covers(stats.percentile_interval(drawn), truth)
    return row


def success_means(rng: np.random.Generator, n: int, key: int) -> Row:
    """Mean of the successes, half and a fifth of the seeds, and of a power law over three and five scales."""
    row: Row = {}
    for share in (0.2, 0.5):
        scores = np.where(rng.random(n) < share, rng.uniform(0.4, 1.0, n), 0.0)
        found = stats.summaries(scores, resamples=1).success_mean
        row[f"mean of successes, {share:.0%} succeed"] = covers(found.interval, 0.7)
    for scales in (3, 5):
        scale = 2.0 ** np.arange(scales)
        samples = [
            np.where(rng.random(n) < 0.5, rng.uniform(m - 0.15, m + 0.15, n), 0.0) for m in 0.36 * scale**0.2
        ]
        exponent = stats.fit_success_mean(scale, samples).exponent
        row[f"exponent over {scales} scales"] = covers(exponent.interval, 0.2)
    return row


def trends(rng: np.random.Generator, n: int, key: int) -> Row:
    """Three depths by three widths: P(success) from never to always, scores, and logits of success."""
    depth, width = (np.repeat(a.ravel(), n) for a in np.meshgrid(np.arange(3.0), np.arange(3.0)))
    p = expit(4 * (depth - 1) + 3 * (width - 1))
    success = (rng.random(len(p)) < p).astype(float)
    row: Row = {}
    for name, scale, held in (("depth", depth, width), ("width", width, depth)):
        truth = stats.trend_test(scale, p, held, permutations=1).slope.value
        slope = stats.trend_test(scale, success, held, permutations=1).slope
        row[f"P(success) per {name}"] = covers(slope.interval, float(truth))
    scores = np.where(rng.random(len(p)) < 0.5, rng.beta(4, 4, len(p)), 0.0) + 0.1 * depth
    row["mean score per depth"] = covers(
        stats.trend_test(depth, scores, width, permutations=1).slope.interval, 0.1
    )
    cells = np.arange(0, len(p), n)
    counts = success.reshape(-1, n).sum(axis=1)
    x = np.column_stack([depth[cells], width[cells]])
    ends = stats.fit_logistic(x, counts, np.full(9, n)).coefficient.interval
    for place, (name, truth) in enumerate((("depth", 4.0), ("width", 3.0))):
        low, high = float(np.asarray(ends.low)[place]), float(np.asarray(ends.high)[place])
        row[f"logits per {name}, Firth"] = covers(stats.Interval(low, high), truth)
    return row


def onsets(rng: np.random.Generator, n: int, key: int) -> Row:
    """P(success) 1, 4, 15, 45 and 80 % at scales 1 to 16."""
    populations = [rare(rng, n, p, 0.6) for p in (0.01, 0.04, 0.15, 0.45, 0.8)]
    found = stats.two_sided_onset([1, 2, 4, 8, 16], populations)
    return {"onset of two-sidedness": covers(found.onset.interval, 2 ** (1 + 0.06 / 0.11))}


def laws(rng: np.random.Generator, n: int, key: int) -> Row:
    """Power laws of a loss over four scales, and the task scaling law of pass rates of seeds or items."""
    s = np.repeat(np.geomspace(1e6, 1e9, 4), n)
    value = 30 * s**-0.2 * np.exp(0.02 * rng.normal(size=s.size))
    law = stats.fit_power_law(s, value, offset=False, huber_delta=np.inf, bootstraps=200, key=key)
    scales = np.array([0.036, 0.109, 0.241, 0.499, 0.892, 1.542, 2.45])
    p = np.exp(-np.exp(0.4 - 0.55 * np.log(scales)))
    # Rates of units from a beta distribution about the law, independent over scales.
    rates = rng.beta(8 * p, 8 * (1 - p), (n, 7))
    counts = (rng.binomial(2000, rates), np.full((n, 7), 2000))
    found = stats.fit_task_scaling(
        scales, counts=counts, level="dataset", unit="seeds", bootstraps=200, key=key
    )
    return {
        "exponent of a power law, four scales": covers(law.exponent.interval, 0.2),
        "alpha of the task scaling law, seeds": covers(found.alpha.interval, 0.55),
    }


STUDIES: dict[str, Callable[[np.random.Generator, int, int], Row]] = {
    study.__name__: study for study in (means, success_means, trends, onsets, laws)
}


def shares() -> str:
    """The least coverage of the interval of a share, over true shares from 0.001 to 0.5: computed exactly."""
    p = np.concatenate([np.geomspace(0.001, 0.05, 60), np.linspace(0.05, 0.5, 301)])[:, None]
    found = []
    for n in SEEDS:
        k = np.arange(n + 1)
        interval = stats.success_interval(k, n)
        held = (np.asarray(interval.low) <= p) & (p <= np.asarray(interval.high))
        found.append((binom.pmf(k, n, p) * held).sum(axis=1).min())
    return line("P(success), least", found)


def line(name: str, found: list[float]) -> str:
    return f"    {name:44s}" + "".join(f"{100 * f:7.1f}" if f == f else "      -" for f in found)


def table(study: Callable[[np.random.Generator, int, int], Row], sets: int, seeds: list[int]) -> str:
    columns = []
    for n in seeds:
        rows = [study(np.random.default_rng([n, key]), n, key) for key in range(sets)]
        known = {name: [bool(row[name]) for row in rows if row[name] is not None] for name in rows[0]}
        columns.append(
            {name: np.mean(hits) if len(hits) > sets / 2 else np.nan for name, hits in known.items()}
        )
    lines = [line(name, [float(column[name]) for column in columns]) for name in columns[0]]
    return "\n".join([f"{study.__name__}: seeds".ljust(48) + "".join(f"{n:7d}" for n in seeds), *lines])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("studies", nargs="*", default=["shares", *STUDIES])
    parser.add_argument("--sets", type=int, default=1000)
    parser.add_argument("--seeds", type=int, nargs="*", default=list(SEEDS))
    arguments = parser.parse_args()
    for name in arguments.studies:
        print(
            shares() if name == "shares" else table(STUDIES[name], arguments.sets, arguments.seeds),
            flush=True,
        )


if __name__ == "__main__":
    main()
