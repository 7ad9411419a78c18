"""Converts results of other programs into a frame of the results schema."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import polars as pl

from .columns import MODEL, SEED, Plan, planned, refuse_repeated, telling_apart
from .ends import COUNTED_AS, counted_as, failures, with_divergence
from .entries import counts, first_row, listed, names, numbers, ordinals
from .identity import with_cells, with_seeds, with_tests
from .kinds import is_loss
from .results import MEMBER, SCHEMA, STOPPED_AT, TYPES, printable_names
from .sources import flat, source_rows
from .trackers import from_names, tracked

WHOLE = {
    "depth": 0,
    "width": 1,
    "parameters": 1,
    "step": 0,
    "tokens": 0,
    "length": 0,
    "trials": 1,
    STOPPED_AT: 0,
}
# A share given with three decimals is a count of its items if it is one to this.
ROUNDED = 5e-4


def read_results(
    source: Any,
    columns: Mapping[str, str | int | Sequence[str]] | None = None,
    *,
    by: Sequence[str] = (),
    ignore: Sequence[str] = (),
    wide: str | None = None,
    seed_from_name: str | None = None,
    proportion: bool | None = None,
    unfinished: str = "omitted",
    study: str = "",
) -> pl.DataFrame:
    """Results of any origin as a frame of the results schema.

    Args:
        source: a file (.csv, .tsv, .parquet, .json, .jsonl, .ndjson, or one of these with .gz), several files
            or a folder of them; or a frame of Polars, pandas or Arrow. Results of lm-evaluation-harness,
            tables of TensorBoard and W&B, the state of a trainer of Hugging Face, metrics.csv of Lightning,
            and samples of human-eval need no `columns`.
        columns: what is meant -> the source's own name for it. A column that bears such a name needs no
            entry. What may be meant:

            * `value`: the scores; a list of columns where each metric has its own. The only one needed.
            * `scale`: what is varied, such as model size. A column called depth, width or parameters (or
              params, n_params, model_size, ...) fills that column of the schema; any other is kept under its
              own name, and is the scale as long as nothing else varies.
            * `parameters`, `tokens`, `flops`: the N, D and C of scaling laws.
            * `seed`: distinguishes runs of one cell; `data_seed` as well where the two differ. Without it,
              runs are numbered in order of their rows, which is possible for one metric on one test only.
            * `model`, `family`, `depth`, `width`: names and shape of the models.
            * `step`: of training; without it every row is a final result.
            * `task` (or `split`, `length`): the tests on which a model was scored.
            * `metric`: a column of names; without it the name of the column of values.
            * `trials`: items behind a proportion, a column or one whole number. Scores must then be in
              [0, 1], but for metrics with the name of a loss.
            * `diverged`: True for runs that failed.
            * any other name: a hyperparameter that was varied, kept under that name.

            A column of text that is not named is a setting if it has one value for several runs: what differs
            is not pooled. Numbers that runs of every cell share must be named. Without columns of seeds and
            steps those in names such as pythia-70m-seed3 and step1000 count. Fields of records are columns
            such as config.lr.
        by: columns of settings that were varied besides the scale.
        ignore: columns that mean nothing.
        wide: columns with the scores of one seed each, as a pattern: "seed_*".
        seed_from_name: regular expression whose group is the seed in a file's name.
        proportion: True demands scores in [0, 1] also without `trials`.
        unfinished: how runs that end before the others of their cell are counted: "omitted" from final scores
            (learning curves have them), "failed", or "last" for their last scores.
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
    return reading(
        source,
        columns,
        by=by,
        ignore=ignore,
        wide=wide,
        seed_from_name=seed_from_name,
        proportion=proportion,
        unfinished=unfinished,
        study=study,
    ).rows


class Reading(NamedTuple):
    """What was read.

    Attributes:
        rows: of the results schema.
        notes: what was decided without being asked, a sentence each.
    """

    rows: pl.DataFrame
    notes: tuple[str, ...]


