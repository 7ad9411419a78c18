"""How do P(success) and the distribution of scores move with scale?"""

from __future__ import annotations

from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray

from jaxemerge.brief import brief
from jaxemerge.stats import (
    Estimate,
    Interval,
    LogisticRegression,
    Onset,
    StepTest,
    SuccessCurve,
    SuccessMean,
    fit_logistic,
    fit_success_curve,
    fit_success_mean,
    holm,
    isotonic_success,
    step_test,
    threshold_scan,
    two_sided_onset,
    wasserstein_matrix,
    wasserstein_test,
)

from .distribution import summarise
from .ends import final_scores
from .results import one_test, scale_column

# Places at which a fitted line is drawn, evenly spaced in ln(scale).
PLACES = 121


@brief
class SuccessFit(NamedTuple):
    """What was fitted to the final scores of all cells on one test.

    Attributes:
        column: what scale is, as `scale_column` says.
        cells: rows of `summarise`, with the column isotonic: the most likely monotone P(success).
        curve: logistic curve in ln(scale) that rises or falls between 0 and a ceiling; the ceiling is 1 where
            there are two scales only, as a curve has no more parameters than scales.
        step: test of a single step against a logistic curve, the lower level fitted in both.
        law: power law of the mean of the successes.
        left_out: labels of the cells at scales of 0 and below, which only the monotone shares include.
        depth_and_width: logistic regression on ln(depth) and ln(width) about their means and their product,
            with Firth's penalty, where both vary; else None.
    """

    column: str
    cells: pl.DataFrame
    curve: SuccessCurve
    step: StepTest
    law: SuccessMean
    left_out: tuple[str, ...]
    depth_and_width: LogisticRegression | None

    @property
    def falls(self) -> bool:
        """Whether the curve falls with scale."""
        return bool(self.curve.coefficients[1] < 0)

    @property
    def logarithmic(self) -> pl.DataFrame:
        """The cells at positive scales, behind the curve, the step and the power law."""
        return self.cells.filter(pl.col("scale") > 0)

    def table(self) -> pl.DataFrame:
        """fit, parameter, value, low, high: every fitted number with its interval; null where unknown."""
        rows = [
            *(("logistic curve", n, getattr(self.curve, n)) for n in ("midpoint", "slope", "ceiling")),
            ("power law of successes", "exponent", self.law.exponent),
            (f"power law of successes at scale {self.law.centre:.5g}", "mean", self.law.coefficient),
        ]
        if self.depth_and_width is not None:
            rows += [("depth and width", name, e) for name, e in _both(self.depth_and_width)]
        numbers = [(fit, name, e.value, e.interval.low, e.interval.high) for fit, name, e in rows]
        numbers.append(("step against curve", "p_value", self.step.p_value, np.nan, np.nan))
        schema = {"fit": pl.String, "parameter": pl.String} | dict.fromkeys(
            ("value", "low", "high"), pl.Float64
        )
        return pl.DataFrame(numbers, schema=schema, orient="row").fill_nan(None)

    def lines(self) -> pl.DataFrame:
        """fit, scale, value: P(success) of the curve, of the best step and of the monotone fit."""
        known = self.logarithmic["scale"].to_numpy()
        places = np.geomspace(known.min(), known.max(), PLACES)
        parts = {"logistic curve": (places, self.curve.probability(places))}
        middle = np.sqrt(self.step.step.low * self.step.step.high)
        if np.isfinite(middle):
            after = self.step.after
            parts["best step"] = (
                np.array([known.min(), middle, middle, known.max()]),
                np.array([self.step.before, self.step.before, after, after]),
            )
        monotone = self.cells.unique("scale", maintain_order=True)
        parts["monotone shares"] = (monotone["scale"].to_numpy(), monotone["isotonic"].to_numpy())
        drawn = [
            pl.DataFrame({"fit": [name] * len(x), "scale": x, "value": y}) for name, (x, y) in parts.items()
        ]
        return pl.concat(drawn).fill_nan(None)

    def means(self) -> pl.DataFrame:
        """scale, value: the mean of the successes by the power law; no rows without a law."""
        if np.isnan(self.law.exponent.value):
            return pl.DataFrame(schema={"scale": pl.Float64, "value": pl.Float64})
        held = self.law.scale[self.law.n_success > 0]
        places = np.geomspace(held.min(), held.max(), PLACES)
        return pl.DataFrame({"scale": places, "value": self.law.mean_at(places)})


