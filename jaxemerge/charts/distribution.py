"""What does the distribution over seeds look like, by cell and test?"""

from __future__ import annotations

import json

import altair as alt
import polars as pl

from jaxemerge.analysis import Values, density, final_scores, histogram
from jaxemerge.analysis.distribution import BETWEEN, ONE, ZERO
from jaxemerge.analysis.results import with_test_label

from .seeds import MARKED_COLOUR, if_marked, markable, seed_name
from .theme import (
    BETWEEN_COLOUR,
    FAINT,
    INK,
    ONE_COLOUR,
    PAGE,
    SCORE_TICKS,
    ZERO_COLOUR,
    heights,
    in_order,
    inline,
    metric_title,
    scale_axis,
    themed,
)

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
        _inner_seeds(scores).with_columns(place=place),
    ]
    columns = _panels_per_row(len(tests), len(labels))
    panels = []
    for number, test in enumerate(tests):
        of_test = [layer.filter(pl.col("test") == test) for layer in layers]
        # Axes are written once: scores at the left of each row, cells at the bottom of each column.
        y_title = metric_title(metric) if number % columns == 0 else None
        named = columns > 1 or number == len(tests) - 1
        panel = _violin_panel(of_test, labels, y_title, named=named, tall=columns > 1)
        width, height = _slot(len(labels)) * len(labels), 210 if columns > 1 else 170
        panels.append(panel.properties(title=test, width=width, height=height))
    return themed(markable(alt.concat(*panels, columns=columns, spacing=18)))


