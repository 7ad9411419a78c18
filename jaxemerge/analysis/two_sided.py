"""Where do some seeds fail while others succeed?"""

from __future__ import annotations

import polars as pl

from .final import final_scores


def two_sided(
    frame: pl.DataFrame, metric: str = "exact_match", near_zero: float = 0.1, high: float = 0.3
) -> pl.DataFrame:
    """Cells and tests by how two-sided their seeds' scores are, most two-sided first.

    Two-sidedness is the smaller of the shares of seeds below `near_zero` and above `high`, as in
    `jaxemerge.stats.two_sidedness`: at most 1/2, and 0 where all seeds are on one side. It is a way to choose
    what to look at, not a test of bimodality.

    Args:
        frame: results.
        metric: a score.
        near_zero: scores below this have failed.
        high: scores above this have not.

    Returns:
        cell, label, test, split, length, seeds, zeros (seeds at exactly 0), failed (seeds below `near_zero`),
        succeeded (seeds above `high`), spread (standard deviation of the scores; it decides between equals),
        two_sidedness.

    Raises:
        ValueError: if 0 <= near_zero <= high < 1 does not hold, or columns or the metric are missing.
    """
    if not 0 <= near_zero <= high < 1:
        raise ValueError(f"near_zero={near_zero}, high={high}: 0 <= near_zero <= high < 1 must hold")
    value = pl.col("value")
    return (
        final_scores(frame, metric)
        .group_by("cell", "label", "test", "split", "length", maintain_order=True)
        .agg(
            seeds=pl.len(),
            zeros=(value <= 0).sum(),
            failed=(value < near_zero).sum(),
            succeeded=(value > high).sum(),
            spread=value.std().fill_null(0.0),
        )
        .with_columns(two_sidedness=pl.min_horizontal("failed", "succeeded") / pl.col("seeds"))
        .sort("two_sidedness", "spread", descending=True, maintain_order=True)
    )
