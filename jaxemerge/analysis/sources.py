"""Files of results from other programs: their rows, and the types of their entries."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO

import polars as pl

# They take opened files: Polars expands the name of a file as a pattern, and may find others.
READERS: dict[str, Callable[[BinaryIO], pl.DataFrame]] = {
    # All rows decide on a column's type: a size may be 70 in the first of them and 1.4B in the last.
    ".csv": lambda file: pl.read_csv(file, infer_schema_length=None),
    ".tsv": lambda file: pl.read_csv(file, separator="\t", infer_schema_length=None),
    ".parquet": pl.read_parquet,
    ".jsonl": lambda file: pl.read_ndjson(file, infer_schema_length=None),
    ".ndjson": lambda file: pl.read_ndjson(file, infer_schema_length=None),
}


def file_rows(path: Path) -> pl.DataFrame:
    """The rows of a CSV, TSV, Parquet or JSON lines file, or of results of lm-evaluation-harness.

    Raises:
        ValueError: if the file is not there or of another kind, is not what its name says, or has no rows.
        OSError: if it cannot be read.
    """
    if not path.exists():
        raise ValueError(f"{path}: no such file or folder")
    if path.is_dir() or path.suffix == ".json":
        return harness_rows(path)
    if path.suffix not in READERS:
        known = ", ".join((*READERS, ".json"))
        raise ValueError(f"{path}: cannot read {path.suffix or 'a file without suffix'}; it must be {known}")
    try:
        with path.open("rb") as file:
            rows = READERS[path.suffix](file)
    except (pl.exceptions.PolarsError, UnicodeDecodeError) as error:
        what = " ".join(str(error).split())[:200]
        raise ValueError(f"{path}: this is no {path.suffix} file that can be read: {what}") from None
    if rows.is_empty():
        raise ValueError(f"{path}: the file has no rows")
    return rows


COLUMNS: dict[str, Any] = {"model": pl.String, "parameters": pl.Float64, "seed": pl.Int64}
COLUMNS |= {"task": pl.String, "metric": pl.String, "value": pl.Float64, "trials": pl.Int64}
# Numbers of a task that are not scores.
NO_SCORES = ("alias", "name", "sample_len", "samples")
# The size in a name: pythia-1.4b, opt-125m, Llama-2-7b-hf.
SIZE_IN_NAME = re.compile(r"(?<![a-zA-Z0-9.])(\d+(?:\.\d+)?)([kmbt])(?![a-zA-Z0-9])", re.IGNORECASE)


def harness_rows(path: Path) -> pl.DataFrame:
    """The scores in one file, or in all `results_*.json` of a folder and the folders in it.

    Several files of one model with the same seed are runs of it (or later tasks): where a task comes again,
    the runs are numbered in the order of the files' names.

    Returns:
        model, parameters (as the harness counted them, else as the name says, else null), seed, task, metric
        ("acc", or "exact_match,strict-match" where a filter was at work), value, trials (items; null where
        not recorded).

    Raises:
        ValueError: if there is no such file, or one of them is something else.
        OSError: if a file cannot be read.
    """
    files = sorted(path.rglob("results_*.json")) if path.is_dir() else [path]
    if not files:
        raise ValueError(f"{path}: no results_*.json of lm-evaluation-harness in this folder")
    rows = [row for file in files for row in _of_file(file)]
    frame = pl.DataFrame(rows, schema=COLUMNS, orient="row")
    if frame.is_empty():
        raise ValueError(f"{path}: the results hold no score")
    again = pl.int_range(pl.len()).over("model", "seed", "task", "metric")
    if frame.select((again > 0).any()).item():
        frame = frame.with_columns(seed=again)
    return frame


def _of_file(path: Path) -> Iterator[tuple[Any, ...]]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{path}: this is not JSON: {error}") from None
    tasks = found.get("results") if isinstance(found, dict) else None
    if not isinstance(tasks, dict) or not all(isinstance(scores, dict) for scores in tasks.values()):
        raise ValueError(f"{path}: no results of lm-evaluation-harness: 'results' must hold tasks")
    config = found.get("config") or {}
    model = _model(found, config, path)
    seed = config.get("random_seed")
    for task, scores in tasks.items():
        trials = _items(found, task)
        for metric, value in _scores(scores):
            yield model, _size(config, model), int(seed or 0), task, metric, value, trials


def _scores(scores: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
    for key, value in scores.items():
        name, _, kept = key.partition(",")
        number = isinstance(value, int | float) and not isinstance(value, bool)
        if key in NO_SCORES or name.endswith("_stderr") or not number:
            continue
        yield (name if kept in ("", "none") else key), float(value)


def _items(found: Mapping[str, Any], task: str) -> int | None:
    counts = (found.get("n-samples") or {}).get(task) or {}
    return counts.get("effective") or counts.get("original")


def _model(found: Mapping[str, Any], config: Mapping[str, Any], path: Path) -> str:
    """The name given to the model; the file's folder where there is none."""
    if found.get("model_name"):
        return str(found["model_name"])
    arguments = config.get("model_args") or ""
    if isinstance(arguments, str):
        arguments = dict(part.partition("=")[::2] for part in arguments.split(","))
    return str(arguments.get("pretrained") or path.parent.name)


