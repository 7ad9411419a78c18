"""Does training in bfloat16 change the distribution over seeds? The same seeds in both precisions.

    python experiments/run.py precision --quick
    python experiments/run.py precision

The large count studies compute in bfloat16; weights, moments, norms, softmax and loss stay in float32. Here
every seed is trained twice, in float32 and in bfloat16, from the same initial weights and on the same data.
Success is an exact match of 0.2 or more. Intervals resample seeds, with both runs of a seed together.
p-values come from swapping the two runs within random seeds, which is exact if precision changes nothing;
they are not corrected for their number.

Cost, quick version, measured: 7 min 18 s on 2 cores, compilation and report included
(423 s of training, 2026-11-27, AMD EPYC, 2 cores, jax 0.10.2).
The large version, by formula, not run: 4.1e18 FLOPs.

Finds, quick version, depth 2 and width 64, trained on answers of at most 10, 64 seeds, 95 % intervals:

    length 20, float32, P(success): 0.359 [0.249, 0.482]
    length 20, float32, mean of successes: 0.511 [0.425, 0.615]
    length 20, bfloat16, P(success): 0.359 [0.249, 0.482]
    length 20, bfloat16, mean of successes: 0.54 [0.45, 0.644]
    length 20, P(success), bfloat16 less float32: 0 [-0.0642, 0.0642], p = 1
    length 20, mean of successes, bfloat16 less float32: 0.029 [-0.024, 0.0886], p = 0.36
    length 20, Wasserstein-2 distance: 0.0372, p = 0.45
    length 20, rank correlation over seeds: 0.929 [0.877, 0.965], p = 0.0005
    length 30, float32, P(success): 0.141 [0.0708, 0.246]
    length 30, float32, mean of successes: 0.495 [0.352, 0.694]
    length 30, bfloat16, P(success): 0.141 [0.0708, 0.246]
    length 30, bfloat16, mean of successes: 0.576 [0.397, 0.768]
    length 30, P(success), bfloat16 less float32: 0 [-0.0482, 0.0325], p = 1
    length 30, mean of successes, bfloat16 less float32: 0.0808 [-0.0438, 0.209], p = 0.25
    length 30, Wasserstein-2 distance: 0.0377, p = 0.7
    length 30, rank correlation over seeds: 0.961 [0.868, 1], p = 0.0005

No difference between the two populations is detected, and 64 seeds exclude a change of P(success) beyond
0.065 in either direction. Mostly the same seeds succeed in both, with rank correlations above 0.9. The mean
of the successes is known less well: at length 30 it may be up to 0.21 higher in bfloat16.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import altair as alt
import numpy as np
import polars as pl
from numpy.typing import NDArray

from jaxemerge import Experiment, Transformer, charts, neox, paired
from jaxemerge.stats import Estimate, Interval, bootstrap, correlation, generator, wasserstein
from jaxemerge.stats.estimates.resampling import permutation_p_value
from paper import experiments as paper
from studies.finding import Finding, final_matches, finding, success_findings
from studies.settings import laptop, longer

NAME = "precision"
THRESHOLD = 0.2
SEEDS = 64  # of the quick version
SWAPS = 9_999
_PRECISIONS = ("float32", "bfloat16")

Pairs = NDArray[np.float64]  # [..., S, 2] scores of each seed in float32 and in bfloat16


def cells(quick: bool = False) -> tuple[Experiment, ...]:
    """Depth 4, width 64 and 256, 250 seeds each; quick: depth 2, width 64, 64 seeds."""
    if quick:
        return tuple(one.with_seeds(paired(range(SEEDS))) for one in laptop(_both([neox(2, 64, 2)]), NAME))
    return paper(_both([neox(4, width, width // 64) for width in (64, 256)]), NAME, dtype=None)


def _both(models: list[Transformer]) -> list[Transformer]:
    changes: list[dict[str, Any]] = [{"dtype": dtype} for dtype in _PRECISIONS]
    return [replace(model, **change) for model in models for change in changes]


def kept(results: pl.DataFrame) -> pl.DataFrame:
    """The final exact matches at twice and three times the longest answer of the training."""
    return longer(final_matches(results))


def findings(ends: pl.DataFrame) -> list[Finding]:
    """Both populations of each cell on each test, and how they differ."""
    found = []
    for width, length in ends.select("width", "length").unique().sort(pl.all()).rows():
        runs = ends.filter((pl.col("width") == width) & (pl.col("length") == length))
        name = f"width {width}, length {length}" if ends["width"].n_unique() > 1 else f"length {length}"
        for precision in _PRECISIONS:
            of_one = success_findings(runs.filter(dtype=precision), THRESHOLD)
            found += [replace(each, name=_renamed(each.name, name, precision)) for each in of_one]
        found += _differences(pairs_of(runs), name)
    return found


def _renamed(name: str, where: str, precision: str) -> str:
    return f"{where}, {precision}, {name.rpartition(', ')[2]}"


def pairs_of(runs: pl.DataFrame) -> Pairs:
    """Scores [S, 2] of one test of the seeds that were trained in both precisions; diverged seeds have 0."""
    wide = runs.with_columns(pl.col("value").fill_null(0.0)).pivot(
        "dtype", index=["init_seed", "data_seed"], values="value"
    )
    return wide.drop_nulls().sort("init_seed").select(_PRECISIONS).to_numpy()


def _differences(pairs_S2: Pairs, name: str) -> list[Finding]:
    """Of the chance of success, of the successes' mean and of the whole distribution; and the correlation."""
    related = correlation(pairs_S2)
    found = related.value
    value, low, high = (np.asarray(x)[0, 1] for x in (found.value, found.interval.low, found.interval.high))
    together = Estimate(value, Interval(low, high))
    return [
        _difference(pairs_S2, success_change, f"{name}, P(success), bfloat16 less float32"),
        _difference(pairs_S2, success_mean_change, f"{name}, mean of successes, bfloat16 less float32"),
        _distance(pairs_S2, f"{name}, Wasserstein-2 distance"),
        finding(f"{name}, rank correlation over seeds", together, float(related.p_value[0, 1])),
    ]


