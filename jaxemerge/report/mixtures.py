"""What does the report show of the components of a population, and of the loss of the same seeds?"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import polars as pl

from jaxemerge import charts
from jaxemerge.analysis import (
    compare_with_loss,
    findings,
    mixtures,
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
        f"How many components does each population have? {name} at {found['test']}",
        "Bars are seeds; the line and the dots are the expectation of a mixture of beta-binomial components "
        "and point masses at 0 and 1, with the number of components chosen by BIC; the dashed rule is the "
        "deepest valley. " + _mixture_words(fits.table, {**closely, "label": found["label"]}),
        charts.mixture_grid(chosen, fits.curves, found["metric"]),
        fits.table,
    )


def _mixture_words(table: pl.DataFrame, closely: dict[str, Any]) -> str:
    """How many populations are two-sided, and the components of the one fitted with bootstraps."""
    sides, cells = int(table["two_sided"].sum()), table.height
    masses = [
        f"a point mass of {w:.0%} at {a:g}"
        for a, w in zip(closely["atoms"], closely["atom_weights"], strict=True)
    ]
    components = [
        f"a component of {w:.0%} around {m:.2f}"
        for w, m in zip(closely["weights"], closely["means"], strict=True)
    ]
    tested = _tested(closely["p_one"], len(components))
    interval = ""
    if closely["success_low"] is not None:
        interval = f" [{closely['success_low']:.0%}, {closely['success_high']:.0%}]"
    return (
        f"In {sides} of {cells} populations the mixture chosen by BIC has a valley between two sides, where "
        "a point mass counts as a side; this describes the fit and is not a test. "
        f"The population of {closely['label']} consists of {' and '.join(masses + components)}{tested}; it "
        f"is {'bimodal' if closely['bimodal'] else 'not bimodal'} apart from its point masses, and "
        "P(success) "
        f"without a threshold is {closely['success']:.0%}{interval}."
    )


def _tested(p_one: float | None, components: int) -> str:
    """Whether the bootstrap rejects a single component, if it was run."""
    if p_one is None:
        return ""
    if p_one <= LEVEL:
        return f" (a single component is rejected, bootstrap p = {p_one:.2g})"
    but = "" if components == 1 else "; BIC prefers more, which is not a test"
    return f" (a single component is not rejected, bootstrap p = {p_one:.2g}{but})"


def beside_the_loss(frame: pl.DataFrame, found: dict[str, Any]) -> Iterator[Figure]:
    """The scores and the training losses of the same seeds, if these were measured."""
    if "train_loss" not in set(frame["metric"].unique()):
        return
    both, name = compare_with_loss(frame, **findings.test_of(found)), metric_name(found["metric"])
    yield figure(
        "beside_the_loss",
        f"Is it an artefact of the metric? {name.capitalize()} at {found['test']} and the loss of the same "
        "seeds",
        f"Each row is one cell: final {name} on the left, final training loss on the right; height is "
        "the share of seeds (square-root scale). Components in the score that the loss lacks may be an "
        "artefact of the metric. " + _comparison_words(both.table, found["cell"]),
        charts.loss_comparison(both),
        both.table,
    )


def _comparison_words(table: pl.DataFrame, cell: str) -> str:
    scores, losses = table.partition_by("metric", maintain_order=True)
    cells, counted = scores.height, []
    for part in (scores, losses):
        dips = part.filter(pl.col("dip_p") <= LEVEL).height
        modes = f"{int(part['bimodal'].sum())} by the mixture chosen by BIC"
        counted.append(f"{modes} and {dips} by the dip test at {percent(LEVEL)}")
    words = (
        f"Of {cells} {'populations' if cells > 1 else 'population'} the score is bimodal in {counted[0]}, "
        f"the loss in {counted[1]}."
    )
    row = losses.row(by_predicate=pl.col("cell") == cell, named=True)
    if row["correlation"] is None:
        return words
    return (
        f"{words} Over the seeds of {row['label']} the correlation of loss and score is "
        f"{row['correlation']:.2f} "
        f"(Spearman, permutation p = {row['correlation_p']:.2g})."
    )
