"""Does depth move the chance of success and width the quality of successes? Three depths by three widths.

    python experiments/run.py depth_or_width --quick
    python experiments/run.py depth_or_width

Zhao et al. (2025), arXiv 2502.17356, read this off violins of the count task. Here both halves are tested.
Success is an exact match of 0.2 or more. Its logits are regressed on depth and width together
(``jaxemerge.stats.fit_logistic``; Firth's penalty, as all seeds fail in some cells and all succeed in
others). Trends of P(success), and of the scores of the successes, are those with depth among cells of one
width, and with width among cells of one depth (``jaxemerge.stats.trend_test``), with p-values from
permutations of seeds within these; none is corrected for their number.

Cost, quick version, measured: 4 min 39 s on 2 cores, compilation and report included
(264 s of training, 2026-11-25, AMD EPYC, 2 cores, jax 0.10.2).
The large version, by formula, not run: 1.6e19 FLOPs.

Finds, quick version, trained on answers of at most 10, 16 seeds per cell, 95 % intervals:

    length 20, logits of success per doubling of depth, both in one regression: 8.25 [5.28, 13.6], p = 4.1e-35
    length 20, logits of success per doubling of width, both in one regression: 5.42 [2.82, 9.36], p = 8.6e-07
    length 20, logits of success per doubling, depth less width: 2.84 [0.486, 7.76], p = 0.014
    length 20, depth 2, P(success), per doubling of width: 0.713 [0.393, 0.909], p = 0.0001
    length 20, P(success), per doubling of depth: 0.5 [0.421, 0.5], p = 0.0001
    length 20, P(success), per doubling of width: 0.238 [0.0975, 0.35], p = 0.0001
    length 20, mean of successes, per doubling of depth: 0.139 [0.0783, 0.201], p = 0.0001
    length 20, mean of successes, per doubling of width: 0.322 [0.231, 0.413], p = 0.0001
    length 30, logits of success per doubling of depth, both in one regression: 4.17 [2.93, 5.91], p = 1.9e-26
    length 30, logits of success per doubling of width, both in one regression: 3.47 [1.79, 5.62], p = 8.3e-06
    length 30, logits of success per doubling, depth less width: 0.696 [-0.71, 2.2], p = 0.33
    length 30, depth 2, P(success), per doubling of width: 0.561 [0.232, 0.765], p = 0.0009
    length 30, P(success), per doubling of depth: 0.458 [0.375, 0.486], p = 0.0001
    length 30, P(success), per doubling of width: 0.274 [0.121, 0.4], p = 0.0001
    length 30, mean of successes, per doubling of depth: 0.186 [0.0748, 0.298], p = 0.0009
    length 30, mean of successes, per doubling of width: 0.339 [0.223, 0.456], p = 0.0001

At these sizes, a twentieth of the paper's parameters and less, both move both: all eight trends differ from
0. In logits a doubling of depth moves the chance of success further than one of width at length 20; at length
30 that is not shown. Averages over this grid mislead: at depth 1 all seeds fail and at depth 4 nearly all
succeed at every width, so that width can act at depth 2 only, and there a doubling of width moves P(success)
by 0.71 at length 20. The mean of the successes rises with width by 0.32 to 0.34 per doubling and with depth
by 0.14 to 0.19; their intervals overlap at length 30.
"""

from __future__ import annotations

from dataclasses import replace

import altair as alt
import numpy as np
import polars as pl

from jaxemerge import Experiment, charts, neox
from jaxemerge.analysis import final_scores, summarise
from jaxemerge.stats import Estimate, Interval, LogisticRegression, fit_logistic, trend_test
from paper import experiments as paper
from studies.finding import Finding, final_matches, finding
from studies.settings import laptop, longer

NAME = "depth_or_width"
THRESHOLD = 0.2
MIDDLE = 2  # the depth at which neither success nor failure is sure


def cells(quick: bool = False) -> tuple[Experiment, ...]:
    """Depth 1, 2, 4 by width 128, 256, 512, 250 seeds each; quick: 1, 2, 4 by 32, 48, 64, 16 seeds each."""
    if quick:
        return laptop([neox(d, w, w // 16) for d in (1, 2, 4) for w in (32, 48, 64)], NAME)
    return paper([neox(d, w, w // 64) for d in (1, 2, 4) for w in (128, 256, 512)], NAME)


def kept(results: pl.DataFrame) -> pl.DataFrame:
    """The final exact matches at twice and three times the longest answer of the training."""
    return longer(final_matches(results))


def findings(ends: pl.DataFrame) -> list[Finding]:
    """Logits of success on depth and width; trends of P(success) and of the mean of successes with each."""
    found = []
    for length in ends["length"].unique().sort():
        runs = final_scores(ends.filter(pl.col("length") == length))
        success = runs.with_columns(value=(pl.col("value") >= THRESHOLD).cast(pl.Float64))
        found += [replace(each, name=f"length {length}, {each.name}") for each in _joint(success)]
        for what, rows in (
            ("P(success)", success),
            ("mean of successes", runs.filter(success["value"] == 1)),
        ):
            for scale, held in (("depth", "width"), ("width", "depth")):
                trend = trend_test(np.log2(rows[scale]), rows["value"], rows[held])
                name = f"length {length}, {what}, per doubling of {scale}"
                found.append(finding(name, trend.slope, trend.p_value))
    return found


def _joint(success: pl.DataFrame) -> list[Finding]:
    """Depth and width in one logistic regression, their difference, and width at the middle depth alone."""
    cells = (
        success.group_by("depth", "width").agg(pl.col("value").sum(), seeds=pl.len()).sort("depth", "width")
    )
    depth, width = np.log2(cells["depth"].to_numpy()), np.log2(cells["width"].to_numpy())
    counts = (cells["value"].to_numpy(), cells["seeds"].to_numpy())
    both = fit_logistic(np.column_stack([depth, width]), *counts)
    # With depth, and depth and width together, as covariates the slope of the first is their difference.
    apart = fit_logistic(np.column_stack([depth, depth + width]), *counts)
    found = [
        _slope(f"logits of success per doubling of {name}, both in one regression", both, place)
        for place, name in enumerate(("depth", "width"))
    ]
    found.append(_slope("logits of success per doubling, depth less width", apart, 0))
    middle = success.filter(pl.col("depth") == MIDDLE)
    trend = trend_test(np.log2(middle["width"]), middle["value"])
    name = f"depth {MIDDLE}, P(success), per doubling of width"
    return [*found, finding(name, trend.slope, trend.p_value)]


def _slope(name: str, fit: LogisticRegression, place: int) -> Finding:
    value, low, high = (
        float(np.asarray(end)[place])
        for end in (fit.coefficient.value, fit.coefficient.interval.low, fit.coefficient.interval.high)
    )
    return finding(name, Estimate(value, Interval(low, high)), float(fit.p_value[place]))


def figure(ends: pl.DataFrame) -> alt.HConcatChart:
    """P(success) against depth and the mean of successes against width, at the longer length."""
    longest = ends.filter(pl.col("length") == pl.col("length").max())
    return charts.depth_and_width(summarise(longest, threshold=THRESHOLD))
