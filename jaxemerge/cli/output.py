"""What happens to output that nobody takes: a closed pipe, a full disk, a terminal that is gone?"""

from __future__ import annotations

import contextlib
import errno
import os
import sys
from collections.abc import Iterator
from typing import Any, TextIO, cast


class Output:
    """A text stream that drops what cannot be written, so that the work of the program continues.

    Attributes:
        error: why something was dropped; None while everything could be written.
    """

    def __init__(self, stream: TextIO) -> None:
        """Around a stream of text."""
        self._stream = stream
        self.error: OSError | None = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        """Writes text; characters that the stream's encoding lacks as escapes."""
        try:
            self._stream.write(text)
        except UnicodeEncodeError as error:
            self._stream.write(text.encode(error.encoding, "backslashreplace").decode(error.encoding))
        except OSError as error:
            self._drop(error)
        return len(text)

    def flush(self) -> None:
        """Writes what is buffered."""
        try:
            self._stream.flush()
        except OSError as error:
            self._drop(error)

    def _drop(self, error: OSError) -> None:
        """From now on the stream leads nowhere, also for code that is not Python's."""
        self.error = self.error or error
        with contextlib.suppress(OSError, ValueError):  # a stream of a test has no descriptor
            _to_nowhere(self._stream.fileno())

    @property
    def failed(self) -> str:
        """Why output is missing, for the person; empty where it was written or its reader has left."""
        return "" if self.error is None or self.error.errno == errno.EPIPE else str(self.error.strerror)


@contextlib.contextmanager
def lasting_output() -> Iterator[Output]:
    """Gives the standard output; while the block runs, neither it nor the standard error can raise OSError.

    Descriptors that were closed when the program began lead nowhere: otherwise the first files to be opened
    would take their numbers, and what other libraries print would be written into them.
    """
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            _to_nowhere(descriptor)
    output, errors = (Output(stream or _nowhere()) for stream in (sys.stdout, sys.stderr))
    try:
        with (
            contextlib.redirect_stdout(cast("TextIO", output)),
            contextlib.redirect_stderr(cast("TextIO", errors)),
        ):
            yield output
    finally:
        output.flush()
        errors.flush()


def _to_nowhere(descriptor: int) -> None:
    nowhere = os.open(os.devnull, os.O_RDWR)
    if nowhere != descriptor:
        os.dup2(nowhere, descriptor)
        os.close(nowhere)


def _nowhere() -> TextIO:
    return open(os.devnull, "w", encoding="utf-8")
