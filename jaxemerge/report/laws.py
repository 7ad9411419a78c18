"""What does the report show of scaling laws of the loss, where runs have several sizes and lengths?"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import polars as pl

from jaxemerge import charts
from jaxemerge.analysis import (
    ScalingLaws,
    Trend,
    has_laws,
    law_groups,
    loss_metric,
    one_scale,
    scaling_laws,
)
from jaxemerge.analysis.findings import in_words
from jaxemerge.analysis.laws import HeldOut
from jaxemerge.charts.laws import APPROACHES, ladder_lines, steps_of
from jaxemerge.charts.theme import metric_name
from jaxemerge.stats import Envelope, IsoFlop, Ladder, ParametricLoss

from .page import Figure, figure, plain

MOST_GROUPS = 8  # that are fitted


def laws(frame: pl.DataFrame, *, alone: bool = False) -> Iterator[Figure]:
    """The laws and their questions, for each group of runs that may have one law.

    Args:
        frame: results.
        alone: whether the law of a size, of data or of compute alone is shown where nothing else varies. A
            design in which tokens follow parameters has one in any case.
    """
    metric = loss_metric(frame)
    if metric is None:
        return
    try:
        groups = law_groups(frame, metric)
    except ValueError as error:
        yield plain("laws", "Do the runs have a common law?", f"No law was fitted: {error}.")
        return
    for number, (name, rows) in enumerate(groups[:MOST_GROUPS]):
        for one in _of_group(rows, metric, alone):
            yield (
                one
                if not name
                else replace(
                    one,
                    name=f"{one.name}_{number + 1}",
                    heading=f"{one.heading}: {name}",
                    words=f"Of {len(groups)} groups, each with its own law, this is {name}. {one.words}",
                )
            )
    if len(groups) > MOST_GROUPS:
        left = ", ".join(name for name, _ in groups[MOST_GROUPS:])
        words = f"Laws of {MOST_GROUPS} groups are shown; without: {left}."
        yield plain("laws", "Which groups have no law here?", words)


def _of_group(frame: pl.DataFrame, metric: str, alone: bool) -> Iterator[Figure]:
    trend = one_scale(frame, metric)
    if trend is not None:
        if alone or trend.column == "flops":
            yield _one_scale(trend)
        return
    if not has_laws(frame):
        return
    found = scaling_laws(frame)
    name = metric_name(found.metric)
    drawn = [
        *([_parametric(found.parametric, found, name)] if found.parametric is not None else []),
        *([_isoflop(found.isoflop, found)] if found.isoflop is not None else []),
        *([_envelope(found.envelope, found)] if found.envelope is not None else []),
        *([_exponents(found)] if found.laws() else []),
        *([_ladder(found.ladder, found)] if found.ladder is not None else []),
        *([_held_out(found.held_out, name)] if found.held_out is not None else []),
    ]
    if not drawn:
        yield plain("laws", f"Which law does {name} follow?", "No law could be fitted." + _notes(found))
        return
    first, *others = drawn
    yield replace(first, words=first.words + _notes(found))
    yield from others


def _one_scale(found: Trend) -> Figure:
    law, title = found.law, {"flops": "compute", "parameters": "size", "tokens": "data"}[found.column]
    symbol = {"flops": "C", "parameters": "N", "tokens": "D"}[found.column]
    return figure(
        "law_of_one_scale",
        f"How does {metric_name(found.metric)} depend on {title}?",
        f"{found.why[0].upper()}{found.why[1:]}. Dots are runs; the line is {symbol} alone: E + "
        f"A ({symbol} / {law.centre:.3g})^-alpha with E {in_words(law.E)}, A {in_words(law.coefficient)} and "
        f"alpha {in_words(law.exponent)} (95% intervals, bootstrap over runs).",
        charts.one_scale(found),
        found.line(),
    )


def _parametric(law: ParametricLoss, found: ScalingLaws, name: str) -> Figure:
    lowest = float(law.loss.min())
    numbers = ", ".join(f"{n} {in_words(getattr(law, n))}" for n in ("E", "A", "alpha", "B", "beta"))
    return figure(
        "law_contours",
        f"How does {name} depend on size and data? E + A / N^alpha + B / D^beta",
        "Dots are runs, coloured by their loss; lines join equal losses of the fitted law; the broad line is "
        "the model size of the lowest loss at each budget, with its 95% interval. Fitted to "
        f"{len(law.loss)} runs (Huber loss of ln(loss), bootstrap over runs, 6 N D FLOPs): {numbers}. "
        f"The lowest loss of a run is {lowest:.3g}, {lowest - float(np.asarray(law.E.value)):.2g} above E.",
        charts.loss_contours(law),
        found.table(),
    )


def _isoflop(law: IsoFlop, found: ScalingLaws) -> Figure:
    best, flops = np.asarray(law.parameters.value), law.budgets
    listed = "; ".join(f"{n:,.0f} at {c:.2g} FLOPs" for n, c in zip(best, flops, strict=True))
    return figure(
        "isoflop",
        "Which model size is best at each budget? IsoFLOP profiles",
        "Left, the runs of each budget with a parabola in ln N and its minimum; right, the minima with 95% "
        f"intervals and their power law. The best sizes are {listed}: N_opt goes as C to the power "
        f"{in_words(law.law.a)}.",
        charts.isoflop_profiles(law, found.runs),
    )


def _envelope(law: Envelope, found: ScalingLaws) -> Figure:
    return figure(
        "envelope",
        "Which model size is best at each moment of training? The envelope of the curves",
        "Left, the loss of every run along its training, with the lowest of all sizes (thick); right, the "
        "size that reaches it; diamonds mark when each size is best between its neighbours, and the line is "
        f"their power law: N_opt goes as C to the power {in_words(law.law.a)}. Along "
        "a cosine the loss lies above that of a training which ends there, so that this is the least "
        "accurate of the three approaches.",
        charts.training_envelope(law, steps_of(found)),
    )


def _exponents(found: ScalingLaws) -> Figure:
    own = [f"{in_words(law.a)} by approach {APPROACHES[law.approach]}" for law in found.laws()]
    return figure(
        "exponents",
        "Do the approaches agree with each other and with published exponents?",
        "The exponent a of the best model size against training FLOPs. For these runs "
        f"it is {'; '.join(own)}. Below are published exponents of language models, which need not hold "
        "here.",
        charts.exponent_intervals(found.exponents()),
        found.exponents(),
    )


def _ladder(law: Ladder, found: ScalingLaws) -> Figure:
    chain = ladder_lines(law, found.runs)[1]
    miss = float((chain["predicted"] - chain["accuracy"]).abs().to_numpy().mean())
    return figure(
        "ladder",
        "From size and data to the loss, and from the loss to accuracy",
        "Left, accuracy against loss with the fitted sigmoid; right, measured accuracy against the "
        "prediction of both steps from N and D, with 95% intervals; the dashed line is equality. The mean "
        f"absolute error is {miss:.2g} on the runs it was fitted to.",
        charts.ladder_steps(law, found),
        chain,
    )


def _held_out(held: HeldOut, name: str) -> Figure:
    runs = held.runs
    off = ((runs["predicted"] - runs["loss"]) / runs["loss"]).to_numpy()
    inside = runs.filter(pl.col("loss").is_between(pl.col("low"), pl.col("high"))).height
    return figure(
        "held_out",
        "Do the smaller runs predict the larger ones?",
        f"The law was fitted again to the runs of at most {held.limit:.2g} FLOPs; here are its predictions "
        f"for the {name} of the {runs.height} others, with 95% intervals of the law, against the measured "
        f"values. Predictions are off by {np.abs(off).mean():.1%} on average, {off.mean():+.1%} with their "
        f"sign; the interval holds {inside} of {runs.height}. It leaves out the scatter of runs.",
        charts.predicted_against_held_out(runs),
        runs,
    )


def _notes(found: ScalingLaws) -> str:
    return f" Warnings and failed fits: {'; '.join(found.notes)}." if found.notes else ""
