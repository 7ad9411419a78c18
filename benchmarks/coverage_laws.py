"""Do the 95 % intervals of the scaling laws hold the planted values? Simulation.

    python benchmarks/coverage_laws.py                   all settings (half an hour)
    python benchmarks/coverage_laws.py --only isoflop    some of them

One core. Prints one line per setting; the figures stand in the docstrings of `jaxemerge.stats`.
`--sets` is the number of simulated data sets per setting, `--first` the number of the first (to go on),
`--resamples` that of the bootstrap.
"""

from __future__ import annotations

import argparse
import warnings
from typing import Any

import numpy as np
from numpy.typing import NDArray

from jaxemerge.stats import (
    Estimate,
    Interval,
    TrainingCurve,
    fit_broken_power_law,
    fit_chinchilla,
    fit_envelope,
    fit_isoflop,
    fit_kaplan,
    fit_ladder,
    fit_power_law,
)

Floats = NDArray[np.float64]
Found = dict[str, tuple[Estimate, float]]

# The planted law of the loss, near the one of Hoffmann et al.
A, B, E, ALPHA, BETA = 480.0, 2080.0, 1.8, 0.35, 0.37
SHARE = BETA / (ALPHA + BETA)
NOISE = 0.004  # of ln(loss), between seeds


def loss(N: Floats, D: Floats) -> Floats:
    return E + A * N**-ALPHA + B * D**-BETA


def best(flops: float) -> float:
    """N of the lowest loss."""
    return (ALPHA * A / (BETA * B)) ** (1 / (ALPHA + BETA)) * (flops / 6) ** SHARE


def grid(sizes: int, horizons: int, seeds: int) -> tuple[Floats, Floats]:
    N, D = np.meshgrid(np.geomspace(5e7, 1e10, sizes), np.geomspace(1e9, 5e11, horizons))
    return np.repeat(N.ravel(), seeds), np.repeat(D.ravel(), seeds)


def parametric(
    rng: np.random.Generator, resamples: int, sizes: int, horizons: int, seeds: int, delta: float = 1e-3
) -> Found:
    N, D = grid(sizes, horizons, seeds)
    L = loss(N, D) * np.exp(NOISE * rng.normal(size=N.size))
    law = fit_chinchilla(N, D, L, starts="quick", bootstraps=resamples, huber_delta=delta, key=1)
    at = law.optimal(1e23)
    truths = {"E": (law.E, E), "alpha": (law.alpha, ALPHA), "beta": (law.beta, BETA), "a": (law.a, SHARE)}
    beyond = best(1e23)
    return truths | {
        "N_opt": (at.parameters, beyond),
        "loss": (at.loss, float(loss(np.array(beyond), np.array(1e23 / 6 / beyond)))),
    }


def isoflop(rng: np.random.Generator, resamples: int, budgets: int, sizes: int, seeds: int) -> Found:
    C = np.geomspace(1e18, 1e21, budgets)
    N = np.concatenate([best(c) * np.exp(np.linspace(-1.2, 1.2, sizes)) for c in C])
    N, flops = np.repeat(N, seeds), np.repeat(C, sizes * seeds)
    L = loss(N, flops / (6 * N)) * np.exp(NOISE * rng.normal(size=N.size))
    found = fit_isoflop(N, L, flops, bootstraps=resamples, key=1)
    return {"a": (found.law.a, SHARE), "b": (found.law.b, 1 - SHARE)}


def envelope(rng: np.random.Generator, resamples: int, sizes: int, seeds: int) -> Found:
    tokens = np.geomspace(1e8, 1e12, 60)
    curves = [
        TrainingCurve(n, tokens, loss(np.full(60, n), tokens) * np.exp(NOISE * rng.normal()))
        for n in np.repeat(np.geomspace(5e7, 1e10, sizes), seeds)
    ]
    found = fit_envelope(curves, bootstraps=resamples, key=1)
    return {"a": (found.law.a, SHARE), "b": (found.law.b, 1 - SHARE)}


def kaplan(rng: np.random.Generator, resamples: int, seeds: int) -> Found:
    N, D = grid(6, 5, seeds)
    L = ((8.8e13 / N) ** (0.076 / 0.095) + 5.4e13 / D) ** 0.095 * np.exp(NOISE * rng.normal(size=N.size))
    found = fit_kaplan(N, D, L, bootstraps=resamples, key=1)
    return {
        "alpha_N": (found.alpha_N, 0.076),
        "alpha_D": (found.alpha_D, 0.095),
        "a": (found.law.a, 0.095 / (0.076 + 0.095)),
    }


def power(rng: np.random.Generator, resamples: int, scales: int, seeds: int) -> Found:
    s = np.repeat(np.geomspace(1e6, 1e10, scales), seeds)
    value = (1.5 + 30 * s**-0.2) * np.exp(NOISE * rng.normal(size=s.size))
    found = fit_power_law(s, value, bootstraps=resamples, key=1)
    return {
        "exponent": (found.exponent, 0.2),
        "E": (found.E, 1.5),
        "beyond": (found.predict(1e12), 1.5 + 30 * 1e12**-0.2),
    }


