"""Which rules of the context do seeds come to follow, and from what size on? Four unnatural tasks at once.

    python experiments/run.py in_context_growth --quick
    python experiments/run.py in_context_growth

Models of growing width learn all four rules of ``InContext`` (Hu et al. 2023, arXiv 2310.03262) in one
unmarked mixture, with four fresh shots. A date shows by its form what is to be done with it, without shots.
Whether a word is to be repeated or reversed is said by the shots alone: a model that writes either one
without a fault, but guesses which, has an exact match of 0.5. Success is a mean of 0.9 over both rules of a
kind; growth is the bend of F = ln(-ln P) against ln N away from the task scaling law, P being the mean exact
match.

Cost, quick version, measured: 7 min 28 s on 2 cores, compilation and report included
(436 s of training, 2026-11-25, AMD EPYC, 2 cores, jax 0.10.2).
The large version, by formula, not run: 4.8e18 FLOPs.

Finds, quick version, 2,000 steps, 10 seeds per width, 4 shots where nothing else is said, 95 % intervals:

    rule seen in the question, width 8, mean exact match: 0 [0, 0.308]
    rule seen in the question, width 8, P(success): 0 [0, 0.278]
    rule seen in the question, width 12, mean exact match: 0.0363 [0.00577, 0.337]
    rule seen in the question, width 12, P(success): 0 [0, 0.278]
    rule seen in the question, width 16, mean exact match: 0.193 [0.079, 0.462]
    rule seen in the question, width 16, P(success): 0 [0, 0.278]
    rule seen in the question, width 24, mean exact match: 0.789 [0.442, 0.963]
    rule seen in the question, width 24, P(success): 0.7 [0.38, 0.917]
    rule seen in the question, width 24, median steps to success: 1,400 [1,000, infinite]
    rule seen in the question, width 64, mean exact match: 0.925 [0.627, 0.991]
    rule seen in the question, width 64, P(success): 0.8 [0.48, 0.965]
    rule seen in the question, width 64, median steps to success: 1,400 [800, infinite]
    rule seen in the shots, width 8, mean exact match: 0.177 [0.118, 0.432]
    rule seen in the shots, width 8, P(success): 0 [0, 0.278]
    rule seen in the shots, width 12, mean exact match: 0.323 [0.212, 0.537]
    rule seen in the shots, width 12, P(success): 0 [0, 0.278]
    rule seen in the shots, width 16, mean exact match: 0.502 [0.346, 0.657]
    rule seen in the shots, width 16, P(success): 0 [0, 0.278]
    rule seen in the shots, width 24, mean exact match: 0.521 [0.359, 0.671]
    rule seen in the shots, width 24, P(success): 0 [0, 0.278]
    rule seen in the shots, width 64, mean exact match: 0.67 [0.446, 0.819]
    rule seen in the shots, width 64, P(success): 0.2 [0.035, 0.52]
    dates, bend of the growth with width: undecided: 1.72 [-0.343, 3.88]
    dates_reversed, bend of the growth with width: undecided: 0.467 [-2.86, 2.74]
    identity, bend of the growth with width: sub-scaling: 0.592 [0.224, 0.96]
    reversal, bend of the growth with width: undecided: 0.103 [-0.226, 0.429]
    rule seen in the shots, depth 4, width 64, mean exact match with 0 shots: 0.523 [0.361, 0.67]
    rule seen in the shots, depth 4, width 64, mean exact match with 1 shots: 0.667 [0.442, 0.823]
    rule seen in the shots, depth 4, width 64, mean exact match with 2 shots: 0.699 [0.464, 0.85]
    rule seen in the shots, depth 4, width 64, mean exact match with 4 shots: 0.67 [0.446, 0.819]

At width 24 seven of ten seeds follow both rules that the question shows without an error, and two follow
neither. Words are copied and reversed from width 16 on, but by a rule that is guessed: only at width 64 do
two of ten seeds read the shots; what more than one shot adds, ten seeds cannot tell. Means hide both, as they
average seeds that can and seeds that cannot. The growth of the dates stays undecided, and repeating words
bends down, as its rise stops at the guess.
"""

from __future__ import annotations

from dataclasses import replace

import altair as alt
import numpy as np
import polars as pl

from jaxemerge import AdamW, Experiment, InContext, TaskMixture, charts, llama, paired
from jaxemerge.analysis import breakthroughs, final, summarise, survival
from jaxemerge.stats import Estimate, Interval, fit_task_scaling
from studies.finding import Finding, finding, row_finding

NAME = "in_context_growth"
THRESHOLD = 0.9
ASKED, SHOWN = "rule seen in the question", "rule seen in the shots"
RULES = {"dates": ASKED, "dates_reversed": ASKED, "identity": SHOWN, "reversal": SHOWN}
GUESS = 0.5  # exact match of one who takes identity for reversal as often as not


