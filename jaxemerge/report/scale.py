"""What does the report show of success and of the distribution against scale?"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import polars as pl

from jaxemerge import charts
from jaxemerge.analysis import (
    SuccessFit,
    cell_labels,
    distances,
    findings,
    forms_a_curve,
    scale_column,
    scale_title,
    success_by_threshold,
    success_fit,
    two_sided_scale,
)
from jaxemerge.analysis.findings import in_words, percent
from jaxemerge.analysis.groups import by_panel
from jaxemerge.analysis.results import one_test
from jaxemerge.charts.scale import BANDED
from jaxemerge.stats import TrendTest, holm, trend_test

from .page import Figure, figure

LEVEL = 0.05
VAGUE = 1000  # an interval between ends that differ by more than this factor says nothing
MOST_PANELS = 6  # with a figure of their own
CURVE_SCALES = 5  # a curve of three parameters is not drawn through fewer


def success_against_scale_fitted(
    ends: pl.DataFrame, found: dict[str, Any], threshold: float
) -> Iterator[Figure]:
    """The curves of P(success) and the laws of the successes on one test, where scales allow them.

    Args:
        ends: final results.
        found: what `findings.focus` returns: its test is shown.
        threshold: what counts as success.
    """
    each = list(by_panel(ends, ends).items())
    for number, (panel, within) in enumerate(each[:MOST_PANELS]):
        one = _fitted(within, found, threshold, panel)
        if one is not None:
            yield one if len(each) == 1 else replace(one, name=f"{one.name}_{number + 1}")


def _fitted(ends: pl.DataFrame, found: dict[str, Any], threshold: float, panel: str) -> Figure | None:
    scales = cell_labels(ends)["scale"]
    if scales.null_count() or scales.n_unique() < CURVE_SCALES or scales.filter(scales > 0).n_unique() < 2:
        return None
    fit = success_fit(ends, found["metric"], threshold, split=found["split"], length=found["length"])
    goes = "is success lost, and is it lost" if fit.falls else "does success come, and does it come"
    where = f"{found['test']}, {panel}" if panel else found["test"]
    return figure(
        "success_curve",
        f"At what scale {goes} at once? At {where}",
        "Dots are cells with 95% intervals. The curve is logistic in the logarithm of "
        "scale, between 0 and a ceiling; the bar through the diamond is the 95% profile interval of its "
        "midpoint. Dashes are the best single step, dots the best monotone shares. "
        + " ".join(sentences(fit)),
        charts.success_curve(fit),
        fit.table(),
    )


def trend_words(ends: pl.DataFrame, found: dict[str, Any], threshold: float) -> str:
    """The change of P(success) per doubling of scale on one test, within each panel.

    Empty without two positive scales.

    Args:
        ends: final results.
        found: what `findings.focus` returns: its test is described.
        threshold: what counts as success.
    """
    scales = cell_labels(ends).select("cell", "scale").filter(pl.col("scale") > 0)
    runs = one_test(ends, **findings.test_of(found)).join(scales, on="cell")
    trends = {
        p: _trend(rows, threshold)
        for p, rows in by_panel(runs, ends).items()
        if rows["scale"].n_unique() >= 2
    }
    known = {panel: trend for panel, trend in trends.items() if not math.isnan(trend.p_value)}
    if not known:
        return ""
    title = scale_title(scale_column(ends)).partition(" (")[0]
    by = f", by Holm for {len(known)}" if len(known) > 1 else ""
    said = [
        f"{in_words(trend.slope, '{:+.2f}'.format)} (permutation p = {p:.2g}{by})"
        + (f" with {panel}" if panel else "")
        for (panel, trend), p in zip(known.items(), holm([t.p_value for t in known.values()]), strict=True)
    ]
    return f"At {found['test']}, twice the {title} changes P(success) by {'; '.join(said)}."


def _trend(runs: pl.DataFrame, threshold: float) -> TrendTest:
    succeeds = (runs["value"].fill_nan(0) >= threshold).cast(pl.Float64)
    return trend_test(np.log2(runs["scale"].to_numpy()), succeeds.to_numpy())


def sentences(fit: SuccessFit) -> list[str]:
    """What was found: the midpoint and ceiling, curve or step, the power law, depth against width."""
    title = scale_title(fit.column).partition(" (")[0]
    found = [_midpoint(fit, title), *_direction(fit, title), _step(fit), _law(fit, title)]
    if fit.left_out:
        found.append(f"Without a logarithm, and outside the fits: {', '.join(fit.left_out)}.")
    if fit.depth_and_width is not None:
        found.append(_depth_and_width(fit))
    return found


def _midpoint(fit: SuccessFit, title: str) -> str:
    middle, way = fit.curve.midpoint, "down" if fit.falls else "up"
    if math.isnan(middle.value):
        return f"The shares do not determine at which {title} P(success) is halfway between its levels."
    if not 0 < middle.value < math.inf:
        end = "above" if middle.value else "below"
        return f"P(success) is half way {way} somewhere {end} the scales of these cells."
    low, high = middle.interval.low, middle.interval.high
    if (low <= 0 and high == math.inf) or VAGUE * low < high < math.inf:
        return f"At which {title} P(success) is half way {way} is not determined; {_ceiling(fit)}."
    return f"P(success) is half way {way} at {title} {in_words(middle, _number)}; {_ceiling(fit)}."


def _ceiling(fit: SuccessFit) -> str:
    """The ceiling, and whether these scales determine one below 1."""
    ceiling, middle = fit.curve.ceiling, fit.curve.midpoint.interval
    if ceiling.interval.low == ceiling.interval.high:
        return "its ceiling is taken to be 100%, as two scales do not determine one"
    said = f"its ceiling is {in_words(ceiling, percent)}"
    scales = fit.logarithmic["scale"].to_numpy()
    outside = middle.low < scales.min() if fit.falls else middle.high > scales.max()
    if ceiling.interval.high >= 1:
        beyond = ", and half of it may lie beyond these scales" if outside else ""
        return f"{said}, so that a ceiling of 100% fits as well{beyond}"
    unseen = "smaller" if fit.falls else "larger"
    return f"{said}, if the curve is logistic: what {unseen} scales do was not seen"


def _direction(fit: SuccessFit, title: str) -> list[str]:
    """A sentence where the seeds do not show whether success rises or falls."""
    slope = fit.curve.slope.interval
    if slope.low <= 0 <= slope.high:
        return [f"Whether it rises or falls with {title} is not determined."]
    return []


def _step(fit: SuccessFit) -> str:
    p = fit.step.p_value
    if fit.step.statistic == 0:
        return (
            "No curve fits better than one step: these scales do not distinguish sudden from gradual changes."
        )
    if p <= LEVEL:
        return f"One sudden step between two levels is rejected (bootstrap likelihood ratio, p = {p:.2g})."
    return (
        f"One sudden step between two levels fits about as well (bootstrap likelihood ratio, p = {p:.2g}): "
        "these scales and seeds do not show that the change is gradual."
    )


def _law(fit: SuccessFit, title: str) -> str:
    exponent = fit.law.exponent
    if math.isnan(exponent.value):
        return "Successes at fewer than two scales have no power law."
    return f"The mean score of the successes goes as {title} to the power {in_words(exponent, _number)}."


def _depth_and_width(fit: SuccessFit) -> str:
    values = {row["parameter"]: row for row in fit.table().filter(fit="depth and width").rows(named=True)}
    words = [
        f"{name} {_number(row['value'])} [{_number(row['low'])}, {_number(row['high'])}]"
        for name, row in values.items()
    ]
    return (
        "With both in one curve the logits of success change, for every e-fold at the geometric mean of the "
        f"other, by: {', '.join(words)}."
    )


def _number(value: float | None) -> str:
    if value is None or math.isnan(value):
        return "unknown"
    if math.isinf(value):
        return "no bound"
    return f"{value:,.3g}" if abs(value) < 1000 else f"{value:,.0f}"


def distances_between_cells(ends: pl.DataFrame, found: dict[str, Any]) -> Iterator[Figure]:
    """How far apart the cells' populations are, if there are several cells."""
    pairs = distances(ends, **findings.test_of(found))
    near = _once(pairs)
    if near.is_empty():
        return
    yield figure(
        "distances",
        f"How far does the distribution move? Distances between cells at {found['test']}",
        "Each square is the Wasserstein-2 distance between the scores of two cells: 0 for equal "
        "distributions, 1 for all seeds at 0 against all at 1. " + _distance_words(near, ends, found),
        charts.distance_map(pairs),
        pairs,
    )


