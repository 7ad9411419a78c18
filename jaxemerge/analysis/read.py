"""Converts results of other programs into a frame of the results schema."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import polars as pl

from .results import MEMBER, SCHEMA, TYPES, is_loss, printable_names
from .sources import counts, file_rows, first_row, listed, names, numbers, ordinals

# Meanings of a column besides the schema's own names.
SCALE, SEED, MODEL = "scale", "seed", "model"
ROLES = (SCALE, SEED, MODEL, *(name for name in SCHEMA if name not in ("study", "cell", "init_seed")))
# Column names that mean the size of a model by default.
SIZES = ("params", "n_params", "num_params", "n_parameters", "num_parameters", "model_size")
# What makes one cell another.
IDENTITY = (MODEL, "family", "depth", "width", "parameters")
WHOLE = {"depth": 1, "width": 1, "parameters": 1, "step": 0, "tokens": 0, "length": 0, "trials": 1}
# A share given with three decimals is a count of its items if it is one to this.
ROUNDED = 5e-4


def read_results(
    source: str | Path | pl.DataFrame,
    columns: Mapping[str, str | int | Sequence[str]] | None = None,
    *,
    proportion: bool | None = None,
    study: str = "",
) -> pl.DataFrame:
    """Results of any origin as a frame of the results schema.

    Args:
        source: a file (.csv, .tsv, .parquet, .jsonl, .ndjson), a frame, or a `results_*.json` of
            lm-evaluation-harness or a folder of them (these need no `columns`).
        columns: what is meant -> the source's own name for it. A column that bears such a name needs no
            entry. What may be meant:

            * `value`: the scores; a list of columns where each metric has its own. The only one needed.
            * `scale`: what is varied, such as model size. A column called depth, width or parameters (or
              params, n_params, model_size, ...) fills that column of the schema; any other is kept under its
              own name, and is the scale as long as nothing else varies.
            * `parameters`, `tokens`, `flops`: the N, D and C of scaling laws.
            * `seed`: distinguishes runs of one cell; `data_seed` as well where the two differ. Without it,
            runs
              are numbered in order of their rows, which is possible for one metric on one test only.
            * `model`, `family`, `depth`, `width`: names and shape of the models.
            * `step`: of training; without it every row is a final result.
            * `task` (or `split`, `length`): the tests on which a model was scored.
            * `metric`: a column of names; without it the name of the column of values.
            * `trials`: items behind a proportion, a column or one whole number. Scores must then be in
              [0, 1], but for metrics with the name of a loss.
            * `diverged`: True for runs that failed.
            * any other name: a hyperparameter that was varied, kept under that name.
        proportion: True demands scores in [0, 1] also without `trials`.
        study: name of the results; by default that of the file.

    Returns:
        All columns of the schema, then those kept under their own names. Where the source says nothing:
        `step` is 0, `split` is "test" (or the task, where there are several), seeds are 0, `diverged` is
        False but for values that are NaN or infinite (runs that failed: their value is null), and depth,
        width, parameters, flops, tokens, length and trials are null. `cell` is made of what distinguishes
        models, and of `tokens` and `flops` too where there are no steps: such rows are trainings of different
        length. A test with a proportion that is not a count of its items, to three decimals, has no `trials`.

    Raises:
        ValueError: if a column is missing, an entry is not what it should be, a value lies outside [0, 1]
            where a proportion is expected, or a result is there twice. The message is one line that names
            the column, the entry and its row.
        OSError: if the file cannot be read.
    """
    whole = source if isinstance(source, pl.DataFrame) else file_rows(Path(source))
    name = study or ("results" if isinstance(source, pl.DataFrame) else Path(source).stem)
    if whole.is_empty():
        raise ValueError("the frame has no rows: there is nothing to read")
    given = _resolved(whole, dict(columns or {}), name)
    long = _one_value_column(whole, given)
    rows = _typed(long, given)
    rows = _with_tests(rows).with_columns(study=pl.lit(name))
    rows = _with_cells(rows)
    rows = _with_seeds(rows)
    _refuse_twice(rows)
    extra = [column for column in rows.columns if column not in SCHEMA]
    return printable_names(_whole_counts(_in_range(rows, proportion)).select(*SCHEMA, *extra))


def _resolved(whole: pl.DataFrame, given: dict[str, Any], where: str) -> dict[str, Any]:
    """Every meaning with the column that has it; all of them are there."""
    known = [*ROLES, "init_seed"]
    for meaning in known:
        if meaning not in given and meaning in whole.columns:
            given[meaning] = meaning
    if "init_seed" in given:
        given.setdefault(SEED, given.pop("init_seed"))
    for meaning, column in given.items():
        if meaning == "trials" and isinstance(column, int):
            continue
        for one in [column] if isinstance(column, str) else column:
            if one not in whole.columns:
                raise ValueError(f"{meaning}: {_no_column(whole, one, where)}")
    if "value" not in given:
        raise ValueError(f"value: {_no_column(whole, 'value', where)}; name the column of scores")
    if SCALE in given:
        column = given.pop(SCALE)
        given[_meaning_of_scale(column)] = column
    return given


def _meaning_of_scale(column: str) -> str:
    """The schema's column that a scale of this name is, or the name itself."""
    name = column.lower()
    return "parameters" if name in SIZES else name if name in ("depth", "width", "parameters") else column


