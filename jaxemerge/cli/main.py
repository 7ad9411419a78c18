"""Train the populations of a study and report their distributions.

python experiments/run.py                       the quick study: minutes on two cores
python experiments/run.py --seeds 24            the same with 24 seeds; trains only the missing ones
python experiments/run.py count_fixed_depth --plan      what a study would cost, without training
python experiments/run.py count_fixed_depth --plan --for h100       the same for a GPU that is not here
python experiments/run.py count_fixed_depth --quick     a small version of a large study
python experiments/run.py count_quick --set model.depth=6 --set steps=1000 --out results/deep
python experiments/run.py --task my_task.py:MyTask --set task.length=9      a task of your own
python experiments/run.py list                  all studies
python experiments/run.py status DIR            what is finished in a results folder
python experiments/run.py report DIR            write its report again
python experiments/run.py verify DIR            check every file of it against its digest
python experiments/run.py export DIR --out FOLDER       its members, if they were trained with --keep-weights
python experiments/run.py --model my_model.py:MyModel --set model.width=48      a model of your own
python experiments/run.py count_fixed_depth --launch slurm --partition gpu --gpus 1 --time 4:00:00
                                                a job per cell, queued again until it is done
python experiments/run.py analyze FILE --scale parameters --seed seed --value acc     anyone's results

A run that was stopped or killed goes on from its last checkpoint when the same command is given again.
"""

from __future__ import annotations

import errno
import signal
import sys
from collections.abc import Mapping, Sequence
from types import ModuleType

from rich.console import Console

from jaxemerge.cli.analyze import analyze
from jaxemerge.cli.folder import FAILED, on_folder
from jaxemerge.cli.options import ANALYZE, ON_A_FOLDER, check_options, parser
from jaxemerge.cli.submit import launch
from jaxemerge.cli.terminal import say
from jaxemerge.cli.train import study
from jaxemerge.devices import DeviceError
from jaxemerge.runner.processes import join
from jaxemerge.runner.signals import StoppedError, StopRequest

INTERRUPTED = 130  # exit code
GO_ON = "Run the same command again to go on."


def main(arguments: Sequence[str], studies: Mapping[str, ModuleType], program: Sequence[str]) -> int:
    """Runs one command and returns the exit code.

    Args:
        arguments: the words of the command line.
        studies: by name; the first is the one that is meant where none is named.
        program: the words that start this program in another process, after Python's own.
    """
    top = parser(__doc__, studies)
    options = top.parse_intermixed_args(arguments)
    options.studies, options.program = studies, program
    label = ""  # of this process, where there are several
    console = Console(width=None if sys.stdout.isatty() else 120, highlight=False)
    try:
        check_options(options)
        if options.command == "list":
            return list_studies(studies, console)
        if options.command == ANALYZE:
            return analyze(options, console)
        if options.command in ON_A_FOLDER:
            return on_folder(options, console)
        if options.launch and not options.plan:
            return launch(arguments, options, console)
        processes = join(options.distributed)
        label = processes.label
        request = StopRequest(lambda number: say(console, label + noted(number)), processes.stopped)
        with request as stop, processes:
            return study(options, console, stop, processes)
    except StoppedError as stopped:
        say(console, label + GO_ON)
        return stopped.exit_code
    except (ValueError, DeviceError) as error:
        top.error(f"{label}{error}")
    except OSError as error:
        top.exit(FAILED, f"error: {label}{worded(error)}\n")
    except KeyboardInterrupt:
        say(console, f"{label}Stopped at once; finished seeds and checkpoints are kept. {GO_ON}")
        return INTERRUPTED


def worded(error: OSError) -> str:
    """The error in one line; where a disk is full, what to do."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return f"{error.filename}: no space left. What is finished is kept: make room, run the command again"
    return " ".join(str(error).split())


def list_studies(studies: Mapping[str, ModuleType], console: Console) -> int:
    """Prints every study with the first line of its header."""
    for name, module in studies.items():
        summary = (module.__doc__ or "").splitlines()[0]
        say(console, f"{name:24} {summary}")
    return 0


def noted(number: int) -> str:
    """What a person is told when a signal comes."""
    name = signal.Signals(number).name
    return f"{name}: stopping after a checkpoint. Press Ctrl-C again to stop at once."
