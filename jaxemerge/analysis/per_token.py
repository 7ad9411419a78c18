"""Would tokens that are right or wrong by themselves give this exact match and this number of errors?"""

from __future__ import annotations

import numpy as np
import polars as pl
from scipy.optimize import minimize_scalar
from scipy.special import xlog1py, xlogy

from .final import final_scores

KEYS = ("cell", "label", "scale", "split", "length")


def per_token(
    frame: pl.DataFrame, *, exact: str = "exact_match", tokens: str = "token_accuracy"
) -> pl.DataFrame:
    """The per-token model of Schaeffer et al. by cell and length, with p found in two ways.

    If each of L tokens is right with probability p by itself, exact match is p^L, sharp in p and L, and the
    expected number of wrong tokens L (1 - p), smooth. p is (a) the token accuracy of each seed at this
    length, which leaves nothing to fit, and (b) the most likely one p for all seeds and lengths of a cell,
    given how many items were answered exactly. Where exact match is above p^L of (a), the errors of a seed
    come together: some items have them all.

    Args:
        frame: results with lengths.
        exact, tokens: metrics: the share of items without an error, and of right tokens.

    Returns:
        cell, label, scale, split, length, exact (measured), wrong (tokens of an answer, measured), p (token
        accuracy), exact_model (p^L), p_fitted, exact_fitted, wrong_fitted (of the one p of the cell).

    Raises:
        ValueError: if a metric is missing, or tests have no length.

    References:
        Schaeffer, Miranda and Koyejo (2023), arXiv 2304.15004, section 2.
    """
    whole, each = (_means(frame, metric) for metric in (exact, tokens))
    table = (
        whole.rename({"value": "exact"})
        .drop("power")
        .join(each.select("cell", "split", "length", "power", p="value"), on=["cell", "split", "length"])
    )
    if table["length"].null_count() or table.is_empty():
        raise ValueError(f"{exact} and {tokens} need tests of known length: p^L has an L")
    fitted = [
        part.with_columns(p_fitted=pl.lit(_most_likely(part)))
        for part in table.partition_by("cell", "split", maintain_order=True)
    ]
    length, p = pl.col("length"), pl.col("p_fitted")
    return (
        pl.concat(fitted)
        .with_columns(
            wrong=length * (1 - pl.col("p")),
            exact_model=pl.col("power"),
            exact_fitted=p**length,
            wrong_fitted=length * (1 - p),
        )
        .select(*KEYS, "exact", "wrong", "p", "exact_model", "p_fitted", "exact_fitted", "wrong_fitted")
    )


def _means(frame: pl.DataFrame, metric: str) -> pl.DataFrame:
    scores = final_scores(frame, metric)
    value, trials = pl.col("value"), pl.col("trials")
    return scores.group_by(*KEYS, maintain_order=True).agg(
        value.mean(),
        (trials * value).sum().alias("passed"),
        trials.sum(),
        (value ** pl.col("length")).mean().alias("power"),
    )


def _most_likely(part: pl.DataFrame) -> float:
    """One p of all lengths, from the numbers of exact answers, each of probability p^L."""
    length, passed, items = (part[c].to_numpy().astype(np.float64) for c in ("length", "passed", "trials"))
    if not passed.any():
        return 0.0
    if np.all(passed == items):
        return 1.0

    def loss(log_p: float) -> float:
        rate = np.exp(length * log_p)
        return float(-np.sum(xlogy(passed, rate) + xlog1py(items - passed, -rate)))

    return float(
        np.exp(minimize_scalar(loss, bounds=(-20.0, -1e-9), method="bounded", options={"xatol": 1e-9}).x)
    )
