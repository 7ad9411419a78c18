"""When does something happen to each run, if its time is a column of a table and not a curve?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import polars as pl

from jaxemerge.brief import brief

from .entries import first_row, numbers
from .read import reading, table_of
from .results import MEMBER, cell_labels

TIME, OBSERVED = "event_time", "event_observed"


@brief
class Events(NamedTuple):
    """Event times of runs.

    Attributes:
        times: as `breakthroughs` returns them, for `survival`: an event is a breakthrough at an exact time.
        notes: what was decided without being asked, a sentence each.
    """

    times: pl.DataFrame
    notes: tuple[str, ...]


def event_times(
    source: Any,
    event: str,
    columns: Mapping[str, str | int | Sequence[str]] | None = None,
    *,
    by: Sequence[str] = (),
    ignore: Sequence[str] = (),
    seed_from_name: str | None = None,
) -> Events:
    """Event times of runs from a table with a row per run.

    A run whose entry is empty had no event until its end (censored): its `step` where there is such a column,
    else the time of the latest event of any run.

    Args:
        source: as for `read_results`.
        event: the column of times.
        columns: what is meant -> the source's own name, as for `read_results`; scores are not used.
        by, ignore, seed_from_name: as for `read_results`.

    Raises:
        ValueError: as `read_results`, or if a time is negative or after the end of its run, or there is none.
        OSError: if a file cannot be read.
    """
    whole, _ = table_of(source, seed_from_name)
    given = dict(columns or {})
    step = given.pop("step", "step" if "step" in whole.columns else None)
    end = None if step is None else str(step)
    for name in (event, end):
        if name is not None and name not in whole.columns:
            raise ValueError(f"event: there is no column {name!r} (there are {', '.join(whole.columns)})")
    found = numbers(whole[event], event)
    bad = (~found.is_finite() | (found < 0)).fill_null(False)
    if bad.any():
        row = first_row(bad)
        raise ValueError(f"{event}: {found[row - 1]} in row {row} must be a time, at least 0")
    if not found.count():
        raise ValueError(f"{event}: every row is empty: no run has the event")
    last, notes = _ends(whole, found, event, end)
    scores = ("value", "trials", "diverged")
    used = [name for name in (event, end, *scores) if name in whole.columns]
    rows = whole.drop(used).with_columns(
        found.fill_null(last).alias(TIME), found.is_not_null().cast(pl.Float64).alias(OBSERVED)
    )
    kept = {meaning: name for meaning, name in given.items() if meaning not in scores}
    read = reading(rows, kept | {"value": [TIME, OBSERVED]}, by=by, ignore=ignore)
    return Events(_times(read.rows), (*notes, *read.notes))


def _ends(whole: pl.DataFrame, found: pl.Series, event: str, end: str | None) -> tuple[pl.Series, list[str]]:
    """When each run ended without the event, and what is to be said of it."""
    empty = found.null_count()
    said = f"{empty} of {len(found)} runs have no {event} and are censored at"
    if end is None:
        latest = float(found.max())  # type: ignore[arg-type]
        note = f"{said} {latest:g}, the latest {event}"
        return pl.Series([latest] * len(found)), [note] if empty else []
    last = numbers(whole[end], end)
    bad = (found > last).fill_null(False) | (found.is_null() & last.is_null())
    if bad.any():
        row = first_row(bad)
        raise ValueError(f"{event}: {found[row - 1]} in row {row} is past its end, {last[row - 1]}")
    return last, [f"{said} their {end}"] if empty else []


def _times(rows: pl.DataFrame) -> pl.DataFrame:
    keys = [*MEMBER, "split", "length"]
    seen = rows.filter(metric=OBSERVED).select(*keys, observed=pl.col("value") > 0)
    times = rows.filter(metric=TIME).join(seen, on=keys, nulls_equal=True)
    labels = cell_labels(rows).select("cell", "label", "scale", "rank")
    ordered = times.join(labels, on="cell").sort("rank", "init_seed", "data_seed")
    return ordered.select(
        *("cell", "label", "scale", "init_seed", "data_seed"),
        step="value",
        observed="observed",
        after="value",
        relapses=pl.lit(0, pl.Int64),
        relapse=pl.lit(None, pl.Float64),
        loss=pl.lit(None, pl.Float64),
    )
