"""How do success and the quality of the successes move over a grid of depths and widths?"""

from __future__ import annotations

from typing import Any

import altair as alt
import polars as pl

from .scale import scale_axis
from .theme import PAGE, SCORE_TICKS, inline, sequential, themed

ASIDE = 8  # pixels between cells of one place


def depth_and_width(table: pl.DataFrame) -> alt.HConcatChart:
    """P(success) against depth, a colour per width; the mean of successes against width, a colour per depth.

    Dots are cells of the grid, bars their 95 % intervals; lines join cells that differ in one of the two.

    Args:
        table: of one test, what `jaxemerge.analysis.summarise` returns.
    """
    threshold, test = table["threshold"][0], table["test"][0]
    size = {"width": PAGE // 2 - 90, "height": 250}
    chance = _panel(table, "success", "depth", "width", "share of seeds")
    quality = _panel(table, "success_mean", "width", "depth", "mean score")
    return themed(
        alt.hconcat(
            chance.properties(**size, title=f"P(success): share of seeds at {threshold:.0%} or more, {test}"),
            quality.properties(**size, title=f"mean score of the successful seeds, {test}"),
            spacing=30,
        ).resolve_scale(color="independent")
    )


def _panel(table: pl.DataFrame, column: str, along: str, beside: str, title: str) -> Any:
    ends = {"value": column, "low": f"{column}_low", "high": f"{column}_high"}
    rows = table.select(along, beside, "seeds", **ends).drop_nulls("value").sort(along, beside)
    kinds = sorted(table[beside].unique())
    colour = alt.Color(
        f"{beside}:O",
        sort=kinds,
        scale=alt.Scale(domain=kinds, range=sequential(len(kinds))),
        legend=alt.Legend(title=beside, symbolOpacity=1, symbolType="circle"),
    )
    tooltip: list[Any] = [
        "depth:O",
        "width:O",
        "seeds:Q",
        *(alt.Tooltip(f"{name}:Q", format=".3f") for name in ends),
    ]
    layers: list[alt.Chart] = []
    for number, kind in enumerate(kinds):
        of_kind = alt.Chart(inline(rows.filter(pl.col(beside) == kind)))
        base = of_kind.encode(
            x=scale_axis(sorted(map(float, table[along].unique())), along, along),
            # Cells of one place stand beside each other.
            xOffset=alt.value(ASIDE * (number - (len(kinds) - 1) / 2)),
            color=colour,
            tooltip=tooltip,
        )
        layers += [
            base.mark_line(strokeWidth=1.2, opacity=0.5).encode(y=_share("value", title)),
            base.mark_rule(strokeWidth=2, opacity=0.6).encode(y=_share("low", title), y2="high:Q"),
            base.mark_circle(size=60, opacity=1).encode(y=_share("value", title)),
        ]
    return alt.layer(*layers)


def _share(column: str, title: str) -> alt.Y:
    axis = alt.Axis(format="%" if title == "share of seeds" else "~g", values=SCORE_TICKS)
    return alt.Y(f"{column}:Q", title=title, scale=alt.Scale(domain=[0, 1]), axis=axis)
