"""Do index hints make addition generalise to longer numbers, and for how many seeds? With and without them.

    python experiments/run.py addition_hints --quick
    python experiments/run.py addition_hints

Two numbers are added lowest digit first, and tested at more digits than were trained on. A hint before every
digit names its place (Zhou et al. 2024, arXiv 2402.09371): whoever looks digits up by their hints has no need
to count places. Success is an exact match of 0.2 or more (Zhao et al. 2025, arXiv 2502.17356). Both ways see
equally many windows, each as long as the longest example.

Cost, quick version, measured: 7 min 14 s on 2 cores, compilation and report included
(421 s of training, 2026-11-25, AMD EPYC, 2 cores, jax 0.10.2).
The large version, by formula, not run: 6.4e19 FLOPs.

Finds, quick version, at most 3 digits in training, 3,500 steps, 12 seeds per cell, 95 % intervals:

    length 3, depth 3, no hints, P(success): 0.417 [0.172, 0.698]
    length 3, depth 3, no hints, mean of successes: 0.399 [0.251, 0.732]
    length 3, depth 3, hints, P(success): 0.25 [0.0679, 0.541]
    length 3, depth 3, hints, mean of successes: 0.588 [0.265, 0.917]
    length 3, depth 4, no hints, P(success): 0.0833 [0.00417, 0.354]
    length 3, depth 4, no hints, mean of successes: 0.695
    length 3, depth 4, hints, P(success): 0.25 [0.0679, 0.541]
    length 3, depth 4, hints, mean of successes: 0.69 [0.292, 0.959]
    length 4, depth 3, no hints, P(success): 0 [0, 0.242]
    length 4, depth 3, hints, P(success): 0 [0, 0.242]
    length 4, depth 4, no hints, P(success): 0 [0, 0.242]
    length 4, depth 4, hints, P(success): 0 [0, 0.242]
    length 6, depth 3, no hints, P(success): 0 [0, 0.242]
    length 6, depth 3, hints, P(success): 0 [0, 0.242]
    length 6, depth 4, no hints, P(success): 0 [0, 0.242]
    length 6, depth 4, hints, P(success): 0 [0, 0.242]
    length 3, P(success), gain by hints at equal depth: 0 [-0.234, 0.243], p = 1
    length 3, P(success), gain by hints at equal depth, least size that is excluded: 0.206
    length 3, mean exact match, gain by hints at equal depth: 0.0225 [-0.131, 0.176], p = 0.77
    length 3, mean exact match, gain by hints at equal depth, least size that is excluded: 0.151
    length 3, hints, P(success), gain by one layer more: 0 [-0.344, 0.344], p = 1
    length 3, hints, P(success), gain by one layer more, least size that is excluded: 0.293
    length 4, mean exact match, gain by hints at equal depth: 0.00312 [-0.00881, 0.0151], p = 0.72
    length 4, mean exact match, gain by hints at equal depth, least size that is excluded: 0.013

No gain by hints is detected within these steps, and large ones only are excluded: at 3 digits gains or losses
of P(success) of 0.21 and more, at 4 digits those of the mean exact match of 0.013 and more (two one-sided
tests at 5 %). At 3 digits two seeds of depth 4 with hints are above 0.8 and nine below 0.2; without hints 21
of 24 lie below 0.3. At 4 digits no seed succeeds. The seed of depth 3 that knows 3 digits best with hints
(0.925) has 0.12 at 4 digits, the next one with hints 0.055, the best without 0.03. At 6 digits no answer of
any seed is right. No gain is tested where all seeds are alike. No effect of one layer more is detected; only
changes of P(success) of 0.29 and more are excluded.

Possible reasons, from trials of a few seeds that test nothing: to look digits up by 102 hints takes these
models most of the steps. In trials of 1,200 to 6,000 steps 2 of 19 seeds came to 0.2 at 3 digits while hints
were read and written by vectors of their own, whatever the learning rate and the initial weights; where these
are the same vectors (tied), 5 of 7 came to 0.89 and more, with rotary positions. But with rotary positions no
seed had one right answer of 100 at 4 digits, with hints or without. The quick version is therefore tied and
without positions. The number of hints is not the only reason: with 10 of them, untied, one of 6 seeds came to
0.99 at 3 digits in 6,000 steps, and none to more than 0.01 at 4. Nor are the steps: of 4 seeds with hints
that had 8,000, one came to 1.00 at 3 digits, and it had nothing at 4. Whether hints help with more digits in
training, and more steps, is for the large version to say.
"""

