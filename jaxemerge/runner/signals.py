"""How does a signal end a run without loss? It is recorded, and obeyed after the next checkpoint."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
import types
from collections.abc import Callable, Iterator
from typing import Any

PATIENCE = (
    2.0  # seconds that a signal to be obeyed at once waits for Python, which is blocked while XLA compiles
)


class StoppedError(BaseException):
    """A signal ended training early; finished seeds and checkpoints are saved.

    Like KeyboardInterrupt no ``Exception``: the user's code, which may be running, must not swallow it.
    """

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.number = number

    @property
    def exit_code(self) -> int:
        """128 + the signal's number, as shells have it: 130 for SIGINT, 143 for SIGTERM, 140 for SIGUSR2."""
        return 128 + self.number


class StopRequest:
    """Records SIGINT, SIGTERM, SIGHUP and SIGUSR2 as a context manager; ``raise_if_asked`` obeys them.

    A second SIGINT raises KeyboardInterrupt at once; where Python cannot, because it waits for a compiler,
    the process exits as if killed. Slurm sends SIGUSR2 before it ends a job; a terminal that is closed sends
    SIGHUP, which stays ignored where it is, as under nohup. Only the main thread can enter the context.
    """

    def __init__(
        self,
        noted: Callable[[int], None] = lambda number: None,
        elsewhere: Callable[[], int] = lambda: 0,
    ) -> None:
        """Before any signal has come.

        Args:
            noted: called with the number of the first signal, to print a line.
            elsewhere: returns the number of a signal that another process received, 0 for none.
        """
        self._noted = noted
        self._elsewhere = elsewhere
        # Each has one writer, the signal handler and ``__bool__``: a handler runs between any two operations,
        # and what it notes must not be overwritten.
        self._received = self._heard = 0
        self._at_once = False
        self._former: dict[int, Any] = {}

    def __enter__(self) -> StopRequest:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR2):
            if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN:
                self._former[number] = signal.signal(number, self._note)
        self._former_hook, sys.unraisablehook = sys.unraisablehook, self._unraised
        self._seen, self._sent = os.pipe()
        os.set_blocking(self._sent, False)
        self._former_sent = signal.set_wakeup_fd(self._sent)
        self._left = threading.Event()
        threading.Thread(target=self._watch, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._left.set()
        signal.set_wakeup_fd(self._former_sent)
        os.close(self._sent)  # ends the thread
        if sys.unraisablehook == self._unraised:  # not where others have put theirs before it
            sys.unraisablehook = self._former_hook
        for number, handler in self._former.items():
            signal.signal(number, handler)

    def __bool__(self) -> bool:
        """Whether a signal has come."""
        if not self._number:
            self._heard = self._elsewhere()
        return self._number != 0

    @property
    def _number(self) -> int:
        """Number of the signal to obey, 0 for none."""
        return self._received or self._heard

    def raise_if_asked(self) -> None:
        """Called where everything is on disk.

        Raises:
            StoppedError: a signal has come.
        """
        if self:
            raise StoppedError(self._number)

    @contextlib.contextmanager
    def at_once(self) -> Iterator[None]:
        """Obeys signals at once while the block runs: for work that loses nothing when it is cut off."""
        self.raise_if_asked()
        self._at_once = True
        try:
            yield
        finally:
            self._at_once = False
        self.raise_if_asked()  # Python drops what is raised inside a destructor or a callback

    def _watch(self) -> None:
        """Reads the numbers of signals as they arrive, and ends the process where Python cannot obey them."""
        seen, left = self._seen, self._left
        interrupts = 0
        while number := os.read(seen, 1):
            interrupts += number[0] == signal.SIGINT
            urgent = interrupts > 1 or self._at_once
            if urgent and not left.wait(PATIENCE) and (interrupts > 1 or self._at_once):
                _exit_at_once(number[0])
        os.close(seen)

    def _unraised(self, dropped: Any) -> None:
        """Prints what Python drops in destructors and callbacks; a stop is obeyed afterwards instead."""
        if not issubclass(dropped.exc_type, StoppedError):
            self._former_hook(dropped)

    def _note(self, number: int, frame: types.FrameType | None) -> None:
        if self._number and number == signal.SIGINT:
            raise KeyboardInterrupt
        if not self._number:
            self._received = number
            if self._at_once:
                raise StoppedError(number)
            with contextlib.suppress(RuntimeError):  # the signal came while the program was printing
                self._noted(number)


def _exit_at_once(number: int) -> None:
    """Ends the process as if killed, with one line, which no other thread can hold up."""
    line = f"{signal.Signals(number).name}: stopped at once. Finished seeds and checkpoints are kept.\n"
    with contextlib.suppress(OSError):  # a terminal that is gone
        os.write(2, line.encode())
    os._exit(128 + number)
