"""Do the fitted components match the seeds, and does the loss of the same seeds show them too?"""

from __future__ import annotations

import altair as alt
import polars as pl

from jaxemerge.analysis import LossComparison, histogram
from jaxemerge.analysis.distribution import BETWEEN, ONE, ZERO

from .distribution import BAR, GAP, KINDS
from .theme import (
    BETWEEN_COLOUR,
    INK,
    PAGE,
    RULE,
    SCORE_TICKS,
    heights,
    in_order,
    inline,
    metric_title,
    themed,
)


def mixture_grid(
    frame: pl.DataFrame, curves: pl.DataFrame, metric: str = "exact_match", *, bins: int = 20
) -> alt.FacetChart:
    """One panel per cell: the seeds' final scores as bars, the mixture's expectation as a line and two dots.

    The dashed rule is the cut between failure and success, where the population is two-sided.

    Args:
        frame: results of one test.
        curves: of `jaxemerge.analysis.Mixtures`, fitted to them with as many bins.
        metric: a metric in [0, 1].
        bins: of the histogram.

    Raises:
        ValueError: as `jaxemerge.analysis.histogram`.
    """
    bars = _bars(histogram(frame, bins, metric))
    rows = pl.concat([bars, _expected_line(curves), _dots(curves), _cuts(curves)], how="diagonal")
    labels = in_order(curves, "label")
    columns = min(len(labels), 4 if len(labels) > 6 else 3)
    panel = _mixture_panel(rows).properties(width=(PAGE - 40) // columns - 50, height=120)
    faceted = panel.facet(facet=alt.Facet("label:N", sort=labels, title=None), columns=columns)
    title = f"Height: share of seeds. Left to right: {metric_title(metric)}."
    return themed(faceted.properties(title=title))


def _mixture_panel(rows: pl.DataFrame) -> alt.LayerChart | alt.FacetChart:
    x = alt.X(
        "left:Q",
        scale=alt.Scale(domain=[-2 * GAP - BAR, 1 + 2 * GAP + BAR], nice=False, zero=False),
        axis=alt.Axis(values=SCORE_TICKS, grid=False, format="~g"),
        title=None,
    )
    y = heights(rows.filter(pl.col("mark") == "bar")["share"])
    base = alt.Chart(inline(rows))
    bar = (
        base.transform_filter("datum.mark == 'bar'")
        .mark_rect(stroke="white", strokeWidth=0.5, opacity=0.8)
        .encode(x=x, x2="right:Q", y=y, y2=alt.datum(0), color=alt.Color("kind:N", scale=KINDS, title=None))
    )
    drawn = {"x": x, "y": y}
    line = base.transform_filter("datum.mark == 'line'").mark_line(color=INK, strokeWidth=1.8).encode(**drawn)
    dot = base.transform_filter("datum.mark == 'dot'").mark_circle(color=INK, size=40, opacity=1)
    cut = base.transform_filter("datum.mark == 'cut'").mark_rule(color=INK, strokeDash=[4, 3])
    return alt.layer(bar, line, dot.encode(**drawn), cut.encode(x=x))


def _bars(counts: pl.DataFrame) -> pl.DataFrame:
    kind = pl.col("kind")
    aside = pl.when(kind == ZERO).then(-GAP - BAR).when(kind == ONE).then(GAP).otherwise(0.0)
    thick = pl.when(kind == BETWEEN).then(0.0).otherwise(BAR)
    left, right = pl.col("low") + aside, pl.col("high") + aside + thick
    return counts.select("label", "kind", "share", left=left, right=right, mark=pl.lit("bar"))


def _expected_line(curves: pl.DataFrame) -> pl.DataFrame:
    inside = curves.filter(pl.col("kind") == BETWEEN)
    return inside.select("label", left="value", share="expected", mark=pl.lit("line"))


def _dots(curves: pl.DataFrame) -> pl.DataFrame:
    ends = curves.filter(pl.col("kind") != BETWEEN, pl.col("expected") > 1e-4)
    middle = pl.when(pl.col("kind") == ZERO).then(-GAP - BAR / 2).otherwise(1 + GAP + BAR / 2)
    return ends.select("label", left=middle, share="expected", mark=pl.lit("dot"))


def _cuts(curves: pl.DataFrame) -> pl.DataFrame:
    known = curves.filter(pl.col("cut").is_not_null()).unique("label", maintain_order=True)
    return known.select("label", left="cut", mark=pl.lit("cut"))


COLOURS = (BETWEEN_COLOUR, "#b8860b")


def loss_comparison(found: LossComparison) -> alt.HConcatChart:
    """One row per cell: its seeds' final scores on the left, their final losses on the right.

    Args:
        found: of `jaxemerge.analysis.compare_with_loss`.
    """
    labels = in_order(found.table, "label")
    columns = [
        _column(found, metric, labels, colour, first=place == 0)
        for place, (metric, colour) in enumerate(zip(in_order(found.table, "metric"), COLOURS, strict=True))
    ]
    return themed(alt.hconcat(*columns, spacing=24).resolve_scale(x="independent", y="shared"))


def _column(
    found: LossComparison, metric: str, labels: list[str], colour: str, *, first: bool
) -> alt.FacetChart:
    bins = found.bins.filter(pl.col("metric") == metric)
    ends = [*bins["low"], *bins["high"]]
    # A width that grows along the axis: the bins were made in the logarithm.
    widths = bins["high"] - bins["low"]
    logarithmic = not bins.is_empty() and widths.max() > 2 * widths.min()  # type: ignore[operator]
    kind = {"type": "log"} if logarithmic else {"zero": False}
    scale = alt.Scale(**kind, domain=[min(ends), max(ends)] if ends else [0, 1], nice=False)
    tooltip = ["label:N", *(alt.Tooltip(f"{name}:Q", format=".3g") for name in ("low", "high", "share"))]
    panel = (
        alt.Chart(inline(_every_label(bins, labels)))
        .mark_rect(color=colour, stroke="white", strokeWidth=0.5)
        .encode(
            x=alt.X("low:Q", scale=scale, title=metric_title(metric), axis=alt.Axis(format="~g", grid=False)),
            x2="high:Q",
            y=heights(found.bins["share"], low=True, gridColor=RULE, labels=first),
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
