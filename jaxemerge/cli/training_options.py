"""What may run and plan be asked? Which cells, where results go, how they are trained, and as which jobs."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any, Protocol

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
from jaxemerge.cli.studies import Front

TRACKERS = ("wandb", "tensorboard")  # of jaxemerge.runner.tracking, which imports JAX
CHIPS = ("h100", "h200", "a100", "tpu-v5e", "tpu-v6e")  # that plan can compile for
CHECKPOINT = 300.0  # seconds between two checkpoints
JOINING = 60.0  # seconds in which all processes must have started

THRESHOLD = "score that counts as a success (default: folder's, study's, or by chance)"
SEEDS = "24 (0 to 23), 8:24, 3,7,11, or 10x25: 10 initialisations x 25 data orders"
CELLS = "only these cells: their numbers in plan (1,3:5) or names (*depth2*)"


def add_run(parser: Parser, front: Front) -> None:
    """The options of run."""
    _add_training_options(parser, planned=False)


def add_plan(parser: Parser, front: Front) -> None:
    """The options of run, so that its command line can be planned as it stands; only some are shown."""
    _add_training_options(parser, planned=True)


def no_selection() -> dict[str, Any]:
    """The options that select and change cells, as they are where none of them is given."""
    parser = Parser("", "")
    _add_selection(_adder(parser, ""))
    return vars(parser.parse_args([]))


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
    add("--seeds", SEEDS, metavar="WHICH")
    add("--cells", CELLS, metavar="WHICH")
    change = "change a field: model.width=64; 64,128 makes a cell of each; repeatable"
    add("--set", change, action="append", default=[], metavar="FIELD=VALUE", dest="changes")
    add("--zip", "pair the values of several --set (default: every combination)", action="store_true")
    add("--task", "another task or objective: FILE.py:CLASS, MODULE:CLASS or a built-in", metavar="WHERE")
    add("--model", "another Model or Flax module: FILE.py:CLASS or MODULE:CLASS", metavar="WHERE")
    add("--optimizer", "another optimizer: SGD, Muon, ..., FILE.py:NAME or MODULE:NAME", metavar="WHERE")
    own = "score by a metric of yours, too: FILE.py:NAME or MODULE:NAME; repeatable"
    add("--metrics", own, action="append", default=[], metavar="WHERE")
    add(
        "--start",
        "start from weights of an export: its folder, or one file for all seeds",
        metavar="PATH",
    )
    add("--out", "results folder (default: results/STUDY)", type=Path, metavar="DIR")


def _add_kept(add: _Add) -> None:
    add("--overwrite", "first delete the study that the folder holds", action="store_true")
    add("--threshold", THRESHOLD, type=share, metavar="SHARE")
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
    memory = "memory limit of the process or accelerator, as 4GB (default: a share)"
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
