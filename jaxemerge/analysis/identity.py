"""Which rows of a foreign table are the same model, the same run and the same test?"""

from __future__ import annotations

from collections.abc import Set
from typing import Any

import polars as pl

from .columns import MODEL, SEED
from .results import RESULT, SCHEMA, STOPPED_AT

# What makes one cell another.
IDENTITY = (MODEL, "family", "depth", "width", "parameters")
_NOT_CELLS = (SEED, "has_seed", "flagged", MODEL, STOPPED_AT)


def with_tests(rows: pl.DataFrame) -> pl.DataFrame:
    """The tasks of one model are tests of it: each is a split."""
    several = rows["task"].drop_nulls().n_unique() > 1
    split = pl.col("split")
    if several:
        split = pl.concat_str("task", "split", separator=", ", ignore_nulls=True)
    return rows.with_columns(split=split.fill_null("test"), task=pl.col("task").fill_null("unnamed"))


def with_cells(rows: pl.DataFrame) -> pl.DataFrame:
    """A name for what is the same model, made of what varies."""
    kept = [c for c in rows.columns if c not in SCHEMA and c not in _NOT_CELLS]
    identity = [c for c in (*IDENTITY, *kept) if c in rows.columns]
    varying = {c for c in rows.columns if rows[c].n_unique() > 1}
    if _one_step_each(rows, varying):
        identity += [c for c in ("tokens", "flops") if c in varying]
    told = [c for c in identity if c in varying or c == MODEL]
    told = told or [c for c in identity if c != "family" and rows[c].count()]
    if not told:
        return rows.with_columns(cell=pl.lit("all runs"))
    # Named once each, as there may be millions of rows.
    cells = rows.select(told).unique(maintain_order=True)
    name = pl.concat_str(*(_piece(cells[c]) for c in told), separator=", ", ignore_nulls=True)
    named = cells.with_columns(
        cell=pl.when(name == "").then(pl.lit(f"no {' and no '.join(told)}")).otherwise(name)
    )
    found = rows.select(told).join(named, on=told, how="left", nulls_equal=True, maintain_order="left")
    return rows.with_columns(found["cell"])


def _one_step_each(rows: pl.DataFrame, varying: Set[str]) -> bool:
    """Whether every run was scored once: runs of other tokens or FLOPs are then other trainings."""
    if "step" not in varying or SEED not in rows.columns:
        return "step" not in varying
    within = (*RESULT, "tokens", "flops", "flagged", "has_seed", STOPPED_AT)
    run = [c for c in rows.columns if c in varying and c not in within]
    if not run:
        return False
    steps = rows.group_by(run).agg(several=pl.col("step").min() < pl.col("step").max())
    return not steps["several"].any()


def _piece(column: pl.Series) -> pl.Expr:
    """Name and value of one column, as briefly as keeps its values distinct."""
    name = "" if column.name == MODEL else column.name.replace("_", " ").strip() + " "
    values = column.drop_nulls().unique().to_list()
    texts = {v: f"{name}{text}" for v, text in zip(values, _brief(values), strict=True)}
    return pl.lit(column.replace_strict(texts, default=None, return_dtype=pl.String))


def _brief(values: list[Any]) -> list[str]:
    """Distinct values as distinct texts.

    Floats have three digits, or as many more as it takes; whole numbers below 1e12 have all of theirs.
    """
    if not values or not isinstance(values[0], float):
        return [str(v) for v in values]
    for digits in range(3, 18):
        texts = [
            f"{v:.12g}" if v == round(v, 0) and abs(v) < 1e12 else f"{v:.{digits}g}".replace("e+", "e")
            for v in values
        ]
        if len(set(texts)) == len(values):
            break
    return texts


def with_seeds(rows: pl.DataFrame) -> pl.DataFrame:
    """init_seed and data_seed: those given, or a number for every run.

    Raises:
        ValueError: several runs of a cell have no seed, and several steps or tests.
    """
    if SEED in rows.columns:
        data = pl.col("data_seed").fill_null(pl.col(SEED))
        return rows.with_columns(init_seed=pl.col(SEED).cast(pl.Int64), data_seed=data).drop(SEED, "has_seed")
    test = ["split", "length", "metric"]
    place = pl.int_range(pl.len()).over("cell", "step", *test)
    numbered = rows.with_columns(init_seed=place, data_seed=place).drop("has_seed")
    repeated = numbered["init_seed"].max() != 0
    if repeated and (rows["step"].n_unique() > 1 or rows.select(test).n_unique() > 1):
        raise ValueError(
            f"several runs of {numbered.filter(pl.col('init_seed') > 0)['cell'][0]}: name the column that "
            "tells them apart as seed"
        )
    return numbered
