"""How often do the tests of a report reject what is true, where several are made or one is chosen?

python benchmarks/size_of_tests.py farthest 400     equal cells, the two farthest apart of 3 to 15
python benchmarks/size_of_tests.py straight 400     straight rises (and a jump) over 3 to 15 cells
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from jaxemerge.analysis.emergence import tested_score
from jaxemerge.stats import holm, wasserstein_test

N = 91
CELLS = (3, 5, 8, 15)
Cells = list[NDArray[np.float64]]
Draw = Callable[[np.random.Generator, int, int], Cells]


def two_sided_seeds(rng: np.random.Generator, shares: NDArray[np.float64], seeds: int) -> Cells:
    """Scores of cells in which these shares of the seeds pass three quarters of the items, others few."""
    return [rng.binomial(N, np.where(rng.random(seeds) < share, 0.75, 0.02)) / N for share in shares]


def farthest(samples: int) -> None:
    """Share of studies of equal cells whose farthest neighbours are called different, also by Holm."""
    for cells in CELLS:
        said = []
        for i in range(samples):
            rng = np.random.default_rng([i, cells])
            scores = two_sided_seeds(rng, np.full(cells, 0.4), 16)
            tests = [wasserstein_test(a, b, permutations=399, key=i) for a, b in pairwise(scores)]
            far = int(np.argmax(np.array([float(test.statistic) for test in tests])))
            p = np.array([float(test.p_value) for test in tests])
            said.append((p[far] <= 0.05, p.min() <= 0.05, holm(p)[far] <= 0.05, holm(p).min() <= 0.05))
        plain, least, adjusted, any_pair = np.mean(said, axis=0)
        print(
            f"{cells:2d} cells: farthest pair {plain:.3f}, any pair {least:.3f}; "
            f"by Holm {adjusted:.3f} and {any_pair:.3f}",
            flush=True,
        )


CURVES: dict[str, Draw] = {
    "straight, normal seeds": lambda rng, n, s: [rng.normal(m, 0.15, s) for m in np.linspace(0.1, 0.8, n)],
    "straight, Beta rates": lambda rng, n, s: [
        rng.binomial(N, rng.beta(20 * m, 20 - 20 * m, s)) / N for m in np.linspace(0.1, 0.8, n)
    ],
    "straight, shares of seeds": lambda rng, n, s: two_sided_seeds(rng, np.linspace(0.05, 0.9, n), s),
    "flat": lambda rng, n, s: [rng.normal(0.5, 0.2, s) for _ in range(n)],
    "jump": lambda rng, n, s: two_sided_seeds(rng, np.where(np.arange(n) < n // 2, 0, 0.8), s),
}


def straight(samples: int) -> None:
    """Share of curves with p <= .05 against a straight rise, and against no effect."""
    for name, draw in CURVES.items():
        for cells in CELLS:
            for seeds in (5, 16, 64):
                p = []
                for i in range(samples):
                    rng = np.random.default_rng([i, cells])
                    step = None if "normal" in name or name == "flat" else 1 / N
                    p.append(tested_score(draw(rng, cells, seeds), step, 1e-3, 199, rng)[1:])
                rise, effect = np.mean(np.array(p) <= 0.05, axis=0)
                print(
                    f"{name:26s} {cells:2d} cells, {seeds:2d} seeds: straight rise {rise:.3f}, "
                    f"no effect {effect:.3f}",
                    flush=True,
                )


if __name__ == "__main__":
    {"farthest": farthest, "straight": straight}[sys.argv[1]](int(sys.argv[2]))
