"""How do values without bounds, such as losses, differ between cells, move with scale, and meet a target?"""

from __future__ import annotations

from itertools import combinations
from typing import Any

import numpy as np
import polars as pl

from jaxemerge.stats import TrendTest, holm, mean_at_most, mean_difference, trend_test

from .distribution import final_values
from .findings import supported
from .groups import by_panel, neighbours
from .kinds import AT_MOST, less_is_better
from .results import rows_of, scale_column, scale_title

PAIRS = 10  # of cells that are all compared; of more, neighbours are


def value_differences(frame: pl.DataFrame, metric: str, confidence: float = 0.95) -> pl.DataFrame:
    """Differences between the means of cells, test by test.

    All pairs where there are ten at most, else those that differ in one setting by one step.

    Args:
        frame: results.
        metric: any metric; failed runs are left out of means.
        confidence: probability in (0, 1).

    Returns:
        test, first, second (labels), difference (second less first), low, high (Welch's interval), p_value,
        p_adjusted (Holm's, for all rows); null where too few seeds say nothing.

    Raises:
        ValueError: as `final_values`.
    """
    rows: list[tuple[Any, ...]] = []
    near = neighbours(frame)
    for (test,), runs in final_values(frame, metric).runs.group_by("test", maintain_order=True):
        cells = {
            label: cell["value"].to_numpy() for (label,), cell in runs.group_by("label", maintain_order=True)
        }
        every = list(combinations(cells, 2))
        some = [(a, b) for a, b in near if a in cells and b in cells]
        for first, second in every if len(every) <= PAIRS else some:
            found = mean_difference(cells[first], cells[second], confidence)
            ends = found.difference.interval
            rows.append((test, first, second, found.difference.value, ends.low, ends.high, found.p_value))
    names = ("test", "first", "second", "difference", "low", "high", "p_value")
    schema = dict.fromkeys(names[:3], pl.String()) | dict.fromkeys(names[3:], pl.Float64())
    table = pl.DataFrame(rows, schema=schema, orient="row")
    return table.with_columns(p_adjusted=pl.Series(holm(table["p_value"].to_numpy()))).fill_nan(None)


def alone(differences: pl.DataFrame) -> str:
    """How many differences have no interval, as a sentence; empty if all have one."""
    number, pairs = differences["low"].null_count(), differences.height
    if not number:
        return ""
    of = (
        "The pair"
        if pairs == 1
        else f"All {pairs} pairs"
        if number == pairs
        else f"{number} of {pairs} pairs"
    )
    verb = "has" if number == 1 else "have"
    return f"{of} {verb} no interval and no p-value: Welch's test needs two runs that differ."


def value_trends(frame: pl.DataFrame, metric: str, key: Any = 0) -> dict[str, TrendTest]:
    """The change of a metric per doubling of scale on its first test, within each panel.

    Returns:
        By the names of `panels`; those without three positive scales are left out.

    Raises:
        ValueError: as `final_values`.
    """
    runs = final_values(frame, metric).runs
    if runs.is_empty():
        return {}
    known = runs.filter(pl.col("test") == runs["test"][0], pl.col("scale") > 0)
    return {
        panel: trend_test(np.log2(rows["scale"].to_numpy()), rows["value"].to_numpy(), key=key)
        for panel, rows in by_panel(known, frame).items()
        if rows["scale"].n_unique() >= 3
    }


def trend_sentence(frame: pl.DataFrame, metric: str) -> str:
    """The change per doubling of scale with its interval, in words; empty without three positive scales."""
    found = {
        panel: trend
        for panel, trend in value_trends(frame, metric).items()
        if not np.isnan(trend.slope.value)
    }
    if not found:
        return ""
    title = scale_title(scale_column(frame)).partition(" (")[0]
    by = f", by Holm for {len(found)}" if len(found) > 1 else ""
    said = [
        f"{_slope(trend)} (permutation p = {p:.2g}{by})" + (f" with {panel}" if panel else "")
        for (panel, trend), p in zip(found.items(), holm([t.p_value for t in found.values()]), strict=True)
    ]
    return f"Twice the {title} changes the mean by {'; '.join(said)}."


def _slope(trend: TrendTest) -> str:
    low, high = float(trend.slope.interval.low), float(trend.slope.interval.high)
    value, *ends = supported(float(trend.slope.value), low, high, sign="+")
    return f"{value} [{', '.join(ends)}]" if ends else value


def below_target(frame: pl.DataFrame, metric: str, target: float) -> pl.DataFrame:
    """Is the mean of each cell at most the target, or at least it where more is better? Student's tests.

    Returns:
        label, test, mean, bound (one-sided 95 % limit of the mean), p_value; null where one seed says
        nothing. Runs that failed are left out.

    Raises:
        ValueError: as `final_values`.
    """
    sign = 1.0 if less_is_better(metric) else -1.0
    rows = []
    for (label, test), runs in final_values(frame, metric).runs.group_by(
        "label", "test", maintain_order=True
    ):
        found = mean_at_most(sign * runs["value"].to_numpy(), sign * target)
        rows.append((label, test, sign * found.mean, sign * found.bound, found.p_value))
    names = {"label": pl.String, "test": pl.String} | dict.fromkeys(("mean", "bound", "p_value"), pl.Float64)
    return pl.DataFrame(rows, schema=names, orient="row").fill_nan(None)


def at_most(frame: pl.DataFrame, metric: str, limit: float) -> tuple[pl.DataFrame, str]:
    """The frame with rows of one more metric, which is 1 where a value is at most the limit, and else 0.

    Failed runs are above every limit. The share of runs at most at the limit is then P(success), with its
    curves and times.

    Args:
        frame: results.
        metric: any metric.
        limit: the largest value that is a success.

    Returns:
        The frame, and the name of the new metric.

    Raises:
        ValueError: if the metric is not there.
    """
    name = f"{metric}{AT_MOST}{limit:.12g}"
    met = (pl.col("value") <= limit).fill_null(False) & pl.col("value").is_not_nan().fill_null(False)
    rows = rows_of(frame, metric).with_columns(
        metric=pl.lit(name), value=met.cast(pl.Float64), trials=pl.lit(None, frame.schema["trials"])
    )
    return pl.concat([frame, rows.select(frame.columns)]), name
