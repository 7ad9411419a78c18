"""What does the report show of the training: curves of seeds, times of breakthrough, the loss?"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import polars as pl

from jaxemerge import charts
from jaxemerge.analysis import (
    Survival,
    breakthroughs,
    findings,
    learning_curves,
    survival,
)
from jaxemerge.charts.theme import metric_name
from jaxemerge.charts.training import MOST

from .page import Figure, figure

IN_A_ROW = 3  # evaluations that make a breakthrough


def learning(exact: pl.DataFrame, found: dict[str, Any], threshold: float) -> Iterator[Figure]:
    """The score over training on the test that the report shows, where it was measured more than once."""
    if exact["step"].n_unique() == 1:
        return
    test = findings.test_of(found)
    curves, name = learning_curves(exact, **test), metric_name(found["metric"]).capitalize()
    yield figure(
        "learning_curves",
        f"When do the seeds part? {name} at {found['test']} over training",
        f"{_thin(curves)}, the thick ones the median and the 10% and 90% quantiles over all seeds. "
        "Steps are on a log axis with a place for step 0. "
        + findings.arrival_sentence(curves, found["label"], threshold),
        charts.learning_curves(exact, **test),
    )


def breakthrough_times(exact: pl.DataFrame, found: dict[str, Any], threshold: float) -> Iterator[Figure]:
    """Times of breakthrough on the test that the report shows, if any seed breaks through."""
    metric = found["metric"]
    test = {"split": found["split"], "length": found["length"]}
    times = breakthroughs(exact, metric, threshold, in_a_row=IN_A_ROW, **test)
    if exact["step"].n_unique() == 1 or not times["observed"].any():
        return
    populations = survival(times)
    yield figure(
        "survival",
        f"How long do seeds take? Breakthroughs at {found['test']}",
        "Share of seeds that have not broken through, with 95% intervals (Kaplan-Meier). A breakthrough is "
        f"the first of {IN_A_ROW} evaluations in a row whose {metric_name(metric)} is {threshold:g} or more; "
        "between evaluations nothing is known: intervals start at the one before. A seed without one is "
        f"counted until the end of its training. {findings.breakthrough_sentence(populations)} "
        f"{findings.length_sentence(populations.curves, found['label'])} {relapse_sentence(populations)}",
        charts.survival_curves(populations.curves, populations.falls),
        populations.medians,
    )


def event_curves(times: pl.DataFrame, event: str) -> tuple[str, Figure]:
    """What is said and shown of event times that were given as a column."""
    found = survival(times)
    said = findings.breakthrough_sentence(found, f"reached {event}", "events")
    words = (
        f"Share of runs without {event}, with 95% intervals (Kaplan-Meier). A run without it is counted "
        f"until its end. {said}"
    )
    chart = charts.survival_curves(found.curves, found.falls, event, event.replace("_", " "))
    return said, figure("survival", f"When does it happen? {event}", words, chart, found.medians)


def relapse_sentence(found: Survival) -> str:
    """How many of the seeds that broke through fell below again, and how many for good."""
    broken, relapsed, lost = (int(found.medians[name].sum()) for name in ("broken", "relapsed", "lost"))
    if not relapsed:
        return f"No seed of the {broken} that broke through was below the threshold again."
    ends = "none ended" if not lost else f"{lost} ended"
    return (
        f"Of the {broken} seeds that broke through, {relapsed} were below the threshold again at some later "
        f"evaluation, and {ends} there for the last {IN_A_ROW} evaluations or more (ticks)."
    )


def training_loss(frame: pl.DataFrame) -> Iterator[Figure]:
    """The training loss, the smooth companion of the scores, if it was measured."""
    if "train_loss" not in set(frame["metric"].unique()) or frame["step"].n_unique() == 1:
        return
    losses = frame.filter(pl.col("metric") == "train_loss")
    unit = "" if losses["tokens"].null_count() == losses.height else ", in nats per token"
    yield figure(
        "training_loss",
        "Does the training loss distinguish the seeds?",
        f"Training loss of the same seeds{unit}; a diverged seed counts as an infinite loss. "
        + findings.loss_sentence(learning_curves(losses, "train_loss")),
        charts.learning_curves(losses, "train_loss"),
    )


def _thin(curves: pl.DataFrame) -> str:
    """Which seeds the thin lines are."""
    seeds = curves.select("cell", "init_seed", "data_seed").unique()["cell"].value_counts()
    if max(seeds["count"]) <= MOST:
        return "Thin lines are seeds"
    return f"Thin lines are {MOST} seeds of each cell, spread over the ranks of their last values"
