"""Which cells may share one law or one curve? Those that differ only in scale."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import combinations, pairwise
from typing import Any

import polars as pl

from .results import cell_columns, cell_labels, scale_column

MISSING = "not given"


def dividing_columns(cells: pl.DataFrame, along: Sequence[str]) -> list[str]:
    """The columns that divide cells into groups, each with a law of its own.

    Text, such as the name of an architecture, divides if one value comes with several scales; where each
    value has one scale only, as the names of the models of one family have, it names that scale. A number,
    such as a learning rate, divides if cells of one scale have several; one that the scale sets does not.

    Args:
        cells: a row per cell or run, with `along` and what else is known of it.
        along: the columns that are scale; the first is the size.

    Raises:
        ValueError: if cells of one scale have different names, but no name has several scales: nothing says
            which of them belong together.
    """
    found = []
    for column in cell_columns(cells):
        if column in along or cells[column].n_unique() < 2:
            continue
        differs = cells.n_unique([*along, column]) > cells.n_unique(list(along))
        if cells[column].dtype.is_numeric():
            divides = differs
        else:
            sizes = cells.group_by(column).agg(pl.col(along[0]).n_unique())[along[0]].to_list()
            divides = max(sizes) > 1
            if differs and not divides:
                raise ValueError(_pooled(cells, column, along))
        if divides:
            found.append(column)
    return found


def _pooled(cells: pl.DataFrame, column: str, along: Sequence[str]) -> str:
    values = pl.col(column).unique(maintain_order=True)
    first = cells.group_by(along, maintain_order=True).agg(values).filter(pl.col(column).list.len() > 1)
    row = first.row(0, named=True)
    names = ", ".join(map(str, row[column][:3]))
    return (
        f"runs of {along[0]}={row[along[0]]:,.6g} differ in {column} ({names}), and each {column} has one "
        f"{along[0]} only: no common law"
    )


def divided(rows: pl.DataFrame, columns: Sequence[str]) -> Iterator[tuple[str, pl.DataFrame]]:
    """The name of each group with its rows, in order of the values; without columns one unnamed group."""
    if not columns:
        yield "", rows
        return
    order = [pl.col(c).rank("dense") for c in columns]
    marked = rows.with_columns(pl.struct(*columns).alias("_group"))
    ranked = marked.sort(order, nulls_last=True, maintain_order=True)
    for group in ranked.partition_by("_group", maintain_order=True):
        values = group["_group"][0]
        yield ", ".join(_named(c, values[c]) for c in columns), group.drop("_group")


def _named(column: str, value: Any) -> str:
    said = MISSING if value is None else f"{value:g}" if isinstance(value, float) else str(value)
    return said if isinstance(value, str) else f"{column.replace('_', ' ').strip()} {said}"


def panels(frame: pl.DataFrame) -> pl.DataFrame:
    """The cells that differ in scale only, by the other settings that were varied.

    Returns:
        cell, panel (the names and values of the other settings; empty where only scale was varied), in order
        of the panels and of scale.

    Raises:
        ValueError: if columns are missing.
    """
    labels = cell_labels(frame)
    groups = divided(labels, _settings(frame, labels))
    return pl.concat([rows.sort("rank").select("cell", panel=pl.lit(name)) for name, rows in groups])


def by_panel(rows: pl.DataFrame, frame: pl.DataFrame) -> dict[str, pl.DataFrame]:
    """Rows of each panel of a frame, by the panel's name, in the order of `panels`; rows keep theirs."""
    return {
        str(panel): rows.join(cells, on="cell", how="semi", maintain_order="left")
        for (panel,), cells in panels(frame).group_by("panel", maintain_order=True)
    }


def _settings(frame: pl.DataFrame, labels: pl.DataFrame) -> list[str]:
    """The columns that divide cells into panels; none where nothing says which cells belong together."""
    if labels["scale"].null_count():
        return []
    try:
        return dividing_columns(labels.drop("label", "scale", "rank"), [scale_column(frame)])
    except ValueError:
        return []


def neighbours(frame: pl.DataFrame) -> list[tuple[str, str]]:
    """Labels of the cells that differ in one setting only: by one step of a number, or in any name.

    Cells that form no panels are neighbours in their order.

    Raises:
        ValueError: if columns are missing.
    """
    labels = cell_labels(frame)
    columns = _settings(frame, labels)
    if not columns:
        return list(pairwise(labels["label"]))
    # A number's place among its values; names have no order, and are one step apart.
    axes = [pl.col("scale").rank("dense")]
    axes += [pl.col(c).rank("dense") if labels[c].dtype.is_numeric() else pl.col(c) for c in columns]
    places = labels.select("label", *(axis.alias(f"_{i}") for i, axis in enumerate(axes))).rows()
    return [(a[0], b[0]) for a, b in combinations(places, 2) if _one_step(a[1:], b[1:])]


def _one_step(a: Sequence[Any], b: Sequence[Any]) -> bool:
    steps = [(x, y) for x, y in zip(a, b, strict=True) if x != y]
    if len(steps) != 1 or None in steps[0]:
        return False
    x, y = steps[0]
    return isinstance(x, str | bool) or abs(int(x) - int(y)) == 1
