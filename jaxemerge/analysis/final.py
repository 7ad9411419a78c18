"""How did every seed end up?"""

from __future__ import annotations

import polars as pl

from .labels import cell_labels, with_test_label
from .schema import CELL, MEMBER, RESULT, require, rows_of


def final(frame: pl.DataFrame) -> pl.DataFrame:
    """The rows at each member's last step, per metric and split; cells may differ in length.

    Raises:
        ValueError: if columns are missing, or a member has two values of one metric, split and length (two
            studies that share a cell would count its seeds twice).
    """
    require(frame, *CELL, *MEMBER, *RESULT)
    last = frame.filter(pl.col("step") == pl.col("step").max().over(*MEMBER, "metric", "split"))
    keys = [*MEMBER, "metric", "split", "length"]
    twice = last.height - last.n_unique(keys) if last.height else 0
    if twice:
        raise ValueError(f"{twice} final results are there twice (same {', '.join(keys)}); keep one study")
    return last


def final_scores(frame: pl.DataFrame, metric: str = "exact_match") -> pl.DataFrame:
    """Final scores of one metric, labelled and in order: by scale of the cell, then by test, then by seed.

    A diverged seed's NaN is score 0: it failed, and it counts.

    Returns:
        The rows of `final` for this metric, with the columns label, test, rank and scale added.

    Raises:
        ValueError: as `final`, or if the metric is not there.
    """
    scores = final(rows_of(frame, metric)).with_columns(pl.col("value").fill_nan(0.0).fill_null(0.0))
    named = with_test_label(scores).join(
        cell_labels(frame).select("cell", "label", "rank", "scale"), on="cell"
    )
    return named.sort("rank", "split", "length", "init_seed", "data_seed")
