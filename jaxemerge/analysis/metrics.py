"""Which metric do results describe, and is it a share of items?"""

from __future__ import annotations

import polars as pl

from .schema import is_loss, require, rows_of

MAIN = "exact_match"
# Measured beside the scores, and never what a study is about.
COMPANIONS = ("train_loss", "grad_norm", "answer_nll", "token_accuracy")


def is_share(frame: pl.DataFrame, metric: str) -> bool:
    """Whether a metric is a share in [0, 1]: it has trials, or lies there and has not the name of a loss.

    Raises:
        ValueError: if columns or the metric are missing.
    """
    rows = rows_of(frame, metric)
    if rows["trials"].count():
        return True
    return not is_loss(metric) and bool(rows["value"].fill_nan(None).drop_nulls().is_between(0, 1).all())


def never_right(frame: pl.DataFrame, metric: str) -> bool:
    """Whether no run that went well ever scores above 0, such as where only luck gets a text right."""
    rows = rows_of(frame, metric).filter(~pl.col("diverged"), pl.col("step") > 0)
    return rows.height > 0 and bool((rows["value"].fill_null(0.0) == 0).all())


def main_metric(frame: pl.DataFrame) -> str | None:
    """`exact_match`, else the first share in [0, 1], else the first metric; None where there are none.

    Those that are measured beside the scores (training loss, gradient norm, ...) do not count.

    Raises:
        ValueError: if columns are missing.
    """
    require(frame, "metric", "value", "trials")
    names = frame["metric"].unique(maintain_order=True).to_list()
    if MAIN in names:
        return MAIN
    others = [name for name in names if name not in COMPANIONS]
    shares = [name for name in others if is_share(frame, name)]
    return next(iter(shares or others), None)
