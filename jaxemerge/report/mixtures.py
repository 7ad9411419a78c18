"""What does the report show of the components of a population, and of the loss of the same seeds?"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import polars as pl

from jaxemerge import charts
from jaxemerge.analysis import (
    findings,
    mixtures,
    side_by_side,
)
from jaxemerge.analysis.findings import percent
from jaxemerge.analysis.results import one_test
from jaxemerge.charts.theme import metric_name

from .page import Figure, figure

# Resamples of the one population that is looked at most closely; the others are fitted without.
BOOTSTRAPS = 200


LEVEL = 0.05


def components(ends: pl.DataFrame, found: dict[str, Any]) -> Figure:
    """The mixtures on the most two-sided test, the most two-sided cell with bootstraps."""
    chosen = one_test(ends, **findings.test_of(found))
    fits = mixtures(chosen, found["metric"])
    cell = chosen.filter(pl.col("cell") == found["cell"])
    closely = mixtures(cell, found["metric"], bootstraps=BOOTSTRAPS).table.row(0, named=True)
    name = metric_name(found["metric"]).capitalize()
    return figure(
        "mixtures",
        f"Of how many lumps is each population made? {name} at {found['test']}",
        "Bars are seeds; the line and the dots are what a mixture of beta-binomial lumps and point masses at "
        "0 and 1 expects, with the number of lumps of least BIC; the dashed rule is the deepest valley. "
        + _mixture_words(fits.table, {**closely, "label": found["label"]}),
        charts.mixture_grid(chosen, fits.curves, found["metric"]),
        fits.table,
    )


def _mixture_words(table: pl.DataFrame, closely: dict[str, Any]) -> str:
    """How many populations are two-sided, and what the closely looked at one is made of."""
    sides, cells = int(table["two_sided"].sum()), table.height
    masses = [
        f"a point mass of {w:.0%} at {a:g}"
        for a, w in zip(closely["atoms"], closely["atom_weights"], strict=True)
    ]
    lumps = [
        f"a lump of {w:.0%} around {m:.2f}" for w, m in zip(closely["weights"], closely["means"], strict=True)
    ]
    tested = _tested(closely["p_one"], len(lumps))
    interval = ""
    if closely["success_low"] is not None:
        interval = f" [{closely['success_low']:.0%}, {closely['success_high']:.0%}]"
    return (
        f"In {sides} of {cells} populations the mixture of least BIC has a valley between two sides, a point "
        "mass counting as a side; that describes the fit and tests nothing. "
        f"The population of {closely['label']} is made of {' and '.join(masses + lumps)}{tested}; it is "
        f"{'bimodal' if closely['bimodal'] else 'not bimodal'} apart from its point masses, and P(success) "
        f"without a threshold is {closely['success']:.0%}{interval}."
    )


def _tested(p_one: float | None, lumps: int) -> str:
    """Whether the bootstrap refuses a single lump, where it was asked and more than one was chosen."""
    if p_one is None:
        return ""
    if p_one <= LEVEL:
        return f" (one lump alone is refused, bootstrap p = {p_one:.2g})"
    but = "" if lumps == 1 else "; BIC prefers more, which is no proof of them"
    return f" (one lump alone is not refused, bootstrap p = {p_one:.2g}{but})"


def beside_the_loss(frame: pl.DataFrame, found: dict[str, Any]) -> Iterator[Figure]:
    """The scores beside the training losses of the same seeds, if these were measured."""
    if "train_loss" not in set(frame["metric"].unique()):
        return
    both, name = side_by_side(frame, **findings.test_of(found)), metric_name(found["metric"])
    yield figure(
        "beside_the_loss",
        f"Is it the metric's doing? {name.capitalize()} at {found['test']} beside the loss of the same seeds",
        f"Each row is one cell: final {name} on the left, final training loss on the right; height is "
        "the share of seeds (square-root scale). Lumps in the score that the loss lacks need another "
        "explanation than the training. " + _comparison_words(both.table, found["cell"]),
        charts.null_grid(both),
        both.table,
    )


def _comparison_words(table: pl.DataFrame, cell: str) -> str:
    scores, losses = table.partition_by("metric", maintain_order=True)
    cells, counted = scores.height, []
    for part in (scores, losses):
        dips = part.filter(pl.col("dip_p") <= LEVEL).height
        modes = f"{int(part['bimodal'].sum())} by the mixture of least BIC"
        counted.append(f"{modes} and {dips} by the dip test at {percent(LEVEL)}")
    words = (
        f"Of {cells} {'populations' if cells > 1 else 'population'} the score is bimodal in {counted[0]}, "
        f"the loss in {counted[1]}."
    )
    row = losses.row(by_predicate=pl.col("cell") == cell, named=True)
    if row["correlation"] is None:
        return words
    return (
        f"{words} Over the seeds of {row['label']} loss and score correlate by {row['correlation']:.2f} "
        f"(Spearman, permutation p = {row['correlation_p']:.2g})."
    )