def reading(
    source: Any,
    columns: Mapping[str, str | int | Sequence[str]] | None = None,
    *,
    by: Sequence[str] = (),
    ignore: Sequence[str] = (),
    wide: str | None = None,
    seed_from_name: str | None = None,
    proportion: bool | None = None,
    unfinished: str = "omitted",
    study: str = "",
) -> Reading:
    """`read_results`, with notes on what the table does not say itself.

    Raises:
        ValueError: as `read_results`.
        OSError: if a file cannot be read.
    """
    if unfinished not in COUNTED_AS:
        raise ValueError(f"unfinished={unfinished!r} must be one of {', '.join(map(repr, COUNTED_AS))}")
    whole, name = table_of(source, seed_from_name)
    if whole.is_empty():
        raise ValueError("the frame has no rows: there is nothing to read")
    named = dict(columns or {})
    whole = whole if "value" in named else tracked(whole)
    if wide is not None:
        whole, named = _long(whole, wide, named, ignore)
    whole, told = from_names(whole, named, (*by, *ignore))
    plan = planned(whole, named, by, ignore, study or name)
    long, given, empty = _one_value_column(whole, dict(plan.given))
    rows = _typed(long, given)
    rows = with_tests(rows).with_columns(study=pl.lit(study or name))
    rows = with_divergence(with_seeds(with_cells(rows)))
    _refuse_twice(rows, long, plan)
    refuse_repeated(long, given, plan.unused)
    extra = [column for column in rows.columns if column not in SCHEMA]
    rows = printable_names(_whole_counts(_in_range(rows, proportion)).select(*SCHEMA, *extra))
    failed = failures(rows)
    rows = counted_as(rows, unfinished)
    return Reading(rows, (*told, *plan.notes, *empty, *failed))


def table_of(source: Any, seed_from_name: str | None) -> tuple[pl.DataFrame, str]:
    """The rows of any source, and a name for it.

    Raises:
        ValueError: the source is no table, or as `source_rows`.
        OSError: a file cannot be read.
    """
    if isinstance(source, pl.DataFrame):
        return flat(source), "results"
    if isinstance(source, pl.LazyFrame):
        return flat(source.collect()), "results"
    if isinstance(source, str | Path):
        return source_rows([Path(source)], seed_from_name), Path(source).stem
    if isinstance(source, list | tuple) and source and all(isinstance(one, str | Path) for one in source):
        return source_rows([Path(one) for one in source], seed_from_name), Path(source[0]).stem
    if any(name is not None for name in getattr(getattr(source, "index", None), "names", ())):
        source = source.reset_index()  # of pandas: a named index is a column
    try:
        return flat(pl.DataFrame(source)), "results"
    except (TypeError, ValueError, pl.exceptions.PolarsError) as error:
        raise ValueError(f"cannot read a {type(source).__name__} as a table: {error}") from None


def _long(
    whole: pl.DataFrame, wide: str, given: dict[str, Any], ignored: Sequence[str]
) -> tuple[pl.DataFrame, dict[str, Any]]:
    """Columns with the scores of one seed each, one below the other."""
    pattern = re.compile("(.*)".join(re.escape(part) for part in wide.split("*")))
    matches = {name: pattern.fullmatch(name) for name in whole.columns if name not in ignored}
    seeds = {name: found[1] if found.groups() else name for name, found in matches.items() if found}
    if not seeds:
        raise ValueError(f"wide: no column is like {wide!r} (there are {listed(whole.columns)})")
    odd = [name for name, seed in seeds.items() if not seed.isdecimal()]
    if 0 < len(odd) < len(seeds):
        raise ValueError(
            f"wide: {odd[0]} has no number as other columns like {wide!r} have: --ignore {odd[0]}"
        )
    taken = [name for name in ("seed", "value") if name in whole.columns]
    if taken:
        raise ValueError(f"wide: the table has a column {taken[0]} besides {listed(seeds)}")
    parts = [
        whole.drop(c for c in seeds if c != name)
        .rename({name: "value"})
        .with_columns(pl.lit(seed).alias("seed"), numbers(whole[name], name).alias("value"))
        for name, seed in seeds.items()
    ]
    return pl.concat(parts, how="diagonal_relaxed"), {**given, "seed": "seed", "value": "value"}


