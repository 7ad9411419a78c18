"""Which columns does a table of results have? One row per seed, evaluation step, split and metric."""

from __future__ import annotations

import polars as pl

SCHEMA: dict[str, type[pl.DataType]] = {
    "study": pl.String,
    "cell": pl.String,
    "task": pl.String,
    "family": pl.String,
    "depth": pl.Int32,
    "width": pl.Int32,
    "parameters": pl.Int64,
    "flops": pl.Float64,
    "init_seed": pl.Int64,
    "data_seed": pl.Int64,
    "step": pl.Int64,
    "tokens": pl.Int64,
    "split": pl.String,
    "length": pl.Int32,
    "metric": pl.String,
    "value": pl.Float64,
    "trials": pl.Int32,
    "diverged": pl.Boolean,
}
# A further column where rules stop seeds: the step, null before it. Later rows repeat the last scores.
STOPPED_AT = "stopped_at"

# Names of columns that readers and tables of summaries add: a setting of this name gets another.
RESERVED = frozenset(
    {
        *("study", "cell", "flagged", "has_seed"),
        *("label", "scale", "rank", "panel", "test", "seeds", "runs"),
        *("mode", "mean", "success", "success_mean", "threshold"),
    }
)
