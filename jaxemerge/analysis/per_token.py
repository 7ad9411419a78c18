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
        frame: results.
        exact, tokens: metrics: the share of items without an error, and of right tokens. L is the number of
            tokens behind the second to an item of the first; where these are not known, the test's length.

    Returns:
        cell, label, scale, split, length, tokens (L), exact (measured), wrong (tokens of an answer,
        measured), p (token accuracy), exact_model (p^L), p_fitted, exact_fitted, wrong_fitted (of the one p
        of the cell).

    Raises:
        ValueError: if a metric is missing, or the number of tokens of an answer is not known.

    References:
        Schaeffer, Miranda and Koyejo (2023), arXiv 2304.15004, section 2.
    """
    table = _joined(frame, exact, tokens)
    if table["tokens"].null_count() or table.is_empty():
        raise ValueError(f"{exact} and {tokens} need trials, or tests of known length: p^L has an L")
    fitted = [
        part.with_columns(p_fitted=pl.lit(_most_likely(part)))
        for part in table.partition_by("cell", "split", maintain_order=True)
    ]
    answer, p = pl.col("tokens"), pl.col("p_fitted")
    return (
        pl.concat(fitted)
        .with_columns(
            wrong=answer * (1 - pl.col("p")),
            exact_fitted=p**answer,
            wrong_fitted=answer * (1 - p),
        )
        .select(
            *(*KEYS, "tokens", "exact", "wrong", "p", "exact_model"),
            *("p_fitted", "exact_fitted", "wrong_fitted"),
        )
    )


def _joined(frame: pl.DataFrame, exact: str, tokens: str) -> pl.DataFrame:
    """Both metrics by cell and test: means over seeds, numbers of exact answers, and L."""
    member = ["cell", "split", "length", "init_seed", "data_seed"]
    whole, each = (final_scores(frame, metric) for metric in (exact, tokens))
    other = each.select(*member, p="value", behind="trials")
    seeds = whole.join(other, on=member, nulls_equal=True, maintain_order="left")
    known = (pl.col("behind") / pl.col("trials")).fill_null(pl.col("length").cast(pl.Float64))
    value, trials, p = pl.col("value"), pl.col("trials"), pl.col("p")
    return (
        seeds.with_columns(tokens=known)
        .group_by(*KEYS, maintain_order=True)
        .agg(
            pl.col("tokens").first(),
            exact=value.mean(),
            passed=(trials.fill_null(1) * value).sum(),
            trials=trials.fill_null(1).sum(),
            p=p.mean(),
            exact_model=(p ** pl.col("tokens")).mean(),
        )
    )


def _most_likely(part: pl.DataFrame) -> float:
    """One p of all lengths, from the numbers of exact answers, each of probability p^L."""
    length, passed, items = (part[c].to_numpy().astype(np.float64) for c in ("tokens", "passed", "trials"))
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
