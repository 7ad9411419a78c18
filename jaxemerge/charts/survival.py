"""How long do seeds take to break through?"""

from __future__ import annotations

import altair as alt
import polars as pl

from .curves import step_axis
from .theme import PAGE, in_order, inline, sequential, themed


def survival_curves(curves: pl.DataFrame) -> alt.LayerChart:
    """The share of seeds that have not broken through, against step: a stair with its band for every cell.

    Args:
        curves: of `jaxemerge.analysis.Survival`.
    """
    labels = in_order(curves, "label")
    scale = alt.Scale(domain=labels, range=sequential(len(labels)))
    base = alt.Chart(inline(curves)).encode(
        x=step_axis(curves["step"]),
        color=alt.Color(
            "label:N", scale=scale, sort=labels, title="cell", legend=alt.Legend(symbolOpacity=1)
        ),
    )
    share = alt.Scale(domain=[0, 1])
    title = "share of seeds without breakthrough"
    band = base.mark_area(opacity=0.12, interpolate="step-after").encode(
        y=alt.Y("low:Q", scale=share, title=title, axis=alt.Axis(format="%")), y2="high:Q"
    )
    line = base.mark_line(strokeWidth=2.2, interpolate="step-after").encode(
        y=alt.Y("survival:Q", scale=share, title=title)
    )
    return themed(alt.layer(band, line).properties(width=PAGE - 90, height=300))
