"""Do the lumps that were fitted look like the seeds they were fitted to?"""

from __future__ import annotations

import altair as alt
import polars as pl

from jaxemerge.analysis import histogram
from jaxemerge.analysis.histogram import BETWEEN, ONE, ZERO

from .histograms import BAR, GAP, KINDS
from .theme import INK, PAGE, SCORE_TICKS, in_order, inline, metric_title, themed


def mixture_grid(
    frame: pl.DataFrame, curves: pl.DataFrame, metric: str = "exact_match", *, bins: int = 20
) -> alt.FacetChart:
    """One panel per cell: the seeds' final scores as bars, the mixture's expectation as a line and two dots.

    The dashed rule is the deepest valley, the cut between failure and success; panels without one have none.

    Args:
        frame: results of one test.
        curves: of `jaxemerge.analysis.Mixtures`, fitted to them with as many bins.
        metric: a metric in [0, 1].
        bins: of the histogram.

    Raises:
        ValueError: as `jaxemerge.analysis.histogram`.
    """
    bars = _bars(histogram(frame, bins, metric))
    rows = pl.concat([bars, _line(curves), _dots(curves), _cuts(curves)], how="diagonal")
    labels = in_order(curves, "label")
    columns = min(len(labels), 4 if len(labels) > 6 else 3)
    panel = _panel(rows).properties(width=(PAGE - 40) // columns - 50, height=120)
    faceted = panel.facet(facet=alt.Facet("label:N", sort=labels, title=None), columns=columns)
    title = f"Height: share of seeds (square-root scale). Left to right: {metric_title(metric)}."
    return themed(faceted.properties(title=title))


def _panel(rows: pl.DataFrame) -> alt.LayerChart | alt.FacetChart:
    x = alt.X(
        "left:Q",
        scale=alt.Scale(domain=[-2 * GAP - BAR, 1 + 2 * GAP + BAR], nice=False, zero=False),
        axis=alt.Axis(values=SCORE_TICKS, grid=False, format="~g"),
        title=None,
    )
    y = alt.Y(
        "share:Q",
        scale=alt.Scale(type="sqrt", domain=[0, 1], clamp=True),
        axis=alt.Axis(format="%", values=[0, 0.1, 0.5, 1], labelPadding=4),
        title=None,
    )
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


def _line(curves: pl.DataFrame) -> pl.DataFrame:
    inside = curves.filter(pl.col("kind") == BETWEEN)
    return inside.select("label", left="value", share="expected", mark=pl.lit("line"))


def _dots(curves: pl.DataFrame) -> pl.DataFrame:
    ends = curves.filter(pl.col("kind") != BETWEEN, pl.col("expected") > 1e-4)
    middle = pl.when(pl.col("kind") == ZERO).then(-GAP - BAR / 2).otherwise(1 + GAP + BAR / 2)
    return ends.select("label", left=middle, share="expected", mark=pl.lit("dot"))


def _cuts(curves: pl.DataFrame) -> pl.DataFrame:
    known = curves.filter(pl.col("cut").is_not_null()).unique("label", maintain_order=True)
    return known.select("label", left="cut", mark=pl.lit("cut"))
