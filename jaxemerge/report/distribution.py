"""What does the report show of the distribution of final scores over seeds?"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import polars as pl

from jaxemerge import charts
from jaxemerge.analysis import (
    cell_labels,
    distances,
    findings,
    forms_a_curve,
    mixtures,
    rank_curves,
    scale_column,
    scale_title,
    schema,
    two_sided,
    two_sided_scale,
)
from jaxemerge.analysis.labels import some_tests
from jaxemerge.charts.scale import MOST_TESTS
from jaxemerge.charts.theme import metric_name

from .figure import Figure, figure

# Resamples of the one population that is looked at most closely; the others are fitted without.
BOOTSTRAPS = 200
LEVEL = 0.05


def distributions(ends: pl.DataFrame, table: pl.DataFrame, found: dict[str, Any]) -> Iterator[Figure]:
    """What is drawn of the final scores.

    Args:
        ends: final results.
        table: their summary.
        found: the cell and test to look at most closely, as `findings.focus` returns it.
    """
    test, metric = found["test"], found["metric"]
    yield figure(
        "histograms",
        "Which shape does the distribution over seeds have?",
        "Rows are cells in order of scale, columns are tests. Height is the share of seeds. Scores of "
        "exactly 0 and exactly 1 have bars of their own, outside the unit interval. "
        + findings.split_sentence(two_sided(ends, metric)),
        charts.histogram_grid(ends, metric=metric),
    )
    yield figure(
        "violins",
        "How does it move with scale?",
        "One violin per cell, smoothed over the seeds strictly between 0 and 1 and as wide as their share; "
        "the bars below and above are the seeds at exactly 0 and exactly 1. "
        + findings.centre_sentence(table, test),
        charts.violins(ends, metric),
    )
    yield figure(
        "success_against_scale",
        "How likely is success, and how good are the successes?",
        "Shares of seeds with 95% Wilson intervals, and the mean score of the successful seeds with a 95% "
        "bootstrap interval. " + _shown(table) + findings.tails_sentence(table, test),
        charts.success_against_scale(table, scale_column(ends), metric),
    )
    one_test = {"metric": metric, "split": found["split"], "length": found["length"]}
    yield _lumps(ends, found, one_test)
    yield from _single_seeds(ends, found, one_test)
    yield from _distances(ends, found, one_test)


def _shown(table: pl.DataFrame) -> str:
    """Where not all tests are in the picture, how many are."""
    number, shown = (t["test"].n_unique() for t in (table, some_tests(table, MOST_TESTS)))
    return "" if shown == number else f"{shown} of {number} tests are shown. "


def _name(found: dict[str, Any]) -> str:
    """The score at the head of a sentence."""
    return metric_name(found["metric"]).capitalize()


def _lumps(ends: pl.DataFrame, found: dict[str, Any], one_test: dict[str, Any]) -> Figure:
    """The mixtures on the most two-sided test, the most two-sided cell with bootstraps."""
    chosen = schema.one_test(ends, **one_test)
    fits = mixtures(chosen, found["metric"])
    cell = chosen.filter(pl.col("cell") == found["cell"])
    closely = mixtures(cell, found["metric"], bootstraps=BOOTSTRAPS).table.row(0, named=True)
    return figure(
        "mixtures",
        f"Of how many lumps is each population made? {_name(found)} at {found['test']}",
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


def _single_seeds(ends: pl.DataFrame, found: dict[str, Any], one_test: dict[str, Any]) -> Iterator[Figure]:
    """Scale curves of single seeds, where there are cells in order of scale with seeds in common."""
    if not forms_a_curve(cell_labels(ends)):
        return
    curves = rank_curves(ends, **one_test)
    if curves.is_empty():
        return
    yield figure(
        "rank",
        f"What does scaling look like seed by seed? {_name(found)} at {found['test']}",
        "Each line is one seed across scale. Breakthroughness B divides the rise by the median step between "
        "neighbouring scales, linearity L by the root mean square step; neither step counts as smaller than "
        "one item. " + _rank_words(curves),
        charts.rank_curves(curves, scale_column(ends), found["metric"]),
        curves,
    )


def _distances(ends: pl.DataFrame, found: dict[str, Any], one_test: dict[str, Any]) -> Iterator[Figure]:
    """How far apart the cells' populations are, if there are several cells."""
    pairs = distances(ends, **one_test)
    near = _once(pairs)
    if near.is_empty():
        return
    yield figure(
        "distances",
        f"How far does the distribution move? Distances between cells at {found['test']}",
        "Each square is the Wasserstein-2 distance between the scores of two cells: 0 for equal "
        "distributions, 1 for all seeds at 0 against all at 1. " + _distance_words(near, ends, one_test),
        charts.distance_map(pairs),
        pairs,
    )


def _once(pairs: pl.DataFrame) -> pl.DataFrame:
    """Neighbours in order of scale, each pair once."""
    order = pairs["first"].unique(maintain_order=True).to_list()
    place = {label: number for number, label in enumerate(order)}
    first, second = (pl.col(c).replace_strict(place, return_dtype=pl.Int64) for c in ("first", "second"))
    return pairs.filter(second == first + 1)


def _distance_words(near: pl.DataFrame, ends: pl.DataFrame, one_test: dict[str, Any]) -> str:
    """The largest step between neighbours, its p-value, and where the population turns two-sided."""
    far = near.sort("distance", descending=True, maintain_order=True).row(0, named=True)
    words = (
        f"Of neighbouring cells, {far['first']} and {far['second']} are farthest apart, "
        f"{far['distance']:.2f} (permutation p = {far['p_value']:.2g})."
    )
    if not forms_a_curve(cell_labels(ends)):
        return words
    scales = sorted(cell_labels(ends)["scale"])
    if scales[0] <= 0:
        return words
    turns = two_sided_scale(ends, **one_test).onset.value
    if turns == 0:
        return f"{words} At the smallest scale a tenth of the seeds or more are on either side already."
    if turns == float("inf"):
        return f"{words} At no scale is a tenth of the seeds on either side."
    title = scale_title(scale_column(ends))
    return f"{words} A tenth of the seeds are on either side from {title} = {turns:.3g} on."


def _rank_words(curves: pl.DataFrame) -> str:
    """Which seeds lead the two rankings, and how many are in both."""
    seed = ("init_seed", "data_seed")
    first = {row["ranking"]: row for row in curves.filter(pl.col("place") == 1).rows(named=True)}
    sudden, steady = first["breakthroughness"], first["linearity"]
    sets = [set(part.select(seed).rows()) for part in curves.partition_by("ranking")]
    both, cells = len(sets[0] & sets[1]), curves.n_unique("cell")
    sudden_one, steady_one = findings.seed_name(sudden), findings.seed_name(steady)
    return (
        f"The most sudden, {sudden_one}, has B = {sudden['breakthroughness']:.3g}, and the steadiest, "
        f"{steady_one}, has L = {steady['linearity']:.3g}; a straight line over {cells} scales has "
        f"{cells - 1} of both. {both} of the {len(sets[0])} shown on one side {_are(both)} on the other too."
    )


def _are(number: int) -> str:
    return "is" if number == 1 else "are"
