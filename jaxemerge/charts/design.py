"""How does the power of a study grow with its seeds?"""

from __future__ import annotations

import altair as alt
import polars as pl

from .theme import FAINT, INK, inline, share_axis, themed


def power_against_seeds(table: pl.DataFrame, target: float) -> alt.LayerChart:
    """Share of simulated studies that answer a question, with 95 % intervals, and the power asked for.

    Args:
        table: what `jaxemerge.analysis.power_table` returns.
        target: power asked for, in (0, 1).
    """
    scale = alt.Scale(type="log", base=2, nice=False, padding=12)
    numbers = [alt.Tooltip(f"{c}:Q", format=".3f") for c in ("power", "low", "high")]
    base = alt.Chart(inline(table)).encode(
        x=alt.X("seeds:Q", scale=scale, title="seeds per cell", axis=alt.Axis(format="~d", grid=False)),
        tooltip=["seeds:Q", *numbers, "studies:Q"],
    )
    title = "power (share of studies that answer)"
    power = share_axis("power", title)
    line = base.mark_line(color=INK, strokeWidth=1.5).encode(y=power)
    dots = base.mark_circle(color=INK, size=50, opacity=1).encode(y=power)
    bars = base.mark_rule(color=INK, opacity=0.5).encode(y=share_axis("low", title), y2="high:Q")
    asked = alt.Chart(inline(pl.DataFrame({"target": [target]}))).mark_rule(color=FAINT, strokeDash=[4, 3])
    layers = alt.layer(asked.encode(y="target:Q"), bars, line, dots)
    return themed(layers.properties(width=460, height=260))
