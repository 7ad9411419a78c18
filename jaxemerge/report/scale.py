"""What does the report show of the fits of success against scale?"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import polars as pl

from jaxemerge import charts
from jaxemerge.analysis import SuccessFit, cell_labels, scale_title, success_fit
from jaxemerge.analysis.findings import percent
from jaxemerge.stats import Estimate

from .figure import Figure, figure

LEVEL = 0.05


def success_against_scale_fitted(
    ends: pl.DataFrame, found: dict[str, Any], threshold: float
) -> Iterator[Figure]:
    """The curve of P(success) and the law of the successes on one test, where scales allow them.

    Args:
        ends: final results.
        found: what `findings.focus` returns: its test is shown.
        threshold: what counts as success.
    """
    scales = cell_labels(ends)["scale"]
    if scales.null_count() or scales.n_unique() < 2 or not scales.min() > 0:  # type: ignore[operator]
        return
    fit = success_fit(ends, found["metric"], threshold, split=found["split"], length=found["length"])
    yield figure(
        "success_curve",
        f"At what scale does success come, and does it come at once? At {found['test']}",
        "Dots are cells with 95% intervals (Wilson; bootstrap). The curve is logistic in the logarithm of "
        "scale, from 0 to a ceiling; the bar through the diamond is the 95% profile interval of its "
        "midpoint. Dashes are the best single step, dots the best shares that never fall. "
        + " ".join(sentences(fit)),
        charts.success_curve(fit),
        fit.table(),
    )


def sentences(fit: SuccessFit) -> list[str]:
    """What was found: the midpoint and ceiling, curve or step, the power law, depth against width."""
    title = scale_title(fit.column).partition(" (")[0]
    found = [_midpoint(fit, title), _step(fit), _law(fit, title)]
    if fit.depth_and_width is not None:
        found.append(_depth_and_width(fit))
    return found


def _midpoint(fit: SuccessFit, title: str) -> str:
    middle = fit.curve.midpoint
    if math.isnan(middle.value):
        return f"The shares do not tell at which {title} P(success) is half way up."
    if not 0 < middle.value < math.inf:
        end = "above" if middle.value else "below"
        return f"P(success) is half way up somewhere {end} the scales of these cells."
    way = "down" if _falls(fit) else "up"
    return (
        f"P(success) is half way {way} at {title} {_in_words(middle)}; its ceiling is "
        f"{_in_words(fit.curve.ceiling, percent)}."
    )


def _falls(fit: SuccessFit) -> bool:
    ends = fit.curve.probability(np.sort(fit.cells["scale"].to_numpy()))
    return bool(ends[-1] < ends[0])


def _step(fit: SuccessFit) -> str:
    p = fit.step.p_value
    if fit.step.statistic == 0:
        return (
            "No curve fits better than one step: these scales cannot tell a sudden change from a gradual one."
        )
    if p <= LEVEL:
        return f"One sudden step between two levels is refused (bootstrap likelihood ratio, p = {p:.2g})."
    return (
        f"One sudden step between two levels fits about as well (bootstrap likelihood ratio, p = {p:.2g}): "
        "these scales and seeds do not show that the change is gradual."
    )


def _law(fit: SuccessFit, title: str) -> str:
    exponent = fit.law.exponent
    if math.isnan(exponent.value):
        return "Successes at fewer than two scales have no power law."
    return f"The mean score of the successes goes as {title} to the power {_in_words(exponent)}."


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


def _in_words(estimate: Estimate, show: Any = None) -> str:
    show = show or _number
    low, high = estimate.interval.low, estimate.interval.high
    return f"{show(estimate.value)} [{show(float(low))}, {show(float(high))}]"


def _number(value: float | None) -> str:
    if value is None or math.isnan(value):
        return "unknown"
    if math.isinf(value):
        return "no bound"
    return f"{value:,.3g}" if abs(value) < 1000 else f"{value:,.0f}"
