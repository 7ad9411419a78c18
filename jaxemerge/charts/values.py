"""Where do the runs of every cell end, in a metric without bounds?"""

from __future__ import annotations

from typing import Any

import altair as alt
import polars as pl

from jaxemerge.analysis import Values

from .scale import scale_axis
from .theme import BETWEEN_COLOUR, FAINT, INK, PAGE, in_order, inline, metric_title, themed

# Values that span more than this are told apart only on a log axis.
LOG_SPAN = 10


def values_against_scale(found: Values, scale: str, metric: str) -> alt.ConcatChart:
    """One panel per test: dots are runs, the diamonds means with their 95 % intervals.

    Args:
        found: what `jaxemerge.analysis.final_values` returns.
        scale: what scale is, as `jaxemerge.analysis.scale_column` says.
        metric: whose values they are.
    """
    tests = in_order(found.table.sort("split", "length"), "test")
    columns = min(len(tests), 3)
    width = (PAGE - 40) // columns - 70
    panels = []
    for test in tests:
        runs, means = (part.filter(pl.col("test") == test) for part in found)
        panel = _panel(runs, means, scale, metric)
        title = test if len(tests) > 1 else ""
        panels.append(panel.properties(title=title, width=width, height=300 if columns == 1 else 210))
    return themed(alt.concat(*panels, columns=columns, spacing=20))


def _panel(
    runs: pl.DataFrame, means: pl.DataFrame, scale: str, metric: str
) -> alt.LayerChart | alt.FacetChart:
    x = _axis(means, scale)
    y = _value_scale(runs["value"])
    tooltip: list[Any] = ["label:N", "init_seed:Q", alt.Tooltip("value:Q", format=".4g")]
    dots = (
        alt.Chart(inline(runs.drop("cell", "test")))
        .mark_circle(size=26, color=BETWEEN_COLOUR, opacity=0.6)
        .encode(x=x, y=alt.Y("value:Q", title=metric_title(metric), scale=y), tooltip=tooltip)
    )
    if means["low"].count() == 0:
        return alt.layer(dots)
    base = alt.Chart(inline(means.select("label", "scale", "runs", "mean", "low", "high"))).encode(x=x)
    bar = base.mark_rule(color=INK, strokeWidth=1.6).encode(y=alt.Y("low:Q", scale=y), y2="high:Q")
    numbers = [alt.Tooltip(f"{c}:Q", format=".4g") for c in ("mean", "low", "high")]
    mark = base.mark_point(shape="diamond", filled=True, size=56, color=INK, opacity=1)
    return alt.layer(dots, bar, mark.encode(y=alt.Y("mean:Q", scale=y), tooltip=["label:N", *numbers]))


def _axis(means: pl.DataFrame, scale: str) -> alt.X:
    """Scale as a number, or the cells in their order where they have none or one only."""
    scales = sorted(means["scale"].drop_nulls().unique())
    if means["scale"].null_count() or len(scales) < 2:
        axis = alt.Axis(labelAngle=0 if means.height <= 4 else -40, labelLimit=220, domainColor=FAINT)
        return alt.X("label:N", sort=in_order(means, "label"), title=None, axis=axis)
    return scale_axis(scales, scale)


def _value_scale(values: pl.Series) -> alt.Scale:
    ends = (values.min(), values.max())
    low, high = (float(end) if end is not None else 1.0 for end in ends)  # type: ignore[arg-type]
    if low > 0 and high > LOG_SPAN * low:
        return alt.Scale(type="log", nice=True)
    return alt.Scale(zero=False)
