"""How far is a study, seen from any machine that sees its folder?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from jaxemerge.runner.store import Store


@dataclass(frozen=True)
class CellStatus:
    """One cell, at a glance; nothing is changed to find it out.

    Attributes:
        cell: its id.
        steps: of its training.
        finished: seeds whose results are there and whole.
        asked: seeds that commands have asked for; None where the folder does not tell.
        seconds: spent on the finished ones.
        writers: host, process and since when of every process that trains it now.
        checkpointed: step of the newest checkpoint, and number of seeds, of every unfinished chunk.
        damaged: a line on every part that is damaged.
    """

    cell: str
    steps: int
    finished: int
    asked: int | None
    seconds: float
    writers: tuple[dict[str, Any], ...]
    checkpointed: tuple[tuple[int, int], ...]
    damaged: tuple[str, ...]

    @property
    def missing(self) -> int | None:
        """Seeds asked for that have no results yet."""
        return None if self.asked is None else self.asked - self.finished


def study_status(store: Store) -> list[CellStatus]:
    """Every cell of a results folder."""
    return [_cell_status(store, cell) for cell in store.cells]


def _cell_status(store: Store, cell: str) -> CellStatus:
    records, damaged, writers = store.condition(cell)
    done = {tuple(seed) for record in records for seed in record["seeds"]}
    asked = store.asked.get(cell)
    newest = [record for chunk in store.checkpointed(cell) if (record := chunk.record())]
    left = [(record["step"], sum(tuple(seed) not in done for seed in record["seeds"])) for record in newest]
    return CellStatus(
        cell=cell,
        steps=store.cells[cell]["steps"],
        finished=len(done),
        asked=None if asked is None else len(done | set(asked)),
        seconds=sum(record["seconds"] for record in records),
        writers=tuple(writers),
        checkpointed=tuple(sorted((step, seeds) for step, seeds in left if seeds)),
        damaged=tuple(damaged),
    )
