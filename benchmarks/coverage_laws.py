"""Do the 95 % intervals of the scaling laws hold the planted values? Simulation.

    python benchmarks/coverage_laws.py                   all settings (half an hour)
    python benchmarks/coverage_laws.py --only isoflop    some of them

One core. Prints one line per setting; the figures stand in the docstrings of `jaxemerge.stats`.
`--sets` is the number of simulated data sets per setting, `--first` the number of the first (to go on).
"""

from __future__ import annotations

import argparse
import warnings
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from jaxemerge.stats import (
    Estimate,
    TrainingCurve,
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
RESAMPLES = 400


def loss(N: Floats, D: Floats) -> Floats:
    return E + A * N**-ALPHA + B * D**-BETA


def best(flops: float) -> float:
    """N of the lowest loss."""
    return (ALPHA * A / (BETA * B)) ** (1 / (ALPHA + BETA)) * (flops / 6) ** SHARE


def grid(sizes: int, horizons: int, seeds: int) -> tuple[Floats, Floats]:
    N, D = np.meshgrid(np.geomspace(5e7, 1e10, sizes), np.geomspace(1e9, 5e11, horizons))
    return np.repeat(N.ravel(), seeds), np.repeat(D.ravel(), seeds)


def parametric(rng: np.random.Generator, sizes: int, horizons: int, seeds: int, delta: float = 1e-3) -> Found:
    N, D = grid(sizes, horizons, seeds)
    L = loss(N, D) * np.exp(NOISE * rng.normal(size=N.size))
    law = fit_chinchilla(N, D, L, starts="quick", bootstraps=RESAMPLES, huber_delta=delta, key=1)
    at = law.optimal(1e23)
    truths = {"E": (law.E, E), "alpha": (law.alpha, ALPHA), "beta": (law.beta, BETA), "a": (law.a, SHARE)}
    beyond = best(1e23)
    return truths | {
        "N_opt": (at.parameters, beyond),
        "loss": (at.loss, float(loss(np.array(beyond), np.array(1e23 / 6 / beyond)))),
    }


def isoflop(rng: np.random.Generator, budgets: int, sizes: int, seeds: int) -> Found:
    C = np.geomspace(1e18, 1e21, budgets)
    N = np.concatenate([best(c) * np.exp(np.linspace(-1.2, 1.2, sizes)) for c in C])
    N, flops = np.repeat(N, seeds), np.repeat(C, sizes * seeds)
    L = loss(N, flops / (6 * N)) * np.exp(NOISE * rng.normal(size=N.size))
    found = fit_isoflop(N, L, flops, bootstraps=RESAMPLES, key=1)
    return {"a": (found.law.a, SHARE), "b": (found.law.b, 1 - SHARE)}


def envelope(rng: np.random.Generator, sizes: int, seeds: int) -> Found:
    tokens = np.geomspace(1e8, 1e12, 60)
    curves = [
        TrainingCurve(n, tokens, loss(np.full(60, n), tokens) * np.exp(NOISE * rng.normal()))
        for n in np.repeat(np.geomspace(5e7, 1e10, sizes), seeds)
    ]
    found = fit_envelope(curves, bootstraps=RESAMPLES, key=1)
    return {"a": (found.law.a, SHARE), "b": (found.law.b, 1 - SHARE)}


def kaplan(rng: np.random.Generator, seeds: int) -> Found:
    N, D = grid(6, 5, seeds)
    L = ((8.8e13 / N) ** (0.076 / 0.095) + 5.4e13 / D) ** 0.095 * np.exp(NOISE * rng.normal(size=N.size))
    found = fit_kaplan(N, D, L, bootstraps=RESAMPLES, key=1)
    return {
        "alpha_N": (found.alpha_N, 0.076),
        "alpha_D": (found.alpha_D, 0.095),
        "a": (found.law.a, 0.095 / (0.076 + 0.095)),
    }


def power(rng: np.random.Generator, scales: int, seeds: int) -> Found:
    s = np.repeat(np.geomspace(1e6, 1e10, scales), seeds)
    value = (1.5 + 30 * s**-0.2) * np.exp(NOISE * rng.normal(size=s.size))
    found = fit_power_law(s, value, bootstraps=RESAMPLES, key=1)
    return {
        "exponent": (found.exponent, 0.2),
        "E": (found.E, 1.5),
        "beyond": (found.predict(1e12), 1.5 + 30 * 1e12**-0.2),
    }


def ladder(rng: np.random.Generator, sizes: int, horizons: int, seeds: int) -> Found:
    N, D = grid(sizes, horizons, seeds)

    def accuracy(L: Floats) -> Floats:
        return 0.25 + 0.75 / (1 + np.exp(4 * (L - 2.4)))

    L = loss(N, D) * np.exp(NOISE * rng.normal(size=N.size))
    y = np.clip(accuracy(L) + 0.01 * rng.normal(size=N.size), 0, 1)
    found = fit_ladder(N, D, L, y, floor=0.25, bootstraps=RESAMPLES, key=1)
    large = np.array(5e10), np.array(1e12)
    return {
        "accuracy at 5 times the size": (found.predict(*large), float(accuracy(loss(*large)))),
        "midpoint": (found.link.parameters["midpoint"], 2.4),
        "steepness": (found.link.parameters["steepness"], 4.0),
    }


SETTINGS: dict[str, Callable[[np.random.Generator], Found]] = {
    "parametric, 60 runs": lambda rng: parametric(rng, 10, 6, 1),
    "parametric, 30 scales of 4 seeds": lambda rng: parametric(rng, 6, 5, 4),
    "parametric, 30 scales of 4 seeds, least squares": lambda rng: parametric(rng, 6, 5, 4, np.inf),
    "isoflop, 6 budgets of 7 runs": lambda rng: isoflop(rng, 6, 7, 1),
    "isoflop, 6 budgets of 7 sizes of 3 seeds": lambda rng: isoflop(rng, 6, 7, 3),
    "envelope, 9 sizes of 4 seeds": lambda rng: envelope(rng, 9, 4),
    "envelope, 12 runs": lambda rng: envelope(rng, 12, 1),
    "kaplan, 30 runs": lambda rng: kaplan(rng, 1),
    "kaplan, 30 scales of 4 seeds": lambda rng: kaplan(rng, 4),
    "power law, 8 scales of 5 seeds": lambda rng: power(rng, 8, 5),
    "power law, 24 runs": lambda rng: power(rng, 24, 1),
    "ladder, 60 runs": lambda rng: ladder(rng, 10, 6, 1),
    "ladder, 30 scales of 4 seeds": lambda rng: ladder(rng, 6, 5, 4),
}


def covered(name: str, sets: int, first: int) -> str:
    hits: dict[str, list[bool]] = {}
    for number in range(first, first + sets):
        for what, (estimate, truth) in SETTINGS[name](np.random.default_rng(number)).items():
            inside = estimate.interval.low <= truth <= estimate.interval.high
            hits.setdefault(what, []).append(bool(inside))
    return f"{name}: " + "  ".join(f"{what} {np.mean(hit):.3f}" for what, hit in hits.items())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", help="part of the name of a setting")
    parser.add_argument("--sets", type=int, default=300)
    parser.add_argument("--first", type=int, default=0)
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")  # implausible exponents of some resample of some set
    for name in SETTINGS:
        if arguments.only is None or arguments.only in name:
            print(covered(name, arguments.sets, arguments.first), flush=True)


if __name__ == "__main__":
    main()