def _slot(cells: int) -> int:
    """Pixels across for one cell."""
    return max(40, min(130, 230 // cells)) if cells <= 5 else max(40, min(60, 960 // cells))


def _panels_per_row(tests: int, cells: int) -> int:
    """Panels per row: as many as fit, in rows of equal length where that is possible."""
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


def _inner_seeds(scores: pl.DataFrame) -> pl.DataFrame:
    """Seeds strictly inside, spread sideways by the golden ratio so that neighbours fall apart."""
    few = pl.len().over("label", "test") <= FEW_SEEDS
    aside = (pl.int_range(pl.len()).over("label", "test") * 0.618034 % 1.0 - 0.5) * 0.3
    return scores.with_columns(aside=aside, run=seed_name(scores)).filter(
        few, pl.col("value") > 0, pl.col("value") < 1
    )


def _violin_panel(
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
    left = pl.col("place") + pl.col("aside")
    dot = (
        alt.Chart(inline(dots.select("label", "value", "run", left=left)))
        .mark_circle()
        .encode(
            x=x,
            y=alt.Y("value:Q", scale=y),
            color=if_marked(MARKED_COLOUR, alt.value(INK)),
            size=if_marked(60, alt.value(14)),
            opacity=if_marked(1, alt.value(0.45)),
            tooltip=["label:N", "run:N", "value:Q"],
        )
    )
    return alt.layer(body, bar, dot)


# Atoms stand just outside the unit interval, this far out and this wide.
GAP, BAR = 0.03, 0.06
WRAPPED = 6  # cells above which the panels of a single test stand side by side
MOST_COLUMNS = 8  # of tests whose names, with that of their split, find room
KINDS = alt.Scale(domain=[ZERO, BETWEEN, ONE], range=[ZERO_COLOUR, BETWEEN_COLOUR, ONE_COLOUR])


def histogram_grid(
    frame: pl.DataFrame, bins: int = 20, metric: str = "exact_match"
) -> alt.FacetChart | alt.VConcatChart:
    """Histograms of the final scores: rows are cells by scale, columns tests; atoms at 0 and 1 stand apart.

    Many tests of several splits make a grid per split, one below the other. Many cells with a single test
    stand side by side.

    Raises:
        ValueError: as `jaxemerge.analysis.histogram`.
    """
    counts = histogram(frame, bins, metric)
    title = f"Height: share of seeds. Left to right: {metric_title(metric)}."
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
    wrapped = len(tests) == 1 and len(labels) > WRAPPED
    width = (PAGE - 160) // 4 if wrapped else min(max((PAGE - 160) // len(tests) - 14, 72), 300)
    height = 84 if wrapped or len(labels) <= 6 else 50
    score = alt.X(
        "left:Q",
        scale=alt.Scale(domain=[-2 * GAP - BAR, 1 + 2 * GAP + BAR], nice=False, zero=False),
        axis=alt.Axis(values=[0, 0.5, 1] if width < 130 else SCORE_TICKS, grid=False, format="~g"),
        title=None,
    )
    base = alt.Chart(inline(bars.drop("cell", "split", "length")))
    percent = alt.Tooltip("share:Q", format=".1%")
    header = alt.Header(labelAngle=0, labelAlign="left")
    panel = (
        # Half a pixel of outline: one seed of 250 is a line on the axis.
        base.mark_rect(strokeWidth=0.5)
        .encode(
            x=score,
            x2="right:Q",
            y=heights(bars["share"]),
            y2=alt.datum(0),
            color=alt.Color("kind:N", scale=KINDS, title=None),
            stroke=alt.Stroke("kind:N", scale=KINDS, legend=None),
            tooltip=[*(f"{c}:N" for c in ("label", "test", "kind", "low", "high", "count")), percent],
        )
        .properties(width=width, height=height)
    )
    if wrapped:
        return panel.facet(facet=alt.Facet("label:N", sort=labels, title=None), columns=4)
    return panel.facet(
        row=alt.Row("label:N", sort=labels, title=None, header=header),
        column=alt.Column("test:N", sort=tests, title=None),
        spacing={"row": 16, "column": 14},
    )


# Values that span more than this factor are on a log axis.
LOG_SPAN = 10


def values_against_scale(
    found: Values,
    scale: str,
    metric: str,
    panels: pl.DataFrame | None = None,
    limit: float | None = None,
) -> alt.ConcatChart:
    """One panel per test, and for each setting besides scale: dots are runs, diamonds means with intervals.

    Args:
        found: what `jaxemerge.analysis.final_values` returns.
        scale: what scale is, as `jaxemerge.analysis.scale_column` says.
        metric: whose values they are.
        panels: what `jaxemerge.analysis.groups.panels` returns.
        limit: value that is marked by a rule.
    """
    tests = in_order(found.table.sort("split", "length"), "test")
    settings = [("", found.table["cell"])]
    if panels is not None:
        settings = [(name, rows["cell"]) for (name,), rows in panels.group_by("panel", maintain_order=True)]
    places = [(test, *setting) for test in tests for setting in settings]
    columns = min(len(places), 3)
    width = (PAGE - 40) // columns - 70
    drawn = []
    named = found.runs.with_columns(run=seed_name(found.runs))
    for test, name, cells in places:
        where = (pl.col("test") == test) & pl.col("cell").is_in(cells.to_list())
        runs, means = (part.filter(where) for part in (named, found.table))
        if runs.is_empty():
            continue
        y = _value_scale(found.runs.filter(pl.col("test") == test)["value"])
        panel = _values_panel(runs, means, scale, metric, y, limit)
        title = ", ".join(part for part in (test if len(tests) > 1 else "", name) if part)
        drawn.append(panel.properties(title=title, width=width, height=300 if columns == 1 else 210))
    chart = alt.concat(*drawn, columns=columns, spacing=20)
    alike = len(settings) > 1 and len(tests) == 1
    return themed(markable(chart.resolve_scale(y="shared") if alike else chart))


def _values_panel(
    runs: pl.DataFrame, means: pl.DataFrame, scale: str, metric: str, y: alt.Scale, limit: float | None
) -> alt.LayerChart | alt.FacetChart:
    x = _cells_axis(means, scale)
    dots = (
        alt.Chart(inline(runs.drop("cell", "test")))
        .mark_circle()
        .encode(
            x=x,
            y=alt.Y("value:Q", title=metric_title(metric), scale=y),
            color=if_marked(MARKED_COLOUR, alt.value(BETWEEN_COLOUR)),
            size=if_marked(80, alt.value(26)),
            opacity=if_marked(1, alt.value(0.6)),
            tooltip=["label:N", "run:N", alt.Tooltip("value:Q", format=".4g")],
        )
    )
    layers = [dots]
    if limit is not None:
        rule = alt.Chart(inline(pl.DataFrame({"limit": [limit]}))).mark_rule(color=FAINT, strokeDash=[5, 4])
        layers.append(rule.encode(y=alt.Y("limit:Q", scale=y)))
    if means["low"].count() == 0:
        return alt.layer(*layers)
    base = alt.Chart(inline(means.select("label", "scale", "runs", "mean", "low", "high"))).encode(x=x)
    bar = base.mark_rule(color=INK, strokeWidth=1.6).encode(y=alt.Y("low:Q", scale=y), y2="high:Q")
    numbers = [alt.Tooltip(f"{c}:Q", format=".4g") for c in ("mean", "low", "high")]
    mark = base.mark_point(shape="diamond", filled=True, size=56, color=INK, opacity=1)
    return alt.layer(*layers, bar, mark.encode(y=alt.Y("mean:Q", scale=y), tooltip=["label:N", *numbers]))


def _cells_axis(means: pl.DataFrame, scale: str) -> alt.X:
    """Scale as a number, or the cells in their order where they have none or one only."""
    scales = sorted(means["scale"].drop_nulls().unique())
    if means["scale"].null_count() or len(scales) < 2:
        axis = alt.Axis(labelAngle=0 if means.height <= 4 else -40, labelLimit=220, domainColor=FAINT)
        return alt.X("label:N", sort=in_order(means, "label"), title=None, axis=axis)
    return scale_axis(scales, scale)


def _value_scale(values: pl.Series) -> alt.Scale:
    ends = (values.min(), values.max())
    low, high = (float(end) if end is not None else 1.0 for end in ends)  # type: ignore[arg-type]
    if low > 0 and high > LOG_SPAN * low:
        return alt.Scale(type="log", nice=True)
    return alt.Scale(zero=False)
