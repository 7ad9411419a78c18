"""Where are a study's results kept? One folder: a description, and immutable Parquet parts per cell.

    DIR/study.json                      the study's name and its cells, without seeds
    DIR/cells/CELL/PART.parquet         rows of one finished chunk of seeds
    DIR/cells/CELL/PART.json            seeds, plan, duration and provenance of that chunk

Files appear whole or not at all: they are written under a dot-name, flushed, and renamed.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from jaxemerge.files import appearing, write_json
from jaxemerge.runner.spec import Experiment
from jaxemerge.runner.table import SCHEMA
from jaxemerge.training import Seed

_FORMAT = 1


class StoreError(ValueError):
    """A results folder cannot be used for what was asked."""


@dataclass(frozen=True)
class Store:
    """A results folder.

    Attributes:
        folder: where it is.
        study: name of its study.
        cells: what each cell is, by id.
    """

    folder: Path
    study: str
    cells: Mapping[str, dict[str, Any]]

    def finished(self, cell: str) -> set[Seed]:
        """Members of a cell whose results are there."""
        parts = self._parts(cell)
        if not parts:
            return set()
        pairs = pl.scan_parquet(parts).select("init_seed", "data_seed").unique().collect()
        return set(pairs.iter_rows())

    def write(self, cell: str, seeds: Sequence[Seed], rows: pl.DataFrame, record: Mapping[str, Any]) -> None:
        """Adds a finished chunk: its rows and the record of how they came about."""
        folder = self.folder / "cells" / cell
        folder.mkdir(parents=True, exist_ok=True)
        digest = hashlib.sha256(json.dumps(list(seeds)).encode()).hexdigest()[:8]
        name = f"seeds-{min(seeds)[0]}-{max(seeds)[0]}-{digest}"
        with appearing(folder / f"{name}.parquet") as path:
            rows.write_parquet(path)
        write_json(folder / f"{name}.json", {"cell": cell, "seeds": list(seeds), **record})

    def results(self) -> pl.DataFrame:
        """All rows of all finished chunks; cells without some swept column have null there."""
        parts = [part for cell in self.cells for part in self._parts(cell)]
        if not parts:
            return pl.DataFrame(schema=SCHEMA)
        return pl.concat([pl.read_parquet(part) for part in parts], how="diagonal")

    def records(self) -> list[dict[str, Any]]:
        """Seeds, plan, duration and provenance of every finished chunk."""
        return [
            json.loads(path.read_text(encoding="utf-8"))
            for cell in self.cells
            for path in sorted((self.folder / "cells" / cell).glob("[!.]*.json"))
        ]

    def _parts(self, cell: str) -> list[Path]:
        return sorted((self.folder / "cells" / cell).glob("[!.]*.parquet"))


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
        fields = json.loads(description.read_text(encoding="utf-8"))
        return Store(folder, fields["study"], fields["cells"])
    except (ValueError, KeyError) as error:
        raise StoreError(f"{description} is damaged: {error}") from error


def create_store(folder: Path, study: str, experiments: Sequence[Experiment]) -> Store:
    """Opens or creates the results folder of a study.

    A folder that holds some of the cells, or all and further ones, is gone on with.

    Raises:
        StoreError: the folder holds another experiment or other files, or cannot be written.
    """
    asked = {experiment.cell: _without_seeds(experiment) for experiment in experiments}
    kept: Mapping[str, dict[str, Any]] = {}
    if folder.exists() and not folder.is_dir():
        raise StoreError(f"{folder} is a file: --out must name a folder")
    if (folder / "study.json").is_file():
        kept = open_store(folder).cells
        _check_same(folder, kept, asked)
    elif folder.is_dir() and any(folder.iterdir()):
        raise StoreError(f"{folder} holds other files and no study: choose an empty or new folder")
    store = Store(folder, study, {**kept, **asked})
    try:
        folder.mkdir(parents=True, exist_ok=True)
        write_json(folder / "study.json", {"format": _FORMAT, "study": study, "cells": store.cells})
    except OSError as error:
        raise StoreError(f"{folder} cannot be written: {error.strerror or error}") from error
    return store


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
