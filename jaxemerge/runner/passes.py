"""What is kept of sampling until answers pass? One row per seed and item, and a mean rate per seed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from jaxemerge.runner.table import SCHEMA, cell_columns
from jaxemerge.training import cost_of

if TYPE_CHECKING:
    from jaxtyping import Bool

    from jaxemerge.evaluation import Passed
    from jaxemerge.runner.spec import Experiment
    from jaxemerge.training import Seed

METRIC = "pass_rate"


def passes_table(
    experiment: Experiment, seeds: Sequence[Seed], step: int, diverged: Bool[np.ndarray, " S"], seen: Passed
) -> pl.DataFrame:
    """Counts of a population at one step, with the columns that name a row of results.

    Further columns: an item's place in its set (``item``), ``passes``, ``samples``, ``censored`` (the cap was
    reached before the r-th pass) and ``r``, as ``jaxemerge.stats.pass_rate`` takes them, and of the item's
    reference the scored tokens (``answers``) and their negative log-likelihood in nats (``nll``).

    Args:
        experiment: the cell.
        seeds: the S members.
        step: updates made before.
        diverged: which of them have failed.
        seen: their counts.
    """
    n_seeds, n_items = seen.counts.passes.shape
    pairs = np.repeat(np.asarray(seeds, np.int64), n_items, axis=0)
    named = {
        **cell_columns(experiment),
        "step": step,
        "tokens": step * experiment.batch * experiment.context,
        "flops": step * cost_of(experiment).flops,
        "r": seen.counts.r,
    }
    of_item = {"split": seen.split, "length": seen.length, "item": seen.number, "answers": seen.answers}
    counted = {name: getattr(seen.counts, name) for name in ("passes", "samples", "censored")}
    return pl.DataFrame(
        {
            "init_seed": pairs[:, 0],
            "data_seed": pairs[:, 1],
            **{name: np.tile(values, n_seeds) for name, values in of_item.items()},
            **{name: values.ravel() for name, values in counted.items()},
            "nll": seen.nll.astype(np.float64).ravel(),
            "diverged": np.repeat(diverged, n_items),
        }
    ).with_columns(
        *(pl.lit(value).alias(name) for name, value in named.items()),
        length=pl.col("length").replace(-1, None),
    )


def rate_rows(passes: pl.DataFrame, extra: Mapping[str, Any] | None = None) -> pl.DataFrame:
    """Rows of results: for every seed and set the mean over its items of the unbiased rate.

    That is (r - 1) / (K - 1) where K samples gave the r-th pass, and m / K with m passes of K at the cap.

    Args:
        passes: what ``passes_table`` returns.
        extra: further columns, for example a swept learning rate.
    """
    less = pl.when("censored").then(0).otherwise(1)
    rate = ((pl.col("passes") - less) / (pl.col("samples") - less)).mean()
    named = [name for name in SCHEMA if name not in ("metric", "value", "trials")]
    rows = passes.group_by(named, maintain_order=True).agg(value=rate)
    return rows.with_columns(
        *(pl.lit(value).alias(name) for name, value in (extra or {}).items()),
        metric=pl.lit(METRIC),
        trials=pl.lit(None),
    ).select(*(pl.col(n).cast(t) for n, t in SCHEMA.items()), *(extra or {}))
