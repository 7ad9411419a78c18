"""Train the populations of a study and report their distributions.

python experiments/run.py                       the quick study: minutes on two cores
python experiments/run.py --seeds 24            the same with 24 seeds; trains only the missing ones
python experiments/run.py count_fixed_depth --plan      what a study would cost, without training
python experiments/run.py count_fixed_depth --quick     a small version of a large study
python experiments/run.py count_quick --set model.depth=6 --set steps=1000 --out results/deep
python experiments/run.py list                  all studies
python experiments/run.py status DIR            what is finished in a results folder
python experiments/run.py report DIR            write its report again
python experiments/run.py verify DIR            check every file of it against its digest

A run that was stopped or killed goes on from its last checkpoint when the same command is given again.
"""

from __future__ import annotations

import argparse
import signal
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

from jax.errors import JaxRuntimeError
from rich.console import Console

from jaxemerge.devices import DeviceError, cache_folder, keep_compiled, use_host_cores
from jaxemerge.report import write_report
from jaxemerge.runner.checkpoint import INTERVAL
from jaxemerge.runner.display import Display
from jaxemerge.runner.estimate import assumed_rate, estimates
from jaxemerge.runner.lock import LockedError
from jaxemerge.runner.provenance import described
from jaxemerge.runner.signals import StoppedError, StopRequest
from jaxemerge.runner.spec import Experiment
from jaxemerge.runner.store import Store, create_store, open_store, overwrite
from jaxemerge.runner.study import Job, jobs, run_chunk
from jaxemerge.runner.sweep import distinct, override, parse
from jaxemerge.runner.train import prepare, shrunk
from jaxemerge.training import Seed, crossed, is_out_of_memory, paired
from studies import DEFAULT, STUDIES
from terminal import plan_table, print_diverged, print_missing, print_summary, say, status_table

FAILED, INTERRUPTED = 1, 130
ON_A_FOLDER = ("status", "report", "verify")


class Parser(argparse.ArgumentParser):
    """Says what is wrong in one line and exits with 2."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"error: {message}\n")


def parser() -> Parser:
    """The command line."""
    top = Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    top.add_argument(
        "command",
        nargs="?",
        default=DEFAULT,
        metavar="STUDY|list|status|report|verify",
        help=f"a study's name (default {DEFAULT}), or one of the commands above",
    )
    top.add_argument(
        "folder", nargs="?", type=Path, metavar="DIR", help="results folder, for status, report and verify"
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
        "--set",
        action="append",
        default=[],
        metavar="FIELD=VALUE",
        dest="changes",
        help="change a field of every cell, as model.depth=6; may be given several times",
    )
    top.add_argument("--plan", action="store_true", help="print cells, sizes, cost and time; train nothing")
    top.add_argument(
        "--rate",
        type=float,
        metavar="FLOPS",
        help="FLOP/s that --plan reckons with, for another machine (default: measured here)",
    )
    top.add_argument(
        "--threshold",
        type=float,
        default=0.2,
        metavar="SHARE",
        help="exact match from which a seed counts as a success (default 0.2)",
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
        "--overwrite", action="store_true", help="remove what the results folder holds of a study first"
    )
    top.add_argument("--devices", type=int, metavar="N", help="CPU devices to use (default: one per core)")
    top.add_argument(
        "--no-cache",
        action="store_true",
        help="compile anew: keep no compiled programs and no timed plans in the cache folder",
    )
    return top


def main(arguments: Sequence[str]) -> int:
    """Runs one command and returns the exit code."""
    top = parser()
    options = top.parse_intermixed_args(arguments)
    console = Console(width=None if sys.stdout.isatty() else 120, highlight=False)
    try:
        check_options(options)
        if options.command == "list":
            return list_studies(console)
        if options.command in ON_A_FOLDER:
            return on_folder(open_store(required_folder(options)), options, console)
        with StopRequest(lambda number: say(console, noted(number))) as stop:
            return study(options, console, stop)
    except StoppedError as stopped:
        return stopped.exit_code
    except (ValueError, DeviceError) as error:
        top.error(str(error))
    except OSError as error:
        top.exit(FAILED, f"error: {error}\n")
    except KeyboardInterrupt:
        say(console, "Interrupted; finished seeds and checkpoints are kept.")
        return INTERRUPTED


def check_options(options: argparse.Namespace) -> None:
    """Refuses numbers out of range, and a folder where none belongs."""
    if not 0 < options.threshold <= 1:
        raise ValueError(f"--threshold {options.threshold:g}: must lie in (0, 1]")
    if min(options.chunk, options.width) < 0 or (options.devices is not None and options.devices < 1):
        raise ValueError("--chunk, --width and --devices: must be at least 1")
    if options.rate is not None and not options.rate > 0:
        raise ValueError(f"--rate {options.rate:g}: must be positive")
    if not options.checkpoint >= 0:
        raise ValueError(f"--checkpoint {options.checkpoint:g}: must be at least 0 seconds")
    if options.folder and options.command not in ON_A_FOLDER:
        raise ValueError(
            f"{options.folder}: only {', '.join(ON_A_FOLDER)} take a folder; choose one with --out"
        )


def required_folder(options: argparse.Namespace) -> Path:
    """The folder that status and report ask for."""
    if options.folder is None:
        raise ValueError(
            f"{options.command}: name a results folder, as in {options.command} results/{DEFAULT}"
        )
    return options.folder


def list_studies(console: Console) -> int:
    """Prints every study with the first line of its header."""
    for name, module in STUDIES.items():
        summary = (module.__doc__ or "").splitlines()[0]
        say(console, f"{name:24} {summary}")
    return 0


def chosen_cells(options: argparse.Namespace) -> tuple[Experiment, ...]:
    """The study's cells, with what the command line changes."""
    if options.command not in STUDIES:
        raise ValueError(f"unknown study {options.command!r}: must be one of {', '.join(STUDIES)}")
    cells = STUDIES[options.command].cells(quick=options.quick)
    changed = [override(cell, dict(parse(cell, text) for text in options.changes)) for cell in cells]
    if options.seeds is not None:
        seeds = parse_seeds(options.seeds)
        changed = [cell.with_seeds(seeds) for cell in changed]
    return distinct(changed)


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


