"""The command line: what may be asked for, and what was."""

from __future__ import annotations

import argparse
import fnmatch
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import NoReturn

from jaxemerge.cli.custom import with_model, with_task
from jaxemerge.runner.checkpoint import INTERVAL
from jaxemerge.runner.experiment import Experiment
from jaxemerge.runner.sweep import distinct, override, parse
from jaxemerge.runner.tracking import TRACKERS
from jaxemerge.training import Seed, crossed, paired
from jaxemerge.training.chips import CHIPS, chip_named

RESOURCES = ("partition", "time", "gpus", "cpus", "job_memory", "parallel", "sbatch")
ON_A_FOLDER = ("status", "report", "verify", "export")
ANALYZE = "analyze"
SUCCESS = 0.2  # exact match of a success, where a study does not say
# What columns of a file may be named for; of all of them jaxemerge.analysis.read_results says more.
COLUMNS = {
    "value": "scores; several columns with commas between them, where each metric has its own",
    "scale": "what was varied, such as the size of the model",
    "parameters": "N of scaling laws",
    "tokens": "D of scaling laws",
    "flops": "C of scaling laws",
    "seed": "tells the runs of one scale apart",
    "model": "names of the models",
    "step": "training steps, where runs were scored along the way",
    "task": "names of the tests",
    "metric": "names of the metrics",
    "trials": "items behind a score, a column or a number",
}
TOO = ("task", "model")  # options of studies, too


