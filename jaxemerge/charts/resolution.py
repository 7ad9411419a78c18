"""What can the test not see, and what would a smaller one have shown?"""

from __future__ import annotations

from typing import Any

import altair as alt
import polars as pl

from .scale import scale_axis
from .theme import BETWEEN_COLOUR, INK, PAGE, ZERO_COLOUR, decades, in_order, inline, sequential, themed

LIMITS = {
    "smallest": "one item of one seed",
    "limit": "95% limit of a seed that passes none",
    "pooled_limit": "95% limit if no seed passes any",
}
DASHES = ([1, 0], [6, 3], [2, 2])


def resolution_panel(seen: pl.DataFrame, smaller: pl.DataFrame, scale: str) -> alt.HConcatChart:
    """Left: mean scores on a log axis with what the test can see; right: seeds at 0 against its size.

    Cells with a mean of 0 are marked at the limit of all their seeds, by triangles: they are somewhere below.

    Args:
        seen: what `jaxemerge.analysis.resolution` returns.
        smaller: what `jaxemerge.analysis.smaller_tests` returns.
        scale: what scale is, as `jaxemerge.analysis.scale_column` says.
    """
    return themed(
        alt.hconcat(_limits(seen, scale), _sizes(smaller), spacing=30).resolve_scale(color="independent")
    )


def _limits(seen: pl.DataFrame, scale: str) -> alt.LayerChart | alt.FacetChart:
    x = scale_axis(sorted(seen["scale"].unique()), scale)
    lowest = float(seen.select(pl.min_horizontal(*LIMITS, pl.col("value").replace(0.0, 1.0)).min()).item())
    ticks = decades(lowest)
    y: dict[str, Any] = {"scale": alt.Scale(type="log", domain=[ticks[0], 1.0])}
    y["axis"] = alt.Axis(format="~g", values=ticks)
    y["title"] = "mean score (share of test items)"
    rows = seen.select("label", "scale", *LIMITS).unpivot(on=list(LIMITS), index=["label", "scale"])
    rules = rows.with_columns(limit=pl.col("variable").replace_strict(LIMITS))
    names = list(LIMITS.values())
    base = alt.Chart(inline(rules)).encode(x=x, y=alt.Y("value:Q", **y))
    line = base.mark_line(
        strokeWidth=1.6, color=ZERO_COLOUR, point={"color": ZERO_COLOUR, "size": 20}
    ).encode(
        strokeDash=alt.StrokeDash(
            "limit:N",
            sort=names,
            scale=alt.Scale(domain=names, range=DASHES),
            title=None,
            legend=alt.Legend(orient="bottom", direction="vertical", symbolType="stroke", symbolSize=300),
        )
    )
    shown = seen.with_columns(zero=pl.col("value") <= 0).with_columns(
        value=pl.when("zero").then("pooled_limit").otherwise("value")
    )
    cells = alt.Chart(inline(shown.select("label", "scale", "value", "zero"))).encode(
        x=x, y=alt.Y("value:Q", **y)
    )
    joined = cells.transform_filter("!datum.zero").mark_line(color=BETWEEN_COLOUR, strokeWidth=2)
    dot = cells.transform_filter("!datum.zero").mark_circle(size=52, opacity=1, color=BETWEEN_COLOUR)
    mark = cells.transform_filter("datum.zero").mark_point(
        shape="triangle-down", size=70, filled=True, opacity=1, color=INK
    )
    title = "mean over seeds, and what the test can see"
    return alt.layer(line, joined, dot, mark).properties(title=title, width=PAGE // 2 - 90, height=260)


def _sizes(smaller: pl.DataFrame) -> alt.Chart:
    labels = in_order(smaller, "label")
    colour = alt.Color(
        "label:N",
        sort=labels,
        title=None,
        scale=alt.Scale(domain=labels, range=sequential(len(labels))),
        legend=alt.Legend(orient="bottom", columns=4, symbolType="circle", symbolOpacity=1),
    )
    last = int(smaller["items"].max())  # type: ignore[arg-type]
    x = alt.X("items:Q", title="items of the test", scale=alt.Scale(type="log", domain=[1, last], nice=False))
    share = alt.Scale(domain=[0, 1])
    y = alt.Y("zero:Q", title="expected share of seeds", scale=share, axis=alt.Axis(format="%"))
    tooltip: list[Any] = ["label:N", "items:Q", alt.Tooltip("zero:Q", format=".3f")]
    base = alt.Chart(inline(smaller.select("label", "items", "zero"))).encode(
        x=x, y=y, color=colour, tooltip=tooltip
    )
    line = base.mark_line(strokeWidth=2, point={"size": 24})
    title = "seeds that score exactly 0 on a smaller test"
    return line.properties(title=title, width=PAGE // 2 - 90, height=260)
