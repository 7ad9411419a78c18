"""What does a report show? Its headline, its figures in their order, and the summary table."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import polars as pl

from jaxemerge import charts
from jaxemerge.analysis import (
    breakthroughs,
    final,
    findings,
    is_share,
    learning_curves,
    loss_metric,
    main_metric,
    never_right,
    summarise,
    survival,
)
from jaxemerge.charts.curves import MOST
from jaxemerge.charts.theme import metric_name

from .checks import checks
from .distribution import distributions
from .emergence import emergences
from .figure import Figure, figure
from .laws import laws
from .pass_rates import pass_rates
from .scale import success_against_scale_fitted
from .values import values


def contents(
    frame: pl.DataFrame,
    threshold: float,
    metric: str | None,
    passes: pl.DataFrame | None = None,
    chance: float = 0.0,
    best_loss: float | None = None,
) -> tuple[list[str], list[Figure], pl.DataFrame]:
    """Headline sentences, figures and summary table of one metric, by default the frame's own main one."""
    headline = findings.population_sentences(frame)
    metrics = set(frame["metric"].unique())
    main = metric or main_metric(frame)
    of_loss = [*laws(frame), *pass_rates(passes)]
    share = main is not None and is_share(frame, main)
    # No exact answer anywhere is a result, but not what was asked beside a law of the loss, or where none can
    # be sure of one.
    if main is None or not share or ((of_loss or best_loss) and never_right(frame, main)):
        headline.append(f"{_missing(frame, main)}: there are no scores to describe.")
        shown = loss_metric(frame) if share else main
        figures = [*values(frame, shown), *of_loss, *_training(frame, metrics)]
        return headline, figures, pl.DataFrame()
    exact = frame.filter(pl.col("metric") == main)
    ends = final(exact)
    table = summarise(ends, main, threshold)
    found = findings.focus(ends, main)
    headline += [findings.two_sided_sentence(found), findings.success_sentence(table, found["test"])]
    figures = [*distributions(ends, table, found)]
    figures += success_against_scale_fitted(ends, found, threshold)
    figures += emergences(frame, ends, found, chance)
    figures += [*_learning(exact, found, threshold), *_survival(exact, found, threshold)]
    figures += [*of_loss, *_training(frame, metrics)]
    figures += checks(frame, ends, found, threshold)
    return headline, figures, table


def _missing(frame: pl.DataFrame, main: str | None) -> str:
    if main is None:
        return "Exact match was not measured"
    name = metric_name(main).capitalize()
    return f"{name} is 0 for every run" if is_share(frame, main) else f"{name} is no share of items"


def _learning(exact: pl.DataFrame, found: dict[str, Any], threshold: float) -> Iterator[Figure]:
    """The score over training on the most two-sided test, where it was measured more than once."""
    if exact["step"].n_unique() == 1:
        return
    test = {"metric": found["metric"], "split": found["split"], "length": found["length"]}
    curves, name = learning_curves(exact, **test), metric_name(found["metric"]).capitalize()
    yield figure(
        "learning_curves",
        f"When do the seeds part? {name} at {found['test']} over training",
        f"{_thin(curves)}, the thick ones the median and the 10% and 90% quantiles over all seeds. "
        "Steps are on a log axis with a place for step 0. "
        + findings.arrival_sentence(curves, found["label"], threshold),
        charts.learning_curves(exact, **test),
    )


def _survival(exact: pl.DataFrame, found: dict[str, Any], threshold: float) -> Iterator[Figure]:
    """Times of breakthrough on the most two-sided test, if any seed breaks through."""
    metric = found["metric"]
    times = breakthroughs(exact, metric, threshold, split=found["split"], length=found["length"])
    if exact["step"].n_unique() == 1 or not times["observed"].any():
        return
    populations = survival(times)
    yield figure(
        "survival",
        f"How long do seeds take? Breakthroughs at {found['test']}",
        f"Share of seeds whose {metric_name(metric)} has not yet come to stay at {threshold:g} or more, with "
        "95% intervals (Kaplan-Meier); scores are known at evaluations only. A seed that never gets there is "
        f"counted until the end of its training. {findings.breakthrough_sentence(populations)} "
        + findings.length_sentence(populations.curves, found["label"]),
        charts.survival_curves(populations.curves),
        populations.medians,
    )


def _training(frame: pl.DataFrame, metrics: set[str]) -> Iterator[Figure]:
    """The training loss, the smooth companion of the scores, if it was measured."""
    if "train_loss" not in metrics or frame["step"].n_unique() == 1:
        return
    losses = frame.filter(pl.col("metric") == "train_loss")
    unit = "" if losses["tokens"].null_count() == losses.height else ", in nats per token"
    yield figure(
        "training_loss",
        "Does the training loss tell the seeds apart?",
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
