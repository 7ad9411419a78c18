"""Does an ability emerge with scale, or does the metric make it look so?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy.stats import binom, false_discovery_control

from jaxemerge.brief import brief
from jaxemerge.stats import emergence_score, generator, mean_interval, success_interval
from jaxemerge.stats.estimates.arguments import check_at_least
from jaxemerge.stats.estimates.resampling import permutation_p_value

from .ends import final, final_scores
from .kinds import is_share, less_is_better
from .metrics import known_scores, metrics_of
from .results import one_test, rows_of


@brief
class Emergence(NamedTuple):
    """What was found.

    Attributes:
        cells: split, length, test, cell, label, scale, seeds, value (mean over seeds), low, high, above
            (number of seeds each above chance), at_chance, well_above; in order of test and scale.
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
) -> Emergence:
    """Whether each test's score is at chance below some scale and well above chance beyond it.

    The score of a cell is the mean over its seeds, with `jaxemerge.stats.mean_interval` (one seed alone: the
    interval of its share of items). At chance: the interval reaches down to the chance level, and no seed
    alone is above chance, by an exact binomial test over its items at level 1 - `confidence`, divided by the
    number of seeds (Bonferroni). One seed above 0 refutes a chance of 0. Well above: the whole interval is at
    least `margin` above. Emergent: the smallest scales are at chance, the largest are well above, and none of
    these comes back. What lies between may be neither.

    Args:
        frame: results.
        metric: better when more.
        scale: what is called scale: a column of numbers ("parameters", "flops" of training, "depth", a swept
            one), or a metric such as "train_loss" or "answer_nll", where a lower value is a larger scale.
        chance: what guessing scores, as the task's `chance` says.
        margin: how far above chance is well above.
        confidence: probability in (0, 1).

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
    bounds = (0.0, 1.0) if is_share(frame, metric) else None
    rows = []
    group = ["split", "length", "test", "cell", "label", "scale", "size"]
    for names, seeds in placed.group_by(group, maintain_order=True):
        value, low, high = _mean(seeds, confidence, bounds)
        above = _seeds_above(seeds, chance, confidence)
        at_chance = low <= chance and not above
        rows.append((*names, seeds.height, value, low, high, above, at_chance, low >= chance + margin))
    columns = [*group, "seeds", "value", "low", "high", "above", "at_chance", "well_above"]
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


def _mean(
    seeds: pl.DataFrame, confidence: float, bounds: tuple[float, float] | None
) -> tuple[float, float, float]:
    values, items = seeds["value"].to_numpy(), seeds["trials"].min()
    if len(values) == 1 and items is not None:
        n = int(str(items))
        ends = success_interval(round(values[0] * n), n, confidence)
        return float(values[0]), float(ends.low), float(ends.high)
    found = mean_interval(values, confidence, bounds=bounds)
    return float(found.value), float(found.interval.low), float(found.interval.high)


def _seeds_above(seeds: pl.DataFrame, chance: float, confidence: float) -> int:
    """Seeds that guessing explains with less than the level's share of each; without items, only above 0."""
    scores = seeds["value"].to_numpy()
    if chance == 0:
        return int((scores > 0).sum())
    if seeds["trials"].null_count():
        return 0
    items = seeds["trials"].to_numpy()
    p_values = binom.sf(np.round(scores * items) - 1, items, chance)
    return int((p_values <= (1 - confidence) / len(scores)).sum())


def _verdict(cells: pl.DataFrame) -> tuple[bool, float | None, float | None]:
    """Of cells in order of size: emergent, the last at chance from below, the first well above for good."""
    low, high = cells["at_chance"].to_numpy(), cells["well_above"].to_numpy()
    below = len(low) if low.all() else int(np.argmin(low))
    above = len(high) if high.all() else int(np.argmin(high[::-1]))
    scales = cells["scale"].to_list()
    until = scales[below - 1] if below else None
    beyond = scales[len(scales) - above] if above else None
    return below > 0 and above > 0, until, beyond


CURVE = ("task", "family", "split", "length", "metric")


