"""How many components does each population have, and does the loss of the same seeds show them too?"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray

from jaxemerge.brief import brief
from jaxemerge.stats import Mixture, bimodality_coefficient, correlation, fit_mixture, holm
from jaxemerge.stats.estimates.arguments import check_at_least

from .distribution import BETWEEN, ONE, ZERO
from .ends import final, final_scores
from .results import cell_labels, one_test, rows_of

GROUP = ("cell", "label", "scale", "test", "split", "length")
LISTS = ("atoms", "atom_weights", "weights", "means", "modes", "antimodes")
FOUND: dict[str, Any] = {
    "family": pl.String,
    "components": pl.Int64,
    **dict.fromkeys(LISTS, pl.List(pl.Float64)),
    "two_sided": pl.Boolean,
    "bimodal": pl.Boolean,
    "cut": pl.Float64,
    **dict.fromkeys(("success", "success_low", "success_high"), pl.Float64),
    **dict.fromkeys(("p_one_component", "p_one_mode", "p_one_mode_inside"), pl.Float64),
    **dict.fromkeys(("p_adjusted", "coefficient"), pl.Float64),
    "converged": pl.Boolean,
}
LEVEL = 0.05  # of the tests of a single mode


@brief
class Mixtures(NamedTuple):
    """Mixtures fitted to every cell and test.

    Attributes:
        table: cell, label, scale, test, split, length, seeds, diverged (a count); from `stats.fit_mixture`
            family, components, atoms, atom_weights, weights, means, modes and antimodes (lists), converged;
            p_one_component (bootstrap p-value of one component against the next number), p_one_mode
            and p_one_mode_inside (`stats.unimodality_test` of all seeds, and of those off the atoms; null
            where there is nothing to test), p_adjusted (p_one_mode by Holm for all rows), two_sided and
            bimodal (as `stats.fit_mixture` says, with p-values by Holm), cut and success (P(success)
            without a threshold) with _low and _high, null where the fit has no valley; coefficient
            (`stats.bimodality_coefficient`). Undefined numbers are null.
        curves: cell, label, test, split, length, kind ("exactly 0", "between" or "exactly 1"), value,
            expected, cut: the shares of seeds expected under the fits. Exactly 0 and exactly 1 have a share
            each, of atoms and components together; values in between are those of histogram bins. The cut
            is null where the population is not two-sided.
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
    """Fits a mixture of components and atoms to the final scores of every cell and test.

    Every group is fitted with the same key, so that the fit of a cell does not depend on other cells; what is
    called two-sided does, because the tests of a single mode are corrected for their number. Without
    bootstraps a fit takes a fifth of a second for 250 seeds (200 bootstraps: 2 s).

    Args:
        frame: results; `final_scores` filtered to one test is enough.
        metric: a metric in [0, 1]. Where it has `trials` the components are beta-binomial.
        key: int or JAX key of the bootstraps.
        bootstraps: resamples of each fit; 0 leaves intervals and `p_one_component` null.
        bins: of width 1/bins, for the curves.

    Returns:
        Mixtures, in order of scale, split and length.

    Raises:
        ValueError: if `bins` < 1, columns or the metric are missing, or as `stats.fit_mixture`.
    """
    check_at_least(1, bins=bins)
    fits = list(_fits(frame, metric, key=key, bootstraps=bootstraps))
    rows = _corrected([{**group, **_columns(fit, values)} for group, values, _, fit in fits])
    curves = [
        _curve(group, fit, fit.cut if row["two_sided"] else float("nan"), trials, bins)
        for row, (group, _, trials, fit) in zip(rows, fits, strict=True)
    ]
    identity = final_scores(frame, metric).select(GROUP).schema
    schema = {**identity, "seeds": pl.Int64, "diverged": pl.Int64, **FOUND}
    table = pl.DataFrame(rows, schema=schema).fill_nan(None)
    return Mixtures(table, pl.concat(curves).fill_nan(None))


