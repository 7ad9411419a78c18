"""How does a population move during training, and when does each seed break through?"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import polars as pl

from jaxemerge.brief import brief
from jaxemerge.stats import (
    Estimate,
    Interval,
    SurvivalCurve,
    breakthrough_time,
    fit_hazard,
    kaplan_meier,
    log_rank_test,
    success_interval,
)
from jaxemerge.stats.estimates.arguments import check_at_least

from .ends import as_trained
from .kinds import worst
from .results import MEMBER, cell_labels, one_test, rows_of

QUANTILES = {"low": 0.1, "median": 0.5, "high": 0.9}


def learning_curves(
    frame: pl.DataFrame, metric: str = "exact_match", split: str | None = None, length: int | None = None
) -> pl.DataFrame:
    """One row per seed and evaluation step of one metric on one test.

    The missing value of a failed seed becomes the worst possible one (`worst`): 0 where the metric is a
    share, else infinite.

    Args:
        frame: results.
        metric: any metric.
        split: may be left out if the metric was measured on one split only.
        length: may be left out if the metric was measured at one length only, or at none.

    Returns:
        cell, label, init_seed, data_seed, step, value, diverged; by scale of the cell, seed and step.

    Raises:
        ValueError: if columns or the metric are missing, or the choice leaves no test or several.
    """
    measured = one_test(rows_of(frame, metric), metric, split, length)
    value = pl.col("value").fill_nan(None).fill_null(worst(frame, metric))
    labels = cell_labels(frame).select("cell", "label", "rank")
    # Few columns are joined and sorted, as there may be millions of rows.
    return (
        measured.select("cell", "init_seed", "data_seed", "step", value, "diverged")
        .join(labels, on="cell")
        .sort("rank", "init_seed", "data_seed", "step")
        .select("cell", "label", "init_seed", "data_seed", "step", "value", "diverged")
    )


def curve_quantiles(curves: pl.DataFrame) -> pl.DataFrame:
    """The 10, 50 and 90 % quantiles over seeds at each step.

    Args:
        curves: what `learning_curves` returns.

    Returns:
        cell, label, step, low, median, high, seeds; a quantile is null where it falls on a diverged loss.
    """
    # "nearest" rather than interpolated: a quantile next to an infinite loss is then still finite.
    ranks = [pl.col("value").quantile(q, "nearest").alias(name) for name, q in QUANTILES.items()]
    finite = [pl.when(pl.col(name).is_finite()).then(pl.col(name)).alias(name) for name in QUANTILES]
    return (
        curves.group_by("cell", "label", "step", maintain_order=True)
        .agg(*ranks, seeds=pl.len())
        .with_columns(finite)
        .select("cell", "label", "step", "low", "median", "high", "seeds")
    )


def representative_curves(curves: pl.DataFrame, most: int = 60) -> pl.DataFrame:
    """At most `most` seeds per cell, evenly spaced by rank of final value, worst and best included.

    Args:
        curves: what `learning_curves` returns.
        most: number of seeds to keep in each cell.

    Raises:
        ValueError: if `most` < 2.
    """
    check_at_least(2, most=most)
    last = curves.filter(pl.col("step") == pl.col("step").max().over(MEMBER))
    place = pl.col("value").rank("ordinal").over("cell").cast(pl.Int64) - 1
    seeds = pl.len().over("cell").cast(pl.Int64)
    # Seed number i of S is kept when the i-th of `most` even steps from 0 to S-1 lands on it.
    stride = (seeds - 1) / (most - 1)
    lands = ((place / stride).round() * stride).round() == place
    keep = last.with_columns(keep=(seeds <= most) | lands).filter("keep").select(MEMBER)
    return curves.join(keep, on=MEMBER, how="semi", maintain_order="left")


@brief
class Survival(NamedTuple):
    """Survival curves and medians of the time of breakthrough.

    Attributes:
        curves: cell, label, step, survival, low, high: the share of seeds that have not broken through
            after a step, with its pointwise interval; from step 0 to the last, in order of scale.
        medians: cell, label, seeds, broken (seeds that broke through), relapsed (of these, those that fell
            below again at some evaluation), lost (those that stayed below to the end), median, low, high: the
            step by which half of the seeds have broken through; infinite where that is not observed.
        falls: cell, label, event ("first relapse", "ability lost"), step; a row per seed with that event.
        p_value: of a log-rank test that all cells break through at one rate; NaN with one cell only, or
            without a breakthrough.
        doubling: factor by which twice the scale multiplies the rate of breakthroughs (Cox regression); None
            where scales are not positive or all one, or without a breakthrough.
    """

    curves: pl.DataFrame
    medians: pl.DataFrame
    falls: pl.DataFrame
    p_value: float
    doubling: Estimate | None


def breakthroughs(
    frame: pl.DataFrame,
    metric: str = "exact_match",
    threshold: float = 0.2,
    *,
    in_a_row: int = 3,
    split: str | None = None,
    length: int | None = None,
) -> pl.DataFrame:
    """When every seed breaks through, and whether it loses the ability again.

    A breakthrough is the first of `in_a_row` evaluations in a row at or above the threshold; see
    `jaxemerge.stats.breakthrough_time`. A seed that a rule stopped before is censored at its last evaluation.

    Args:
        frame: results.
        metric: a metric in [0, 1].
        threshold: in (0, 1].
        in_a_row: evaluations that make a breakthrough.
        split, length: the test, as in `learning_curves`.

    Returns:
        cell, label, scale, init_seed, data_seed, step, observed (False: censored at step), after (the
        evaluation before), relapses (a count), relapse (step of the first, or null), loss (step from which
        the ability is lost, or null); in order of scale and seed.

    Raises:
        ValueError: as `learning_curves` and `jaxemerge.stats.breakthrough_time`.
    """
    curves = learning_curves(as_trained(frame), metric, split, length)
    seeds = curves.group_by(*MEMBER, "label", maintain_order=True).agg("step", "value")
    times = [
        breakthrough_time(steps, values, threshold, in_a_row=in_a_row)
        for steps, values in seeds["step", "value"].rows()
    ]
    scales = cell_labels(frame).select("cell", "scale")
    return seeds.join(scales, on="cell", maintain_order="left").select(
        *("cell", "label", "scale", "init_seed", "data_seed"),
        step=pl.Series([float(t.time) for t in times], dtype=pl.Float64),
        observed=pl.Series([bool(t.observed) for t in times], dtype=pl.Boolean),
        after=pl.Series([float(t.after) for t in times], dtype=pl.Float64),
        relapses=pl.Series([int(t.relapses) for t in times], dtype=pl.Int64),
        relapse=pl.Series([float(t.relapse) for t in times], dtype=pl.Float64).fill_nan(None),
        loss=pl.Series([float(t.loss) for t in times], dtype=pl.Float64).fill_nan(None),
    )


FALLS = {"relapse": "first relapse", "loss": "ability lost"}


def survival(times: pl.DataFrame, *, confidence: float = 0.95) -> Survival:
    """Kaplan-Meier curves and medians of every cell, with a log-rank test between cells.

    Args:
        times: what `breakthroughs` returns; at least one seed.
        confidence: probability in (0, 1).
    """
    curves, medians = [], []
    for (cell, label), group in times.group_by("cell", "label", maintain_order=True):
        step, observed, after = (group[name].to_numpy() for name in ("step", "observed", "after"))
        found = kaplan_meier(step, observed, after=after, confidence=confidence)
        curve = _curve(found, float(group["step"].to_numpy().max()), confidence)
        curves.append(curve.select(pl.lit(cell).alias("cell"), pl.lit(label).alias("label"), pl.all()))
        median, interval = found.median.value, found.median.interval
        counts = (int(found.events.sum()), group["relapse"].count(), group["loss"].count())
        medians.append((cell, label, found.n, *counts, median, interval.low, interval.high))
    schema: dict[str, Any] = {"cell": pl.String, "label": pl.String}
    schema |= dict.fromkeys(["seeds", "broken", "relapsed", "lost"], pl.Int64)
    schema |= dict.fromkeys(["median", "low", "high"], pl.Float64)
    test = log_rank_test(times["step"].to_numpy(), times["observed"].to_numpy(), times["cell"].to_numpy())
    table = pl.DataFrame(medians, schema=schema, orient="row")
    falls = [
        times.select("cell", "label", event=pl.lit(name), step=column).drop_nulls("step")
        for column, name in FALLS.items()
    ]
    doubling = _doubling(times, confidence)
    return Survival(pl.concat(curves), table, pl.concat(falls), test.p_value, doubling)


def _doubling(times: pl.DataFrame, confidence: float) -> Estimate | None:
    scales = times["scale"].to_numpy()
    if not np.all(scales > 0) or len(set(scales)) == 1 or not times["observed"].any():
        return None
    found = fit_hazard(times["step"], times["observed"], np.log2(scales), confidence=confidence).coefficient
    low, high = np.exp(np.array([found.interval.low, found.interval.high]).ravel())
    return Estimate(float(np.exp(found.value)[0]), Interval(float(low), float(high)))


def _curve(found: SurvivalCurve, last: float, confidence: float) -> pl.DataFrame:
    """The steps of a curve, with a place for step 0, where no seed has broken through, and for the end."""
    none_yet = {
        "survival": 1.0,
        "low": float(success_interval(found.n, found.n, confidence).low),
        "high": 1.0,
    }
    share = found.survival
    seen = {"survival": share.value, "low": share.interval.low, "high": share.interval.high}
    joined = {name: [none_yet[name], *np.asarray(values)] for name, values in seen.items()}
    held = {name: [*values, values[-1]] for name, values in joined.items()}
    return pl.DataFrame({"step": [0.0, *found.time, last], **held})
