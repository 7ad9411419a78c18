"""From what size on does writing the steps down help? Chains of functions, with and without a scratchpad.

    python experiments/run.py technique_emergence --quick
    python experiments/run.py technique_emergence

A chain of one to four functions is applied to a value (``Composition``); the model writes the result of every
step, or the last result only. Both see equally many tokens. A technique is emergent if it does not help, or
harms, below some scale (Wei et al. 2022, arXiv 2206.07682, section 4): here the gain in exact match on chains
of four is tested at every width, with p-values from permutations of the runs. With the steps written out, an
exact answer has all of them right; guesses of the last result alone are right once in eight.

Cost, quick version, measured: 3 min 40 s on 2 cores shared with other work, compilation and report
included (185 s of training, 2026-11-25, AMD EPYC, 2 cores, jax 0.10.2).
The large version, by formula, not run: 5.5e16 FLOPs.

Finds, quick version, 500 steps, 16 seeds per cell, 95 % intervals:

    width 4, result alone, mean exact match: 0.126 [0.1, 0.306]
    width 4, steps written, mean exact match: 0.0188 [0.0131, 0.221]
    width 4, gain by writing steps: -0.107 [-0.114, -0.101], p = 0.0001
    width 8, result alone, mean exact match: 0.124 [0.0973, 0.304]
    width 8, steps written, mean exact match: 0.0829 [0.059, 0.272]
    width 8, gain by writing steps: -0.0408 [-0.0646, -0.0171], p = 0.0014
    width 16, result alone, mean exact match: 0.13 [0.103, 0.309]
    width 16, steps written, mean exact match: 0.809 [0.617, 0.905]
    width 16, gain by writing steps: 0.679 [0.565, 0.794], p = 0.0001
    width 32, result alone, mean exact match: 0.137 [0.108, 0.315]
    width 32, steps written, mean exact match: 0.994 [0.789, 0.999]
    width 32, gain by writing steps: 0.857 [0.845, 0.869], p = 0.0001

Writing the steps down is an emergent technique here: at width 4 and 8 it makes answers worse, for every step
must be right and few are; from width 16 on it makes them right. Without it the mean exact match is at most
0.137 within these steps, where a guess is right in 0.125. Intervals of means allow for seeds unlike the 16
that were seen, whatever their distribution; those of gains are Student's.
"""

from __future__ import annotations

from dataclasses import replace

import altair as alt
import polars as pl

from jaxemerge import AdamW, Composition, Experiment, charts, llama, paired
from jaxemerge.analysis import summarise
from jaxemerge.stats import trend_test
from studies.finding import Finding, final_matches, finding, row_finding

NAME = "technique_emergence"
THRESHOLD = 0.5
SHOWN, HIDDEN = "steps written", "result alone"


def cells(quick: bool = False) -> tuple[Experiment, ...]:
    """Both ways at width 16 to 256, 100 seeds each; quick: width 4 to 32, 16 seeds each."""
    task = Composition(values=8, functions=4, steps=4, test_steps=(4,), items=300)
    base = Experiment(
        task=task,
        model=llama(2, 8, 1),
        optimizer=AdamW(learning_rate=3e-3, warmup=30, final=0.1, weight_decay=0.1),
        steps=500,
        batch=32,
        context=11,
        seeds=paired(range(16)),
        evaluations=15,
        study=NAME,
    )
    if not quick:
        task = Composition(values=32, functions=16, steps=6, test_steps=(6,), items=1_000)
        base = replace(base, task=task, context=15, batch=256, steps=5_000, seeds=paired(range(100)))
    widths = (4, 8, 16, 32) if quick else (16, 32, 64, 128, 256)
    return tuple(
        replace(
            base,
            task=replace(task, shown=shown),
            model=llama(2, width, max(1, width // 8), init_std=0.1),
            family=SHOWN if shown else HIDDEN,
        )
        for width in widths
        for shown in (False, True)
    )


def kept(results: pl.DataFrame) -> pl.DataFrame:
    """The final exact matches of whole chains."""
    return final_matches(results).filter(pl.col("split") == "chain")


def findings(ends: pl.DataFrame) -> list[Finding]:
    """The mean exact match of both ways at every width, and the gain of the one over the other."""
    table, found = _table(ends), []
    for width in ends["width"].unique().sort():
        for row in table.filter(pl.col("width") == width).sort("family").rows(named=True):
            name = f"width {width}, {row['family']}, mean exact match"
            found.append(row_finding(row, "mean", name))
        runs = ends.filter(pl.col("width") == width)
        gain = trend_test(runs["family"] == SHOWN, runs["value"])
        found.append(finding(f"width {width}, gain by writing steps", gain.slope, gain.p_value))
    return found


def figure(ends: pl.DataFrame) -> alt.LayerChart:
    """The mean exact match of both ways against width, and the share of right guesses of a result."""
    return charts.means_by_family(ends, _table(ends), chance=1 / 8)


def _table(ends: pl.DataFrame) -> pl.DataFrame:
    """The summary of every cell, with its family."""
    table = summarise(ends, threshold=THRESHOLD)
    return table.join(ends.select("cell", "family").unique(), on="cell", maintain_order="left")
