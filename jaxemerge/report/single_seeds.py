"""What does the report show of single seeds: their curves, their luck, and the source of the variance?"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import polars as pl

from jaxemerge import charts
from jaxemerge.analysis import (
    cell_labels,
    correlations,
    findings,
    forms_a_curve,
    rank_curves,
    scale_column,
    variance_shares,
)
from jaxemerge.analysis.findings import percent
from jaxemerge.charts.theme import metric_name

from .page import Figure, figure

LEVEL = 0.05


def single_seeds(ends: pl.DataFrame, found: dict[str, Any]) -> Iterator[Figure]:
    """Scale curves of single seeds, where there are cells in order of scale with seeds in common."""
    if not forms_a_curve(cell_labels(ends)):
        return
    curves = rank_curves(ends, **findings.test_of(found))
    if curves.is_empty() or _one_set(curves):
        return
    name = metric_name(found["metric"]).capitalize()
    yield figure(
        "rank",
        f"What does scaling look like seed by seed? {name} at {found['test']}",
        "Each line is one seed across scale. Breakthroughness B divides the rise or fall by the median step "
        "between neighbouring scales, linearity L by the root mean square step; neither step counts as "
        "smaller than one item. " + _rank_words(curves),
        charts.rank_curves(curves, scale_column(ends), found["metric"]),
        curves,
    )


def _ranked(curves: pl.DataFrame) -> list[set[tuple[int, ...]]]:
    """The seeds of each ranking."""
    return [set(part.select("init_seed", "data_seed").rows()) for part in curves.partition_by("ranking")]


def _one_set(curves: pl.DataFrame) -> bool:
    """Whether both rankings show the same seeds: two panels would then be one."""
    sudden, steady = _ranked(curves)
    return sudden == steady


def _rank_words(curves: pl.DataFrame) -> str:
    """Which seeds lead the two rankings, and how many are in both."""
    first = {row["ranking"]: row for row in curves.filter(pl.col("place") == 1).rows(named=True)}
    sudden, steady = first["breakthroughness"], first["linearity"]
    sets = _ranked(curves)
    both, cells = len(sets[0] & sets[1]), curves.n_unique("cell")
    straight = (cells - 1) * (-1 if steady["linearity"] < 0 else 1)
    sudden_one, steady_one = findings.seed_name(sudden), findings.seed_name(steady)
    return (
        f"The most sudden, {sudden_one}, has B = {sudden['breakthroughness']:.3g}, and the steadiest, "
        f"{steady_one}, has L = {steady['linearity']:.3g}; a straight line over {cells} scales has "
        f"{straight} of both. {both} of the {len(sets[0])} shown on one side {_are(both)} on the other too."
    )


def _are(number: int) -> str:
    return "is" if number == 1 else "are"


def luck(frame: pl.DataFrame, found: dict[str, Any]) -> Iterator[Figure]:
    """Correlations over seeds; nothing where every outcome is alone."""
    exact = frame.filter(pl.col("metric") == found["metric"])
    chosen, test = {"cell": found["cell"]}, {"split": found["split"], "length": found["length"]}
    lengths = correlations(exact, "length", found["metric"], **chosen, split=_of_lengths(exact, found))
    known = {
        f"tests, {found['label']}": lengths,
        f"splits, {found['label']}": _across_splits(exact, found),
        f"metrics, {found['label']}": correlations(frame, "metric", **chosen, **test),
        "cells": correlations(exact, "scale", **findings.test_of(found)),
    }
    drawn = {
        title: pairs.with_columns(across=pl.lit(title)).select("across", *pairs.columns)
        for title, pairs in known.items()
        if pairs["correlation"].count()
    }
    if not drawn:
        return
    yield figure(
        "correlations",
        f"Do the same seeds succeed elsewhere? Correlations over seeds, {found['test']}",
        "Spearman's correlation between the final outcomes of the same seeds: 1 if they rank alike, 0 if not "
        "at all; bold where a permutation test has p of 0.05 or less, by Holm for all pairs of the panel. "
        + " ".join(_luck_words(title, pairs) for title, pairs in drawn.items()),
        charts.correlation_maps(drawn),
        pl.concat(drawn.values()),
    )


def _across_splits(exact: pl.DataFrame, found: dict[str, Any]) -> pl.DataFrame:
    """Nothing where tests have no lengths: then all of them are compared anyway."""
    pairs = correlations(exact, "split", found["metric"], cell=found["cell"])
    return pairs if exact["length"].count() else pairs.clear()


def _of_lengths(exact: pl.DataFrame, found: dict[str, Any]) -> str | None:
    """The split whose lengths are compared; all splits where they have no lengths."""
    return found["split"] if exact["length"].count() else None


def _luck_words(title: str, pairs: pl.DataFrame) -> str:
    clear = pairs.filter(pl.col("p_adjusted") <= LEVEL).height
    tested = pairs["p_adjusted"].count()
    size = float(np.median(pairs["correlation"].drop_nulls().abs()))
    pair = "pair is" if tested == 1 else "pairs are"
    holm = f", by Holm for {tested} tests" if tested > 1 else ""
    return (
        f"Between {title}, {clear} of {tested} {pair} correlated at {percent(LEVEL)}{holm}; the median size "
        f"is {size:.2f}."
    )


def sources(ends: pl.DataFrame, found: dict[str, Any]) -> Iterator[Figure]:
    """Init seed or data seed, where runs cross the two and do not all score the same."""
    shares = variance_shares(ends, **findings.test_of(found))
    if shares["share"].count() == 0:
        return
    name = metric_name(found["metric"]).capitalize()
    yield figure(
        "variance",
        f"Initialisation or data order? {name} at {found['test']}",
        "Shares of the variance over runs due to initialisation, data order and their interaction, "
        "with 95% intervals (two-way random effects). " + _source_words(shares),
        charts.variance_shares(shares),
        shares,
    )


def _source_words(shares: pl.DataFrame) -> str:
    known = shares.filter(pl.col("share").is_not_null()).partition_by("label", maintain_order=True)
    return " ".join(
        f"{part['label'][0]}: "
        + ", ".join(
            f"{row['source']} {percent(row['share'])} [{percent(row['low'])}, {percent(row['high'])}]"
            for row in part.rows(named=True)
        )
        + "."
        for part in known
    )
