"""What does each column of a foreign table mean: score, scale, seed, step, test, setting, or nothing?"""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import polars as pl

from jaxemerge.schema import RESERVED

from .entries import listed, numbers
from .results import SCHEMA, STOPPED_AT

# Meanings of a column besides the schema's own names.
SCALE, SEED, MODEL = "scale", "seed", "model"
ROLES = (
    *(SCALE, SEED, MODEL, STOPPED_AT),
    *(name for name in SCHEMA if name not in ("study", "cell", "init_seed")),
)
# Column names that mean the size of a model by default.
SIZES = ("params", "n_params", "num_params", "n_parameters", "num_parameters", "model_size")
# Columns of settings under the names that the reader of lm-evaluation-harness gives them.
SETTINGS = ("revision", "dtype", "limit")
# A setting has no more values than this among the square of it of rows.
SEVERAL = 1000
# In the names of columns that may be steps.
STEPS = re.compile("step|epoch|iter", re.IGNORECASE)
# Columns that say where in a run or in a file a row comes from.
WITHIN_RUN = ("step", "tokens", "task", "split", "length", "metric", STOPPED_AT)


class Plan(NamedTuple):
    """The meaning of every column.

    Attributes:
        given: what is meant -> the column that has it; settings go under their own names.
        unused: columns in which rows differ, and which mean nothing.
        notes: what was decided without being asked, a sentence each.
    """

    given: dict[str, Any]
    unused: tuple[str, ...]
    notes: tuple[str, ...]


def planned(
    whole: pl.DataFrame, columns: Mapping[str, Any], by: Sequence[str], ignored: Sequence[str], where: str
) -> Plan:
    """The meaning of every column of a table.

    A column of text that is not named divides runs if it does not name single ones: architectures, data sets
    and optimizers are never pooled. Nothing says whether numbers are settings, seeds or results. A number
    that distinguishes runs which are otherwise equal, with the same values at every scale, must be named;
    others are listed as unused.

    Args:
        whole: the table.
        columns: meaning -> column, as `read_results` has it.
        by: columns of settings.
        ignored: columns that mean nothing.
        where: name of the table, for errors.

    Raises:
        ValueError: if a column is missing, or one must be named.
    """
    given = _resolved(whole, dict(columns), ignored, where)
    for column in (*by, *ignored):
        if column not in whole.columns:
            raise ValueError(_no_column(whole, column, where))
    known = [c for c in SETTINGS if c in whole.columns and c not in ignored]
    given |= {column: column for column in (*by, *known) if column not in _columns(given)}
    own = ("study", "cell") if set(SCHEMA) <= set(whole.columns) else ()  # reading derives both again
    others = [c for c in whole.columns if c not in {*_columns(given), *ignored, *own}]
    flat = [c for c in others if not whole[c].dtype.is_nested()]
    varying = [c for c in flat if whole[c].drop_nulls().n_unique() > 1]
    settings = [c for c in varying if _is_setting(whole, c, given)]
    given |= {column: column for column in settings}
    unused = tuple(c for c in varying if c not in settings)
    _refuse_unnamed(whole, given, unused)
    notes = [f"{c} is taken as a setting ({_values(whole[c])}); {_instead(whole, c)}" for c in settings]
    if unused:
        notes.append(f"rows differ in columns that are not used: {listed(unused)}")
    given = {_kept_as(meaning): column for meaning, column in given.items()}
    return Plan(given, unused, tuple(notes))


def _kept_as(meaning: str) -> str:
    """The name of a setting's column: `rank_` for a setting called rank, as tables have a column `rank`."""
    return f"{meaning}_" if meaning in RESERVED else meaning


def _instead(whole: pl.DataFrame, column: str) -> str:
    """What may be asked for instead of a setting."""
    pools = f"--ignore {column} pools them"
    if not whole[column].cast(pl.String).str.contains(r"(?i)seed[-_]?\d").all():
        return pools
    option = r"--seed-from-name 'seed(\d+)'" if column == "file" else f"--seed {column}"
    return f"{option} reads seeds from their names; {pools}"


def _values(column: pl.Series) -> str:
    return listed(column.drop_nulls().unique(maintain_order=True), 4)


def _columns(given: Mapping[str, Any]) -> set[str]:
    """All columns that mean something."""
    named = [[column] if isinstance(column, str) else column for column in given.values()]
    return {c for columns in named if not isinstance(columns, int) for c in columns}


