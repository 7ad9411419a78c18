"""One seed in all charts of a page: its name, and how it looks once a reader has marked it."""

from __future__ import annotations

from typing import Any

import altair as alt
import polars as pl

# Okabe and Ito's reddish purple, which no other mark has.
MARKED_COLOUR = "#cc79a7"
# A page sets this parameter of every chart that has it to the name of the seed that was clicked.
MARKED = "marked"


def seed_name(rows: pl.DataFrame) -> pl.Expr:
    """Name of each row's seed: one number where its two seeds agree in all rows, else both."""
    one = rows.select((pl.col("init_seed") == pl.col("data_seed")).all()).item()
    return pl.format("seed {}", "init_seed") if one else pl.format("seed {}/{}", "init_seed", "data_seed")


def if_marked(marked: Any, otherwise: Any) -> Any:
    """A channel that has the value `marked` where a row's `run` is the marked seed, else `otherwise`."""
    return alt.when(f"datum.run === {MARKED}").then(alt.value(marked)).otherwise(otherwise)


def markable(chart: Any) -> Any:
    """The chart with the parameter that says which seed is marked; at first none is."""
    return chart.add_params(alt.param(name=MARKED, value=""))
