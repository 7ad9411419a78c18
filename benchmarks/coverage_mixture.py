"""How often do the mixture's intervals hold the truth, and how often are its statements on modes true?

    python benchmarks/coverage_mixture.py coverage 500     intervals, 250 seeds
    python benchmarks/coverage_mixture.py success 200      P(success) where cut and components are chosen
    python benchmarks/coverage_mixture.py sides 200        one side called two, and two sides found

Exact match over 91 items unless a name says otherwise. Every command takes the numbers of seeds as further
arguments.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence

import numpy as np

from jaxemerge.stats import fit_mixture, summaries

N = 91
Draw = Callable[[np.random.Generator, int], np.ndarray]


def counts(rng: np.random.Generator, seeds: int, mean: float, total: float) -> np.ndarray:
    """[S] items right by seeds whose rate is Beta with this mean and a + b = total."""
    return rng.binomial(N, rng.beta(mean * total, (1 - mean) * total, seeds))


def two_components(share: float, total: float, low: float = 0.1, high: float = 0.7) -> Draw:
    """A share of the seeds around `high`, the others around `low`."""

    def draw(rng: np.random.Generator, seeds: int) -> np.ndarray:
        upper = rng.random(seeds) < share
        return np.where(upper, counts(rng, seeds, high, total), counts(rng, seeds, low, total)) / N

    return draw


def inflated(share: float, rate: Callable[[np.random.Generator, int], np.ndarray]) -> Draw:
    """A share of exact zeros; the others' rates are drawn."""
    return lambda rng, s: rng.binomial(N, np.where(rng.random(s) < share, 0, rate(rng, s))) / N


def rates(rate: Callable[[np.random.Generator, int], np.ndarray]) -> Draw:
    """Scores of seeds whose rates are drawn."""
    return inflated(0.0, rate)


def logit_normal(mean: float, sd: float) -> Draw:
    """Rates whose logit is normal."""
    return rates(lambda rng, s: 1 / (1 + np.exp(-rng.normal(mean, sd, s))))


def outlier(rng: np.random.Generator, seeds: int) -> np.ndarray:
    """One component, and one seed far from it."""
    return np.append(counts(rng, seeds - 1, 0.1, 20), 80) / N


ONE_SIDE: dict[str, Draw] = {
    "Beta(20, 5)": rates(lambda rng, s: rng.beta(20, 5, s)),
    "beta-binomial, mean .4": rates(lambda rng, s: rng.beta(4, 6, s)),
    "logit-normal(0, 1)": logit_normal(0, 1),
    "logit-normal(1, 1.3)": logit_normal(1, 1.3),
    "flat, 0 to 1": rates(lambda rng, s: rng.random(s)),
    "flat, .3 to .8": rates(lambda rng, s: rng.uniform(0.3, 0.8, s)),
    "triangular": rates(lambda rng, s: rng.triangular(0, 0.3, 1, s)),
    "floor, mean .03": rates(lambda rng, s: rng.beta(0.36, 11.64, s)),
    "zeros and a falling tail": inflated(0.4, lambda rng, s: rng.beta(1, 3, s)),
    "zeros and a flat tail": inflated(0.6, lambda rng, s: rng.uniform(0, 0.8, s)),
    "rounded to tenths": lambda rng, s: np.round(np.round(rng.beta(3, 4, s) * 10) / 10 * N) / N,
    "one outlier": outlier,
}
TWO_SIDES: dict[str, Draw] = {
    "means .1 and .7, weight .1 above": two_components(0.1, 20),
    "means .1 and .7, weight .3 above": two_components(0.3, 20),
    "means .1 and .7, weight .5 above": two_components(0.5, 20),
    "means .25 and .65, weight .5 above": two_components(0.5, 20, 0.25, 0.65),
    "70 % zeros, Beta with mean .6": inflated(0.7, lambda rng, s: rng.beta(6, 4, s)),
    "half at 0, half at 1": lambda rng, s: (rng.random(s) < 0.5) * 1.0,
}


def sides(samples: int, sizes: Sequence[int]) -> None:
    """Share of populations of each kind with more than one component, two-sided and bimodal."""
    for name, draw in (ONE_SIDE | TWO_SIDES).items():
        for seeds in sizes:
            found = [
                fit_mixture(draw(np.random.default_rng([i, seeds]), seeds), N, key=i, bootstraps=0)
                for i in range(samples)
            ]
            shares = np.mean([[len(m.parameters) > 1, m.two_sided, m.bimodal] for m in found], axis=0)
            print(
                f"{name:36s} {seeds:4d} seeds   C > 1 {shares[0]:.3f}   two-sided {shares[1]:.3f}   "
                f"bimodal {shares[2]:.3f}",
                flush=True,
            )


def success(samples: int, sizes: Sequence[int]) -> None:
    """Share of populations with a P(success), and of these how many intervals hold it."""
    planted = {
        (low, high, share): two_components(share, 20, low, high)
        for low, high, share in ((0.25, 0.65, 0.5), (0.25, 0.65, 0.3), (0.1, 0.7, 0.3))
    }
    for (low, high, share), draw in planted.items():
        for seeds in sizes:
            held, widths = [], []
            for i in range(samples):
                scores = draw(np.random.default_rng([i, seeds, 3]), seeds)
                interval = fit_mixture(scores, N, key=i, bootstraps=100).success.interval
                low_end, high_end = float(interval.low), float(interval.high)
                if not np.isnan(low_end):
                    held.append(low_end <= share <= high_end)
                    widths.append(high_end - low_end)
            print(
                f"means {low:g} and {high:g}, {share:g} above, {seeds:4d} seeds: determined in "
                f"{len(held) / samples:.3f}, held in {np.mean(held) if held else np.nan:.3f}, "
                f"mean width {np.mean(widths) if held else np.nan:.2f}",
                flush=True,
            )


def coverage(samples: int, sizes: Sequence[int]) -> None:
    """Share of 95 % intervals of the upper weight, P(success) and the mean of successes that hold it."""
    names = ("weight", "P(success)", "upper mean", "mean of successes")
    for share in (0.2, 0.5):
        for seeds in sizes:
            held = np.zeros(4)
            for i in range(samples):
                scores = two_components(share, 30)(np.random.default_rng([i, 2]), seeds)
                found = fit_mixture(scores, N, [2], key=i, bootstraps=200)
                plain = summaries(scores, 0.4, key=i)
                low, high = (
                    np.array(
                        [
                            np.asarray(getattr(found.weights.interval, end))[1],
                            getattr(found.success.interval, end),
                            np.asarray(getattr(found.means.interval, end))[1],
                            getattr(plain.success_mean.interval, end),
                        ]
                    )
                    for end in ("low", "high")
                )
                held += (low <= [share, share, 0.7, 0.7]) & (np.array([share, share, 0.7, 0.7]) <= high)
            print(
                share, seeds, dict(zip(names, np.round(held / samples, 3).tolist(), strict=True)), flush=True
            )


QUESTIONS = {
    "coverage": (coverage, (250,)),
    "success": (success, (16, 30, 60, 120, 250)),
    "sides": (sides, (5, 10, 16, 60, 250, 1000)),
}

if __name__ == "__main__":
    ask, sizes = QUESTIONS[sys.argv[1]]
    ask(int(sys.argv[2]), [int(size) for size in sys.argv[3:]] or sizes)
