"""Progress for people: live bars on a terminal and in a notebook, plain lines elsewhere."""

from __future__ import annotations

import contextlib
import html
import importlib
import io
import time
from collections.abc import Callable, Iterator, Sequence, Sized
from dataclasses import dataclass
from itertools import groupby
from typing import Any, Protocol

import numpy as np
from rich.console import Console
from rich.console import Group as Lines
from rich.live import Live
from rich.padding import Padding
from rich.progress import (
    BarColumn,
    Progress,
    ProgressColumn,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
)
from rich.text import Text

from jaxemerge.runner.experiment import Experiment
from jaxemerge.runner.quantities import duration, quantity
from jaxemerge.runner.scores import Evaluation, Measured, successes
from jaxemerge.runner.scores import Progress as Seen
from jaxemerge.training import Plan

_WIDE = 80  # characters from which there is room for bars of progress
_PLAIN_INTERVAL = 10.0  # seconds between two lines where output is no terminal


class Work(Protocol):
    """What is trained by one program, chunk by chunk."""

    @property
    def experiment(self) -> Experiment:
        """The cell, or the first of several."""

    @property
    def plan(self) -> Plan:
        """How it is trained."""

    @property
    def chunks(self) -> Sequence[Sized]:
        """Seeds that are trained at once."""

    @property
    def flops_per_step(self) -> float:
        """Of one step of one chunk."""


class Display:
    """Shows a study's progress; a context manager around its training."""

    def __init__(
        self, console: Console, groups: Sequence[Work], threshold: float, *, label: str = ""
    ) -> None:
        """Before anything is trained.

        Args:
            console: where to show it.
            groups: all that will be trained.
            threshold: exact match from which a seed counts as a success.
            label: prefix of the lines of a process that is not the first of its study; progress is then not
                shown.
        """
        self._label_of_process = label
        self._console = console
        self._threshold = threshold
        self._total = sum(
            len(group.chunks) * group.flops_per_step * group.experiment.steps for group in groups
        )
        self._finished = 0.0  # FLOPs of finished chunks
        self._began = self._last_line = time.monotonic()
        self._rate = 0.0  # FLOP/s, smoothed over dispatches
        self._status = self._successes = ""
        self._bars: Progress | None = None
        if (console.is_terminal or console.is_jupyter) and not label:
            self._bars = Progress(*_columns(console.width))
            self._study = self._bars.add_task("study", total=self._total or 1.0, left="")
            self._live: Live | NotebookLive
            if console.is_jupyter:  # rich needs ipywidgets there
                self._live = NotebookLive(self._picture)
            else:
                self._live = Live(console=console, get_renderable=self._picture, refresh_per_second=4)

    def __enter__(self) -> Display:
        if self._bars:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._bars:
            self._live.stop()

    def _picture(self) -> Lines:
        """The bars, and below them the losses and successes of the seeds; as wide as the window is now."""
        if self._bars:
            self._bars.columns = _columns(self._console.width)
        lines = [text for text in (self._status, self._successes) if text]
        return Lines(
            *[self._bars] if self._bars else [], *(Padding(Text(line), (0, 0, 0, 2)) for line in lines)
        )

    def start_chunk(self, group: Work, number: int, label: str) -> None:
        """A chunk's program is being compiled."""
        self._group = group
        self._label = f"{label}, seeds {number + 1}/{len(group.chunks)}" if len(group.chunks) > 1 else label
        self._step, self._mark, self._updates = 0, time.monotonic(), 0
        self._status = self._successes = ""
        if self._bars:
            self._chunk = self._bars.add_task(self._label, total=group.experiment.steps, left="compiling")
        elif not self._label_of_process:
            self.line(f"{self._label}: compiling for {len(group.chunks[number])} seeds")

    def update(self, seen: Seen) -> None:
        """A dispatch of the current chunk has ended."""
        now = time.monotonic()
        self._updates += 1
        # The first shows where the chunk starts, or resumes, and the second's dispatch includes compilation.
        if seen.step > self._step and self._updates > 2:
            rate = (seen.step - self._step) * self._group.flops_per_step / (now - self._mark)
            self._rate = rate if not self._rate else 0.7 * self._rate + 0.3 * rate
        self._step, self._mark = seen.step, now
        if seen.evaluation is not None:
            self._successes = self._success_text(seen.evaluation)
        self._status = self._status_text(seen)
        if self._bars:
            self._bars.update(self._study, completed=self._done(), left=self._left())
            self._bars.update(self._chunk, completed=seen.step, left="")
            if isinstance(self._live, NotebookLive):
                self._live.refresh()
        elif self._label_of_process:
            pass
        elif now - self._last_line >= _PLAIN_INTERVAL or seen.step == self._group.experiment.steps:
            self._last_line = now
            progress = f"{self._done() / self._total:.0%}, {self._left()}".rstrip(", ")
            parts = [f"{self._label}: {self._status}", self._successes, progress]
            self.line(" | ".join(filter(None, parts)))

    def finish_chunk(self) -> None:
        """The current chunk's results are stored."""
        self._finished += self._group.flops_per_step * self._group.experiment.steps
        self._step, self._status = 0, ""
        if self._bars:
            self._bars.update(self._study, completed=self._finished)
            self._bars.remove_task(self._chunk)
            self.line(f"{self._label}: {self._successes}")
        self._successes = ""

    def drop_chunk(self, text: str = "") -> None:
        """The current chunk is abandoned, for the reason in ``text``, which is printed."""
        self._step, self._status = 0, ""
        if self._bars:
            self._bars.remove_task(self._chunk)
        self._successes = ""
        if text:
            self.line(text)

    def line(self, text: str) -> None:
        """Prints a line, above the bars where there are any."""
        self._console.print(Text(self._label_of_process + text), soft_wrap=True)

    def _done(self) -> float:
        return self._finished + self._step * self._group.flops_per_step

    def _left(self) -> str:
        if not self._rate:
            return ""
        return f"{duration((self._total - self._done()) / self._rate)} left"

    def _status_text(self, seen: Seen) -> str:
        experiment = self._group.experiment
        parts = [f"step {seen.step}/{experiment.steps}"]
        if self._rate and experiment.tokens_per_step:
            per_token = self._group.flops_per_step / (self._group.plan.chunk * experiment.tokens_per_step)
            parts.append(f"{quantity(self._rate / per_token)} tokens/s")
        # A diverged seed's loss counts as infinite: it must not make the others look better.
        losses = np.where(np.isnan(seen.loss), np.inf, seen.loss)
        low, middle, high = np.quantile(losses, (0.1, 0.5, 0.9), method="nearest")
        parts.append(f"loss {middle:.3f} [{low:.3f}, {high:.3f}]")
        return " | ".join(parts)

    def _success_text(self, evaluation: Evaluation) -> str:
        """How many seeds are above the threshold, for each test length, or each share of an objective."""
        tests = successes(self._group.experiment, evaluation.scores)
        if not tests:
            return ""
        reached = [((one.values >= self._threshold) & ~evaluation.diverged).sum() for one in tests]
        counts = f"{'/'.join(map(str, reached))} of {len(evaluation.diverged)} seeds"
        if self._group.experiment.model is None:
            return f"{'/'.join(one.metric for one in tests)} >= {self._threshold:g}: {counts}"
        if all(one.split == tests[0].split and one.length is not None for one in tests):
            lengths = "/".join(str(one.length) for one in tests)
            return f"exact match >= {self._threshold:g} at length {lengths}: {counts}"
        by_split = "; ".join(_of_split(tests, reached))
        return f"exact match >= {self._threshold:g} in {by_split} of {len(evaluation.diverged)} seeds"


