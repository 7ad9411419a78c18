"""Values without bounds, such as losses, against one measure of scale."""

from __future__ import annotations

import altair as alt
import polars as pl

from jaxemerge.analysis.results import scale_title
from jaxemerge.analysis.trends import Trend

from .laws import FLOPS, LOSS, SIZE, log_axis, tooltips
from .theme import BETWEEN_COLOUR, INK, PAGE, inline, metric_title, themed


def one_scale(found: Trend) -> alt.LayerChart:
    """Losses against one measure of scale, with their power law and its interval.

    Args:
        found: of `jaxemerge.analysis.one_scale` or `laws_of_scale`.
    """
    titles = {"flops": FLOPS, "parameters": SIZE, "tokens": "tokens D"}
    name = LOSS if found.why else metric_title(found.metric)
    x = log_axis(alt.X, "scale", titles.get(found.column, scale_title(found.column)))
    y = alt.Scale(type="log", zero=False, nice=False, padding=10)
    shown = [c for c in ("parameters", "tokens", "init_seed") if c in found.runs.columns]
    runs = found.runs.select("loss", *shown, scale=pl.col(found.column).cast(pl.Float64))
    base = alt.Chart(inline(found.line())).encode(x=x)
    parts = [
        base.mark_line(color=INK, strokeWidth=2).encode(y=alt.Y("value:Q", title=name, scale=y)),
        alt.Chart(inline(runs))
        .mark_circle(size=46, opacity=0.9, color=BETWEEN_COLOUR)
        .encode(x=x, y=alt.Y("loss:Q", title=name, scale=y), tooltip=tooltips(*shown, "loss")),
    ]
    if found.line()["low"].count():
        band = base.mark_area(opacity=0.15, color=INK)
        parts.insert(0, band.encode(y=alt.Y("low:Q", title=name, scale=y), y2="high:Q"))
    return themed(alt.layer(*parts).properties(width=PAGE - 110, height=300))