def parse_memory(text: str | None) -> int:
    """Bytes of ``4GB``, ``500MB`` or ``1.5e9``; 0 where nothing is given."""
    if text is None:
        return 0
    number, unit = (text[:-2], text[-2:].upper()) if text[-2:].upper() in ("GB", "MB") else (text, "")
    try:
        size = float(number) * {"GB": 1e9, "MB": 1e6, "": 1.0}[unit]
    except ValueError:
        size = 0.0
    if not 0 < size < 1e18:
        raise ValueError(f"--memory {text}: write 4GB or 500MB")
    return int(size)


def on_folder(store: Store, options: argparse.Namespace, console: Console) -> int:
    """What is done with results that are there."""
    if options.command == "status":
        return status(store, console)
    if options.command == "verify":
        return verify(store, console)
    return report(store, options, console)


def noted(number: int) -> str:
    """What a person is told when a signal comes."""
    name = signal.Signals(number).name
    return f"{name}: stopping after a checkpoint. Press Ctrl-C again to stop at once."


def study(options: argparse.Namespace, console: Console, stop: StopRequest) -> int:
    """Trains what is missing of a study, then writes its report."""
    cells = chosen_cells(options)
    given = {"chunk": options.chunk, "width": options.width, "memory": parse_memory(options.memory)}
    plans = None if options.no_cache else cache_folder() / "plans"
    use_host_cores(options.devices)
    if not options.no_cache:
        keep_compiled()
    folder = options.out or Path("results") / (options.command + ("_quick" if options.quick else ""))
    if options.plan:
        kept = open_store(folder) if (folder / "study.json").is_file() else None
        rate = options.rate or assumed_rate(cells[0].model.dtype)
        todo = jobs(cells, kept, **given, search=options.search, cache=plans)
        plan_table(console, estimates(cells, todo, rate), rate, given=options.rate is not None)
        return 0
    for cell in cells:
        prepare(cell)
    jobs(cells, None, **given)  # refuses what cannot fit, before anything is written
    if options.overwrite:
        overwrite(folder)
    store = create_store(folder, options.command, cells)
    for line in (*store.notes, *store.mend()):
        say(console, line)
    todo = jobs(cells, store, **given, search=options.search or None, cache=plans)
    stop.raise_if_asked()
    if todo:
        train(todo, store, options, console, stop)
    else:
        say(console, f"All {len(cells)} cells are finished in {folder}: nothing to train.")
    stop.raise_if_asked()
    return report(store, options, console)


