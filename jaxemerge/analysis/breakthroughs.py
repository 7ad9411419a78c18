"""When does each seed break through, and what share of a population has not yet?"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import polars as pl

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

from .curves import learning_curves
from .labels import cell_labels
from .schema import MEMBER


class Survival(NamedTuple):
    """Populations before their breakthrough.

    Attributes:
        curves: cell, label, step, survival, low, high: the share of seeds that have not broken through
            after a step, with its pointwise interval; from step 0 to the last, in order of scale.
        medians: cell, label, seeds, broken (seeds that broke through), median, low, high: the step by which
            half of the seeds have; infinite where that is never seen.
        p_value: of a log-rank test that all cells break through at one rate; NaN with one cell only, or
            without a breakthrough.
        doubling: factor by which twice the scale multiplies the rate of breakthroughs (Cox regression); None
            where scales are not positive or all one, or without a breakthrough.
    """

    curves: pl.DataFrame
    medians: pl.DataFrame
    p_value: float
    doubling: Estimate | None


def breakthroughs(
    frame: pl.DataFrame,
    metric: str = "exact_match",
    threshold: float = 0.2,
    *,
    split: str | None = None,
    length: int | None = None,
) -> pl.DataFrame:
    """The step at which every seed's score reaches the threshold and stays there.

    A score is known at evaluations only: a time is at most one interval between them too late. A seed that
    ends below the threshold is censored at its last evaluation.

    Args:
        frame: results.
        metric: a metric in [0, 1].
        threshold: in (0, 1].
        split, length: the test, as in `learning_curves`.

    Returns:
        cell, label, scale, init_seed, data_seed, step, observed; in order of scale and seed.

    Raises:
        ValueError: as `learning_curves` and `jaxemerge.stats.breakthrough_time`.
    """
    curves = learning_curves(frame, metric, split, length)
    seeds = curves.group_by(*MEMBER, "label", maintain_order=True).agg("step", "value")
    times = [breakthrough_time(steps, values, threshold) for steps, values in seeds["step", "value"].rows()]
    scales = cell_labels(frame).select("cell", "scale")
    return seeds.join(scales, on="cell", maintain_order="left").select(
        *("cell", "label", "scale", "init_seed", "data_seed"),
        step=pl.Series([float(t.time) for t in times], dtype=pl.Float64),
        observed=pl.Series([bool(t.observed) for t in times], dtype=pl.Boolean),
    )


def survival(times: pl.DataFrame, *, confidence: float = 0.95) -> Survival:
    """Kaplan-Meier curves and medians of every cell, and whether the cells differ.

    Args:
        times: what `breakthroughs` returns; at least one seed.
        confidence: probability in (0, 1).
    """
    curves, medians = [], []
    for (cell, label), group in times.group_by("cell", "label", maintain_order=True):
        found = kaplan_meier(group["step"].to_numpy(), group["observed"].to_numpy(), confidence=confidence)
        curve = _curve(found, float(group["step"].to_numpy().max()), confidence)
        curves.append(curve.select(pl.lit(cell).alias("cell"), pl.lit(label).alias("label"), pl.all()))
        median, interval = found.median.value, found.median.interval
        broken = int(found.events.sum())
        medians.append((cell, label, found.n, broken, median, interval.low, interval.high))
    schema = {"cell": pl.String, "label": pl.String, "seeds": pl.Int64, "broken": pl.Int64}
    schema |= dict.fromkeys(["median", "low", "high"], pl.Float64)
    test = log_rank_test(times["step"].to_numpy(), times["observed"].to_numpy(), times["cell"].to_numpy())
    table = pl.DataFrame(medians, schema=schema, orient="row")
    return Survival(pl.concat(curves), table, test.p_value, _doubling(times, confidence))


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
