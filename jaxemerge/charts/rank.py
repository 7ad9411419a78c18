"""What do the scale curves of single seeds look like, the most sudden and the steadiest?"""

from __future__ import annotations

import altair as alt
import polars as pl

from .scale import scale_axis
from .theme import PAGE, SCORE_TICKS, inline, metric_title, sequential, themed

TITLES = {"breakthroughness": "highest breakthroughness B", "linearity": "highest linearity L"}


def rank_curves(curves: pl.DataFrame, scale: str, metric: str = "exact_match") -> alt.HConcatChart:
    """Two panels of final scores against scale: the leading seeds by breakthroughness and by linearity.

    Args:
        curves: what `jaxemerge.analysis.rank_curves` returns.
        scale: what scale is, as `jaxemerge.analysis.scale_column` says.
        metric: whose scores they are.
    """
    panels = [_panel(curves, ranking, scale, metric) for ranking in TITLES]
    return themed(alt.hconcat(*panels, spacing=30).resolve_scale(color="independent"))


def _panel(curves: pl.DataFrame, ranking: str, scale: str, metric: str) -> alt.LayerChart | alt.FacetChart:
    letter = ranking[0].upper()
    rows = curves.filter(pl.col("ranking") == ranking).with_columns(
        seed=_seed_name(curves) + f", {letter} = " + pl.col(ranking).round_sig_figs(3).cast(pl.String)
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
    colour = alt.Color(
        "seed:N",
        sort=names,
        scale=alt.Scale(domain=names, range=sequential(len(names))),
        legend=alt.Legend(title=None, orient="right", symbolType="circle", symbolOpacity=1),
    )
    columns = ("label", "scale", "value", "seed", "place")
    base = alt.Chart(inline(rows.select(columns))).encode(
        x=scale_axis(sorted(rows["scale"].unique()), scale),
        y=y,
        color=colour,
        tooltip=["seed:N", "label:N", alt.Tooltip("value:Q", format=".3f")],
    )
    drawn = alt.layer(base.mark_line(strokeWidth=1.8, opacity=0.85), base.mark_circle(size=36, opacity=1))
    return drawn.properties(
        title=f"the {len(names)} seeds of {TITLES[ranking]}", width=PAGE // 2 - 215, height=240
    )


def _seed_name(curves: pl.DataFrame) -> pl.Expr:
    """One number where a seed has one, else both."""
    one = curves.select((pl.col("init_seed") == pl.col("data_seed")).all()).item()
    return pl.format("seed {}", "init_seed") if one else pl.format("seed {}/{}", "init_seed", "data_seed")
