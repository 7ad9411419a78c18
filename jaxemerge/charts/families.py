"""How do the mean scores of several families of cells move with scale?"""

from __future__ import annotations

from typing import Any

import altair as alt
import polars as pl

from jaxemerge.analysis import scale_column

from .scale import scale_axis
from .theme import BETWEEN_COLOUR, FAINT, PAGE, SCORE_TICKS, ZERO_COLOUR, inline, metric_title, themed

ASIDE = 4  # pixels from a cell's place


def means_by_family(ends: pl.DataFrame, table: pl.DataFrame, chance: float) -> alt.LayerChart:
    """Mean score against scale, a line per family with the 95 % interval of its mean; small dots are runs.

    Args:
        ends: final results of one metric on one test, of cells of two families.
        table: what `jaxemerge.analysis.summarise` returns of them, with the column family.
        chance: score of a guess, which a dashed rule marks.
    """
    families = sorted(table["family"].unique())
    column, title = scale_column(ends), metric_title(ends["metric"][0])
    colours = alt.Scale(domain=families, range=[ZERO_COLOUR, BETWEEN_COLOUR])
    colour = alt.Color("family:N", scale=colours, title=None, legend=alt.Legend(symbolOpacity=1))
    x = scale_axis(sorted(set(table["scale"])), column)
    runs = ends.select("family", "value", scale=pl.col(column).cast(pl.Float64))
    means = table.select("family", "label", "scale", "mean", "mean_low", "mean_high")
    rule = alt.Chart(inline(pl.DataFrame({"chance": [chance]}))).mark_rule(color=FAINT, strokeDash=[5, 4])
    layers = [rule.encode(y=_score("chance", title))]
    for family, aside in zip(families, (-ASIDE, ASIDE), strict=True):
        who = pl.col("family") == family
        where: dict[str, Any] = {"x": x, "xOffset": alt.value(aside), "color": colour}
        dots, base = (alt.Chart(inline(rows.filter(who))).encode(**where) for rows in (runs, means))
        layers += [
            dots.mark_circle(size=18, opacity=0.35).encode(y=_score("value", title)),
            base.mark_line(strokeWidth=2).encode(y=_score("mean", title)),
            base.mark_rule(strokeWidth=3).encode(y=_score("mean_low", title), y2="mean_high:Q"),
            base.mark_circle(size=60, opacity=1).encode(y=_score("mean", title)),
        ]
    return themed(alt.layer(*layers).properties(width=PAGE // 2 + 60, height=280))


def _score(column: str, title: str) -> alt.Y:
    axis = alt.Axis(values=SCORE_TICKS, format="~g")
    return alt.Y(f"{column}:Q", title=title, scale=alt.Scale(domain=[0, 1]), axis=axis)
