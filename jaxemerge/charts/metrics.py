"""Do the same runs jump under one metric and climb smoothly under another?"""

from __future__ import annotations

from typing import Any

import altair as alt
import polars as pl

from .scale import scale_axis
from .theme import BETWEEN_COLOUR, INK, PAGE, in_order, inline, metric_title, themed

COLUMNS = 3


def metric_panel(means: pl.DataFrame, scores: pl.DataFrame, scale: str) -> alt.ConcatChart:
    """One panel per metric: the mean over seeds of every cell with its interval, and the emergence score.

    Args:
        means: what `jaxemerge.analysis.metric_means` returns.
        scores: what `jaxemerge.analysis.emergence_scores` returns, of the same test.
        scale: what scale is, as `jaxemerge.analysis.scale_column` says.
    """
    names = in_order(means, "metric")
    columns = 2 if len(names) == 4 else min(COLUMNS, len(names))
    known = dict(scores.select("metric", "score").rows())
    panels = [
        _panel(means.filter(pl.col("metric") == name), name, known.get(name), scale, PAGE // columns - 90)
        for name in names
    ]
    return themed(alt.concat(*panels, columns=columns, spacing=24).resolve_scale(y="independent"))


def _panel(
    rows: pl.DataFrame, name: str, score: float | None, scale: str, width: int
) -> alt.LayerChart | alt.FacetChart:
    title = name.replace("_", " ") + ("" if score is None else f", emergence score {score:.3g}")
    title_of_axis = metric_title(name).partition(" (")[2].removesuffix(")") or "mean over seeds"
    unit = not rows.is_empty() and 0 <= rows["low"].min() <= rows["high"].max() <= 1  # type: ignore[operator]
    domain: dict[str, Any] = {"domain": [0, 1]} if unit else {"zero": False}
    tooltip: list[Any] = ["label:N", "seeds:Q"]
    tooltip += [alt.Tooltip(f"{column}:Q", format=".3g") for column in ("value", "low", "high")]
    base = alt.Chart(inline(rows)).encode(
        x=scale_axis(sorted(rows["scale"].unique()), scale), tooltip=tooltip
    )

    def y(column: str) -> alt.Y:
        return alt.Y(f"{column}:Q", title=title_of_axis, scale=alt.Scale(**domain))

    bar = base.mark_rule(strokeWidth=1.6, color=BETWEEN_COLOUR).encode(y=y("low"), y2="high:Q")
    line = base.mark_line(strokeWidth=1.8, color=INK, opacity=0.7).encode(y=y("value"))
    dot = base.mark_circle(size=46, opacity=1, color=BETWEEN_COLOUR).encode(y=y("value"))
    return alt.layer(bar, line, dot).properties(title=title, width=width, height=190)