def _no_column(whole: pl.DataFrame, name: str, where: str) -> str:
    near = difflib.get_close_matches(name.lower(), [c.lower() for c in whole.columns], n=3, cutoff=0.5)
    meant = [c for c in whole.columns if c.lower() in near]
    guess = f"; did you mean {' or '.join(meant)}?" if meant else ""
    return f"{where} has no column {name!r}{guess} (it has {listed(whole.columns)})"


def _one_value_column(whole: pl.DataFrame, given: dict[str, Any]) -> pl.DataFrame:
    """Rows with one value each: columns of several metrics one below the other."""
    value = given["value"]
    several = [value] if isinstance(value, str) else list(value)
    if "metric" in given or len(several) == 1:
        if len(several) > 1:
            raise ValueError(f"value: {listed(several)} with a column of metrics: give one or the other")
        given["value"] = several[0]
        return whole
    parts = [
        whole.drop(c for c in several if c != column)
        .rename({column: "value"})
        .with_columns(pl.lit(column).alias("metric"), numbers(whole[column], column).alias("value"))
        for column in several
    ]
    given |= {"value": "value", "metric": "metric"}
    return pl.concat(parts, how="vertical_relaxed")


def _typed(rows: pl.DataFrame, given: Mapping[str, Any]) -> pl.DataFrame:
    """One column per meaning, of the schema's types; what is not there is null or its default."""
    found = {meaning: _column(rows, meaning, column) for meaning, column in given.items()}
    if found["value"].null_count():
        row = first_row(found["value"].is_null())
        raise ValueError(f"{given['value']}: row {row} is empty; leave it out, or write nan for a failed run")
    frame = pl.DataFrame([series.alias(meaning) for meaning, series in found.items()])
    metric = given["value"] if isinstance(given["value"], str) else "value"
    defaults = {"metric": pl.lit(metric), "step": pl.lit(0), "diverged": pl.lit(False), "family": pl.lit("")}
    missing = {c: defaults.get(c, pl.lit(None)) for c in SCHEMA if c not in frame.columns}
    frame = frame.with_columns(**missing).with_columns(pl.col(c).cast(t) for c, t in TYPES.items())
    lost = pl.col("diverged") | ~pl.col("value").is_finite()
    losses = [name for name in frame["metric"].unique() if is_loss(name)]
    no_loss = pl.when(~pl.col("metric").is_in(losses)).then("trials")
    return frame.with_columns(
        diverged=lost, value=pl.when(~lost).then("value"), trials=no_loss, has_seed=pl.lit(SEED in given)
    )


