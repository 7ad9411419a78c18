"""How do the chance of success and the quality of the successes move with scale?"""

from __future__ import annotations

from typing import Any

import altair as alt
import polars as pl

from jaxemerge.analysis import forms_a_curve, scale_title
from jaxemerge.analysis.labels import some_tests

from .theme import PAGE, PREFIXED, SCORE_TICKS, by_test, in_order, inline, metric_title, themed

# Span of scales from which doublings read better than differences.
LOG_SPAN = 4
# More scales than this have no ticks of their own.
MANY = 18
# Points per panel from which a panel needs the whole width of the page.
CROWDED = 40
# Tests in one panel.
MOST_TESTS = 8


def success_against_scale(table: pl.DataFrame, scale: str, metric: str = "exact_match") -> alt.ConcatChart:
    """Four panels against scale, coloured by test.

    Of very many tests some are shown (`MOST_TESTS`). P(success), the share of seeds above 50 %, the
    share below 10 % (Wilson bands) and the mean of the successful seeds (bootstrap band). Where the
    cells lie one after the other along the scale a line joins them; otherwise (one or two cells, grids,
    cells of one size) every cell has its place and error bars.

    Args:
        table: what `jaxemerge.analysis.summarise` returns.
        scale: what scale is, as `jaxemerge.analysis.scale_column` says.
        metric: whose summary it is.
    """
    threshold = table["threshold"][0]
    table = some_tests(table, MOST_TESTS)
    titles = {
        "success": f"P(success): share of seeds at {threshold:.0%} or more",
        "above_half": "share of seeds above 50%",
        "below_tenth": "share of seeds below 10%",
        "success_mean": f"mean score of the successful seeds ({threshold:.0%} or more)",
    }
    curve = forms_a_curve(table.unique("cell", maintain_order=True))
    narrow = curve or table.height <= CROWDED
    width = PAGE // 2 - 90 if narrow else PAGE - 90
    scores = metric_title(metric)
    panels = []
    for column, title in titles.items():
        estimate = {"value": column, "low": f"{column}_low", "high": f"{column}_high"}
        rows = table.select("label", "test", "split", "length", "scale", "seeds", **estimate)
        axis = scores if column == "success_mean" else "share of seeds"
        panel = _curve(rows, axis, scale) if curve else _places(rows, axis)
        panels.append(panel.properties(title=title, width=width, height=210))
    return themed(alt.concat(*panels, columns=2 if narrow else 1, spacing=22))


def scale_axis(scales: list[float], column: str, field: str = "scale") -> alt.X:
    """The axis of a column of scales that `field` holds: in doublings over two or more, else linear."""
    doubling = bool(scales) and scales[0] > 0 and scales[-1] >= LOG_SPAN * scales[0]
    # A tick at every cell while there is room for the numbers.
    shown = (
        {"values": scales if len(scales) <= 9 else scales[::2]} if len(scales) <= MANY else {"tickCount": 8}
    )
    whole = bool(scales) and scales[0] >= 1
    ticks = alt.Axis(**shown, labelExpr=PREFIXED if whole else "datum.value", grid=False)
    base = 2 if len(scales) <= MANY else 10
    kind: dict[str, Any] = {"type": "log", "base": base} if doubling else {"zero": False}
    if scales and scales[0] < scales[-1]:
        kind["domain"] = [scales[0], scales[-1]]  # also where there is nothing to draw
    scale = alt.Scale(**kind, padding=12, nice=False)
    return alt.X(f"{field}:Q", axis=ticks, title=scale_title(column), scale=scale)


def _curve(rows: pl.DataFrame, axis: str, scale: str) -> alt.LayerChart | alt.FacetChart:
    """Lines with bands over a numeric scale axis."""
    x = scale_axis(sorted(rows["scale"].unique()), scale)
    base = alt.Chart(inline(rows)).encode(x=x, color=by_test(_tests(rows)), tooltip=_tooltip())
    quiet = {"tooltip": alt.value(None)}
    band = base.mark_area(opacity=0.13).encode(y=_share("low", axis), y2="high:Q", **quiet)
    line = base.mark_line(strokeWidth=2).encode(y=_share("value", axis), **quiet)
    point = base.mark_circle(size=46, opacity=1).encode(y=_share("value", axis))
    return alt.layer(band, line, point)


def _places(rows: pl.DataFrame, axis: str) -> alt.LayerChart | alt.FacetChart:
    """Points with error bars, one place per cell, tests side by side within it."""
    tests = _tests(rows)
    x = alt.X(
        "label:N",
        sort=in_order(rows, "label"),
        title=None,
        axis=alt.Axis(labelAngle=0 if rows["label"].n_unique() <= 4 else -40, labelLimit=200, grid=False),
        scale=alt.Scale(paddingInner=0.35, paddingOuter=0.2),
    )
    base = alt.Chart(inline(rows)).encode(
        x=x, xOffset=alt.XOffset("test:N", sort=tests), color=by_test(tests), tooltip=_tooltip()
    )
    bar = base.mark_rule(strokeWidth=2, opacity=0.5).encode(y=_share("low", axis), y2="high:Q")
    point = base.mark_circle(size=50, opacity=1).encode(y=_share("value", axis))
    return alt.layer(bar, point)


def _tests(rows: pl.DataFrame) -> list[str]:
    return in_order(rows.sort("split", "length"), "test")


def _share(column: str, title: str) -> alt.Y:
    axis = alt.Axis(format="%" if title == "share of seeds" else "~g", values=SCORE_TICKS)
    return alt.Y(f"{column}:Q", title=title, scale=alt.Scale(domain=[0, 1]), axis=axis)


def _tooltip() -> list[Any]:
    numbers = [alt.Tooltip(f"{name}:Q", format=".3f") for name in ("value", "low", "high")]
    return ["label:N", "test:N", "seeds:Q", *numbers]
