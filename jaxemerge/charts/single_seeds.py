"""Do the same seeds succeed everywhere, and which of a seed's two random numbers decides?"""

from __future__ import annotations

from collections.abc import Mapping

import altair as alt
import polars as pl

from .seeds import MARKED_COLOUR, if_marked, markable, seed_name
from .theme import (
    INK,
    PAGE,
    SCORE_TICKS,
    SEQUENCE,
    by_order,
    in_order,
    inline,
    metric_title,
    scale_axis,
    themed,
)

# Above this many outcomes the numbers would run into each other.
MOST_NUMBERED = 10
# Blue for seeds that are good at both, vermilion for seeds that are good at one.
DIVERGING = ["#d55e00", "#f7f7f7", "#2a78b5"]


def correlation_maps(pairs: Mapping[str, pl.DataFrame]) -> alt.ConcatChart:
    """Half a matrix of correlations per panel; in bold those with p of 0.05 or less, by Holm for the panel.

    Panels stand side by side, four in two rows.

    Args:
        pairs: title of the panel -> what `jaxemerge.analysis.correlations` returns, at least one row.
    """
    columns = 2 if len(pairs) == 4 else len(pairs)
    width = (PAGE - 60) // columns - 130
    panels = [_correlation_map(found, title, width) for title, found in pairs.items()]
    return themed(alt.concat(*panels, columns=columns, spacing=26))


def variance_shares(shares: pl.DataFrame) -> alt.LayerChart:
    """Shares of the variance over runs by source, with their intervals, one place per cell.

    Args:
        shares: what `jaxemerge.analysis.variance_shares` returns, at least one row.
    """
    labels, sources = in_order(shares, "label"), in_order(shares, "source")
    base = alt.Chart(inline(shares)).encode(
        x=alt.X("label:N", sort=labels, title=None, axis=alt.Axis(labelAngle=0, labelLimit=200)),
        xOffset=alt.XOffset("source:N", sort=sources),
        color=by_order("source:N", sources, "share due to the"),
        tooltip=["label:N", "source:N", *(alt.Tooltip(f"{c}:Q", format=".3f") for c in ("share", "p_value"))],
    )
    scale, axis = alt.Scale(domain=[0, 1]), alt.Axis(format="%")
    y = alt.Y("low:Q", scale=scale, axis=axis, title="share of the variance")
    bar = base.mark_rule(strokeWidth=2, opacity=0.5).encode(y=y, y2="high:Q")
    dot = base.mark_circle(size=60, opacity=1).encode(y=alt.Y("share:Q", scale=scale))
    return themed(alt.layer(bar, dot).properties(width=min(PAGE - 90, 160 * len(labels) + 80), height=240))


