"""Output that nobody takes - a closed pipe, a full disk, no terminal - does not end the work."""

import contextlib
import errno
import io
import os
import subprocess
import sys
from pathlib import Path

import pytest

from jaxemerge import cli
from jaxemerge.cli.output import Output

PROGRAM = Path(cli.__file__).parents[2] / "experiments" / "run.py"


class Failing(io.StringIO):
    """A stream whose file system fails after some characters."""

    def __init__(self, number, room=0):
        super().__init__()
        self.number, self.room = number, room

    def write(self, text):
        if len(self.getvalue()) + len(text) > self.room:
            raise OSError(self.number, os.strerror(self.number))
        return super().write(text)


@pytest.mark.parametrize("number", [errno.EPIPE, errno.EIO, errno.ENOSPC])
def test_what_cannot_be_written_is_dropped(number):
    stream = Failing(number, room=8)
    output = Output(stream)
    assert [output.write(text) for text in ("first\n", "second\n")] == [6, 7]
    output.flush()
    assert stream.getvalue() == "first\n"
    assert output.error.errno == number
    assert output.failed == ("" if number == errno.EPIPE else os.strerror(number))


def test_characters_that_the_encoding_lacks_are_escaped():
    bytes_ = io.BytesIO()
    output = Output(io.TextIOWrapper(bytes_, encoding="ascii", write_through=True))
    output.write("größe \udcff\n")
    assert bytes_.getvalue() == b"gr\\xf6\\xdfe \\udcff\n"


def shell(command, **more):
    """The program within a shell's command, at PROGRAM."""
    text = command.replace("PROGRAM", f"'{sys.executable}' '{PROGRAM}'")
    return subprocess.run(["bash", "-c", text], capture_output=True, text=True, timeout=60, **more)


def test_a_reader_that_leaves_early_is_no_error():
    done = shell("PROGRAM list | head -1; exit ${PIPESTATUS[0]}")
    assert (done.returncode, done.stdout.count("\n"), done.stderr) == (0, 1, "")


def test_a_full_output_is_an_error_where_output_is_all_there_is():
    done = shell("PROGRAM list > /dev/full")
    assert (done.returncode, done.stderr) == (1, "error: standard output: No space left on device\n")


def test_closed_descriptors_are_no_place_for_files():
    """Where 0, 1 and 2 are free, what is opened next would get them, and be printed into."""
    assert shell("PROGRAM list <&- >&- 2>&-").returncode == 0
    inside = (
        "import os, sys; from jaxemerge.cli.output import lasting_output\n"
        "with lasting_output(): sys.exit(os.open('/dev/zero', os.O_RDONLY))"
    )
    done = subprocess.run(["bash", "-c", f'"{sys.executable}" -c "{inside}" <&- >&- 2>&-'], timeout=60)
    assert done.returncode > 2


@pytest.mark.parametrize("command", ["list", "--help", "run", "status /no/such"])
def test_the_streams_are_as_before_afterwards(command, capsys):
    before = sys.stdout, sys.stderr
    with contextlib.suppress(SystemExit):
        cli.main(command.split())
    assert (sys.stdout, sys.stderr) == before
    capsys.readouterr()
