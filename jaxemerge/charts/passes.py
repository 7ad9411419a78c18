"""Pass rates against scale, with the task scaling law and its predictions."""

from __future__ import annotations

from typing import Any

import altair as alt
import numpy as np
import polars as pl

from jaxemerge.stats import TaskScaling

from .theme import (
    BETWEEN_COLOUR,
    FAINT,
    INK,
    PAGE,
    ZERO_COLOUR,
    by_order,
    decades,
    in_order,
    inline,
    scale_axis,
    themed,
)

PLACES = 81
LEAST = 1e-300  # rates below it are drawn at it
GROWTH = {
    "scaling": INK,
    "sub-scaling": ZERO_COLOUR,
    "super-scaling": "#009e73",
    "undecided": FAINT,
}


def task_scaling(
    rates: pl.DataFrame, law: TaskScaling, scale: str = "parameters", *, band: bool = True
) -> alt.HConcatChart:
    """P(pass) of one curve against scale with its law, on two axes.

    Left: P on a log axis. Right: F = ln(-ln P), on which the law is a straight line. Cells that were held out
    have another colour; the line is the prediction there. Cells without a pass are triangles at their upper
    limit.

    Args:
        rates: scale, value, low, high, unseen, held_out; one row per scale.
        law: one curve.
        scale: what scale is.
        band: whether to draw the bootstrap interval of the law.
    """
    panels = [_panel(rates, law, scale, doubly, band) for doubly in (False, True)]
    return themed(alt.hconcat(*panels, spacing=34))


