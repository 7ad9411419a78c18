"""The program: which command and options do the words mean, and how does it end?"""

from __future__ import annotations

import argparse
import dataclasses
import errno
import importlib
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from jaxemerge import __version__
from jaxemerge.cli.help import top_help
from jaxemerge.cli.options import COMMANDS, RENAMED, parser
from jaxemerge.cli.output import lasting_output
from jaxemerge.cli.parser import USAGE_ERROR, Parser, renamed, suggestion
from jaxemerge.cli.questions import check_design
from jaxemerge.cli.studies import Front
from jaxemerge.cli.terminal import say
from jaxemerge.runner.signals import StoppedError
from jaxemerge.text import printable

FAILED = 1  # exit codes
INTERRUPTED = 130
RESUME = "Run the same command again to resume."


def main(
    arguments: Sequence[str] | None = None,
    studies: Mapping[str, Any] | None = None,
    file: str | None = None,
) -> int:
    """Runs one command and returns the exit code; help and wrong usage end the program.

    Args:
        arguments: the words of the command line; None takes those of this process.
        studies: by name, see ``Front``.
        file: the program that calls this, if it is not the package itself.

    Raises:
        SystemExit: with code 0 after help, with code 2 after one line that says what is wrong with the words.
    """
    front = Front(studies or {}, file)
    words = sys.argv[1:] if arguments is None else list(arguments)
    if sys.flags.optimize > 1:
        return _failed(
            USAGE_ERROR, "python -OO, or PYTHONOPTIMIZE=2, drops docstrings that Altair needs: use -O"
        )
    with lasting_output() as output:
        command, words = command_of(words, front)
        code = _ended(command, words, front)
        output.flush()
        if output.failed and command != "run" and code == 0:  # of others the output is what they are for
            return _failed(FAILED, f"standard output: {output.failed}")
        return code


def _ended(command: str, words: Sequence[str], front: Front) -> int:
    """Runs a command; mistakes end the program with one line and exit code 2."""
    if not command:
        print(f"jaxemerge {__version__}\n" if words[:1] == ["--version"] else top_help(front), end="")
        return 0
    options = argparse.Namespace(label="")  # the label is that of this process, where there are several
    width = None if sys.stdout.isatty() else 120
    console = Console(width=width, highlight=False, markup=False, emoji=False)  # names are no markup
    try:
        options = parsed(command, words, front, options)
        front = front.with_file(getattr(options, "study_file", None))
        return _called(command, options, front, console)
    except StoppedError as stopped:
        say(console, options.label + RESUME)
        return stopped.exit_code
    except OSError as error:
        return _failed(FAILED, options.label + worded(error))
    except KeyboardInterrupt:
        kept = f"Stopped at once; finished seeds and checkpoints are kept. {RESUME}"
        say(console, options.label + (kept if command == "run" else "Stopped."))
        return INTERRUPTED
    except Exception as error:
        if not is_mistake(error):
            raise
        sys.exit(_failed(USAGE_ERROR, f"{options.label}{error}"))


def _called(command: str, options: argparse.Namespace, front: Front, console: Console) -> int:
    """Calls a command's function.

    Raises:
        ValueError: the user's code ends the program.
    """
    module, _, function = COMMANDS[command].place.rpartition(".")
    try:
        return getattr(importlib.import_module(f"jaxemerge.cli.{module}"), function)(options, front, console)
    except SystemExit as error:  # nothing of the library raises it here
        from jaxemerge.cli.custom import located  # imports JAX

        raise ValueError(located(error, None)) from error


def _failed(code: int, message: str) -> int:
    print(f"error: {printable(message)}", file=sys.stderr)
    return code


def is_mistake(error: Exception) -> bool:
    """Whether an error tells the person what to do otherwise."""
    if isinstance(error, ValueError):
        return True
    from jaxemerge.devices import DeviceError  # imports JAX

    return isinstance(error, DeviceError)


