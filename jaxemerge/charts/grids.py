"""How do two families compare, and what do two settings of a grid do?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import altair as alt
import polars as pl

from jaxemerge.analysis import scale_column
from jaxemerge.analysis.results import some_tests

from .theme import (
    BETWEEN_COLOUR,
    FAINT,
    PAGE,
    ZERO_COLOUR,
    by_order,
    in_order,
    inline,
    metric_title,
    scale_axis,
    share_axis,
    themed,
)

FAMILY_ASIDE = 4  # pixels from a cell's place


def means_by_family(ends: pl.DataFrame, table: pl.DataFrame, chance: float) -> alt.LayerChart:
    """Mean score against scale, a line per family with the 95 % interval of its mean; small dots are runs.

    Args:
        ends: final results of one metric on one test, of cells of two families.
        table: what `jaxemerge.analysis.summarise` returns of them, with the column family.
        chance: score of a guess, which a dashed rule marks.
    """
    families = sorted(table["family"].unique())
    column, title = scale_column(ends), metric_title(ends["metric"][0])
    colours = alt.Scale(domain=families, range=[ZERO_COLOUR, BETWEEN_COLOUR])
    colour = alt.Color("family:N", scale=colours, title=None, legend=alt.Legend(symbolOpacity=1))
    x = scale_axis(sorted(set(table["scale"])), column)
    runs = ends.select("family", "value", scale=pl.col(column).cast(pl.Float64))
    means = table.select("family", "label", "scale", "mean", "mean_low", "mean_high")
    rule = alt.Chart(inline(pl.DataFrame({"chance": [chance]}))).mark_rule(color=FAINT, strokeDash=[5, 4])
    layers = [rule.encode(y=share_axis("chance", title))]
    for family, aside in zip(families, (-FAMILY_ASIDE, FAMILY_ASIDE), strict=True):
        who = pl.col("family") == family
        where: dict[str, Any] = {"x": x, "xOffset": alt.value(aside), "color": colour}
        dots, base = (alt.Chart(inline(rows.filter(who))).encode(**where) for rows in (runs, means))
        layers += [
            dots.mark_circle(size=18, opacity=0.35).encode(y=share_axis("value", title)),
            base.mark_line(strokeWidth=2).encode(y=share_axis("mean", title)),
            base.mark_rule(strokeWidth=3).encode(y=share_axis("mean_low", title), y2="mean_high:Q"),
            base.mark_circle(size=60, opacity=1).encode(y=share_axis("mean", title)),
        ]
    return themed(alt.layer(*layers).properties(width=PAGE // 2 + 60, height=280))


CELL_ASIDE = 8  # pixels between cells of one place


def depth_and_width(table: pl.DataFrame) -> alt.HConcatChart:
    """P(success) against depth, a colour per width; the mean of successes against width, a colour per depth.

    Dots are cells of the grid, bars their 95 % intervals; lines join cells that differ in one of the two.

    Args:
        table: of one test, what `jaxemerge.analysis.summarise` returns.
    """
    threshold, test = table["threshold"][0], table["test"][0]
    size = {"width": PAGE // 2 - 90, "height": 250}
    chance = _grid_panel(table, "success", "depth", "width", "share of seeds")
    quality = _grid_panel(table, "success_mean", "width", "depth", "mean score")
    return themed(
        alt.hconcat(
            chance.properties(**size, title=f"P(success): share of seeds at {threshold:.0%} or more, {test}"),
            quality.properties(**size, title=f"mean score of the successful seeds, {test}"),
            spacing=30,
        ).resolve_scale(color="independent")
    )


TESTS = 3  # that have panels of their own


def success_by_setting(table: pl.DataFrame, scale: str, metric: str, panels: pl.DataFrame) -> alt.ConcatChart:
    """P(success) and the mean of the successes against scale, a line per setting of what else was varied.

    Args:
        table: what `jaxemerge.analysis.summarise` returns; of many tests three are shown.
        scale: what scale is.
        metric: whose summary it is.
        panels: what `jaxemerge.analysis.groups.panels` returns.
    """
    threshold = table["threshold"][0]
    names = in_order(panels, "panel")
    rows = some_tests(table, TESTS).join(panels, on="cell", maintain_order="left")
    size = {"width": PAGE // 2 - 90, "height": 210}
    drawn = []
    for (test,), part in rows.group_by("test", maintain_order=True):
        of = f", {test}" if rows["test"].n_unique() > 1 else ""
        chance = _grid_panel(part, "success", "scale", "panel", "share of seeds", scale, names)
        quality = _grid_panel(part, "success_mean", "scale", "panel", metric_title(metric), scale, names)
        drawn += [
            chance.properties(**size, title=f"P(success): share of seeds at {threshold:.0%} or more{of}"),
            quality.properties(**size, title=f"mean score of the successful seeds{of}"),
        ]
    return themed(alt.concat(*drawn, columns=2, spacing=22))


def _grid_panel(
    table: pl.DataFrame,
    column: str,
    along: str,
    beside: str,
    title: str,
    scale: str | None = None,
    names: Sequence[Any] = (),
) -> Any:
    ends = {"value": column, "low": f"{column}_low", "high": f"{column}_high"}
    rows = table.select(along, beside, "seeds", **ends).drop_nulls("value").sort(along, beside)
    kinds = list(names) or sorted(table[beside].unique())
    heading = None if names else beside
    colour = by_order(f"{beside}:O", kinds, heading, symbolType="circle", labelLimit=260)
    tooltip: list[Any] = [
        f"{along}:O",
        f"{beside}:O",
        "seeds:Q",
        *(alt.Tooltip(f"{name}:Q", format=".3f") for name in ends),
    ]
    layers: list[alt.Chart] = []
    for number, kind in enumerate(kinds):
        of_kind = alt.Chart(inline(rows.filter(pl.col(beside) == kind)))
        base = of_kind.encode(
            x=scale_axis(sorted(map(float, table[along].unique())), scale or along, along),
            # Cells at one place are offset.
            xOffset=alt.value(CELL_ASIDE * (number - (len(kinds) - 1) / 2)),
            color=colour,
            tooltip=tooltip,
        )
        layers += [
            base.mark_line(strokeWidth=1.2, opacity=0.5).encode(y=share_axis("value", title)),
            base.mark_rule(strokeWidth=2, opacity=0.6).encode(y=share_axis("low", title), y2="high:Q"),
            base.mark_circle(size=60, opacity=1).encode(y=share_axis("value", title)),
        ]
    return alt.layer(*layers)
