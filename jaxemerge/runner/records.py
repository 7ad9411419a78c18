"""How far is a study? What its results folder records, without rows and weights.

This needs neither JAX nor Polars, so that the state of a study is shown at once.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jaxemerge.files import DamagedError, check_digest, read_sealed
from jaxemerge.runner.lock import holder

if TYPE_CHECKING:
    from jaxemerge.training import Seed

FORMAT = 2
_CELL = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.+-]*")  # a cell's id names a folder

# What may be saved of a chunk besides its rows.
ITEMS, PASSES, WEIGHTS = KINDS = ("items", "passes", "weights")


class StoreError(ValueError):
    """A results folder cannot be used for what was asked."""


@dataclass(frozen=True)
class Records:
    """The records of a results folder.

    Attributes:
        folder: where it is.
        study: name of its study.
        cells: what each cell is, by id.
        asked: the seeds of each cell that commands have asked for so far.
        notes: lines for people about how the folder was opened.
        threshold: the score that counts as a success, as the study was trained; None where the folder does
            not say.
        shorter: cells that were trained before ``steps`` was raised, by id. Only the states that were kept of
            them are used: ``cells`` continue from these.
    """

    folder: Path
    study: str
    cells: Mapping[str, dict[str, Any]]
    notes: tuple[str, ...] = ()
    asked: Mapping[str, tuple[Seed, ...]] = field(default_factory=dict)
    threshold: float | None = None
    shorter: Mapping[str, dict[str, Any]] = field(default_factory=dict)

    def finished(self, cell: str) -> set[Seed]:
        """Seeds of a cell that have results."""
        return {(init, data) for record in self._records(cell) for init, data in record["seeds"]}

    def records(self) -> list[dict[str, Any]]:
        """Seeds, plan, duration and provenance of every finished chunk.

        Raises:
            StoreError: a file is damaged.
        """
        return [record for cell in self.cells for record in self._records(cell)]

    def saved_weights(self, cell: str) -> list[Seed]:
        """The seeds of a cell whose weights were saved."""
        found = [record for record in self._records(cell) if WEIGHTS in record]
        return [(init, data) for record in found for init, data in record["seeds"]]

    def condition(self, cell: str) -> tuple[list[dict[str, Any]], list[str], list[dict[str, Any]]]:
        """A cell's undamaged records, one line per damaged part, and the processes that write it now."""
        damaged = dict(self._damaged(cell))
        records = [read_record(path) for path in self._record_files(cell) if path not in damaged]
        writers = [found for path in sorted(self._cell(cell).glob(".lock*")) if (found := holder(path))]
        return records, [str(error) for error in damaged.values()], writers

    def checkpoint_records(self, cell: str) -> list[dict[str, Any]]:
        """The record of the newest readable checkpoint of each chunk that has one."""
        folder = self._cell(cell) / "checkpoints"
        chunks = sorted(folder.iterdir()) if folder.is_dir() else []
        return [record for chunk in chunks if (record := newest_record(chunk))]

    def _unrecorded(self, cell: str) -> list[Path]:
        """Rows without the record that is written after them."""
        rows = sorted(self._cell(cell).glob("[!.]*.parquet"))
        return [path for path in rows if not os.path.lexists(path.with_suffix(".json"))]

    def _damaged(self, cell: str) -> list[tuple[Path, DamagedError]]:
        found = []
        for path in self._record_files(cell):
            try:
                record = read_record(path)
                check_digest(path.with_suffix(".parquet"), record["rows"])
                for kind in KINDS:
                    if kind in record:
                        check_digest(file_of(kind, path), record[kind])
            except DamagedError as error:
                found.append((path, error))
        return found

    def _records(self, cell: str) -> list[dict[str, Any]]:
        try:
            return [read_record(path) for path in self._record_files(cell)]
        except DamagedError as error:
            raise StoreError(f"{error}; train the study again to mend it") from error

    def _record_files(self, cell: str) -> list[Path]:
        return sorted(self._cell(cell).glob("[!.]*.json"))

    def _cell(self, cell: str) -> Path:
        return self.folder / "cells" / cell


def open_records(folder: Path) -> Records:
    """The records of an existing results folder.

    Raises:
        StoreError: there is none.
    """
    description = folder / "study.json"
    if not folder.is_dir():
        raise StoreError(f"{folder}: no such folder")
    if not os.path.lexists(description):
        raise StoreError(f"{folder} holds no study: there is no study.json in it")
    try:
        return described(folder)
    except DamagedError as error:
        raise StoreError(f"{error}; train the study again to mend it") from error


