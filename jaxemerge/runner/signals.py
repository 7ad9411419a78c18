"""Stopping at a good moment: signals that ask to stop are noted, and obeyed where nothing gets lost."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import types
from collections.abc import Callable, Iterator
from typing import Any

PATIENCE = 2.0  # seconds that a second SIGINT waits for Python, which has no say while XLA compiles


class StoppedError(Exception):
    """Training ended early because a signal asked for it; what was done is kept."""

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.number = number

    @property
    def exit_code(self) -> int:
        """128 + the signal's number, as shells have it: 130 for SIGINT, 143 for SIGTERM, 140 for SIGUSR2."""
        return 128 + self.number


class StopRequest:
    """Notes SIGINT, SIGTERM and SIGUSR2 while it is entered, for ``raise_if_asked`` at the next good moment.

    A second SIGINT raises KeyboardInterrupt at once; where Python does not come to that, because it waits for
    a compiler, the process exits as if killed. SIGUSR2 is what Slurm is asked to send before it ends a job;
    by itself it would end the process. Python can enter it from its main thread only.
    """

    def __init__(
        self,
        noted: Callable[[int], None] = lambda number: None,
        elsewhere: Callable[[], int] = lambda: 0,
    ) -> None:
        """Before any signal has come.

        Args:
            noted: called with the number of the first signal; it may tell the person.
            elsewhere: asked for the number of a signal that came to another process, 0 for none.
        """
        self._noted = noted
        self._elsewhere = elsewhere
        self._number = 0
        self._at_once = False
        self._former: dict[int, Any] = {}

    def __enter__(self) -> StopRequest:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR2):
            self._former[number] = signal.signal(number, self._note)
        self._seen, self._sent = os.pipe()
        os.set_blocking(self._sent, False)
        self._former_sent = signal.set_wakeup_fd(self._sent)
        self._left = threading.Event()
        threading.Thread(target=self._watch, args=(self._seen, self._left), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._left.set()
        signal.set_wakeup_fd(self._former_sent)
        os.close(self._sent)  # ends the thread
        for number, handler in self._former.items():
            signal.signal(number, handler)

    def __bool__(self) -> bool:
        """Whether a signal has come."""
        self._number = self._number or self._elsewhere()
        return self._number != 0

    def raise_if_asked(self) -> None:
        """Call where everything is on disk.

        Raises:
            StoppedError: a signal has come.
        """
        if self:
            raise StoppedError(self._number)

    @contextlib.contextmanager
    def at_once(self) -> Iterator[None]:
        """Obeys without waiting while the block runs: for work that loses nothing when it is cut off."""
        self.raise_if_asked()
        self._at_once = True
        try:
            yield
        finally:
            self._at_once = False

    @staticmethod
    def _watch(seen: int, left: threading.Event) -> None:
        """Reads the numbers of signals as they come, whatever Python is at."""
        interrupts = 0
        while number := os.read(seen, 1):
            interrupts += number[0] == signal.SIGINT
            if interrupts > 1 and not left.wait(PATIENCE):
                os._exit(128 + signal.SIGINT)
        os.close(seen)

    def _note(self, number: int, frame: types.FrameType | None) -> None:
        if self._number and number == signal.SIGINT:
            raise KeyboardInterrupt
        if not self._number:
            self._number = number
            if self._at_once:
                raise StoppedError(number)
            self._noted(number)
