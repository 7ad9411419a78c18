"""Which study does a results folder hold, and may this command continue it?"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from jaxemerge.files import DamagedError, make_folder, remove_partial, set_aside, write_sealed
from jaxemerge.runner.experiment import Experiment
from jaxemerge.runner.lock import locked, waiting
from jaxemerge.runner.records import FORMAT, Records, StoreError, described, is_longer, open_records
from jaxemerge.runner.store import Store
from jaxemerge.training import Scheduled


def open_store(folder: Path) -> Store:
    """Opens an existing results folder.

    Raises:
        StoreError: there is none.
    """
    found = open_records(folder)
    return Store(**vars(found))


def create_store(
    folder: Path,
    study: str,
    experiments: Sequence[Experiment],
    *,
    threshold: float | None = None,
    default_threshold: float | None = None,
) -> Store:
    """Opens or creates the results folder of a study.

    A folder that holds some of the cells, or all and more, is continued. Several processes may do so at once,
    each with its own cells.

    Args:
        folder: made if it is not there.
        study: its name.
        experiments: its cells, with the seeds that are asked for.
        threshold: the score that counts as a success in reports; None leaves what the folder says.
        default_threshold: the same, where neither is known.

    Raises:
        StoreError: the folder holds another experiment or other files, or cannot be written.
    """
    if folder.exists() and not folder.is_dir():
        raise StoreError(f"{folder} is a file: --out must name a folder")
    asked = {experiment.cell: _without_seeds(experiment) for experiment in experiments}
    try:
        make_folder(folder)
        with waiting(folder / ".lock"):
            remove_partial(folder)
            found = _found(folder, experiments)
            before = found.asked
            seeds = {cell.cell: (*before.get(cell.cell, ()), *cell.seeds) for cell in experiments}
            seeds = {cell: tuple(sorted(set(of))) for cell, of in {**before, **seeds}.items()}
            known = (threshold, found.threshold, default_threshold)
            success = next((share for share in known if share is not None), None)
            cells = {**found.cells, **asked}
            store = Store(folder, study, cells, found.notes, seeds, success, found.shorter)
            write_sealed(folder / "study.json", _description(store))
    except OSError as error:
        raise StoreError(f"{folder} cannot be written: {error.strerror or error}") from error
    return store


def _description(store: Store) -> dict[str, Any]:
    """What study.json says; seeds are written ``7``, or ``3/8`` where weights and data have two."""
    seeds = {
        cell: " ".join(str(i) if i == d else f"{i}/{d}" for i, d in of) for cell, of in store.asked.items()
    }
    more: dict[str, Any] = {} if store.threshold is None else {"threshold": store.threshold}
    more |= {"shorter": store.shorter} if store.shorter else {}
    return {"format": FORMAT, "study": store.study, "cells": store.cells, "seeds": seeds, **more}


def _found(folder: Path, experiments: Sequence[Experiment]) -> Records:
    """What the folder records; no cells, with a note, where the description is missing or damaged.

    A damaged description is renamed.
    """
    asked = {experiment.cell: _without_seeds(experiment) for experiment in experiments}
    nothing = Records(folder, "", {})
    if not os.path.lexists(folder / "study.json"):
        _check_left(folder, asked)
        lost = (folder / "cells").is_dir()
        note = f"{folder / 'study.json'} is missing; it is written again."
        return replace(nothing, notes=(note,)) if lost else nothing
    try:
        found = described(folder)
    except DamagedError as error:
        _check_left(folder, asked)
        aside = set_aside(folder / "study.json")
        return replace(nothing, notes=(f"{error}; it is kept as {aside.name} and written again.",))
    if found.cells.keys() <= asked.keys() or asked.keys() <= found.cells.keys():
        return found
    return _continued(found, {each.cell: each for each in experiments if each.cell not in found.cells})


def _check_left(folder: Path, asked: Mapping[str, Any]) -> None:
    """Raises for a folder without a description, unless it holds only cells of this command.

    A cell's name holds a digest of its fields: its seeds are found without the description.
    """
    cells = folder / "cells"
    if not cells.is_dir() and any(path.name != ".lock" for path in folder.iterdir()):
        raise StoreError(f"{folder} holds other files and no study: choose an empty or new folder")
    others = sorted(path.name for path in cells.iterdir() if path.name not in asked) if cells.is_dir() else ()
    if others:
        raise StoreError(
            f"{folder} has lost its study.json, and holds the cell {others[0]}, which this command does not "
            "train: give the command that does, or choose another folder with --out"
        )


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
    for name in ("report.html", "report.json", "study.json"):
        (folder / name).unlink(missing_ok=True)


def _continued(found: Records, new: Mapping[str, Experiment]) -> Records:
    """The records of a study that is to be trained for more steps: cells that are in it become shorter ones.

    Raises:
        StoreError: a new cell differs in more than ``steps``, or its training cannot be continued.
    """
    shorter: dict[str, Any] = {}
    kept = any((found.folder / "cells" / cell / "states").is_dir() for cell in found.cells)
    for experiment in new.values():
        fields = _without_seeds(experiment)
        before = {cell: old for cell, old in found.cells.items() if is_longer(fields, old)}
        reason = why_not_continued(experiment, kept=kept) if before else ""
        if reason or not before:
            differences = min((_differences(old, fields) for old in found.cells.values()), key=len)
            raise StoreError(
                f"{found.folder} holds another experiment: {'; '.join(differences)}{reason}; choose another "
                "folder with --out, or start again with --overwrite"
            )
        shorter |= before
    left = {cell: fields for cell, fields in found.cells.items() if cell not in shorter}
    asked = {cell: seeds for cell, seeds in found.asked.items() if cell not in shorter}
    return replace(found, cells=left, asked=asked, shorter={**found.shorter, **shorter})


def why_not_continued(experiment: Experiment, *, kept: bool) -> str:
    """Why training of fewer steps does not become that of an experiment; empty where it does.

    Args:
        experiment: of more steps.
        kept: whether states were kept.
    """
    optimizer = experiment.optimizer
    if not isinstance(optimizer, Scheduled):
        return " (it is not continued: its optimizer may depend on the number of steps)"
    if not optimizer.common_steps(experiment.steps):
        name = optimizer.schedule if isinstance(optimizer.schedule, str) else optimizer.schedule.__name__
        return (
            f" (it is not continued: the {name} schedule depends on the number of steps; constant, "
            "inverse_sqrt and, before its decay, wsd do not)"
        )
    return "" if kept else " (it is not continued: no state was kept; train with --keep-state)"


def _differences(old: Mapping[str, Any], new: Mapping[str, Any], prefix: str = "") -> list[str]:
    found: list[str] = []
    for name in dict.fromkeys([*old, *new]):
        before, after = old.get(name), new.get(name)
        if isinstance(before, Mapping) and isinstance(after, Mapping):
            found += _differences(before, after, f"{prefix}{name}.")
        elif before != after and prefix == "code.":
            change = "has changed" if before and after else "is new" if after else "is no longer used"
            found.append(f"code of {name} {change}")
        elif before != after and prefix == "files.":
            change = "has changed" if before and after else "is new" if after else "is no longer read"
            found.append(f"data file {name} {change}")
        elif before != after:
            found.append(f"{prefix}{name} is {before} there and {after} here")
    return found


def _without_seeds(experiment: Experiment) -> dict[str, Any]:
    """A cell's description as it reads back from JSON."""
    fields: dict[str, Any] = json.loads(experiment.to_json())
    return {name: value for name, value in fields.items() if name not in ("seeds", "study")}
