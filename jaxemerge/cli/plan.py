"""What would a study cost, here or on a chip that is not here: cells, parameters, FLOPs, memory, time?"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

import jax
from rich.console import Console

from jaxemerge.cache import cache_folder
from jaxemerge.cli.cells import Asked, asked
from jaxemerge.cli.delays import reported
from jaxemerge.cli.studies import Front
from jaxemerge.cli.terminal import say, table
from jaxemerge.runner.cautions import cautions
from jaxemerge.runner.chip_estimate import ChipEstimate, chip_estimates, compiler_missing
from jaxemerge.runner.experiment import Experiment
from jaxemerge.runner.jobs import Estimate, assumed_rate, estimates, jobs
from jaxemerge.runner.labels import labels
from jaxemerge.runner.opening import open_store
from jaxemerge.runner.processes import Processes, join
from jaxemerge.runner.quantities import duration, quantity
from jaxemerge.training import Plan, Scheduled, init_shapes
from jaxemerge.training.chips import Chip, chip_named

_SOURCES = {
    "formula": "by formula",
    "given": "given by hand",
    "recorded": "as its finished seeds",
    "search": "timed now",
    "cache": "timed before",
    "halved": "halved for want of memory",
}
_COLUMNS = ("cell", "seeds", "at once", "memory", "kernels", "bytes", "ms", "FLOPs", "ms", "least time")


def plan(options: argparse.Namespace, front: Front, console: Console) -> int:
    """Prints what is left of the cells, and what that would cost."""
    if options.target:
        compile_on_host()
    waited = options.distributed_wait
    processes = join(options.distributed, waited, lambda line: say(console, line))
    options.label = processes.label
    with processes:
        with reported(lambda line: say(console, line)):
            study = asked(options, front, processes)
        if processes.first:
            print_plan(study, options, console, processes)
            for line in cautions(study.cells):
                say(console, f"note: {line}")
    return 0


def print_plan(study: Asked, options: argparse.Namespace, console: Console, processes: Processes) -> None:
    """Cells, their cost, and how they are trained."""
    store = open_store(study.folder) if (study.folder / "study.json").is_file() else None
    called = labels({cell.cell: cell.to_dict() for cell in study.whole})
    if options.target:
        left = [job.experiment for job in jobs(study.cells, store, study=study.whole)]
        answers = None if options.no_cache else cache_folder() / "rooflines"
        chip = chip_named(options.target)
        chip_plan(left, chip, console, called, memory=options.memory, cache=answers)
        return
    rate = options.flops_per_second or assumed_rate(getattr(study.cells[0].model, "dtype", "float32"))
    todo = jobs(study.cells, store, **study.given, search=options.autotune)
    given = options.flops_per_second is not None
    plan_table(console, estimates(study.cells, todo, rate), rate, called, given=given)
    if processes.count > 1:
        say(console, f"This is the share of the first of {processes.count} processes in every cell.")


def plan_table(
    console: Console, costs: Sequence[Estimate], rate: float, called: Mapping[str, str], *, given: bool
) -> None:
    """Numbers and labels (``called``, by id) of cells; parameters, FLOPs, memory and time of what is left."""
    names = ("cell", "N", "with embeddings", "seeds left", "at once", "FLOPs", "memory", "time")
    made = table("", *names, left=2)
    for cost in costs:
        made.add_row(
            str(list(called).index(cost.experiment.cell) + 1),
            called[cost.experiment.cell],
            quantity(cost.parameters),
            quantity(cost.total_parameters),
            str(cost.seeds),
            str(cost.chunk),
            f"{cost.flops:.2g}",
            f"{quantity(cost.bytes)}B",
            duration(cost.seconds),
        )
    console.print(made)
    print_plans(console, costs)
    source = "as given" if given else "estimated from this machine's matrix-product peak"
    say(
        console,
        f"In all {sum(c.seeds for c in costs)} seeds, {sum(c.flops for c in costs):.2g} FLOPs, about "
        f"{duration(sum(c.seconds for c in costs))} at {rate:.2g} FLOP/s ({source}), without compilation.",
    )


def print_plans(console: Console, costs: Sequence[Estimate]) -> None:
    """One line for every way in which cells are trained."""
    cells = Counter(plan_text(cost.plan, cost.grouped_seeds) for cost in costs if cost.plan)
    for text, n in cells.items():
        say(console, f"{n} cell{'s' * (n > 1)}: {text}")
    treatments = Counter(text for cost in costs for text in _treatment(cost.experiment))
    for text, n in treatments.items():
        say(console, f"{n} cell{'s' * (n > 1)}: {text}")


def _treatment(experiment: Experiment) -> tuple[str, ...]:
    optimizer = experiment.optimizer
    return optimizer.treatment(init_shapes(experiment)) if isinstance(optimizer, Scheduled) else ()


def plan_text(plan: Plan, grouped_seeds: int = 0) -> str:
    """A plan in words: seeds at once, of how many cells, on what, how, and where the plan comes from."""
    devices, width = plan.layout.devices, plan.layout.width
    kind = f"{len(devices)} {devices[0].device_kind} device{'s' * (len(devices) > 1)}"
    how = "one after the other (map)" if width == 1 else f"{width} side by side (vmap)"
    whose = "" if not grouped_seeds else ", of cells with the same program,"
    return f"{plan.chunk} seeds at once{whose} on {kind}, on each {how}; {_SOURCES[plan.source]}"


def compile_on_host() -> None:
    """Keeps JAX from starting any accelerator: what compiles is this host."""
    jax.config.update("jax_platforms", "cpu")


def chip_plan(
    cells: Sequence[Experiment],
    chip: Chip,
    console: Console,
    called: Mapping[str, str],
    *,
    memory: int = 0,
    cache: Path | None = None,
) -> None:
    """Compiles each cell's program for a chip, and prints what its seeds would take there.

    Args:
        cells: each with the seeds that are left.
        chip: need not be here.
        console: where to print.
        called: labels of the study's cells by id, in the order of their numbers.
        memory: bytes that a chunk may take; 0 takes a share of what the chip has.
        cache: folder of earlier answers; None keeps none.
    """

    def compiling(cell: Experiment) -> None:
        say(console, f"compiling {called[cell.cell]} for {chip.label} ...")

    costs = [*chip_estimates(cells, chip, memory=memory, cache=cache, compiling=compiling)]
    made = table("", *_COLUMNS, left=2)
    for cost in costs:
        name = cost.experiment.cell
        made.add_row(str(list(called).index(name) + 1), called[name], *_row(cost))
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
