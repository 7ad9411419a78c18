"""How do P(success), the quality of the successes and the distribution move with scale?"""

from __future__ import annotations

from typing import Any

import altair as alt
import polars as pl

from jaxemerge.analysis import forms_a_curve
from jaxemerge.analysis.results import some_tests
from jaxemerge.analysis.scale import SuccessFit

from .grids import success_by_setting
from .theme import (
    BETWEEN_COLOUR,
    FAINT,
    INK,
    PAGE,
    SCORE_TICKS,
    SEQUENCE,
    ZERO_COLOUR,
    by_order,
    by_test,
    in_order,
    inline,
    metric_title,
    scale_axis,
    share_axis,
    themed,
)

# Points per panel from which a panel needs the whole width of the page.
CROWDED = 40
# Tests in one panel.
MOST_TESTS = 8
APART = 5  # pixels between the tests of one scale


def success_against_scale(
    table: pl.DataFrame, scale: str, metric: str = "exact_match", panels: pl.DataFrame | None = None
) -> alt.ConcatChart:
    """P(success) and the mean of the successful seeds against scale, coloured by test, with 95 % intervals.

    Of very many tests some are shown (`MOST_TESTS`). Where the cells lie one after the other along the scale
    a line joins them; otherwise (one or two cells, grids, cells of one size) every cell has its place.

    Args:
        table: what `jaxemerge.analysis.summarise` returns.
        scale: what scale is, as `jaxemerge.analysis.scale_column` says.
        metric: whose summary it is.
        panels: what `jaxemerge.analysis.groups.panels` returns; where there are several, each has a line and
            a colour, and each test panels of its own.
    """
    threshold = table["threshold"][0]
    if panels is not None and panels["panel"].n_unique() > 1:
        return success_by_setting(table, scale, metric, panels)
    table = some_tests(table, MOST_TESTS)
    titles = {
        "success": f"P(success): share of seeds at {threshold:.0%} or more",
        "success_mean": f"mean score of the successful seeds ({threshold:.0%} or more)",
    }
    curve = forms_a_curve(table.unique("cell", maintain_order=True))
    narrow = curve or table.height <= CROWDED
    width = PAGE // 2 - 90 if narrow else PAGE - 90
    scores = metric_title(metric)
    drawn = []
    for column, title in titles.items():
        estimate = {"value": column, "low": f"{column}_low", "high": f"{column}_high"}
        rows = table.select("label", "test", "split", "length", "scale", "seeds", **estimate)
        axis = scores if column == "success_mean" else "share of seeds"
        panel = _curve(rows, axis, scale) if curve else _places(rows, axis)
        drawn.append(panel.properties(title=title, width=width, height=210))
    return themed(alt.concat(*drawn, columns=2 if narrow else 1, spacing=22))


def _curve(rows: pl.DataFrame, axis: str, scale: str) -> alt.LayerChart | alt.FacetChart:
    """Lines and intervals over a numeric scale axis, tests side by side at each scale."""
    tests = _tests(rows)
    x = scale_axis(sorted(rows["scale"].unique()), scale)
    base = alt.Chart(inline(rows)).encode(x=x, color=by_test(tests))
    layers: list[Any] = []
    for number, test in enumerate(tests):
        aside = (number - (len(tests) - 1) / 2) * APART
        only = base.transform_filter(alt.FieldEqualPredicate(field="test", equal=test))
        bar = only.mark_rule(strokeWidth=1.5, opacity=0.6, xOffset=aside)
        line = only.mark_line(strokeWidth=2, xOffset=aside)
        point = only.mark_circle(size=46, opacity=1, xOffset=aside)
        layers += [
            bar.encode(y=share_axis("low", axis), y2="high:Q"),
            line.encode(y=share_axis("value", axis)),
            point.encode(y=share_axis("value", axis), tooltip=_tooltip()),
        ]
    return alt.layer(*layers)


def _places(rows: pl.DataFrame, axis: str) -> alt.LayerChart | alt.FacetChart:
    """Points with error bars, one place per cell, tests side by side within it."""
    tests = _tests(rows)
    x = alt.X(
        "label:N",
        sort=in_order(rows, "label"),
        title=None,
        axis=alt.Axis(labelAngle=0 if rows["label"].n_unique() <= 4 else -40, labelLimit=200, grid=False),
        scale=alt.Scale(paddingInner=0.35, paddingOuter=0.2),
    )
    base = alt.Chart(inline(rows)).encode(
        x=x, xOffset=alt.XOffset("test:N", sort=tests), color=by_test(tests), tooltip=_tooltip()
    )
    bar = base.mark_rule(strokeWidth=2, opacity=0.5).encode(y=share_axis("low", axis), y2="high:Q")
    point = base.mark_circle(size=50, opacity=1).encode(y=share_axis("value", axis))
    return alt.layer(bar, point)


def _tests(rows: pl.DataFrame) -> list[str]:
    return in_order(rows.sort("split", "length"), "test")


def _tooltip() -> list[Any]:
    numbers = [alt.Tooltip(f"{name}:Q", format=".3f") for name in ("value", "low", "high")]
    return ["label:N", "test:N", "seeds:Q", *numbers]


