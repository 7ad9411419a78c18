"""Is an ability at chance below some scale, and well above it beyond? Emergence as Wei et al. define it."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import polars as pl

from jaxemerge.stats import bootstrap, success_interval

from .final import final, final_scores
from .schema import rows_of


class Emergence(NamedTuple):
    """What was found.

    Attributes:
        cells: split, length, test, cell, label, scale, seeds, value (mean over seeds), low, high, at_chance,
            well_above; in order of test and scale.
        tests: split, length, test, chance, emergent, until (largest scale of those at chance), beyond
            (smallest scale from which all are well above); null where there is none.
    """

    cells: pl.DataFrame
    tests: pl.DataFrame


def emergence(
    frame: pl.DataFrame,
    metric: str = "exact_match",
    *,
    scale: str = "parameters",
    chance: float = 0.0,
    margin: float = 0.1,
    confidence: float = 0.95,
    resamples: int = 1000,
    key: Any = 0,
) -> Emergence:
    """Whether each test's score is at chance below some scale and well above chance beyond it.

    The score of a cell is the mean over its seeds, with the bootstrap interval over seeds (one seed alone:
    Wilson's over its items). At chance: the interval reaches down to the chance level. Well above: all of it
    is at least `margin` above. Emergent: the smallest scales are at chance, the largest are well above, and
    none of these comes back. What lies between may be neither.

    Args:
        frame: results.
        metric: better when more.
        scale: what is called scale: a column of numbers ("parameters", "flops" of training, "depth", a swept
            one), or a metric such as "train_loss" or "answer_nll", of which less is a larger scale.
        chance: what guessing scores, as the task's `chance` says.
        margin: how far above chance is well above.
        confidence: probability in (0, 1).
        resamples: behind an interval.
        key: int or JAX key.

    Raises:
        ValueError: if the metric or the scale is missing, or `chance` or `margin` is out of its range.

    References:
        Wei et al. (2022), "Emergent Abilities of Large Language Models", arXiv 2206.07682, section 2.
    """
    if not 0 <= chance < 1:
        raise ValueError(f"chance={chance} must lie in [0, 1)")
    if not margin > 0:
        raise ValueError(f"margin={margin} must be positive")
    scores = final_scores(frame, metric).drop("scale", "rank")
    placed = scores.join(_scales(frame, scale), on="cell").sort("split", "length", "size")
    options = {"confidence": confidence, "resamples": resamples, "key": key}
    rows = []
    group = ["split", "length", "test", "cell", "label", "scale", "size"]
    for names, seeds in placed.group_by(group, maintain_order=True):
        value, low, high = _mean(seeds, **options)
        rows.append((*names, seeds.height, value, low, high, low <= chance, low >= chance + margin))
    columns = [*group, "seeds", "value", "low", "high", "at_chance", "well_above"]
    cells = pl.DataFrame(rows, schema=columns, orient="row", infer_schema_length=None)
    verdicts = [
        (*names, chance, *_verdict(part))
        for names, part in cells.group_by("split", "length", "test", maintain_order=True)
    ]
    schema: dict[str, Any] = {
        **{c: cells.schema[c] for c in ("split", "length", "test")},
        "chance": pl.Float64,
    }
    schema |= {"emergent": pl.Boolean, "until": pl.Float64, "beyond": pl.Float64}
    return Emergence(cells.drop("size"), pl.DataFrame(verdicts, schema=schema, orient="row"))


def _scales(frame: pl.DataFrame, scale: str) -> pl.DataFrame:
    """cell, scale, and size, which grows as models get better."""
    if scale in frame.columns:
        column = frame.group_by("cell").agg(pl.col(scale).max().cast(pl.Float64).alias("scale"))
        return column.with_columns(size=pl.col("scale"))
    losses = final(rows_of(frame, scale)).group_by("cell").agg(scale=pl.col("value").fill_nan(None).mean())
    if losses["scale"].null_count():
        raise ValueError(f"scale={scale!r}: some cell has no finite value of it")
    return losses.with_columns(size=-pl.col("scale"))


def _mean(seeds: pl.DataFrame, confidence: float, resamples: int, key: Any) -> tuple[float, float, float]:
    values, items = seeds["value"].to_numpy(), seeds["trials"].min()
    if len(values) == 1 and items is not None:
        n = int(str(items))
        ends = success_interval(round(values[0] * n), n, confidence)
        return float(values[0]), float(ends.low), float(ends.high)
    found = bootstrap(values, lambda v: v.mean(axis=-1), confidence=confidence, resamples=resamples, key=key)
    return float(found.value), float(found.interval.low), float(found.interval.high)


def _verdict(cells: pl.DataFrame) -> tuple[bool, float | None, float | None]:
    """Of cells in order of size: emergent, the last at chance from below, the first well above for good."""
    low, high = cells["at_chance"].to_numpy(), cells["well_above"].to_numpy()
    below = len(low) if low.all() else int(np.argmin(low))
    above = len(high) if high.all() else int(np.argmin(high[::-1]))
    scales = cells["scale"].to_list()
    until = scales[below - 1] if below else None
    beyond = scales[len(scales) - above] if above else None
    return below > 0 and above > 0, until, beyond
