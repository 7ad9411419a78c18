"""Where are a study's results? In one folder: a description, and immutable Parquet parts per cell.

    DIR/study.json                      the study's name, cells and seeds, and what counts as a success
    DIR/cells/CELL/PART.parquet         rows of one finished chunk of seeds
    DIR/cells/CELL/PART.json            seeds, plan, duration and provenance of that chunk, and the
                                        digest of its rows; rows without it are not used
    DIR/cells/CELL/items/PART.parquet   where asked for, a row per seed and item of that chunk
    DIR/cells/CELL/passes/PART.parquet  of an experiment with pass_until, its counts per seed and item
    DIR/cells/CELL/weights/PART.safetensors     where asked for, the final weights of that chunk's seeds
    DIR/cells/CELL/snapshots/STEP/PART.safetensors      where asked for, weights of seeds at a step
    DIR/cells/CELL/states/              where asked for, states from which training can be made longer
    DIR/cells/CELL/checkpoints/         of chunks that are being trained
    DIR/cells/CELL/metrics/             numbers along the training (``tracking``); nothing is read from them

Files appear whole or not at all: they are written under a dot-name, flushed, and renamed. What is read is
checked against its digest first.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import math
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from jaxemerge.files import (
    DamagedError,
    check_digest,
    checked_bytes,
    digest,
    make_folder,
    remove_partial,
    set_aside,
    write_bytes,
    write_sealed,
)
from jaxemerge.runner.checkpoint import INTERVAL, Checkpoints
from jaxemerge.runner.lock import LockedError, locked, refuse_others
from jaxemerge.runner.records import (
    ITEMS,
    KINDS,
    PASSES,
    WEIGHTS,
    Records,
    StoreError,
    file_of,
    is_longer,
    read_record,
)
from jaxemerge.runner.tables import with_swept_columns
from jaxemerge.runner.weights import read_weights, write_weights
from jaxemerge.schema import SCHEMA
from jaxemerge.training import Seed


@dataclass(frozen=True)
class Store(Records):
    """A results folder, see ``Records`` for its attributes."""

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
        make_folder(folder)
        with locked(folder / f".lock{share}"):
            refuse_others(folder, share)
            for place in (folder, *folder.glob("checkpoints/*")):
                remove_partial(place)
            yield

    def check_there(self) -> None:
        """Raises OSError where the folder is gone: what is written must not make another one in its place."""
        if not os.path.lexists(self.folder / "study.json"):
            raise OSError(
                f"{self.folder} has been moved or deleted: move it back, or run the command again with --out"
            )

    def write(
        self,
        cell: str,
        seeds: Sequence[Seed],
        rows: pl.DataFrame,
        record: Mapping[str, Any],
        more: Mapping[str, pl.DataFrame] | None = None,
        weights: Mapping[str, np.ndarray] | None = None,
    ) -> None:
        """Adds a finished chunk: rows, their record, further tables by kind, weights.

        Raises:
            StoreError: a process that took this one for dead has finished some of its seeds.
        """
        if not self.finished(cell).isdisjoint(seeds):
            raise StoreError(f"{cell}: another process has finished seeds of this chunk; run this again")
        folder = self._cell(cell)
        make_folder(folder)
        rows_file = folder / f"{_name(seeds)}.parquet"
        _write(rows_file, rows)
        fields = {"cell": cell, "seeds": [list(seed) for seed in seeds], "rows": digest(rows_file), **record}
        for kind, frame in (more or {}).items():
            file = file_of(kind, rows_file)
            make_folder(file.parent)
            _write(file, frame)
            fields[kind] = digest(file)
        if weights is not None:
            file = file_of(WEIGHTS, rows_file)
            make_folder(file.parent)
            write_weights(file, weights, {"cell": cell, "seeds": fields["seeds"]})
            fields[WEIGHTS] = digest(file)
        write_sealed(rows_file.with_suffix(".json"), fields)

    def results(self) -> pl.DataFrame:
        """All rows of all finished chunks, with columns for the fields in which the cells differ.

        Raises:
            StoreError: a file is damaged.
        """
        parts = [self._rows(path) for cell in self.cells for path in self._record_files(cell)]
        if not parts:
            return pl.DataFrame(schema=SCHEMA)
        return with_swept_columns(parts, self.cells)

    def items(self) -> pl.DataFrame:
        """Saved items of all finished chunks, a row per seed and item, for ``jaxemerge.analysis.rescore``.

        Raises:
            StoreError: a file is damaged, or no items were saved.
        """
        parts = self._saved(ITEMS)
        if not parts:
            raise StoreError(f"{self.folder} holds no items: train the study with --keep-items")
        return pl.concat(parts, how="diagonal")

    def passes(self) -> pl.DataFrame | None:
        """Counts of sampling until answers pass, a row per seed and item; None where nothing was sampled.

        Raises:
            StoreError: a file is damaged.
        """
        parts = self._saved(PASSES)
        return pl.concat(parts, how="diagonal") if parts else None

    def keep(self, cell: str, seeds: Sequence[Seed], step: int, arrays: Mapping[str, np.ndarray]) -> None:
        """Saves weights of some seeds at a step, leading axis S."""
        file = self._cell(cell) / "snapshots" / f"{step:09d}" / f"{_name(seeds)}.safetensors"
        make_folder(file.parent)
        write_weights(file, arrays, {"cell": cell, "seeds": [list(seed) for seed in seeds], "step": step})

    def kept_steps(self, cell: str) -> list[int]:
        """Steps of which weights were saved, in their order."""
        return sorted({int(path.parent.name) for path in self._snapshots(cell)})

    def kept_weights(self, cell: str, step: int) -> dict[Seed, dict[str, np.ndarray]]:
        """Weights at a step by seed and name, as far as they were saved.

        Raises:
            StoreError: a file is damaged.
        """
        found: dict[Seed, dict[str, np.ndarray]] = {}
        for path in self._snapshots(cell, f"{step:09d}"):
            try:
                arrays, about = read_weights(path)
            except DamagedError as error:
                raise StoreError(f"{error}; remove it, or train the study again") from error
            for i, (init, data) in enumerate(about["seeds"]):
                found[init, data] = {name: array[i] for name, array in arrays.items()}
        return found

    def _snapshots(self, cell: str, step: str = "*") -> list[Path]:
        return sorted((self._cell(cell) / "snapshots").glob(f"{step}/[!.]*.safetensors"))

    def weights(self, cell: str) -> Iterator[tuple[Seed, dict[str, np.ndarray]]]:
        """Final weights of a cell's seeds, by name, as far as they were saved.

        Raises:
            StoreError: a file is damaged.
        """
        for path, record in zip(self._record_files(cell), self._records(cell), strict=True):
            if WEIGHTS in record:
                file = file_of(WEIGHTS, path)
                try:
                    check_digest(file, record[WEIGHTS])
                    arrays, _ = read_weights(file)
                except DamagedError as error:
                    raise StoreError(f"{error}; train the study again to mend it") from error
                for i, (init, data) in enumerate(record["seeds"]):
                    yield (init, data), {name: array[i] for name, array in arrays.items()}

    def _saved(self, kind: str) -> list[pl.DataFrame]:
        """Tables of one kind, per finished chunk."""
        return [
            _checked(file_of(kind, path), record[kind])
            for cell in self.cells
            for path, record in zip(self._record_files(cell), self._records(cell), strict=True)
            if kind in record
        ]

    def checkpoints(self, cell: str, seeds: Sequence[Seed], interval: float = INTERVAL) -> Checkpoints:
        """The checkpoints of a chunk."""
        return Checkpoints(self._cell(cell) / "checkpoints" / _name(seeds), interval)

    def metrics(self, cell: str, seeds: Sequence[Seed]) -> Path:
        """The file of a chunk's numbers during training."""
        return self._cell(cell) / "metrics" / f"{_name(seeds)}.jsonl"

    def states(self, cell: str, seeds: Sequence[Seed]) -> Checkpoints:
        """Where the state of a chunk is kept from which longer training continues."""
        return Checkpoints(self._cell(cell) / "states" / _name(seeds))

    def checkpointed(self, cell: str) -> list[Checkpoints]:
        """Checkpoints by chunk: unreadable ones first, then those of the latest step."""
        return _in_order(self._cell(cell) / "checkpoints")

    def resumable(self, cell: str) -> list[Checkpoints]:
        """Checkpoints of a cell, and kept states of the same cell with fewer steps; in the same order."""
        before = [old for old, fields in self.shorter.items() if is_longer(self.cells[cell], fields)]
        return _in_order(self._cell(cell) / "checkpoints", *(self._cell(old) / "states" for old in before))

    def clear(self, cell: str) -> None:
        """Removes checkpoints whose seeds are all finished."""
        done = self.finished(cell)
        for chunk in self.checkpointed(cell):
            record = chunk.record()
            if record is not None and {tuple(seed) for seed in record["seeds"]} <= done:
                chunk.clear()

    def damage(self) -> list[str]:
        """One line per damaged or useless file; read-only."""
        found = []
        for cell in self.cells:
            found += [str(error) for _, error in self._damaged(cell)]
            found += [line for chunk in self.resumable(cell) for line in chunk.damage()]
            found += [f"{path} has no record beside it: it is not used" for path in self._unrecorded(cell)]
        return found

    def mend(self) -> list[str]:
        """Repairs the folder after damage and killed processes; one line per part that is trained again.

        Damaged parts are renamed; rows without a record, checkpoints of finished seeds and partial files are
        removed. Cells that another process is writing are left alone.
        """
        found: list[str] = []
        for cell in self.cells:
            if any(self._leftovers(cell)) or self._damaged(cell):
                with contextlib.suppress(LockedError), self.writing(cell):
                    found += self._mend(cell)
        return found

    def _mend(self, cell: str) -> list[str]:
        found = []
        for record_file, error in self._damaged(cell):
            others = (file_of(kind, record_file) for kind in KINDS)
            for path in (record_file, record_file.with_suffix(".parquet"), *others):
                if os.path.lexists(path):
                    set_aside(path)
            found.append(f"{error}; its seeds are trained again.")
        for rows_file in self._unrecorded(cell):
            rows_file.unlink()
            found.append(f"{rows_file} has no record beside it; its seeds are trained again.")
        self.clear(cell)
        return found

    def _leftovers(self, cell: str) -> Iterator[Path]:
        """Files that a killed process may have left."""
        yield from self._unrecorded(cell)
        for pattern in (".lock*", ".*.partial", "checkpoints/*"):
            yield from self._cell(cell).glob(pattern)

    def _rows(self, record_file: Path) -> pl.DataFrame:
        try:
            expected = read_record(record_file)["rows"]
        except DamagedError as error:
            raise StoreError(f"{error}; train the study again to mend it") from error
        return _checked(record_file.with_suffix(".parquet"), expected)


def _in_order(*folders: Path) -> list[Checkpoints]:
    """Checkpoints in some folders: unreadable ones first, then those of the latest step."""
    found = [Checkpoints(each) for one in folders if one.is_dir() for each in sorted(one.iterdir())]
    steps = {each.folder: (each.record() or {"step": math.inf})["step"] for each in found}
    return sorted(found, key=lambda each: -steps[each.folder])


def _write(path: Path, frame: pl.DataFrame) -> None:
    parquet = io.BytesIO()
    frame.write_parquet(parquet)
    write_bytes(path, parquet.getvalue())


def _checked(path: Path, expected: str) -> pl.DataFrame:
    """The frame in a file, checked against its digest."""
    try:
        content = checked_bytes(path, expected)
    except DamagedError as error:
        raise StoreError(f"{error}; train the study again to mend it") from error
    return pl.read_parquet(io.BytesIO(content))  # Polars would expand the file's name as a pattern


def _name(seeds: Sequence[Seed]) -> str:
    """Of a chunk's files."""
    found = hashlib.sha256(json.dumps(list(seeds)).encode()).hexdigest()[:8]
    return f"seeds-{min(seeds)[0]}-{max(seeds)[0]}-{found}"
