"""How does the distribution over seeds move with scale?"""

from __future__ import annotations

import json

import altair as alt
import polars as pl

from jaxemerge.analysis import density, final_scores, histogram
from jaxemerge.analysis.histogram import BETWEEN, ZERO

from .histograms import KINDS
from .theme import BETWEEN_COLOUR, INK, PAGE, SCORE_TICKS, in_order, inline, metric_title, themed

# Above this many seeds per cell the dots would hide the shape they make.
FEW_SEEDS = 40
# The widest a violin or bar gets, as a share of its cell's slot.
FULL = 0.86


def violins(frame: pl.DataFrame, metric: str = "exact_match") -> alt.ConcatChart:
    """One panel per test, one violin per cell in order of scale.

    Scores of exactly 0 and exactly 1 are bars outside the unit interval, as wide as the share of seeds they
    hold; the body between them is, where it is widest, as wide as the share of seeds strictly inside.

    Raises:
        ValueError: as `jaxemerge.analysis.density`.
    """
    scores = final_scores(frame, metric)
    labels, tests = in_order(scores, "label"), in_order(scores.sort("split", "length"), "test")
    place = pl.col("label").replace_strict(labels, list(range(len(labels))), return_dtype=pl.Float64)
    layers = [
        _bodies(density(frame, 61, metric)).with_columns(place=place),
        _atoms(histogram(frame, metric=metric)).with_columns(place=place),
        _dots(scores).with_columns(place=place),
    ]
    columns = _columns(len(tests), len(labels))
    panels = []
    for number, test in enumerate(tests):
        of_test = [layer.filter(pl.col("test") == test) for layer in layers]
        # Axes are written once: scores at the left of each row, cells at the bottom of each column.
        y_title = metric_title(metric) if number % columns == 0 else None
        named = columns > 1 or number == len(tests) - 1
        panel = _panel(of_test, labels, y_title, named=named, tall=columns > 1)
        width, height = _slot(len(labels)) * len(labels), 210 if columns > 1 else 170
        panels.append(panel.properties(title=test, width=width, height=height))
    return themed(alt.concat(*panels, columns=columns, spacing=18))


def _slot(cells: int) -> int:
    """Pixels across for one cell."""
    return max(40, min(130, 230 // cells)) if cells <= 5 else max(40, min(60, 960 // cells))


def _columns(tests: int, cells: int) -> int:
    """Panels beside each other: as many as fit, in rows of equal length where that is possible."""
    room = max(1, int(PAGE / (34 + _slot(cells) * cells)))
    return -(-tests // -(-tests // room))


def _bodies(shapes: pl.DataFrame) -> pl.DataFrame:
    """Width of each violin along the score, in slots."""
    peak = pl.col("density").max().over("label", "test")
    return shapes.with_columns(half=FULL / 2 * pl.col("share") * pl.col("density") / peak)


def _atoms(bins: pl.DataFrame) -> pl.DataFrame:
    """Bars below 0 and above 1, in slots."""
    bottom = pl.when(pl.col("kind") == ZERO).then(-0.075).otherwise(1.03)
    return bins.filter(pl.col("kind") != BETWEEN).with_columns(
        half=FULL / 2 * pl.col("share"), bottom=bottom, top=bottom + 0.045
    )


def _dots(scores: pl.DataFrame) -> pl.DataFrame:
    """Seeds strictly inside, spread sideways by the golden ratio so that neighbours fall apart."""
    few = pl.len().over("label", "test") <= FEW_SEEDS
    aside = (pl.int_range(pl.len()).over("label", "test") * 0.618034 % 1.0 - 0.5) * 0.3
    return scores.with_columns(aside=aside).filter(few, pl.col("value") > 0, pl.col("value") < 1)


def _panel(
    layers: list[pl.DataFrame], labels: list[str], y_title: str | None, *, named: bool, tall: bool
) -> alt.LayerChart | alt.FacetChart:
    bodies, atoms, dots = layers
    crowded = max(map(len, labels)) * 6.5 > _slot(len(labels))
    # json.dumps makes a string that the expression language reads as that string and nothing else.
    axis = alt.Axis(
        values=list(range(len(labels))),
        labelExpr=f"{json.dumps(labels)}[datum.value]",
        labelAngle=-40 if crowded else 0,
        labelLimit=200,
        labelOverlap=False,
        labels=named,
        grid=False,
        tickSize=0,
    )
    places = alt.Scale(domain=[-0.5, len(labels) - 0.5], nice=False, zero=False)
    x = alt.X("left:Q", scale=places, axis=axis, title=None)
    y = alt.Scale(domain=[-0.1, 1.1], nice=False)
    ticks = alt.Axis(values=SCORE_TICKS if tall else [0, 0.5, 1], format="~g", labels=y_title is not None)
    ends = {"left": pl.col("place") - pl.col("half"), "right": pl.col("place") + pl.col("half")}
    body = (
        alt.Chart(inline(bodies.with_columns(**ends).select("label", "value", "left", "right")))
        .mark_area(orient="horizontal", color=BETWEEN_COLOUR, opacity=0.85)
        .encode(y=alt.Y("value:Q", scale=y, axis=ticks, title=y_title), x=x, x2="right:Q", detail="label:N")
    )
    columns = ("label", "kind", "bottom", "top", "left", "right", "count", "share")
    bar = (
        alt.Chart(inline(atoms.with_columns(**ends).select(columns)))
        .mark_rect()
        .encode(
            x=x,
            x2="right:Q",
            y=alt.Y("bottom:Q", scale=y),
            y2="top:Q",
            color=alt.Color("kind:N", scale=KINDS, title=None),
            tooltip=["label:N", "kind:N", "count:Q", alt.Tooltip("share:Q", format=".1%")],
        )
    )
    dot = (
        alt.Chart(inline(dots.select("label", "value", "init_seed", left=pl.col("place") + pl.col("aside"))))
        .mark_circle(size=14, color=INK, opacity=0.45)
        .encode(x=x, y=alt.Y("value:Q", scale=y), tooltip=["label:N", "init_seed:Q", "value:Q"])
    )
    return alt.layer(body, bar, dot)