def success_fit(
    frame: pl.DataFrame,
    metric: str = "exact_match",
    threshold: float = 0.2,
    *,
    split: str | None = None,
    length: int | None = None,
    resamples: int = 199,
    key: Any = 0,
) -> SuccessFit:
    """Fits P(success) and the mean of the successes against scale, on one test.

    Cells at scales of 0 and below have no logarithm: only the monotone shares include them.

    Args:
        frame: results.
        metric: a metric in [0, 1].
        threshold: success is a score of at least this; in (0, 1].
        split, length: the test; may be left out where there is one only.
        resamples: behind the test of a step, and the intervals of monotone shares.
        key: int or JAX key.

    Raises:
        ValueError: if the choice leaves no test or several, fewer than two scales are positive, or as
            `summarise`.
    """
    scores = one_test(final_scores(frame, metric), metric, split, length)
    positive = scores.filter(pl.col("scale") > 0)
    if positive["scale"].n_unique() < 2:
        given = ", ".join(f"{scale:g}" for scale in scores["scale"].unique().sort())
        raise ValueError(
            f"{scale_column(frame)} is {given}: a curve in its logarithm needs two positive scales"
        )
    drawn = scores.drop("label", "test", "rank", "scale")
    cells = summarise(drawn, metric, threshold, key=key)
    counted = _counted(cells)
    monotone = isotonic_success(*counted, resamples=resamples, key=key)
    isotonic = np.interp(counted[0], monotone.scale, np.asarray(monotone.success.value))
    logarithmic = _counted(cells.filter(pl.col("scale") > 0))
    populations = positive.group_by("cell", "scale", maintain_order=True).agg("value")
    return SuccessFit(
        column=scale_column(frame),
        cells=cells.with_columns(isotonic=pl.Series(isotonic)),
        curve=fit_success_curve(*logarithmic, ceiling=None if len(set(logarithmic[0])) > 2 else 1.0),
        step=step_test(*logarithmic, resamples=resamples, key=key),
        law=fit_success_mean(
            populations["scale"].to_numpy(),
            [np.array(values) for values in populations["value"].to_list()],
            threshold,
        ),
        left_out=tuple(cells.filter(pl.col("scale") <= 0)["label"]),
        depth_and_width=_joint(cells),
    )


def _counted(cells: pl.DataFrame) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.int64]]:
    """Scale, successes and seeds of every cell."""
    seeds = cells["seeds"].to_numpy()
    return cells["scale"].to_numpy(), np.round(cells["success"].to_numpy() * seeds), seeds


def _joint(cells: pl.DataFrame) -> LogisticRegression | None:
    """Logits of success against depth and width, where the cells vary both independently."""
    if cells["depth"].null_count() or cells["width"].null_count():
        return None
    cells = cells.filter(pl.col("depth") > 0, pl.col("width") > 0)
    _, successes, seeds = _counted(cells)
    logs = np.log(cells.select("depth", "width").to_numpy().astype(np.float64))
    away = logs - logs.mean(axis=0)
    design = np.column_stack([away, away.prod(axis=1)])
    if np.linalg.matrix_rank(np.column_stack([np.ones(len(logs)), design])) < 4:
        return None
    return fit_logistic(design, successes, seeds)


def _both(found: LogisticRegression) -> list[tuple[str, Estimate]]:
    ends = (found.coefficient.value, found.coefficient.interval.low, found.coefficient.interval.high)
    values, low, high = (np.asarray(end) for end in ends)
    return [
        (name, Estimate(float(values[i]), Interval(float(low[i]), float(high[i]))))
        for i, name in enumerate(("depth", "width", "interaction"))
    ]


# Thresholds of the scan: enough for a smooth line, few enough for a page.
THRESHOLDS = np.arange(1, 101) / 100


