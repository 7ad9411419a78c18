"""Do seeds that part in the score also part in the loss?"""

from __future__ import annotations

import altair as alt
import polars as pl

from jaxemerge.analysis import SideBySide

from .theme import BETWEEN_COLOUR, INK, PAGE, RULE, in_order, inline, metric_title, themed

COLOURS = (BETWEEN_COLOUR, "#b8860b")


def null_grid(found: SideBySide) -> alt.HConcatChart:
    """One row per cell: its seeds' final scores on the left, their final losses on the right.

    Args:
        found: of `jaxemerge.analysis.side_by_side`.
    """
    labels = in_order(found.table, "label")
    columns = [
        _column(found.bins.filter(pl.col("metric") == metric), metric, labels, colour, first=place == 0)
        for place, (metric, colour) in enumerate(zip(in_order(found.table, "metric"), COLOURS, strict=True))
    ]
    return themed(alt.hconcat(*columns, spacing=24).resolve_scale(x="independent", y="shared"))


def _column(
    bins: pl.DataFrame, metric: str, labels: list[str], colour: str, *, first: bool
) -> alt.FacetChart:
    ends = [*bins["low"], *bins["high"]]
    # A width that grows along the axis: the bins were made in the logarithm.
    widths = bins["high"] - bins["low"]
    logarithmic = not bins.is_empty() and widths.max() > 2 * widths.min()  # type: ignore[operator]
    kind = {"type": "log"} if logarithmic else {"zero": False}
    scale = alt.Scale(**kind, domain=[min(ends), max(ends)] if ends else [0, 1], nice=False)
    share = alt.Y(
        "share:Q",
        title=None,
        scale=alt.Scale(type="sqrt", domain=[0, 1]),
        axis=alt.Axis(format="%", values=[0.1, 0.5], gridColor=RULE, labels=first),
    )
    tooltip = ["label:N", *(alt.Tooltip(f"{name}:Q", format=".3g") for name in ("low", "high", "share"))]
    panel = (
        alt.Chart(inline(_every_label(bins, labels)))
        .mark_rect(color=colour, stroke="white", strokeWidth=0.5)
        .encode(
            x=alt.X("low:Q", scale=scale, title=metric_title(metric), axis=alt.Axis(format="~g", grid=False)),
            x2="high:Q",
            y=share,
            y2=alt.datum(0),
            tooltip=tooltip,
        )
        .properties(width=PAGE // 2 - 120, height=44)
    )
    header = alt.Header(labelAngle=0, labelAlign="left", labelColor=INK, labels=first, labelOrient="left")
    return panel.facet(row=alt.Row("label:N", sort=labels, title=None, header=header), spacing=6)


def _every_label(bins: pl.DataFrame, labels: list[str]) -> pl.DataFrame:
    """A row of every cell, so that the two columns have the same rows even where no seed has a loss."""
    missing = [label for label in labels if label not in set(bins["label"])]
    return pl.concat([bins, pl.DataFrame({"label": missing}, schema={"label": pl.String})], how="diagonal")
