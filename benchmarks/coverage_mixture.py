"""How often do the mixture's intervals hold the truth, and how often does `bimodal` say what is true?

Run `python benchmarks/coverage_mixture.py coverage 500` and `python benchmarks/coverage_mixture.py bimodal
200`: on one core about 2 and 25 minutes. Populations of 250 seeds with exact match over 91 items.
"""

from __future__ import annotations

import sys
from collections.abc import Callable

import numpy as np

from jaxemerge.stats import fit_mixture, summaries

N, S = 91, 250
Draw = Callable[[np.random.Generator], np.ndarray]


def counts(rng: np.random.Generator, mean: float, total: float) -> np.ndarray:
    """[S] items right by seeds whose rate is Beta with this mean and a + b = total."""
    return rng.binomial(N, rng.beta(mean * total, (1 - mean) * total, S))


def two_lumps(share: float, total: float) -> Draw:
    """A share of the seeds around .7, the others around .1."""
    return lambda rng: np.where(rng.random(S) < share, counts(rng, 0.7, total), counts(rng, 0.1, total))


def inflated(share: float, mean: float, total: float) -> Draw:
    """A share of exact zeros and one lump."""
    return lambda rng: np.where(rng.random(S) < share, 0, counts(rng, mean, total))


def rounded(a: float, b: float, steps: int) -> Draw:
    """Beta scores rounded to a coarse grid."""
    return lambda rng: np.round(np.round(rng.beta(a, b, S) * steps) / steps * N)


TWO_SIDED: dict[str, Draw] = {
    f"means .1 and .7, weight {w} above, a + b = {t}": two_lumps(w, t)
    for t in (10, 20, 50)
    for w in (0.1, 0.3, 0.5, 0.7, 0.9)
}
ONE_SIDED: dict[str, Draw] = {
    "floor, mean .02": lambda rng: counts(rng, 0.02, 10),
    "floor, mean .05": lambda rng: counts(rng, 0.05, 5),
    "all zeros": lambda rng: np.zeros(S),
    "all ones": lambda rng: np.full(S, N),
    "uniform": lambda rng: rng.integers(0, N + 1, S),
    "uniform from .3 to .8": lambda rng: rng.binomial(N, rng.uniform(0.3, 0.8, S)),
    "triangular": lambda rng: rng.binomial(N, rng.triangular(0, 0.3, 1, S)),
    "half zeros, lump at .4": inflated(0.5, 0.4, 10),
    "zeros, lump at .15": inflated(0.3, 0.15, 10),
    "zeros, wide lump": inflated(0.7, 0.5, 6),
    "rounded to tenths": rounded(3, 4, 10),
    "rounded to fifths": rounded(2, 2, 5),
}


def bimodal(samples: int) -> None:
    """Share of populations of each kind that are called bimodal, and two-sided."""
    for name, draw in (TWO_SIDED | ONE_SIDED).items():
        found = [
            fit_mixture(draw(np.random.default_rng([i, 1])) / N, N, (1, 2), key=i, bootstraps=60)
            for i in range(samples)
        ]
        shares = np.mean([[m.bimodal, m.two_sided] for m in found], axis=0)
        print(f"{name:50s} bimodal {shares[0]:.3f}   two-sided {shares[1]:.3f}", flush=True)


def coverage(samples: int) -> None:
    """Share of 95 % intervals of the upper weight, P(success) and the mean of successes that hold it."""
    for share in (0.2, 0.5):
        truth = np.array([share, share, 0.7, 0.7])
        held = np.zeros(4)
        for i in range(samples):
            scores = two_lumps(share, 30)(np.random.default_rng([i, 2])) / N
            found = fit_mixture(scores, N, [2], key=i, bootstraps=200)
            plain = summaries(scores, 0.4, key=i)
            ends = [found.success.interval, plain.success_mean.interval]
            low = np.array(
                [
                    np.asarray(found.weights.interval.low)[1],
                    ends[0].low,
                    np.asarray(found.means.interval.low)[1],
                    ends[1].low,
                ]
            )
            high = np.array(
                [
                    np.asarray(found.weights.interval.high)[1],
                    ends[0].high,
                    np.asarray(found.means.interval.high)[1],
                    ends[1].high,
                ]
            )
            held += (low <= truth) & (truth <= high)
        names = ("weight", "P(success)", "upper mean", "mean of successes")
        print(
            share,
            {name: round(float(h), 3) for name, h in zip(names, held / samples, strict=True)},
            flush=True,
        )


if __name__ == "__main__":
    {"coverage": coverage, "bimodal": bimodal}[sys.argv[1]](int(sys.argv[2]))
