"""What takes so long before training? Says so from time to time, with the line of the user's code."""

from __future__ import annotations

import contextlib
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType

from jaxemerge.code import is_foreign

FIRST = 10.0  # seconds until the first line; the pause doubles with each


@contextlib.contextmanager
def reported(say: Callable[[str], None]) -> Iterator[None]:
    """Prints a line when the block has run for 10, 30, 70, ... seconds: a task's code may loop for ever."""
    done, caller = threading.Event(), threading.get_ident()

    def watch() -> None:
        pause, waited = FIRST, 0.0
        while not done.wait(pause):
            waited += pause
            say(f"{waited:.0f} s so far, {place(sys._current_frames().get(caller))}. Ctrl-C stops.")
            pause *= 2

    watching = threading.Thread(target=watch, daemon=True)
    watching.start()
    try:
        yield
    finally:
        done.set()
        watching.join()


def place(frame: FrameType | None) -> str:
    """Where a thread is, in words: the innermost line of the user's code, if some is running."""
    while frame is not None:
        path = Path(frame.f_code.co_filename)
        if frame.f_globals.get("__name__") != "__main__" and path.is_file() and not is_foreign(path):
            return f"in {path}, line {frame.f_lineno}, {frame.f_code.co_name}"
        frame = frame.f_back
    return "checking tasks and models, and planning"
