"""When do seeds grok? Steps until entries of a table that were held out are known, against weight decay.

    python experiments/run.py grokking_time --quick
    python experiments/run.py grokking_time

Addition modulo a prime with part of the table held out (Power et al. 2022, arXiv 2201.02177), four weight
decays in one program. A seed has grokked at the first of three evaluations in a row with an exact match of
0.9 or more on the held-out entries; one that does not get there is censored at the end of its training.
Falling below 0.9 again later is counted apart; a seed ends below if its last three evaluations or more are.
Held-out entries whose mirror image b + a was trained on are soon right: it is the others that tell.

Cost, quick version, measured: 3 min 57 s on 2 cores, compilation and report included
(225 s of training, 2026-11-25, AMD EPYC, 2 cores, jax 0.10.2).
The large version, by formula, not run: 1.3e17 FLOPs.

Finds, quick version, 3,000 steps, 24 seeds per weight decay, scored every 50 steps, 95 % intervals:

    all seeds, median steps to 0.9 on training entries: 150 [100, 150]
    weight decay 0.1, share of seeds that grok: 0.292 [0.137, 0.494]
    weight decay 0.1, of 7 seeds that grok, below 0.9 again later: 7
    weight decay 0.1, of 7 seeds that grok, end below 0.9: 5
    weight decay 0.3, share of seeds that grok: 0.667 [0.464, 0.832]
    weight decay 0.3, median steps to grok: 1,100 [950, infinite]
    weight decay 0.3, of 16 seeds that grok, below 0.9 again later: 16
    weight decay 0.3, of 16 seeds that grok, end below 0.9: 1
    weight decay 1, share of seeds that grok: 1 [0.862, 1]
    weight decay 1, median steps to grok: 750 [550, 850]
    weight decay 1, of 24 seeds that grok, below 0.9 again later: 24
    weight decay 1, of 24 seeds that grok, end below 0.9: 0
    weight decay 3, share of seeds that grok: 1 [0.862, 1]
    weight decay 3, median steps to grok: 400 [300, 600]
    weight decay 3, of 24 seeds that grok, below 0.9 again later: 11
    weight decay 3, of 24 seeds that grok, end below 0.9: 0
    one rate of grokking at all weight decays, log-rank: p = 1.9e-25
    rate of grokking, factor per doubling of weight decay: 2.49 [2.05, 3.07]

Half of the seeds know the training entries by step 150. Twice the weight decay multiplies the rate of
grokking by about 2.5. Grokking is not for good: at weight decay 0.1 to 1 every seed that groks is below 0.9
again at some later evaluation, and at 0.1 five of seven end there; at 1 and 3 none does.
"""

from __future__ import annotations

from dataclasses import replace

import altair as alt
import numpy as np
import polars as pl

from jaxemerge import AdamW, Experiment, Modular, charts, llama, paired
from jaxemerge.analysis import breakthroughs, survival
from jaxemerge.runner import sweep
from jaxemerge.stats import Estimate, Interval, kaplan_meier, success_interval
from studies.finding import Finding, finding

NAME = "grokking_time"
THRESHOLD = 0.9
DECAYS = (0.1, 0.3, 1.0, 3.0)


def cells(quick: bool = False) -> tuple[Experiment, ...]:
    """Weight decay 0.1 to 3; modulus 97 with 100 seeds each; quick: modulus 23 with 24 seeds each."""
    base = Experiment(
        task=Modular(modulus=23, train_share=0.55),
        model=llama(1, 64, 2),
        optimizer=AdamW(learning_rate=2e-3, warmup=20, final=0.1, beta2=0.98),
        steps=3_000,
        batch=64,
        context=5,
        seeds=paired(range(24)),
        evaluations=tuple(range(50, 3_001, 50)),
        study=NAME,
        family=NAME,
    )
    if not quick:
        base = replace(
            base,
            task=Modular(modulus=97, train_share=0.4),
            model=llama(2, 128, 4),
            optimizer=AdamW(learning_rate=1e-3, warmup=10, final=0.1, beta2=0.98),
            steps=50_000,
            batch=512,
            seeds=paired(range(100)),
            evaluations=tuple(range(500, 50_001, 500)),
        )
    return sweep.cells(base, sweep.product({"optimizer.weight_decay": DECAYS}))


def kept(results: pl.DataFrame) -> pl.DataFrame:
    """Exact match of both parts of the table, at every evaluation."""
    return results.filter(pl.col("metric") == "exact_match")


def findings(scores: pl.DataFrame) -> list[Finding]:
    """Steps to memorise; by weight decay, share of seeds that grok and median steps; do these differ?"""
    memorised = breakthroughs(scores, threshold=THRESHOLD, split="train")
    learnt = kaplan_meier(memorised["step"], memorised["observed"], after=memorised["after"])
    found = [finding("all seeds, median steps to 0.9 on training entries", learnt.median)]
    grokked = breakthroughs(scores, threshold=THRESHOLD, split="held_out")
    populations = survival(grokked)
    for row in populations.medians.rows(named=True):
        ends = success_interval(row["broken"], row["seeds"])
        share = Estimate(row["broken"] / row["seeds"], ends)
        found.append(finding(f"{row['label']}, share of seeds that grok", share))
        if np.isfinite(row["median"]):
            steps = Estimate(row["median"], Interval(row["low"], row["high"]))
            found.append(finding(f"{row['label']}, median steps to grok", steps))
        for column, what in (("relapsed", "below 0.9 again later"), ("lost", "end below 0.9")):
            found.append(Finding(f"{row['label']}, of {row['broken']} seeds that grok, {what}", row[column]))
    found.append(Finding("one rate of grokking at all weight decays, log-rank", p_value=populations.p_value))
    if populations.doubling is not None:
        found.append(finding("rate of grokking, factor per doubling of weight decay", populations.doubling))
    return found


def figure(scores: pl.DataFrame) -> alt.VConcatChart:
    """The share of seeds that have not grokked, against the step."""
    found = survival(breakthroughs(scores, threshold=THRESHOLD, split="held_out"))
    return charts.survival_curves(found.curves, found.falls)
