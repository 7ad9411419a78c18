"""What may each command be asked? Its options, and its help on one screen.

Nothing here imports what a command needs to run, so that help appears at once.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from jaxemerge.cli.foreign import add_analyze
from jaxemerge.cli.parser import (
    Parser,
    assignment,
    minutes,
    one_of,
    positive,
    seconds,
    share,
    size,
    steps,
    whole,
)
from jaxemerge.cli.questions import DESIGN, add_design
from jaxemerge.cli.studies import SUCCESS, Front

TRACKERS = ("wandb", "tensorboard")  # of jaxemerge.runner.tracking, which imports JAX
CHIPS = ("h100", "h200", "a100", "tpu-v5e", "tpu-v6e")  # that plan can compile for
CHECKPOINT = 300.0  # seconds between two checkpoints
JOINING = 60.0  # seconds in which all processes must have started

# Old spellings of options of run and plan, which are still understood.
RENAMED = {
    "--width": "--vmap",
    "--search": "--autotune",
    "--checkpoint": "--checkpoint-every",
    "--patience": "--wait",
    "--devices": "--cpu-devices",
    "--rate": "--flops-per-second",
    "--time": "--job-time",
    "--gpus": "--job-gpus",
    "--cpus": "--job-cpus",
    "--parallel": "--jobs",
}


@dataclass(frozen=True)
class Command:
    """A command of the program.

    Attributes:
        takes: what follows its name.
        answers: the question that it answers, for the list of commands.
        text: its help, above the options.
        add: gives its options to a parser.
        place: ``module.function`` of this package that runs it, imported when it is used.
    """

    takes: str
    answers: str
    text: str
    add: Callable[[Parser, Front], None]
    place: str


def parser(command: str, front: Front) -> Parser:
    """The parser of one command."""
    found = COMMANDS[command]
    options = "" if found.add in (_nothing, _folder) else "[options]"
    usage = " ".join(filter(None, [front.name, command, found.takes, options]))
    text = found.text.format(
        name=front.name, default=next(iter(front.studies), "the first that 'list' names")
    )
    made = Parser(usage, text)
    found.add(made, front)
    return made


def _nothing(parser: Parser, front: Front) -> None:
    """No options."""


def _folder(parser: Parser, front: Front) -> None:
    parser.add_argument("folder", nargs="?", type=Path, metavar="DIR", help=argparse.SUPPRESS)


def _report(parser: Parser, front: Front) -> None:
    _folder(parser, front)
    parser.add_argument("--threshold", type=share, metavar="SHARE", help=_THRESHOLD)


def _export(parser: Parser, front: Front) -> None:
    _report(parser, front)
    parser.add_argument("--out", type=Path, metavar="FOLDER", help="where to write, one folder per cell")
    parser.add_argument("--cells", metavar="WHICH", help=_CELLS)
    parser.add_argument("--seeds", metavar="WHICH", help=_SEEDS)


_THRESHOLD = f"score that counts as a success (default: the folder's, study's or {SUCCESS})"
_SEEDS = "24 (0 to 23), 8:24, 3,7,11, or 10x25: 10 initialisations x 25 data orders"
_CELLS = "only these cells: their numbers in plan (1,3:5) or names (*depth2*)"


def _run(parser: Parser, front: Front) -> None:
    _add_training_options(parser, planned=False)


def _plan(parser: Parser, front: Front) -> None:
    """The options of run, so that its command line can be planned as it stands; only some are shown."""
    _add_training_options(parser, planned=True)


def _add_training_options(parser: Parser, *, planned: bool) -> None:
    parser.add_argument("words", nargs="*", metavar="STUDY", help=argparse.SUPPRESS)
    add = _adder(parser, "what is trained" if planned else "what is trained and kept")
    _add_selection(add)
    _add_kept(_adder(parser, "results", hidden=True) if planned else add)
    _add_estimate(_adder(parser, "what the estimate is for", hidden=not planned))
    add = _adder(parser, "how it is trained")
    _add_sizes(add)
    _add_program(_adder(parser, "how the program runs", hidden=True) if planned else add)
    add_jobs(parser, hidden=planned)


class _Add(Protocol):
    """Gives one option to a group of a parser."""

    def __call__(self, name: str, text: str, **more: Any) -> None: ...


def _adder(parser: Parser, title: str, *, hidden: bool = False) -> _Add:
    """What gives options to a new group; hidden ones are understood, and not shown."""
    group = parser.add_argument_group(title)

    def add(name: str, text: str, **more: Any) -> None:
        group.add_argument(name, help=argparse.SUPPRESS if hidden else text, **more)

    return add


def _add_selection(add: _Add) -> None:
    add("--quick", "the small version of a large study: minutes on two cores", action="store_true")
    add("--seeds", _SEEDS, metavar="WHICH")
    add("--cells", _CELLS, metavar="WHICH")
    change = "change a field of every cell, such as model.width=128; repeatable"
    add("--set", change, action="append", default=[], metavar="FIELD=VALUE", dest="changes")
    add("--task", "another task or objective: FILE.py:CLASS, MODULE:CLASS or a built-in", metavar="WHERE")
    add("--model", "another Model or Flax module: FILE.py:CLASS or MODULE:CLASS", metavar="WHERE")
    add("--optimizer", "another optimizer: SGD, Muon, ..., FILE.py:NAME or MODULE:NAME", metavar="WHERE")
    add(
        "--start",
        "start from weights of an export: its folder, or one file for all seeds",
        metavar="PATH",
    )
    add("--out", "results folder (default: results/STUDY)", type=Path, metavar="DIR")


def _add_kept(add: _Add) -> None:
    add("--overwrite", "first delete the study that the folder holds", action="store_true")
    add("--threshold", _THRESHOLD, type=share, metavar="SHARE")
    add("--keep-weights", "keep the final weights of every seed, for export", action="store_true")
    at = "keep weights at these steps, as 0,100,1000, or at log: 0, 1, 2, 4, ..."
    add("--keep-weights-at", at, type=steps, default=(), metavar="STEPS")
    longer = "keep the state, so that the study can continue with more steps"
    add("--keep-state", longer, action="store_true")
    add("--keep-items", "keep the answers of every seed, for other metrics", action="store_true")
    track = "log to wandb or tensorboard, too; repeatable"
    add("--track", track, action="append", type=one_of(*TRACKERS), default=[], metavar="WHERE")


def _add_estimate(add: _Add) -> None:
    chip = f"a chip that need not be here, compiled for it: {', '.join(CHIPS)}"
    add("--for", chip, dest="target", metavar="CHIP")
    speed = "FLOP/s to assume, such as 3e14 (default: measured here)"
    add("--flops-per-second", speed, type=positive, metavar="F")


def _add_sizes(add: _Add) -> None:
    add("--chunk", "seeds trained together (default: chosen)", type=whole(0), default=0, metavar="N")
    add("--vmap", "seeds per device under vmap (default: chosen)", type=whole(0), default=0, metavar="N")
    add(
        "--autotune", "time several plans first (default: for long runs on accelerators)", action="store_true"
    )
    memory = "memory limit of the process or each accelerator, as 4GB (default: a share)"
    add("--memory", memory, type=size, default=0, metavar="SIZE")
    add(
        "--cpu-devices",
        "devices to make of the CPU (default: one per core)",
        type=whole(1, 4096),
        metavar="N",
    )
    add("--no-cache", "do not use the cache of compiled programs and plans", action="store_true")


def _add_program(add: _Add) -> None:
    add("--plan", argparse.SUPPRESS, action="store_true")
    every = f"seconds between two checkpoints (default: {CHECKPOINT:g})"
    add("--checkpoint-every", every, type=seconds, default=CHECKPOINT, metavar="S")
    wait = "seconds to wait for cells that other processes train (default: 0)"
    add("--wait", wait, type=seconds, default=0.0, metavar="S")
    several = "several processes: auto (default), off, or HOST:PORT,RANK,COUNT"
    add("--distributed", several, default="auto", metavar="HOW")
    add("--distributed-wait", argparse.SUPPRESS, type=positive, default=JOINING, metavar="S")


def add_jobs(parser: Parser, *, hidden: bool = False) -> None:
    """Options that submit a study as jobs, and say what each job is given."""
    add = _adder(parser, "jobs on a cluster", hidden=hidden)
    launch = "submit one job per cell: slurm, or local to try it"
    add("--launch", launch, type=one_of("slurm", "local"), metavar="WHERE")
    add("--partition", "partition of the cluster", metavar="NAME")
    add("--job-time", "time limit of a job, such as 4:00:00", type=minutes, metavar="H:M:S")
    add("--job-gpus", "GPUs of a job", type=whole(1), metavar="N")
    add("--job-cpus", "cores of a job", type=whole(1), metavar="N")
    add("--job-memory", "memory of a job, such as 32GB", type=size, metavar="SIZE")
    add("--jobs", "jobs at once (default: any number; local: 1)", type=whole(1), metavar="N")
    other = "any other option of sbatch, such as account=physics; repeatable"
    add("--sbatch", other, action="append", type=assignment, default=[], metavar="OPTION=VALUE")


COMMANDS = {
    "list": Command(
        "",
        "Which studies are there?",
        "Names every study with the question it asks. The first is the default of run and plan.",
        _nothing,
        "status.list_studies",
    ),
    "plan": Command(
        "[STUDY]",
        "What would a study cost? Parameters, FLOPs, memory and time of its cells",
        "Prints the cells of a study, and what the seeds without results would cost. Trains nothing.\n"
        "STUDY is a name from 'list' (default: {default}).",
        _plan,
        "plan.plan",
    ),
    "run": Command(
        "[STUDY]",
        "What do the seeds of a study learn? Trains them and writes the report",
        "Trains the seeds of a study that have no results yet, then writes the report.\n"
        "STUDY is a name from 'list' (default: {default}). The same command resumes a stopped run.",
        _run,
        "run.run",
    ),
    "status": Command(
        "DIR",
        "How far is a study? Finished, running, missing and damaged seeds",
        "Prints for every cell of a results folder how many seeds are finished, missing or damaged, which\n"
        "checkpoints there are, and which process trains it now. Changes nothing; works during training.",
        _folder,
        "status.status",
    ),
    "report": Command(
        "DIR",
        "What was found? Writes report.html, charts and tables of a results folder",
        "Prints the distributions over seeds in a results folder and writes report.html, charts/ (PNG, SVG)\n"
        "and tables/ (CSV) into it. Cells may be unfinished: the report covers the seeds that are there.",
        _report,
        "report.report",
    ),
    "verify": Command(
        "DIR",
        "Are the files intact? Compares each with its SHA-256",
        "Compares every file of a results folder with the SHA-256 digest recorded for it. Names each\n"
        "damaged file and exits with 1 if there is one. Running the study again retrains what is damaged.",
        _folder,
        "status.verify",
    ),
    "export": Command(
        "DIR --out FOLDER",
        "Where are the models? Writes them as safetensors files with model cards",
        "Writes the trained models of a results folder: for each cell a folder with a safetensors file per\n"
        "seed, the configuration, and a model card with scores. Needs a run with --keep-weights.",
        _export,
        "report.export",
    ),
    "design": Command(
        "[STUDY]",
        "How many seeds answer a question? By simulation; with STUDY, what they cost",
        DESIGN,
        add_design,
        "design.design",
    ),
    "analyze": Command(
        "FILE ...",
        "What do other results show? Reads CSV, Parquet, JSON or lm-eval files",
        "Writes the same report about results of other programs: CSV, Parquet, JSON lines, or the folder of\n"
        "results of lm-evaluation-harness. Each row of a file is one score of one run. Example:\n\n"
        "  {name} analyze runs.csv --scale size --seed run --value acc --trials 500",
        add_analyze,
        "analyze.analyze",
    ),
}


def top_help(front: Front) -> str:
    """The program's help: what it is for, examples, commands."""
    examples = [
        ("run", "the default study: three depths, 16 seeds each"),
        ("plan count_fixed_depth", "the cost of a large study"),
        ("report results/count_quick", "the distributions in a results folder"),
    ]
    if not front.studies:
        examples = [
            ("status results/count_quick", "how far a study is"),
            ("report results/count_quick", "the distributions in a results folder"),
            ("analyze runs.csv --value acc --scale size", "the same report for any results"),
        ]
    if front.studies:
        default = f"Without a command, 'run {front.default}' is meant; '{front.name} STUDY' runs a study."
    else:
        default = "There are no studies here: those of the repository come with its experiments/run.py."
    widest = max(len(words) for words, _ in examples)
    lines = [
        f"usage: {front.name} COMMAND [options]",
        "",
        "Trains many small transformers that differ only in their random seed, in one compiled program, and",
        "reports what they learn as a distribution over seeds: which share succeeds, how well, and how both",
        "change with scale. A study is a list of cells; a cell is a model, a task and a training recipe.",
        "",
        *(f"  {front.name} {words:{widest}}  {about}" for words, about in examples),
        "",
        "commands:",
        *(f"  {f'{name} {each.takes}':25} {each.answers}" for name, each in COMMANDS.items()),
        "",
        f"'{front.name} COMMAND --help' lists the options of a command.",
        default,
        "A stopped or killed run resumes from its last checkpoint when the same command is given again.",
        "Exit codes: 0 done, 1 failed or damaged, 2 wrong usage, 128 + N stopped by signal N.",
    ]
    return "\n".join(lines) + "\n"
