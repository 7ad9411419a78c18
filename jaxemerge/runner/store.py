"""Where are a study's results kept? One folder: a description, and immutable Parquet parts per cell.

    DIR/study.json                      the study's name and its cells, without seeds
    DIR/cells/CELL/PART.parquet         rows of one finished chunk of seeds
    DIR/cells/CELL/PART.json            seeds, plan, duration and provenance of that chunk, and the
                                        digest of its rows; rows without it are not used
    DIR/cells/CELL/checkpoints/         of chunks that are being trained
    DIR/cells/CELL/metrics/             numbers along the training, see ``metrics``; nothing is read from them

Files appear whole or not at all: they are written under a dot-name, flushed, and renamed. What is read is
checked against its digest first.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import polars as pl

from jaxemerge.files import (
    DamagedError,
    appearing,
    check_digest,
    digest,
    read_sealed,
    remove_partial,
    set_aside,
    write_sealed,
)
from jaxemerge.runner.checkpoint import INTERVAL, Checkpoints
from jaxemerge.runner.lock import holder, locked, refuse_others
from jaxemerge.runner.spec import Experiment
from jaxemerge.runner.table import SCHEMA
from jaxemerge.training import Seed

_FORMAT = 2


class StoreError(ValueError):
    """A results folder cannot be used for what was asked."""


@dataclass(frozen=True)
class Store:
    """A results folder.

    Attributes:
        folder: where it is.
        study: name of its study.
        cells: what each cell is, by id.
        asked: the seeds of each cell that commands have asked for so far.
        notes: what a person should know of how the folder was opened.
    """

    folder: Path
    study: str
    cells: Mapping[str, dict[str, Any]]
    notes: tuple[str, ...] = ()
    asked: Mapping[str, tuple[Seed, ...]] = field(default_factory=dict)

    def finished(self, cell: str) -> set[Seed]:
        """Members of a cell whose results are there."""
        return {(init, data) for record in self._records(cell) for init, data in record["seeds"]}

    @contextlib.contextmanager
    def writing(self, cell: str, share: str = "") -> Iterator[None]:
        """Makes this process the only writer of a cell, or of its share of it.

        Args:
            cell: the cell.
            share: ``-GROUP-RANK`` of a process that shares the cell's seeds with others of the same group.

        Raises:
            LockedError: another process is.
        """
        folder = self._cell(cell)
        folder.mkdir(parents=True, exist_ok=True)
        with locked(folder / f".lock{share}"):
            refuse_others(folder, share)
            remove_partial(folder)
            yield

    def write(self, cell: str, seeds: Sequence[Seed], rows: pl.DataFrame, record: Mapping[str, Any]) -> None:
        """Adds a finished chunk: its rows and the record of how they came about."""
        folder = self._cell(cell)
        folder.mkdir(parents=True, exist_ok=True)
        rows_file = folder / f"{_name(seeds)}.parquet"
        with appearing(rows_file) as path:
            rows.write_parquet(path)
        fields = {"cell": cell, "seeds": [list(seed) for seed in seeds], "rows": digest(rows_file), **record}
        write_sealed(rows_file.with_suffix(".json"), fields)

    def results(self) -> pl.DataFrame:
        """All rows of all finished chunks; cells without some swept column have null there.

        Raises:
            StoreError: a file is damaged.
        """
        parts = [self._rows(path) for cell in self.cells for path in self._record_files(cell)]
        if not parts:
            return pl.DataFrame(schema=SCHEMA)
        return pl.concat(parts, how="diagonal")

    def records(self) -> list[dict[str, Any]]:
        """Seeds, plan, duration and provenance of every finished chunk.

        Raises:
            StoreError: a file is damaged.
        """
        return [record for cell in self.cells for record in self._records(cell)]

    def condition(self, cell: str) -> tuple[list[dict[str, Any]], list[str], list[dict[str, Any]]]:
        """A cell's records that are whole, a line on every damaged part, and who is writing it now."""
        damaged = dict(self._damaged(cell))
        records = [read_sealed(path) for path in self._record_files(cell) if path not in damaged]
        writers = [found for path in sorted(self._cell(cell).glob(".lock*")) if (found := holder(path))]
        return records, [str(error) for error in damaged.values()], writers

    def checkpoints(self, cell: str, seeds: Sequence[Seed], interval: float = INTERVAL) -> Checkpoints:
        """Where the checkpoints of a chunk are kept."""
        return Checkpoints(self._cell(cell) / "checkpoints" / _name(seeds), interval)

    def metrics(self, cell: str, seeds: Sequence[Seed]) -> Path:
        """Where the numbers of a chunk are written while it is trained."""
        return self._cell(cell) / "metrics" / f"{_name(seeds)}.jsonl"

    def begun(self, cell: str) -> list[Checkpoints]:
        """Of all chunks that have any."""
        folder = self._cell(cell) / "checkpoints"
        return [Checkpoints(found) for found in sorted(folder.iterdir())] if folder.is_dir() else []

    def damage(self) -> list[str]:
        """A line on every damaged or useless file of the results; changes nothing."""
        found = []
        for cell in self.cells:
            found += [str(error) for _, error in self._damaged(cell)]
            found += [line for chunk in self.begun(cell) for line in chunk.damage()]
            for rows_file in sorted(self._cell(cell).glob("[!.]*.parquet")):
                if not rows_file.with_suffix(".json").exists():
                    found.append(f"{rows_file} has no record beside it: it is not used")
        return found

    def mend(self) -> list[str]:
        """Sets damaged parts aside, so that their seeds count as missing; a line on each."""
        found = []
        for cell in self.cells:
            for record_file, error in self._damaged(cell):
                for path in (record_file, record_file.with_suffix(".parquet")):
                    with contextlib.suppress(FileNotFoundError):  # another process may mend as well
                        set_aside(path)
                found.append(f"{error}; its seeds are trained again.")
        return found

    def _damaged(self, cell: str) -> list[tuple[Path, DamagedError]]:
        found = []
        for path in self._record_files(cell):
            try:
                check_digest(path.with_suffix(".parquet"), read_sealed(path)["rows"])
            except DamagedError as error:
                found.append((path, error))
        return found

    def _rows(self, record_file: Path) -> pl.DataFrame:
        rows_file = record_file.with_suffix(".parquet")
        try:
            check_digest(rows_file, read_sealed(record_file)["rows"])
        except DamagedError as error:
            raise StoreError(f"{error}; train the study again to mend it") from error
        return pl.read_parquet(rows_file)

    def _records(self, cell: str) -> list[dict[str, Any]]:
        try:
            return [read_sealed(path) for path in self._record_files(cell)]
        except DamagedError as error:
            raise StoreError(f"{error}; train the study again to mend it") from error

    def _record_files(self, cell: str) -> list[Path]:
        return sorted(self._cell(cell).glob("[!.]*.json"))

    def _cell(self, cell: str) -> Path:
        return self.folder / "cells" / cell