def _one_value_column(
    whole: pl.DataFrame, given: dict[str, Any]
) -> tuple[pl.DataFrame, dict[str, Any], tuple[str, ...]]:
    """Rows with one value each: columns of several metrics one below the other.

    Empty cells are values that were not measured: their rows are left out, and a note says how many.
    """
    value = given["value"]
    several = [value] if isinstance(value, str) else list(value)
    if "metric" in given or len(several) == 1:
        if len(several) > 1:
            raise ValueError(f"value: {listed(several)} with a column of metrics: give one or the other")
        given["value"] = several[0]
        return _known(whole, given)
    parts = [
        whole.drop(c for c in several if c != column)
        .rename({column: "value"})
        .with_columns(pl.lit(column).alias("metric"), numbers(whole[column], column).alias("value"))
        for column in several
    ]
    given |= {"value": "value", "metric": "metric"}
    return _known(pl.concat(parts, how="diagonal_relaxed"), given)


def _known(rows: pl.DataFrame, given: dict[str, Any]) -> tuple[pl.DataFrame, dict[str, Any], tuple[str, ...]]:
    column = given["value"]
    values, empty = rows[column], rows[column].is_null()
    if values.dtype == pl.String:
        empty = empty | (values.str.strip_chars() == "").fill_null(True)
    number = int(empty.sum())
    if number == rows.height:
        raise ValueError(f"{column}: every row is empty")
    note = f"{number} of {rows.height} values are empty and left out (failed runs are nan)"
    return rows.filter(~empty), given, (note,) if number else ()


def _typed(rows: pl.DataFrame, given: Mapping[str, Any]) -> pl.DataFrame:
    """One column per meaning, of the schema's types; what is not there is null or its default."""
    found = {meaning: _column(rows, meaning, column) for meaning, column in given.items()}
    frame = pl.DataFrame([series.alias(meaning) for meaning, series in found.items()])
    metric = given["value"] if isinstance(given["value"], str) else "value"
    defaults = {"metric": pl.lit(metric), "step": pl.lit(0), "diverged": pl.lit(False), "family": pl.lit("")}
    missing = {c: defaults.get(c, pl.lit(None)) for c in SCHEMA if c not in frame.columns}
    frame = frame.with_columns(**missing).with_columns(pl.col(c).cast(t) for c, t in TYPES.items())
    lost = pl.col("diverged") | ~pl.col("value").is_finite()
    losses = [name for name in frame["metric"].unique() if is_loss(name)]
    no_loss = pl.when(~pl.col("metric").is_in(losses)).then("trials")
    return frame.with_columns(
        flagged=pl.col("diverged"),
        value=pl.when(~lost).then("value"),
        trials=no_loss,
        has_seed=pl.lit(SEED in given),
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
        values = _true_or_false(values)
        if values.dtype != pl.Boolean:
            raise ValueError(f"{column}: {values.dtype} must be true or false")
        return values.fill_null(False)
    if meaning in SCHEMA or meaning == MODEL:
        return names(values, column)
    try:
        return numbers(values, column)
    except ValueError:
        return names(values, column)


TRUE, FALSE = ("true", "yes", "1"), ("false", "no", "0", "")


def _true_or_false(values: pl.Series) -> pl.Series:
    """Text and numbers as true and false where they are; others as they were."""
    if values.dtype == pl.Boolean or values.dtype.is_nested():
        return values
    text = values.cast(pl.String, strict=False).str.to_lowercase()
    known = text.drop_nulls().is_in([*TRUE, *FALSE]).all()
    return text.is_in(list(TRUE)) if known else values


def _refuse_twice(rows: pl.DataFrame, long: pl.DataFrame, plan: Plan) -> None:
    keys = rows.select([*MEMBER, "step", "split", "length", "metric"])
    if keys.hash_rows().n_unique() == keys.height:  # takes a fraction of the memory
        return
    twice = keys.is_duplicated()
    if not twice.any():
        return
    row = keys.filter(twice).row(0, named=True)
    first = listed(f"{k}={v}" for k, v in row.items() if v is not None)
    raise ValueError(
        f"{int(twice.sum())} rows are duplicates, the first with {first}"
        + telling_apart(long, keys, plan.unused)
    )


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
    test = ["split", "length", "metric"]
    right = (pl.col("value") * pl.col("trials")).round() / pl.col("trials")
    off = (right - pl.col("value")).abs() > ROUNDED
    others = rows.filter(off).select(test).unique()
    if others.height:
        scores = rows.select(test).join(
            others.with_columns(other=pl.lit(True)),
            on=test,
            how="left",
            nulls_equal=True,
            maintain_order="left",
        )
        rows = rows.with_columns(trials=pl.when(scores["other"].is_null()).then("trials"))
    return rows.with_columns(value=pl.coalesce(right, "value"))
