"""How far do the seeds' scores move from one scale to the next, and where do they turn two-sided?"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from jaxemerge.stats import Onset, two_sided_onset, wasserstein_matrix, wasserstein_test

from .final import final_scores
from .schema import one_test


def distances(
    frame: pl.DataFrame,
    metric: str = "exact_match",
    *,
    split: str | None = None,
    length: int | None = None,
    permutations: int = 999,
    key: Any = 0,
) -> pl.DataFrame:
    """Wasserstein-2 distances between the final scores of all pairs of cells on one test.

    Args:
        frame: results.
        metric: a metric in [0, 1].
        split: may be left out if the metric was measured on one split only.
        length: may be left out if the metric was measured at one length only, or at none.
        permutations: of the seeds of two neighbours, for their p-value.
        key: int or JAX key of the permutations.

    Returns:
        first, second (labels, each pair in both orders, and each cell with itself), distance, p_value (null
        but for neighbours in order of scale). In order of scale of the first, then of the second.

    Raises:
        ValueError: if `permutations` < 1, columns or the metric are missing, or the choice leaves no test or
            several.
    """
    labels, _, populations = _populations(frame, metric, split, length)
    matrix = wasserstein_matrix(populations, 2)
    near = {}
    for i, (first, second) in enumerate(pairwise(populations)):
        test = wasserstein_test(first, second, 2, permutations=permutations, key=key)
        near[i, i + 1] = near[i + 1, i] = float(test.p_value)
    rows = [
        (labels[i], labels[j], float(distance), near.get((i, j)))
        for (i, j), distance in np.ndenumerate(matrix)
    ]
    schema = {"first": pl.String, "second": pl.String, "distance": pl.Float64, "p_value": pl.Float64}
    return pl.DataFrame(rows, schema=schema, orient="row")


def two_sided_scale(
    frame: pl.DataFrame,
    metric: str = "exact_match",
    *,
    split: str | None = None,
    length: int | None = None,
    key: Any = 0,
) -> Onset:
    """The scale at which the final scores of one test turn two-sided (`stats.two_sided_onset`).

    Args:
        frame: results.
        metric: a score.
        split, length: the test; may be left out where there is one only.
        key: int or JAX key of the bootstrap over seeds.

    Raises:
        ValueError: as `distances`, or if the cells' scales are not positive and all different.
    """
    _, scales, populations = _populations(frame, metric, split, length)
    return two_sided_onset(scales, populations, key=key)


def _populations(
    frame: pl.DataFrame, metric: str, split: str | None, length: int | None
) -> tuple[list[str], list[float], list[NDArray[np.float64]]]:
    """Label, scale and scores of every cell, in order of scale."""
    scores = one_test(final_scores(frame, metric), metric, split, length)
    cells = scores.group_by("cell", "label", "scale", maintain_order=True).agg("value")
    values = [np.array(found, np.float64) for found in cells["value"].to_list()]
    return cells["label"].to_list(), cells["scale"].to_list(), values