def _panel(rates: pl.DataFrame, law: TaskScaling, scale: str, doubly: bool, band: bool) -> Any:
    known = sorted(rates["scale"].unique())
    places = np.geomspace(known[0], known[-1], PLACES)
    ahead = law.predict(places)
    columns = {"value": ahead.value, "low": ahead.interval.low, "high": ahead.interval.high}
    line = pl.DataFrame({"scale": places, **{n: np.asarray(v, np.float64) for n, v in columns.items()}})
    cells = rates.with_columns(
        value=pl.when("unseen").then("high").otherwise("value"),
        kind=pl.when("held_out").then(pl.lit("held out")).otherwise(pl.lit("fitted")),
    )
    if doubly:
        line, cells = (_doubly(frame) for frame in (line, cells))
    title = "F = ln(-ln P)" if doubly else "P(pass)"
    domain = _domain(cells, line, doubly)
    ticks = _ticks(*domain) if doubly else decades(domain[0])
    if doubly:  # a number at the upper edge lifts the title of its panel: now both have one
        domain[0] = ticks[0]
    kind: dict[str, Any] = {"domain": domain, "nice": False}
    kind |= {"reverse": True} if doubly else {"type": "log"}
    axis = alt.Axis(format="~g", values=ticks)

    def y(column: str) -> alt.Y:
        return alt.Y(f"{column}:Q", title=title, scale=alt.Scale(**kind), axis=axis)

    def x() -> alt.X:
        return scale_axis(known, scale)

    fit = alt.Chart(inline(line)).encode(x=x())
    layers: list[Any] = []
    if band and np.isfinite(np.asarray(ahead.interval.low)).all():
        layers.append(fit.mark_area(opacity=0.13, color=INK, clip=True).encode(y=y("low"), y2="high:Q"))
    layers.append(fit.mark_line(strokeWidth=2, color=INK, clip=True).encode(y=y("value")))
    colour = alt.Color(
        "kind:N",
        title=None,
        scale=alt.Scale(domain=["fitted", "held out"], range=[BETWEEN_COLOUR, ZERO_COLOUR]),
        legend=alt.Legend(symbolType="circle", symbolOpacity=1),
    )
    base = alt.Chart(inline(cells.select("scale", "value", "low", "high", "unseen", "kind"))).encode(
        x=x(), color=colour
    )
    seen = base.transform_filter("!datum.unseen")
    layers.append(seen.mark_rule(strokeWidth=1.6, clip=True).encode(y=y("low"), y2="high:Q"))
    layers.append(seen.mark_circle(size=60, opacity=1).encode(y=y("value")))
    limit = base.transform_filter("datum.unseen")
    layers.append(
        limit.mark_point(shape="triangle-down", size=80, filled=True, opacity=1).encode(y=y("value"))
    )
    name = "where the law is a straight line" if doubly else "as a probability"
    return alt.layer(*layers).properties(title=name, width=PAGE // 2 - 90, height=270)


def _doubly(frame: pl.DataFrame) -> pl.DataFrame:
    inside = [pl.col(c).clip(LEAST, 1 - 1e-9) for c in ("value", "low", "high")]
    return frame.with_columns((-(e.log())).log() for e in inside)


def _domain(cells: pl.DataFrame, line: pl.DataFrame, doubly: bool) -> list[float]:
    seen = cells.filter(~pl.col("unseen"))
    ends = np.concatenate(
        [cells["value"].to_numpy(), line["value"].to_numpy(), seen["low"].to_numpy(), seen["high"].to_numpy()]
    )
    ends = ends[np.isfinite(ends)]
    if doubly:
        return [float(ends.min()) - 0.1, float(ends.max()) + 0.1]
    centre = np.concatenate([cells["value"].to_numpy(), line["value"].to_numpy()])
    positive = centre[np.isfinite(centre) & (centre > 0)]
    return [float(max(positive.min() / 2, 1e-8)), 1.0]


def _ticks(low: float, high: float) -> list[float]:
    """About six round numbers in equal steps, from `low` or just below it up to `high`."""
    rough = (high - low) / 6
    power = 10.0 ** np.floor(np.log10(rough))
    step = min((m * power for m in (1, 2, 5, 10)), key=lambda step: abs(np.log(step / rough)))
    return [round(float(i * step), 10) for i in np.arange(np.floor(low / step), high / step)]


def instance_grid(items: pl.DataFrame, scale: str = "parameters", *, columns: int = 4) -> alt.FacetChart:
    """One small panel per item: F = ln(-ln P) against scale, its law, and its growth class by colour.

    Args:
        items: item, scale, value, low, high, unseen, fitted (P by the law), growth; a row per item and scale.
        scale: what scale is.
        columns: of the grid.
    """
    rows = items.with_columns(value=pl.when("unseen").then("high").otherwise("value"))
    rows = _doubly(rows).with_columns((-(pl.col("fitted").clip(LEAST, 1 - 1e-9).log())).log().alias("fitted"))
    names = in_order(items, "item")
    known = sorted(items["scale"].unique())
    growth = alt.Color(
        "growth:N",
        title=None,
        scale=alt.Scale(domain=list(GROWTH), range=list(GROWTH.values())),
        legend=alt.Legend(symbolType="stroke", symbolOpacity=1),
    )
    base = alt.Chart(inline(rows)).encode(x=scale_axis([known[0], known[-1]], scale), color=growth)
    y: dict[str, Any] = {"title": "F = ln(-ln P)", "scale": alt.Scale(reverse=True, zero=False)}
    line = base.mark_line(strokeWidth=1.8).encode(y=alt.Y("fitted:Q", **y))
    dot = (
        base.transform_filter("!datum.unseen").mark_circle(size=34, opacity=1).encode(y=alt.Y("value:Q", **y))
    )
    limit = base.transform_filter("datum.unseen").mark_point(shape="triangle-down", size=40, filled=True)
    panel = alt.layer(line, *(marks.encode(y=alt.Y("value:Q", **y)) for marks in (dot, limit)))
    width = (PAGE - 60) // columns - 46
    return themed(
        panel.properties(width=width, height=120).facet(
            facet=alt.Facet("item:N", sort=names, title=None), columns=columns
        )
    )


def rate_against_loss(points: pl.DataFrame, curve: pl.DataFrame) -> alt.LayerChart:
    """P(pass) against answer loss, both on log axes, with the relation that predicts hard items.

    Args:
        points: label, loss, value, high, unseen; a row per item and cell.
        curve: loss, value: the relation.
    """
    labels = in_order(points, "label")
    shown = points.with_columns(value=pl.when("unseen").then("high").otherwise("value"))
    lowest = float(shown["value"].min()) / 2  # type: ignore[arg-type]
    y: dict[str, Any] = {"title": "P(pass)", "axis": alt.Axis(format="~g", values=decades(lowest))}
    y["scale"] = alt.Scale(type="log", domain=[lowest, 1], nice=False)
    x: dict[str, Any] = {
        "title": "answer loss (nats)",
        "scale": alt.Scale(type="log", nice=False, padding=12),
    }
    base = alt.Chart(inline(shown.select("label", "loss", "value", "unseen"))).encode(
        x=alt.X("loss:Q", **x), y=alt.Y("value:Q", **y)
    )
    colour = by_order("label:N", labels, None)
    dot = base.transform_filter("!datum.unseen").mark_circle(size=40, opacity=0.85).encode(color=colour)
    limit = base.transform_filter("datum.unseen").mark_point(shape="triangle-down", size=40, opacity=0.8)
    line = alt.Chart(inline(curve)).mark_line(color=INK, strokeWidth=2, clip=True)
    law = line.encode(x=alt.X("loss:Q", **x), y=alt.Y("value:Q", **y))
    return themed(alt.layer(law, dot, limit.encode(color=colour)).properties(width=PAGE - 120, height=320))


def growth_classes(curves: pl.DataFrame) -> alt.LayerChart:
    """How far each curve bends, in F = ln(-ln P), with its interval and the margin of "scaling".

    Args:
        curves: name, bend, low, high, growth, margin; a row per curve. Infinite ends go to the edge.
    """
    names = in_order(curves, "name")
    finite = curves.select(pl.concat_list("bend", "low", "high").explode()).to_series()
    kept = finite.filter(finite.is_finite())
    reach = max(1.2 * float(kept.abs().max() or 1.0), 2 * float(curves["margin"].max()))  # type: ignore[arg-type]
    reach = min(reach, 6.0)
    rows = curves.with_columns(pl.col("low").clip(-reach, reach), pl.col("high").clip(-reach, reach))
    x: dict[str, Any] = {"scale": alt.Scale(domain=[-reach, reach], nice=False)}
    x["title"] = "bend of F: below 0 super-scaling, above 0 sub-scaling"
    x["axis"] = alt.Axis(tickCount=9)
    growth = alt.Color(
        "growth:N", title=None, scale=alt.Scale(domain=list(GROWTH), range=list(GROWTH.values()))
    )
    base = alt.Chart(inline(rows)).encode(
        y=alt.Y("name:N", sort=names, title=None, axis=alt.Axis(grid=False)), color=growth
    )
    margin = float(curves["margin"].max())  # type: ignore[arg-type]
    zone = alt.Chart(inline(pl.DataFrame({"from": [-margin], "to": [margin]}))).mark_rect(
        color=FAINT, opacity=0.2
    )
    rule = base.mark_rule(strokeWidth=2.5, clip=True).encode(x=alt.X("low:Q", **x), x2="high:Q")
    dot = base.mark_circle(size=60, opacity=1, clip=True).encode(x=alt.X("bend:Q", **x))
    zone = zone.encode(x=alt.X("from:Q", **x), x2="to:Q")
    return themed(alt.layer(zone, rule, dot).properties(width=PAGE - 200, height=max(80, 24 * len(names))))
