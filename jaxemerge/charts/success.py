"""Which curve does P(success) follow across scale, and which law the mean of the successes?"""

from __future__ import annotations

from typing import Any

import altair as alt
import polars as pl

from jaxemerge.analysis.success import SuccessFit

from .scale import scale_axis
from .theme import BETWEEN_COLOUR, FAINT, INK, PAGE, SCORE_TICKS, ZERO_COLOUR, inline, themed

LINES = {"logistic curve": INK, "best step": ZERO_COLOUR, "rising shares": FAINT}
SIZE: dict[str, Any] = {"width": PAGE // 2 - 90, "height": 250}
DASHES = ([1, 0], [6, 3], [2, 2])


def success_curve(found: SuccessFit) -> alt.HConcatChart:
    """Two panels against scale: the shares of successful seeds and the mean scores of these seeds.

    Dots are cells with their 95 % intervals; on the left the logistic curve, the best step and the shares
    that may not fall, and on the axis of the curve's midpoint its interval; on the right the power law.

    Args:
        found: of `jaxemerge.analysis.success_fit`.
    """
    x = _axis(found)
    quality = alt.layer(_law(found, x), *_dots(found, "success_mean", x, "mean score"))
    title = "mean score of the successful seeds, with its power law"
    return themed(alt.hconcat(_chance(found), quality.properties(**SIZE, title=title), spacing=30))


def success_chance(found: SuccessFit) -> alt.LayerChart:
    """The left panel of `success_curve` alone."""
    return themed(_chance(found))


def _chance(found: SuccessFit) -> alt.LayerChart | alt.FacetChart:
    x, threshold = _axis(found), found.cells["threshold"][0]
    panel = alt.layer(_lines(found, x), *_dots(found, "success", x, "share of seeds"), *_midpoint(found, x))
    return panel.properties(**SIZE, title=f"P(success): share of seeds at {threshold:.0%} or more")


def _axis(found: SuccessFit, field: str = "scale") -> alt.X:
    return scale_axis(sorted(found.cells["scale"].unique()), found.column, field)


def _dots(found: SuccessFit, column: str, x: alt.X, title: str) -> list[alt.Chart]:
    ends = {"value": column, "low": f"{column}_low", "high": f"{column}_high"}
    rows = found.cells.select("label", "scale", "seeds", **ends).drop_nulls("value")
    tooltip: list[Any] = ["label:N", "seeds:Q", *(alt.Tooltip(f"{name}:Q", format=".3f") for name in ends)]
    base = alt.Chart(inline(rows)).encode(x=x, tooltip=tooltip)
    bar = base.mark_rule(strokeWidth=1.6, color=BETWEEN_COLOUR).encode(y=_share("low", title), y2="high:Q")
    dot = base.mark_circle(size=52, opacity=1, color=BETWEEN_COLOUR).encode(y=_share("value", title))
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
            y=_share("value", "share of seeds"),
            order="place:Q",
            color=alt.Color("fit:N", scale=colours, sort=names, title=None),
            strokeDash=alt.StrokeDash("fit:N", scale=dashes, sort=names, title=None),
        )
    )


def _midpoint(found: SuccessFit, x: alt.X) -> list[alt.Chart]:
    """The midpoint's interval as far as the cells go, half way up; nothing where it is not known."""
    middle, interval = found.curve.midpoint.value, found.curve.midpoint.interval
    known = found.cells["scale"]
    first, last = float(known.min()), float(known.max())  # type: ignore[arg-type]
    if not first <= middle <= last:
        return []
    height = (found.curve.floor.value + found.curve.ceiling.value) / 2
    low, high = max(float(interval.low), first), min(float(interval.high), last)
    rows = pl.DataFrame({"scale": [middle], "low": [low], "high": [high], "value": [height]})
    base = alt.Chart(inline(rows)).encode(y=_share("value", "share of seeds"))
    rule = base.mark_rule(strokeWidth=5, opacity=0.35, color=INK).encode(x=_axis(found, "low"), x2="high:Q")
    return [rule, base.mark_point(shape="diamond", size=70, filled=True, color=INK, opacity=1).encode(x=x)]


def _law(found: SuccessFit, x: alt.X) -> alt.Chart:
    base = alt.Chart(inline(found.means())).mark_line(strokeWidth=2, color=INK, clip=True)
    return base.encode(x=x, y=_share("value", "mean score"))


def _share(column: str, title: str) -> alt.Y:
    axis = alt.Axis(format="%" if title == "share of seeds" else "~g", values=SCORE_TICKS)
    return alt.Y(f"{column}:Q", title=title, scale=alt.Scale(domain=[0, 1]), axis=axis)
