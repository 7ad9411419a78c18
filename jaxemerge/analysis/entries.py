"""What may the entries of a column be? Numbers, counts, seeds and names, or an error with the row."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

import polars as pl

UNITS = {"": 1.0, "%": 0.01, "k": 1e3, "m": 1e6, "g": 1e9, "b": 1e9, "t": 1e12}
SIZE = re.compile(r"\s*([+-]?\d[\d,_]*\.?\d*(?:e[+-]?\d+)?|[+-]?\.\d+)\s*([kmgbt%]?)\s*", re.IGNORECASE)
# 0,45 and 3,27912: decimal commas, as no group of three digits follows a comma.
COMMA = re.compile(r"[+-]?(0,\d+|\d+,(\d{1,2}|\d{4,}))(e[+-]?\d+)?")
NOT_FINITE = {"nan": float("nan"), "inf": float("inf"), "-inf": float("-inf")}
# From here on a part of one is rounding (sizes read off a figure); below, the unit is missing.
COUNTED = 1000


def numbers(values: pl.Series, name: str) -> pl.Series:
    """A column as f64; text such as "1.4B", "70M", "3e8" or "1,024" is read as a number.

    Raises:
        ValueError: if an entry is not a number, naming the first such entry and its row.
    """
    if values.dtype.is_numeric() or values.dtype in (pl.Null, pl.Boolean):
        return values.cast(pl.Float64)
    if isinstance(values.dtype, pl.Categorical | pl.Enum):
        return numbers(values.cast(pl.String), name)
    if values.dtype != pl.String:
        raise ValueError(f"{name}: {values.dtype} is not a column of numbers")
    if values.null_count() == len(values):
        return values.cast(pl.Float64)
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
    _check_filled(values, name, "; every run needs a seed")
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
    _check_filled(values, name)
    return values.cast(pl.String)


def first_row(bad: pl.Series) -> int:
    """Row, counted from 1, of the first True."""
    return int(bad.arg_max() or 0) + 1


def listed(items: Iterable[Any], most: int = 12) -> str:
    """Some items with commas between them."""
    shown = [str(item) for item in items]
    more = f", ... ({len(shown) - most} more)" if len(shown) > most else ""
    return ", ".join(shown[:most]) + more


def _check_filled(values: pl.Series, name: str, why: str = "") -> None:
    if values.null_count():
        raise ValueError(f"{name}: row {first_row(values.is_null())} is empty{why}")


def _number(text: str) -> float | None:
    plain = text.strip().lower()
    if plain in NOT_FINITE:
        return NOT_FINITE[plain]
    if COMMA.fullmatch(plain):
        return float(plain.replace(",", "."))
    found = SIZE.fullmatch(text)
    if found is None:
        return None
    return float(found[1].replace(",", "").replace("_", "")) * UNITS[found[2].lower()]
