"""Between which scales do the distributions over seeds differ most?"""

from __future__ import annotations

import altair as alt
import polars as pl

from .theme import SEQUENCE, in_order, inline, themed

# Above this many cells the numbers would run into each other.
NUMBERED = 16


def distance_map(pairs: pl.DataFrame) -> alt.LayerChart:
    """Heat map of the Wasserstein-2 distances between all pairs of cells.

    Args:
        pairs: what `jaxemerge.analysis.distances` returns.
    """
    labels = in_order(pairs, "first")
    size = max(34, min(64, 700 // len(labels)))
    base = alt.Chart(inline(pairs)).encode(
        x=alt.X("second:N", sort=labels, title=None, axis=alt.Axis(labelAngle=-40, labelLimit=200)),
        y=alt.Y("first:N", sort=labels, title=None, axis=alt.Axis(labelLimit=200)),
        tooltip=[
            "first:N",
            "second:N",
            *(alt.Tooltip(f"{name}:Q", format=".3f") for name in ("distance", "p_value")),
        ],
    )
    colour = alt.Color(
        "distance:Q",
        scale=alt.Scale(domain=[0, 1], range=["#f7f7f7", *reversed(SEQUENCE)]),
        legend=alt.Legend(title="Wasserstein-2 distance", gradientLength=240),
    )
    layers = [base.mark_rect(stroke="white").encode(color=colour)]
    if len(labels) <= NUMBERED:
        ink = alt.when(alt.datum.distance > 0.35).then(alt.value("white")).otherwise(alt.value("black"))
        layers.append(
            base.mark_text(fontSize=11).encode(text=alt.Text("distance:Q", format=".2f"), color=ink)
        )
    return themed(alt.layer(*layers).properties(width=size * len(labels), height=size * 0.6 * len(labels)))
