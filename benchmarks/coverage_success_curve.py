"""Do the intervals and tests of success against scale keep what they promise? Simulation.

    python benchmarks/coverage_success_curve.py midpoint      coverage of 95 % intervals   (4 minutes)
    python benchmarks/coverage_success_curve.py step          size and power of the step test (8 minutes)

One core. Prints one line per setting; the figures stand in the docstrings of `jaxemerge.stats`.
`--sets` is the number of simulated data sets per setting, `--first` the number of the first (to go on).
"""

from __future__ import annotations

import argparse
from typing import Any

import numpy as np
from scipy.special import expit

from jaxemerge.stats import Estimate, fit_success_curve, step_test

SCALE = 2.0 ** np.arange(7)
# name: midpoint, slope per unit of ln(scale), ceiling, seeds per scale, options of the fit
CURVES: dict[str, tuple[float, float, float, int, dict[str, Any]]] = {
    "ceiling 1, fixed": (8.0, 2.0, 1.0, 50, {"ceiling": 1.0}),
    "ceiling .8": (6.0, 2.0, 0.8, 50, {}),
    "ceiling .8, steep": (6.0, 5.0, 0.8, 50, {}),
    "ceiling .8, 250 seeds": (6.0, 2.0, 0.8, 250, {}),
    "ceiling .8, floor fitted": (6.0, 2.0, 0.8, 50, {"floor": None}),
    "ceiling .8, bootstrap": (6.0, 2.0, 0.8, 50, {"interval": "bootstrap", "resamples": 200}),
}
# name: probabilities at the seven scales; the first two are steps, the null
CHANGES = {
    "step .02 to .8": [0.02] * 3 + [0.8] * 4,
    "step 0 to .8": [0.0] * 3 + [0.8] * 4,
    "slope 1": 0.8 * expit(np.log(SCALE / 6)),
    "slope 2": 0.8 * expit(2 * np.log(SCALE / 6)),
    "slope 5": 0.8 * expit(5 * np.log(SCALE / 6)),
}


def covers(estimate: Estimate, truth: float) -> bool:
    return bool(estimate.interval.low <= truth <= estimate.interval.high)


def midpoint(name: str, sets: int, first: int) -> str:
    middle, slope, ceiling, seeds, options = CURVES[name]
    p = ceiling * expit(slope * np.log(SCALE / middle))
    hits, unbounded = [], 0
    for number in range(first, first + sets):
        k = np.random.default_rng(number).binomial(seeds, p)
        found = fit_success_curve(SCALE, k, np.full(len(p), seeds), key=number, **options)
        truths = zip((found.midpoint, found.slope, found.ceiling), (middle, slope, ceiling), strict=True)
        hits.append([covers(estimate, truth) for estimate, truth in truths])
        unbounded += bool(np.isinf(found.midpoint.interval.high))
    shares = "  ".join(
        f"{what} {share:.3f}"
        for what, share in zip(("midpoint", "slope", "ceiling"), np.mean(hits, axis=0), strict=True)
    )
    return f"{name}: {shares}  unbounded midpoints {unbounded / sets:.3f}"


def step(name: str, sets: int, first: int) -> str:
    p = np.asarray(CHANGES[name])
    rejected = 0
    for number in range(first, first + sets):
        k = np.random.default_rng(number).binomial(50, p)
        rejected += step_test(SCALE, k, np.full(len(p), 50), resamples=99, key=number).p_value <= 0.05
    return f"{name}: step rejected in {rejected / sets:.3f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=["midpoint", "step"])
    parser.add_argument("--only", help="part of the name of a setting")
    parser.add_argument("--sets", type=int, default=500)
    parser.add_argument("--first", type=int, default=0)
    arguments = parser.parse_args()
    settings, simulate = (CURVES, midpoint) if arguments.what == "midpoint" else (CHANGES, step)
    for name in settings:
        if arguments.only is None or arguments.only in name:
            print(simulate(name, arguments.sets, arguments.first), flush=True)


if __name__ == "__main__":
    main()
