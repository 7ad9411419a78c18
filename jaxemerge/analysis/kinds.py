"""What kind of number is a metric: a share of items, a loss, or neither? What does a failed run score?"""

from __future__ import annotations

import re

import polars as pl

from .results import require, rows_of

# Parts of the names of metrics that are small where a model is good, and know no upper end.
LOSSES = ("loss", "nll", "perplexity", "ppl", "bits", "byte", "entropy", "brier", "grad_norm")
# Whole words of names that count errors or time.
ERRORS = {"error", "errors", "mse", "rmse", "mae", "wer", "cer", "edit", "edits", "regret"}
TIMES = {"time", "seconds", "minutes", "hours", "latency", "ms"}

# In the name of a metric that says whether another one meets a limit.
AT_MOST = " at most "

MAIN = "exact_match"
# Measured along with the scores, and never the main metric.
COMPANIONS = ("train_loss", "grad_norm", "answer_nll", "token_accuracy")


def is_loss(metric: str) -> bool:
    """Whether the name of a metric is that of a loss."""
    return AT_MOST not in metric and any(part in metric.lower() for part in LOSSES)


def less_is_better(metric: str) -> bool:
    """Whether a metric is a loss, or counts errors or time, by its name."""
    words = re.findall("[a-z]+", metric.lower())
    return is_loss(metric) or (AT_MOST not in metric and not (ERRORS | TIMES).isdisjoint(words))


def limited(metric: str) -> str | None:
    """The metric whose limit a metric says is met; None for others."""
    return metric.partition(AT_MOST)[0] if AT_MOST in metric else None


def limit_of(metric: str) -> float | None:
    """The limit that a metric says another one meets; None for others."""
    return float(metric.partition(AT_MOST)[2]) if AT_MOST in metric else None


def is_share(frame: pl.DataFrame, metric: str) -> bool:
    """Whether a metric is a share in [0, 1] that is large where a model is good.

    It has trials, or lies there and has not the name of a loss, an error or a time. Nothing else decides.

    Raises:
        ValueError: if columns or the metric are missing.
    """
    rows = rows_of(frame, metric)
    if rows["trials"].count():
        return True
    known = rows["value"].fill_nan(None).drop_nulls()
    return not less_is_better(metric) and bool(known.is_between(0, 1).all())


def worst(frame: pl.DataFrame, metric: str) -> float:
    """What a run that failed scores: 0 of a share, else worse than any other run.

    Raises:
        ValueError: as `is_share`.
    """
    if is_share(frame, metric):
        return 0.0
    return float("inf") if less_is_better(metric) else float("-inf")


def never_right(frame: pl.DataFrame, metric: str) -> bool:
    """Whether every run that did not diverge scores 0 throughout, such as on exact match of random text."""
    rows = rows_of(frame, metric).filter(~pl.col("diverged"), pl.col("step") > 0)
    return rows.height > 0 and bool((rows["value"].fill_null(0.0) == 0).all())


def main_metric(frame: pl.DataFrame) -> str | None:
    """`exact_match`, else the first share in [0, 1], else the first metric; None where there are none.

    Companions of the scores (training loss, gradient norm, ...) do not count.

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