def _corrected(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The rows of several populations, their tests of a single mode corrected for the number of these."""
    adjusted, inside = (holm([row[name] for row in rows]) for name in ("p_one_mode", "p_one_mode_inside"))
    result = []
    for row, p_value, p_inside in zip(rows, adjusted, inside, strict=True):
        two_sided = row["two_sided"] and bool(p_value <= LEVEL)
        bimodal = two_sided and row["bimodal"] and bool(p_inside <= LEVEL)
        result.append({**row, "p_adjusted": float(p_value), "two_sided": two_sided, "bimodal": bimodal})
    return result


def _modes(fit: Mixture, values: NDArray[np.float64]) -> dict[str, Any]:
    """What is said of one population's modes; without p-values where its scores are equal, or too few."""
    tested = len(values) > 3 and np.ptp(np.nan_to_num(values)) > 0
    return {
        "two_sided": fit.two_sided,
        "bimodal": fit.bimodal,
        "p_one_mode": fit.p_one_mode if tested else float("nan"),
        "p_one_mode_inside": fit.p_one_mode_inside if tested else float("nan"),
    }


def _curve(
    group: dict[str, Any], fit: Mixture, cut: float, trials: NDArray[np.float64] | None, bins: int
) -> pl.DataFrame:
    value, expected = _expected(fit, trials, bins)
    kind = np.where(value <= 0, ZERO, np.where(value >= 1, ONE, BETWEEN))
    part = pl.DataFrame({"kind": kind, "value": value, "expected": expected})
    return part.select(
        *(pl.lit(group[name]).alias(name) for name in ("cell", "label", "test", "split")),
        pl.lit(group["length"], pl.Int32).alias("length"),
        pl.all(),
        cut=pl.lit(cut),
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


def _columns(fit: Mixture, values: NDArray[np.float64]) -> dict[str, Any]:
    lists = (fit.atoms, fit.atom_weights.value, fit.weights.value, fit.means.value, fit.modes, fit.antimodes)
    return {
        "family": fit.family,
        "components": len(fit.parameters),
        **{name: np.asarray(found, np.float64).tolist() for name, found in zip(LISTS, lists, strict=True)},
        **_modes(fit, values),
        "cut": fit.cut,
        "success": fit.success.value,
        "success_low": fit.success.interval.low,
        "success_high": fit.success.interval.high,
        "p_one_component": fit.p_values.get(1),
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


# A loss spread over more than this factor is binned in its logarithm.
LOG_SPAN = 10
SHAPES: dict[str, Any] = {
    **{"cell": pl.String, "label": pl.String, "scale": pl.Float64, "metric": pl.String},
    **{"seeds": pl.Int64, "diverged": pl.Int64, "components": pl.Int64},
    **{"two_sided": pl.Boolean, "bimodal": pl.Boolean},
    **dict.fromkeys(("p_one_mode", "p_one_mode_inside", "p_adjusted", "coefficient"), pl.Float64),
    **dict.fromkeys(("correlation", "correlation_p"), pl.Float64),
}


@brief
class LossComparison(NamedTuple):
    """The same analysis of the scores and of the losses of the same seeds.

    Attributes:
        table: cell, label, scale, metric, seeds, diverged, components, two_sided, bimodal, p_one_mode,
            p_one_mode_inside, p_adjusted (by Holm for all cells of a metric) and coefficient as in
            `Mixtures`, and on the rows of the loss correlation: Spearman's between the seeds' losses and
            scores, with its permutation p-value. Undefined numbers are null.
        bins: cell, label, metric, low, high, share: histograms, with equal bins for all cells of a metric.
    """

    table: pl.DataFrame
    bins: pl.DataFrame


def compare_with_loss(
    frame: pl.DataFrame,
    metric: str = "exact_match",
    loss: str = "train_loss",
    *,
    split: str | None = None,
    length: int | None = None,
    bins: int = 40,
    bootstraps: int = 0,
    key: Any = 0,
) -> LossComparison:
    """Compares the distribution of final scores on one test with that of the final losses of the same seeds.

    The loss is smooth in everything a seed learns. Several components in the score only may be an artefact of
    the metric; components in both are due to the training. The score is fitted as counts where it has
    `trials`, a loss by Gaussians. A diverged seed's score is 0; it has no loss, and is left out of the fit
    and the histogram of the loss (its share is missing there), but ranks last in the correlation.

    Args:
        frame: results with both metrics.
        metric: in [0, 1].
        loss: an unbounded metric, lower is better.
        split, length: the test of `metric`; may be left out where there is one only.
        bins: number of bins of each histogram.
        bootstraps: resamples of each fit.
        key: int or JAX key.

    Raises:
        ValueError: if `bins` < 1, a metric is missing, or the choice leaves no test or several.
    """
    check_at_least(1, bins=bins)
    scores = _ends(one_test(final(rows_of(frame, metric)), metric, split, length)).with_columns(
        pl.col("value").fill_null(0.0)
    )
    losses = _ends(one_test(final(rows_of(frame, loss)), loss, None, None))
    fitted = {"bootstraps": bootstraps, "key": key}
    of_scores, of_losses = [], []
    for row in cell_labels(frame).select("cell", "label", "scale").rows(named=True):
        of_cell = pl.col("cell") == row["cell"]
        seeds = scores.filter(of_cell).join(losses.filter(of_cell), on=("init_seed", "data_seed"), how="left")
        if seeds.is_empty():
            continue
        of_scores.append({**row, "metric": metric, **_shape(scores.filter(of_cell), **fitted)})
        of_losses.append(
            {**row, "metric": loss, **_shape(losses.filter(of_cell), **fitted), **_related(seeds, key)}
        )
    pairs = zip(_corrected(of_scores), _corrected(of_losses), strict=True)
    rows = [row for pair in pairs for row in pair]
    named = cell_labels(frame).select("cell", "label")
    counted = [
        _histogram(part.join(named, on="cell", maintain_order="left"), bins, proportion).with_columns(
            metric=pl.lit(name)
        )
        for name, part, proportion in ((metric, scores, True), (loss, losses, False))
    ]
    return LossComparison(pl.DataFrame(rows, schema=SHAPES).fill_nan(None), pl.concat(counted))


def _ends(rows: pl.DataFrame) -> pl.DataFrame:
    """cell, init_seed, data_seed, value, trials, in order of seed; a value that is not finite is null."""
    value = pl.col("value")
    return rows.select(
        *("cell", "init_seed", "data_seed", "trials", "diverged"),
        value=pl.when(value.is_finite() & ~pl.col("diverged")).then(value).otherwise(None),
    ).sort("cell", "init_seed", "data_seed")


def _shape(seeds: pl.DataFrame, **options: Any) -> dict[str, Any]:
    known = seeds.drop_nulls("value")
    found: dict[str, Any] = {"seeds": seeds.height, "diverged": int(seeds["diverged"].sum())}
    if known.is_empty():
        nothing = {"two_sided": None, "bimodal": None, "p_one_mode": np.nan, "p_one_mode_inside": np.nan}
        return found | nothing
    values = known["value"].to_numpy()
    trials = None if known["trials"].null_count() else known["trials"].to_numpy().astype(np.float64)
    family = "gaussian" if known["trials"].null_count() else "auto"
    fit = fit_mixture(values, trials, family=family, **options)
    return found | {
        "components": len(fit.parameters),
        **_modes(fit, values),
        "coefficient": float(bimodality_coefficient(values)),
    }


def _related(seeds: pl.DataFrame, key: Any) -> dict[str, Any]:
    """Spearman's correlation of score and loss over the seeds of a cell."""
    loss = seeds["value_right"].to_numpy().astype(np.float64)
    if np.isnan(loss).all():
        return {}
    worst = np.nanmax(loss) + 1.0
    both = np.column_stack([seeds["value"].to_numpy(), np.where(np.isnan(loss), worst, loss)])
    found = correlation(both, key=key)
    return {
        "correlation": float(np.asarray(found.value.value)[0, 1]),
        "correlation_p": float(found.p_value[0, 1]),
    }


def _histogram(seeds: pl.DataFrame, bins: int, proportion: bool) -> pl.DataFrame:
    """cell, label, low, high, share of the cell's seeds."""
    values = seeds["value"].drop_nulls().to_numpy()
    edges = _edges(values, bins, proportion)
    parts = []
    for (cell, label), group in seeds.group_by("cell", "label", maintain_order=True):
        counts, _ = np.histogram(group["value"].drop_nulls().to_numpy(), edges)
        part = pl.DataFrame({"low": edges[:-1], "high": edges[1:], "share": counts / group.height})
        parts.append(part.select(pl.lit(cell).alias("cell"), pl.lit(label).alias("label"), pl.all()))
    return pl.concat(parts).filter(pl.col("share") > 0)


def _edges(values: NDArray[np.float64], bins: int, proportion: bool) -> NDArray[np.float64]:
    if proportion or not len(values):
        return np.linspace(0.0, 1.0, bins + 1)
    low, high = float(values.min()), float(values.max())
    if low == high:
        low, high = low - 0.5, high + 0.5
    if low > 0 and high > LOG_SPAN * low:
        edges = np.geomspace(low, high, bins + 1)
    else:
        edges = np.linspace(low, high, bins + 1)
    edges[[0, -1]] = low, high  # rounding must not push the extremes out
    return edges
