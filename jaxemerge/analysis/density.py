"""How smooth a shape do the scores between 0 and 1 have?"""

from __future__ import annotations

import numpy as np
import polars as pl
from numpy.typing import NDArray

from .final import final_scores

# Bandwidths outside this range either draw single seeds or smear everything (scores run from 0 to 1).
NARROWEST, WIDEST = 0.02, 0.12


def density(frame: pl.DataFrame, points: int = 81, metric: str = "exact_match") -> pl.DataFrame:
    """Kernel density of the final scores strictly between 0 and 1, per cell and test, for violins.

    A Gaussian kernel with Silverman's bandwidth (kept within 0.02 to 0.12; 0.12 for a single seed), reflected
    at 0 and 1 so that no mass leaves the unit interval. Groups without a score strictly inside have no rows.

    Args:
        frame: results.
        points: number of points of the grid from 0 to 1.
        metric: a metric in [0, 1].

    Returns:
        cell, label, test, split, length, value (the grid), density (integrates to 1) and share (of the
        group's seeds that lie strictly inside).

    Raises:
        ValueError: if `points` < 2, or columns or the metric are missing.

    References:
        Silverman (1986), Density Estimation for Statistics and Data Analysis, eq. 3.31 and section 2.10.
    """
    if points < 2:
        raise ValueError(f"points={points} must be at least 2")
    inside = (pl.col("value") > 0) & (pl.col("value") < 1)
    groups = (
        final_scores(frame, metric)
        .group_by("cell", "label", "test", "split", "length", maintain_order=True)
        .agg(pl.col("value").filter(inside).alias("scores"), share=inside.mean())
        .filter(pl.col("share") > 0)
    )
    grid = np.linspace(0.0, 1.0, points)
    shapes = [reflected_density(scores.to_numpy(), grid).tolist() for scores in groups["scores"]]
    columns = [pl.Series("value", [grid.tolist()] * len(shapes), pl.List(pl.Float64))]
    columns.append(pl.Series("density", shapes, pl.List(pl.Float64)))
    return (
        groups.drop("scores")
        .with_columns(columns)
        .explode("value", "density")
        .select("cell", "label", "test", "split", "length", "value", "density", "share")
    )


def reflected_density(scores: NDArray[np.float64], grid: NDArray[np.float64]) -> NDArray[np.float64]:
    """Density of scores [S] in [0, 1] at the grid's points [G], reflected at both ends."""
    width = bandwidth(scores)
    mirrored = np.concatenate([-scores, scores, 2 - scores])
    kernel = np.exp(-0.5 * ((grid[:, None] - mirrored) / width) ** 2)
    return kernel.sum(axis=1) / (len(scores) * width * np.sqrt(2 * np.pi))


def bandwidth(scores: NDArray[np.float64]) -> float:
    """Silverman's rule of thumb, within 0.02 to 0.12; the widest for a single score."""
    if len(scores) < 2:
        return WIDEST
    spread = min(float(np.std(scores, ddof=1)), float(np.subtract(*np.quantile(scores, [0.75, 0.25]))) / 1.34)
    return float(np.clip(0.9 * spread * len(scores) ** -0.2, NARROWEST, WIDEST))