def _once(pairs: pl.DataFrame) -> pl.DataFrame:
    """Neighbours in order of scale, each pair once."""
    order = pairs["first"].unique(maintain_order=True).to_list()
    place = {label: number for number, label in enumerate(order)}
    first, second = (pl.col(c).replace_strict(place, return_dtype=pl.Int64) for c in ("first", "second"))
    return pairs.filter(second == first + 1)


def _distance_words(near: pl.DataFrame, ends: pl.DataFrame, found: dict[str, Any]) -> str:
    """The largest step between neighbours, its p-value, and where seeds are at both ends."""
    far = near.sort("distance", descending=True, maintain_order=True).row(0, named=True)
    tests = f", by Holm for {near.height} pairs" if near.height > 1 else ""
    words = (
        f"Of neighbouring cells, {far['first']} and {far['second']} are farthest apart, "
        f"{far['distance']:.2f} (permutation p = {far['p_adjusted']:.2g}{tests})."
    )
    if not forms_a_curve(cell_labels(ends)):
        return words
    sided = two_sided_scale(ends, **findings.test_of(found))
    turns, falls = float(sided.onset.value), sided.direction == "falls"
    already, never = (math.inf, 0.0) if falls else (0.0, math.inf)
    if turns == already:
        end = "largest" if falls else "smallest"
        return f"{words} At the {end} scale a tenth of the seeds or more are on either side already."
    if turns == never:
        return f"{words} At no scale is a tenth of the seeds on either side."
    title, down = scale_title(scale_column(ends)), " down" if falls else ""
    return f"{words} A tenth of the seeds are on either side from {title} = {turns:.3g}{down} on."


