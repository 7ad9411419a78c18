"""Which single seeds break through along the scale, and which grow steadily?"""

from __future__ import annotations

import numpy as np
import polars as pl
from numpy.typing import NDArray

from jaxemerge.stats import breakthroughness, linearity

from .final import final_scores
from .labels import cell_labels, forms_a_curve
from .schema import one_test

SEED = ("init_seed", "data_seed")
RANKINGS = ("breakthroughness", "linearity")


def rank_curves(
    frame: pl.DataFrame,
    metric: str = "exact_match",
    *,
    top: int = 5,
    split: str | None = None,
    length: int | None = None,
) -> pl.DataFrame:
    """The scale curves of the seeds with the highest breakthroughness and with the highest linearity.

    A seed's curve is made of its final scores in all cells, in order of scale; seeds that were not run in
    every cell have none. Where the metric is a proportion of n items, both numbers have the floor 1/n of what
    the test can resolve: without it, B is infinite for every curve that mostly stays at 0, and ranks none of
    them. A curve without a value (flat, no trials) comes last; equals come in order of their seeds.

    Args:
        frame: results whose cells follow each other along the scale (`forms_a_curve`).
        metric: any metric.
        top: number of seeds of each ranking.
        split: may be left out if the metric was measured on one split only.
        length: may be left out if the metric was measured at one length only, or at none.

    Returns:
        ranking ("breakthroughness" or "linearity"), place (1, 2, ...), init_seed, data_seed, cell, label,
        scale, value, breakthroughness, linearity; no rows if no seed was run in every cell.

    Raises:
        ValueError: if `top` < 1, the cells form no curve, columns or the metric are missing, or the choice
            leaves no test or several.

    References:
        Srivastava et al. (2022), arXiv 2206.04615 (breakthroughness and linearity).
    """
    if top < 1:
        raise ValueError(f"top={top} must be at least 1")
    scores = final_scores(frame, metric)
    labels = cell_labels(frame)
    if not forms_a_curve(labels):
        found = ", ".join(labels["label"].to_list())
        raise ValueError(f"cells {found} form no curve; three or more in order of one scale are needed")
    chosen = one_test(scores, metric, split, length)
    curves = chosen.filter(pl.len().over(*SEED) == labels.height).sort(*SEED, "rank")
    if curves.is_empty():
        return _columns(
            curves.with_columns(ranking=pl.lit(""), place=pl.lit(1), **dict.fromkeys(RANKINGS, 0.0))
        )
    numbers = _numbers(curves, labels.height)
    best = [_best(numbers, ranking, top) for ranking in RANKINGS]
    return _columns(pl.concat(best).join(curves, on=SEED, maintain_order="left_right"))


def _numbers(curves: pl.DataFrame, cells: int) -> pl.DataFrame:
    """B and L of every seed, in order of the seeds."""
    values: NDArray[np.float64] = curves["value"].to_numpy().reshape(-1, cells)
    trials = curves["trials"].min()
    floor = None if trials is None else 1 / float(str(trials))
    return (
        curves.select(SEED)
        .unique(maintain_order=True)
        .with_columns(
            breakthroughness=pl.Series(breakthroughness(values, resolution=floor)),
            linearity=pl.Series(linearity(values, resolution=floor)),
        )
    )


def _best(numbers: pl.DataFrame, ranking: str, top: int) -> pl.DataFrame:
    ordered = numbers.sort(
        pl.col(ranking).fill_nan(None), descending=True, nulls_last=True, maintain_order=True
    )
    place = (pl.int_range(pl.len()) + 1).alias("place")
    return ordered.head(top).with_columns(place, ranking=pl.lit(ranking))


def _columns(rows: pl.DataFrame) -> pl.DataFrame:
    return rows.select("ranking", "place", *SEED, "cell", "label", "scale", "value", *RANKINGS)