def train(
    todo: Sequence[Job], store: Store, options: argparse.Namespace, console: Console, stop: StopRequest
) -> None:
    """Trains all chunks; says how to go on where it was stopped."""
    print_missing(console, todo, store.folder)
    for job in todo:
        if job.note:
            say(console, job.note)
    try:
        with Display(console, todo, options.threshold) as display:
            care = {"stop": stop, "interval": options.checkpoint, "say": display.line}
            train_free(todo, store, display, care)
    except (StoppedError, KeyboardInterrupt):
        done = {job.experiment.cell: store.finished(job.experiment.cell) for job in todo}
        chunks = [done[job.experiment.cell].issuperset(seeds) for job in todo for seeds in job.chunks]
        kept = f"Interrupted: {sum(chunks)} of {len(chunks)} chunks are kept in {store.folder}"
        begun = sum(chunk.record() is not None for job in todo for chunk in store.begun(job.experiment.cell))
        more = f", and a checkpoint of {begun} more" if begun else ""
        say(console, f"{kept}{more}. Run the same command again to go on.")
        raise


def train_free(todo: Sequence[Job], store: Store, display: Display, care: Mapping[str, Any]) -> None:
    """Trains the cells that no other process is at work on, and of those what they leave behind.

    ``care`` is how ``run_chunk`` takes care of what it trains.

    Raises:
        LockedError: other processes are at work on all of them.
    """
    left = list(enumerate(todo))
    while left:
        busy: list[tuple[tuple[int, Job], LockedError]] = []
        for i, job in left:
            try:
                with store.writing(job.experiment.cell):
                    # Another process may have finished some since the job was made.
                    done = store.finished(job.experiment.cell)
                    if not done.issuperset(job.experiment.seeds):
                        label = f"cell {i + 1}/{len(todo)}, {job.label}"
                        train_job(job.without(done), store, display, label, care)
            except LockedError as error:
                busy.append(((i, job), error))
        if len(busy) == len(todo):
            raise busy[0][1]
        if len(busy) == len(left):
            for _, reason in busy:
                display.line(f"Left to others: {reason}.")
            return
        left = [one for one, _ in busy]


def train_job(job: Job, store: Store, display: Display, label: str, care: Mapping[str, Any]) -> None:
    """Trains a cell's chunks, smaller ones from where memory runs out."""
    number = 0
    while number < len(job.chunks):
        display.start_chunk(job, number, label)
        try:
            for seen in run_chunk(job, job.chunks[number], store, **care):
                display.update(seen)
        except (JaxRuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            job, number = job.after(number).smaller(), 0
            display.drop_chunk(shrunk(job.plan))
        else:
            display.finish_chunk()
            number += 1


def report(store: Store, options: argparse.Namespace, console: Console) -> int:
    """Writes the report of a results folder and prints the summary of its distributions."""
    results = store.results()
    if results.is_empty():
        raise ValueError(f"{store.folder} holds no finished seeds yet: nothing to report")
    path = write_report(
        results,
        store.folder,
        title=store.study,
        threshold=options.threshold,
        details=described(store.records()),
    )
    print_summary(console, results, options.threshold)
    print_diverged(console, results)
    say(console, f"Report: {path}")
    return 0


def verify(store: Store, console: Console) -> int:
    """Checks every file of a results folder."""
    damage = store.damage()
    for line in damage:
        say(console, line)
    if damage:
        say(console, "Run the study's command again: damaged parts are set aside and trained anew.")
        return FAILED
    say(console, f"{store.folder}: all {len(store.records())} finished chunks are whole.")
    return 0


def status(store: Store, console: Console) -> int:
    """Prints how many seeds of every cell are finished."""
    status_table(console, store)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