class Parser(argparse.ArgumentParser):
    """Says what is wrong in one line and exits with 2."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"error: {message}\n")


def parser(description: str | None, studies: Mapping[str, ModuleType]) -> Parser:
    """The command line, with a text above its help."""
    default = next(iter(studies))
    top = Parser(
        description=description,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,  # what is stripped off for jobs must be what was meant
    )
    top.add_argument(
        "command",
        nargs="?",
        default=default,
        metavar="STUDY|list|status|report|verify|export|analyze",
        help=f"a study's name (default {default}), or one of the commands above",
    )
    top.add_argument(
        "folder",
        nargs="?",
        type=Path,
        metavar="DIR|FILE",
        help="results folder, for status, report, verify and export; anyone's results, for analyze",
    )
    top.add_argument("--quick", action="store_true", help="the study's small version, for a laptop")
    top.add_argument(
        "--seeds",
        metavar="WHICH",
        help="24: seeds 0 to 23; 8:24: seeds 8 to 23; 3,7,11: just "
        "these; 10x25: 10 initialisations crossed with 25 data orders",
    )
    top.add_argument("--out", type=Path, metavar="DIR", help="results folder (default results/STUDY)")
    top.add_argument(
        "--cells",
        metavar="WHICH",
        help="train only some cells: their numbers in --plan, as 1,3:5, or their names, as *depth2*",
    )
    top.add_argument(
        "--task",
        metavar="WHERE",
        help="train another task in the study's cells: FILE.py:CLASS, MODULE:CLASS, or the name of a "
        "built-in one; the context grows where its examples need it; or an Objective, which needs no model "
        "(analyze: column of the tests)",
    )
    top.add_argument(
        "--model",
        metavar="WHERE",
        help="train a model of your own in the study's cells: FILE.py:CLASS or MODULE:CLASS, a Model or a "
        "Flax module (analyze: column of the models)",
    )
    top.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="FIELD=VALUE",
        dest="changes",
        help="change a field of every cell, as model.depth=6; may be given several times",
    )
    top.add_argument("--plan", action="store_true", help="print cells, sizes, cost and time; train nothing")
    top.add_argument(
        "--for",
        dest="target",
        metavar="CHIP",
        help=f"--plan for a chip that need not be here, compiled for it: {', '.join(CHIPS)}",
    )
    top.add_argument(
        "--rate",
        type=float,
        metavar="FLOPS",
        help="FLOP/s that --plan reckons with, for another machine (default: measured here)",
    )
    top.add_argument(
        "--threshold",
        type=float,
        metavar="SHARE",
        help=f"exact match from which a seed counts as a success (default: the study's own, else {SUCCESS})",
    )
    top.add_argument(
        "--chunk", type=int, default=0, metavar="N", help="seeds trained at once (default: chosen)"
    )
    top.add_argument(
        "--width",
        type=int,
        default=0,
        metavar="N",
        help="seeds computed side by side on each device (default: chosen)",
    )
    top.add_argument(
        "--search",
        action="store_true",
        help="time widths and chunks first and take the fastest (default: for long runs on accelerators)",
    )
    top.add_argument(
        "--memory",
        metavar="SIZE",
        help="memory to stay within, as 4GB: of this process, or of each accelerator "
        "(default: a share of what there is)",
    )
    top.add_argument(
        "--checkpoint",
        type=float,
        default=INTERVAL,
        metavar="SECONDS",
        help=f"time between two checkpoints of what is being trained (default {INTERVAL:g})",
    )
    top.add_argument(
        "--keep-items",
        action="store_true",
        help="keep what every seed makes of every item in the end, to score it anew under other metrics",
    )
    top.add_argument(
        "--keep-weights", action="store_true", help="keep the final weights of every seed, for export"
    )
    top.add_argument(
        "--overwrite", action="store_true", help="remove what the results folder holds of a study first"
    )
    top.add_argument(
        "--patience",
        type=float,
        default=0.0,
        metavar="SECONDS",
        help="time to wait for cells that another process is at work on (default 0)",
    )
    top.add_argument("--devices", type=int, metavar="N", help="CPU devices to use (default: one per core)")
    top.add_argument(
        "--no-cache",
        action="store_true",
        help="compile anew: keep no compiled programs and no timed plans in the cache folder",
    )
    top.add_argument(
        "--track",
        action="append",
        choices=TRACKERS,
        default=[],
        help="show the numbers along the training there, too; may be given several times (they are always in "
        "cells/*/metrics)",
    )
    top.add_argument(
        "--distributed",
        default="auto",
        metavar="HOW",
        help="auto: if Slurm, Open MPI, Kubernetes or a TPU pod has started several processes, each trains "
        "its share of the seeds; off; or HOST:PORT,RANK,COUNT by hand (default auto)",
    )
    add_launch_options(top)
    columns = top.add_argument_group("columns of a file, for analyze (default: those of these names)")
    for name, words in COLUMNS.items():
        if name not in TOO:
            columns.add_argument(f"--{name}", metavar="COLUMN", help=words)
    columns.add_argument(
        "--score", metavar="METRIC", help="what the report describes (default: the first share)"
    )
    return top


def add_launch_options(top: argparse.ArgumentParser) -> None:
    """Those that hand a study to a scheduler, and say what it gives to each job."""
    group = top.add_argument_group("on a cluster")
    group.add_argument(
        "--launch",
        choices=("slurm", "local"),
        help="submit the study as jobs, one per cell, that are queued again until they are done; "
        "local: as processes of this machine, to try it",
    )
    group.add_argument("--partition", metavar="NAME", help="partition of the cluster")
    group.add_argument("--time", metavar="H:M:S", help="time limit of each job, as 4:00:00 (local: none)")
    group.add_argument("--gpus", type=int, metavar="N", help="GPUs of each job")
    group.add_argument("--cpus", type=int, metavar="N", help="cores of each job")
    group.add_argument("--job-memory", metavar="SIZE", help="memory of each job, as 32GB")
    group.add_argument("--parallel", type=int, metavar="N", help="jobs at once (default: any; local: 1)")
    group.add_argument(
        "--sbatch",
        action="append",
        default=[],
        metavar="OPTION=VALUE",
        help="any other option of sbatch, as account=physics; may be given several times",
    )


def check_options(options: argparse.Namespace) -> None:
    """Refuses numbers out of range, and a folder where none belongs."""
    if options.threshold is not None and not 0 < options.threshold <= 1:
        raise ValueError(f"--threshold {options.threshold:g}: must lie in (0, 1]")
    if min(options.chunk, options.width) < 0 or (options.devices is not None and options.devices < 1):
        raise ValueError("--chunk, --width and --devices: must be at least 1")
    if options.rate is not None and not options.rate > 0:
        raise ValueError(f"--rate {options.rate:g}: must be positive")
    if options.target is not None and chip_named(options.target) and not options.plan:
        raise ValueError(f"--for {options.target}: belongs to --plan")
    if not options.checkpoint >= 0:
        raise ValueError(f"--checkpoint {options.checkpoint:g}: must be at least 0 seconds")
    if not options.patience >= 0:
        raise ValueError(f"--patience {options.patience:g}: must be at least 0 seconds")
    check_launch_options(options)
    if options.folder and options.command not in (*ON_A_FOLDER, ANALYZE):
        raise ValueError(
            f"{options.folder}: only {', '.join(ON_A_FOLDER)} take a folder; choose one with --out"
        )
    names = [name for name in (*COLUMNS, "score") if name not in TOO]
    given = [f"--{name}" for name in names if getattr(options, name) is not None]
    if given and options.command != ANALYZE:
        raise ValueError(f"{', '.join(given)}: only {ANALYZE} reads columns of a file")


def check_launch_options(options: argparse.Namespace) -> None:
    """Refuses resources without a scheduler, and numbers out of range."""
    given = [name for name in RESOURCES if getattr(options, name) not in (None, [])]
    if given and not options.launch:
        raise ValueError(f"--{given[0].replace('_', '-')}: belongs to --launch slurm or --launch local")
    for name in ("gpus", "cpus", "parallel"):
        value = getattr(options, name)
        if value is not None and value < 1:
            raise ValueError(f"--{name} {value}: must be at least 1")
    for text in options.sbatch:
        if "=" not in text:
            raise ValueError(f"--sbatch {text}: write OPTION=VALUE, for example account=physics")


def required_folder(options: argparse.Namespace) -> Path:
    """The folder that status and report ask for."""
    if options.folder is None:
        example = f"{options.command} results/{next(iter(options.studies))}"
        raise ValueError(f"{options.command}: name a results folder, as in {example}")
    return options.folder


def chosen_cells(options: argparse.Namespace) -> tuple[Experiment, ...]:
    """The study's cells, with what the command line changes."""
    if options.command not in options.studies:
        raise ValueError(f"unknown study {options.command!r}: must be one of {', '.join(options.studies)}")
    cells = options.studies[options.command].cells(quick=options.quick)
    if options.task:
        cells = with_task(cells, options.task)
    if options.model:
        cells = with_model(cells, options.model)
    if options.task or options.model:
        cells = [replace(cell, study=study_name(options)) for cell in cells]
    changed = [override(cell, dict(parse(cell, text) for text in options.changes)) for cell in cells]
    if options.seeds is not None:
        seeds = parse_seeds(options.seeds)
        changed = [cell.with_seeds(seeds) for cell in changed]
    return distinct(changed)