def success_by_threshold(
    frame: pl.DataFrame,
    metric: str = "exact_match",
    *,
    split: str | None = None,
    length: int | None = None,
) -> pl.DataFrame:
    """P(success) of every cell on one test, for thresholds from 0.01 to 1.

    Args:
        frame: results.
        metric: a metric in [0, 1].
        split, length: the test; may be left out where there is one only.

    Returns:
        cell, label, scale, seeds, threshold, success, low, high (the interval at this threshold alone),
        band_low, band_high (hold at all thresholds at once); in order of scale and threshold.

    Raises:
        ValueError: if columns or the metric are missing, or the choice leaves no test or several.
    """
    scores = one_test(final_scores(frame, metric), metric, split, length)
    parts = []
    for group, seeds in scores.group_by("cell", "label", "scale", maintain_order=True):
        found = threshold_scan(seeds["value"].to_numpy(), THRESHOLDS)
        columns = {
            "threshold": found.thresholds,
            "success": found.success,
            **{"low": found.interval.low, "high": found.interval.high},
            **{"band_low": found.band.low, "band_high": found.band.high},
        }
        named = zip(("cell", "label", "scale", "seeds"), (*group, found.n), strict=True)
        parts.append(pl.DataFrame(columns).select(*(pl.lit(v).alias(n) for n, v in named), pl.all()))
    return pl.concat(parts)


def distances(
    frame: pl.DataFrame,
    metric: str = "exact_match",
    *,
    split: str | None = None,
    length: int | None = None,
    permutations: int = 999,
    key: Any = 0,
) -> pl.DataFrame:
    """Wasserstein-2 distances between the final scores of all pairs of cells on one test.

    Args:
        frame: results.
        metric: a metric in [0, 1].
        split: may be left out if the metric was measured on one split only.
        length: may be left out if the metric was measured at one length only, or at none.
        permutations: of the seeds of two neighbours, for their p-value.
        key: int or JAX key of the permutations.

    Returns:
        first, second (labels, each pair in both orders, and each cell with itself), distance, p_value (null
        but for neighbours in order of scale), p_adjusted (the same, by Holm for all neighbours). In order of
        scale of the first, then of the second.

    Raises:
        ValueError: if `permutations` < 1, columns or the metric are missing, or the choice leaves no test or
            several.
    """
    labels, _, populations = _populations(frame, metric, split, length)
    matrix = wasserstein_matrix(populations, 2)
    p_values = [
        float(wasserstein_test(first, second, 2, permutations=permutations, key=key).p_value)
        for first, second in pairwise(populations)
    ]
    tests = list(zip(p_values, holm(p_values).tolist(), strict=True))
    near = {pair: test for i, test in enumerate(tests) for pair in ((i, i + 1), (i + 1, i))}
    rows = [
        (labels[i], labels[j], float(distance), *near.get((i, j), (None, None)))
        for (i, j), distance in np.ndenumerate(matrix)
    ]
    schema: dict[str, Any] = {"first": pl.String, "second": pl.String}
    schema |= dict.fromkeys(("distance", "p_value", "p_adjusted"), pl.Float64)
    return pl.DataFrame(rows, schema=schema, orient="row")


def two_sided_scale(
    frame: pl.DataFrame,
    metric: str = "exact_match",
    *,
    split: str | None = None,
    length: int | None = None,
) -> Onset:
    """The scale at which the final scores of one test turn two-sided (`stats.two_sided_onset`).

    Cells at scales of 0 and below are left out.

    Args:
        frame: results.
        metric: a score.
        split, length: the test; may be left out where there is one only.

    Raises:
        ValueError: as `distances`, or if the positive scales of the cells are not all different.
    """
    _, scales, populations = _populations(frame, metric, split, length)
    first = sum(scale <= 0 for scale in scales)
    return two_sided_onset(scales[first:], populations[first:])


def _populations(
    frame: pl.DataFrame, metric: str, split: str | None, length: int | None
) -> tuple[list[str], list[float], list[NDArray[np.float64]]]:
    """Label, scale and scores of every cell, in order of scale."""
    scores = one_test(final_scores(frame, metric), metric, split, length)
    cells = scores.group_by("cell", "label", "scale", maintain_order=True).agg("value")
    values = [np.array(found, np.float64) for found in cells["value"].to_list()]
    return cells["label"].to_list(), cells["scale"].to_list(), values
