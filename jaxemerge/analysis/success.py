"""How does P(success) grow with scale on one test, and how the mean of the successes?"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import polars as pl

from jaxemerge.stats import (
    Estimate,
    StepTest,
    SuccessCurve,
    SuccessMean,
    fit_success_curve,
    fit_success_mean,
    isotonic_success,
    step_test,
)

from .final import final_scores
from .labels import scale_column
from .schema import one_test
from .summary import summarise

# Places at which a fitted line is drawn, evenly spaced in ln(scale).
PLACES = 121


class SuccessFit(NamedTuple):
    """What was fitted to the final scores of all cells on one test.

    Attributes:
        column: what scale is, as `scale_column` says.
        cells: rows of `summarise`, with the column isotonic: P(success) if it may not fall with scale.
        curve: logistic curve with a ceiling, from 0.
        step: test of a single step against a logistic curve, the lower level fitted in both.
        law: power law of the mean of the successes.
        depth_and_width: a curve in both with their interaction, where both vary; else None.
    """

    column: str
    cells: pl.DataFrame
    curve: SuccessCurve
    step: StepTest
    law: SuccessMean
    depth_and_width: SuccessCurve | None

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
        """fit, scale, value: P(success) as the curve, the best step and the rising shares have it."""
        known = self.cells["scale"].to_numpy()
        places = np.geomspace(known.min(), known.max(), PLACES)
        parts = {"logistic curve": (places, self.curve.probability(places))}
        middle = np.sqrt(self.step.step.low * self.step.step.high)
        if np.isfinite(middle):
            after = self.step.after
            parts["best step"] = (
                np.array([known.min(), middle, middle, known.max()]),
                np.array([self.step.before, self.step.before, after, after]),
            )
        rising = self.cells.unique("scale", maintain_order=True)
        parts["rising shares"] = (rising["scale"].to_numpy(), rising["isotonic"].to_numpy())
        drawn = [
            pl.DataFrame({"fit": [name] * len(x), "scale": x, "value": y}) for name, (x, y) in parts.items()
        ]
        return pl.concat(drawn).fill_nan(None)

    def means(self) -> pl.DataFrame:
        """scale, value: the mean of the successes as the power law has it; no row without a law."""
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

    Args:
        frame: results.
        metric: a metric in [0, 1].
        threshold: success is a score of at least this; in (0, 1].
        split, length: the test; may be left out where there is one only.
        resamples: behind the test of a step, and the intervals of rising shares and of the power law.
        key: int or JAX key.

    Raises:
        ValueError: if the choice leaves no test or several, a scale is not positive, all scales are one,
            or as `summarise`.
    """
    scores = one_test(final_scores(frame, metric), metric, split, length)
    scales = scores["scale"].to_numpy()
    if not np.all(scales > 0):
        raise ValueError(
            f"{scale_column(frame)}={scales.min():g}: a curve in ln(scale) needs positive scales"
        )
    if np.ptp(scales) == 0:
        raise ValueError(f"all cells have {scale_column(frame)}={scales[0]:g}: a curve needs two scales")
    drawn = scores.drop("label", "test", "rank", "scale")
    cells = summarise(drawn, metric, threshold, key=key)
    seeds = cells["seeds"].to_numpy()
    successes = np.round(cells["success"].to_numpy() * seeds)
    counted = (cells["scale"].to_numpy(), successes, seeds)
    rising = isotonic_success(*counted, resamples=resamples, key=key)
    populations = scores.group_by("cell", "scale", maintain_order=True).agg("value")
    isotonic = np.interp(counted[0], rising.scale, np.asarray(rising.success.value))
    return SuccessFit(
        column=scale_column(frame),
        cells=cells.with_columns(isotonic=pl.Series(isotonic)),
        curve=fit_success_curve(*counted),
        step=step_test(*counted, resamples=resamples, key=key),
        law=fit_success_mean(
            populations["scale"].to_numpy(),
            [np.array(values) for values in populations["value"].to_list()],
            threshold,
            resamples=resamples,
            key=key,
        ),
        depth_and_width=_joint(cells, successes),
    )


def _joint(cells: pl.DataFrame, successes: np.ndarray) -> SuccessCurve | None:
    """A curve in depth and width, where the cells vary both and not in step with each other."""
    if cells["depth"].null_count() or cells["width"].null_count():
        return None
    sizes = cells.select("depth", "width").to_numpy().astype(np.float64)
    logs = np.log(sizes)
    design = np.column_stack([np.ones(len(logs)), logs, logs.prod(axis=1)])
    if np.linalg.matrix_rank(design) < 4:
        return None
    return fit_success_curve(sizes, successes, cells["seeds"].to_numpy())


def _both(curve: SuccessCurve) -> list[tuple[str, Estimate]]:
    low, high = np.asarray(curve.slope.interval.low), np.asarray(curve.slope.interval.high)
    slopes = [
        (name, Estimate(float(np.asarray(curve.slope.value)[i]), type(curve.slope.interval)(low[i], high[i])))
        for i, name in enumerate(("depth", "width"))
    ]
    return [*slopes, ("interaction", curve.interaction)]