LINES = {"logistic curve": INK, "best step": ZERO_COLOUR, "monotone shares": FAINT}
SIZE: dict[str, Any] = {"width": PAGE // 2 - 90, "height": 250}
DASHES = ([1, 0], [6, 3], [2, 2])


def success_curve(found: SuccessFit) -> alt.HConcatChart:
    """Two panels against scale: the shares of successful seeds and the mean scores of these seeds.

    Dots are cells with their 95 % intervals; on the left the logistic curve, the best step and the best
    monotone shares, and on the axis of the curve's midpoint its interval; on the right the power law.

    Args:
        found: of `jaxemerge.analysis.success_fit`.
    """
    x = _axis(found)
    quality = alt.layer(_law(found, x), *_cells(found, "success_mean", x, "mean score"))
    title = "mean score of the successful seeds, with its power law"
    return themed(alt.hconcat(_chance(found), quality.properties(**SIZE, title=title), spacing=30))


def success_chance(found: SuccessFit) -> alt.LayerChart:
    """The left panel of `success_curve` alone."""
    return themed(_chance(found))


def _chance(found: SuccessFit) -> alt.LayerChart | alt.FacetChart:
    x, threshold = _axis(found), found.cells["threshold"][0]
    panel = alt.layer(_lines(found, x), *_cells(found, "success", x, "share of seeds"), *_midpoint(found, x))
    return panel.properties(**SIZE, title=f"P(success): share of seeds at {threshold:.0%} or more")


def _axis(found: SuccessFit, field: str = "scale") -> alt.X:
    return scale_axis(sorted(found.cells["scale"].unique()), found.column, field)


def _cells(found: SuccessFit, column: str, x: alt.X, title: str) -> list[alt.Chart]:
    ends = {"value": column, "low": f"{column}_low", "high": f"{column}_high"}
    rows = found.cells.select("label", "scale", "seeds", **ends).drop_nulls("value")
    tooltip: list[Any] = ["label:N", "seeds:Q", *(alt.Tooltip(f"{name}:Q", format=".3f") for name in ends)]
    base = alt.Chart(inline(rows)).encode(x=x, tooltip=tooltip)
    bar = base.mark_rule(strokeWidth=1.6, color=BETWEEN_COLOUR).encode(
        y=share_axis("low", title), y2="high:Q"
    )
    dot = base.mark_circle(size=52, opacity=1, color=BETWEEN_COLOUR).encode(y=share_axis("value", title))
    return [bar, dot]


def _lines(found: SuccessFit, x: alt.X) -> alt.Chart:
    names = [name for name in LINES if name in set(found.lines()["fit"])]
    colours = alt.Scale(domain=names, range=[LINES[name] for name in names])
    dashes = alt.Scale(domain=names, range=[DASHES[list(LINES).index(name)] for name in names])
    return (
        alt.Chart(inline(found.lines().with_row_index("place")))
        .mark_line(strokeWidth=2)
        .encode(
            x=x,
            y=share_axis("value", "share of seeds"),
            order="place:Q",
            color=alt.Color("fit:N", scale=colours, sort=names, title=None),
            strokeDash=alt.StrokeDash("fit:N", scale=dashes, sort=names, title=None),
        )
    )


def _midpoint(found: SuccessFit, x: alt.X) -> list[alt.Chart]:
    """The midpoint's interval as far as the cells go, half way up; nothing where it is not known."""
    middle, interval = found.curve.midpoint.value, found.curve.midpoint.interval
    known = found.logarithmic["scale"]
    first, last = float(known.min()), float(known.max())  # type: ignore[arg-type]
    if not first <= middle <= last:
        return []
    height = (found.curve.floor.value + found.curve.ceiling.value) / 2
    low, high = max(float(interval.low), first), min(float(interval.high), last)
    rows = pl.DataFrame({"scale": [middle], "low": [low], "high": [high], "value": [height]})
    base = alt.Chart(inline(rows)).encode(y=share_axis("value", "share of seeds"))
    rule = base.mark_rule(strokeWidth=5, opacity=0.35, color=INK).encode(x=_axis(found, "low"), x2="high:Q")
    return [rule, base.mark_point(shape="diamond", size=70, filled=True, color=INK, opacity=1).encode(x=x)]


def _law(found: SuccessFit, x: alt.X) -> alt.Chart:
    base = alt.Chart(inline(found.means())).mark_line(strokeWidth=2, color=INK, clip=True)
    return base.encode(x=x, y=share_axis("value", "mean score"))


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
    titles = (f"threshold of success: {metric_title(metric)}", "P(success): share of seeds")
    share: dict[str, Any] = {
        "scale": alt.Scale(domain=[0, 1]),
        "axis": alt.Axis(format="%", values=SCORE_TICKS),
    }
    axis = alt.Axis(values=SCORE_TICKS, grid=False, format="~g")
    base = alt.Chart(inline(scan.drop("cell", "scale"))).encode(
        x=alt.X("threshold:Q", title=titles[0], scale=alt.Scale(domain=[0, 1]), axis=axis),
        color=by_order("label:N", labels, "cell"),
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
