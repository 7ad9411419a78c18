"""Do fits of the task scaling law keep what they promise? Simulation of models with known pass rates.

    python benchmarks/coverage_task_scaling.py

One core, about half a minute. Prints one line per setting; the figures stand in the docstring of
`jaxemerge.stats.fit_task_scaling`. `--sets` is the number of simulated data sets per setting.
"""

from __future__ import annotations

import argparse
import time

import numpy as np

from jaxemerge.stats import fit_growth_models, fit_task_scaling

SCALES = np.array([0.036, 0.109, 0.241, 0.499, 0.892, 1.542, 2.45]) * 1e9
X = np.log(SCALES / 1e9)
INTERCEPT, ALPHA = 0.4, 0.55
AT = 5e9


def line(intercept: float, alpha: float) -> np.ndarray:
    return intercept - alpha * X


CURVES = {
    "law": line(INTERCEPT, ALPHA),
    "chain": np.logaddexp(line(-1.5, 1.3), line(0.4, 0.1)),
    "circuits": np.minimum(line(1.5, 0.1), line(0.0, 2.2)),
}
STOPS: dict[str, tuple[int, int] | int] = {"1,000 samples": 1000, "4,000 samples": 4000}
STOPS["200 passes or 40,000 samples"] = (200, 40_000)


def draw(p: np.ndarray, rule: tuple[int, int] | int, sets: int) -> tuple[np.ndarray, np.ndarray]:
    """Passes and samples [sets, N]."""
    rng = np.random.default_rng(0)
    if isinstance(rule, int):
        return rng.binomial(rule, p, size=(sets, len(p))), np.full((sets, len(p)), rule)
    r, cap = rule
    at = np.cumsum(rng.geometric(np.maximum(p, 1e-3 / cap), size=(r, sets, len(p))), axis=0)
    return np.sum(at <= cap, axis=0), np.minimum(at[-1], cap)


def setting(name: str, rule: str, sets: int) -> str:
    stop = STOPS[rule]
    counts = draw(np.exp(-np.exp(CURVES[name])), stop, sets)
    start = time.perf_counter()
    stopped = None if isinstance(stop, int) else stop
    found = fit_task_scaling(SCALES, counts=counts, stop=stopped, bootstraps=200)
    seconds = time.perf_counter() - start
    models = fit_growth_models(SCALES, counts=counts)
    shares = "  ".join(f"{c} {np.mean(found.growth.name == c):.3f}" for c in np.unique(found.growth.name))
    preferred = "  ".join(f"{m} {np.mean(models.preferred == m):.3f}" for m in np.unique(models.preferred))
    words = f"{name}, {rule}: {shares} | {preferred} | {1e3 * seconds / sets:.1f} ms a curve"
    if name != "law":
        return words
    ends, ahead = found.alpha.interval, found.predict(AT)
    truth = float(np.exp(-np.exp(INTERCEPT - ALPHA * np.log(AT / 1e9))))
    alpha = np.mean((ends.low <= ALPHA) & (ends.high >= ALPHA))
    rate = np.mean((ahead.interval.low <= truth) & (ahead.interval.high >= truth))
    near = np.mean(np.abs(np.asarray(found.alpha.value) / ALPHA - 1) < 0.1)
    size = np.mean(np.asarray(found.growth.p_value) <= 0.05)
    covered = f"covered: alpha {alpha:.3f}, P at 5e9 {rate:.3f}; alpha within 10 % {near:.3f}"
    return f"{words}\n  {covered}; size of the test {size:.3f}"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sets", type=int, default=1000)
    options = parser.parse_args()
    for name in CURVES:
        for rule in STOPS:
            print(setting(name, rule, options.sets), flush=True)


if __name__ == "__main__":
    main()