def _of_runs(given: Mapping[str, Any]) -> list[str]:
    """The columns that tell runs apart."""
    scores = (*WITHIN_RUN, "value", "trials", "diverged")
    return [c for meaning, c in given.items() if meaning not in scores and isinstance(c, str)]


def _is_setting(whole: pl.DataFrame, column: str, given: Mapping[str, Any]) -> bool:
    """Whether a column is text or true and false, and names several runs at once."""
    values = whole[column]
    if values.dtype == pl.String:
        try:
            numbers(values, column)
            return False
        except ValueError:
            pass
    elif not isinstance(values.dtype, pl.Boolean | pl.Categorical | pl.Enum):
        return False
    known = _of_runs(given)
    runs = whole.select(*dict.fromkeys([*known, column]))
    runs = runs.unique() if known else runs
    return bool(runs[column].n_unique() < runs.height)


def _refuse_unnamed(whole: pl.DataFrame, given: Mapping[str, Any], unused: Sequence[str]) -> None:
    """Rejects numbers that may be seeds or settings, where runs would be numbered without them."""
    scores = ("value", "trials", "diverged", "flops", STOPPED_AT)
    keys = [c for meaning, c in given.items() if meaning not in scores and isinstance(c, str)]
    if SEED in given or not keys or not whole.select(keys).is_duplicated().any():
        return
    for column in unused:
        if whole.select(*keys, column).is_duplicated().any():
            continue
        values = pl.col(column).cast(pl.String).unique().sort()
        sets = whole.group_by(keys).agg(values.str.join(","), count=values.len())
        if sets.height > 1 and sets[column].n_unique() == 1 and sets["count"][0] > 1:
            raise ValueError(
                f"{column} distinguishes rows that are otherwise equal: name it as the seed "
                f"(--seed {column}) or as a setting (--by {column}), or leave it out (--ignore {column})"
            )


def refuse_repeated(rows: pl.DataFrame, given: Mapping[str, Any], unused: Sequence[str]) -> None:
    """Rejects numbers that several runs of every cell share, such as a learning rate: they are no results.

    Raises:
        ValueError: there is such a column.
    """
    apart = (SEED, "data_seed", "value", "trials", "diverged", STOPPED_AT)
    keys = [c for meaning, c in given.items() if meaning not in apart and isinstance(c, str)]
    cells = [pl.col(c) for c in keys] or [pl.lit("all runs")]
    for column in unused:
        if rows[column].head(SEVERAL**2).n_unique() > SEVERAL:
            continue  # as run times; spares large tables the grouping
        runs = rows.group_by(*cells, column).agg(runs=pl.len())
        several, alike = runs["runs"].min() != 1, runs["runs"].n_unique() == 1
        sets = runs.group_by(cells).agg(
            pl.col(column).cast(pl.String).unique().sort().str.join(","), count=pl.len()
        )
        shared = sets[column].n_unique() == 1 and sets["count"].max() != 1
        if several and shared and (alike or sets.height > 1):
            raise ValueError(
                f"{column} has the same values in every cell, each in several rows: name it as a setting "
                f"(--by {column}), or pool what differs in it (--ignore {column})"
            )


def telling_apart(rows: pl.DataFrame, keys: pl.DataFrame, unused: Sequence[str]) -> str:
    """What would tell duplicate rows apart, as the end of a sentence; empty if no column does."""
    for column in unused:
        if not keys.with_columns(rows[column].alias("_other")).is_duplicated().any():
            step = f", as the step (--step {column})" if STEPS.search(column) else ""
            return (
                f"; they differ in {column}: name it as the seed (--seed {column}){step} or as a setting "
                f"(--by {column})"
            )
    return ""


def _resolved(
    whole: pl.DataFrame, given: dict[str, Any], ignored: Sequence[str], where: str
) -> dict[str, Any]:
    """Every meaning with the column that has it; all of them are there."""
    known = [*ROLES, "init_seed"]
    for meaning in known:
        if meaning not in given and meaning in whole.columns and meaning not in ignored:
            given[meaning] = meaning
    if "init_seed" in given:
        given.setdefault(SEED, given.pop("init_seed"))
    for meaning, column in given.items():
        if meaning == "trials" and isinstance(column, int):
            continue
        for one in [column] if isinstance(column, str) else column:
            if one not in whole.columns:
                raise ValueError(f"{meaning}: {_no_column(whole, one, where)}")
    sizes = [c for c in whole.columns if c.lower() in SIZES and c not in {*_columns(given), *ignored}]
    if len(sizes) == 1 and "parameters" not in given:
        given["parameters"] = sizes[0]
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
