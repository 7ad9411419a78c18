"""Where do runs end in a metric without bounds, such as a loss or a rating?"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import polars as pl

from jaxemerge.stats import bootstrap

from .final import final
from .labels import cell_labels, with_test_label
from .schema import rows_of

GROUP = ("cell", "label", "scale", "rank", "split", "length", "test")


class Values(NamedTuple):
    """Final values of one metric.

    Attributes:
        runs: cell, label, scale, test, init_seed, data_seed, value: one row per run that did not fail.
        table: cell, label, scale, split, length, test, runs (those with a value), diverged (a count), mean
            with low and high (bootstrap of the runs; null for a single one), least, most. In order of scale
            and test.
    """

    runs: pl.DataFrame
    table: pl.DataFrame


def final_values(frame: pl.DataFrame, metric: str, *, key: Any = 0, resamples: int = 1000) -> Values:
    """The last values of all runs and their means; failed runs are counted, and left out of the means.

    Args:
        frame: results.
        metric: any metric.
        key: int or JAX key of the bootstrap.
        resamples: of the runs of each cell.

    Raises:
        ValueError: as `final`, or if the metric is not there.
    """
    value = pl.when(pl.col("value").is_finite()).then("value")
    ends = with_test_label(final(rows_of(frame, metric)).with_columns(value=value))
    named = ends.join(cell_labels(frame).select("cell", "label", "rank", "scale"), on="cell")
    ordered = named.sort("rank", "split", "length", "init_seed", "data_seed")
    rows = []
    for group, runs in ordered.group_by(*GROUP, maintain_order=True):
        known = runs["value"].drop_nulls().to_numpy()
        numbers = _numbers(known, key, resamples)
        rows.append((*group, len(known), int(runs["diverged"].sum()), *numbers))
    schema = {name: ordered.schema[name] for name in GROUP} | {"runs": pl.Int64, "diverged": pl.Int64}
    schema |= dict.fromkeys(("mean", "low", "high", "least", "most"), pl.Float64())
    table = pl.DataFrame(rows, schema=schema, orient="row").drop("rank")
    kept = ("cell", "label", "scale", "test", "init_seed", "data_seed", "value")
    return Values(ordered.select(kept).drop_nulls("value"), table)


def _numbers(known: np.ndarray, key: Any, resamples: int) -> tuple[float | None, ...]:
    if not len(known):
        return (None,) * 5
    mean = float(known.mean())
    ends: tuple[float | None, float | None] = (None, None)
    if len(known) > 1:
        found = bootstrap(known, lambda x_RS: x_RS.mean(axis=1), key=key, resamples=resamples).interval
        ends = (float(found.low), float(found.high))
    return mean, *ends, float(known.min()), float(known.max())
