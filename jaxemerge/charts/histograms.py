"""Which shape does the distribution over seeds have, cell by cell and test by test?"""

from __future__ import annotations

import altair as alt
import polars as pl

from jaxemerge.analysis import histogram
from jaxemerge.analysis.histogram import BETWEEN, ONE, ZERO
from jaxemerge.analysis.labels import with_test_label

from .theme import (
    BETWEEN_COLOUR,
    ONE_COLOUR,
    PAGE,
    SCORE_TICKS,
    ZERO_COLOUR,
    in_order,
    inline,
    metric_title,
    themed,
)

# Atoms stand just outside the unit interval, this far out and this wide.
GAP, BAR = 0.03, 0.06
MOST_COLUMNS = 8  # of tests whose names, with that of their split, find room
KINDS = alt.Scale(domain=[ZERO, BETWEEN, ONE], range=[ZERO_COLOUR, BETWEEN_COLOUR, ONE_COLOUR])


def histogram_grid(
    frame: pl.DataFrame, bins: int = 20, metric: str = "exact_match"
) -> alt.FacetChart | alt.VConcatChart:
    """Histograms of the final scores: rows are cells by scale, columns tests; atoms at 0 and 1 stand apart.

    Heights are on a square-root scale, so that single seeds can be seen beside a floor of most of them. Many
    tests of several splits make a grid per split, one below the other.

    Raises:
        ValueError: as `jaxemerge.analysis.histogram`.
    """
    counts = histogram(frame, bins, metric)
    title = f"Height: share of seeds (square-root scale). Left to right: {metric_title(metric)}."
    if counts["split"].n_unique() == 1 or counts["test"].n_unique() <= MOST_COLUMNS:
        return themed(_grid(counts).properties(title=title))
    parts = counts.sort("split").partition_by("split", maintain_order=True)
    grids = [_grid(with_test_label(part)).properties(title=part["split"][0]) for part in parts]
    return themed(alt.vconcat(*grids, spacing=30, title=title))


def _grid(counts: pl.DataFrame) -> alt.FacetChart:
    """Rows are cells, columns the tests of these counts."""
    aside = (
        pl.when(pl.col("kind") == ZERO).then(-GAP - BAR).when(pl.col("kind") == ONE).then(GAP).otherwise(0.0)
    )
    thick = pl.when(pl.col("kind") == BETWEEN).then(0.0).otherwise(BAR)
    bars = counts.with_columns(left=pl.col("low") + aside, right=pl.col("high") + aside + thick)
    labels, tests = in_order(bars, "label"), in_order(bars.sort("split", "length"), "test")
    width = min(max((PAGE - 160) // len(tests) - 14, 72), 300)
    height = 84 if len(labels) <= 6 else 50
    score = alt.X(
        "left:Q",
        scale=alt.Scale(domain=[-2 * GAP - BAR, 1 + 2 * GAP + BAR], nice=False, zero=False),
        axis=alt.Axis(values=[0, 0.5, 1] if width < 130 else SCORE_TICKS, grid=False, format="~g"),
        title=None,
    )
    # A square root shows one seed of 250 beside a floor of 90 %, and evens out the noise of counts.
    share = alt.Y(
        "share:Q",
        scale=alt.Scale(type="sqrt", domain=[0, 1]),
        axis=alt.Axis(format="%", values=[0, 0.1, 0.5, 1] if height > 60 else [0, 0.2, 1], labelPadding=4),
        title=None,
    )
    base = alt.Chart(inline(bars.drop("cell", "split", "length")))
    percent = alt.Tooltip("share:Q", format=".1%")
    header = alt.Header(labelAngle=0, labelAlign="left")
    return (
        base.mark_rect(stroke="white", strokeWidth=0.5)
        .encode(
            x=score,
            x2="right:Q",
            y=share,
            y2=alt.datum(0),
            color=alt.Color("kind:N", scale=KINDS, title=None),
            tooltip=[*(f"{c}:N" for c in ("label", "test", "kind", "low", "high", "count")), percent],
        )
        .properties(width=width, height=height)
        .facet(
            row=alt.Row("label:N", sort=labels, title=None, header=header),
            column=alt.Column("test:N", sort=tests, title=None),
            spacing={"row": 16, "column": 14},
        )
    )