def broken(rng: np.random.Generator, resamples: int, scales: int, seeds: int) -> Found:
    """The exponent goes from 0.1 to 0.5 about s = 1e8."""
    s = np.repeat(np.geomspace(1e6, 1e10, scales), seeds)

    def value(s: Floats) -> Floats:
        return 0.5 + 20 * s**-0.1 * (1 + (s / 1e8) ** 2) ** (-0.4 * 0.5)

    y = value(s) * np.exp(NOISE * rng.normal(size=s.size))
    found = fit_broken_power_law(s, y, bootstraps=resamples, key=1)
    before, after = (part(found.exponents, place) for place in (0, 1))
    return {
        "exponent before": (before, 0.1),
        "after": (after, 0.5),
        "break": (part(found.breaks, 0), 1e8),
        "beyond": (found.predict(1e11), float(value(np.array(1e11)))),
    }


def part(estimate: Estimate, place: int) -> Estimate:
    """One of the numbers of an estimate of several."""
    value, low, high = (
        float(np.asarray(a)[place]) for a in (estimate.value, estimate.interval.low, estimate.interval.high)
    )
    return Estimate(value, Interval(low, high))


def ladder(rng: np.random.Generator, resamples: int, sizes: int, horizons: int, seeds: int) -> Found:
    N, D = grid(sizes, horizons, seeds)

    def accuracy(L: Floats) -> Floats:
        return 0.25 + 0.75 / (1 + np.exp(4 * (L - 2.4)))

    L = loss(N, D) * np.exp(NOISE * rng.normal(size=N.size))
    y = np.clip(accuracy(L) + 0.01 * rng.normal(size=N.size), 0, 1)
    found = fit_ladder(N, D, L, y, floor=0.25, bootstraps=resamples, key=1)
    large = np.array(5e10), np.array(1e12)
    return {
        "accuracy at 5 times the size": (found.predict(*large), float(accuracy(loss(*large)))),
        "midpoint": (found.link.parameters["midpoint"], 2.4),
        "steepness": (found.link.parameters["steepness"], 4.0),
    }


# What is simulated, and with how many sizes, seeds, ...
SETTINGS: dict[str, tuple[Any, ...]] = {
    "parametric, 60 runs": (parametric, 10, 6, 1),
    "parametric, 60 runs, least squares": (parametric, 10, 6, 1, np.inf),
    "parametric, 30 scales of 4 seeds": (parametric, 6, 5, 4),
    "parametric, 30 scales of 4 seeds, least squares": (parametric, 6, 5, 4, np.inf),
    "isoflop, 6 budgets of 7 runs": (isoflop, 6, 7, 1),
    "isoflop, 6 budgets of 7 sizes of 3 seeds": (isoflop, 6, 7, 3),
    "envelope, 12 runs": (envelope, 12, 1),
    "envelope, 9 sizes of 4 seeds": (envelope, 9, 4),
    "kaplan, 30 runs": (kaplan, 1),
    "kaplan, 30 scales of 4 seeds": (kaplan, 4),
    "power law, 24 runs": (power, 24, 1),
    "power law, 8 scales of 5 seeds": (power, 8, 5),
    "broken power law, 64 runs": (broken, 64, 1),
    "broken power law, 16 scales of 4 seeds": (broken, 16, 4),
    "ladder, 60 runs": (ladder, 10, 6, 1),
    "ladder, 30 scales of 4 seeds": (ladder, 6, 5, 4),
}


def covered(name: str, sets: int, first: int, resamples: int) -> str:
    """Share of intervals that hold the truth; median error and median width, which explain it.

    Errors are in standard deviations of the value over the data sets; a width of 1 is 3.92 of them.
    """
    simulate, *setting = SETTINGS[name]
    numbers = range(first, first + sets)
    drawn: list[Found] = [simulate(np.random.default_rng(i), resamples, *setting) for i in numbers]
    told = []
    for what in drawn[0]:
        truth = drawn[0][what][1]
        found = [each[what][0] for each in drawn]
        value, low, high = np.array([(e.value, e.interval.low, e.interval.high) for e in found]).T
        spread = np.std(value, ddof=1)
        share = np.mean((low <= truth) & (truth <= high))
        off, width = np.median(value - truth) / spread, np.median(high - low) / (3.92 * spread)
        told.append(f"{what} {share:.3f} (off {off:+.2f}, width {width:.2f})")
    return f"{name}: " + "  ".join(told)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", help="part of the name of a setting")
    parser.add_argument("--sets", type=int, default=300)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--resamples", type=int, default=400)
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")  # implausible exponents of some resample of some set
    for name in SETTINGS:
        if arguments.only is None or arguments.only in name:
            print(covered(name, arguments.sets, arguments.first, arguments.resamples), flush=True)


if __name__ == "__main__":
    main()
