"""Which kind of positions lets seeds answer at lengths beyond their training? Five kinds, the same seeds.

    python experiments/run.py positions --quick
    python experiments/run.py positions

Counting, with rotary, no, learned, ALiBi and FIRE positions (Su et al. 2021; Kazemnejad et al. 2023; Press et
al. 2022; Li et al. 2024). All other weights start alike in the runs of a seed, and their data are the same.
Windows of training hold several examples, so that every kind sees each position and distance of the tests;
what is new is the length of an answer. Success is an exact match of 0.2 or more. Each kind is compared with
rotary positions at each length: p-values come from swapping the two runs within random seeds, and are
corrected for the twelve tests by Holm's method.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import altair as alt
import numpy as np
import polars as pl

from jaxemerge import Experiment, Transformer, charts, neox, paired
from jaxemerge.stats import holm
from paper import experiments as paper
from studies.finding import Finding, final_matches, success_findings
from studies.precision import Pairs, swap_p_value
from studies.settings import laptop

NAME = "positions"
THRESHOLD = 0.2
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
    """P(success) of every kind at every length, and its difference to that of rotary positions."""
    found, compared = [], []
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
    return Finding(
        f"{where}, P(success), {kind} less {USUAL}", float(success_change(pairs_S2)), p_value=p_value
    )


def pairs_of(runs: pl.DataFrame, kind: str) -> Pairs:
    """Scores [S, 2] of one test with rotary positions and with those of a kind; diverged seeds have 0."""
    wide = runs.with_columns(pl.col("value").fill_null(0.0)).pivot(
        "positions", index=["init_seed", "data_seed"], values="value"
    )
    return wide.sort("init_seed").select(USUAL, kind).to_numpy()


def success_change(pairs: Pairs) -> Pairs:
    """P(success) of the second column less that of the first."""
    success = np.mean(pairs >= THRESHOLD, axis=-2)
    return success[..., 1] - success[..., 0]


def figure(ends: pl.DataFrame) -> alt.ConcatChart:
    """The distribution over seeds of every kind at the three lengths."""
    return charts.violins(ends)
