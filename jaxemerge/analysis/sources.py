"""Files of results from other programs, as rows."""

from __future__ import annotations

import gzip
import io
import json
import os
import re
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import polars as pl

from .harness import harness_files, harness_rows

BOM, UTF16 = b"\xef\xbb\xbf", (b"\xff\xfe", b"\xfe\xff")


def _text(data: bytes, separator: str | None = None) -> pl.DataFrame:
    """A table of text; without a separator, that of comma, semicolon and tab which its header has most of."""
    plain = data.removeprefix(BOM)
    _check_text(plain)
    first = plain.partition(b"\n")[0].decode("utf-8", "replace")
    between = separator or max(",;\t", key=first.count)
    # All rows decide on a column's type: a size may be 70 in the first of them and 1.4B in the last.
    rows = pl.read_csv(plain, separator=between, infer_schema_length=None, decimal_comma=between == ";")
    bare = [name.strip() for name in rows.columns]
    return rows.rename(dict(zip(rows.columns, bare, strict=True))) if len(set(bare)) == len(bare) else rows


def _check_text(data: bytes) -> None:
    try:
        data.decode()
    except UnicodeDecodeError as error:
        row = data.count(b"\n", 0, error.start) + 1
        kind = "UTF-16" if data[:2] in UTF16 else "not UTF-8"
        raise ValueError(f"line {row} is {kind}: save the file as UTF-8") from None


def _json(data: bytes) -> pl.DataFrame:
    """Records, columns, ``{step: value}``, or the state of a trainer of Hugging Face."""
    found = json.loads(data.decode("utf-8-sig"))
    if isinstance(found, dict) and isinstance(found.get("log_history"), list):
        return pl.DataFrame(found["log_history"], infer_schema_length=None)
    if isinstance(found, list) and found and all(isinstance(row, dict) for row in found):
        return pl.DataFrame(found, infer_schema_length=None, strict=False)
    if isinstance(found, dict) and found and all(isinstance(column, list) for column in found.values()):
        return pl.DataFrame(found, strict=False)
    steps = isinstance(found, dict) and all(k.isdecimal() and _is_number(v) for k, v in found.items())
    if steps and found:
        return pl.DataFrame({"step": [int(k) for k in found], "value": [float(v) for v in found.values()]})
    raise ValueError("it must hold records, columns, {step: value} or 'results' of lm-evaluation-harness")


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


READERS: dict[str, Callable[[bytes], pl.DataFrame]] = {
    ".csv": _text,
    ".tsv": lambda data: _text(data, "\t"),
    ".parquet": lambda data: pl.read_parquet(io.BytesIO(data)),
    ".jsonl": lambda data: pl.read_ndjson(io.BytesIO(data), infer_schema_length=None),
    ".ndjson": lambda data: pl.read_ndjson(io.BytesIO(data), infer_schema_length=None),
    ".json": _json,
}
# What a reader raises about a file that is not what its name says.
UNREADABLE = (pl.exceptions.PolarsError, ValueError, TypeError, OverflowError, RecursionError)
DAMAGED = (gzip.BadGzipFile, EOFError, zlib.error)


def source_rows(sources: Sequence[Path], seed_from_name: str | None = None) -> pl.DataFrame:
    """The rows of one or several files, or of all in a folder.

    Of several files every one has a value of its own in the column `file`; if their names have seeds these
    are the column `seed`, and `file` is what else differs in the names, unless a column says the same.

    Args:
        sources: files or folders.
        seed_from_name: a regular expression whose first group is the seed in a file's name.

    Raises:
        ValueError: if a file is not there or of another kind, is not what its name says, has no rows, or its
            name has no seed.
        OSError: if it cannot be read.
    """
    _check_pattern(seed_from_name)
    for path in sources:
        if not path.exists():
            raise ValueError(f"{path}: no such file or folder")
    files = [file for path in sources for file in _files_of(path)]
    results = [file for path in sources for file in harness_files(path)]
    if results:
        return harness_rows(results, sources[0])
    if not files:
        raise ValueError(
            f"{sources[0]}: no results_*.json of lm-evaluation-harness in this folder, and no {KNOWN}"
        )
    parts = [
        file_rows(file).with_columns(pl.lit(text).alias(column) for column, text in name.items())
        for file, name in zip(files, _named(files, seed_from_name), strict=True)
    ]
    try:
        whole = flat(pl.concat(parts, how="diagonal_relaxed"))
        return whole.drop("file") if seed_from_name and _says_the_same(whole) else whole
    except pl.exceptions.PolarsError as error:
        raise ValueError(f"{sources[0]}: the files do not fit together: {_line(error)}") from None


