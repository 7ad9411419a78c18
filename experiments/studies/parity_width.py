"""How wide must a model be to learn a sparse parity? Success probability against width.

    python experiments/run.py parity_width --quick
    python experiments/run.py parity_width

Three secret bits of a word decide its answer, words are fresh at every step. None of the three tells
anything without the others (Barak et al. 2022, arXiv 2207.08799), and wider models draw more tickets in that
lottery (Edelman et al. 2023, arXiv 2309.03800). Success is an exact match of 0.9 or more; guesses score 0.5.

Cost, quick version, measured: 2 min 6 s on 2 cores, compilation and report included
(104 s of training, 2026-11-25, AMD EPYC, 2 cores, jax 0.10.2).
The large version, by formula, not run: 2.9e17 FLOPs.

Finds, quick version, 24 seeds per width, 95 % intervals:

    width 8, P(success): 0.167 [0.0553, 0.359]
    width 16, P(success): 0.667 [0.464, 0.832]
    width 24, P(success): 0.833 [0.641, 0.945]
    width 32, P(success): 0.917 [0.742, 0.986]
    width 48, P(success): 0.875 [0.69, 0.967]
    width 64, P(success): 0.875 [0.69, 0.967]
    curve, width half way to the ceiling: 11.8 [9.4, 14.6]
    curve, slope in logits per unit of ln(width): 3.85 [2.14, 6.93]
    curve, ceiling of P(success): 0.893 [0.807, 0.967]
    one step instead of the curve, likelihood ratio: p = 0.017
    width 32 to 64, P(success) per doubling: -0.0436 [-0.232, 0.159], p = 0.66
    width 32 to 64, P(success) per doubling, least size that is excluded: 0.199

P(success) rises with width, gradually rather than at one width. From width 32 on about a tenth of the seeds
fail within these 1,000 steps. Whether more width would save them is open: between widths 32 and 64 no trend
is detected, but one of 0.2 per doubling is not excluded, and the fitted ceiling is below 1 only if the curve
is logistic.
"""

from __future__ import annotations

from dataclasses import replace

import altair as alt
import numpy as np
import polars as pl

from jaxemerge import AdamW, Experiment, SparseParity, Transformer, charts, llama, paired
from jaxemerge.analysis import final_scores, success_fit
from jaxemerge.stats import trend_test
from studies.finding import Finding, final_matches, finding, success_findings

NAME = "parity_width"
THRESHOLD = 0.9


def cells(quick: bool = False) -> tuple[Experiment, ...]:
    """3 of 40 bits, width 16 to 512, 200 seeds each; quick: 3 of 10 bits, width 8 to 64, 24 seeds each."""
    base = Experiment(
        task=SparseParity(length=10, relevant=3, items=500),
        model=_model(8),
        optimizer=AdamW(learning_rate=3e-3, warmup=30, final=0.1, weight_decay=0.1),
        steps=1_000,
        batch=32,
        context=12,
        seeds=paired(range(24)),
        evaluations=15,
        study=NAME,
        family=NAME,
    )
    if quick:
        return tuple(replace(base, model=_model(width)) for width in (8, 16, 24, 32, 48, 64))
    large = replace(base, task=SparseParity(length=40, relevant=3), context=42, batch=128, steps=10_000)
    large = replace(large, seeds=paired(range(200)), evaluations=40)
    return tuple(replace(large, model=_model(width)) for width in (16, 32, 64, 128, 256, 512))


def _model(width: int) -> Transformer:
    """One layer with heads of 8, initial weights large enough for it to attend to places from the start."""
    return llama(1, width, width // 8, init_std=0.2, rotary_base=100.0)


def kept(results: pl.DataFrame) -> pl.DataFrame:
    """The final exact matches."""
    return final_matches(results)


def findings(ends: pl.DataFrame) -> list[Finding]:
    """P(success) at every width; the curve, whether one step would do as well, and the largest widths."""
    fit = success_fit(ends, threshold=THRESHOLD, resamples=999)
    runs = final_scores(ends).filter(pl.col("width") >= 32)
    wide = trend_test(np.log2(runs["width"]), runs["value"] >= THRESHOLD)
    return [
        *success_findings(ends, THRESHOLD, mean=False),
        finding("curve, width half way to the ceiling", fit.curve.midpoint),
        finding("curve, slope in logits per unit of ln(width)", fit.curve.slope),
        finding("curve, ceiling of P(success)", fit.curve.ceiling),
        Finding("one step instead of the curve, likelihood ratio", p_value=fit.step.p_value),
        finding("width 32 to 64, P(success) per doubling", wide.slope, wide.p_value),
        Finding("width 32 to 64, P(success) per doubling, least size that is excluded", wide.excluded),
    ]


def figure(ends: pl.DataFrame) -> alt.LayerChart:
    """P(success) against width with its curve."""
    return charts.success_chance(success_fit(ends, threshold=THRESHOLD))