def _name(seeds: Sequence[Seed]) -> str:
    """Of a chunk's files."""
    found = hashlib.sha256(json.dumps(list(seeds)).encode()).hexdigest()[:8]
    return f"seeds-{min(seeds)[0]}-{max(seeds)[0]}-{found}"


def open_store(folder: Path) -> Store:
    """Opens an existing results folder.

    Raises:
        StoreError: there is none.
    """
    description = folder / "study.json"
    if not folder.is_dir():
        raise StoreError(f"{folder}: no such folder")
    if not description.is_file():
        raise StoreError(f"{folder} holds no study: there is no study.json in it")
    try:
        fields = read_sealed(description)
        return Store(folder, fields["study"], fields["cells"], asked=_read_seeds(fields.get("seeds", {})))
    except (DamagedError, KeyError) as error:
        raise StoreError(f"{error}; train the study again to mend it") from error


def create_store(folder: Path, study: str, experiments: Sequence[Experiment]) -> Store:
    """Opens or creates the results folder of a study.

    A folder that holds some of the cells, or all and further ones, is gone on with.

    Raises:
        StoreError: the folder holds another experiment or other files, or cannot be written.
    """
    asked = {experiment.cell: _without_seeds(experiment) for experiment in experiments}
    kept: Mapping[str, dict[str, Any]] = {}
    before: Mapping[str, tuple[Seed, ...]] = {}
    notes: tuple[str, ...] = ()
    if folder.exists() and not folder.is_dir():
        raise StoreError(f"{folder} is a file: --out must name a folder")
    if (folder / "study.json").is_file():
        kept, before, notes = _kept(folder)
        _check_same(folder, kept, asked)
    elif folder.is_dir() and any(folder.iterdir()) and not (folder / "cells").is_dir():
        raise StoreError(f"{folder} holds other files and no study: choose an empty or new folder")
    seeds = {cell.cell: (*before.get(cell.cell, ()), *cell.seeds) for cell in experiments}
    seeds = {cell: tuple(sorted(set(of))) for cell, of in {**before, **seeds}.items()}
    store = Store(folder, study, {**kept, **asked}, notes, seeds)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        remove_partial(folder)
        write_sealed(folder / "study.json", _description(store))
    except OSError as error:
        raise StoreError(f"{folder} cannot be written: {error.strerror or error}") from error
    return store


