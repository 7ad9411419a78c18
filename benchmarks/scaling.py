"""How does the cost of a step grow with seeds, depth, width, context and devices?

python benchmarks/scaling.py                            every axis, around the quick study's cell
python benchmarks/scaling.py seeds --values 8,64,256    one axis, at these values
python benchmarks/scaling.py depth --values 1,4,16 --seeds 4 --json out.jsonl

Along each axis everything else stays as it is. All values of an axis are compiled first and then timed in
turns, in calls of ``--steps`` steps: a call reads and writes every seed's state once. On the axis of seeds
all of them are one chunk, larger than the library would make it: the cost per seed and the time to compile
should stay the same.
"""

from __future__ import annotations

import argparse
import statistics
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import jax

import timing
from cells import Cell, laptop
from jaxemerge.devices import use_host_cores
from jaxemerge.training import make_plan
from population import Population

AXES: Mapping[str, tuple[int, ...]] = {
    "seeds": (8, 16, 32, 64, 128, 256),
    "depth": (1, 2, 4, 8),
    "width": (32, 64, 128, 256),
    "context": (32, 64, 128, 256),
    "devices": (),  # 1, 2, 4, ... as many as there are
}
SHAPE = ("width", "depth", "batch", "context", "seeds")


def values(axis: str) -> tuple[int, ...]:
    """What is measured along an axis unless told otherwise."""
    here = jax.local_device_count()
    return AXES[axis] or tuple(n for n in (2**i for i in range(here.bit_length())) if n <= here)


def population(shape: Mapping[str, int]) -> tuple[Cell, Population]:
    """A cell of this shape with all its seeds in one chunk, compiled.

    Raises:
        ValueError: there is no such cell, or there are fewer devices.
    """
    here = jax.local_devices()
    if not 1 <= shape["devices"] <= len(here):
        raise ValueError(f"devices={shape['devices']}: must be 1 to {len(here)} here")
    cell = laptop(*(shape[name] for name in ("width", "depth", "batch", "context")))
    if cell.context < cell.task.max_length:
        raise ValueError(f"context={cell.context}: must be at least {cell.task.max_length}")
    if here[0].platform != "cpu":
        cell = replace(cell, model=replace(cell.model, dtype="bfloat16"))
    seeds = shape["seeds"]
    plan = make_plan(cell, seeds, devices=tuple(here[: shape["devices"]]), chunk=seeds)
    return cell, Population(cell, plan.layout, seeds, fillers=plan.chunk - seeds)


def calls(one: Population, steps: int) -> timing.Run:
    """Calls the program n times; the same number of steps in each, however many seeds it has."""

    def run(n: int) -> None:
        for _ in range(n):
            one.run(steps)

    return run


def measure(
    axis: str, chosen: Sequence[int], shape: Mapping[str, int], options: argparse.Namespace
) -> list[timing.Result]:
    """A Result per value of the axis: milliseconds per seed and step."""
    here, first = jax.local_devices()[0], str(chosen[0])
    population(
        {**shape, "seeds": 2 * shape["devices"], "depth": 1}
    )  # the first to compile pays for the start
    built = {str(value): population({**shape, axis: value}) for value in chosen}
    runs = {name: calls(one, options.steps) for name, (_, one) in built.items()}
    seen = timing.interleaved(runs, rounds=options.rounds, seconds=options.seconds)
    found = []
    for name, (cell, one) in built.items():
        per_step = [t / (one.work * options.steps) for t in seen[name]]
        base = [t / (built[first][1].work * options.steps) for t in seen[first]]
        middle = statistics.median(per_step)
        more = {
            "axis": axis,
            "at": int(name),
            "times_first": timing.median_ratio(per_step, base),
            "model_flops_per_second": cell.step_flops / middle,
            "compile_seconds": one.compile_seconds,
            "spread": timing.spread(per_step),
            "rounds": options.rounds,
            "steps_per_call": options.steps,
            "precision": cell.model.dtype,
        }
        devices = int(name) if axis == "devices" else shape["devices"]
        device = timing.device_name(here.platform, here.device_kind, devices)
        found.append(
            timing.Result(
                "scaling", device, cell.name, axis, one.seeds, 1e3 * middle, "ms per seed-step", more
            )
        )
    return found


def report(found: Sequence[timing.Result]) -> str:
    """One line per axis and value."""
    keys = ("times_first", "spread", "model_flops_per_second", "compile_seconds")
    rows = [
        (r.variant, r.more["at"], r.cell, r.seeds, r.value, *(r.more[key] for key in keys)) for r in found
    ]
    header = ("axis", "at", "cell", "seeds", "ms/seed-step", "x first", "+-", "FLOP/s", "compile s")
    return timing.table(header, rows)


def parser() -> timing.Parser:
    """The command line."""
    made = timing.Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("axes", nargs="*", help=f"some of {', '.join(AXES)}; default all")
    made.add_argument("--values", help="along the one axis that is given, for example 8,64,256")
    for name, default in zip(SHAPE, (64, 2, 16, 64, 16), strict=True):
        made.add_argument(f"--{name}", type=int, default=default, help=f"default {default}")
    made.add_argument("--devices", type=int, help="default all; on a host, one per core")
    made.add_argument("--steps", type=int, default=4, help="in one call of the program, default 4")
    made.add_argument("--rounds", type=int, default=5)
    made.add_argument("--seconds", type=float, default=0.8, help="of one measurement")
    made.add_argument("--json", type=Path, metavar="FILE", help="write results there, print none")
    return made


def checked(options: argparse.Namespace) -> dict[str, tuple[int, ...]]:
    """The axes to measure, with the values along each.

    Raises:
        ValueError: an option is out of range.
    """
    for name in (*SHAPE, "steps", "rounds", "seconds"):
        if getattr(options, name) <= 0:
            raise ValueError(f"--{name} {getattr(options, name)}: must be positive")
    for axis in options.axes:
        if axis not in AXES:
            raise ValueError(f"axis {axis}: must be one of {', '.join(AXES)}")
    if options.values is None:
        return {axis: values(axis) for axis in options.axes or AXES}
    if len(options.axes) != 1:
        raise ValueError(f"--values {options.values}: name the one axis that they belong to")
    return {options.axes[0]: timing.numbers("--values", options.values)}


def main(arguments: Sequence[str] | None = None) -> int:
    """Measures the axes one after another."""
    made = parser()
    options = made.parse_args(arguments)
    use_host_cores(options.devices)
    found = []
    try:
        axes = checked(options)
        devices = jax.local_device_count() if options.devices is None else options.devices
        shape = {**{name: getattr(options, name) for name in SHAPE}, "devices": devices}
        for axis, chosen in axes.items():
            print(f"measuring {axis}", file=sys.stderr, flush=True)
            found += measure(axis, chosen, shape, options)
    except ValueError as error:
        made.error(str(error))
    timing.write(found, options.json)
    print(report(found))
    return 0


if __name__ == "__main__":
    sys.exit(main())