def cells(quick: bool = False) -> tuple[Experiment, ...]:
    """Width 32 to 512 at depth 6, 100 seeds each; quick: width 8 to 64 at depth 4, 10 seeds each."""
    base = Experiment(
        task=_rules(shots=4, test_shots=(0, 1, 2, 4), longest=3, items=40),
        model=llama(4, 64, 4),
        optimizer=AdamW(learning_rate=3e-3, warmup=50, final=0.1, beta2=0.98),
        steps=2_000,
        batch=10,
        context=120,
        seeds=paired(range(10)),
        evaluations=tuple(range(200, 2_001, 200)),
        study=NAME,
        family=NAME,
    )
    if quick:
        models = [llama(4, width, max(1, width // 16), init_std=0.05) for width in (8, 12, 16, 24, 64)]
        return tuple(replace(base, model=model) for model in models)
    large = replace(
        base,
        task=_rules(shots=8, test_shots=(0, 1, 2, 4, 8), longest=6, items=200),
        optimizer=AdamW(learning_rate=1e-3, warmup=500, final=0.1, beta2=0.98),
        steps=20_000,
        batch=64,
        context=216,
        seeds=paired(range(100)),
        evaluations=tuple(range(1_000, 20_001, 1_000)),
    )
    models = [llama(6, width, width // 32, init_std=0.05) for width in (32, 64, 128, 256, 512)]
    return tuple(replace(large, model=model) for model in models)


def _rules(**options: object) -> TaskMixture:
    """The four rules, unmarked; dates, which are longer, have fewer examples."""
    tasks = tuple(InContext(rule, **options) for rule in RULES)  # type: ignore[arg-type]
    return TaskMixture(tasks, weights=(0.15, 0.15, 1.0, 1.0), marked=False)


def kept(results: pl.DataFrame) -> pl.DataFrame:
    """Exact match of every rule, at every evaluation."""
    return results.filter(pl.col("metric") == "exact_match")


def findings(scores: pl.DataFrame) -> list[Finding]:
    """By width: exact match, P(success) and steps to it; growth of every rule; what shots are worth."""
    full = _most_shots(scores)
    found = [each for kind in (ASKED, SHOWN) for each in _by_width(full, kind)]
    found += [_growth(full, rule) for rule in RULES]
    return found + _by_shots(scores)


def figure(scores: pl.DataFrame) -> alt.LayerChart:
    """Exact match with the most shots against width, for both kinds of rules, and that of a guess."""
    ends = final(_kinds(_most_shots(scores))).with_columns(family=pl.col("split"))
    table = summarise(ends, threshold=THRESHOLD).with_columns(family=pl.col("split"))
    return charts.means_by_family(ends, table, chance=GUESS)


def _most_shots(scores: pl.DataFrame) -> pl.DataFrame:
    return scores.filter(pl.col("length") == pl.col("length").max())


def _kinds(scores: pl.DataFrame) -> pl.DataFrame:
    """Both rules of a kind as one test: the mean of their scores, which have equally many items."""
    names = {f"in_context_{rule}/test": kind for rule, kind in RULES.items()}
    rows = scores.with_columns(split=pl.col("split").replace_strict(names))
    keys = [name for name in rows.columns if name not in ("value", "trials")]
    mean = rows.group_by(keys, maintain_order=True).agg(pl.col("value").mean(), pl.col("trials").sum())
    return mean.select(rows.columns)


def _by_width(full: pl.DataFrame, kind: str) -> list[Finding]:
    scores = _kinds(full).filter(pl.col("split") == kind)
    times = survival(breakthroughs(scores, threshold=THRESHOLD)).medians
    found = []
    for row in summarise(scores, threshold=THRESHOLD).rows(named=True):
        name = f"{kind}, {row['label']}"
        found.append(row_finding(row, "mean", f"{name}, mean exact match"))
        found.append(row_finding(row, "success", f"{name}, P(success)"))
        [[median, *ends]] = times.filter(pl.col("cell") == row["cell"]).select("median", "low", "high").rows()
        if np.isfinite(median):
            found.append(finding(f"{name}, median steps to success", Estimate(median, Interval(*ends))))
    return found


def _growth(full: pl.DataFrame, rule: str) -> Finding:
    """How far the mean exact match of a rule bends away from the task scaling law, and its growth class."""
    ends = final(full.filter(pl.col("split") == f"in_context_{rule}/test")).sort("parameters")
    sizes = ends["parameters"].unique(maintain_order=True)
    items = np.stack([ends.filter(parameters=size)["trials"].to_numpy() for size in sizes], axis=-1)
    share = np.stack([ends.filter(parameters=size)["value"].to_numpy() for size in sizes], axis=-1)
    counts = (np.round(share * items), items)
    growth = fit_task_scaling(sizes, counts=counts, level="dataset", unit="seeds").growth
    return finding(f"{rule}, bend of the growth with width: {growth.name}", growth.bend)


def _by_shots(scores: pl.DataFrame) -> list[Finding]:
    """What the largest model makes of so many shots."""
    largest = scores.filter(pl.col("parameters") == pl.col("parameters").max())
    table, found = summarise(_kinds(largest), threshold=THRESHOLD).filter(split=SHOWN), []
    for row in table.sort("length").rows(named=True):
        name = f"{SHOWN}, {row['label']}, mean exact match with {row['length']} shots"
        found.append(row_finding(row, "mean", name))
    return found