def _columns(width: int) -> tuple[ProgressColumn, ...]:
    """What a line of progress shows in a window of this width: in a narrow one numbers alone."""
    name, done = TextColumn("{task.description}", markup=False), TextColumn("{task.percentage:>3.0f} %")
    left = TextColumn("{task.fields[left]}", markup=False)
    if width < _WIDE:
        return name, done, left
    return SpinnerColumn(), name, BarColumn(bar_width=24), done, TimeElapsedColumn(), left


class NotebookLive:
    """Progress in the output of a notebook cell, updated a few times a second."""

    def __init__(self, picture: Callable[[], Any]) -> None:
        """Shows nothing yet; ``picture`` returns something that rich can print."""
        self._picture, self._last = picture, 0.0

    def start(self) -> None:
        """Opens the output."""
        display = importlib.import_module("IPython.display").display  # there in every notebook

        self._handle = display(_Page(self._picture()), display_id=True)

    def refresh(self) -> None:
        """Shows the picture as it is now, unless it was written just before."""
        if time.monotonic() - self._last > 0.25:
            self.stop()

    def stop(self) -> None:
        """Shows the picture as it is at the end."""
        self._last = time.monotonic()
        self._handle.update(_Page(self._picture()))


@dataclass(frozen=True)
class _Page:
    """A picture as text, for a notebook."""

    picture: Any

    def __repr__(self) -> str:
        console = Console(file=io.StringIO(), width=110, force_jupyter=False)
        console.print(self.picture)
        return console.file.getvalue()  # type: ignore[attr-defined]

    def _repr_html_(self) -> str:
        return f"<pre>{html.escape(repr(self))}</pre>"


@contextlib.contextmanager
def shown(work: Work, threshold: float = 0.2) -> Iterator[Display]:
    """A display on the standard error; ``threshold`` is that of a success."""
    with Display(Console(stderr=True, highlight=False), [work], threshold) as display:
        yield display


def _of_split(tests: Sequence[Measured], reached: Sequence[int]) -> Iterator[str]:
    """How many seeds reached each test length of a split, split by split."""
    pairs = zip(tests, reached, strict=True)
    for split, members in groupby(pairs, key=lambda pair: pair[0].split):
        ones, counts = zip(*members, strict=True)
        lengths = "/".join(str(one.length) for one in ones if one.length is not None)
        where = f"{split} at length {lengths}" if lengths else split
        yield f"{where}: {'/'.join(map(str, counts))}"
