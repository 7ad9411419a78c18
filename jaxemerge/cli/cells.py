"""Which cells and seeds does a command ask for, and where are their results?"""

from __future__ import annotations

import argparse
import fnmatch
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from jaxemerge.cache import cache_folder, keep_compiled
from jaxemerge.cli.custom import with_metrics, with_model, with_optimizer, with_task
from jaxemerge.cli.parser import suggestion
from jaxemerge.cli.studies import Front
from jaxemerge.devices import start, use_host_cores
from jaxemerge.evaluation.metrics import success_threshold
from jaxemerge.runner.experiment import Experiment
from jaxemerge.runner.labels import labels
from jaxemerge.runner.opening import create_store
from jaxemerge.runner.processes import Processes
from jaxemerge.runner.start import Start
from jaxemerge.runner.store import Store
from jaxemerge.runner.sweep import assigned, distinct
from jaxemerge.training import Seed, crossed, paired

_MOST_SEEDS = 1_000_000


@dataclass(frozen=True)
class Asked:
    """What a command line of run or plan asks for.

    Attributes:
        whole: all cells of the study.
        cells: those to train, with the seeds of this process.
        folder: of their results.
        given: further arguments of ``jobs``, which plans their training.
    """

    whole: tuple[Experiment, ...]
    cells: tuple[Experiment, ...]
    folder: Path
    given: dict[str, Any]


def asked(options: argparse.Namespace, front: Front, processes: Processes) -> Asked:
    """What is asked of this process; starts its devices.

    Raises:
        ValueError: there is no such study, field, cell or seed.
    """
    whole = chosen_cells(options, front)
    cells = processes.own(selected(whole, options.cells))
    use_host_cores(options.cpu_devices)
    processes.start_devices()
    if note := start():
        print(f"note: {note}", file=sys.stderr)
    cached = not options.no_cache and programs_are_kept()
    cache = cache_folder() / "plans" if cached else None
    sizes = {"chunk": options.chunk, "width": options.vmap, "memory": options.memory}
    return Asked(whole, cells, results_folder(options), {"study": whole, **sizes, "cache": cache})


def programs_are_kept() -> bool:
    """Whether compiled programs and plans can be kept on disk; says so where they cannot."""
    try:
        keep_compiled()
    except OSError as error:
        reason = error.strerror or error
        print(f"note: {cache_folder()}: {reason}; programs are compiled anew in every run", file=sys.stderr)
        return False
    return True


def chosen_cells(options: argparse.Namespace, front: Front) -> tuple[Experiment, ...]:
    """The study's cells, with what the command line changes."""
    cells = front.studies[options.study].cells(quick=options.quick)
    if options.task:
        cells = with_task(cells, options.task)
    if options.model:
        cells = with_model(cells, options.model)
    if options.optimizer:
        cells = with_optimizer(cells, options.optimizer)
    cells = with_metrics(cells, options.metrics)
    if _own_parts(options):
        cells = [replace(cell, study=study_name(options)) for cell in cells]
    changed = [each for cell in cells for each in assigned(cell, options.changes, zipped=options.zip)]
    if options.seeds is not None:
        seeds = parse_seeds(options.seeds)
        changed = [cell.with_seeds(seeds) for cell in changed]
    whole = distinct(changed)
    return whole if options.start is None else _started(whole, Start.of(options.start), options.cells)


def _started(cells: Sequence[Experiment], start: Start, which: str | None) -> tuple[Experiment, ...]:
    """The cells with weights to start from; those that are not asked for know the digest alone.

    So the weights need not fit them.
    """
    described = [replace(cell, start=Start(start.digest)) for cell in cells]
    chosen = {cell.cell for cell in selected(described, which)}
    return tuple(replace(cell, start=start) if cell.cell in chosen else cell for cell in described)


def selected(cells: Sequence[Experiment], which: str | None) -> tuple[Experiment, ...]:
    """The cells that ``1,3:5`` or names ask for, in their order; all of them where nothing is asked for.

    Raises:
        ValueError: a part of the text fits no cell.
    """
    chosen = selected_names(labels({cell.cell: cell.to_dict() for cell in cells}), which)
    return tuple(cell for cell in cells if cell.cell in chosen)


def selected_names(called: Mapping[str, str], which: str | None) -> list[str]:
    """The ids of the cells that are asked for, by their numbers, ids or labels.

    Args:
        called: labels by id.
        which: ``1,3:5``, or patterns such as ``*depth2*`` and ``*lr 3e-3``; None for all.

    Raises:
        ValueError: a part of the text fits no cell.
    """
    names = list(called)
    if which is None:
        return names
    chosen: set[str] = set()
    for part in which.split(","):
        first, colon, last = part.partition(":")
        if first.isdigit() and (last.isdigit() or not colon):
            found = names[max(0, int(first) - 1) : int(last or first)] if int(first) else []
        else:
            found = [
                name
                for name, label in called.items()
                if fnmatch.fnmatch(name, part) or fnmatch.fnmatch(label, part)
            ]
        if not found:
            hint = suggestion(part, [*names, *called.values()])
            raise ValueError(
                f"--cells {which}: {part!r} is none of the {len(names)} cells that plan shows{hint}"
            )
        chosen.update(found)
    return [name for name in names if name in chosen]


def study_name(options: argparse.Namespace) -> str:
    """The study's name, with those of the task, model and optimizer that replace its own, and of metrics."""
    return "_".join([options.study, *_own_parts(options)])


def _own_parts(options: argparse.Namespace) -> list[str]:
    """Names of the parts that the command line replaces or adds."""
    places = (options.task, options.model, options.optimizer, *options.metrics)
    return [where.rpartition(":")[2] for where in places if where]


def results_folder(options: argparse.Namespace) -> Path:
    """Where the study is kept."""
    return options.out or Path("results") / (study_name(options) + ("_quick" if options.quick else ""))


def created_store(
    options: argparse.Namespace, front: Front, folder: Path, cells: Sequence[Experiment]
) -> Store:
    """The study's folder, opened or created; it records what counts as a success.

    Raises:
        ValueError: guessing would be a success.
    """
    name, chance = study_name(options), max(cell.chance for cell in cells)
    if options.threshold is not None:
        success_threshold(chance, options.threshold)
    own = front.threshold(name, chance)
    return create_store(folder, name, cells, threshold=options.threshold, default_threshold=own)


def parse_seeds(text: str) -> tuple[Seed, ...]:
    """Reads ``24``, ``8:24``, ``3,7,11`` or ``10x25``.

    Raises:
        ValueError: the text is none of these, or means more than a million seeds.
    """
    try:
        if "x" in text:
            inits, orders = map(int, text.split("x"))
            return crossed(range(_few(inits, text)), range(_few(orders, text, inits)))
        if ":" in text:
            first, stop = map(int, text.split(":"))
            return paired(range(first, first + _few(stop - first, text)))
        return paired(map(int, text.split(",")) if "," in text else range(_few(int(text), text)))
    except ManySeedsError:
        raise
    except ValueError:
        raise ValueError(f"--seeds {text}: write 24, 8:24, 3,7,11 or 10x25") from None


class ManySeedsError(ValueError):
    """More seeds than a study can have."""


def _few(count: int, text: str, times: int = 1) -> int:
    """The count, checked before it is expanded; ``times`` is how often it is."""
    if count * times > _MOST_SEEDS:
        raise ManySeedsError(f"--seeds {text}: {count * times} seeds must be at most {_MOST_SEEDS}")
    return count
