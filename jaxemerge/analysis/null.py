"""Are the scores two-sided where the training loss of the same seeds is not?"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray

from jaxemerge.stats import bimodality_coefficient, correlation, dip_test, fit_mixture

from .final import final
from .labels import cell_labels
from .schema import one_test, rows_of

# A loss spread over more than this factor is binned in its logarithm.
LOG_SPAN = 10
COLUMNS: dict[str, Any] = {
    **{"cell": pl.String, "label": pl.String, "scale": pl.Float64, "metric": pl.String},
    **{"seeds": pl.Int64, "diverged": pl.Int64, "components": pl.Int64},
    **{"bimodal": pl.Boolean, "two_sided": pl.Boolean},
    **dict.fromkeys(("dip_p", "coefficient", "correlation", "correlation_p"), pl.Float64),
}


class SideBySide(NamedTuple):
    """One machinery on the scores and on the losses of the same seeds.

    Attributes:
        table: cell, label, scale, metric, seeds, diverged, components, bimodal, two_sided (of
            `stats.fit_mixture`), dip_p, coefficient, and on the rows of the loss correlation: Spearman's
            between the seeds' losses and scores, with its permutation p-value. Undefined numbers are null.
        bins: cell, label, metric, low, high, share: histograms, with equal bins for all cells of a metric.
    """

    table: pl.DataFrame
    bins: pl.DataFrame


def side_by_side(
    frame: pl.DataFrame,
    metric: str = "exact_match",
    null: str = "train_loss",
    *,
    split: str | None = None,
    length: int | None = None,
    bins: int = 40,
    bootstraps: int = 0,
    key: Any = 0,
) -> SideBySide:
    """The shape of the final scores on one test beside the shape of the final losses.

    Loss is the null: it is smooth in everything a seed learns, so that lumps of seeds in the score alone may
    be the metric's doing, while lumps in both are the training's. The score is fitted as counts where it has
    `trials`, a loss by Gaussians. A diverged seed's score is 0; it has no loss, and is left out of the fit
    and the histogram of the loss (its share is missing there), but ranks last in the correlation.

    Args:
        frame: results with both metrics.
        metric: in [0, 1].
        null: an unbounded metric, small where the model is good.
        split, length: the test of `metric`; may be left out where there is one only.
        bins: number of bins of each histogram.
        bootstraps: resamples of each fit; without, `bimodal` rests on BIC, the valley and the dip alone.
        key: int or JAX key.

    Raises:
        ValueError: if `bins` < 1, a metric is missing, or the choice leaves no test or several.
    """
    if bins < 1:
        raise ValueError(f"bins={bins} must be at least 1")
    scores = _ends(one_test(final(rows_of(frame, metric)), metric, split, length)).with_columns(
        pl.col("value").fill_null(0.0)
    )
    losses = _ends(one_test(final(rows_of(frame, null)), null, None, None))
    fitted = {"bootstraps": bootstraps, "key": key}
    rows = []
    for row in cell_labels(frame).select("cell", "label", "scale").rows(named=True):
        of_cell = pl.col("cell") == row["cell"]
        seeds = scores.filter(of_cell).join(losses.filter(of_cell), on=("init_seed", "data_seed"), how="left")
        if seeds.is_empty():
            continue
        rows.append({**row, "metric": metric, **_shape(scores.filter(of_cell), **fitted)})
        rows.append(
            {**row, "metric": null, **_shape(losses.filter(of_cell), **fitted), **_related(seeds, key)}
        )
    named = cell_labels(frame).select("cell", "label")
    counted = [
        _histogram(part.join(named, on="cell", maintain_order="left"), bins, proportion).with_columns(
            metric=pl.lit(name)
        )
        for name, part, proportion in ((metric, scores, True), (null, losses, False))
    ]
    return SideBySide(pl.DataFrame(rows, schema=COLUMNS).fill_nan(None), pl.concat(counted))


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
        return found
    values = known["value"].to_numpy()
    trials = None if known["trials"].null_count() else known["trials"].to_numpy().astype(np.float64)
    family = "gaussian" if known["trials"].null_count() else "auto"
    fit = fit_mixture(values, trials, family=family, **options)
    return found | {
        "components": len(fit.parameters),
        "bimodal": fit.bimodal,
        "two_sided": fit.two_sided,
        "dip_p": dip_test(values, trials).p_value,
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
