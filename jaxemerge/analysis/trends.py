"""How does a value without bounds, such as a loss, fall with one measure of scale?"""

from __future__ import annotations

import warnings
from typing import Any, NamedTuple

import numpy as np
import polars as pl

from jaxemerge.brief import brief
from jaxemerge.stats import PowerLaw, fit_power_law
from jaxemerge.stats.laws.runs import common_power

from .distribution import final_values
from .groups import by_panel
from .laws import law_runs
from .results import scale_column

FEWEST = 5  # scales for a power law with an offset: one more than needed shows a misfit
BOOTSTRAPS = 200
PLACES = 81


@brief
class Trend(NamedTuple):
    """A power law of a loss in one measure of scale.

    Attributes:
        metric: the loss.
        column: "parameters", "tokens" or "flops" (6 N D), or the name of another scale.
        why: why it is a law of one measure only; empty for another scale.
        law: loss = E + coefficient (scale / centre)^-exponent.
        runs: as `law_runs` returns them; of another scale its column, loss and init_seed.
    """

    metric: str
    column: str
    why: str
    law: PowerLaw
    runs: pl.DataFrame

    def line(self) -> pl.DataFrame:
        """scale, value, low, high: the law between the smallest and the largest scale."""
        known = self.runs[self.column].to_numpy().astype(np.float64)
        places = np.geomspace(known.min(), known.max(), PLACES)
        found = self.law.predict(places)
        ends = {"value": found.value, "low": found.interval.low, "high": found.interval.high}
        return pl.DataFrame({"scale": places} | {n: np.asarray(v) for n, v in ends.items()}).fill_nan(None)


def one_scale(
    frame: pl.DataFrame, metric: str, *, bootstraps: int = BOOTSTRAPS, key: Any = 0
) -> Trend | None:
    """The power law of runs in which only one of N, D and C varies freely; None for other designs.

    Where tokens go as a power of the parameters, as in D = 20 N, the law is one of compute.

    Args:
        frame: results of one group, see `law_groups`.
        metric: a loss, positive.
        bootstraps: resamples behind the intervals.
        key: int or JAX key.
    """
    runs = law_runs(frame, metric)
    if runs.is_empty():
        return None
    column, why = _free(runs)
    if not column or runs[column].n_unique() < FEWEST:
        return None
    return Trend(metric, column, why, _fitted(runs, column, bootstraps, key), runs)


def _fitted(runs: pl.DataFrame, column: str, bootstraps: int, key: Any, offset: bool = True) -> PowerLaw:
    options = {"offset": offset, "bootstraps": bootstraps, "key": key}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return fit_power_law(runs[column].to_numpy(), runs["loss"].to_numpy(), **options)


def laws_of_scale(
    frame: pl.DataFrame, metric: str, *, bootstraps: int = BOOTSTRAPS, key: Any = 0
) -> dict[str, Trend]:
    """The power laws of a positive metric in whatever scale was varied, within each panel, on its first test.

    A metric that falls with scale has an irreducible part E; of one that rises E is 0.

    Args:
        frame: results.
        metric: any metric without bounds.
        bootstraps: resamples behind the intervals.
        key: int or JAX key.

    Returns:
        By the names of `panels`. Those with values of 0 and below, or fewer than five positive scales, are
        left out.

    Raises:
        ValueError: as `final_values`.
    """
    runs = final_values(frame, metric).runs
    if runs.is_empty():
        return {}
    column = scale_column(frame)
    first = runs.filter(pl.col("test") == runs["test"][0], pl.col("scale") > 0)
    found = {}
    for panel, rows in by_panel(first, frame).items():
        known = rows.select("init_seed", loss="value", **{column: "scale"})
        if known[column].n_unique() < FEWEST or not (known["loss"] > 0).all():
            continue
        falls = known.select(pl.corr(pl.col(column).log(), pl.col("loss").log())).item() < 0
        law = _fitted(known, column, bootstraps, key, offset=bool(falls))
        found[panel] = Trend(metric, column, "", law, known)
    return found


def _free(runs: pl.DataFrame) -> tuple[str, str]:
    """The one measure of scale that varies, and why it is the only one; empty for none."""
    N, D = (runs[name].to_numpy().astype(np.float64) for name in ("parameters", "tokens"))
    if np.ptp(D) == 0:
        return ("parameters", f"all runs have {D[0]:.3g} tokens") if np.ptp(N) > 0 else ("", "")
    if np.ptp(N) == 0:
        return "tokens", f"all runs have {N[0]:.3g} parameters"
    power = common_power(N, D)
    if power is None:
        return "", ""
    each = np.exp(np.mean(np.log(D / N)))
    ratio = f"D = {each:.3g} N" if abs(power - 1) < 0.02 else f"D goes as N to the power {power:.2g}"
    return "flops", f"{ratio} in all runs, so that the terms of N and D cannot be told apart"
