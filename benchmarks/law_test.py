"""Does the likelihood-ratio test of the parametric law keep its level, and what does it find? Simulation.

    python benchmarks/law_test.py                   all settings (a quarter of an hour)
    python benchmarks/law_test.py --only seeds      some of them

One core. Prints the share of data sets in which the test rejects at 5 %, for the planted values and for
others. `--sets` is the number of simulated data sets per setting, `--first` the number of the first.
"""

from __future__ import annotations

import argparse
import warnings

import numpy as np

from coverage_laws import ALPHA, BETA, NOISE, E, grid, loss
from jaxemerge.stats import fit_chinchilla, likelihood_ratio_test

LEVEL = 0.05
RESAMPLES = 199
GIVEN = {
    "E": {"E": E},
    "alpha and beta": {"alpha": ALPHA, "beta": BETA},
    "E off by 0.1": {"E": E - 0.1},
}
# Sizes, horizons, seeds and the bend of the penalty.
SETTINGS = {
    "60 runs": (10, 6, 1, 1e-3),
    "60 runs, least squares": (10, 6, 1, np.inf),
    "30 scales of 4 seeds": (6, 5, 4, 1e-3),
    "30 scales of 4 seeds, least squares": (6, 5, 4, np.inf),
}


def p_values(number: int, sizes: int, horizons: int, seeds: int, delta: float) -> list[float]:
    """One per entry of GIVEN, from one simulated data set; last the chi-squared one of the planted E."""
    N, D = grid(sizes, horizons, seeds)
    L = loss(N, D) * np.exp(NOISE * np.random.default_rng(number).normal(size=N.size))
    law = fit_chinchilla(N, D, L, starts="quick", huber_delta=delta)
    found = [likelihood_ratio_test(law, g, bootstraps=RESAMPLES, key=1).p_value for g in GIVEN.values()]
    return [*found, likelihood_ratio_test(law, GIVEN["E"], bootstraps=0).p_value]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", help="part of the name of a setting")
    parser.add_argument("--sets", type=int, default=300)
    parser.add_argument("--first", type=int, default=0)
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")  # implausible exponents of some set
    for name, setting in SETTINGS.items():
        if arguments.only is None or arguments.only in name:
            numbers = range(arguments.first, arguments.first + arguments.sets)
            rejected = np.mean(np.array([p_values(i, *setting) for i in numbers]) <= LEVEL, axis=0)
            names = [*GIVEN, "E, by chi-squared"]
            told = "  ".join(f"{what} {share:.3f}" for what, share in zip(names, rejected, strict=True))
            print(f"{name}: {told}", flush=True)


if __name__ == "__main__":
    main()