def emergence_scores(
    frame: pl.DataFrame,
    metrics: list[str] | None = None,
    *,
    resolution: float = 1e-3,
    permutations: int = 999,
    key: Any = 0,
) -> pl.DataFrame:
    """The emergence score of every triplet of task, metric and model family, with its p-value.

    A triplet's curve is the mean over seeds in every cell of one task and family, in order of scale; tests of
    one task (split, length) are triplets of their own. Its score is the signed range over the root of the
    median squared increment, neither finer than one item of the test (`trials`) nor, for other metrics, than
    `resolution` times the range of the curve. Metrics where lower is better change sign.

    Two nulls. A straight rise (`p_value`): the cells' means lie on a straight line in order of scale, the
    least-squares line through them, and seeds scatter about it as they do about their own cell's mean
    (drawn with replacement within the cell, widened by sqrt(S / (S - 1))). No effect (`p_no_effect`): seeds
    are dealt out to the cells at random, all seeds of a triplet together. p-values are shares of samples
    with a score at least as large in size. Those of the straight rise are corrected for the number of
    triplets (Benjamini and Hochberg).

    Only a small `p_value` says that the rise comes more at once than a straight one; a straight rise is
    far from no effect. A score near the number of cells less one is that of a straight line.

    Measured (`benchmarks/size_of_tests.py straight 400`), straight rises over 3 to 15 cells of 16 and 64
    seeds: p_value <= 0.05 in 3 to 7 %, of 5 seeds in 2 to 11 %; p_no_effect <= 0.05 in up to 100 %. A jump
    from 0 to 60 % over 5, 8 and 15 cells of 16 seeds has p_value <= 0.05 in 76 to 91 %; over 3 cells never.

    Args:
        frame: results.
        metrics: which; by default all of tests.
        resolution: least increment of metrics without trials, as a share of the curve's range.
        permutations: number of samples of either null.
        key: int or JAX key.

    Returns:
        task, family, split, length, metric, cells, seeds (of the smallest cell), score, p_value (null where
        a cell has one seed), q_value (the share of false discoveries if this one and all smaller are called
        discoveries), p_no_effect; largest score first. Curves of fewer than three cells have none. Null
        where undefined.

    Raises:
        ValueError: if columns or a metric are missing, or an argument is out of its range.

    References:
        Schaeffer, Miranda and Koyejo (2023), arXiv 2304.15004, section 4; Benjamini and Hochberg (1995),
        J. R. Stat. Soc. B 57, p. 289.
    """
    check_at_least(1, permutations=permutations)
    if not resolution > 0:
        raise ValueError(f"resolution={resolution} must be positive")
    rng, rows = generator(key), []
    for metric in metrics if metrics is not None else metrics_of(frame):
        scores = known_scores(frame, metric)
        if less_is_better(metric):
            scores = scores.with_columns(value=-pl.col("value"))
        for names, part in scores.group_by(CURVE, maintain_order=True):
            cells = [seeds["value"].to_numpy() for seeds in part.partition_by("cell", maintain_order=True)]
            if len(cells) < 3:
                continue
            trials = part["trials"].min()
            step = None if trials is None else 1 / float(str(trials))
            numbers = tested_score(cells, step, resolution, permutations, rng)
            rows.append((*names, len(cells), min(map(len, cells)), *numbers))
    schema: dict[str, Any] = {
        **{name: frame.schema[name] for name in CURVE},
        "cells": pl.Int64,
        "seeds": pl.Int64,
    }
    schema |= dict.fromkeys(("score", "p_value", "p_no_effect"), pl.Float64)
    table = pl.DataFrame(rows, schema=schema, orient="row")
    return _corrected(table).sort("score", descending=True, nulls_last=True)


def tested_score(
    cells: list[NDArray[np.float64]],
    step: float | None,
    resolution: float,
    permutations: int,
    rng: np.random.Generator,
) -> tuple[float, float, float]:
    """The emergence score of one curve and what chance makes of it.

    Args:
        cells: scores of the seeds [S_i] of each cell, in order of scale.
        step: smallest step of the curve that counts; None for `resolution`.
        resolution: the same, as a share of the curve's range.
        permutations: number of random curves behind each p-value.
        rng: generator.

    Returns:
        Score, its p-value against a straight rise, and that against no effect; NaN where all scores are
        equal.
    """
    if np.ptp(np.concatenate(cells)) == 0:
        return float("nan"), float("nan"), float("nan")
    curve = np.array([cell.mean() for cell in cells])
    score = _scores(curve[None], step, resolution)[0]
    dealt = _scores(_dealt(cells, permutations, rng), step, resolution)
    straight = float("nan")
    if min(map(len, cells)) > 1:
        drawn = _scores(_straight(cells, curve, permutations, rng), step, resolution)
        straight = float(permutation_p_value(abs(score), np.abs(drawn)))
    return float(score), straight, float(permutation_p_value(abs(score), np.abs(dealt)))