def crossed_scores(scores: pl.DataFrame) -> alt.HConcatChart:
    """A square per run, one panel per test: rows are init seeds, columns data seeds, colour is the score.

    Rows and columns are in order of their mean score over all tests: where one of the two seeds decides, its
    rows or columns are of one colour.

    Args:
        scores: of one cell whose runs cross init seeds with data seeds, what
            `jaxemerge.analysis.final_scores` returns.
    """
    order = {
        seed: scores.group_by(seed).agg(pl.col("value").mean()).sort("value", seed, descending=True)[seed]
        for seed in ("init_seed", "data_seed")
    }
    tests = in_order(scores.sort("split", "length"), "test")
    size = min(26, (PAGE - 120) // len(tests) // max(len(seeds) for seeds in order.values()))
    colour = alt.Color(
        "value:Q",
        scale=alt.Scale(domain=[0, 1], range=[*SEQUENCE[:1], *SEQUENCE[1:], "#fde725"]),
        legend=alt.Legend(title=metric_title(scores["metric"][0]), gradientLength=180),
    )
    panels = []
    for number, test in enumerate(tests):
        rows = scores.filter(pl.col("test") == test).select(
            "init_seed", "data_seed", "value", run=seed_name(scores)
        )
        y = alt.Y("init_seed:O", sort=order["init_seed"].to_list(), title=None if number else "init seed")
        x = alt.X(
            "data_seed:O",
            sort=order["data_seed"].to_list(),
            title="data seed",
            axis=alt.Axis(labelAngle=0),
        )
        panels.append(
            alt.Chart(inline(rows))
            .mark_rect()
            .encode(
                x=x,
                y=y,
                color=colour,
                stroke=if_marked(MARKED_COLOUR, alt.value("white")),
                strokeWidth=if_marked(3, alt.value(1)),
                tooltip=["init_seed:O", "data_seed:O", "value:Q"],
            )
            .properties(title=test, width=alt.Step(size), height=alt.Step(size))
        )
    return themed(markable(alt.hconcat(*panels, spacing=26)))


def _correlation_map(pairs: pl.DataFrame, title: str, width: int) -> alt.LayerChart | alt.FacetChart:
    columns, rows = in_order(pairs, "first"), in_order(pairs, "second")
    size = min(width, 64 * len(columns))
    axis = alt.Axis(labelAngle=-40, labelLimit=130)
    base = alt.Chart(inline(pairs)).encode(
        x=alt.X("first:N", sort=columns, title=None, axis=axis),
        y=alt.Y("second:N", sort=rows, title=None, axis=alt.Axis(labelLimit=130)),
        tooltip=[
            *("first:N", "second:N", "seeds:Q"),
            *(
                alt.Tooltip(f"{c}:Q", format=".3f")
                for c in ("correlation", "low", "high", "p_value", "p_adjusted")
            ),
        ],
    )
    colour = alt.Color(
        "correlation:Q",
        scale=alt.Scale(domain=[-1, 0, 1], range=DIVERGING),
        legend=alt.Legend(title="Spearman's correlation of seeds", gradientLength=180),
    )
    layers = [base.mark_rect(stroke="white").encode(color=colour)]
    if max(len(columns), len(rows)) <= MOST_NUMBERED:
        ink = alt.when("abs(datum.correlation) > 0.6").then(alt.value("white")).otherwise(alt.value(INK))
        number = {"text": alt.Text("correlation:Q", format=".2f"), "color": ink}
        known = base.transform_filter("datum.correlation !== null")
        clear = known.transform_filter("datum.p_adjusted <= 0.05").mark_text(fontSize=11, fontWeight="bold")
        others = known.transform_filter("datum.p_adjusted > 0.05").mark_text(fontSize=11)
        layers += [clear.encode(**number), others.encode(**number)]
    return alt.layer(*layers).properties(title=title, width=size, height=min(34 * len(rows), 340))


TITLES = {"breakthroughness": "highest breakthroughness B", "linearity": "highest linearity L"}


def rank_curves(curves: pl.DataFrame, scale: str, metric: str = "exact_match") -> alt.HConcatChart:
    """Two panels of final scores against scale: the leading seeds by breakthroughness and by linearity.

    Args:
        curves: what `jaxemerge.analysis.rank_curves` returns.
        scale: what scale is, as `jaxemerge.analysis.scale_column` says.
        metric: whose scores they are.
    """
    panels = [_ranked(curves, ranking, scale, metric) for ranking in TITLES]
    return themed(markable(alt.hconcat(*panels, spacing=30).resolve_scale(color="independent")))


def _ranked(curves: pl.DataFrame, ranking: str, scale: str, metric: str) -> alt.LayerChart | alt.FacetChart:
    letter = ranking[0].upper()
    rows = curves.filter(pl.col("ranking") == ranking).with_columns(
        run=seed_name(curves),
        seed=seed_name(curves) + f", {letter} = " + pl.col(ranking).round_sig_figs(3).cast(pl.String),
    )
    names = rows["seed"].unique(maintain_order=True).to_list()
    # Whole numbers of scores from 0 to 1; other metrics find their own range.
    proportion = rows.is_empty() or 0 <= rows["value"].min() <= rows["value"].max() <= 1  # type: ignore[operator]
    y = alt.Y(
        "value:Q",
        title=metric_title(metric),
        scale=alt.Scale(domain=[0, 1]) if proportion else alt.Scale(zero=False),
        axis=alt.Axis(values=SCORE_TICKS, format="~g") if proportion else alt.Axis(),
    )
    colour = by_order("seed:N", names, None, orient="right", symbolType="circle")
    columns = ("label", "scale", "value", "seed", "run", "place")
    base = alt.Chart(inline(rows.select(columns))).encode(
        x=scale_axis(sorted(rows["scale"].unique()), scale),
        y=y,
        color=colour,
        tooltip=["seed:N", "label:N", alt.Tooltip("value:Q", format=".3f")],
    )
    line = base.mark_line(opacity=0.85).encode(strokeWidth=if_marked(4, alt.value(1.8)))
    dot = base.mark_circle(opacity=1).encode(size=if_marked(110, alt.value(36)))
    drawn = alt.layer(line, dot)
    return drawn.properties(
        title=f"the {len(names)} seeds of {TITLES[ranking]}", width=PAGE // 2 - 215, height=240
    )
