"""The law of the distribution of scores: its parts against scale, and its predictions over histograms."""

from __future__ import annotations

import altair as alt
import polars as pl

from jaxemerge.analysis.distribution_law import LawFit

from .theme import BETWEEN_COLOUR, INK, PAGE, ZERO_COLOUR, by_order, in_order, inline, scale_axis, themed

MOST = 40  # bars of a histogram: scores of more items are put into bins


def law_curves(fit: LawFit) -> alt.HConcatChart:
    """P(success), mean and precision of the successes against the first coordinate, with 95 % bands.

    Colours are values of the second coordinate; the longest test is drawn.

    Args:
        fit: of `jaxemerge.analysis.distribution_law`.
    """
    first, *others = fit.law.names
    rows = fit.curves().filter(pl.col("length") == float(fit.law.lengths[-1]))
    rows = rows.with_columns(
        other=pl.concat_str(pl.format("{}", pl.col(name).cast(pl.Int64)) for name in others)
        if others
        else pl.lit("all")
    )
    x = scale_axis(sorted(set(fit.law.seen.scale[:, 0].tolist())), first, first)
    colour = by_order("other:N", in_order(rows, "other"), others[0] if others else None, symbolType="circle")
    if not others:
        colour = alt.Color("other:N", legend=None, scale=alt.Scale(range=[BETWEEN_COLOUR]))
    panels = []
    for part in in_order(rows, "part"):
        base = alt.Chart(inline(rows.filter(pl.col("part") == part))).encode(x=x, color=colour)
        axis = alt.Scale(type="log", nice=False) if part.startswith("precision") else alt.Scale(domain=[0, 1])
        y = alt.Y("value:Q", title=part, scale=axis)
        band = base.mark_area(opacity=0.15, clip=True).encode(
            y=alt.Y("low:Q", title=part, scale=axis), y2="high:Q"
        )
        panels.append(alt.layer(band, base.mark_line(strokeWidth=2, clip=True).encode(y=y)))
    size = {"width": PAGE // 3 - 80, "height": 230}
    return themed(alt.hconcat(*(panel.properties(**size) for panel in panels), spacing=30))


def predicted_histograms(fit: LawFit) -> alt.FacetChart:
    """Observed shares of the seeds in bins of score, and those predicted without the largest cell.

    Rows are tests, columns cells; the cell that the law has not seen is drawn in another colour.

    Args:
        fit: of `jaxemerge.analysis.distribution_law`.
    """
    rows = fit.histograms()
    labels = in_order(rows, "label")
    fine = pl.len().over("label", "length") > MOST
    place = pl.when(fine).then((pl.col("score") * MOST).round() / MOST).otherwise("score")
    binned = rows.with_columns(place=place).group_by("label", "length", "held", "place", maintain_order=True)
    named = binned.agg(pl.col("observed", "predicted").sum()).with_columns(
        test=pl.format("length {}", pl.col("length").cast(pl.Int64)),
        seen=pl.when("held").then(pl.lit("held out")).otherwise(pl.lit("fitted")),
    )
    base = alt.Chart(inline(named))
    x = alt.X("place:Q", title="score", axis=alt.Axis(values=[0, 0.5, 1]))
    colour = alt.Color(
        "seen:N",
        title="cell",
        scale=alt.Scale(domain=["fitted", "held out"], range=[BETWEEN_COLOUR, ZERO_COLOUR]),
    )
    y = alt.Y("observed:Q", title="share of seeds", axis=alt.Axis(format="%", tickCount=3))
    wide = max(60, min(220, (PAGE - 60) // len(labels) - 24))
    layered = alt.layer(
        base.mark_bar(width=3, opacity=0.75).encode(x=x, y=y, color=colour),
        base.mark_line(color=INK, strokeWidth=1.6).encode(x=x, y=alt.Y("predicted:Q"), order="place:Q"),
    ).properties(width=wide, height=90)
    return themed(
        layered.facet(
            column=alt.Column("label:N", sort=labels, title=None),
            row=alt.Row("test:N", sort=in_order(named, "test"), title=None),
        )
    )
