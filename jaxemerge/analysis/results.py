"""Columns of a frame of results, labels of cells and tests, and final scores of every seed."""

from __future__ import annotations

import re
from itertools import pairwise
from typing import Any

import numpy as np
import polars as pl

from jaxemerge import schema
from jaxemerge.evaluation.metrics import success_threshold as success_threshold
from jaxemerge.text import named_value, numbered, printable, short_number

TYPES = schema.SCHEMA
SCHEMA = tuple(TYPES)
STOPPED_AT = schema.STOPPED_AT
MEMBER = ("cell", "init_seed", "data_seed")
CELL = ("cell", "depth", "width", "parameters")
RESULT = ("step", "split", "length", "metric", "value", "trials", "diverged")


def require(frame: pl.DataFrame, *columns: str) -> None:
    """Rejects a frame that lacks some of the columns.

    Raises:
        ValueError: naming every missing column.
    """
    missing = [column for column in columns if column not in frame.columns]
    if missing:
        raise ValueError(f"the frame lacks columns {', '.join(missing)}; it has {', '.join(frame.columns)}")


def rows_of(frame: pl.DataFrame, metric: str) -> pl.DataFrame:
    """The rows of one metric.

    Raises:
        ValueError: if there are none, naming the metrics there are.
    """
    require(frame, *CELL, *MEMBER, *RESULT)
    chosen = frame["metric"] == metric
    rows = frame if chosen.all() and frame.height else frame.filter(chosen)
    if rows.is_empty():
        present = ", ".join(sorted(frame["metric"].unique())) or "no rows"
        raise ValueError(f"metric={metric!r} is not in the frame, which has {present}")
    return rows


def one_test(rows: pl.DataFrame, metric: str, split: str | None, length: int | None) -> pl.DataFrame:
    """The rows of one split and length, either of which may be omitted where there is only one.

    Raises:
        ValueError: if the choice leaves no test or several, naming the tests there are.
    """
    on_split = pl.lit(True) if split is None else pl.col("split") == split
    at_length = pl.lit(True) if length is None else pl.col("length") == length
    chosen = rows.filter(on_split, at_length)
    if chosen.select("split", "length").n_unique() != 1:
        found = chosen.select("split", "length").n_unique() if chosen.height else 0
        tests = rows.select("split", "length").unique().sort("split", "length").rows()
        raise ValueError(
            f"split={split!r}, length={length}: {found} tests of {metric}; choose one of {tests}"
        )
    return chosen


_DIGEST = re.compile(r"-[0-9a-f]{8}$")  # the end of a cell's id
# The name given to a model elsewhere: it needs no further words.
MODEL = "model"
TITLES = {
    "depth": "depth (layers)",
    "width": "width (units)",
    "parameters": "non-embedding parameters",
    "learning_rate": "learning rate",
}
# Parameter counts closer than this are one size: a study at a fixed size never hits it exactly.
SAME_SIZE = 1.1
# Neighbouring points closer than this on the scale axis are indistinguishable, and no line joins them.
SAME_PLACE = 1.03


def scale_column(frame: pl.DataFrame) -> str:
    """The column that "scale" means in this frame.

    The one of depth and width that varies, if only one does. If neither does, the one swept numeric
    hyperparameter. Else `parameters` where they differ by more than 10 %, and `depth` where they do not;
    without depths the first swept number.

    Raises:
        ValueError: if columns are missing.
    """
    require(frame, *CELL)
    cells = _cells(frame)
    varying = _varying(cells, ("depth", "width"))
    if len(varying) == 1:
        return varying[0]
    swept = _varying(cells, _swept(cells))
    numeric = [c for c in swept if cells[c].dtype.is_numeric() and not cells[c].has_nulls()]
    if not varying and len(swept) == len(numeric) == 1:
        return swept[0]
    sizes = cells["parameters"].drop_nulls().to_list()
    if bool(sizes) and max(sizes) > SAME_SIZE * min(sizes):
        return "parameters"
    # Results read from elsewhere may know no depth: scale is what they were said to vary.
    return numeric[0] if numeric and cells["depth"].null_count() == cells.height else "depth"


def scale_title(column: str) -> str:
    """Axis title of a scale column, with its unit."""
    return TITLES.get(column, column.replace("_", " ").strip())


def cell_labels(frame: pl.DataFrame) -> pl.DataFrame:
    """One row per cell, from the smallest to the largest scale.

    Returns:
        cell, label (short, unique, made of what varies between cells), scale (f64, the value of
        `scale_column(frame)`), rank (0, 1, ... by scale), depth, width, parameters and the swept columns.

    Raises:
        ValueError: if columns are missing.
    """
    require(frame, *CELL)
    cells = _cells(frame)
    scale = scale_column(cells)  # there may be millions of rows
    order = list(dict.fromkeys([scale, "depth", "width", "parameters", *_swept(cells), "cell"]))
    ordered = cells.sort(order, nulls_last=True)
    named = ordered.with_columns(
        pl.Series("label", _unique_labels(ordered), pl.String), scale=pl.col(scale).cast(pl.Float64)
    )
    return named.with_row_index("rank").select("cell", "label", "scale", "rank", *CELL[1:], *_swept(cells))


