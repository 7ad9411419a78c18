"""How are the words of a command line read? Values with units, one-line errors, help on one screen."""

from __future__ import annotations

import argparse
import difflib
import math
import shutil
from collections.abc import Callable, Iterable, Sequence
from typing import NoReturn

from jaxemerge.runner import scheduler

USAGE_ERROR = 2  # exit code
_WIDEST = 100  # columns of a help screen
_FIRST_COLUMN = 28  # columns of a help screen that name the options


class Parser(argparse.ArgumentParser):
    """Reports a mistake in one line and exits with 2."""

    def __init__(self, usage: str, description: str) -> None:
        """A parser without abbreviations: the words of a job must mean what they say."""
        super().__init__(
            usage=usage,
            description=description,
            formatter_class=_formatter,
            allow_abbrev=False,
            add_help=False,
        )
        self.add_argument("-h", "--help", action="help", help=argparse.SUPPRESS)

    def error(self, message: str) -> NoReturn:
        self.exit(USAGE_ERROR, f"error: {message.removeprefix('argument ')}\n")


def _formatter(prog: str) -> argparse.HelpFormatter:
    columns = min(_WIDEST, shutil.get_terminal_size((_WIDEST, 40)).columns)
    return argparse.RawDescriptionHelpFormatter(prog, max_help_position=_FIRST_COLUMN, width=columns)


def suggestion(word: str, known: Iterable[str], least: float = 0.6) -> str:
    """``; did you mean X?`` where a known word resembles this one by at least so much, else nothing."""
    close = difflib.get_close_matches(word, list(known), n=1, cutoff=least)
    return f"; did you mean {close[0]}?" if close else ""


def one_of(*choices: str) -> Callable[[str], str]:
    """Reads one of some words.

    Raises:
        ArgumentTypeError: the text is none of them.
    """

    def read(text: str) -> str:
        if text not in choices:
            hint = suggestion(text, choices)
            raise argparse.ArgumentTypeError(f"{text!r} must be one of {', '.join(choices)}{hint}")
        return text

    return read


def whole(least: int, most: int = 2**31 - 1) -> Callable[[str], int]:
    """Reads a whole number of ``least`` to ``most``.

    Raises:
        ArgumentTypeError: the text is none.
    """

    def read(text: str) -> int:
        if not text.isdecimal() or int(text) < least:
            raise argparse.ArgumentTypeError(f"{text!r} must be a whole number of at least {least}")
        if int(text) > most:
            raise argparse.ArgumentTypeError(f"{text!r} must be a whole number of at most {most}")
        return int(text)

    return read


def _number(text: str) -> float:
    """A number; NaN where the text is none."""
    try:
        return float(text)
    except ValueError:
        return math.nan


def seconds(text: str) -> float:
    """Reads a duration in seconds, 0 or more.

    Raises:
        ArgumentTypeError: the text is none.
    """
    if not _number(text) >= 0:
        raise argparse.ArgumentTypeError(f"{text!r} must be a number of seconds, at least 0")
    return float(text)


def share(text: str) -> float:
    """Reads a share in (0, 1].

    Raises:
        ArgumentTypeError: the text is none.
    """
    if not 0 < _number(text) <= 1:
        raise argparse.ArgumentTypeError(f"{text!r} must be a number in (0, 1]")
    return float(text)


def inside(text: str) -> float:
    """Reads a probability in (0, 1).

    Raises:
        ArgumentTypeError: the text is none.
    """
    if not 0 < _number(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} must be a number in (0, 1)")
    return float(text)


def real(text: str) -> float:
    """Reads a finite number.

    Raises:
        ArgumentTypeError: the text is none.
    """
    if not math.isfinite(_number(text)):
        raise argparse.ArgumentTypeError(f"{text!r} must be a number")
    return float(text)


def positive(text: str) -> float:
    """Reads a positive number.

    Raises:
        ArgumentTypeError: the text is none.
    """
    if not 0 < _number(text) < math.inf:
        raise argparse.ArgumentTypeError(f"{text!r} must be a positive number")
    return float(text)


def size(text: str) -> int:
    """Reads bytes: ``4GB``, ``500MB`` or ``1.5e9``.

    Raises:
        ArgumentTypeError: the text is no size.
    """
    ending = text[-2:].upper()
    number, scale = (text[:-2], {"GB": 1e9, "MB": 1e6}[ending]) if ending in ("GB", "MB") else (text, 1.0)
    if not 0 < _number(number) * scale < 1e18:
        raise argparse.ArgumentTypeError(f"{text!r} must be a size such as 4GB or 500MB")
    return int(float(number) * scale)


def minutes(text: str) -> float:
    """Reads a time limit in minutes, in Slurm's forms.

    Raises:
        ArgumentTypeError: the text is no time, or 0.
    """
    try:
        return scheduler.minutes(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def steps(text: str) -> str | tuple[int, ...]:
    """Reads ``log``, or steps with commas between them.

    Raises:
        ArgumentTypeError: the text is neither.
    """
    if text == "log":
        return text
    parts = [part for part in text.split(",") if part]
    if not parts or not all(part.isdecimal() for part in parts):
        raise argparse.ArgumentTypeError(f"{text!r} must be log, or steps as in 0,100,1000")
    return tuple(map(int, parts))


def assignment(text: str) -> str:
    """Reads ``OPTION=VALUE``.

    Raises:
        ArgumentTypeError: there is no ``=``.
    """
    if "=" not in text:
        raise argparse.ArgumentTypeError(f"{text!r} must be OPTION=VALUE, for example account=physics")
    return text


def renamed(words: Sequence[str], current: dict[str, str]) -> tuple[list[str], list[str]]:
    """Words with old spellings of options replaced, and the old spellings found.

    Args:
        words: of a command line.
        current: old spelling -> today's.
    """
    names = [word.partition("=")[0] for word in words]
    replaced = [current.get(name, name) + word[len(name) :] for name, word in zip(names, words, strict=True)]
    return replaced, [name for name in names if name in current]
