"""Can emergence be made out of a smooth metric, by asking for all of k or for a threshold?"""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from jaxemerge.stats import emergence_score

from .final import final_scores
from .schema import one_test


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