# Thresholds whose P(success) is put into words.
SAID = (0.1, 0.5, 0.9)


def thresholds(ends: pl.DataFrame, found: dict[str, Any], threshold: float) -> Figure:
    """P(success) of every cell for every definition of success."""
    scan = success_by_threshold(ends, **findings.test_of(found))
    bands = "Bands hold a whole line with 95% probability (Kolmogorov), however the threshold is chosen. "
    return figure(
        "thresholds",
        f"How does P(success) depend on the threshold of success? At {found['test']}",
        "Each line is one cell; where it is flat the threshold does not "
        f"matter. {bands if scan['cell'].n_unique() <= BANDED else ''}"
        + _threshold_words(scan.filter(pl.col("cell") == found["cell"]), found["label"], threshold),
        charts.success_by_threshold(scan, threshold, found["metric"]),
        scan,
    )


def _threshold_words(scan: pl.DataFrame, label: str, threshold: float) -> str:
    listed = []
    for place in SAID:
        row = scan.row(by_predicate=(pl.col("threshold") - place).abs() < 1e-9, named=True)
        ends = f"[{percent(row['low'])}, {percent(row['high'])}]"
        listed.append(f"{percent(row['success'])} {ends} at {place:g}")
    around = pl.col("threshold").is_between(threshold / 2, threshold * 2)
    near = scan.filter(around)["success"].to_list()
    words = f"P(success) of {label} is {', '.join(listed[:-1])} and {listed[-1]}."
    if not near:
        return words
    return (
        f"{words} Between half and twice the threshold of {threshold:g} it goes from {percent(max(near))} "
        f"to {percent(min(near))}."
    )
