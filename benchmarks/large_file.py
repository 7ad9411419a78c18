"""How long does `analyze` take on a large file of someone's results, and how much memory?

python benchmarks/large_file.py                  20 scales x 250 seeds x 2,000 steps: ten million rows
python benchmarks/large_file.py --seeds 10 --steps 20

Draws a CSV with the columns scale, seed, step and score: scores of 100 items with four decimals, zero until
a seed breaks through, which more seeds do at larger scales. The command runs in a process of its own.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import polars as pl

import timing

ITEMS = 100
PROGRAM = Path(__file__).parent.parent / "experiments" / "run.py"


def write_rows(file: Path, scales: int, seeds: int, steps: int) -> int:
    """Writes the CSV, one scale after another, and returns its number of rows."""
    with file.open("wb") as out:
        for number in range(scales):
            _scale(number, seeds, steps).write_csv(out, include_header=number == 0, float_precision=4)
    return scales * seeds * steps


def _scale(number: int, seeds: int, steps: int) -> pl.DataFrame:
    rng = np.random.default_rng([number, 2])
    able = rng.random(seeds) < 1 / (1 + np.exp(4 - 0.5 * number))
    arrival = rng.lognormal(np.log(steps / 3), 0.4, seeds)
    step = np.arange(1, steps + 1)
    reached = np.where(able, rng.beta(8, 2, seeds), 0.0)[:, None] / (1 + (arrival[:, None] / step) ** 6)
    return pl.DataFrame(
        {
            "scale": np.full(seeds * steps, 2**number),
            "seed": np.repeat(np.arange(seeds), steps),
            "step": np.tile(step, seeds),
            "score": (rng.binomial(ITEMS, reached) / ITEMS).ravel(),
        }
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Draws the file, and times the command on it."""
    made = timing.Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, default in (("scales", 20), ("seeds", 250), ("steps", 2000)):
        made.add_argument(f"--{name}", type=int, default=default)
    made.add_argument("--json", type=Path, metavar="FILE")
    options = made.parse_args(arguments)
    shape = (options.scales, options.seeds, options.steps)
    if min(shape) < 1:
        made.error("--scales, --seeds and --steps: at least 1")
    found = _timed(shape)
    timing.write([found], options.json)
    more = found.more
    row = (found.cell, found.seeds, more["rows"], found.value, more["peak_bytes"] / 1e9)
    print(timing.table(("scales x steps", "seeds", "rows", "seconds", "peak GB"), [row]))
    return 0


def _timed(shape: tuple[int, int, int]) -> timing.Result:
    """Seconds from the start of the command to its end, and its peak memory."""
    scales, seeds, steps = shape
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "runs.csv")
        rows = write_rows(file, scales, seeds, steps)
        columns = ["--value", "score", "--scale", "scale", "--trials", str(ITEMS)]
        out = str(Path(folder, "report"))
        command = [sys.executable, str(PROGRAM), "analyze", str(file), *columns, "--out", out]
        began = time.perf_counter()
        child = subprocess.Popen(command)
        _, status, used = os.wait4(child.pid, 0)
        seconds = time.perf_counter() - began
        child.returncode = os.waitstatus_to_exitcode(status)
        if child.returncode:
            raise subprocess.CalledProcessError(child.returncode, command)
    kilo = 1 if sys.platform == "darwin" else 1024  # the unit of ru_maxrss
    more = {"rows": rows, "peak_bytes": used.ru_maxrss * kilo}
    device = timing.device_name("cpu", "", os.cpu_count() or 1)
    return timing.Result("large_file", device, f"{scales} x {steps}", "analyze", seeds, seconds, "s", more)


if __name__ == "__main__":
    sys.exit(main())
