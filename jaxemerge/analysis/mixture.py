"""Of how many lumps is every population made, and how likely is success without a threshold?"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray

from jaxemerge.stats import Mixture, bimodality_coefficient, dip_test, fit_mixture

from .final import final_scores
from .histogram import BETWEEN, ONE, ZERO

GROUP = ("cell", "label", "scale", "test", "split", "length")
LISTS = ("atoms", "atom_weights", "weights", "means", "modes", "antimodes")
FOUND: dict[str, Any] = {
    "family": pl.String,
    "components": pl.Int64,
    **dict.fromkeys(LISTS, pl.List(pl.Float64)),
    "bimodal": pl.Boolean,
    "two_sided": pl.Boolean,
    "cut": pl.Float64,
    **dict.fromkeys(("success", "success_low", "success_high"), pl.Float64),
    **dict.fromkeys(("p_one", "dip_p", "coefficient"), pl.Float64),
    "converged": pl.Boolean,
}


class Mixtures(NamedTuple):
    """The fits of all cells and tests.

    Attributes:
        table: cell, label, scale, test, split, length, seeds, diverged (a count); from `stats.fit_mixture`
            family, components, atoms, atom_weights, weights, means, modes and antimodes (lists), bimodal,
            two_sided, cut, success (P(success) without a threshold) with _low and _high, converged; p_one
            (bootstrap p-value of one lump against the next number), dip_p (`stats.dip_test`), coefficient
            (`stats.bimodality_coefficient`). Undefined numbers are null.
        curves: cell, label, test, split, length, kind ("exactly 0", "between" or "exactly 1"), value,
            expected, cut: the shares of seeds that the fits expect. Exactly 0 and exactly 1 have a share
            each, atoms and the ends of the lumps together; in between it is what a bin of a histogram would
            hold.
    """

    table: pl.DataFrame
    curves: pl.DataFrame


def mixtures(
    frame: pl.DataFrame,
    metric: str = "exact_match",
    *,
    key: Any = 0,
    bootstraps: int = 0,
    bins: int = 20,
) -> Mixtures:
    """The mixture of lumps and atoms behind the final scores of every cell and test.

    Every group is fitted with the same key: a cell's numbers do not depend on the cells beside it. Without
    bootstraps a fit takes about a tenth of a second for 250 seeds (200 bootstraps: 2 s), but `bimodal` then
    rests on BIC, the valley and the dip alone.

    Args:
        frame: results; `final_scores` filtered to one test is enough.
        metric: a metric in [0, 1]. Where it has `trials` the lumps are beta-binomial.
        key: int or JAX key of the bootstraps.
        bootstraps: resamples of each fit; 0 leaves intervals and `p_one` null.
        bins: of width 1/bins, for the curves.

    Returns:
        Mixtures, in order of scale, split and length.

    Raises:
        ValueError: if `bins` < 1, columns or the metric are missing, or as `stats.fit_mixture`.
    """
    if bins < 1:
        raise ValueError(f"bins={bins} must be at least 1")
    rows, curves = [], []
    for group, values, trials, fit in _fits(frame, metric, key=key, bootstraps=bootstraps):
        rows.append({**group, **_columns(fit, values, trials)})
        curves.append(_curve(group, fit, trials, bins))
    identity = final_scores(frame, metric).select(GROUP).schema
    schema = {**identity, "seeds": pl.Int64, "diverged": pl.Int64, **FOUND}
    table = pl.DataFrame(rows, schema=schema).fill_nan(None)
    return Mixtures(table, pl.concat(curves).fill_nan(None))


def _curve(
    group: dict[str, Any], fit: Mixture, trials: NDArray[np.float64] | None, bins: int
) -> pl.DataFrame:
    value, expected = _expected(fit, trials, bins)
    kind = np.where(value <= 0, ZERO, np.where(value >= 1, ONE, BETWEEN))
    part = pl.DataFrame({"kind": kind, "value": value, "expected": expected})
    return part.select(
        *(pl.lit(group[name]).alias(name) for name in ("cell", "label", "test", "split")),
        pl.lit(group["length"], pl.Int32).alias("length"),
        pl.all(),
        cut=pl.lit(fit.cut),
    )


def _fits(
    frame: pl.DataFrame, metric: str, **options: Any
) -> Iterator[tuple[dict[str, Any], NDArray[np.float64], NDArray[np.float64] | None, Mixture]]:
    """Each group with its scores, the trials behind them (None if any lacks them) and the fit to them."""
    groups = (
        final_scores(frame, metric)
        .group_by(*GROUP, maintain_order=True)
        .agg("value", "trials", pl.len().alias("seeds"), pl.col("diverged").sum())
    )
    for row in groups.iter_rows(named=True):
        values, counts = np.array(row.pop("value"), np.float64), row.pop("trials")
        trials = None if None in counts else np.array(counts, np.float64)
        yield row, values, trials, fit_mixture(values, trials, **options)


def _columns(fit: Mixture, values: NDArray[np.float64], trials: NDArray[np.float64] | None) -> dict[str, Any]:
    lists = (fit.atoms, fit.atom_weights.value, fit.weights.value, fit.means.value, fit.modes, fit.antimodes)
    return {
        "family": fit.family,
        "components": len(fit.parameters),
        **{name: np.asarray(found, np.float64).tolist() for name, found in zip(LISTS, lists, strict=True)},
        "bimodal": fit.bimodal,
        "two_sided": fit.two_sided,
        "cut": fit.cut,
        "success": fit.success.value,
        "success_low": fit.success.interval.low,
        "success_high": fit.success.interval.high,
        "p_one": fit.p_values.get(1),
        "dip_p": dip_test(values, trials).p_value,
        "coefficient": float(bimodality_coefficient(values)),
        "converged": fit.converged,
    }


def _expected(
    fit: Mixture, trials: NDArray[np.float64] | None, bins: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Scores and the shares expected there."""
    if trials is not None and fit.family == "beta_binomial":
        n = int(trials.min())
        right = np.arange(n + 1)
        pmf = fit.pmf(right, n)
        inside = (right > 0) & (right < n)
        return right / n, pmf * np.where(inside, n / bins, 1.0)
    value = np.linspace(0, 1, 203)
    inner = fit.density(value[1:-1]) / bins
    mass = dict(zip(fit.atoms, np.atleast_1d(fit.atom_weights.value), strict=True))
    return value, np.concatenate([[mass.get(0.0, 0.0)], inner, [mass.get(1.0, 0.0)]])
