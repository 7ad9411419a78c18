"""How much memory does training take, and how much did the plan say?

python benchmarks/memory.py                     four cells, each trained, scored and reported in a process
python benchmarks/memory.py large --json out.jsonl

The peak is that of the whole process on host cores, of all devices together on an accelerator: what the plan
estimates. A few steps are as good as many: nothing grows with their number but the scores.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import jax

import timing
from jaxemerge import AdamW, Count, Experiment, neox, paired
from jaxemerge.devices import use_host_cores
from jaxemerge.report import write_report
from jaxemerge.runner.chunk import run_chunk
from jaxemerge.runner.groups import grouped
from jaxemerge.runner.jobs import jobs
from jaxemerge.runner.opening import create_store

_SMALL = Experiment(
    Count(40, 10, (10, 20, 30)),
    neox(2, 64, 2),
    AdamW(1e-3, warmup=1),
    steps=4,
    batch=16,
    context=64,
    seeds=paired(range(16)),
    evaluations=2,
)
CELLS: Mapping[str, Experiment] = {
    "small": _SMALL,
    "large": replace(_SMALL, model=neox(4, 256, 8)),
    "large, in chunks": replace(_SMALL, model=neox(4, 256, 8), seeds=paired(range(48))),
    "long": replace(
        _SMALL, task=Count(), model=neox(2, 128, 2), batch=64, context=256, seeds=paired(range(4))
    ),
}


def measure(name: str, experiment: Experiment) -> timing.Result:
    """Trains a cell's seeds as a study would, and compares the peak with the plan."""
    first = jax.local_devices()[0]
    with tempfile.TemporaryDirectory() as folder:
        store = create_store(Path(folder), name, [experiment])
        [group] = grouped(jobs([experiment], store))
        for chunk in group.chunks:
            for _ in run_chunk(chunk, store):
                pass
        write_report(store.results(), Path(folder), title=name)
    planned, seen = group.plan.bytes, peak_bytes()
    device = timing.device_name(first.platform, first.device_kind, jax.local_device_count())
    more = {
        "planned_bytes": planned,
        "planned_over_peak": planned / seen,
        "chunk": group.plan.chunk,
        "chunks": len(group.chunks),
        "precision": getattr(experiment.model, "dtype", "float32"),
    }
    return timing.Result("memory", device, name, "peak", len(experiment.seeds), seen, "bytes", more)


def peak_bytes() -> int:
    """Most memory used so far: of all devices together, or of this process on a host."""
    statistics = [device.memory_stats() or {} for device in jax.local_devices()]
    return sum(s.get("peak_bytes_in_use", 0) for s in statistics) or timing.host_peak_bytes()


def report(found: Sequence[timing.Result]) -> str:
    """One line per cell."""
    more = [r.more for r in found]
    rows = [
        (r.cell, r.seeds, m["chunk"], r.value / 1e9, m["planned_bytes"] / 1e9, m["planned_over_peak"])
        for r, m in zip(found, more, strict=True)
    ]
    return timing.table(("cell", "seeds", "at once", "GB", "GB planned", "planned / peak"), rows)


def parser() -> timing.Parser:
    """The command line."""
    made = timing.Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("cells", nargs="*", help=f"some of {'; '.join(CELLS)}; default all")
    made.add_argument("--json", type=Path, metavar="FILE", help="write results there, print none")
    made.add_argument("--here", action="store_true", help=argparse.SUPPRESS)
    return made


def main(arguments: Sequence[str] | None = None) -> int:
    """Measures each cell in a process of its own."""
    made = parser()
    options = made.parse_args(arguments)
    for name in options.cells:
        if name not in CELLS:
            made.error(f"cell {name!r}: must be one of {', '.join(CELLS)}")
    chosen = options.cells or list(CELLS)
    if options.here:
        use_host_cores()
        timing.write([measure(name, CELLS[name]) for name in chosen], options.json)
        return 0
    found: list[timing.Result] = []
    with tempfile.TemporaryDirectory() as folder:
        for i, name in enumerate(chosen):
            print(f"measuring {name}", file=sys.stderr, flush=True)
            file = Path(folder, f"{i}.jsonl")
            command: list[Any] = [sys.executable, __file__, name, "--here", "--json", file]
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
            found += [timing.read(line) for line in file.read_text().splitlines()]
    timing.write(found, options.json)
    print(report(found))
    return 0


if __name__ == "__main__":
    sys.exit(main())
