"""Which rows does a file of anyone's results hold? As they stand, before they are given their meaning."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import polars as pl

from .harness import harness_rows

READERS: dict[str, Callable[[Path], pl.DataFrame]] = {
    # All rows decide on a column's type: a size may be 70 in the first of them and 1.4B in the last.
    ".csv": lambda path: pl.read_csv(path, infer_schema_length=None),
    ".tsv": lambda path: pl.read_csv(path, separator="\t", infer_schema_length=None),
    ".parquet": pl.read_parquet,
    ".jsonl": lambda path: pl.read_ndjson(path, infer_schema_length=None),
    ".ndjson": lambda path: pl.read_ndjson(path, infer_schema_length=None),
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
        rows = READERS[path.suffix](path)
    except (pl.exceptions.PolarsError, UnicodeDecodeError) as error:
        what = " ".join(str(error).split())[:200]
        raise ValueError(f"{path}: this is no {path.suffix} file that can be read: {what}") from None
    if rows.is_empty():
        raise ValueError(f"{path}: the file has no rows")
    return rows
