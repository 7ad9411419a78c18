"""How does every seed learn, and how long does it take to break through?"""

from __future__ import annotations

from typing import Any

import altair as alt
import numpy as np
import polars as pl

from jaxemerge.analysis import curve_quantiles, is_share, representative_curves
from jaxemerge.analysis import learning_curves as curves_of
from jaxemerge.analysis.results import MEMBER, rows_of
from jaxemerge.analysis.training import FALLS

from .seeds import MARKED_COLOUR, if_marked, markable, seed_name
from .theme import INK, PAGE, PREFIXED, ZERO_COLOUR, by_order, in_order, inline, metric_title, themed

SEED, LOST, OUTER, MEDIAN = "one seed", "diverged seed", "10% and 90% quantiles", "median seed"
KINDS = [SEED, LOST, OUTER, MEDIAN]
COLOURS = ["#7b8794", ZERO_COLOUR, "#2a78b5", INK]
WIDTHS, OPACITIES = [0.8, 1.2, 2, 3], [0.55, 0.8, 1, 1]
# Of larger populations this many seeds are drawn: more would be one grey area.
MOST = 60
# Of more evaluations about this many are drawn.
STEPS = 250
# Losses that span more than this factor are on a log axis.
LOG_SPAN = 10


def learning_curves(
    frame: pl.DataFrame,
    metric: str = "exact_match",
    split: str | None = None,
    length: int | None = None,
    most: int = MOST,
) -> alt.FacetChart:
    """One panel per cell: seeds as thin lines, the 10, 50 and 90 % quantiles over all seeds as thick ones.

    Args:
        frame: results.
        metric: any metric.
        split: as in `jaxemerge.analysis.learning_curves`.
        length: likewise.
        most: of larger populations, this many seeds per cell are drawn, spread over the ranks of their last
            values.

    Raises:
        ValueError: as `jaxemerge.analysis.learning_curves`.
    """
    curves = curves_of(some_steps(rows_of(frame, metric)), metric, split, length)
    seeds = _seed_lines(representative_curves(curves, most))
    lines = pl.concat([seeds, *_quantile_lines(curve_quantiles(curves))])
    labels, drawn = in_order(curves, "label"), set(lines["kind"])
    columns = len(labels) if len(labels) <= 3 else 2 if len(labels) == 4 else 3 if len(labels) <= 9 else 4
    base = alt.Chart(_packed(lines)).transform_flatten(["step", "value"])
    panel = (
        base.mark_line()
        .encode(
            x=step_axis(curves["step"]),
            y=_value_axis(curves, metric, is_share(frame, metric)),
            detail="line:N",
            color=if_marked(MARKED_COLOUR, alt.Color("kind:N", scale=_by_kind(COLOURS, drawn), title=None)),
            strokeWidth=if_marked(
                WIDTHS[-1], alt.StrokeWidth("kind:N", scale=_by_kind(WIDTHS, drawn), title=None)
            ),
            strokeOpacity=if_marked(
                1, alt.StrokeOpacity("kind:N", scale=_by_kind(OPACITIES, drawn), title=None)
            ),
            tooltip=["label:N", "line:N"],
        )
        .properties(width=(PAGE - 40) // columns - 50, height=230 if columns <= 3 else 150)
    )
    facets = panel.facet(facet=alt.Facet("label:N", sort=labels, title=None), columns=columns)
    return themed(markable(facets))


def some_steps(frame: pl.DataFrame) -> pl.DataFrame:
    """The rows at some of very many steps: evenly spaced, more early ones, and the last of every run."""
    steps = frame["step"].unique().sort()
    if len(steps) <= STEPS:
        return frame
    half, last = STEPS // 2, len(steps) - 1
    places = np.concatenate([np.linspace(0, last, half), np.geomspace(1, last, half)])
    ends = frame.group_by(*MEMBER).agg(pl.col("step").max())["step"]
    kept = pl.concat([steps[np.unique(places.round().astype(int))], ends]).unique()
    return frame.filter(pl.col("step").is_in(kept.to_list()))


def _by_kind(values: list[Any], drawn: set[str]) -> alt.Scale:
    """The value of each kind of line that is drawn, so that the legend names no other."""
    chosen = {kind: value for kind, value in zip(KINDS, values, strict=True) if kind in drawn}
    # Without its type the scale would interpolate between the first two values only.
    return alt.Scale(type="ordinal", domain=list(chosen), range=list(chosen.values()))


def _seed_lines(curves: pl.DataFrame) -> pl.DataFrame:
    name = seed_name(curves)
    kind = pl.when(pl.col("diverged").any().over("cell", "init_seed", "data_seed")).then(pl.lit(LOST))
    return curves.select("label", "step", "value", line=name, run=name, kind=kind.otherwise(pl.lit(SEED)))


def _quantile_lines(quantiles: pl.DataFrame) -> list[pl.DataFrame]:
    kinds = {"low": OUTER, "high": OUTER, "median": MEDIAN}
    return [
        quantiles.select(
            "label", "step", value=name, line=pl.lit(name), run=pl.lit(None, pl.String), kind=pl.lit(kind)
        )
        for name, kind in kinds.items()
    ]


def _packed(lines: pl.DataFrame) -> alt.InlineData:
    """One row per line with its steps and values as lists: a tenth of the size of one row per point."""
    value = pl.when(pl.col("value").is_finite()).then(pl.col("value").round_sig_figs(4))
    return inline(
        lines.group_by("label", "kind", "line", "run", maintain_order=True).agg("step", value.alias("value"))
    )


def step_axis(steps: pl.Series, title: str = "training step") -> alt.X:
    """Log above the first step, linear from 0 to it, so that step 0 has a place."""
    positive = sorted(set(steps.unique()) - {0}) or [1]
    first, last = positive[0], positive[-1]
    tens = [10**power for power in range(19) if first <= 10**power <= last]
    if len(tens) < 2:
        tens = [m * 10**power for power in range(19) for m in (1, 2, 5) if first <= m * 10**power <= last]
    ticks = [0, *tens] if last not in tens and tens and last / tens[-1] < 2 else sorted({0, *tens, last})
    scale = alt.Scale(type="symlog", constant=first, domain=[0, last], nice=False)
    return alt.X(
        "step:Q",
        title=title,
        scale=scale,
        axis=alt.Axis(values=ticks, labelExpr=PREFIXED, grid=False),
    )


def _value_axis(curves: pl.DataFrame, metric: str, share: bool) -> alt.Y:
    title = metric_title(metric)
    shown = curves["value"].filter(curves["value"].is_finite())
    if share:
        return alt.Y("value:Q", title=title, scale=alt.Scale(domain=[0, 1]))
    values = shown.to_list() or [0.0, 1.0]
    low, high = min(values), max(values)
    if low > 0 and high > LOG_SPAN * low:
        ends = [low * 0.9, high * 1.1]
        ticks = [m * 10.0**power for power in range(-18, 19) for m in (1, 2, 5)]
        axis = alt.Axis(values=[tick for tick in ticks if ends[0] <= tick <= ends[1]], format="~g")
        return alt.Y("value:Q", title=title, scale=alt.Scale(type="log", domain=ends), axis=axis)
    return alt.Y("value:Q", title=title, scale=alt.Scale(zero=False))


def survival_curves(
    curves: pl.DataFrame, falls: pl.DataFrame, event: str = "breakthrough", time: str = "training step"
) -> alt.VConcatChart:
    """The share of seeds that have not broken through, against step: a stair with its band for every cell.

    Below, a tick for every seed at its first relapse, and where it lost the ability for good.

    Args:
        curves: of `jaxemerge.analysis.Survival`.
        falls: likewise.
        event: that seeds are without.
        time: title of its axis.
    """
    labels = in_order(curves, "label")
    colour = by_order("label:N", labels, "cell")
    x = step_axis(curves["step"], time)
    base = alt.Chart(inline(curves)).encode(x=x, color=colour)
    share = alt.Scale(domain=[0, 1])
    title = f"share of seeds without {event}"
    band = base.mark_area(opacity=0.12, interpolate="step-after").encode(
        y=alt.Y("low:Q", scale=share, title=title, axis=alt.Axis(format="%")), y2="high:Q"
    )
    line = base.mark_line(strokeWidth=2.2, interpolate="step-after").encode(
        y=alt.Y("survival:Q", scale=share, title=title)
    )
    panels: list[Any] = [alt.layer(band, line).properties(width=PAGE - 90, height=220)]
    if falls.height:
        ticks = alt.Chart(inline(falls)).mark_tick(thickness=2, opacity=0.6, size=18)
        kinds = alt.Y("event:N", title=None, sort=list(FALLS.values()))
        panels.append(ticks.encode(x=x, y=kinds, color=colour).properties(width=PAGE - 90))
    return themed(alt.vconcat(*panels))
