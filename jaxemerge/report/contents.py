"""What does a report show? Its headline, its figures in their order, and the summary table."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import polars as pl

from jaxemerge import charts
from jaxemerge.analysis import breakthroughs, final, findings, learning_curves, summarise, survival
from jaxemerge.charts.curves import MOST

from .checks import checks
from .distribution import distributions
from .figure import Figure, figure
from .scale import success_against_scale_fitted


def contents(frame: pl.DataFrame, threshold: float) -> tuple[list[str], list[Figure], pl.DataFrame]:
    """Headline sentences, figures and summary table."""
    headline = findings.population_sentences(frame)
    metrics = set(frame["metric"].unique())
    if "exact_match" not in metrics:
        headline.append("Exact match was not measured: there are no scores to describe.")
        return headline, list(_training(frame, metrics)), pl.DataFrame()
    exact = frame.filter(pl.col("metric") == "exact_match")
    ends = final(exact)
    table = summarise(ends, threshold=threshold)
    found = findings.focus(ends)
    headline += [findings.two_sided_sentence(found), findings.success_sentence(table, found["test"])]
    figures = [*distributions(ends, table, found)]
    figures += success_against_scale_fitted(ends, found, threshold)
    figures += [_learning(exact, found, threshold), *_survival(exact, found, threshold)]
    figures += _training(frame, metrics)
    figures += checks(frame, ends, found, threshold)
    return headline, figures, table


def _learning(exact: pl.DataFrame, found: dict[str, Any], threshold: float) -> Figure:
    """Exact match over training on the most two-sided test."""
    test = {"split": found["split"], "length": found["length"]}
    curves = learning_curves(exact, "exact_match", **test)
    return figure(
        "learning_curves",
        f"When do the seeds part? Exact match at {found['test']} over training",
        f"{_thin(curves)}, the thick ones the median and the 10% and 90% quantiles over all seeds. "
        "Steps are on a log axis with a place for step 0. "
        + findings.arrival_sentence(curves, found["label"], threshold),
        charts.learning_curves(exact, "exact_match", **test),
    )


def _survival(exact: pl.DataFrame, found: dict[str, Any], threshold: float) -> Iterator[Figure]:
    """Times of breakthrough on the most two-sided test, if any seed breaks through."""
    times = breakthroughs(exact, "exact_match", threshold, split=found["split"], length=found["length"])
    if not times["observed"].any():
        return
    populations = survival(times)
    yield figure(
        "survival",
        f"How long do seeds take? Breakthroughs at {found['test']}",
        f"Share of seeds whose exact match has not yet come to stay at {threshold:g} or more, with 95% "
        "intervals (Kaplan-Meier); scores are known at evaluations only. A seed that never gets there is "
        f"counted until the end of its training. {findings.breakthrough_sentence(populations)} "
        + findings.length_sentence(populations.curves, found["label"]),
        charts.survival_curves(populations.curves),
        populations.medians,
    )


def _training(frame: pl.DataFrame, metrics: set[str]) -> Iterator[Figure]:
    """The training loss, the smooth companion of the scores, if it was measured."""
    if "train_loss" not in metrics:
        return
    losses = frame.filter(pl.col("metric") == "train_loss")
    yield figure(
        "training_loss",
        "Does the training loss tell the seeds apart?",
        "Training loss of the same seeds, in nats per token; a diverged seed counts as an infinite loss. "
        + findings.loss_sentence(learning_curves(losses, "train_loss")),
        charts.learning_curves(losses, "train_loss"),
    )


def _thin(curves: pl.DataFrame) -> str:
    """Which seeds the thin lines are."""
    seeds = curves.select("cell", "init_seed", "data_seed").unique()["cell"].value_counts()
    if max(seeds["count"]) <= MOST:
        return "Thin lines are seeds"
    return f"Thin lines are {MOST} seeds of each cell, spread over the ranks of their last values"