def _scores(curves_RN: NDArray[np.float64], step: float | None, resolution: float) -> NDArray[np.float64]:
    least = np.maximum(resolution * np.ptp(curves_RN, axis=1), 1e-12)
    return emergence_score(curves_RN, resolution=least if step is None else np.full(len(least), step))


def _dealt(
    cells: list[NDArray[np.float64]], permutations: int, rng: np.random.Generator
) -> NDArray[np.float64]:
    """[R, N] curves of seeds dealt out to the cells at random."""
    pool, ends = np.concatenate(cells), np.cumsum([len(cell) for cell in cells])[:-1]
    dealt = rng.permuted(np.tile(pool, (permutations, 1)), axis=1)
    return np.stack([part.mean(axis=1) for part in np.split(dealt, ends, axis=1)], axis=1)


def _straight(
    cells: list[NDArray[np.float64]], curve: NDArray[np.float64], samples: int, rng: np.random.Generator
) -> NDArray[np.float64]:
    """[R, N] curves about the straight line through these."""
    place = np.arange(len(curve))
    line = np.polynomial.Polynomial.fit(place, curve, 1)(place)
    noise = [
        rng.choice(cell - cell.mean(), size=(samples, len(cell))).mean(axis=1)
        * np.sqrt(len(cell) / (len(cell) - 1))
        for cell in cells
    ]
    return line + np.stack(noise, axis=1)


def _corrected(table: pl.DataFrame) -> pl.DataFrame:
    p = table["p_value"].to_numpy()
    known, q = ~np.isnan(p), np.full(len(p), np.nan)
    if known.any():
        q[known] = false_discovery_control(p[known])
    return table.with_columns(pl.Series("q_value", q)).with_columns(pl.selectors.float().fill_nan(None))


def induced(
    frame: pl.DataFrame,
    metric: str = "token_accuracy",
    *,
    thresholds: Sequence[float] = (0.5, 0.8, 0.9, 0.95, 0.99),
    groups: Sequence[int] = (1, 2, 4, 8),
    exact: str = "exact_match",
    split: str | None = None,
    length: int | None = None,
) -> pl.DataFrame:
    """The same outputs made sharper: the share of seeds at a threshold or above, and of k items all right.

    All of k: over all groups of k different items, C(right, k) / C(n, k) of them are right as a whole.

    Args:
        frame: results.
        metric: continuous, better when more; thresholds are set on its value per seed.
        thresholds: each gives a metric of its own.
        groups: numbers k of items that must all be exactly right.
        exact: the share of items that are.
        split, length: the test; may be left out where there is one only.

    Returns:
        metric (as given, "... >= c", or "all of k"), cell, label, scale, value, score (emergence score of
        the metric's curve, no step finer than one seed or 1/1000; the same in all its rows).

    Raises:
        ValueError: if a metric is missing, the choice leaves no test or several, or k items are not there.
    """
    smooth = one_test(final_scores(frame, metric), metric, split, length)
    items = one_test(final_scores(frame, exact), exact, split, length)
    least = items["trials"].min()
    n = 0 if least is None else int(str(least))
    if groups and not 1 <= min(groups) <= max(groups) <= n:
        raise ValueError(f"groups={tuple(groups)}: groups of 1 to {n} items are possible")
    value = pl.col("value")
    versions = {metric: (smooth, value)}
    versions |= {f"{metric} >= {c:g}": (smooth, (value >= c).cast(pl.Float64)) for c in thresholds}
    versions |= {f"all of {k}": (items, _all_of(value, n, k)) for k in groups}
    parts = []
    for name, (scores, expression) in versions.items():
        means = scores.with_columns(value=expression).group_by("cell", "label", "scale", maintain_order=True)
        curve = means.agg(pl.col("value").mean(), seeds=pl.len())
        step = 1 / float(str(curve["seeds"].min())) if ">=" in name else 1e-3
        score = emergence_score(curve["value"].to_numpy(), resolution=step)
        parts.append(
            curve.select(pl.lit(name).alias("metric"), pl.exclude("seeds"), score=pl.lit(float(score)))
        )
    return pl.concat(parts).fill_nan(None)


def _all_of(share: pl.Expr, n: int, k: int) -> pl.Expr:
    right = (share * n).round()
    factors = [((right - i) / (n - i)).clip(0.0, 1.0) for i in range(k)]
    product = factors[0]
    for factor in factors[1:]:
        product = product * factor
    return product
