"""How fast does this machine train populations, and how close is that to what it can do?

python benchmarks/throughput.py                         cells and seeds that fit the device
python benchmarks/throughput.py quick 4x64 --seeds 16,64

Needs only JAX, Flax, Optax and NumPy. Every cell is measured in a process of its own, so that its memory
is its own; cells that do not fit into ``--minutes`` are left out, and named. ``accelerator.py`` measures
more, on a machine available for a few minutes.
"""

from __future__ import annotations

import argparse
import math
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax

import cells
import peak
import timing
from jaxemerge.devices import Layout, use_host_cores
from jaxemerge.training import make_plan
from population import Population

ONE = "single seeds, scanned"
POPULATION = "population"


def peak_bytes() -> int:
    """Most memory this process has used so far: of the first device, or of the host."""
    statistics = jax.local_devices()[0].memory_stats() or {}
    if "peak_bytes_in_use" in statistics:
        return int(statistics["peak_bytes_in_use"])
    return timing.host_peak_bytes()


def measure(cell: cells.Cell, counts: Sequence[int], rounds: int, seconds: float) -> list[timing.Result]:
    """Populations of several sizes, single seeds and matrix products, in turns."""
    devices = tuple(jax.local_devices())
    device = timing.device_name(devices[0].platform, devices[0].device_kind, len(devices))
    one = Population(cell, Layout(devices[:1]), 1)
    sizes = {}
    failed = []
    for count in sorted(counts):
        plan = make_plan(cell, count)
        try:
            built = Population(cell, plan.layout, plan.chunk)
            built.run(1)
        except jax.errors.JaxRuntimeError as error:
            why = str(error).partition("\n")[0]
            failed.append(
                timing.Result(
                    "throughput",
                    device,
                    cell.name,
                    POPULATION,
                    count,
                    math.nan,
                    "seed-steps/s",
                    {"error": why},
                )
            )
            continue
        sizes[f"{POPULATION} {count}"] = (built, peak_bytes())
    runs = {ONE: one.run, **{name: built.run for name, (built, _) in sizes.items()}}
    dtype = cell.model.dtype
    seen = timing.interleaved({**runs, **peak.products(dtype)}, rounds=rounds, seconds=seconds)
    highest = peak.peak(seen, len(devices))
    found = []
    for name, times in seen.items():
        if peak.is_product(name):
            continue
        built, memory = sizes.get(name, (one, 0))
        per_step = [t / built.seeds for t in times]
        rate = 1 / statistics.median(per_step)
        more: dict[str, Any] = {
            "tokens_per_second": rate * cell.batch * cell.context,
            "model_flops_per_second": rate * cell.step_flops,
            "peak_flops_per_second": highest,
            "share_of_peak": rate * cell.step_flops / highest,
            "compile_seconds": built.compile_seconds,
            "peak_bytes": memory or None,
            "times_single_seeds": timing.median_ratio(seen[ONE], per_step),
            "spread": timing.spread(per_step),
            "rounds": rounds,
            "precision": dtype,
        }
        variant = ONE if built is one else POPULATION
        found.append(
            timing.Result("throughput", device, cell.name, variant, built.seeds, rate, "seed-steps/s", more)
        )
    return found + failed


def report(found: Sequence[timing.Result]) -> str:
    """One line per cell and number of seeds."""
    keys = ("tokens_per_second", "share_of_peak", "times_single_seeds", "compile_seconds", "peak_bytes")
    rows = [(r.cell, r.variant, r.seeds, r.value, *(_number(r.more.get(key)) for key in keys)) for r in found]
    header = (
        "cell",
        "variant",
        "seeds",
        "seed-steps/s",
        "tokens/s",
        "of peak",
        "x single",
        "compile s",
        "bytes",
    )
    return timing.table(header, rows)


def _number(value: Any) -> float:
    return math.nan if value is None else float(value)


def parser() -> timing.Parser:
    """The command line."""
    made = timing.Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("cells", nargs="*", help=f"{', '.join(cells.LAPTOP)}, or {', '.join(cells.STUDY)}, ...")
    made.add_argument("--seeds", help="numbers of seeds, for example 16,64")
    made.add_argument("--rounds", type=int, default=5)
    made.add_argument("--seconds", type=float, default=0.8, help="of one measurement")
    made.add_argument("--minutes", type=float, default=9.0, help="for everything")
    made.add_argument("--json", type=Path, metavar="FILE")
    made.add_argument("--here", action="store_true", help=argparse.SUPPRESS)
    made.add_argument("--accelerator", action="store_true", help=argparse.SUPPRESS)
    return made


def main(arguments: Sequence[str] | None = None) -> int:
    """Measures all cells; 1 where one is missing."""
    made = parser()
    options = made.parse_args(arguments)
    use_host_cores()
    # Asked in another process: this one must not hold an accelerator's memory.
    accelerator = options.accelerator or (not options.here and _has_accelerator())
    dtype = "bfloat16" if accelerator else "float32"
    names = options.cells or (list(cells.STUDY) if accelerator else list(cells.LAPTOP))
    try:
        chosen = [cells.named(name, dtype) for name in names]
        counts = timing.numbers("--seeds", options.seeds or ("32,128" if accelerator else "16"))
        if options.rounds < 1:
            raise ValueError("--rounds: must be at least 1")
    except ValueError as error:
        made.error(str(error))
    if options.here:
        timing.write(
            [r for cell in chosen for r in measure(cell, counts, options.rounds, options.seconds)],
            options.json,
        )
        return 0
    found, missing = _in_processes(names, counts, options, accelerator)
    timing.write(found, options.json)
    print(report(found))
    for name, why in missing.items():
        print(f"{name} left out: {why}", file=sys.stderr)
    return 1 if missing else 0


def _has_accelerator() -> bool:
    code = "import jax; print(jax.default_backend())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return done.stdout.split()[-1] != "cpu"


def _in_processes(
    names: Sequence[str], counts: Sequence[int], options: argparse.Namespace, accelerator: bool
) -> tuple[list[timing.Result], dict[str, str]]:
    found, missing, end = list[timing.Result](), dict[str, str](), time.monotonic() + 60 * options.minutes
    with tempfile.TemporaryDirectory() as folder:
        for i, name in enumerate(names):
            file = Path(folder, f"{i}.jsonl")
            command = [sys.executable, __file__, name, "--here", "--json", str(file)]
            command += ["--seeds", ",".join(map(str, counts)), "--rounds", str(options.rounds)]
            command += ["--seconds", str(options.seconds), *(["--accelerator"] if accelerator else [])]
            try:
                done = subprocess.run(
                    command,
                    capture_output=True,
                    text=True,
                    check=False,
                    timeout=max(1, end - time.monotonic()),
                )
            except subprocess.TimeoutExpired:
                missing[name] = f"no time left of {options.minutes:g} minutes"
                continue
            if done.returncode:
                missing[name] = done.stderr.strip().rpartition("\n")[2]
            else:
                found += [timing.read(line) for line in file.read_text().splitlines()]
    return found, missing


if __name__ == "__main__":
    sys.exit(main())
