"""What is the least time of the count study on a chip? Compiled for it here, with or without one.

python benchmarks/roofline.py                           all 15 cells, bfloat16, for an H100
python benchmarks/roofline.py 4x64 --for tpu-v5e --dtype float32
python benchmarks/roofline.py 4x64 --rows 20 --hlo step.txt     the heaviest kernels; the whole program

Nothing is run. Each row has the bytes that the kernels of a step read and write (each operand and result
once: see jaxemerge.training.traffic), the operations of its matrix products and those that the backward pass
repeats, its memory, and the least time at nine tenths of the chip's bandwidth and at its peak. A compilation
takes a minute or two; its answer stays in the user's cache folder while code and compiler are the same.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax

import cells
import timing
from jaxemerge.cache import cache_folder
from jaxemerge.training.chips import CHIPS, Chip, chip_named
from jaxemerge.training.compiled import CompilerMissingError
from jaxemerge.training.hlo import parse
from jaxemerge.training.roofline import SEEDS, Prediction, compiled_prediction, predicted
from jaxemerge.training.traffic import Kernel, step_kernels, total

STUDY_SEEDS = 250  # of each cell
HEADER = (
    "cell",
    "kernels",
    "GB/step",
    "GFLOP/step",
    "repeated",
    "ms traffic",
    "ms products",
    "h traffic",
    "h products",
    "GB state",
    "GB step",
    "side by side",
    "in turn",
)


def record(cell: cells.Cell, found: Prediction) -> dict[str, Any]:
    """A cell's numbers, per seed and step, as plain JSON values."""
    steps = STUDY_SEEDS * cell.steps
    return {
        "benchmark": "roofline",
        "cell": cell.name,
        "target": found.target,
        "dtype": found.dtype,
        "seeds": found.seeds,
        "width": found.width,
        "gb_per_seed_step": found.bytes / 1e9,
        "temporary_gb_per_seed": found.temporary / 1e9,
        "state_gb_per_seed": found.state / 1e9,
        "kernels": found.kernels,
        "gflop_per_seed_step": found.flops / 1e9,
        "repeated_gflop_per_seed_step": found.recomputed / 1e9,
        "ms_by_traffic": 1e3 * found.traffic_seconds,
        "ms_by_products": 1e3 * found.arithmetic_seconds,
        "hours_by_traffic": steps * found.traffic_seconds / 3600,
        "hours_by_products": steps * found.arithmetic_seconds / 3600,
        "hours": steps * found.least_seconds / 3600,
        "seeds_side_by_side": found.side_by_side(),
        "seeds_in_turn": found.in_turn(),
        "collectives": found.collectives,
        "compile_seconds": found.seconds,
        "versions": timing.versions(),
    }


def row(line: dict[str, Any]) -> tuple[object, ...]:
    """A cell's line of the table."""
    names = (
        "cell",
        "kernels",
        "gb_per_seed_step",
        "gflop_per_seed_step",
        "repeated_gflop_per_seed_step",
        "ms_by_traffic",
        "ms_by_products",
        "hours_by_traffic",
        "hours_by_products",
        "state_gb_per_seed",
        "temporary_gb_per_seed",
        "seeds_side_by_side",
        "seeds_in_turn",
    )
    return tuple(line[name] for name in names)


def summary(lines: Sequence[dict[str, Any]], often: Counter[str], chip: Chip) -> str:
    """Hours of all cells together, those that are in two families counted twice."""
    sums = {
        name: sum(often[line["cell"]] * line[name] for line in lines)
        for name in ("hours_by_traffic", "hours_by_products", "hours")
    }
    return (
        f"{sum(often.values())} cells of {STUDY_SEEDS} seeds on one {chip.label}: "
        f"{sums['hours_by_traffic']:.1f} h by traffic at {chip.reached / 1e12:.2f} TB/s, "
        f"{sums['hours_by_products']:.1f} h by products at peak, at least {sums['hours']:.1f} h"
    )


def heaviest(text: str, seeds: int, rows: int) -> str:
    """Kinds of kernels, and the kernels that move most, in MB per seed and step."""
    kernels = step_kernels(parse(text))
    kinds = Counter[str]()
    for kernel in kernels:
        kinds[kernel.kind] += kernel.moved
    found: list[tuple[object, ...]] = [(n / seeds / 1e6, kind, "", "") for kind, n in kinds.most_common()]
    found.append((total(kernels) / seeds / 1e6, "all", "", ""))
    largest = sorted(kernels, key=lambda kernel: -kernel.moved)[:rows]
    found += [(each.moved / seeds / 1e6, *described(each)) for each in largest]
    return timing.table(("MB", "kind", "result", "of"), found)


def described(kernel: Kernel) -> tuple[str, str, str]:
    """Kind, result and source of a kernel, cut to fit a line."""
    times = f"{kernel.times} x " if kernel.times > 1 else ""
    return times + kernel.kind, kernel.shape[:60], kernel.source[-70:]


def parser() -> timing.Parser:
    """The command line."""
    made = timing.Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("cells", nargs="*", metavar="CELL", help="DEPTHxWIDTH; default the study's 15")
    made.add_argument("--for", dest="target", default="h100", metavar="CHIP", help=", ".join(CHIPS))
    made.add_argument("--dtype", choices=("float32", "bfloat16"), default="bfloat16")
    made.add_argument("--seeds", type=int, default=SEEDS, metavar="N", help=f"per device (default {SEEDS})")
    made.add_argument("--width", type=int, default=0, metavar="N", help="seeds side by side (default all)")
    made.add_argument("--rows", type=int, default=0, metavar="N", help="show the heaviest kernels")
    made.add_argument("--json", type=Path, metavar="FILE", help="write a line of JSON per cell there")
    made.add_argument("--hlo", type=Path, metavar="FILE", help="write the compiled program there")
    return made


def measure(options: argparse.Namespace, cell: cells.Cell, chip: Chip) -> Prediction:
    """Compiles a cell, or finds what was seen of it before."""
    if not options.hlo and not options.rows:
        kept = cache_folder() / "rooflines"
        return predicted(cell, chip, options.seeds, width=options.width, cache=kept)
    found, text = compiled_prediction(cell, chip, options.seeds, width=options.width)
    if options.hlo:
        options.hlo.write_text(text)
    if options.rows:
        print(f"{cell.name}\n{heaviest(text, found.width, options.rows)}", flush=True)
    return found


def run(options: argparse.Namespace) -> None:
    """Compiles each cell and prints the table."""
    chip = chip_named(options.target)
    grid = cells.grid(options.dtype)
    chosen = [cells.named(name, options.dtype) for name in options.cells] or grid
    often = Counter(cell.name for cell in chosen)
    lines: list[dict[str, Any]] = []
    for i, cell in enumerate({cell.name: cell for cell in chosen}.values(), start=1):
        print(f"{i}/{len(often)} {cell.name} for {chip.label}", file=sys.stderr, flush=True)
        lines.append(record(cell, measure(options, cell, chip)))
        if options.json:
            options.json.write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    print(timing.table(HEADER, [row(line) for line in lines]))
    print(summary(lines, often, chip))


def main(arguments: Sequence[str] | None = None) -> int:
    """Prints what is asked for."""
    made = parser()
    options = made.parse_args(arguments)
    jax.config.update("jax_platforms", "cpu")  # what compiles is this host, whatever else it has
    try:
        if options.seeds < 1 or options.width < 0:
            raise ValueError("--seeds and --width: must be at least 1")
        run(options)
    except (ValueError, CompilerMissingError) as error:
        made.error(str(error))
    return 0


if __name__ == "__main__":
    sys.exit(main())
