"""The program: which command is meant, and how does it end?"""

from __future__ import annotations

import argparse
import errno
import importlib
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console

from jaxemerge import __version__
from jaxemerge.cli.options import top_help
from jaxemerge.cli.output import lasting_output
from jaxemerge.cli.parser import USAGE_ERROR
from jaxemerge.cli.reading import command_of, parsed
from jaxemerge.cli.studies import Front
from jaxemerge.cli.terminal import say
from jaxemerge.runner.signals import StoppedError

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
    console = Console(width=None if sys.stdout.isatty() else 120, highlight=False)
    try:
        options = parsed(command, words, front, options)
        return importlib.import_module(f"jaxemerge.cli.{command}").run(options, front, console)
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


def _failed(code: int, message: str) -> int:
    print(f"error: {message}", file=sys.stderr)
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
