"""Does depth move the chance of success and width the quality of successes? Three depths by three widths.

    python experiments/run.py depth_or_width --quick
    python experiments/run.py depth_or_width

Zhao et al. (2025), arXiv 2502.17356, read this off violins of the count task. Here both halves are tested:
trends of success (exact match of 0.2 or more) and of the scores of the successes with depth among cells of
one width, and with width among cells of one depth, with p-values from permutations of seeds within these
(``jaxemerge.stats.trend_test``; four tests per length, not corrected for their number).

Cost, quick version, measured: 4 min 39 s on 2 cores, compilation and report included
(264 s of training, 2026-11-25, AMD EPYC, 2 cores, jax 0.10.2).
The large version, by formula, not run: 1.6e19 FLOPs.

Finds, quick version, trained on answers of at most 10, 16 seeds per cell, 95 % intervals:

    length 20, P(success), per doubling of depth: 0.5 [0.472, 0.527], p = 0.0001
    length 20, P(success), per doubling of width: 0.238 [0.132, 0.328], p = 0.0001
    length 20, mean of successes, per doubling of depth: 0.139 [0.0816, 0.19], p = 0.0001
    length 20, mean of successes, per doubling of width: 0.322 [0.238, 0.404], p = 0.0001
    length 30, P(success), per doubling of depth: 0.458 [0.417, 0.495], p = 0.0001
    length 30, P(success), per doubling of width: 0.274 [0.159, 0.401], p = 0.0001
    length 30, mean of successes, per doubling of depth: 0.186 [0.0811, 0.288], p = 0.0009
    length 30, mean of successes, per doubling of width: 0.339 [0.235, 0.438], p = 0.0001

Depth moves the chance of success and width the quality of the successes, but neither does so alone: at these
sizes, a twentieth of the paper's parameters and less, every one of the eight trends differs from 0. Per
doubling, depth moves P(success) about twice as far as width does, and width the mean of the successes about
twice as far as depth.
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
    """Depth and width in one logistic regression, their difference, and width where neither outcome is sure."""
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