def _difference(pairs_S2: Pairs, change: Callable[[Pairs], Pairs], name: str) -> Finding:
    return finding(name, bootstrap(pairs_S2, change), swap_p_value(pairs_S2, lambda p: np.abs(change(p))))


def _distance(pairs_S2: Pairs, name: str) -> Finding:
    # No interval: resampled populations are further apart than the sampled ones, whatever the truth.
    return Finding(name, float(distance(pairs_S2)), p_value=swap_p_value(pairs_S2, distance))


def success_change(pairs: Pairs) -> Pairs:
    """P(success) in bfloat16 less that in float32."""
    success = np.mean(pairs >= THRESHOLD, axis=-2)
    return success[..., 1] - success[..., 0]


def success_mean_change(pairs: Pairs) -> Pairs:
    """The mean of the successes in bfloat16 less that in float32; NaN where a precision has none."""
    success = pairs >= THRESHOLD
    count = success.sum(axis=-2)
    total = np.where(success, pairs, 0.0).sum(axis=-2)
    mean = np.divide(total, count, out=np.full(total.shape, np.nan), where=count > 0)
    return mean[..., 1] - mean[..., 0]


def distance(pairs: Pairs) -> Pairs:
    """The Wasserstein-2 distance between the two populations."""
    return wasserstein(pairs[..., 0], pairs[..., 1], 2)


def swap_p_value(pairs_S2: Pairs, statistic: Callable[[Pairs], Pairs], swaps: int = SWAPS) -> float:
    """How often swapping the runs of random seeds makes a statistic at least as large."""
    swapped_RS = generator(0).random((swaps, len(pairs_S2))) < 0.5
    dealt_RS2 = np.where(swapped_RS[..., None], pairs_S2[:, ::-1], pairs_S2)
    return float(permutation_p_value(statistic(pairs_S2), statistic(dealt_RS2)))


def figure(ends: pl.DataFrame) -> alt.ConcatChart:
    """The distribution over seeds of every cell in both precisions, at both lengths."""
    return charts.violins(ends)
