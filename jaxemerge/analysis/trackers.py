"""Tables that trackers write: which of their columns are steps, runs and metrics?"""

from __future__ import annotations

import re

import polars as pl

from .harness import SEED_IN_NAME

# W&B: "Group: wide - eval/loss", or "run-7 - loss"; "__MIN" and "__MAX" are the range of a group.
WANDB = re.compile(r"(?:Group: )?(?P<run>.+) - (?P<metric>[^-]+?)")
RANGE = ("__MIN", "__MAX")
TENSORBOARD = ("Wall time", "Step", "Value")
TRAINER = ({"step", "epoch", "eval_loss"}, {"step", "epoch", "loss", "learning_rate"})
# Of the state of a trainer of Hugging Face, and of Lightning: no scores.
NO_METRICS = ("epoch", "step", "learning_rate", "grad_norm", "seed", "file")
NO_METRICS_END = ("_runtime", "_per_second", "_flos")


def tracked(rows: pl.DataFrame) -> pl.DataFrame:
    """Rows of W&B, TensorBoard and Hugging Face as step, value, metric, model; others as they are."""
    if set(TENSORBOARD) <= set(rows.columns):
        return rows.drop("Wall time").rename({"Step": "step", "Value": "value"})
    if "Step" in rows.columns and any(WANDB.fullmatch(name) for name in rows.columns):
        return _wandb(rows)
    if any(names <= set(rows.columns) for names in TRAINER):
        return _trainer(rows)
    return rows


def _wandb(rows: pl.DataFrame) -> pl.DataFrame:
    parts = []
    kept = [name for name in ("seed", "file") if name in rows.columns]
    for name in rows.columns:
        found = WANDB.fullmatch(name)
        if found is None or name.endswith(RANGE):
            continue
        seed = SEED_IN_NAME.search(found["run"])
        columns = {"model": pl.lit(SEED_IN_NAME.sub("", found["run"])), "metric": pl.lit(found["metric"])}
        if "seed" not in kept:
            columns["seed"] = pl.lit(int(seed[1]) if seed else 0)
        part = rows.select(*kept, step="Step", value=name).with_columns(**columns)
        parts.append(part.drop_nulls("value"))
    return pl.concat(parts, how="diagonal_relaxed")


def _trainer(rows: pl.DataFrame) -> pl.DataFrame:
    """One row per step and metric: the trainer logs its losses and its evaluations in rows of their own."""
    metrics = [
        name
        for name, kind in rows.schema.items()
        if kind.is_numeric() and name not in NO_METRICS and not name.endswith(NO_METRICS_END)
    ]
    kept = [name for name in ("step", "seed", "file") if name in rows.columns]
    return rows.unpivot(metrics, index=kept, variable_name="metric", value_name="value").drop_nulls("value")
