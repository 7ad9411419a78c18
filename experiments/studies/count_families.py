"""Does depth move P(success) and width the mean of the successes? Both families of 250 seeds together.

    python experiments/figures.py count_families

Zhao et al. (2025), arXiv 2502.17356, read both halves off violins. Here the cells of count_depth and
count_width, which share one, are analysed together. The logits of success are regressed on depth and width
at once (``jaxemerge.stats.fit_logistic``). The scores of the successes have a trend with depth among cells
of one width, and with width among cells of one depth (``jaxemerge.stats.trend_test``). P-values are
corrected by Holm's method for their number.

Finds, success at an exact match of 0.2, 95 % intervals:

    length 20, logits of success per doubling of depth: 4.11 [3.67, 4.59], p = 2.1e-232
    length 20, logits of success per doubling of width: 5.51 [4.96, 6.11], p < 1e-300
    length 20, logits of success per doubling, depth less width: -1.4 [-1.96, -0.859], p = 1.5e-06
    length 20, mean of successes, per doubling of depth: 0.242 [0.219, 0.265], p = 0.0004
    length 20, mean of successes, per doubling of width: 0.383 [0.358, 0.407], p = 0.0004
    length 30, logits of success per doubling of depth: 3.48 [3.12, 3.87], p = 2.8e-192
    length 30, logits of success per doubling of width: 5.38 [4.83, 5.97], p = 1.6e-288
    length 30, logits of success per doubling, depth less width: -1.9 [-2.59, -1.23], p = 8.8e-08
    length 30, mean of successes, per doubling of depth: 0.198 [0.163, 0.234], p = 0.0004
    length 30, mean of successes, per doubling of width: 0.39 [0.358, 0.423], p = 0.0004

At these sizes both move both, and width moves both further than depth does, per doubling: that depth moves
P(success) and width the quality of successes, as the paper has it, is not found. Depth was varied at width
32 only, and width at depth 3 only: how the two act together was not measured.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import altair as alt
import numpy as np
import polars as pl

from jaxemerge import charts
from jaxemerge.analysis import final_scores, summarise
from jaxemerge.stats import Estimate, Interval, fit_logistic, holm, trend_test
from studies.finding import Finding, final_matches, finding
from studies.populations import LENGTHS, THRESHOLD

SOURCES = ("count_depth", "count_width")
SCALES = (("depth", "width"), ("width", "depth"))


def ends_of_both(depth: pl.DataFrame, width: pl.DataFrame) -> pl.DataFrame:
    """Final exact matches at `LENGTHS` of the cells of two families, those that they share once."""
    ends = pl.concat(map(final_matches, (depth, width))).filter(pl.col("length").is_in(LENGTHS))
    return ends.unique(["cell", "init_seed", "data_seed", "length"], keep="first", maintain_order=True)


def findings_and_figure(depth: pl.DataFrame, width: pl.DataFrame) -> tuple[list[Finding], alt.HConcatChart]:
    """Logits of success on depth and width, trends of the mean of successes with each; both against scale."""
    ends = ends_of_both(depth, width)
    found = []
    for length in LENGTHS:
        runs = final_scores(ends.filter(pl.col("length") == length))
        each = [*_logits(runs), *_means(runs.filter(pl.col("value") >= THRESHOLD))]
        found += [replace(one, name=f"length {length}, {one.name}") for one in each]
    adjusted = holm(np.array([one.p_value for one in found], np.float64))
    corrected = [replace(one, p_value=float(p)) for one, p in zip(found, adjusted, strict=True)]
    longest = ends.filter(pl.col("length") == LENGTHS[-1])
    return corrected, charts.depth_and_width(summarise(longest, threshold=THRESHOLD))


def _logits(runs: pl.DataFrame) -> Iterator[Finding]:
    """Slopes of one logistic regression of success on both logarithms, and their difference."""
    success = (pl.col("value") >= THRESHOLD).sum().alias("successes")
    cells = runs.group_by("depth", "width").agg(success, seeds=pl.len()).sort("depth", "width")
    depth, width = np.log2(cells["depth"].to_numpy()), np.log2(cells["width"].to_numpy())
    # With depth and the sum of both as covariates, the first slope is the difference of the two.
    regressions: tuple[tuple[Any, tuple[str, ...]], ...] = (
        ((depth, width), ("per doubling of depth", "per doubling of width")),
        ((depth, depth + width), ("per doubling, depth less width",)),
    )
    for columns, names in regressions:
        fit = fit_logistic(np.column_stack(columns), cells["successes"].to_numpy(), cells["seeds"].to_numpy())
        ends = (fit.coefficient.value, fit.coefficient.interval.low, fit.coefficient.interval.high)
        for place, name in enumerate(names):
            value, low, high = (float(np.asarray(end)[place]) for end in ends)
            slope = Estimate(value, Interval(low, high))
            yield finding(f"logits of success {name}", slope, float(fit.p_value[place]))


def _means(successes: pl.DataFrame) -> Iterator[Finding]:
    """Trends of the successes' scores with each scale, within cells of the same other."""
    for scale, held in SCALES:
        trend = trend_test(np.log2(successes[scale]), successes["value"], successes[held])
        yield finding(f"mean of successes, per doubling of {scale}", trend.slope, trend.p_value)
