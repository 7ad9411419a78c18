"""Which kind of positions lets seeds answer at lengths beyond their training? Five kinds, the same seeds.

    python experiments/run.py positions --quick
    python experiments/run.py positions

Counting with rotary, no, learned, ALiBi and FIRE positions (Su et al. 2021; Kazemnejad et al. 2023; Press et
al. 2022; Li et al. 2024). All other weights of a seed start the same for every kind, and so does its data.
A training window of 64 tokens holds several examples, and attention crosses them: every kind is trained on
each position and distance of the tests. What is new is the length of an answer. Success is an exact match of
0.2 or more. Each kind is compared with rotary positions at twice and three times the trained length.
Intervals of differences resample seeds, with both runs of a seed together. p-values come from swapping the
two runs within random seeds, corrected for the eight tests by Holm's method; the intervals are not corrected.

Cost, quick version, measured: 6 min 23 s on 2 cores, compilation and report included, extrapolated from
a run of 4 of the 24 seeds. The kept run took longer, as other programs used its cores
(2463 s of training, 2026-11-28, AMD EPYC, 2 cores, jax 0.10.2).
The large version, by formula, not run: 9.3e18 FLOPs.

Finds, quick version, depth 2 and width 64, trained on answers of at most 10, 24 seeds, 95 % intervals:

    length 20, rotary, P(success): 0.375 [0.201, 0.578]
    length 20, none, P(success): 0.0833 [0.0142, 0.258]
    length 20, learned, P(success): 0.833 [0.641, 0.945]
    length 20, alibi, P(success): 0.458 [0.27, 0.657]
    length 20, fire, P(success): 0 [0, 0.138]
    length 30, rotary, P(success): 0.167 [0.0553, 0.359]
    length 30, none, P(success): 0 [0, 0.138]
    length 30, learned, P(success): 0.583 [0.382, 0.765]
    length 30, alibi, P(success): 0.167 [0.0553, 0.359]
    length 30, fire, P(success): 0 [0, 0.138]
    length 20, P(success), none minus rotary: -0.292 [-0.516, -0.0671], p = 0.2
    length 20, P(success), learned minus rotary: 0.458 [0.189, 0.683], p = 0.058
    length 20, P(success), alibi minus rotary: 0.0833 [-0.276, 0.443], p = 1
    length 20, P(success), fire minus rotary: -0.375 [-0.6, -0.195], p = 0.036
    length 30, P(success), none minus rotary: -0.167 [-0.346, -0.0319], p = 0.51
    length 30, P(success), learned minus rotary: 0.417 [0.147, 0.686], p = 0.077
    length 30, P(success), alibi minus rotary: 0 [-0.225, 0.225], p = 1
    length 30, P(success), fire minus rotary: -0.167 [-0.346, -0.0319], p = 0.51

All seeds of all kinds succeed at the trained length of 10. At length 20 no seed with FIRE succeeds, fewer
than with rotary positions. This is weak evidence: that only the two untrained lengths are tested was settled
after a first look, and with the four tests of the trained length, where nothing differs, p is 0.054. Learned
positions have the highest rate of success at both lengths, but after correction 24 seeds do not establish a
difference to rotary positions. None is detected for ALiBi or no positions either; an interval is up to 0.72
wide. This is one task whose windows are packed: it says nothing about positions beyond the training window.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import altair as alt
import numpy as np
import polars as pl

from jaxemerge import Experiment, Transformer, charts, neox, paired
from jaxemerge.stats import bootstrap, holm
from paper import experiments as paper
from studies.finding import Finding, final_matches, finding, success_findings
from studies.precision import THRESHOLD, Pairs, success_change, swap_p_value
from studies.settings import laptop, longer

NAME = "positions"
SEEDS = 24  # of the quick version
KINDS = ("rotary", "none", "learned", "alibi", "fire")
USUAL = KINDS[0]  # what the others are compared with


def cells(quick: bool = False) -> tuple[Experiment, ...]:
    """Depth 4, width 256, 250 seeds each; quick: depth 2, width 64, 24 seeds each."""
    if quick:
        return tuple(one.with_seeds(paired(range(SEEDS))) for one in laptop(_kinds(neox(2, 64, 2), 64), NAME))
    return paper(_kinds(neox(4, 256, 4), 256), NAME)


def _kinds(model: Transformer, context: int) -> list[Transformer]:
    changes: list[dict[str, Any]] = [{"positions": kind, "max_positions": context} for kind in KINDS]
    return [replace(model, **change) for change in changes]


def kept(results: pl.DataFrame) -> pl.DataFrame:
    """The final exact matches at one, two and three times the longest answer of the training."""
    ends = final_matches(results)
    return ends.filter((pl.col("length") / pl.col("length").min()).is_in([1.0, 2.0, 3.0]))


def findings(ends: pl.DataFrame) -> list[Finding]:
    """P(success) of every kind on longer answers, and its difference to that of rotary positions."""
    ends, found, compared = longer(ends), [], []
    for length in ends["length"].unique().sort():
        runs = ends.filter(pl.col("length") == length)
        for kind in KINDS:
            (of_kind,) = success_findings(runs.filter(positions=kind), THRESHOLD, mean=False)
            found.append(replace(of_kind, name=f"length {length}, {kind}, P(success)"))
        compared += [_difference(runs, kind, f"length {length}") for kind in KINDS if kind != USUAL]
    corrected = holm(np.array([each.p_value for each in compared], float))
    return found + [replace(each, p_value=float(p)) for each, p in zip(compared, corrected, strict=True)]


def _difference(runs: pl.DataFrame, kind: str, where: str) -> Finding:
    pairs_S2 = pairs_of(runs, kind)
    p_value = swap_p_value(pairs_S2, lambda pairs: np.abs(success_change(pairs)))
    name = f"{where}, P(success), {kind} minus {USUAL}"
    return finding(name, bootstrap(pairs_S2, success_change), p_value)


def pairs_of(runs: pl.DataFrame, kind: str) -> Pairs:
    """Scores [S, 2] of one test with rotary positions and with those of a kind; diverged seeds have 0."""
    wide = runs.with_columns(pl.col("value").fill_null(0.0)).pivot(
        "positions", index=["init_seed", "data_seed"], values="value"
    )
    return wide.sort("init_seed").select(USUAL, kind).to_numpy()


def figure(ends: pl.DataFrame) -> alt.ConcatChart:
    """The distribution over seeds of every kind at the three lengths."""
    return charts.violins(ends)
