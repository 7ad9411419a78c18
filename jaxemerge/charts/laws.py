"""Laws of the loss, drawn over the runs they were fitted to."""

from __future__ import annotations

from typing import Any

import altair as alt
import numpy as np
import polars as pl

from jaxemerge.analysis.laws import FLOPS_PER_PARAMETER_AND_TOKEN as SIX
from jaxemerge.analysis.laws import ScalingLaws
from jaxemerge.stats import Envelope, IsoFlop, Ladder, ParametricLoss

from .theme import (
    BETWEEN_COLOUR,
    FAINT,
    INK,
    PAGE,
    PREFIXED,
    SEQUENCE,
    ZERO_COLOUR,
    by_order,
    in_order,
    inline,
    themed,
)

APPROACHES = {
    "envelope": "1, envelope",
    "isoflop": "2, IsoFLOP profiles",
    "parametric": "3, parametric law",
    "kaplan": "Kaplan's law",
}
FLOPS, SIZE, LOSS = "training FLOPs, 6 N D", "parameters N", "loss (nats per token)"
PLACES = 81
LEVELS = 8
# How far lines go beyond the runs, as a factor.
BEYOND = 1.6


def loss_contours(law: ParametricLoss) -> alt.LayerChart:
    """Lines of equal loss over compute and size, the runs, and the efficient frontier with its interval.

    Args:
        law: fitted to the runs.
    """
    runs = pl.DataFrame(
        {"flops": SIX * law.parameters * law.tokens, "parameters": law.parameters, "loss": law.loss}
    )
    lines, best = contours(law), frontier(law)
    ends = [float(e) for e in (runs["loss"].to_numpy().min(), runs["loss"].to_numpy().max())]
    colour: dict[str, Any] = {"scale": alt.Scale(domain=ends, range=list(SEQUENCE)), "title": LOSS}
    x, y = log_axis(alt.X, "flops", FLOPS), log_axis(alt.Y, "parameters", SIZE)
    level = alt.Color("level:Q", **colour, legend=alt.Legend(gradientLength=260))
    line = alt.Chart(inline(lines)).mark_line(strokeWidth=1.3, opacity=0.8, clip=True)
    dot = alt.Chart(inline(runs)).mark_circle(size=46, opacity=1, stroke="white", strokeWidth=0.6)
    base = alt.Chart(inline(best)).encode(x=x)
    parts = [
        line.encode(x=x, y=y, color=level, detail="line:N", order="place:Q"),
        dot.encode(
            x=x, y=y, color=alt.Color("loss:Q", **colour), tooltip=tooltips("flops", "parameters", "loss")
        ),
    ]
    if best["low"].count():
        band = base.mark_area(color=ZERO_COLOUR, opacity=0.15, clip=True)
        parts.insert(0, band.encode(y=log_axis(alt.Y, "low", SIZE), y2="high:Q"))
    parts.append(base.mark_line(color=ZERO_COLOUR, strokeWidth=2.4, clip=True).encode(y=y))
    return themed(alt.layer(*parts).properties(width=PAGE - 110, height=340))


