"""Is the law of distributions fast, are its intervals and tests right, and does it predict cells not seen?

    python benchmarks/distribution_law.py speed                    15 cells x 250 seeds x 8 tests
    python benchmarks/distribution_law.py coverage --studies 200   slopes' intervals, small studies
    python benchmarks/distribution_law.py coverage --posterior     those of the sampled posterior
    python benchmarks/distribution_law.py tests --studies 200      size and power of nested tests
    python benchmarks/distribution_law.py kept                     held-out scores on the kept results

Coverage refits 100 resamples of the seeds of each study. The size of a nested test is found with one
simulated study for each study, all of them pooled (Giacomini, Politis and White, 2013, Econometric Theory 29,
p. 567).
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy.special import expit

from jaxemerge.stats import (
    DistributionLaw,
    fit_distribution_law,
    sample_distribution_law,
    success_interval,
)
from jaxemerge.stats.laws.distribution.held_out import held_out_scores
from jaxemerge.stats.laws.distribution.nested import nested_test, step_alternative, two_sided_range

Floats = NDArray[np.float64]
MEASURED = Path(__file__).parents[1] / "experiments" / "measured"
KEPT = {  # study: coordinates of scale, threshold
    "depth_or_width": (("depth", "width"), 0.2),
    "count_quick": (("depth",), 0.2),
    "count_fixed_depth": (("width",), 0.2),
    "count_fixed_width": (("depth",), 0.2),
    "parity_width": (("width",), 0.75),
}


def study(
    rng: np.random.Generator,
    cells: Floats,
    seeds: int,
    lengths: Floats,
    trials: NDArray[np.int64],
    *,
    weights: tuple[float, ...] = (1.5, 0.6),
    means: tuple[float, ...] = (0.2, 0.7),
    seed_spread: float = 1.2,
    cell_spread: float = 0.0,
) -> tuple[Floats, Floats]:
    """Scores [S, L] drawn from a law, and the design [S, 2]."""
    design = np.repeat(cells, seeds, axis=0)
    x = np.log(design) - np.log(cells).mean(axis=0)
    t = seed_spread * rng.standard_normal(len(x)) + np.repeat(
        cell_spread * rng.standard_normal(len(cells)), seeds
    )
    shape = (len(x), len(lengths))
    p = expit((x @ np.array(weights) + t)[:, None] - np.linspace(-1.5, 1.5, len(lengths)))
    logit = 0.5 + (x @ np.array(means))[:, None] - 0.4 * (np.log(lengths) - np.log(lengths).mean())
    mean = 0.2 + 0.8 * expit(logit)
    good = rng.binomial(trials, rng.beta(10 * mean, 10 * (1 - mean)))
    bad = rng.binomial(trials, rng.beta(0.4, 7.6, shape)) * (rng.random(shape) > 0.7)
    return np.where(rng.random(shape) < p, good, bad) / trials, design


def grid(depths: Sequence[float], widths: Sequence[float]) -> Floats:
    """[C, 2] cells."""
    return np.array([(depth, width) for depth in depths for width in widths], np.float64)


def speed(options: argparse.Namespace) -> None:
    """Seconds of a fit and of its bootstraps, and how far the slopes are from what was planted."""
    lengths = np.arange(30.0, 101, 10)
    trials = (151 - lengths).astype(np.int64)
    cells = grid((1, 2, 4, 6, 8), (128, 256, 512))
    scores, design = study(np.random.default_rng(0), cells, 250, lengths, trials)
    for bootstraps in (0, options.bootstraps):
        start, used = time.perf_counter(), time.process_time()
        law = fit_distribution_law(scores, trials, design, lengths, bootstraps=bootstraps)
        wall, cpu = time.perf_counter() - start, time.process_time() - used
        print(
            f"{len(cells)} cells x 250 seeds x 8 tests, {bootstraps} bootstraps: {wall:.1f} s, "
            f"CPU {cpu:.1f} s"
        )
        print(f"    weights {law.weight_slopes}, planted 1.5, 0.6; means {law.mean_slopes}, planted 0.2, 0.7")


SMALL = grid((1, 2, 4), (32, 64))
TESTS, ITEMS = np.array([10.0, 20.0]), np.array([13, 11])
PLANTED = {"weight_slopes": (1.5, 0.6), "mean_slopes": (0.2, 0.7)}


def coverage(options: argparse.Namespace) -> None:
    """How often 95 % intervals of the slopes hold what was planted."""
    held: dict[str, list[NDArray[np.bool_]]] = {name: [] for name in PLANTED}
    values: dict[str, list[Floats]] = {name: [] for name in PLANTED}
    for number in range(options.studies):
        rng = np.random.default_rng((1, number))
        scores, design = study(rng, SMALL, options.seeds, TESTS, ITEMS, cell_spread=options.misfit)
        bootstraps = 0 if options.posterior else options.bootstraps
        law = fit_distribution_law(scores, ITEMS, design, TESTS, bootstraps=bootstraps, key=number)
        if options.posterior:
            law = sample_distribution_law(law, draws=250, warmup=250, key=number).law
        for name, true in PLANTED.items():
            found = getattr(law, name)
            held[name].append((found.interval.low <= true) & (true <= found.interval.high))
            values[name].append(found.value)
        if (number + 1) % 20 == 0:
            print(
                f"{number + 1} studies of {len(SMALL)} cells x {options.seeds} seeds x 2 tests:", flush=True
            )
            for name, true in PLANTED.items():
                share, off = np.mean(held[name], axis=0), np.mean(values[name], axis=0) - true
                print(f"    {name}: covered {share.round(3)}, bias {off.round(3)}", flush=True)


NULLS = {  # what is held at 0, and the planted slopes under which it is
    "width does not move the weights": ({"weights": (1,)}, {"weights": (1.5, 0.0)}),
    "depth does not move the means": ({"means": (0,)}, {"means": (0.0, 0.7)}),
}


def tests(options: argparse.Namespace) -> None:
    """Size and power at 5 % of nested tests, by one simulated study for each study."""
    for name, (null, truth) in NULLS.items():
        for label, planted in (("true", truth), ("false", {})):
            seen, simulated = [], []
            for number in range(options.studies):
                rng = np.random.default_rng((2, number))
                scores, design = study(rng, SMALL, options.seeds, TESTS, ITEMS, **planted)  # type: ignore[arg-type]
                law = fit_distribution_law(scores, ITEMS, design, TESTS)
                test = nested_test(law, null, bootstraps=1, key=number)
                seen.append(test.statistic)
                simulated.append(test.simulated[0])
            rejected = int(np.sum(np.array(seen) > np.quantile(simulated, 0.95)))
            ends = success_interval(rejected, options.studies)
            print(
                f"{name}, {label}: rejected in {rejected} of {options.studies} studies of "
                f"{len(SMALL)} cells x {options.seeds} seeds: {rejected / options.studies:.3f} "
                f"[{ends.low:.3f}, {ends.high:.3f}]",
                flush=True,
            )


def kept_scores(name: str) -> tuple[Floats, NDArray[np.int64], Floats, Floats]:
    """Scores [S, L], trials [L], design [S, K] and lengths [L] of a kept study."""
    rows = pl.read_parquet(MEASURED / f"{name}.parquet").with_columns(pl.col("value").fill_nan(None))
    tests = rows.group_by("length").agg(pl.col("trials").first()).sort("length")
    columns = list(KEPT[name][0])
    member = ["cell", *columns, "init_seed", "data_seed"]
    wide = rows.pivot("length", index=member, values="value").sort(member)
    scores = wide.select(str(length) for length in tests["length"]).to_numpy()
    design = wide.select(columns).to_numpy().astype(np.float64)
    lengths = tests["length"].to_numpy().astype(np.float64)
    return scores, tests["trials"].to_numpy().astype(np.int64), design, lengths


def fit_kept(name: str, bootstraps: int = 0, **options: str) -> DistributionLaw:
    """The law of a kept study."""
    scores, trials, design, lengths = kept_scores(name)
    columns, threshold = KEPT[name]
    return fit_distribution_law(
        scores,
        trials,
        design,
        lengths,
        threshold=threshold,
        names=columns,
        bootstraps=bootstraps,
        **options,  # type: ignore[arg-type]
    )


def kept(options: argparse.Namespace) -> None:
    """Fits, links and held-out scores of the kept studies."""
    for name in options.only or KEPT:
        law = fit_kept(name, options.bootstraps)
        print(f"{name}: log-likelihood {law.log_likelihood:.1f} of {law.seen.seeds.sum():.0f} seeds")
        print(f"    weights {law.weight_slopes}\n    means {law.mean_slopes}\n    spread {law.seed_spread}")
        others = {link: fit_kept(name, link=link).log_likelihood for link in ("cauchit", "cloglog")}
        print("    " + ", ".join(f"{link} {value:.1f}" for link, value in others.items()))
        for place, coordinate in enumerate(law.names):
            print(f"    two-sided from, to {coordinate}: {two_sided_range(law, place)}")
        ways = [("cell", held_out_scores(law))]
        if len(law.seen.scale) > 3:
            ways.append(("rolling", held_out_scores(law, by="rolling")))
        for way, found in ways:
            print(f"    by {way}: joint and marginal log score, CRPS; gain of the law")
            for place, (who, (joint, marginal, crps)) in enumerate(found.means().items()):
                line = f"        {who:24} {joint:7.3f} {marginal:7.3f} {crps:7.4f}"
                if place:
                    gains = found.differences[place - 1]
                    line += "   " + ", ".join(
                        f"{g.value:.3f} [{g.interval.low:.3f}, {g.interval.high:.3f}]" for g in gains
                    )
                print(line, flush=True)
            quantiles = np.quantile(found.pit, (0.05, 0.25, 0.5, 0.75, 0.95)).round(3)
            print(f"        randomised PIT at 5, 25, 50, 75, 95 %: {quantiles}", flush=True)
        if options.tests:
            for place, coordinate in enumerate(law.names):
                for kind in ("weights", "means"):
                    test = nested_test(law, {kind: (place,)}, bootstraps=options.tests)
                    print(f"    {coordinate} does not move the {kind}: p = {test.p_value:.3f}", flush=True)
                if len(np.unique(law.seen.scale[:, place])) > 2:
                    print(f"    {step_alternative(law, place, bootstraps=options.tests)}", flush=True)


def main(arguments: Sequence[str]) -> int:
    """Runs one part and returns the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("part", choices=("speed", "coverage", "tests", "kept"))
    parser.add_argument("--studies", type=int, default=200)
    parser.add_argument("--seeds", type=int, default=24, help="of each cell")
    parser.add_argument("--bootstraps", type=int, default=100)
    parser.add_argument("--posterior", action="store_true", help="sample it, instead of resampling seeds")
    parser.add_argument("--misfit", type=float, default=0.0, help="planted spread of the cells' logits")
    parser.add_argument("--tests", type=int, default=0, help="simulated studies of each nested test")
    parser.add_argument("--only", nargs="*", help="kept studies")
    options = parser.parse_args(arguments)
    {"speed": speed, "coverage": coverage, "tests": tests, "kept": kept}[options.part](options)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