def forms_a_curve(labels: pl.DataFrame) -> bool:
    """Whether the cells have distinct scales, so that a line may join them.

    False for one or two cells, for grids with several cells at one scale, and for cells of (nearly) one size.

    Args:
        labels: what `cell_labels` returns.
    """
    scales = labels["scale"].drop_nulls().to_list()
    if len(scales) < max(3, labels.height) or min(scales) < 0:
        return False
    return all(b > a * SAME_PLACE for a, b in pairwise(scales))


def with_test_label(frame: pl.DataFrame) -> pl.DataFrame:
    """Adds the column `test`: "length 30", or "all items" where there is no length.

    The split is named only where the frame has several.
    """
    test = (pl.lit("length ") + pl.col("length").cast(pl.String)).fill_null("all items")
    several = frame["split"].n_unique() > 1
    split = pl.col("split").str.replace_all(r"\s+", " ")
    named = pl.when(pl.col("length").is_null()).then(split).otherwise(split + ", " + test)
    return frame.with_columns(test=named if several else test)


def some_tests(frame: pl.DataFrame, most: int) -> pl.DataFrame:
    """The rows of at most so many tests: of every split equally many lengths, evenly spread up to the last.

    One test of every split is there at least.
    """
    tests = frame.select("split", "length").unique().sort("split", "length")
    if tests.height <= most:
        return frame
    each = max(1, most // tests["split"].n_unique())
    chosen = [
        part[np.unique(np.linspace(part.height - 1, 0, each).round().astype(int))]
        for part in tests.partition_by("split")
    ]
    return frame.join(pl.concat(chosen), on=["split", "length"], how="semi", nulls_equal=True)


def cell_columns(frame: pl.DataFrame) -> list[str]:
    """The columns that may describe cells besides their shape: task, family and those outside the schema."""
    return [c for c in frame.columns if c in ("task", "family") or c not in (*SCHEMA, STOPPED_AT)]


def _cells(frame: pl.DataFrame) -> pl.DataFrame:
    """One row per cell with everything that is constant within each of them."""
    candidates = cell_columns(frame)
    spread = frame.group_by("cell").agg(pl.col(candidates).n_unique()).select(pl.col(candidates).max())
    constant = [c for c in candidates if spread.height and spread[c].item() == 1]
    columns = list(dict.fromkeys([*CELL, *constant]))
    return frame.select(columns).unique("cell", keep="first", maintain_order=True)


def _swept(cells: pl.DataFrame) -> list[str]:
    return [c for c in cells.columns if c not in SCHEMA]


def _varying(cells: pl.DataFrame, columns: tuple[str, ...] | list[str]) -> list[str]:
    return [c for c in columns if c in cells.columns and cells[c].n_unique() > 1]


def _unique_labels(cells: pl.DataFrame) -> list[str]:
    columns = _naming_columns(cells)
    labels = [_label(row, columns) or _label(row, ["depth", "width"]) for row in cells.iter_rows(named=True)]
    if len(set(labels)) == len(labels) and all(labels):
        return labels
    names = [_one_line(_DIGEST.sub("", cell)) for cell in cells["cell"]]
    if cells["depth"].null_count() == cells["width"].null_count() == cells.height:
        return numbered(names)
    if names != cells["cell"].to_list():  # ids of the library, whose digests say nothing to people
        return numbered(labels)
    return numbered([f"{label} ({name})" for label, name in zip(labels, names, strict=True)])


def _label(row: dict[str, Any], columns: list[str]) -> str:
    return _one_line(", ".join(_piece(column, row[column]) for column in columns if row[column] is not None))


def _naming_columns(cells: pl.DataFrame) -> list[str]:
    """Depth and width where they vary, then every other column that distinguishes further cells."""
    named = _varying(cells, ("depth", "width"))
    shapeless = cells["depth"].null_count() == cells.height and MODEL not in cells.columns
    if shapeless and not _swept(cells):
        named = _varying(cells, ("parameters",))
    for column in _varying(cells, [*_swept(cells), "task", "family"]):
        if cells.n_unique([*named, column]) > (cells.n_unique(named) if named else 1):
            named.append(column)
    return named or ["depth", "width"]


def _one_line(text: str) -> str:
    """Without line breaks: U+2028 would end a string in the expressions of Vega-Lite."""
    return " ".join(text.split())


def _piece(column: str, value: Any) -> str:
    return (
        f"{short_number(float(value))} parameters" if column == "parameters" else named_value(column, value)
    )


def printable_names(frame: pl.DataFrame) -> pl.DataFrame:
    """The frame with names that can be shown anywhere: in columns of text and of the columns themselves."""
    columns = []
    for name in (name for name, kind in frame.schema.items() if kind == pl.String):
        shown = {text: printable(text) for text in frame[name].drop_nulls().unique()}
        if any(text != new for text, new in shown.items()):
            columns.append(pl.col(name).replace(shown))
    return frame.with_columns(columns).rename(printable)
