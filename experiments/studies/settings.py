"""What studies of the count task share: the paper's settings and those for a laptop, findings, the figure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import altair as alt
import polars as pl

from jaxemerge import AdamW, Count, Experiment, Transformer, charts, paired
from studies.finding import Finding, final_matches, success_findings


def laptop(models: Sequence[Transformer], study: str) -> tuple[Experiment, ...]:
    """Numbers to 40, answers of at most 10 in training; 16 seeds, 400 steps of 16 x 64 tokens."""
    base = Experiment(
        task=Count(numbers=40, train_length=10, test_lengths=(10, 15, 20, 30)),
        model=models[0],
        optimizer=AdamW(learning_rate=3e-3, warmup=30, weight_decay=0.1, clip=1.0),
        steps=400,
        batch=16,
        context=64,
        seeds=paired(range(16)),
        evaluations=15,
    )
    return _family(base, models, study)


def populations(models: Sequence[Transformer], study: str, seeds: int = 250) -> tuple[Experiment, ...]:
    """Numbers to 60, so that every length has 31 items or more; 600 steps of 8 x 64 tokens."""
    base = Experiment(
        task=Count(numbers=60, train_length=10, test_lengths=(10, 15, 20, 30)),
        model=models[0],
        optimizer=AdamW(learning_rate=8e-3, warmup=30, weight_decay=0.1, clip=1.0),
        steps=600,
        batch=8,
        context=64,
        seeds=paired(range(seeds)),
        evaluations=20,
    )
    return _family(base, models, study)


def _family(base: Experiment, models: Sequence[Transformer], study: str) -> tuple[Experiment, ...]:
    """The same experiment for every model."""
    return tuple(replace(base, model=model, study=study, family=study) for model in models)


def kept(results: pl.DataFrame) -> pl.DataFrame:
    """The final exact matches."""
    return final_matches(results)


def longer(ends: pl.DataFrame) -> pl.DataFrame:
    """Those at twice and three times the longest answer of the training, the shortest that is tested."""
    return ends.filter((pl.col("length") / pl.col("length").min()).is_in([2.0, 3.0]))


def findings(ends: pl.DataFrame) -> list[Finding]:
    """P(success) and the mean of the successes of every cell on longer answers."""
    return success_findings(longer(ends), threshold=0.2)


def figure(ends: pl.DataFrame) -> alt.ConcatChart:
    """The distribution over seeds of every cell at every length."""
    return charts.violins(ends)