def isoflop_profiles(found: IsoFlop, runs: pl.DataFrame) -> alt.HConcatChart:
    """Left the runs of each budget with their parabola and its minimum, right the minima against the budget.

    Args:
        found: fitted to the runs.
        runs: of `jaxemerge.analysis.ScalingLaws`.
    """
    dots, lines, minima = profiles(found, runs)
    budgets = in_order(minima, "budget")
    colour = by_order("budget:N", budgets, "training FLOPs", symbolType="circle")
    x, y = log_axis(alt.X, "parameters", SIZE), alt.Y("loss:Q", title=LOSS, scale=alt.Scale(zero=False))
    size = {"width": PAGE // 2 - 80, "height": 300}
    left = alt.layer(
        alt.Chart(inline(lines)).mark_line(strokeWidth=1.6).encode(x=x, y=y, color=colour),
        alt.Chart(inline(dots)).mark_circle(size=40, opacity=0.8).encode(x=x, y=y, color=colour),
        alt.Chart(inline(minima))
        .mark_point(shape="diamond", size=110, filled=True, color=INK, opacity=1)
        .encode(x=x, y=y),
    )
    rows = minima.with_columns(flops=pl.Series(found.budgets))
    law = found.law.optimal(found.budgets).parameters.value
    line = rows.select("flops", law=pl.Series(np.asarray(law)))
    base = alt.Chart(inline(rows)).encode(x=log_axis(alt.X, "flops", FLOPS))
    parts = [
        alt.Chart(inline(line))
        .mark_line(color=INK)
        .encode(x=log_axis(alt.X, "flops", FLOPS), y=log_axis(alt.Y, "law", "best N")),
        base.mark_point(shape="diamond", size=90, filled=True, opacity=1).encode(
            y=log_axis(alt.Y, "parameters", "best N"), color=colour
        ),
    ]
    if rows["low"].count():
        parts.append(
            base.mark_rule(strokeWidth=2).encode(
                y=log_axis(alt.Y, "low", "best N"), y2="high:Q", color=colour
            )
        )
    panels = left.properties(**size), alt.layer(*parts).properties(**size)
    return themed(alt.hconcat(*panels, spacing=40))


def training_envelope(found: Envelope, curves: pl.DataFrame) -> alt.HConcatChart:
    """Left the losses of all runs along their training with the envelope, right its model size.

    Diamonds are the FLOPs at which each size is best between its neighbours.

    Args:
        found: fitted to the curves.
        curves: what `steps_of` returns.
    """
    points = envelope_points(found)
    ends = [float(e) for e in (curves["parameters"].to_numpy().min(), curves["parameters"].to_numpy().max())]
    colour = _sizes(ends)
    x = log_axis(alt.X, "flops", FLOPS)
    y = alt.Y("loss:Q", title=LOSS, scale=alt.Scale(type="log", zero=False, nice=False))
    size = {"width": PAGE // 2 - 80, "height": 300}
    base = alt.Chart(inline(curves)).mark_line(strokeWidth=0.9, opacity=0.75)
    lowest = alt.Chart(inline(points))
    left = alt.layer(
        base.encode(x=x, y=y, detail="run:N", color=colour),
        lowest.mark_line(color=INK, strokeWidth=2.4).encode(x=x, y=y),
    )
    turns = alt.Chart(inline(envelope_turns(found)))
    best = log_axis(alt.Y, "parameters", "best N")
    right = alt.layer(
        lowest.mark_circle(size=22, color=BETWEEN_COLOUR, opacity=0.9).encode(x=x, y=best),
        lowest.mark_line(color=INK, strokeWidth=2).encode(x=x, y=log_axis(alt.Y, "law", "best N")),
        turns.mark_point(shape="diamond", size=90, filled=True, color=INK, opacity=1).encode(x=x, y=best),
    )
    return themed(alt.hconcat(left.properties(**size), right.properties(**size), spacing=40))


def exponent_intervals(exponents: pl.DataFrame) -> alt.LayerChart:
    """The exponent a of N_opt against C by approach: of these runs and published, with intervals.

    Args:
        exponents: what `jaxemerge.analysis.ScalingLaws.exponents` returns.
    """
    name = pl.format("{}: {}", pl.col("source"), pl.col("approach").replace(APPROACHES))
    own = pl.col("source") == "these runs"
    rows = exponents.with_columns(name=pl.when(own).then(name).otherwise("source"), own=own)
    order = in_order(rows, "name")
    y = alt.Y("name:N", sort=order, title=None, axis=alt.Axis(labelLimit=420))
    scale = alt.Scale(domain=[True, False], range=[ZERO_COLOUR, FAINT])
    colour = alt.Color("own:N", scale=scale, legend=None)
    base = alt.Chart(inline(rows)).encode(y=y, color=colour)
    x: dict[str, Any] = {
        "title": "exponent a of N_opt against training FLOPs",
        "scale": alt.Scale(zero=False, padding=12),
    }
    bar = base.mark_rule(strokeWidth=2.4).encode(x=alt.X("low:Q", **x), x2="high:Q")
    dot = base.mark_circle(size=80, opacity=1).encode(
        x=alt.X("a:Q", **x), tooltip=tooltips("a", "low", "high")
    )
    half = alt.Chart().mark_rule(color=FAINT, strokeDash=[4, 3]).encode(x=alt.datum(0.5))
    return themed(alt.layer(half, bar, dot).properties(width=PAGE - 480, height=30 * len(order)))


def ladder_steps(found: Ladder, laws: ScalingLaws) -> alt.HConcatChart:
    """Left accuracy against loss with the fitted link, right accuracy against the prediction of both steps.

    Args:
        found: of `laws`.
        laws: with the runs.
    """
    link, chain = ladder_lines(found, laws.runs)
    size = {"width": PAGE // 2 - 80, "height": 290}
    y = alt.Y("accuracy:Q", title="accuracy", scale=alt.Scale(zero=False))
    x = alt.X("loss:Q", title=LOSS, scale=alt.Scale(zero=False))
    left = alt.layer(
        alt.Chart(inline(link)).mark_line(color=INK, strokeWidth=2).encode(x=x, y=y),
        _by_size(chain).encode(x=x, y=y),
    )
    right = _against(chain, "predicted", "accuracy", "accuracy predicted from N and D", "accuracy measured")
    return themed(alt.hconcat(left.properties(**size), right.properties(**size), spacing=40))


def predicted_against_held_out(runs: pl.DataFrame) -> alt.LayerChart:
    """Losses of the larger runs against predictions from the smaller ones, with their intervals.

    Args:
        runs: of `jaxemerge.analysis.HeldOut`.
    """
    chart = _against(runs, "predicted", "loss", "loss predicted from the smaller runs", "loss measured")
    return themed(chart.properties(width=PAGE // 2 - 40, height=320))


def _against(rows: pl.DataFrame, x: str, y: str, x_title: str, y_title: str) -> Any:
    """Measured against predicted values with horizontal intervals, and the diagonal on which they agree."""
    known = [rows[c].drop_nulls().to_numpy() for c in (x, y)]
    ends = [float(min(k.min() for k in known)), float(max(k.max() for k in known))]
    both = alt.Chart(inline(pl.DataFrame({x: ends, y: ends})))
    axes: dict[str, Any] = {
        "x": alt.X(f"{x}:Q", title=x_title, scale=alt.Scale(zero=False)),
        "y": alt.Y(f"{y}:Q", title=y_title, scale=alt.Scale(zero=False)),
    }
    parts = [both.mark_line(color=FAINT, strokeDash=[4, 3]).encode(**axes)]
    if rows["low"].count():
        bar = alt.Chart(inline(rows)).mark_rule(color=BETWEEN_COLOUR, opacity=0.6)
        parts.append(
            bar.encode(x=alt.X("low:Q", title=x_title, scale=alt.Scale(zero=False)), x2="high:Q", y=axes["y"])
        )
    return alt.layer(*parts, _by_size(rows).encode(**axes))


def _by_size(rows: pl.DataFrame) -> alt.Chart:
    ends = [float(e) for e in (rows["parameters"].to_numpy().min(), rows["parameters"].to_numpy().max())]
    colour = _sizes(ends)
    shown = tooltips("parameters", "tokens", "predicted")
    return alt.Chart(inline(rows)).mark_circle(size=46, opacity=0.9).encode(color=colour, tooltip=shown)


def _sizes(ends: list[float]) -> alt.Color:
    """Colour by model size, with a few round sizes between the ends named."""
    named = [float(f"{size:.1g}") for size in np.geomspace(ends[0], ends[1], 5)[1:-1]]
    return alt.Color(
        "parameters:Q",
        scale=alt.Scale(type="log", domain=ends, range=list(SEQUENCE)),
        legend=alt.Legend(title=SIZE, gradientLength=220, labelExpr=PREFIXED, values=named),
    )


def log_axis(kind: Any, field: str, title: str) -> Any:
    """A logarithmic axis; `kind` is `alt.X` or `alt.Y`."""
    axis = alt.Axis(labelExpr=PREFIXED, tickCount=6, grid=False, labelOverlap="greedy", labelSeparation=8)
    return kind(f"{field}:Q", title=title, scale=alt.Scale(type="log", nice=False, padding=12), axis=axis)


def tooltips(*fields: str) -> list[Any]:
    """What is shown of a mark under the mouse: numbers with four digits."""
    return [alt.Tooltip(f"{field}:Q", format=".4g") for field in fields]


def contours(law: ParametricLoss) -> pl.DataFrame:
    """level, line, flops, parameters, place: lines of equal loss, evenly spaced over the runs' losses."""
    low, high = np.quantile(law.loss, [0.02, 0.98])
    A, B, E, alpha, beta = law.values
    N = np.geomspace(law.parameters.min() / BEYOND, law.parameters.max() * BEYOND, 4 * PLACES)
    parts = []
    for level in np.linspace(max(low, E * 1.005), high, LEVELS):
        left = level - E - A / N**alpha  # what the tokens may cost
        here = left > 0
        D = (B / left[here]) ** (1 / beta)
        line = {
            "flops": SIX * N[here] * D,
            "parameters": N[here],
            "place": np.arange(here.sum()),
        }
        parts.append(pl.DataFrame(line).with_columns(level=pl.lit(float(level))))
    C = SIX * law.parameters * law.tokens
    inside = pl.col("flops").is_between(C.min() / BEYOND, C.max() * BEYOND)
    drawn = pl.concat(parts).filter(inside)
    # A line that leaves the picture and comes back is two.
    cut = (pl.col("place").diff().over("level") != 1).fill_null(True).cum_sum()
    return drawn.with_columns(line=cut)


def frontier(law: ParametricLoss) -> pl.DataFrame:
    """flops, parameters, low, high: the model size of the lowest loss at each budget, with its interval."""
    C = SIX * law.parameters * law.tokens
    flops = np.geomspace(C.min() / BEYOND, C.max() * BEYOND, PLACES)
    best = law.optimal(flops).parameters
    ends = {"parameters": best.value, "low": best.interval.low, "high": best.interval.high}
    return pl.DataFrame({"flops": flops} | {n: np.asarray(v) for n, v in ends.items()}).fill_nan(None)


def profiles(found: IsoFlop, runs: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame, pl.DataFrame]:
    """Runs, parabolas and minima of each budget: budget (text), parameters, loss; minima with low, high."""
    names = [f"{budget:.2g}".replace("e+", "e") for budget in found.budgets]
    budgets = pl.Series([names[i] if i >= 0 else None for i in found.runs], dtype=pl.String)
    named = runs.with_columns(budget=budgets).drop_nulls("budget")
    sizes = named.group_by("budget", maintain_order=True).agg(
        low=pl.col("parameters").min(), high=pl.col("parameters").max()
    )
    lines = []
    for budget, low, high in sizes.rows():
        N = np.geomspace(low / 1.15, high * 1.15, PLACES)
        loss = found.profile(N)[names.index(budget)]
        lines.append(pl.DataFrame({"parameters": N, "loss": loss}).with_columns(budget=pl.lit(budget)))
    best = found.parameters
    ends = {"parameters": best.value, "low": best.interval.low, "high": best.interval.high}
    minima = pl.DataFrame(
        {"budget": names, "loss": found.loss.value} | {n: np.asarray(v) for n, v in ends.items()}
    )
    return named.select("budget", "parameters", "loss"), pl.concat(lines), minima.fill_nan(None)


def envelope_points(found: Envelope) -> pl.DataFrame:
    """flops, parameters, loss, law: the best size along the training, and the power law through it."""
    law = found.law.optimal(found.flops).parameters.value
    columns = {"flops": found.flops, "parameters": found.parameters, "loss": found.loss}
    return pl.DataFrame(columns | {"law": np.asarray(law)})


def envelope_turns(found: Envelope) -> pl.DataFrame:
    """flops, parameters: where each size is best between its neighbours, which the power law goes through."""
    return pl.DataFrame({"flops": found.best_at, "parameters": found.sizes})


def ladder_lines(found: Ladder, runs: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """loss, accuracy along the link; and per run parameters, tokens, accuracy, predicted, low, high."""
    scored = runs.drop_nulls("accuracy")
    loss = scored["loss"].to_numpy()
    places = np.linspace(loss.min(), loss.max(), PLACES)
    link = pl.DataFrame({"loss": places, "accuracy": np.asarray(found.link.accuracy(places))})
    chain = found.predict(scored["parameters"].to_numpy(), scored["tokens"].to_numpy())
    ends = {"predicted": chain.value, "low": chain.interval.low, "high": chain.interval.high}
    columns = [pl.Series(n, np.asarray(v)) for n, v in ends.items()]
    return link, scored.select("parameters", "tokens", "loss", "accuracy").with_columns(columns).fill_nan(
        None
    )


def steps_of(laws: ScalingLaws) -> pl.DataFrame:
    """parameters, run, flops, loss: the curves of the envelope, from where it begins."""
    if laws.envelope is None:
        return laws.curves.clear()
    return laws.curves.filter(pl.col("flops") >= float(laws.envelope.flops.min()) / 4)
