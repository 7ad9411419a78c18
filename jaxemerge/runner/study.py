"""Trains what is missing of a study, next to other processes, and in smaller chunks when memory runs out."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Mapping, Sequence

from jax.errors import JaxRuntimeError

from jaxemerge.runner.chunk import DEFAULT, RunOptions, run_chunk
from jaxemerge.runner.groups import Chunk, Group, grouped
from jaxemerge.runner.jobs import Job, current
from jaxemerge.runner.lock import LockedError
from jaxemerge.runner.progress import Display
from jaxemerge.runner.store import Store
from jaxemerge.runner.train import shrunk
from jaxemerge.training import is_out_of_memory

_PAUSE = 1.0  # seconds between two looks at cells that other processes train


def train_jobs(todo: Sequence[Job], store: Store, display: Display, options: RunOptions = DEFAULT) -> None:
    """Trains the cells that no other process trains, and of the others what they leave.

    Where other processes train all cells that are left, they are waited for, up to ``options.patience``
    seconds.

    Args:
        todo: what is missing of the study.
        store: where it goes.
        display: shows the progress.
        options: how chunks are trained, and what is saved of them.

    Raises:
        LockedError: other processes train all of the cells.
        StoppedError: ``options.stop`` was asked to.
    """
    number = {job.experiment.cell: i + 1 for i, job in enumerate(todo)}
    left = list(todo)
    waited_since = time.monotonic()
    while left:
        busy: list[tuple[Job, LockedError]] = []
        for group in grouped(left):
            with contextlib.ExitStack() as held:
                free = []
                for job in group.jobs:
                    try:
                        held.enter_context(store.writing(job.experiment.cell, options.share))
                        free.append(job)
                    except LockedError as error:
                        busy.append((job, error))
                # Another process may have trained some of their seeds since the jobs were made.
                there = [now for job in free if (now := current(job, store))]
                for own in grouped(there):
                    train_group(own, store, display, label(own, number), options)
        if len(busy) < len(left):
            waited_since = time.monotonic()
        elif time.monotonic() - waited_since < options.patience:
            time.sleep(_PAUSE)
            options.raise_if_stopping()
            continue
        elif len(busy) == len(todo):
            raise busy[0][1]
        else:
            for _, reason in busy:
                options.say(f"Left to others: {reason}.")
            return
        left = [job for job, _ in busy]


def label(group: Group, number: Mapping[str, int]) -> str:
    """The group for people: the numbers of its cells, and the first cell in words."""
    first, *others = (number[job.experiment.cell] for job in group.jobs)
    which = f"cells {first} to {others[-1]} of {len(number)}" if others else f"cell {first}/{len(number)}"
    return f"{which}, {group.jobs[0].label}"


def train_group(
    group: Group, store: Store, display: Display, label: str, options: RunOptions = DEFAULT
) -> None:
    """Trains a group's chunks; where memory runs out, the rest in chunks of half the size.

    Raises:
        DeviceError: one seed per device is too much for the memory.
        StoppedError: ``options.stop`` was asked to.
    """
    number = 0
    while number < len(group.chunks):
        chunk = group.chunks[number]
        display.start_chunk(group, number, label)
        try:
            with contextlib.ExitStack() as following:
                followers = [
                    (part, following.enter_context(options.follow(part.experiment, part.seeds)))
                    for part in chunk.parts
                ]
                for seen in run_chunk(chunk, store, options):
                    display.update(seen)
                    for part, tell in followers:
                        tell(part.own(seen))
        except (JaxRuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            group, number = group.after(number).smaller(), 0
            display.drop_chunk(shrunk(group.plan))
        else:
            display.finish_chunk()
            number += 1


def is_done(chunk: Chunk, store: Store) -> bool:
    """Whether all of a chunk's seeds are finished."""
    return all(store.finished(part.cell).issuperset(part.seeds) for part in chunk.parts)
