"""Which columns does a frame of results have, and which rows belong to a metric?"""

from __future__ import annotations

from typing import Any

import polars as pl

TYPES: dict[str, Any] = {
    **dict.fromkeys(("study", "cell", "task", "family"), pl.String),
    **{"depth": pl.Int32, "width": pl.Int32, "parameters": pl.Int64, "flops": pl.Float64},
    **dict.fromkeys(("init_seed", "data_seed", "step", "tokens"), pl.Int64),
    **{"split": pl.String, "length": pl.Int32, "metric": pl.String, "value": pl.Float64},
    **{"trials": pl.Int32, "diverged": pl.Boolean},
}
SCHEMA = tuple(TYPES)
MEMBER = ("cell", "init_seed", "data_seed")
CELL = ("cell", "depth", "width", "parameters")
RESULT = ("step", "split", "length", "metric", "value", "trials", "diverged")


# Parts of the names of metrics that are small where a model is good, and know no upper end.
LOSSES = ("loss", "nll", "perplexity", "ppl", "bits", "byte", "entropy", "brier", "grad_norm")


def is_loss(metric: str) -> bool:
    """Whether the name of a metric is that of a loss."""
    return any(part in metric.lower() for part in LOSSES)


def require(frame: pl.DataFrame, *columns: str) -> None:
    """Refuses a frame that lacks some of the columns.

    Raises:
        ValueError: naming every missing column.
    """
    missing = [column for column in columns if column not in frame.columns]
    if missing:
        raise ValueError(f"the frame lacks columns {', '.join(missing)}; it has {', '.join(frame.columns)}")


def rows_of(frame: pl.DataFrame, metric: str) -> pl.DataFrame:
    """The rows of one metric.

    Raises:
        ValueError: if there are none, naming the metrics there are.
    """
    require(frame, *CELL, *MEMBER, *RESULT)
    rows = frame.filter(pl.col("metric") == metric)
    if rows.is_empty():
        present = ", ".join(sorted(frame["metric"].unique())) or "no rows"
        raise ValueError(f"metric={metric!r} is not in the frame, which has {present}")
    return rows


def one_test(rows: pl.DataFrame, metric: str, split: str | None, length: int | None) -> pl.DataFrame:
    """The rows of one split and length, either of which may be left out where there is one only.

    Raises:
        ValueError: if the choice leaves no test or several, naming the tests there are.
    """
    on_split = pl.lit(True) if split is None else pl.col("split") == split
    at_length = pl.lit(True) if length is None else pl.col("length") == length
    chosen = rows.filter(on_split, at_length)
    if chosen.select("split", "length").n_unique() != 1:
        found = chosen.select("split", "length").n_unique() if chosen.height else 0
        tests = rows.select("split", "length").unique().sort("split", "length").rows()
        raise ValueError(
            f"split={split!r}, length={length}: {found} tests of {metric}; choose one of {tests}"
        )
    return chosen
