"""Which of a seed's two random numbers decides whether it succeeds: the initial weights or the data?

    python experiments/run.py init_or_data --quick
    python experiments/run.py init_or_data

One cell of the count task with success between never and always, every initialisation crossed with every
order of the data. The variance over runs is split into what the init seed explains alone, what the data seed
explains alone, and what only the two together do (``jaxemerge.stats.split_variance``).

Cost, quick version, measured: 3 min 5 s on 2 cores, compilation and report included
(178 s of training, 2026-11-25, AMD EPYC, 2 cores, jax 0.10.2).
The large version, by formula, not run: 1.9e18 FLOPs.

Finds, quick version, trained on answers of at most 10, 10 x 10 seeds, 95 % intervals:

    length 15, share of variance, init seed: 0.125 [0, 0.416], p = 0.016
    length 15, share of variance, data seed: 0.0126 [0, 0.605], p = 0.34
    length 15, share of variance, both together: 0.862 [0.303, 0.988]
    length 20, share of variance, init seed: 0.167 [0.0156, 0.478], p = 0.0039
    length 20, share of variance, data seed: 0 [0, 0.375], p = 0.67
    length 20, share of variance, both together: 0.833 [0.407, 0.973]
    length 30, share of variance, init seed: 0.173 [0, 0.664], p = 0.0024
    length 30, share of variance, data seed: 0.0328 [0, 0.284], p = 0.2
    length 30, share of variance, both together: 0.794 [0.285, 1]

Most of the variance, about four fifths, belongs to the pair. F tests find an effect of the initialisation at
every length; how large it is these 10 by 10 runs leave open, from next to nothing to two thirds. No effect of
the order of the data alone is detected, and a share of 0.28 to 0.6 is not excluded. A good initialisation is
one that succeeds more often, not one that always succeeds.
"""

from __future__ import annotations

import altair as alt
import polars as pl

from jaxemerge import Experiment, charts, crossed, neox
from jaxemerge.analysis import final_scores, variance_shares
from jaxemerge.stats import Estimate, Interval
from paper import experiments as paper
from studies.finding import Finding, final_matches, finding
from studies.settings import laptop

NAME = "init_or_data"


def cells(quick: bool = False) -> tuple[Experiment, ...]:
    """Depth 4, width 256, 16 x 16 seeds; quick: depth 2, width 64, 10 x 10 seeds."""
    (cell,) = laptop([neox(2, 64, 2)], NAME) if quick else paper([neox(4, 256, 4)], NAME)
    seeds = range(10 if quick else 16)
    return (cell.with_seeds(crossed(seeds, seeds)),)


def kept(results: pl.DataFrame) -> pl.DataFrame:
    """The final exact matches on answers longer than those of the training, which the shortest test has."""
    ends = final_matches(results)
    return ends.filter(pl.col("length") > pl.col("length").min())


def findings(ends: pl.DataFrame) -> list[Finding]:
    """Shares of the variance of exact match by source, at each length."""
    found = []
    for length in ends["length"].unique().sort():
        for row in variance_shares(ends, length=length).rows(named=True):
            share = Estimate(row["share"], Interval(row["low"], row["high"]))
            found.append(
                finding(f"length {length}, share of variance, {row['source']}", share, row["p_value"])
            )
    return found


def figure(ends: pl.DataFrame) -> alt.HConcatChart:
    """The exact match of every run."""
    return charts.crossed_scores(final_scores(ends))
