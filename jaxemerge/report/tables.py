"""A table as CSV that a spreadsheet shows and does not run."""

from __future__ import annotations

import base64

import polars as pl

# A cell that begins with one of these is a formula to a spreadsheet; a quote before it makes it text.
_FORMULA = r"^[=+\-@\t\r]"


def as_csv(table: pl.DataFrame) -> bytes:
    """A table in UTF-8 with a header; null and NaN are empty, the numbers of a list have spaces between."""
    lists = [name for name, kind in table.schema.items() if isinstance(kind, pl.List)]
    text = pl.selectors.string()
    safe = table.with_columns(pl.selectors.float().fill_nan(None), text.str.replace(_FORMULA, "'$0"))
    flat = safe.with_columns(pl.col(lists).list.eval(pl.element().cast(pl.String)).list.join(" "))
    return flat.write_csv().encode()


def as_link(csv: bytes) -> str:
    """An address that holds the whole file: a page needs no network to offer it."""
    return f"data:text/csv;charset=utf-8;base64,{base64.b64encode(csv).decode()}"
