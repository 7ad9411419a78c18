"""What does the distribution of final scores or values over seeds look like?"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray

from jaxemerge.brief import brief
from jaxemerge.stats import Summaries, mean_interval, summaries
from jaxemerge.stats.estimates.arguments import check_at_least

from .ends import final, final_scores
from .results import MEMBER, cell_labels, rows_of, with_test_label

ESTIMATES = ("mode", "mean", "success", "success_mean", "above_half", "below_tenth")
SEED = MEMBER[1:]


def summarise(
    frame: pl.DataFrame,
    metric: str = "exact_match",
    threshold: float = 0.2,
    *,
    key: Any = 0,
    resamples: int = 1000,
    confidence: float = 0.95,
) -> pl.DataFrame:
    """The four summaries of the final scores, one row per cell, split and length.

    Every group is resampled with the same key, so that the numbers of a cell do not depend on other cells.

    Runs of a crossed design (each init_seed with each data_seed) that share a seed are not independent: the
    intervals allow for it, that of the mode excepted.

    Args:
        frame: results.
        metric: a metric in [0, 1].
        threshold: success is a score of at least this; in (0, 1].
        key: int or JAX key of the bootstrap.
        resamples: number of bootstrap resamples, of the mode.
        confidence: probability in (0, 1) of every interval.

    Returns:
        cell, label, scale, rank, depth, width, parameters, swept columns, split, length, test, seeds,
        diverged (a count), trials (items behind one score), then mode, mean, success, success_mean,
        above_half and below_tenth, each followed by its _low and _high, then threshold. Undefined
        numbers are null. In order of scale, split and length. The formulas are in
        `jaxemerge.stats.summaries`; the shares above 0.5 and below 0.1 have those of `success_interval`.

    Raises:
        ValueError: if columns or the metric are missing, scores lie outside [0, 1], or an argument is out of
            its range.
    """
    scores = final_scores(frame, metric)
    groups = scores.group_by("cell", "split", "length", "test", maintain_order=True).agg(
        pl.col("value"), *SEED, pl.len().alias("seeds"), pl.col("diverged").sum(), pl.col("trials").min()
    )
    options = {"key": key, "resamples": resamples, "confidence": confidence}
    rows = [
        _columns(summaries(values, threshold, groups=np.column_stack(seeds), **options))
        for values, *seeds in groups.select("value", *SEED).iter_rows()
    ]
    estimates = pl.DataFrame(rows, schema=dict.fromkeys(_names(), pl.Float64), orient="row").fill_nan(None)
    table = pl.concat([groups.drop("value", *SEED), estimates], how="horizontal")
    joined = cell_labels(frame).join(table.with_columns(threshold=pl.lit(threshold)), on="cell")
    return joined.sort("rank", "split", "length")


def _names() -> list[str]:
    return [name + end for name in ESTIMATES for end in ("", "_low", "_high")]


def _columns(found: Summaries) -> list[Any]:
    estimates = (getattr(found, name) for name in ESTIMATES)
    return [number for e in estimates for number in (e.value, e.interval.low, e.interval.high)]


GROUP = ("cell", "label", "scale", "rank", "split", "length", "test")


@brief
class Values(NamedTuple):
    """Final values of one metric.

    Attributes:
        runs: cell, label, scale, test, init_seed, data_seed, value: one row per run that did not fail.
        table: cell, label, scale, split, length, test, runs (those with a value), diverged (a count), mean
            with low and high (Student's interval; null for fewer than three), least, most. In order of scale
            and test.
    """

    runs: pl.DataFrame
    table: pl.DataFrame


def final_values(frame: pl.DataFrame, metric: str) -> Values:
    """The last values of all runs and their means; failed runs are counted, and left out of the means.

    Args:
        frame: results.
        metric: any metric.

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
        numbers = _numbers(known)
        rows.append((*group, len(known), int(runs["diverged"].sum()), *numbers))
    schema = {name: ordered.schema[name] for name in GROUP} | {"runs": pl.Int64, "diverged": pl.Int64}
    schema |= dict.fromkeys(("mean", "low", "high", "least", "most"), pl.Float64())
    table = pl.DataFrame(rows, schema=schema, orient="row").drop("rank")
    kept = ("cell", "label", "scale", "test", "init_seed", "data_seed", "value")
    return Values(ordered.select(kept).drop_nulls("value"), table)


def _numbers(known: np.ndarray) -> tuple[float | None, ...]:
    if not len(known):
        return (None,) * 5
    found = mean_interval(known)
    ends = (None if np.isnan(end) else float(end) for end in (found.interval.low, found.interval.high))
    return float(found.value), *ends, float(known.min()), float(known.max())


# Bandwidths outside this range either draw single seeds or smear everything (scores run from 0 to 1).
NARROWEST, WIDEST = 0.02, 0.12


def density(frame: pl.DataFrame, points: int = 81, metric: str = "exact_match") -> pl.DataFrame:
    """Kernel density of the final scores strictly between 0 and 1, per cell and test, for violins.

    A Gaussian kernel with Silverman's bandwidth (kept within 0.02 to 0.12; 0.12 for a single seed), reflected
    at 0 and 1 so that no mass leaves the unit interval. Groups without a score strictly inside have no rows.

    Args:
        frame: results.
        points: number of points of the grid from 0 to 1.
        metric: a metric in [0, 1].

    Returns:
        cell, label, test, split, length, value (the grid), density (integrates to 1) and share (of the
        group's seeds that lie strictly inside).

    Raises:
        ValueError: if `points` < 2, or columns or the metric are missing.

    References:
        Silverman (1986), Density Estimation for Statistics and Data Analysis, eq. 3.31 and section 2.10.
    """
    check_at_least(2, points=points)
    inside = (pl.col("value") > 0) & (pl.col("value") < 1)
    groups = (
        final_scores(frame, metric)
        .group_by("cell", "label", "test", "split", "length", maintain_order=True)
        .agg(pl.col("value").filter(inside).alias("scores"), share=inside.mean())
        .filter(pl.col("share") > 0)
    )
    grid = np.linspace(0.0, 1.0, points)
    shapes = [reflected_density(scores.to_numpy(), grid).tolist() for scores in groups["scores"]]
    columns = [pl.Series("value", [grid.tolist()] * len(shapes), pl.List(pl.Float64))]
    columns.append(pl.Series("density", shapes, pl.List(pl.Float64)))
    return (
        groups.drop("scores")
        .with_columns(columns)
        .explode("value", "density")
        .select("cell", "label", "test", "split", "length", "value", "density", "share")
    )


def reflected_density(scores: NDArray[np.float64], grid: NDArray[np.float64]) -> NDArray[np.float64]:
    """Density of scores [S] in [0, 1] at the grid's points [G], reflected at both ends."""
    width = bandwidth(scores)
    mirrored = np.concatenate([-scores, scores, 2 - scores])
    kernel = np.exp(-0.5 * ((grid[:, None] - mirrored) / width) ** 2)
    return kernel.sum(axis=1) / (len(scores) * width * np.sqrt(2 * np.pi))


def bandwidth(scores: NDArray[np.float64]) -> float:
    """Silverman's rule of thumb, within 0.02 to 0.12; the widest for a single score."""
    if len(scores) < 2:
        return WIDEST
    spread = min(float(np.std(scores, ddof=1)), float(np.subtract(*np.quantile(scores, [0.75, 0.25]))) / 1.34)
    return float(np.clip(0.9 * spread * len(scores) ** -0.2, NARROWEST, WIDEST))


ZERO, BETWEEN, ONE = "exactly 0", "between", "exactly 1"


def histogram(frame: pl.DataFrame, bins: int = 20, metric: str = "exact_match") -> pl.DataFrame:
    """Counts of the final scores per cell and test, with exactly 0 and exactly 1 kept apart as atoms.

    Args:
        frame: results.
        bins: number of equal bins of the open interval (0, 1).
        metric: a metric in [0, 1].

    Returns:
        cell, label, test, split, length, kind ("exactly 0", "between" or "exactly 1"), low and high (ends of
        the bin; equal for an atom), count (seeds), share (of the group's seeds). Empty bins are left out.

    Raises:
        ValueError: if `bins` < 1, or columns or the metric are missing.
    """
    check_at_least(1, bins=bins)
    value = pl.col("value")
    number = (value * bins).floor().clip(0, bins - 1)

    def by_kind(zero: pl.Expr, between: pl.Expr, one: pl.Expr) -> pl.Expr:
        return pl.when(value <= 0).then(zero).when(value >= 1).then(one).otherwise(between)

    kind = by_kind(pl.lit(ZERO), pl.lit(BETWEEN), pl.lit(ONE))
    low = by_kind(pl.lit(0.0), number / bins, pl.lit(1.0))
    high = by_kind(pl.lit(0.0), (number + 1) / bins, pl.lit(1.0))
    group = ["rank", "cell", "label", "split", "length", "test"]
    return (
        final_scores(frame, metric)
        .with_columns(kind=kind, low=low, high=high)
        .group_by(*group, "kind", "low", "high")
        .agg(count=pl.len())
        .with_columns(share=pl.col("count") / pl.col("count").sum().over(group))
        .sort("rank", "split", "length", "low", "high")
        .drop("rank")
    )


# The share of success, of all cells together, at the test that is looked at.
RARE, COMMON = 0.05, 0.95


def primary_test(
    frame: pl.DataFrame,
    metric: str = "exact_match",
    threshold: float = 0.2,
    *,
    split: str | None = None,
    length: int | None = None,
) -> tuple[str, int | None]:
    """The test whose figures and p-values a report shows: the one given, else one chosen by a fixed rule.

    The rule takes the longest test at which between 5 and 95 % of the seeds of all cells together succeed; if
    there is none, the test at which that share is nearest to half. It looks at all seeds as one pool and
    not at which seed is in which cell. A test that deals the seeds out to the cells at random conditions on
    that pool, so that the choice does not change its size.

    Args:
        frame: results.
        metric: a score.
        threshold: success is a score of at least this.
        split, length: of the test, where it was fixed before the results were seen.

    Returns:
        Split and length; of equally long tests the first split by name.

    Raises:
        ValueError: if no test has the split and length given, or columns or the metric are missing.
    """
    shares = (
        final_scores(frame, metric).group_by("split", "length").agg((pl.col("value") >= threshold).mean())
    )
    given = shares.filter(
        pl.lit(True) if split is None else pl.col("split") == split,
        pl.lit(True) if length is None else pl.col("length") == length,
    )
    if given.is_empty():
        tests = shares.select("split", "length").sort("split", "length").rows()
        raise ValueError(f"split={split!r}, length={length}: no test of {metric}; choose one of {tests}")
    away = (pl.col("value") - 0.5).abs()
    longest_first = given.with_columns(away=away).sort(
        "length", "split", descending=[True, False], nulls_last=True
    )
    seen = longest_first.filter(pl.col("value").is_between(RARE, COMMON))
    row = (seen if not seen.is_empty() else longest_first.filter(away == away.min())).row(0, named=True)
    return row["split"], row["length"]


def two_sided(
    frame: pl.DataFrame, metric: str = "exact_match", near_zero: float = 0.1, high: float = 0.3
) -> pl.DataFrame:
    """Cells and tests by how much their seeds' scores differ, those with seeds at both ends first.

    The two-sidedness here is the smaller of the shares of seeds below `near_zero` and above `high`, as in
    `jaxemerge.stats.two_sidedness`: at most 1/2, and 0 where all seeds are on one side. It is a way to choose
    what to look at, and no test: `jaxemerge.stats.fit_mixture` says whether a population has two sides.

    Args:
        frame: results.
        metric: a score.
        near_zero: scores below this have failed.
        high: scores above this have not.

    Returns:
        cell, label, test, split, length, seeds, zeros (seeds at exactly 0), failed (seeds below `near_zero`),
        succeeded (seeds above `high`), spread (standard deviation of the scores; it decides between equals),
        two_sidedness.

    Raises:
        ValueError: if 0 <= near_zero <= high < 1 does not hold, or columns or the metric are missing.
    """
    if not 0 <= near_zero <= high < 1:
        raise ValueError(f"near_zero={near_zero}, high={high}: 0 <= near_zero <= high < 1 must hold")
    value = pl.col("value")
    return (
        final_scores(frame, metric)
        .group_by("cell", "label", "test", "split", "length", maintain_order=True)
        .agg(
            seeds=pl.len(),
            zeros=(value <= 0).sum(),
            failed=(value < near_zero).sum(),
            succeeded=(value > high).sum(),
            spread=value.std().fill_null(0.0),
        )
        .with_columns(two_sidedness=pl.min_horizontal("failed", "succeeded") / pl.col("seeds"))
        .sort("two_sidedness", "spread", descending=True, maintain_order=True)
    )
