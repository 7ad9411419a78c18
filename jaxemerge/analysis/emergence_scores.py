"""Which task and metric have a sudden scale curve, and which of these are more than chance?"""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy.stats import false_discovery_control

from jaxemerge.stats import emergence_score, generator
from jaxemerge.stats.estimates.resampling import permutation_p_value

from .metric_means import known_scores, less_is_better, metrics_of

CURVE = ("task", "family", "split", "length", "metric")


def emergence_scores(
    frame: pl.DataFrame,
    metrics: list[str] | None = None,
    *,
    resolution: float = 1e-3,
    permutations: int = 999,
    key: Any = 0,
) -> pl.DataFrame:
    """The emergence score of every triplet of task, metric and model family, with its p-value.

    A triplet's curve is the mean over seeds in every cell of one task and family, in order of scale; tests of
    one task (split, length) are triplets of their own. Its score is the signed range over the root of the
    median squared increment, neither finer than one item of the test (`trials`) nor, for other metrics, than
    `resolution` times the range of the curve. Metrics of which less is better are turned about.

    The null says that scale does not matter: seeds are dealt out to the cells at random, all seeds of a
    triplet together, and the score worked out anew. Small p-values stand for a score larger in size than
    chance gives. They are corrected for the number of triplets (Benjamini and Hochberg).

    A high score says that most of the rise comes at once; a smooth rise has a score near the number of cells
    less one, and can be far beyond chance in every other way.

    Args:
        frame: results.
        metrics: which; by default all of tests.
        resolution: least increment of metrics without trials, as a share of the curve's range.
        permutations: number of random ones.
        key: int or JAX key.

    Returns:
        task, family, split, length, metric, cells, seeds (of the smallest cell), score, p_value,
        q_value (the share of false discoveries if this one and all smaller are called discoveries); largest
        score first. Curves of fewer than three cells have none. Null where undefined.

    Raises:
        ValueError: if columns or a metric are missing, or an argument is out of its range.

    References:
        Schaeffer, Miranda and Koyejo (2023), arXiv 2304.15004, section 4; Benjamini and Hochberg (1995),
        J. R. Stat. Soc. B 57, p. 289.
    """
    if permutations < 1:
        raise ValueError(f"permutations={permutations} must be at least 1")
    if not resolution > 0:
        raise ValueError(f"resolution={resolution} must be positive")
    rng, rows = generator(key), []
    for metric in metrics if metrics is not None else metrics_of(frame):
        scores = known_scores(frame, metric)
        if less_is_better(metric):
            scores = scores.with_columns(value=-pl.col("value"))
        for names, part in scores.group_by(CURVE, maintain_order=True):
            cells = [seeds["value"].to_numpy() for seeds in part.partition_by("cell", maintain_order=True)]
            if len(cells) < 3:
                continue
            trials = part["trials"].min()
            score, p_value = _score(
                cells, None if trials is None else 1 / float(str(trials)), resolution, permutations, rng
            )
            rows.append((*names, len(cells), min(map(len, cells)), score, p_value))
    schema: dict[str, Any] = {
        **{name: frame.schema[name] for name in CURVE},
        "cells": pl.Int64,
        "seeds": pl.Int64,
    }
    table = pl.DataFrame(rows, schema=schema | {"score": pl.Float64, "p_value": pl.Float64}, orient="row")
    return _corrected(table).sort("score", descending=True, nulls_last=True)


def _score(
    cells: list[NDArray[np.float64]],
    step: float | None,
    resolution: float,
    permutations: int,
    rng: np.random.Generator,
) -> tuple[float, float]:
    pool, ends = np.concatenate(cells), np.cumsum([len(cell) for cell in cells])[:-1]
    dealt = np.concatenate([pool[None], rng.permuted(np.tile(pool, (permutations, 1)), axis=1)])
    curves = np.stack([part.mean(axis=1) for part in np.split(dealt, ends, axis=1)], axis=1)
    spread = np.ptp(curves, axis=1)
    least = np.maximum(resolution * spread, 1e-12) if step is None else np.full(len(curves), step)
    scores = np.abs(emergence_score(curves, resolution=least))
    sign = np.sign(emergence_score(curves[:1], resolution=least[:1]))[0]
    if np.ptp(pool) == 0:
        return float("nan"), float("nan")
    return float(sign * scores[0]), float(permutation_p_value(scores[0], scores[1:]))


def _corrected(table: pl.DataFrame) -> pl.DataFrame:
    p = table["p_value"].to_numpy()
    known, q = ~np.isnan(p), np.full(len(p), np.nan)
    if known.any():
        q[known] = false_discovery_control(p[known])
    return table.with_columns(pl.Series("q_value", q)).with_columns(pl.selectors.float().fill_nan(None))