def _column(rows: pl.DataFrame, meaning: str, column: Any) -> pl.Series:
    if meaning == "trials" and isinstance(column, int):
        return counts(pl.Series([column] * rows.height), "trials", 1)
    values = rows[column]
    if meaning in WHOLE:
        return counts(values, column, WHOLE[meaning])
    if meaning in (SEED, "data_seed"):
        return ordinals(values, column)
    if meaning in ("value", "flops"):
        return numbers(values, column)
    if meaning == "diverged":
        if values.dtype != pl.Boolean:
            raise ValueError(f"{column}: {values.dtype} must be true or false")
        return values.fill_null(False)
    if meaning in SCHEMA or meaning == MODEL:
        return names(values, column)
    try:
        return numbers(values, column)
    except ValueError:
        return names(values, column)


def _with_tests(rows: pl.DataFrame) -> pl.DataFrame:
    """The tasks of one model are tests of it: each is a split."""
    several = rows["task"].drop_nulls().n_unique() > 1
    split = pl.col("split")
    if several:
        split = pl.concat_str("task", "split", separator=", ", ignore_nulls=True)
    return rows.with_columns(split=split.fill_null("test"), task=pl.col("task").fill_null("unnamed"))


def _with_cells(rows: pl.DataFrame) -> pl.DataFrame:
    """A name for what is the same model, made of what varies."""
    kept = [c for c in rows.columns if c not in SCHEMA and c not in (SEED, "has_seed", MODEL)]
    identity = [c for c in (*IDENTITY, *kept) if c in rows.columns]
    if rows["step"].n_unique() == 1:
        identity += [c for c in ("tokens", "flops") if rows[c].n_unique() > 1]
    told = [c for c in identity if rows[c].n_unique() > 1 or c == MODEL]
    told = told or [c for c in identity if c != "family" and rows[c].count()]
    if not told:
        return rows.with_columns(cell=pl.lit("all runs"))
    cell = pl.concat_str(*(_piece(rows[c]) for c in told), separator=", ", ignore_nulls=True)
    return rows.with_columns(cell=pl.when(cell == "").then(pl.lit("all runs")).otherwise(cell))


def _piece(column: pl.Series) -> pl.Expr:
    """Name and value of one column, as briefly as keeps its values distinct."""
    name = "" if column.name == MODEL else column.name.replace("_", " ") + " "
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


def _with_seeds(rows: pl.DataFrame) -> pl.DataFrame:
    """init_seed and data_seed: those given, or a number for every run."""
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


def _refuse_twice(rows: pl.DataFrame) -> None:
    keys = [*MEMBER, "step", "split", "length", "metric"]
    twice = rows.filter(rows.select(keys).is_duplicated())
    if twice.is_empty():
        return
    row = twice.select(keys).row(0, named=True)
    first = listed(f"{k}={v}" for k, v in row.items() if v is not None)
    raise ValueError(f"{twice.height} rows are duplicates, the first with {first}")


def _in_range(rows: pl.DataFrame, proportion: bool | None) -> pl.DataFrame:
    due = pl.lit(bool(proportion)) | pl.col("trials").is_not_null()
    bad = rows.select(due & ~pl.col("value").is_between(0, 1)).to_series().fill_null(False)
    if bad.any():
        row = rows.row(first_row(bad) - 1, named=True)
        raise ValueError(
            f"{row['metric']}: {row['value']:g} ({row['cell']}) is outside [0, 1], where a share of items is "
            "expected; divide per cents by 100, and give no trials for other scores"
        )
    return rows


def _whole_counts(rows: pl.DataFrame) -> pl.DataFrame:
    """Scores k/n exactly, where they are counts; a test with other scores loses its `trials`."""
    right = (pl.col("value") * pl.col("trials")).round() / pl.col("trials")
    near = ((right - pl.col("value")).abs() <= ROUNDED).fill_null(True)
    counted = near.all().over("split", "length", "metric")
    return rows.with_columns(
        value=pl.when(counted & right.is_not_null()).then(right).otherwise("value"),
        trials=pl.when(counted).then("trials"),
    )
