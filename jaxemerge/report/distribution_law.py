"""What does the report show of the law of the distribution of scores?"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import polars as pl

from jaxemerge import charts
from jaxemerge.analysis.distribution_law import LawFit, distribution_law, study
from jaxemerge.analysis.findings import in_words
from jaxemerge.stats import Estimate, Interval
from jaxemerge.stats.laws.distribution.law import share_seeds

from .page import Figure, figure

BOOTSTRAPS = 60
MOST = 10_000  # scores of seeds on tests; the fits of larger studies take longer than the rest of the report
DOUBLING = float(np.log(2))


def whole_distribution(ends: pl.DataFrame, metric: str, threshold: float) -> Iterator[Figure]:
    """The law and its prediction of the largest cell, where there are enough cells and seeds.

    Nothing where `left_out` says why not.

    Args:
        ends: final results.
        metric: a share of items.
        threshold: what counts as success.
    """
    if left_out(ends, metric):
        return
    fit = distribution_law(ends, metric, threshold, bootstraps=BOOTSTRAPS)
    if fit is None:
        return
    yield figure(
        "distribution_law",
        "Which part of the distribution moves with scale? One law of all cells, seeds and tests",
        "P(success), the mean of the successes and their precision (of a beta-binomial) at the longest test, "
        "with 95% intervals over seeds and over departures of single cells from the law. " + sentence(fit),
        charts.law_curves(fit),
        fit.curves(),
    )
    names = " ".join(f"{name} {value:g}" for name, value in zip(fit.law.names, fit.held, strict=True))
    yield figure(
        "distribution_law_held_out",
        f"Does the law predict a cell that it has not seen? {names.capitalize()}",
        f"Bars are shares of the seeds, lines the law fitted without {names}. "
        + held_out_sentence(fit, threshold),
        charts.predicted_histograms(fit),
        fit.histograms(),
    )


def left_out(ends: pl.DataFrame, metric: str) -> str:
    """Why a report of a study with cells and seeds enough for the law has none; empty if it has one.

    Args:
        ends: final results.
        metric: a share of items.
    """
    found = study(ends, metric)
    if found is None:
        return ""
    if share_seeds(found.design, found.groups):
        return (
            "The law of the whole distribution is not fitted, as it has no term for runs that share seeds "
            "(a crossed design)."
        )
    if found.scores.size > MOST:
        return (
            f"The law of the whole distribution is not fitted here to {found.scores.size:,} final scores, "
            f"more than {MOST:,}: `jaxemerge.analysis.distribution_law` does it in minutes."
        )
    return ""


def sentence(fit: LawFit) -> str:
    """What moves the weights and what the means, per doubling, in logits."""
    law = fit.law
    listed = []
    for place, name in enumerate(law.names):
        weights, means = (
            in_words(per_doubling(each, place)) for each in (law.weight_slopes, law.mean_slopes)
        )
        listed.append(
            f"doubling {name} adds {weights} to the logit of P(success) and {means} to that of the mean"
        )
    return f"In logits: {'; '.join(listed)}. Departures of cells from the law: {in_words(law.cell_spread)}."


def per_doubling(slopes: Estimate, place: int) -> Estimate:
    """One slope per doubling instead of per unit of the logarithm."""
    value, low, high = (
        float(np.asarray(part)[place]) * DOUBLING
        for part in (slopes.value, slopes.interval.low, slopes.interval.high)
    )
    return Estimate(value, Interval(low, high))


def held_out_sentence(fit: LawFit, threshold: float) -> str:
    """The predicted share of seeds that reach the threshold in the held-out cell, and how many did."""
    below = fit.histograms().filter("held", pl.col("score") < threshold)
    last = below.group_by("length", maintain_order=True).last()
    seeds = int(fit.law.seen.seeds[np.all(fit.law.seen.scale == fit.held, axis=1)].sum())
    listed = []
    for length, upto, low, high, seen in last.select("length", "upto", "low", "high", "observed_upto").rows():
        predicted = Estimate(1 - upto, Interval(1 - high, 1 - low))
        listed.append(f"{in_words(predicted)} at length {length:g}, where {round(seeds * (1 - seen))} did")
    return (
        f"Predicted shares of its {seeds} seeds with {threshold:g} or more: {'; '.join(listed)} "
        "(95% bands that hold all scores and lengths of the cell together)."
    )
