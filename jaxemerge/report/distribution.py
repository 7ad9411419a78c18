"""What does the report show of the distribution of final scores over seeds?"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import polars as pl

from jaxemerge import charts
from jaxemerge.analysis import cell_labels, findings, forms_a_curve, rank_curves, two_sided

from .figure import Figure, figure


def distributions(
    ends: pl.DataFrame, table: pl.DataFrame, found: dict[str, Any], threshold: float
) -> Iterator[Figure]:
    """What is drawn of the final exact match.

    Args:
        ends: final results.
        table: their summary.
        found: the cell and test to look at most closely, as `findings.focus` returns it.
        threshold: what counts as success.
    """
    test = found["test"]
    yield figure(
        "histograms",
        "Which shape does the distribution over seeds have?",
        "Rows are cells in order of scale, columns are tests. Height is the share of seeds. Scores of "
        "exactly 0 and exactly 1 have bars of their own, outside the unit interval. "
        + findings.split_sentence(two_sided(ends)),
        charts.histogram_grid(ends),
    )
    yield figure(
        "violins",
        "How does it move with scale?",
        "One violin per cell, smoothed over the seeds strictly between 0 and 1 and as wide as their share; "
        "the bars below and above are the seeds at exactly 0 and exactly 1. "
        + findings.centre_sentence(table, test),
        charts.violins(ends),
    )
    yield figure(
        "success_against_scale",
        "How likely is success, and how good are the successes?",
        "Shares of seeds with 95% Wilson intervals, and the mean score of the successful seeds with a 95% "
        "bootstrap interval. " + findings.tails_sentence(table, test),
        charts.success_against_scale(ends, threshold=threshold),
    )
    one_test = {"split": found["split"], "length": found["length"]}
    yield from _single_seeds(ends, test, one_test)


def _single_seeds(ends: pl.DataFrame, test: str, one_test: dict[str, Any]) -> Iterator[Figure]:
    """Scale curves of single seeds, where there are cells in order of scale with seeds in common."""
    if not forms_a_curve(cell_labels(ends)):
        return
    curves = rank_curves(ends, **one_test)
    if curves.is_empty():
        return
    yield figure(
        "rank",
        f"What does scaling look like seed by seed? Exact match at {test}",
        "Each line is one seed across scale. Breakthroughness B divides the rise by the median step between "
        "neighbouring scales, linearity L by the root mean square step; neither step counts as smaller than "
        "one item. " + _rank_words(curves),
        charts.rank_curves(ends, **one_test),
    )


def _rank_words(curves: pl.DataFrame) -> str:
    """Which seeds lead the two rankings, and how many are in both."""
    seed = ("init_seed", "data_seed")
    first = {row["ranking"]: row for row in curves.filter(pl.col("place") == 1).rows(named=True)}
    sudden, steady = first["breakthroughness"], first["linearity"]
    sets = [set(part.select(seed).rows()) for part in curves.partition_by("ranking")]
    both, cells = len(sets[0] & sets[1]), curves.n_unique("cell")
    return (
        f"The most sudden, {_seed(sudden)}, has B = {sudden['breakthroughness']:.3g}, and the steadiest, "
        f"{_seed(steady)}, has L = {steady['linearity']:.3g}; a straight line over {cells} scales has "
        f"{cells - 1} of both. {both} of the {len(sets[0])} shown on one side {_are(both)} on the other too."
    )


def _seed(row: dict[str, Any]) -> str:
    init, data = row["init_seed"], row["data_seed"]
    return f"seed {init}" if init == data else f"seed {init}/{data}"


def _are(number: int) -> str:
    return "is" if number == 1 else "are"
