"""Stopping at a good moment: signals that ask to stop are noted, and obeyed where nothing gets lost."""

from __future__ import annotations

import signal
import types
from collections.abc import Callable
from typing import Any


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

    A second SIGINT raises KeyboardInterrupt at once. SIGUSR2 is what Slurm is asked to send before it ends
    a job; by itself it would end the process. Python can enter it from its main thread only.
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
        self._former: dict[int, Any] = {}

    def __enter__(self) -> StopRequest:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR2):
            self._former[number] = signal.signal(number, self._note)
        return self

    def __exit__(self, *_: object) -> None:
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

    def _note(self, number: int, frame: types.FrameType | None) -> None:
        if self._number and number == signal.SIGINT:
            raise KeyboardInterrupt
        if not self._number:
            self._number = number
            self._noted(number)
