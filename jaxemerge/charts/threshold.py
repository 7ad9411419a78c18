"""Would another threshold of success tell another story?"""

from __future__ import annotations

from typing import Any

import altair as alt
import polars as pl

from .theme import FAINT, PAGE, SCORE_TICKS, in_order, inline, metric_title, sequential, themed

# The bands of more cells than this would be one grey area.
BANDED = 5


def success_by_threshold(scan: pl.DataFrame, threshold: float, metric: str = "exact_match") -> alt.LayerChart:
    """P(success) against the threshold of success, a stair for every cell.

    Bands hold the whole of a stair with 95 % probability; they are drawn for five cells or fewer. The rule
    is the threshold in use.

    Args:
        scan: what `jaxemerge.analysis.success_by_threshold` returns.
        threshold: in use elsewhere.
        metric: whose scores they are.
    """
    labels = in_order(scan, "label")
    scale = alt.Scale(domain=labels, range=sequential(len(labels)))
    titles = (f"threshold of success: {metric_title(metric)}", "P(success): share of seeds")
    share: dict[str, Any] = {
        "scale": alt.Scale(domain=[0, 1]),
        "axis": alt.Axis(format="%", values=SCORE_TICKS),
    }
    axis = alt.Axis(values=SCORE_TICKS, grid=False, format="~g")
    base = alt.Chart(inline(scan.drop("cell", "scale"))).encode(
        x=alt.X("threshold:Q", title=titles[0], scale=alt.Scale(domain=[0, 1]), axis=axis),
        color=alt.Color(
            "label:N", scale=scale, sort=labels, title="cell", legend=alt.Legend(symbolOpacity=1)
        ),
    )
    line = base.mark_line(strokeWidth=2.2, interpolate="step-before").encode(
        y=alt.Y("success:Q", title=titles[1], **share)
    )
    rule = alt.Chart().mark_rule(color=FAINT, strokeDash=[4, 3]).encode(x=alt.datum(threshold))
    layers = [rule, line]
    if len(labels) <= BANDED:
        band = base.mark_area(opacity=0.12, interpolate="step-before")
        layers.insert(0, band.encode(y=alt.Y("band_low:Q", title=titles[1], **share), y2="band_high:Q"))
    return themed(alt.layer(*layers).properties(width=PAGE - 90, height=300))
