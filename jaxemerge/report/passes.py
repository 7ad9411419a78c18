"""What does the report show of sampling until answers pass? Rates too small for the test, and their law."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import polars as pl

from jaxemerge import charts
from jaxemerge.analysis import PassScaling, has_task_scaling, task_scaling
from jaxemerge.analysis.findings import in_words
from jaxemerge.charts.passes import GROWTH

from .page import Figure, figure

PLACES = 61


AVERAGE = "average of all items"


MOST_ITEMS = 24  # that have a panel


def pass_rates(passes: pl.DataFrame | None) -> Iterator[Figure]:
    """The law without the largest scale, and its questions, where there are scales enough.

    Args:
        passes: a row per seed and item, as an experiment with `pass_until` keeps them; None without.
    """
    if passes is None or not has_task_scaling(passes):
        return
    found = task_scaling(passes)
    yield _law(found)
    yield _items(found)
    if found.relation is not None:
        yield _against_loss(found)
    yield _growth(found)


def _law(found: PassScaling) -> Figure:
    rates = found.rates
    least = rates.row(0, named=True)
    law = found.law
    return figure(
        "task_scaling",
        "Do the smaller models predict the largest? The task scaling law",
        "Probability that a sampled answer passes, mean over items and seeds, with 95% bootstrap intervals "
        "over seeds; sampling went on until the passes were there or a cap was reached, so that rates far "
        "below one item of a test are measured. The line is P = exp(-c N^-alpha), fitted without the largest "
        f"model; its band is a 95% bootstrap over seeds. At {least['label']} {_rate(least)} in "
        f"{least['samples']:,} samples. alpha is {in_words(law.alpha)}; growth is {law.growth.name} (bend "
        f"{in_words(law.growth.bend)}). {' '.join(map(_prediction, found.predicted.rows(named=True)))}",
        charts.task_scaling(rates, law),
        pl.concat([rates, found.predicted.rename({"value": "predicted"})], how="diagonal_relaxed"),
    )


def _rate(row: dict[str, Any]) -> str:
    if row["unseen"]:
        return f"nothing passed (a rate below {row['high']:.2g})"
    return f"the rate is {row['value']:.2g}, seen"


def _prediction(row: dict[str, Any]) -> str:
    """One prediction and its measurement."""
    level = {"dataset": "Fitted to the average", "instance": "Fitted item by item"}[row["level"]]
    measured = f"{row['measured']:.3g} [{row['measured_low']:.3g}, {row['measured_high']:.3g}]"
    if row["value"] is None:
        return f"{level}, the law predicts nothing; measured: {measured}."
    ends = f"{row['value']:.3g} [{row['low']:.3g}, {row['high']:.3g}]"
    return (
        f"{level}, the law predicts {ends} at {row['scale']:,.0f} parameters; measured: {measured}: the "
        f"intervals {'meet' if row['meet'] else 'do not meet'}."
    )


def _items(found: PassScaling) -> Figure:
    names = list(dict.fromkeys(found.items["item"]))
    shown = [names[i] for i in np.unique(np.linspace(0, len(names) - 1, MOST_ITEMS).round().astype(int))]
    never = found.items.group_by("item").agg(pl.col("unseen").all())["unseen"].sum()
    words = (
        "Each panel is one item: F = ln(-ln P) against scale, on which the law is a straight line; the rate "
        "is the mean over seeds, a triangle the limit where no seed passed. Lines are laws without the "
        "largest scale."
    )
    if len(shown) < len(names):
        words += f" {len(shown)} of {len(names)} items are shown."
    if never:
        words += f" {never} of {len(names)} items were never passed."
    return figure(
        "instances",
        "Do single items follow the law?",
        words,
        charts.instance_grid(found.items.filter(pl.col("item").is_in(shown))),
        found.items,
    )


def _against_loss(found: PassScaling) -> Figure:
    relation = found.relation
    assert relation is not None
    rows = found.items.drop_nulls("loss")
    losses = rows["loss"].to_numpy()
    places = np.geomspace(losses.min(), losses.max(), PLACES)
    curve = pl.DataFrame({"loss": places, "value": relation.rate_at(places)})
    return figure(
        "rate_against_loss",
        "Does the answer loss predict the rate, even where nothing passes?",
        "Each dot is one item at one scale: mean rate against mean answer loss over the seeds. The line is "
        "F = ln(-ln P) straight in ln(loss), fitted without the largest scale; its slope is "
        f"{in_words(relation.slope)}, and would be 1 if only the reference passes and seeds were alike, as "
        "then P = exp(-loss). The rates of items without a pass are predicted from it.",
        charts.rate_against_loss(rows, curve),
    )


def _growth(found: PassScaling) -> Figure:
    average, items = found.law.growth, found.laws.growth
    names = [AVERAGE, *dict.fromkeys(found.items["item"])]

    def column(one: Any, many: Any) -> list[Any]:
        return [one, *np.asarray(many).tolist()]

    table = pl.DataFrame(
        {
            "name": names,
            "bend": column(average.bend.value, items.bend.value),
            "low": column(average.bend.interval.low, items.bend.interval.low),
            "high": column(average.bend.interval.high, items.bend.interval.high),
            "growth": column(average.name, items.name),
            "margin": average.margin,
        }
    ).fill_nan(None)
    counts = [(np.asarray(items.name) == name).sum() for name in GROWTH]
    listed = ", ".join(f"{n} {name}" for n, name in zip(counts, GROWTH, strict=True) if n)
    return figure(
        "growth_classes",
        "Does the ability grow as the law says, faster or slower?",
        "How far F bends away from a straight line, with 95% profile-likelihood intervals; within the grey "
        f"zone it counts as straight. Of the items {listed}.",
        charts.growth_classes(table.drop_nulls("bend")),
        table,
    )