def selected(cells: Sequence[Experiment], which: str | None) -> tuple[Experiment, ...]:
    """The cells that ``1,3:5`` or names ask for, in their order; all of them where nothing is asked for.

    Raises:
        ValueError: a part of the text fits no cell.
    """
    chosen = selected_names([cell.cell for cell in cells], which)
    return tuple(cell for cell in cells if cell.cell in chosen)


def selected_names(names: Sequence[str], which: str | None) -> list[str]:
    """The same, of names of cells."""
    if which is None:
        return list(names)
    chosen: set[str] = set()
    for part in which.split(","):
        first, colon, last = part.partition(":")
        if first.isdigit() and (last.isdigit() or not colon):
            found = names[max(0, int(first) - 1) : int(last or first)] if int(first) else []
        else:
            found = fnmatch.filter(names, part)
        if not found:
            raise ValueError(f"--cells {which}: {part!r} is none of the {len(names)} cells that --plan shows")
        chosen.update(found)
    return [name for name in names if name in chosen]


def study_name(options: argparse.Namespace) -> str:
    """The study's name, with those of the task and model that it is to train instead of its own."""
    others = [where.rpartition(":")[2] for where in (options.task, options.model) if where]
    return "_".join([options.command, *others])


def threshold_of(options: argparse.Namespace, study: str = "") -> float:
    """What counts as success: as given, or as the study of that name has it."""
    own = getattr(options.studies.get(study), "THRESHOLD", SUCCESS)
    return own if options.threshold is None else options.threshold


def results_folder(options: argparse.Namespace) -> Path:
    """Where the study is kept."""
    return options.out or Path("results") / (study_name(options) + ("_quick" if options.quick else ""))


def parse_minutes(text: str | None) -> float | None:
    """Minutes of ``4:00:00``, ``30:00`` or ``90``, a number alone being minutes as Slurm has it."""
    if text is None:
        return None
    parts = text.split(":")
    if not all(part.isdigit() for part in parts) or len(parts) > 3 or not any(map(int, parts)):
        raise ValueError(f"--time {text}: write 4:00:00, 30:00 or minutes")
    numbers = [int(part) for part in parts]
    hours, minutes, seconds = {1: [0, *numbers, 0], 2: [0, *numbers], 3: numbers}[len(numbers)]
    return 60 * hours + minutes + seconds / 60


def parse_seeds(text: str) -> tuple[Seed, ...]:
    """Reads ``24``, ``8:24``, ``3,7,11`` or ``10x25``."""
    try:
        if "x" in text:
            inits, orders = map(int, text.split("x"))
            return crossed(range(inits), range(orders))
        if ":" in text:
            first, stop = map(int, text.split(":"))
            return paired(range(first, stop))
        return paired(map(int, text.split(",")) if "," in text else range(int(text)))
    except ValueError:
        raise ValueError(f"--seeds {text}: write 24, 8:24, 3,7,11 or 10x25") from None


def parse_memory(text: str | None, option: str = "--memory") -> int:
    """Bytes of ``4GB``, ``500MB`` or ``1.5e9``; 0 where nothing is given."""
    if text is None:
        return 0
    number, unit = (text[:-2], text[-2:].upper()) if text[-2:].upper() in ("GB", "MB") else (text, "")
    try:
        size = float(number) * {"GB": 1e9, "MB": 1e6, "": 1.0}[unit]
    except ValueError:
        size = 0.0
    if not 0 < size < 1e18:
        raise ValueError(f"{option} {text}: write 4GB or 500MB")
    return int(size)
