"""Trains what is missing of a study, next to other processes, and in smaller chunks when memory runs out."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Generator, Iterator, Mapping, Sequence

from jax.errors import JaxRuntimeError

from jaxemerge.runner.chunk import DEFAULT, Follower, RunOptions, run_chunk
from jaxemerge.runner.groups import Chunk, Group, Part, grouped
from jaxemerge.runner.jobs import Job, current
from jaxemerge.runner.lock import LockedError
from jaxemerge.runner.progress import Display
from jaxemerge.runner.store import Store
from jaxemerge.runner.train import shrunk
from jaxemerge.training import is_out_of_memory

_PAUSE = 1.0  # seconds between two looks at cells that other processes train


def train_jobs(todo: Sequence[Job], store: Store, display: Display, options: RunOptions = DEFAULT) -> None:
    """Trains the cells that no other process trains, and then what other processes leave of theirs.

    Where memory runs out, the rest of the cells that share a program is trained in chunks of half the size.

    Args:
        todo: what is missing of the study.
        store: where results go.
        display: shows the progress.
        options: how chunks are trained, what is saved of them, and how long to wait for other processes.

    Raises:
        LockedError: other processes train all of the cells.
        DeviceError: one seed per device is too much for the memory.
        StoppedError: ``options.stop`` was asked to.
    """
    number = {job.experiment.cell: i + 1 for i, job in enumerate(todo)}
    with contextlib.closing(_free_groups(todo, store, options)) as groups:
        for group in groups:
            name, done = label(group, number), 0
            while done < len(group.chunks):
                display.start_chunk(group, done, name)
                try:
                    with _followers(group.chunks[done], options) as followers:
                        for seen in run_chunk(group.chunks[done], store, options):
                            display.update(seen)
                            for part, follower in followers:
                                follower(part.own(seen))
                except (JaxRuntimeError, MemoryError) as error:
                    if not is_out_of_memory(error):
                        raise
                    group, done = group.after(done).smaller(), 0
                    display.drop_chunk(shrunk(group.plan))
                else:
                    display.finish_chunk()
                    done += 1


def _free_groups(todo: Sequence[Job], store: Store, options: RunOptions) -> Generator[Group, None, None]:
    """Groups whose cells this process alone writes until the next group is asked for.

    Raises:
        LockedError: other processes write all of the cells, for longer than ``options.patience`` seconds.
    """
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
                for job in free:  # a process may have been killed between its rows and this
                    store.clear(job.experiment.cell)
                # Another process may have trained some of their seeds since the jobs were made.
                yield from grouped([now for job in free if (now := current(job, store))])
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


@contextlib.contextmanager
def _followers(chunk: Chunk, options: RunOptions) -> Iterator[list[tuple[Part, Follower]]]:
    """A follower for the seeds of each cell."""
    with contextlib.ExitStack() as following:
        yield [
            (part, following.enter_context(options.follow(part.experiment, part.seeds)))
            for part in chunk.parts
        ]


def label(group: Group, number: Mapping[str, int]) -> str:
    """The group for people: the numbers of its cells, and the first cell in words."""
    first, *others = (number[job.experiment.cell] for job in group.jobs)
    which = f"cells {first} to {others[-1]} of {len(number)}" if others else f"cell {first}/{len(number)}"
    return f"{which}, {group.jobs[0].label}"


def is_done(chunk: Chunk, store: Store) -> bool:
    """Whether all of a chunk's seeds are finished."""
    return all(store.finished(part.cell).issuperset(part.seeds) for part in chunk.parts)
