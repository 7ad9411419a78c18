"""Tables that trackers and samplers write: which of their columns are steps, runs and metrics?"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl

from jaxemerge.stats import pass_at_k

from .entries import counts, numbers
from .harness import SEED_IN_NAME, STEP_IN_REVISION, size_in_name

# W&B: "Group: wide - eval/loss", or "run-7 - loss"; "__MIN" and "__MAX" are the range of a group.
WANDB = re.compile(r"(?:Group: )?(?P<run>.+) - (?P<metric>[^-]+?)")
RANGE = ("__MIN", "__MAX")
TENSORBOARD = ("Wall time", "Step", "Value")
# The state of a trainer of Hugging Face, and metrics.csv of Lightning.
TRAINER = {"step", "epoch"}
# Of these: no scores.
NO_METRICS = ("epoch", "step", "learning_rate", "grad_norm", "seed", "file")
NO_METRICS_END = ("_runtime", "_per_second", "_flos")

# Columns of the problems of a test that is sampled, and the numbers of answers of pass@k.
PROBLEMS = ("task_id", "problem", "problem_id")
K = (1, 10, 100)
# Columns of files of samples that are no settings.
ANSWERS = ("completion", "result", "passed", "n", "c")


def from_names(
    rows: pl.DataFrame, given: Mapping[str, Any], kept: Sequence[str]
) -> tuple[pl.DataFrame, tuple[str, ...]]:
    """Seeds and sizes in the names of models, and steps in revisions, as for files of the harness.

    ``pythia-70m-seed3`` is seed 3 of pythia-70m and ``step1000`` a step, where no column has seeds or steps.

    Args:
        rows: the table.
        given: what is meant by its columns.
        kept: columns that stay as they are.

    Returns:
        The rows, and what was decided, a sentence each.
    """
    notes = []
    known = {*rows.columns, *given} - set(kept)
    column = given.get("model", "model")
    named = column in rows.columns and column not in kept and rows[column].dtype == pl.String
    if named and known.isdisjoint(("seed", "init_seed")):
        names = rows[column]
        if names.str.contains(f"(?i){SEED_IN_NAME.pattern}").any():
            each = names.drop_nulls().unique()
            models = {name: SEED_IN_NAME.sub("", name) for name in each}
            seeds = {name: int(found[1]) if (found := SEED_IN_NAME.search(name)) else 0 for name in each}
            sizes = {name: size_in_name(model) for name, model in models.items()}
            rows = rows.with_columns(names.replace_strict(models), names.replace_strict(seeds).alias("seed"))
            notes.append(f"seeds are taken from the names in {column}")
            if None not in sizes.values() and known.isdisjoint(("parameters", "scale")):
                rows = rows.with_columns(parameters=names.replace_strict(sizes))
    if "revision" in known and "step" not in known and rows["revision"].dtype == pl.String:
        steps = rows["revision"].str.extract(f"(?i)^{STEP_IN_REVISION.pattern}$").cast(pl.Int64)
        if not steps.null_count():
            rows = rows.with_columns(step=steps).drop("revision")
            notes.append("steps are taken from revision")
    return rows, tuple(notes)


def tracked(rows: pl.DataFrame) -> pl.DataFrame:
    """Rows of trackers and of human-eval as value, metric, step, ...; others as they are.

    Raises:
        ValueError: counts of passes are none.
    """
    if "value" not in rows.columns and any(problem in rows.columns for problem in PROBLEMS):
        if "passed" in rows.columns:
            return _passes(_counted(rows))
        if {"n", "c"} <= set(rows.columns):
            return _passes(rows)
    if set(TENSORBOARD) <= set(rows.columns):
        return rows.drop("Wall time").rename({"Step": "step", "Value": "value"})
    if "Step" in rows.columns and any(WANDB.fullmatch(name) for name in rows.columns):
        return _wandb(rows)
    if set(rows.columns) >= TRAINER and "value" not in rows.columns:
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
        if kind.is_numeric() and not (name in NO_METRICS or name.endswith(NO_METRICS_END) or name[:2] == "lr")
    ]
    kept = [name for name in ("step", "seed", "file") if name in rows.columns]
    return rows.unpivot(metrics, index=kept, variable_name="metric", value_name="value").drop_nulls("value")


def _counted(rows: pl.DataFrame) -> pl.DataFrame:
    """Samples with whether they passed, as their numbers n and c per problem."""
    passed = numbers(
        rows["passed"].cast(pl.Int8) if rows["passed"].dtype == pl.Boolean else rows["passed"], "passed"
    )
    keys = _of_problems(rows)
    ones = rows.select(*keys, passed.alias("passed"))
    return ones.group_by(keys, maintain_order=True).agg(n=pl.len(), c=pl.col("passed").sum())


def _of_problems(rows: pl.DataFrame) -> list[str]:
    """The problem, and the runs whose samples they are."""
    runs = ("seed", "model", "file", "step", "temperature")
    return [name for name in (*PROBLEMS, *runs) if name in rows.columns]


def _passes(rows: pl.DataFrame) -> pl.DataFrame:
    """Mean pass@k over the problems of every run, for each k that the numbers of samples allow."""
    runs = [name for name in rows.columns if name not in (*PROBLEMS, *ANSWERS)]
    whole = rows.with_columns(counts(rows["n"], "n", 1), counts(rows["c"], "c"))
    groups = whole.group_by(runs, maintain_order=True) if runs else [((), whole)]
    found = []
    for names, group in groups:
        n, c = group["n"].to_numpy(), group["c"].to_numpy()
        for k in (k for k in K if k <= n.min()):
            value = float(pass_at_k(n, c, k).mean.value)
            found.append({**dict(zip(runs, names, strict=True)), "metric": f"pass@{k}", "value": value})
    return pl.DataFrame(found, infer_schema_length=None)
