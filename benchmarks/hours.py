"""How long would the whole count study take on one device? From the cells that were timed."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

import cells

SEEDS, STEPS = 250, 10_000


@dataclass(frozen=True)
class Hours:
    """Hours of training, without compiling and scoring.

    Attributes:
        total: of all cells, those that are in two families counted twice.
        by_cell: hours of each cell.
        interpolated: cells that were not timed.
    """

    total: float
    by_cell: dict[str, float]
    interpolated: tuple[str, ...]


def study_hours(seconds: Mapping[str, float], dtype: str) -> Hours | None:
    """Hours for 15 cells x 250 seeds x 10,000 steps; None where no cell of the study was timed.

    A cell that was not timed gets the seconds per FLOP of its width: interpolated, in logarithms, between
    the widths that were timed (their geometric mean over depths); beyond them, those of the nearest.

    Args:
        seconds: per step of one seed, by name of the cell.
        dtype: precision of the computation.
    """
    timed = [cell for cell in (cells.named(name, dtype) for name in seconds) if cell.batch == 128]
    if not timed:
        return None
    logs: dict[int, list[float]] = {}
    for cell in timed:
        logs.setdefault(cell.model.width, []).append(math.log(seconds[cell.name] / cell.step_flops))
    widths = sorted(logs)
    levels = [statistics.fmean(logs[width]) for width in widths]
    by_cell, total = dict[str, float](), 0.0
    grid = cells.grid(dtype)
    for cell in grid:
        level = float(np.interp(math.log(cell.model.width), np.log(widths), levels))
        per_step = seconds.get(cell.name, cell.step_flops * math.exp(level))
        by_cell[cell.name] = per_step * SEEDS * STEPS / 3600
        total += by_cell[cell.name]
    return Hours(total, by_cell, tuple(name for name in by_cell if name not in seconds))
