"""Pass rates below what a test can see, predicted for the largest model from the smaller ones.

    python experiments/run.py pass_until_scaling --quick
    python experiments/run.py pass_until_scaling

Trains a series of models of depth 2 and growing width to count, and samples answers of ten numbers until
four pass (PassUntil, Hu et al. 2023, arXiv 2310.03262): a rate of 1e-4 is seen where no test of a few dozen
items could. The task scaling law P = exp(-c N^-alpha) is fitted without the largest model, to the average and
item by item, and what it predicts is compared with the measurement.

Cost, quick version, measured: 2 min 19 s on 2 cores, compilation, 1.6 million samples and report included
(121 s of training, 2026-11-25, AMD EPYC, 2 cores, jax 0.10.2).
The large version, by formula, not run: 9.7e14 FLOPs, without its samples.

Finds, quick version, 12 seeds per width, 8 items, 95 % intervals from bootstraps of seeds:

    width 10, rate of right answers: 0.000388 [0.000245, 0.000547]
    width 12, rate of right answers: 0.00564 [0.00382, 0.00756]
    width 16, rate of right answers: 0.031 [0.0248, 0.037]
    width 20, rate of right answers: 0.121 [0.061, 0.2]
    width 24, rate of right answers: 0.249 [0.184, 0.331]
    width 32, rate of right answers: 0.667 [0.577, 0.752]
    width 48, rate of right answers: 0.798 [0.763, 0.838]
    largest width, predicted by the law fitted to the average: 0.804 [0.748, 0.848]
    largest width, predicted by the law fitted item by item: 0.81 [0.734, 0.844]
    width 10, by the law fitted to the average: 0.000119 [4.86e-05, 0.000243]
    bend of the average rate, super-scaling: -0.431 [-0.605, -0.258]
    items that are super-scaling: 6
    items that are undecided: 2
    slope of F in ln(answer loss): 1.07 [1.03, 1.11]

The prediction for the largest model agrees with its measurement within intervals of 0.04 on either side. The
law does not describe the whole curve, though: growth is super-scaling, and at width 10 the fitted law is
about three times too low. Over the items the answer loss tells the rate: F = ln(-ln P) goes with a slope near
the 1 of P = exp(-loss).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import altair as alt
import polars as pl

from jaxemerge import AdamW, Count, Experiment, PassUntil, charts, llama, paired
from jaxemerge.analysis import has_task_scaling, task_scaling
from studies.finding import Finding, finding

NAME = "pass_until_scaling"
SAMPLES = True
LEVELS = {"dataset": "fitted to the average", "instance": "fitted item by item"}
QUICK = (10, 12, 16, 20, 24, 32, 48)
LARGE = (16, 20, 24, 32, 40, 48, 64, 80, 96, 128)


def cells(quick: bool = False) -> tuple[Experiment, ...]:
    """Models of depth 2 and one head, of growing width."""
    if quick:
        base = _base(Count(60, 10, (10,)), seeds=12, steps=400)
        asked = PassUntil(length=10, items=8, r=4, cap=20_000)
        return _series(base, QUICK, asked)
    base = _base(Count(150, 30, (30,)), seeds=32, steps=4_000)
    return _series(base, LARGE, PassUntil(length=30, items=16, r=4, cap=100_000))


def _base(task: Count, *, seeds: int, steps: int) -> Experiment:
    return Experiment(
        task=task,
        model=llama(2, 16, 1),
        optimizer=AdamW(learning_rate=3e-3, warmup=30, weight_decay=0.1, clip=1.0),
        steps=steps,
        batch=16,
        context=64,
        seeds=paired(range(seeds)),
        evaluations=6,
        study=NAME,
        family=NAME,
    )


def _series(base: Experiment, widths: Sequence[int], asked: PassUntil) -> tuple[Experiment, ...]:
    return tuple(replace(base, model=llama(2, width, 1), pass_until=asked) for width in widths)


def kept(passes: pl.DataFrame) -> pl.DataFrame:
    """All counts."""
    return passes


def findings(passes: pl.DataFrame) -> list[Finding]:
    """The rate at every width, what the law makes of the largest and the smallest, growth, the loss's part.

    Nothing, where nothing was passed at the widths fitted.
    """
    if not has_task_scaling(passes):
        return []
    found = task_scaling(passes)
    numbers = ("value", "low", "high")
    lines = [
        Finding(f"{row['label']}, rate of right answers", *(row[name] for name in numbers))
        for row in found.rates.rows(named=True)
    ]
    lines += [
        Finding(
            f"largest width, predicted by the law {LEVELS[row['level']]}", *(row[name] for name in numbers)
        )
        for row in found.predicted.rows(named=True)
    ]
    label, scale = found.rates.select("label", "scale").row(0)
    lines.append(finding(f"{label}, by the law fitted to the average", found.law.predict(scale)))
    lines.append(finding(f"bend of the average rate, {found.law.growth.name}", found.law.growth.bend))
    for name in sorted(set(found.laws.growth.name)):
        lines.append(Finding(f"items that are {name}", float((found.laws.growth.name == name).sum())))
    if found.relation is not None:
        lines.append(finding("slope of F in ln(answer loss)", found.relation.slope))
    return lines


def figure(passes: pl.DataFrame) -> alt.HConcatChart:
    """The rate against parameters, with the law fitted without the largest model."""
    found = task_scaling(passes)
    return charts.task_scaling(found.rates, found.law)