KNOWN = ", ".join(READERS)


def _check_pattern(pattern: str | None) -> None:
    try:
        re.compile(pattern or "")
    except re.error as error:
        raise ValueError(f"seed_from_name: {pattern!r} is not a regular expression: {error}") from None


def _files_of(path: Path) -> list[Path]:
    if path.is_file():
        return [path]
    return [file for file in sorted(path.rglob("*")) if file.is_file() and _kind(file) in READERS]


def _kind(path: Path) -> str:
    suffixes = [suffix.lower() for suffix in path.suffixes]
    return suffixes[-2] if len(suffixes) > 1 and suffixes[-1] == ".gz" else suffixes[-1] if suffixes else ""


def _named(files: Sequence[Path], pattern: str | None) -> list[dict[str, str]]:
    """The columns that the name of each file adds to its rows."""
    names = _distinct(files)
    if pattern is None:
        return [{"file": name} for name in names] if len(files) > 1 else [{} for _ in files]
    found = []
    for path, name in zip(files, names, strict=True):
        seed = re.search(pattern, path.name) or re.search(pattern, path.parent.name)
        if seed is None:
            raise ValueError(f"{path}: its name has no seed: {pattern!r} does not occur")
        before, _, after = name.partition(seed[0])
        rest = (before.rstrip(BETWEEN) + after).strip(BETWEEN)
        found.append({"seed": seed[1] if seed.groups() else seed[0], "file": rest})
    if len({name["file"] for name in found}) == 1:
        return [{"seed": name["seed"]} for name in found]
    return found


BETWEEN = "-_./ "  # the parts of a file's name


def _distinct(files: Sequence[Path]) -> list[str]:
    """Names without suffix, or with their folders where several are the same."""
    stems = {path.stem for path in files}
    if len(stems) == len(files):
        return [path.stem for path in files]
    top = os.path.commonpath([path.parent for path in files])
    places = [path.parent if len(stems) == 1 else path.with_suffix("") for path in files]
    return [os.path.relpath(place, top) for place in places]


def _says_the_same(rows: pl.DataFrame) -> bool:
    """Whether a column differs between files just as their names do."""
    if "file" not in rows.columns:
        return False
    others = [c for c in rows.columns if c not in ("file", "seed") and not rows[c].dtype.is_nested()]
    alike = [c for c in others if rows[c].n_unique() == rows["file"].n_unique()] if rows.height else []
    within = rows.group_by("file").agg(pl.col(alike).n_unique())
    return any((within[c] == 1).all() for c in alike)


def flat(rows: pl.DataFrame) -> pl.DataFrame:
    """Columns of records as a column for each of their fields, such as ``config.lr``."""
    while nested := [c for c, kind in rows.schema.items() if isinstance(kind, pl.Struct)]:
        fields = [
            part.rename({field: f"{column}.{field}" for field in part.columns})
            for column, part in ((c, rows[c].struct.unnest()) for c in nested)
        ]
        rows = pl.concat([rows.drop(nested), *fields], how="horizontal")
    return rows


def file_rows(path: Path) -> pl.DataFrame:
    """The rows of a CSV, TSV, Parquet, JSON or JSON lines file, which may be compressed (.gz).

    Raises:
        ValueError: if the file is of another kind, is not what its name says, or has no rows.
        OSError: if it cannot be read.
    """
    kind = _kind(path)
    if kind not in READERS:
        what = path.suffix or "a file without suffix"
        raise ValueError(f"{path}: cannot read {what}; it must be {KNOWN}, or .gz of these")
    try:
        data = path.read_bytes()
        rows = READERS[kind](gzip.decompress(data) if path.suffix == ".gz" else data)
    except (*UNREADABLE, *DAMAGED) as error:
        no_json = isinstance(error, json.JSONDecodeError)
        what = "this is not JSON" if no_json else f"this is no {kind} file that can be read"
        raise ValueError(f"{path}: {what}: {_line(error)}") from None
    if rows.is_empty():
        raise ValueError(f"{path}: the file has no rows")
    return rows


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:200]