def _description(store: Store) -> dict[str, Any]:
    """What study.json says; seeds are written ``7``, or ``3/8`` where weights and data have two."""
    seeds = {
        cell: " ".join(str(i) if i == d else f"{i}/{d}" for i, d in of) for cell, of in store.asked.items()
    }
    return {"format": _FORMAT, "study": store.study, "cells": store.cells, "seeds": seeds}


def _read_seeds(texts: Mapping[str, str]) -> dict[str, tuple[Seed, ...]]:
    def seed(text: str) -> Seed:
        init, _, data = text.partition("/")
        return int(init), int(data or init)

    return {cell: tuple(map(seed, text.split())) for cell, text in texts.items()}


def _kept(
    folder: Path,
) -> tuple[Mapping[str, dict[str, Any]], Mapping[str, tuple[Seed, ...]], tuple[str, ...]]:
    """Cells of the folder and their seeds; none, and a note, where their description is damaged.

    It is then set aside. A cell's name holds a digest of its fields: its finished seeds are found again
    without the description.
    """
    try:
        store = open_store(folder)
        return store.cells, store.asked, ()
    except StoreError as error:
        aside = set_aside(folder / "study.json")
        damage = str(error).partition(";")[0]
        return {}, {}, (f"{damage}; it is kept as {aside.name} and written anew.",)


def overwrite(folder: Path) -> None:
    """Removes the study that a folder holds, and its report; other files stay.

    Raises:
        StoreError: the folder holds other files and no study.
        LockedError: a process is writing one of its cells.
    """
    if not folder.is_dir() or not any(folder.iterdir()):
        return
    cells = folder / "cells"
    if not (folder / "study.json").is_file() and not cells.is_dir():
        raise StoreError(f"{folder} holds other files and no study: choose an empty or new folder")
    for cell in sorted(cells.iterdir()) if cells.is_dir() else ():
        with locked(cell / ".lock"):
            pass
    for name in ("charts", "tables", "cells"):
        shutil.rmtree(folder / name, ignore_errors=True)
    for name in ("report.html", "study.json"):
        (folder / name).unlink(missing_ok=True)


def _check_same(folder: Path, kept: Mapping[str, Any], asked: Mapping[str, Any]) -> None:
    if kept.keys() <= asked.keys() or asked.keys() <= kept.keys():
        return
    new = next(fields for cell, fields in asked.items() if cell not in kept)
    differences = min((_differences(old, new) for old in kept.values()), key=len)
    raise StoreError(
        f"{folder} holds another experiment: {'; '.join(differences)}; choose another folder with --out"
    )


def _differences(old: Mapping[str, Any], new: Mapping[str, Any], prefix: str = "") -> list[str]:
    found: list[str] = []
    for name in dict.fromkeys([*old, *new]):
        before, after = old.get(name), new.get(name)
        if isinstance(before, Mapping) and isinstance(after, Mapping):
            found += _differences(before, after, f"{prefix}{name}.")
        elif before != after:
            found.append(f"{prefix}{name} is {before} there and {after} here")
    return found


def _without_seeds(experiment: Experiment) -> dict[str, Any]:
    """A cell's description as it reads back from JSON."""
    fields: dict[str, Any] = json.loads(experiment.to_json())
    return {name: value for name, value in fields.items() if name not in ("seeds", "study")}
