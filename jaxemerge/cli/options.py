"""What may each command be asked? Its options, and its help on one screen.

Nothing here imports what a command needs to run, so that help appears at once.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from jaxemerge.cli.foreign import add_analyze
from jaxemerge.cli.parser import Parser, positive, share
from jaxemerge.cli.questions import DESIGN, add_design
from jaxemerge.cli.studies import Front
from jaxemerge.cli.training_options import CELLS, SEEDS, THRESHOLD, add_plan, add_run

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


def _status(parser: Parser, front: Front) -> None:
    _folder(parser, front)
    _watch(parser, "print again after every change, looking every SECONDS (5), until the study is finished")


def _watch(parser: Parser, words: str) -> None:
    parser.add_argument("--watch", nargs="?", const=5.0, type=positive, metavar="SECONDS", help=words)


def _report(parser: Parser, front: Front) -> None:
    _folder(parser, front)
    _watch(parser, "write again after every chunk, looking every SECONDS (5); the open page reloads itself")
    own = "your own study, for its findings and figure"
    parser.add_argument("--study", type=Path, metavar="FILE.py", dest="study_file", help=own)
    _success(parser)


def _success(parser: Parser) -> None:
    parser.add_argument("--threshold", type=share, metavar="SHARE", help=THRESHOLD)


def _export(parser: Parser, front: Front) -> None:
    _folder(parser, front)
    _success(parser)
    parser.add_argument("--out", type=Path, metavar="FOLDER", help="where to write, one folder per cell")
    parser.add_argument("--cells", metavar="WHICH", help=CELLS)
    parser.add_argument("--seeds", metavar="WHICH", help=SEEDS)


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
        "STUDY is a name from 'list' or a file of yours with cells() (default: {default}).",
        add_plan,
        "plan.plan",
    ),
    "run": Command(
        "[STUDY]",
        "What do the seeds of a study learn? Trains them and writes the report",
        "Trains what is missing of a study, then reports. STUDY: from 'list', or a file with cells().",
        add_run,
        "run.run",
    ),
    "status": Command(
        "DIR",
        "How far is a study? Finished, running, missing and damaged seeds",
        "Prints for every cell of a results folder how many seeds are finished, missing or damaged, which\n"
        "checkpoints there are, and which process trains it now. Changes nothing; works during training.",
        _status,
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