def worded(error: OSError) -> str:
    """The error in one line; where a disk is full, what to do."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return f"{error.filename}: no space left. Finished seeds are kept: make room, run the command again"
    return " ".join(str(error).split())


def command_of(words: Sequence[str], front: Front) -> tuple[str, list[str]]:
    """The command that is meant, and the other words; empty where the program's own help is.

    The command is the first word that is neither an option nor the value of one. Where that is no command,
    it is a study, or there is none: then ``run`` is meant, or ``plan`` with ``--plan``.
    """
    if not words and not front.studies:
        return "", []
    if words and words[0] in ("-h", "--help", "--version"):
        return "", list(words)
    place = _first_plain_word(words, front)
    if place is not None and words[place] in COMMANDS:
        command, rest = words[place], [*words[:place], *words[place + 1 :]]
    else:
        command, rest = "run", list(words)
    return ("plan" if command == "run" and "--plan" in rest else command), rest


def _first_plain_word(words: Sequence[str], front: Front) -> int | None:
    """The place of the first word that is neither an option nor the value of one."""
    takes_value: dict[str, bool] = {}
    for command in COMMANDS:
        for action in parser(command, front)._actions:
            takes_value |= dict.fromkeys(action.option_strings, action.nargs != 0)
    takes_value |= {old: takes_value[new] for old, new in RENAMED.items()}
    value = False
    for place, word in enumerate(words):
        if not value and not word.startswith("-"):
            return place
        value = not value and takes_value.get(word, False)
    return None


def parsed(
    command: str, words: Sequence[str], front: Front, options: argparse.Namespace
) -> argparse.Namespace:
    """The options of a command; mistakes end the program with one line.

    Raises:
        ValueError: options contradict each other, or the words name what there is not.
    """
    words, old = renamed(words, RENAMED) if command in ("run", "plan") else (list(words), [])
    reader = parser(command, front)
    options, further = reader.parse_known_intermixed_args(words, options)
    options.given = words
    if unknown := [word for word in further if word.startswith("-")]:
        raise ValueError(_unknown_option(unknown[0], command, reader, front))
    if further:
        takes = COMMANDS[command].takes
        raise ValueError(f"{further[0]}: {command} takes {f'{takes} only' if takes else 'no words'}")
    if command in ("run", "plan"):
        _check_run(command, options, front)
    elif command == "design":
        check_design(options, front)
    elif COMMANDS[command].takes and options.folder is None:
        kind = "file" if command == "analyze" else "results folder"
        raise ValueError(f"{command}: name a {kind}, as in {front.name} {_example(command)}")
    for name in dict.fromkeys(old):
        more = "; for the width of the model write --set model.width=N" if name == "--width" else ""
        print(f"note: {name} is now called {RENAMED[name]}{more}", file=sys.stderr)
    return options


def _example(command: str) -> str:
    more = {"export": " --out models", "analyze": " --scale size --value acc"}
    return f"{command} {'runs.csv' if command == 'analyze' else 'results/count_quick'}{more.get(command, '')}"


def _check_run(command: str, options: argparse.Namespace, front: Front) -> None:
    """Finds the study among the words; rejects resources without a scheduler.

    Raises:
        ValueError: a word is no study, or an option misses another.
    """
    study, *others = options.words or [front.default]
    options.study_file = study_file(study)
    front = front.with_file(options.study_file)
    study = options.study_file.stem if options.study_file else study
    if study not in front.studies and (hint := suggestion(study, COMMANDS)):
        raise ValueError(f"unknown command or study {study!r}{hint}")
    front.check(study)
    if others:
        raise ValueError(f"{others[0]}: run and plan take one study; choose a results folder with --out")
    options.study = study
    if options.target is not None and command == "run":
        raise ValueError(f"--for {options.target}: an option of plan")
    if options.target is not None:
        ignored = ("chunk", "vmap", "autotune", "flops_per_second")
        if given := [name for name in ignored if getattr(options, name)]:
            raise ValueError(f"--{given[0].replace('_', '-')}: plan --for {options.target} does not use it")
    jobs = {name: getattr(options, name) for name in ("partition", "job_time", "job_gpus", "job_cpus")}
    jobs |= {name: getattr(options, name) for name in ("job_memory", "jobs", "sbatch")}
    given = [name for name, value in jobs.items() if value not in (None, [])]
    if given and not options.launch:
        option = f"--{given[0].replace('_', '-')}"
        raise ValueError(f"{option}: add --launch slurm or --launch local")


def study_file(word: str) -> Path | None:
    """The file that a word names instead of a study, if it does."""
    return Path(word) if word.endswith(".py") else None


def _unknown_option(word: str, command: str, reader: Parser, front: Front) -> str:
    """What to say of an option that the command does not have."""
    name = word.partition("=")[0]
    own = [option for action in reader._actions for option in action.option_strings if option[:2] == "--"]
    if hint := suggestion(name, own, least=0.9):
        return f"unknown option {name}{hint}"
    users = [other for other in COMMANDS if name in parser(other, front)._option_string_actions]
    if users:
        return f"{name}: an option of {', '.join(users)}, not of {command}"
    if command in ("run", "plan") and (field := _field_named(name.strip("-").replace("-", "_"))):
        return f"unknown option {name}: for that field of the experiment write --set {field}=VALUE"
    lists = f": {front.name} {command} --help lists the options"
    return f"unknown option {name}{suggestion(name, own, least=0.7) or lists}"


def _field_named(name: str) -> str | None:
    """The dotted name of an experiment's field that people may have tried as an option."""
    from jaxemerge.models import Transformer  # imports JAX
    from jaxemerge.runner.experiment import Experiment
    from jaxemerge.training import AdamW

    name = {"lr": "learning_rate"}.get(name, name)
    for prefix, kind in (("", Experiment), ("model.", Transformer), ("optimizer.", AdamW)):
        if name in {each.name for each in dataclasses.fields(kind)}:
            return prefix + name
    return None
