"""How do the same runs look under other metrics, and what can a test of this size resolve?"""

from __future__ import annotations

from typing import Any

import altair as alt
import polars as pl

from .theme import (
    BETWEEN_COLOUR,
    INK,
    PAGE,
    SCORE_TICKS,
    ZERO_COLOUR,
    by_order,
    decades,
    in_order,
    inline,
    metric_title,
    scale_axis,
    themed,
)

COLUMNS = 3


def metric_panel(means: pl.DataFrame, scores: pl.DataFrame, scale: str) -> alt.ConcatChart:
    """One panel per metric: the mean over seeds of every cell with its interval, and the emergence score.

    Args:
        means: what `jaxemerge.analysis.metric_means` returns.
        scores: what `jaxemerge.analysis.emergence_scores` returns, of the same test.
        scale: what scale is, as `jaxemerge.analysis.scale_column` says.
    """
    names = in_order(means, "metric")
    columns = 2 if len(names) == 4 else min(COLUMNS, len(names))
    known = dict(scores.select("metric", "score").rows())
    panels = [
        _panel(means.filter(pl.col("metric") == name), name, known.get(name), scale, PAGE // columns - 90)
        for name in names
    ]
    return themed(alt.concat(*panels, columns=columns, spacing=24).resolve_scale(y="independent"))


def _panel(
    rows: pl.DataFrame, name: str, score: float | None, scale: str, width: int
) -> alt.LayerChart | alt.FacetChart:
    title = name.replace("_", " ") + ("" if score is None else f", emergence score {score:.3g}")
    title_of_axis = metric_title(name).partition(" (")[2].removesuffix(")") or "mean over seeds"
    drawn = pl.concat([rows[end] for end in ("value", "low", "high")]).drop_nulls()
    unit = len(drawn) > 0 and bool(drawn.is_between(0, 1).all())
    domain: dict[str, Any] = {"domain": [0, 1]} if unit else {"zero": False}
    tooltip: list[Any] = ["label:N", "seeds:Q"]
    tooltip += [alt.Tooltip(f"{column}:Q", format=".3g") for column in ("value", "low", "high")]
    base = alt.Chart(inline(rows)).encode(
        x=scale_axis(sorted(rows["scale"].unique()), scale), tooltip=tooltip
    )

    def y(column: str) -> alt.Y:
        return alt.Y(f"{column}:Q", title=title_of_axis, scale=alt.Scale(**domain))

    bar = base.mark_rule(strokeWidth=1.6, color=BETWEEN_COLOUR).encode(y=y("low"), y2="high:Q")
    line = base.mark_line(strokeWidth=1.8, color=INK, opacity=0.7).encode(y=y("value"))
    dot = base.mark_circle(size=46, opacity=1, color=BETWEEN_COLOUR).encode(y=y("value"))
    return alt.layer(bar, line, dot).properties(title=title, width=width, height=190)


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
        colour["color"] = by_order("label:N", labels, None, symbolType="circle", columns=4)
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
    colour = by_order("version:N", names, None, symbolType="circle", orient="bottom", columns=4)
    axis = alt.Axis(values=SCORE_TICKS, format="~g")
    y = alt.Y("value:Q", title="mean over seeds", scale=alt.Scale(domain=[0, 1]), axis=axis)
    tooltip: list[Any] = ["version:N", "label:N", alt.Tooltip("value:Q", format=".3g"), "score:Q"]
    shown = rows.select("version", "label", "scale", "value", "score")
    x = scale_axis(sorted(rows["scale"].unique()), scale)
    base = alt.Chart(inline(shown)).encode(x=x, y=y, color=colour, tooltip=tooltip)
    layers = base.mark_line(strokeWidth=2), base.mark_circle(size=46, opacity=1)
    return alt.layer(*layers).properties(title=title, width=PAGE // 2 - 90, height=250)


LIMITS = {
    "smallest": "one item of one seed",
    "limit": "95% limit of a seed that passes none",
    "seeds_limit": "95% limit of the mean if no seed passes any",
}
DASHES = ([1, 0], [6, 3], [2, 2])


def resolution_panel(seen: pl.DataFrame, smaller: pl.DataFrame, scale: str) -> alt.HConcatChart:
    """Left: mean scores on a log axis with the limits of the test; right: seeds at 0 against its size.

    Cells with a mean of 0 are triangles at the limit that their number of seeds sets.

    Args:
        seen: what `jaxemerge.analysis.resolution` returns.
        smaller: what `jaxemerge.analysis.smaller_tests` returns.
        scale: what scale is, as `jaxemerge.analysis.scale_column` says.
    """
    return themed(
        alt.hconcat(_limits(seen, scale), _sizes(smaller), spacing=30).resolve_scale(color="independent")
    )


def _limits(seen: pl.DataFrame, scale: str) -> alt.LayerChart | alt.FacetChart:
    x = scale_axis(sorted(seen["scale"].unique()), scale)
    lowest = float(seen.select(pl.min_horizontal(*LIMITS, pl.col("value").replace(0.0, 1.0)).min()).item())
    ticks = decades(lowest)
    y: dict[str, Any] = {"scale": alt.Scale(type="log", domain=[ticks[0], 1.0])}
    y["axis"] = alt.Axis(format="~g", values=ticks)
    y["title"] = "mean score (share of test items)"
    rows = seen.select("label", "scale", *LIMITS).unpivot(on=list(LIMITS), index=["label", "scale"])
    rules = rows.with_columns(limit=pl.col("variable").replace_strict(LIMITS))
    names = list(LIMITS.values())
    base = alt.Chart(inline(rules)).encode(x=x, y=alt.Y("value:Q", **y))
    line = base.mark_line(
        strokeWidth=1.6, color=ZERO_COLOUR, point={"color": ZERO_COLOUR, "size": 20}
    ).encode(
        strokeDash=alt.StrokeDash(
            "limit:N",
            sort=names,
            scale=alt.Scale(domain=names, range=DASHES),
            title=None,
            legend=alt.Legend(orient="bottom", direction="vertical", symbolType="stroke", symbolSize=300),
        )
    )
    shown = seen.with_columns(zero=pl.col("value") <= 0).with_columns(
        value=pl.when("zero").then("seeds_limit").otherwise("value")
    )
    cells = alt.Chart(inline(shown.select("label", "scale", "value", "zero"))).encode(
        x=x, y=alt.Y("value:Q", **y)
    )
    joined = cells.transform_filter("!datum.zero").mark_line(color=BETWEEN_COLOUR, strokeWidth=2)
    dot = cells.transform_filter("!datum.zero").mark_circle(size=52, opacity=1, color=BETWEEN_COLOUR)
    mark = cells.transform_filter("datum.zero").mark_point(
        shape="triangle-down", size=70, filled=True, opacity=1, color=INK
    )
    title = "mean over seeds, and what the test can see"
    return alt.layer(line, joined, dot, mark).properties(title=title, width=PAGE // 2 - 90, height=260)


def _sizes(smaller: pl.DataFrame) -> alt.Chart:
    labels = in_order(smaller, "label")
    colour = by_order("label:N", labels, None, orient="bottom", columns=4, symbolType="circle")
    last = int(smaller["items"].max())  # type: ignore[arg-type]
    x = alt.X("items:Q", title="items of the test", scale=alt.Scale(type="log", domain=[1, last], nice=False))
    share = alt.Scale(domain=[0, 1])
    y = alt.Y("zero:Q", title="expected share of seeds", scale=share, axis=alt.Axis(format="%"))
    tooltip: list[Any] = ["label:N", "items:Q", alt.Tooltip("zero:Q", format=".3f")]
    base = alt.Chart(inline(smaller.select("label", "items", "zero"))).encode(
        x=x, y=y, color=colour, tooltip=tooltip
    )
    line = base.mark_line(strokeWidth=2, point={"size": 24})
    title = "seeds that score exactly 0 on a smaller test"
    return line.properties(title=title, width=PAGE // 2 - 90, height=260)
