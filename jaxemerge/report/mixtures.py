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
    """The mixtures on the test that the report shows, its cell with bootstraps."""
    chosen = one_test(ends, **findings.test_of(found))
    fits = mixtures(chosen, found["metric"])
    cell = chosen.filter(pl.col("cell") == found["cell"])
    alone = mixtures(cell, found["metric"], bootstraps=BOOTSTRAPS).table.row(0, named=True)
    # What holds of a cell that was chosen by its scores is tested among all cells.
    among = fits.table.row(by_predicate=pl.col("cell") == found["cell"], named=True)
    closely = {**alone, **{name: among[name] for name in ("two_sided", "bimodal", "p_adjusted")}}
    name = metric_name(found["metric"]).capitalize()
    return figure(
        "mixtures",
        f"How many components does each population have? {name} at {found['test']}",
        "Bars are seeds; the line and the dots are the expectation of a mixture of beta-binomial components "
        "and point masses at 0 and 1, with the number of components chosen by BIC; a dashed rule is the "
        "valley between two sides, where a single mode is rejected. "
        + _mixture_words(fits.table, {**closely, "label": found["label"]}),
        charts.mixture_grid(chosen, fits.curves, found["metric"]),
        fits.table,
    )


def _mixture_words(table: pl.DataFrame, closely: dict[str, Any]) -> str:
    """How many populations are two-sided, and what the one fitted with bootstraps is made of."""
    tests = table["p_adjusted"].count()
    masses = [
        f"a point mass of {w:.0%} at {a:g}"
        for a, w in zip(closely["atoms"], closely["atom_weights"], strict=True)
    ]
    components = [
        f"a component of {w:.0%} around {m:.2f}"
        for w, m in zip(closely["weights"], closely["means"], strict=True)
    ]
    return (
        f"{_two_sided(int(table['two_sided'].sum()), tests)} "
        f"The population of {closely['label']}, whose seeds differ most, is described by "
        f"{' and '.join(masses + components)}{_tested(closely['p_one_component'], len(components))}. "
        f"{_sides(closely, tests)}"
    )


def _two_sided(number: int, tests: int) -> str:
    """In how many of the populations that could be tested a single mode is rejected."""
    if tests == 0:
        return "In no population do enough seeds score differently to test for a single mode."
    populations = "the one population" if tests == 1 else f"{number or 'none'} of {tests} populations"
    verb = "is a single mode" if number == 0 and tests > 1 else "a single mode is"
    no = "not " if number == 0 and tests == 1 else ""
    return (
        f"In {populations} whose seeds score differently {verb} {no}rejected, with two sides of at "
        f"least 3 seeds, where a point mass counts as a side ({_level(tests)})."
    )


def _level(tests: int) -> str:
    return f"at {percent(LEVEL)}" + (f", by Holm for {tests} tests" if tests > 1 else "")


def _sides(closely: dict[str, Any], tests: int) -> str:
    """Whether the population has two sides, and what the share of the upper one then is."""
    many = f", by Holm for {tests} tests" if tests > 1 else ""
    p_value = "" if closely["p_adjusted"] is None else f" (p = {closely['p_adjusted']:.2g}{many})"
    share = None
    if closely["success"] is not None:
        ends = f" [{closely['success_low']:.0%}, {closely['success_high']:.0%}]"
        share = f"P(success) without a threshold, the share of the upper side, is {closely['success']:.0%}"
        share += ends if closely["success_low"] is not None else ""
    if closely["two_sided"]:
        peaks = "has" if closely["bimodal"] else "has not"
        apart = f" Besides its point masses it {peaks} two peaks." if closely["atoms"] else ""
        return f"A single mode is rejected{p_value}.{apart}" + (f" {share}." if share else "")
    if not p_value:
        return f"It cannot be tested for a single mode.{f' {share}.' if share else ''}"
    if share is None:
        return (
            f"A single mode is not rejected{p_value}, and the fit has no valley between two sides: "
            "P(success) without a threshold is not determined."
        )
    return f"A single mode is not rejected{p_value}; if there are two sides, {share}."


def _tested(p_one: float | None, components: int) -> str:
    """Whether the bootstrap rejects a single component, if it was run."""
    if p_one is None:
        return ""
    if p_one <= LEVEL:
        return (
            f" (one component is rejected, bootstrap p = {p_one:.2g}: the rates are not of one Beta "
            "distribution, but may still have a single mode)"
        )
    but = "" if components == 1 else "; BIC prefers more, which is not a test"
    return f" (one component is not rejected, bootstrap p = {p_one:.2g}{but})"


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
        "the share of seeds. Components in the score that the loss lacks may be an "
        "artefact of the metric. " + _comparison_words(both.table, found["cell"]),
        charts.loss_comparison(both),
        both.table,
    )


def _comparison_words(table: pl.DataFrame, cell: str) -> str:
    scores, losses = table.partition_by("metric", maintain_order=True)
    counted = [f"{int(part['two_sided'].sum())} of {part['p_adjusted'].count()}" for part in (scores, losses)]
    words = (
        f"The score has two sides in {counted[0]} populations that could be tested for a single mode, the "
        f"loss in {counted[1]} (at {percent(LEVEL)}, by Holm for each of the two)."
    )
    row = losses.row(by_predicate=pl.col("cell") == cell, named=True)
    if row["correlation"] is None:
        return words
    return (
        f"{words} Over the seeds of {row['label']} the correlation of loss and score is "
        f"{row['correlation']:.2f} "
        f"(Spearman, permutation p = {row['correlation_p']:.2g})."
    )
