"""What is kept of single items? One row per seed and item, enough to score them anew without the model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from jaxemerge.runner.table import cell_columns
from jaxemerge.training import cost_of

if TYPE_CHECKING:
    from jaxtyping import Bool

    from jaxemerge.evaluation import Evaluated
    from jaxemerge.runner.spec import Experiment
    from jaxemerge.training import Seed


def items_table(
    experiment: Experiment,
    seeds: Sequence[Seed],
    step: int,
    diverged: Bool[np.ndarray, " S"],
    seen: Evaluated,
) -> pl.DataFrame:
    """Items of a population at one step, with the columns that name a row of results.

    Further columns are those of ``jaxemerge.evaluation.Items``, an item's place in its set (``item``), and
    what guessing gets (``vocabulary``, ``chance``). ``jaxemerge.analysis.rescore`` reads them.

    Args:
        experiment: the cell.
        seeds: the S members.
        step: updates made before.
        diverged: which of them have failed.
        seen: their items.
    """
    n_seeds, n_items = seen.items.exact.shape
    pairs = np.repeat(np.asarray(seeds, np.int64), n_items, axis=0)
    of_item = {"split": seen.split, "length": seen.length, "item": seen.number, "answers": seen.items.answers}
    kept = {name: getattr(seen.items, name) for name in ("exact", "right", "nll", "brier", "edits")}
    lists = {name: getattr(seen.items, name) for name in ("choices", "log_probabilities")}
    frame = pl.DataFrame(
        {
            "init_seed": pairs[:, 0],
            "data_seed": pairs[:, 1],
            **{name: np.tile(values, n_seeds) for name, values in of_item.items()},
            **{name: values.ravel() for name, values in kept.items() if values is not None},
            "diverged": np.repeat(diverged, n_items),
        }
    )
    named = {
        **cell_columns(experiment),
        "step": step,
        "tokens": step * experiment.batch * experiment.context,
        "flops": step * cost_of(experiment).flops,
        "vocabulary": seen.vocabulary,
        "chance": seen.chance,
    }
    return frame.with_columns(
        *(pl.lit(value).alias(name) for name, value in named.items()),
        *(
            pl.Series(name, values.reshape(n_seeds * n_items, -1).tolist(), pl.List(pl.Float32))
            for name, values in lists.items()
            if values is not None
        ),
        length=pl.col("length").replace(-1, None),
    )
