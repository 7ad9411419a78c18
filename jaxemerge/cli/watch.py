"""Shows a results folder again whenever it changes, while its study trains."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from rich.console import Console

from jaxemerge.runner.records import CellStatus, open_records, study_status


def finished(cells: list[CellStatus]) -> bool:
    """Whether every requested seed is finished and no process is training."""
    return all(cell.missing == 0 and not cell.writers for cell in cells)


def follow(
    folder: Path,
    seconds: float,
    show: Callable[[list[CellStatus]], None],
    sleep: Callable[[float], None] = time.sleep,
) -> None:
    """Shows a folder now and after every change, until its study is finished or Ctrl-C is pressed.

    Args:
        folder: of results.
        seconds: between two looks.
        show: is given the state of all cells.
        sleep: waits that long.

    Raises:
        StoreError: the folder holds no study.
    """
    before = None
    try:
        while True:
            cells = study_status(open_records(folder))
            if cells != before:
                show(cells)
            if finished(cells):
                return
            before = cells
            sleep(seconds)
    except KeyboardInterrupt:
        return


def cleared(console: Console) -> None:
    """An empty screen; where output goes to a file, a blank line."""
    if console.is_terminal:
        console.clear()
    else:
        console.print()
