"""How much does P(success) of every population hang on the threshold?"""

from __future__ import annotations

import numpy as np
import polars as pl

from jaxemerge.stats import threshold_scan

from .final import final_scores
from .schema import one_test

# Thresholds of the scan: enough for a smooth line, few enough for a page.
PLACES = np.arange(1, 101) / 100


def success_by_threshold(
    frame: pl.DataFrame,
    metric: str = "exact_match",
    *,
    split: str | None = None,
    length: int | None = None,
) -> pl.DataFrame:
    """P(success) of every cell on one test, for thresholds from 0.01 to 1.

    Args:
        frame: results.
        metric: a metric in [0, 1].
        split, length: the test; may be left out where there is one only.

    Returns:
        cell, label, scale, seeds, threshold, success, low, high (Wilson's interval at this threshold alone),
        band_low, band_high (hold at all thresholds at once); in order of scale and threshold.

    Raises:
        ValueError: if columns or the metric are missing, or the choice leaves no test or several.
    """
    scores = one_test(final_scores(frame, metric), metric, split, length)
    parts = []
    for group, seeds in scores.group_by("cell", "label", "scale", maintain_order=True):
        found = threshold_scan(seeds["value"].to_numpy(), PLACES)
        columns = {
            "threshold": found.thresholds,
            "success": found.success,
            **{"low": found.interval.low, "high": found.interval.high},
            **{"band_low": found.band.low, "band_high": found.band.high},
        }
        named = zip(("cell", "label", "scale", "seeds"), (*group, found.n), strict=True)
        parts.append(pl.DataFrame(columns).select(*(pl.lit(v).alias(n) for n, v in named), pl.all()))
    return pl.concat(parts)
