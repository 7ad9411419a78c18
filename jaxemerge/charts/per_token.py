"""Would tokens that are right by themselves give this exact match, and how sharp can a metric be made?"""

from __future__ import annotations

from typing import Any

import altair as alt
import polars as pl

from .scale import scale_axis
from .theme import PAGE, SCORE_TICKS, in_order, inline, sequential, themed

MANY = 12  # lengths that have ticks of their own
MODELS = {"one p of the cell": [1, 0], "token accuracy of each seed": [5, 3]}


def per_token_models(table: pl.DataFrame, scale: str) -> alt.HConcatChart:
    """Exact match with p^L, and wrong tokens with L (1 - p): measured as dots, the models as lines.

    Against the number L of tokens, coloured by cell; where all answers have as many, against scale.

    Args:
        table: what `jaxemerge.analysis.per_token` returns, of one split.
        scale: what scale is, as `jaxemerge.analysis.scale_column` says.
    """
    left = _models(table, scale, "exact", {"exact_fitted": 0, "exact_model": 1}, [0.0, 1.0])
    right = _models(table, scale, "wrong", {"wrong_fitted": 0}, None)
    titles = "exact match (share of items)", "wrong tokens of an answer"
    sized = [
        panel.properties(title=title, width=PAGE // 2 - 90, height=250)
        for panel, title in zip((left, right), titles, strict=True)
    ]
    return themed(alt.hconcat(*sized, spacing=34))


def _models(
    table: pl.DataFrame, scale: str, measured: str, models: dict[str, int], domain: list[float] | None
) -> alt.LayerChart | alt.FacetChart:
    several = table["tokens"].n_unique() > 1
    labels = in_order(table, "label")
    lengths = sorted(table["tokens"].unique())
    ticks: dict[str, Any] = {"values": lengths} if len(lengths) <= MANY else {}
    axis = alt.Axis(grid=False, **ticks)
    scaled = alt.Scale(zero=False, nice=False, padding=14)
    place = alt.X("tokens:Q", title="L, tokens of the answer", axis=axis, scale=scaled)
    x = place if several else scale_axis(sorted(table["scale"].unique()), scale)
    y: dict[str, Any] = {"title": None}
    y["scale"] = alt.Scale(domain=domain) if domain else alt.Scale(zero=True)
    names = list(MODELS)
    colour: dict[str, Any] = {}
    if several:
        scheme = alt.Scale(domain=labels, range=sequential(len(labels)))
        legend = alt.Legend(symbolType="circle", symbolOpacity=1, columns=4)
        colour["color"] = alt.Color("label:N", sort=labels, title=None, scale=scheme, legend=legend)
    chosen = [names[i] for i in models.values()]
    rows = table.select("label", "scale", "tokens", *models).unpivot(
        on=list(models), index=["label", "scale", "tokens"]
    )
    kinds = {name: names[i] for name, i in models.items()}
    lines = rows.with_columns(model=pl.col("variable").replace_strict(kinds))
    dash = alt.StrokeDash(
        "model:N",
        title=None,
        scale=alt.Scale(domain=chosen, range=[MODELS[name] for name in chosen]),
        legend=alt.Legend(symbolType="stroke", symbolSize=300, orient="bottom"),
    )
    line = alt.Chart(inline(lines)).mark_line(strokeWidth=1.6, opacity=0.8)
    dot = alt.Chart(inline(table.select("label", "scale", "tokens", value=measured)))
    return alt.layer(
        line.encode(x=x, y=alt.Y("value:Q", **y), strokeDash=dash, **colour),
        dot.mark_circle(size=56, opacity=1).encode(x=x, y=alt.Y("value:Q", **y), **colour),
    )


def induced_versions(table: pl.DataFrame, scale: str) -> alt.HConcatChart:
    """The same outputs, ever sharper: left by thresholds on a smooth metric, right by all of k.

    Args:
        table: what `jaxemerge.analysis.induced` returns.
        scale: what scale is, as `jaxemerge.analysis.scale_column` says.
    """
    of_items = pl.col("metric").str.starts_with("all of ")
    named = table.with_columns(
        version=pl.when(of_items)
        .then("metric")
        .otherwise(pl.col("metric").str.replace("^.* >= ", "at least ").str.replace_all("_", " "))
    ).with_columns(score=pl.col("score").fill_nan(None).round_sig_figs(2))
    parts = named.filter(~of_items), named.filter(of_items)
    titles = "share of seeds at a threshold or above it", "all of k different items right"
    panels = [_versions(part, title, scale) for part, title in zip(parts, titles, strict=True) if part.height]
    return themed(alt.hconcat(*panels, spacing=34).resolve_scale(color="independent"))


def _versions(rows: pl.DataFrame, title: str, scale: str) -> alt.LayerChart | alt.FacetChart:
    names = in_order(rows, "version")
    colour = alt.Color(
        "version:N",
        sort=names,
        title=None,
        scale=alt.Scale(domain=names, range=sequential(len(names))),
        legend=alt.Legend(symbolType="circle", symbolOpacity=1, orient="bottom", columns=4),
    )
    axis = alt.Axis(values=SCORE_TICKS, format="~g")
    y = alt.Y("value:Q", title="mean over seeds", scale=alt.Scale(domain=[0, 1]), axis=axis)
    tooltip: list[Any] = ["version:N", "label:N", alt.Tooltip("value:Q", format=".3g"), "score:Q"]
    shown = rows.select("version", "label", "scale", "value", "score")
    x = scale_axis(sorted(rows["scale"].unique()), scale)
    base = alt.Chart(inline(shown)).encode(x=x, y=y, color=colour, tooltip=tooltip)
    layers = base.mark_line(strokeWidth=2), base.mark_circle(size=46, opacity=1)
    return alt.layer(*layers).properties(title=title, width=PAGE // 2 - 90, height=250)