from __future__ import annotations

from dataclasses import replace

import altair as alt
import polars as pl

from jaxemerge import AdamW, Addition, Experiment, Transformer, charts, families, llama, paired
from jaxemerge.schema import SCHEMA
from jaxemerge.stats import trend_test
from studies.finding import Finding, final_matches, finding, success_findings

NAME = "addition_hints"
THRESHOLD = 0.2
HINTS, BARE = "hints", "no hints"


def cells(quick: bool = False) -> tuple[Experiment, ...]:
    """Both ways at depth 4 and width 64 to 512, at most 10 digits in training, 200 seeds each.

    Quick: depth 3 and 4 at width 48, at most 3 digits in training, 12 seeds each.
    """
    task = Addition(train_digits=10, test_digits=(10, 12, 15, 20), items=500)
    base = Experiment(
        task=task,
        model=_small(3),
        optimizer=AdamW(learning_rate=1e-3, warmup=500, final=0.1, weight_decay=0.1),
        steps=30_000,
        batch=128,
        context=256,
        seeds=paired(range(200)),
        evaluations=30,
        study=NAME,
    )
    if not quick:
        return tuple(both for model in families.count_fixed_depth() for both in _both(base, task, model))
    task = Addition(train_digits=3, test_digits=(3, 4, 6), items=200)
    base = replace(
        base,
        task=task,
        optimizer=AdamW(learning_rate=7e-3, warmup=50, final=0.1, weight_decay=0.1, beta2=0.98),
        steps=3_500,
        batch=32,
        seeds=paired(range(12)),
        evaluations=8,
    )
    return tuple(both for depth in (3, 4) for both in _both(base, task, _small(depth), tight=True))


def _small(depth: int) -> Transformer:
    """Without positions, which keep the quick models from longer numbers than those of the training.

    Hints are read and written by the same vectors: without that few seeds learn to use them in time.
    """
    return llama(depth, 48, 2, init_std=0.1, rotary_fraction=0.0, tied=True)


def _both(base: Experiment, task: Addition, model: Transformer, *, tight: bool = False) -> list[Experiment]:
    """Without and with hints; in windows as long as the longest example, if ``tight``."""
    tasks = {BARE: replace(task, hints=False), HINTS: task}
    return [
        replace(
            base, task=each, model=model, family=family, context=each.max_length if tight else base.context
        )
        for family, each in tasks.items()
    ]


def kept(results: pl.DataFrame) -> pl.DataFrame:
    """The final exact matches, without the columns of what differs, which families name."""
    return final_matches(results).select(list(SCHEMA))


def findings(ends: pl.DataFrame) -> list[Finding]:
    """P(success) and the mean of the successes of every cell, and what hints and depth do at each length."""
    found = success_findings(ends, THRESHOLD)
    for length in ends["length"].unique().sort():
        runs = ends.filter(pl.col("length") == length)
        hinted = runs.filter(pl.col("family") == HINTS)
        with_hints = runs["family"] == HINTS
        for name, outcomes, scale, stratum in (
            ("P(success), gain by hints at equal depth", _succeed(runs), with_hints, runs["depth"]),
            ("mean exact match, gain by hints at equal depth", runs["value"], with_hints, runs["depth"]),
            ("hints, P(success), gain by one layer more", _succeed(hinted), hinted["depth"], None),
        ):
            if outcomes.n_unique() > 1:  # where all runs are alike there is nothing to shuffle or resample
                gain = trend_test(scale, outcomes, stratum)
                found.append(finding(f"length {length}, {name}", gain.slope, gain.p_value))
                found.append(Finding(f"length {length}, {name}, least size that is excluded", gain.excluded))
    return found


def _succeed(runs: pl.DataFrame) -> pl.Series:
    """Whether each run is a success."""
    return runs["value"] >= THRESHOLD


def figure(ends: pl.DataFrame) -> alt.ConcatChart:
    """The distribution over seeds of every cell at every number of digits."""
    return charts.violins(ends)