def described(folder: Path) -> Records:
    """The records of the folder that its study.json describes.

    Raises:
        DamagedError: study.json is damaged.
        StoreError: another version of jaxemerge wrote it, or a cell's name is no name of a folder.
    """
    fields = read_sealed(folder / "study.json")
    found = fields.get("format")
    if found != FORMAT:
        raise StoreError(f"{folder} is a results folder of format {found}; this version writes {FORMAT}")
    try:
        for cell, each in fields["cells"].items():
            if not _CELL.fullmatch(cell):
                raise StoreError(f"{folder}: study.json names a cell {cell!r}, which is no name of a folder")
            int(each["steps"])
        asked, shorter = _read_seeds(fields.get("seeds", {})), dict(fields.get("shorter", {}))
        more: Any = {"asked": asked, "threshold": fields.get("threshold"), "shorter": shorter}
        return Records(folder, str(fields["study"]), fields["cells"], **more)
    except StoreError:
        raise
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise DamagedError(f"{folder / 'study.json'} is damaged: it describes no study") from error


def read_record(path: Path) -> dict[str, Any]:
    """What a chunk, or a checkpoint of one, says of itself.

    Raises:
        DamagedError: it is missing, has changed, or is the record of something else.
    """
    record = read_sealed(path)
    try:
        whole = all(type(seed) is int for pair in record["seeds"] for seed in pair)
        pairs = all(len(pair) == 2 for pair in record["seeds"])
        kinds: dict[str, Any] = {"cell": str, "seconds": (int, float), "plan": dict, "provenance": dict}
        right = whole and pairs and all(isinstance(record[name], kind) for name, kind in kinds.items())
        right &= isinstance(record.get("step", 0), int)
    except (KeyError, TypeError):
        right = False
    if not right:
        raise DamagedError(f"{path} is damaged: it is no record of a chunk")
    return record


def is_longer(new: Mapping[str, Any], old: Mapping[str, Any]) -> bool:
    """Whether a cell is another one, trained for more steps; evaluations may differ."""
    others = ("steps", "evaluations")
    same = all(new.get(name) == old.get(name) for name in {*new, *old} - {*others})
    return same and bool(new["steps"] > old["steps"])


def _read_seeds(texts: Mapping[str, str]) -> dict[str, tuple[Seed, ...]]:
    def seed(text: str) -> Seed:
        init, _, data = text.partition("/")
        return int(init), int(data or init)

    return {cell: tuple(map(seed, text.split())) for cell, text in texts.items()}


def checkpoint_folders(chunk: Path) -> list[Path]:
    """The checkpoints of a chunk, the newest last."""
    found = chunk.iterdir() if chunk.is_dir() else ()
    return sorted(path for path in found if path.name.isdigit())


def newest_record(chunk: Path) -> dict[str, Any] | None:
    """What the newest checkpoint of a chunk says of itself; None where none can be read."""
    for folder in reversed(checkpoint_folders(chunk)):
        with contextlib.suppress(DamagedError):
            return read_record(folder / "chunk.json")
    return None


@dataclass(frozen=True)
class CellStatus:
    """State of one cell; read-only.

    Attributes:
        cell: its id.
        steps: of its training.
        finished: seeds with undamaged results.
        asked: seeds that commands have asked for so far; None where the folder does not say.
        seconds: spent on the finished ones.
        writers: host, process and start time of every process that trains it now.
        checkpointed: step of the newest checkpoint, and number of seeds, of every unfinished chunk.
        damaged: one line per damaged part.
    """

    cell: str
    steps: int
    finished: int
    asked: int | None
    seconds: float
    writers: tuple[dict[str, Any], ...]
    checkpointed: tuple[tuple[int, int], ...]
    damaged: tuple[str, ...]

    @property
    def missing(self) -> int | None:
        """Number of seeds asked for that have no results yet."""
        return None if self.asked is None else self.asked - self.finished


def study_status(store: Records) -> list[CellStatus]:
    """Every cell of a results folder."""
    return [_cell_status(store, cell) for cell in store.cells]


def _cell_status(store: Records, cell: str) -> CellStatus:
    records, damaged, writers = store.condition(cell)
    done = {tuple(seed) for record in records for seed in record["seeds"]}
    asked = store.asked.get(cell)
    newest = store.checkpoint_records(cell)
    left = [(record["step"], sum(tuple(seed) not in done for seed in record["seeds"])) for record in newest]
    return CellStatus(
        cell=cell,
        steps=store.cells[cell]["steps"],
        finished=len(done),
        asked=None if asked is None else len(done | set(asked)),
        seconds=sum(record["seconds"] for record in records),
        writers=tuple(writers),
        checkpointed=tuple(sorted((step, seeds) for step, seeds in left if seeds)),
        damaged=tuple(damaged),
    )


def file_of(kind: str, record_file: Path) -> Path:
    """The file of one kind of a chunk's tables or weights."""
    ending = "safetensors" if kind == WEIGHTS else "parquet"
    return record_file.parent / kind / f"{record_file.stem}.{ending}"
