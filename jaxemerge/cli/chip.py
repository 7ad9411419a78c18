"""The plan of a study for a chip that is not here."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import jax
from rich.console import Console

from jaxemerge.cli.terminal import say, table
from jaxemerge.runner.chip_estimate import ChipEstimate, chip_estimates, compiler_missing
from jaxemerge.runner.experiment import Experiment
from jaxemerge.runner.quantities import duration, quantity
from jaxemerge.training.chips import Chip

_COLUMNS = ("cell", "seeds", "at once", "memory", "kernels", "bytes", "ms", "FLOPs", "ms", "least time")


def compile_on_host() -> None:
    """Keeps JAX from starting any accelerator: what compiles is this host."""
    jax.config.update("jax_platforms", "cpu")


def chip_plan(
    cells: Sequence[Experiment],
    chip: Chip,
    console: Console,
    order: Sequence[str],
    *,
    memory: int = 0,
    cache: Path | None = None,
) -> None:
    """Compiles each cell's program for a chip, and prints what its seeds would take there.

    Args:
        cells: each with the seeds that are left.
        chip: need not be here.
        console: where to print.
        order: names of the study's cells, for their numbers.
        memory: bytes that a chunk may take; 0 takes a share of what the chip has.
        cache: folder of earlier answers; None keeps none.
    """

    def compiling(cell: Experiment) -> None:
        say(console, f"compiling {cell.cell} for {chip.label} ...")

    costs = [*chip_estimates(cells, chip, memory=memory, cache=cache, compiling=compiling)]
    made = table("", *_COLUMNS, left=2)
    for cost in costs:
        made.add_row(str(order.index(cost.experiment.cell) + 1), cost.experiment.cell, *_row(cost))
    console.print(made)
    for line in _notes(costs, chip):
        say(console, line)


def _row(cost: ChipEstimate) -> tuple[str, ...]:
    found = cost.prediction
    compiled = found.kernels > 0
    return (
        str(len(cost.experiment.seeds)),
        str(cost.chunk) if cost.chunk else "none fits",
        f"{quantity(cost.bytes)}B",
        str(found.kernels) if compiled else "-",
        quantity(found.bytes) if compiled else "-",
        f"{1e3 * found.traffic_seconds:.3g}" if compiled else "-",
        quantity(found.flops),
        f"{1e3 * found.arithmetic_seconds:.3g}",
        duration(cost.least_seconds),
    )


def _notes(costs: Sequence[ChipEstimate], chip: Chip) -> list[str]:
    """What the numbers mean, and where they come from."""
    seconds = sum(cost.least_seconds for cost in costs)
    seeds, flops = sum(len(cost.experiment.seeds) for cost in costs), sum(cost.flops for cost in costs)
    lines = [
        f"In all {seeds} seeds, {flops:.2g} FLOPs: at least {duration(seconds)} on one {chip.label}. "
        "Bytes and FLOPs are those of a step of one seed, with the least time of each."
    ]
    missing = compiler_missing(chip)
    if missing:
        return [*lines, f"Memory is by formula and the least time by FLOPs alone: {missing}"]
    return [
        *lines,
        f"Compiled for the chip, not run there; {chip.reached / 1e12:.3g} TB/s and the peak of its matrix "
        "units bound the time.",
    ]