def _size(config: Mapping[str, Any], model: str) -> float | None:
    counted = config.get("model_num_parameters")
    if isinstance(counted, int | float) and counted > 0:
        return float(counted)
    named = SIZE_IN_NAME.search(model.rpartition("/")[2])
    return float(named[1]) * UNITS[named[2].lower()] if named else None


UNITS = {"": 1.0, "k": 1e3, "m": 1e6, "g": 1e9, "b": 1e9, "t": 1e12}
SIZE = re.compile(r"\s*([+-]?\d[\d,_]*\.?\d*(?:e[+-]?\d+)?|[+-]?\.\d+)\s*([kmgbt]?)\s*", re.IGNORECASE)
NOT_FINITE = {"nan": float("nan"), "inf": float("inf"), "-inf": float("-inf")}
# From here on a part of one is rounding (sizes read off a figure); below, the unit is missing.
COUNTED = 1000


def numbers(values: pl.Series, name: str) -> pl.Series:
    """A column as f64; text such as "1.4B", "70M", "3e8" or "1,024" is read as a number.

    Raises:
        ValueError: if an entry is not a number, naming the first such entry and its row.
    """
    if values.dtype.is_numeric():
        return values.cast(pl.Float64)
    if values.dtype == pl.Null:
        return values.cast(pl.Float64)
    if values.dtype != pl.String:
        raise ValueError(f"{name}: {values.dtype} is not a column of numbers")
    known = {text: _number(text) for text in values.drop_nulls().unique()}
    bad = {text for text, number in known.items() if number is None}
    if bad:
        row = next(i for i, text in enumerate(values, 1) if text in bad)
        raise ValueError(f"{name}: {values[row - 1]!r} in row {row} is not a number")
    return values.replace_strict(known, return_dtype=pl.Float64)


def counts(values: pl.Series, name: str, least: int = 0) -> pl.Series:
    """A column as i64: whole numbers of at least `least`; from 1,000 on they are rounded.

    Raises:
        ValueError: if an entry is none, naming the first such entry and its row.
    """
    found = numbers(values, name)
    off = (found != found.round()) & (found < COUNTED)
    bad = (off | ~found.is_finite() | (found < least)).fill_null(False)
    if bad.any():
        row = first_row(bad)
        raise ValueError(
            f"{name}: {values[row - 1]} in row {row} must be a whole number of at least {least} "
            "(sizes may be written 1.4e9 or 1.4B)"
        )
    return found.round().cast(pl.Int64)


def ordinals(values: pl.Series, name: str) -> pl.Series:
    """Seeds as i64; names that are not whole numbers are numbered in order of their first appearance.

    Raises:
        ValueError: if a value is missing, naming its row.
    """
    if values.null_count():
        row = first_row(values.is_null())
        raise ValueError(f"{name}: row {row} is empty; every run needs a seed")
    try:
        return counts(values, name)
    except ValueError:
        order = {text: i for i, text in enumerate(values.unique(maintain_order=True))}
        return values.replace_strict(order, return_dtype=pl.Int64)


def names(values: pl.Series, name: str) -> pl.Series:
    """A column as text.

    Raises:
        ValueError: if an entry is empty, naming its row.
    """
    if values.null_count():
        row = first_row(values.is_null())
        raise ValueError(f"{name}: row {row} is empty")
    return values.cast(pl.String)


def first_row(bad: pl.Series) -> int:
    """Row, counted from 1, of the first True."""
    return int(bad.arg_max() or 0) + 1


def listed(items: Iterable[Any], most: int = 12) -> str:
    """Some items with commas between them."""
    shown = [str(item) for item in items]
    more = f", ... ({len(shown) - most} more)" if len(shown) > most else ""
    return ", ".join(shown[:most]) + more


def _number(text: str) -> float | None:
    plain = text.strip().lower()
    if plain in NOT_FINITE:
        return NOT_FINITE[plain]
    found = SIZE.fullmatch(text)
    if found is None:
        return None
    return float(found[1].replace(",", "").replace("_", "")) * UNITS[found[2].lower()]
