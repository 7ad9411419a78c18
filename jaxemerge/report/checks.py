"""What does the report show of whether its findings hold: other thresholds, the loss, other tests?"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import polars as pl

from jaxemerge import charts
from jaxemerge.analysis import correlations, side_by_side, success_by_threshold, variance_shares
from jaxemerge.analysis.findings import percent
from jaxemerge.charts.theme import metric_name
from jaxemerge.charts.threshold import BANDED

from .figure import Figure, figure

LEVEL = 0.05
# Thresholds whose P(success) is put into words.
SAID = (0.1, 0.5, 0.9)


def checks(
    frame: pl.DataFrame, ends: pl.DataFrame, found: dict[str, Any], threshold: float
) -> Iterator[Figure]:
    """Figures that question the others.

    Args:
        frame: results.
        ends: final results of the score.
        found: what `findings.focus` returns: its cell and test are looked at.
        threshold: what counts as success.
    """
    one_test = {"metric": found["metric"], "split": found["split"], "length": found["length"]}
    yield _thresholds(ends, found, one_test, threshold)
    if "train_loss" in set(frame["metric"].unique()):
        yield _null(frame, found, one_test)
    yield from _luck(frame, found, one_test)
    yield from _sources(ends, found, one_test)


def _thresholds(
    ends: pl.DataFrame, found: dict[str, Any], one_test: dict[str, Any], threshold: float
) -> Figure:
    scan = success_by_threshold(ends, **one_test)
    bands = "Bands hold a whole line with 95% probability (Kolmogorov), however the threshold is chosen. "
    return figure(
        "thresholds",
        f"What if success meant more, or less? P(success) at {found['test']}",
        "Each line falls from lax to strict definitions of success; where it is flat the threshold does not "
        f"matter. {bands if scan['cell'].n_unique() <= BANDED else ''}"
        + _threshold_words(scan.filter(pl.col("cell") == found["cell"]), found["label"], threshold),
        charts.success_by_threshold(scan, threshold, found["metric"]),
        scan,
    )


def _threshold_words(scan: pl.DataFrame, label: str, threshold: float) -> str:
    listed = []
    for place in SAID:
        row = scan.row(by_predicate=(pl.col("threshold") - place).abs() < 1e-9, named=True)
        ends = f"[{percent(row['low'])}, {percent(row['high'])}]"
        listed.append(f"{percent(row['success'])} {ends} at {place:g}")
    around = pl.col("threshold").is_between(threshold / 2, threshold * 2)
    near = scan.filter(around)["success"].to_list()
    words = f"P(success) of {label} is {', '.join(listed[:-1])} and {listed[-1]}."
    if not near:
        return words
    return (
        f"{words} Between half and twice the threshold of {threshold:g} it goes from {percent(max(near))} "
        f"to {percent(min(near))}."
    )


def _null(frame: pl.DataFrame, found: dict[str, Any], one_test: dict[str, Any]) -> Figure:
    both, name = side_by_side(frame, **one_test), metric_name(found["metric"])
    return figure(
        "beside_the_loss",
        f"Is it the metric's doing? {name.capitalize()} at {found['test']} beside the loss of the same seeds",
        f"Each row is one cell: final {name} on the left, final training loss on the right; height is "
        "the share of seeds (square-root scale). Lumps in the score that the loss lacks need another "
        "explanation than the training. " + _null_words(both.table, found["cell"]),
        charts.null_grid(both),
        both.table,
    )


def _null_words(table: pl.DataFrame, cell: str) -> str:
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


def _luck(frame: pl.DataFrame, found: dict[str, Any], one_test: dict[str, Any]) -> Iterator[Figure]:
    """Correlations over seeds; nothing where every outcome is alone."""
    exact = frame.filter(pl.col("metric") == found["metric"])
    chosen, test = {"cell": found["cell"]}, {"split": found["split"], "length": found["length"]}
    lengths = correlations(exact, "length", found["metric"], **chosen, split=_of_lengths(exact, found))
    known = {
        f"tests, {found['label']}": lengths,
        f"splits, {found['label']}": _across_splits(exact, found),
        f"metrics, {found['label']}": correlations(frame, "metric", **chosen, **test),
        "cells": correlations(exact, "scale", **one_test),
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
        f"Does a seed's luck last? Correlations over seeds, {found['test']}",
        "Spearman's correlation between the final outcomes of the same seeds: 1 if they rank alike, 0 if not "
        "at all; bold where a permutation test has p of 0.05 or less. "
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
    clear = pairs.filter(pl.col("p_value") <= LEVEL).height
    size = float(np.median(pairs["correlation"].drop_nulls().abs()))
    pair = "pair is" if pairs.height == 1 else "pairs are"
    return (
        f"Between {title}, {clear} of {pairs.height} {pair} related at {percent(LEVEL)}, not corrected for "
        f"their number; the median size is {size:.2f}."
    )


def _sources(ends: pl.DataFrame, found: dict[str, Any], one_test: dict[str, Any]) -> Iterator[Figure]:
    """Init seed or data seed, where runs cross the two and do not all score the same."""
    shares = variance_shares(ends, **one_test)
    if shares["share"].count() == 0:
        return
    name = metric_name(found["metric"]).capitalize()
    yield figure(
        "variance",
        f"Which of a seed's two random numbers decides? {name} at {found['test']}",
        "Shares of the variance over runs that initialisation alone, data alone and only the two together "
        "explain, with 95% intervals (two-way random effects). " + _source_words(shares),
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
