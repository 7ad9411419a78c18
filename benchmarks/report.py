"""How long does a report take, and how much memory, when the study is large?

python benchmarks/report.py                  15 cells x 250 seeds x 8 lengths x 40 evaluations
python benchmarks/report.py --seeds 16 --cells 3 --lengths 2 --evaluations 10
python benchmarks/report.py --profile        also the functions that took longest

The results are drawn at random, not trained: failures at the floor, successes above it, more of them at
larger scales. A process of its own reads them and writes the report, so that its memory is its own.
"""

from __future__ import annotations

import argparse
import cProfile
import os
import pstats
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import polars as pl

import timing

TRIALS = 91


def results(cells: int, seeds: int, lengths: int, evaluations: int) -> pl.DataFrame:
    """Rows of exact match and training loss, in the schema of the results store."""
    steps = np.unique(np.geomspace(100, 10_000, evaluations - 1).round()).astype(np.int64)
    steps = np.concatenate([[0], steps])
    return pl.concat([_cell(i, seeds, lengths, steps) for i in range(cells)])


def _cell(number: int, seeds: int, lengths: int, steps: np.ndarray) -> pl.DataFrame:
    rng = np.random.default_rng([number, 1])
    depth = number + 1
    able = rng.random(seeds) < 1 / (1 + np.exp(2 - 1.5 * np.log2(depth)))
    arrival = rng.lognormal(np.log(1500 / depth**0.5), 0.5, seeds)
    progress = 1 / (1 + (arrival[:, None] / np.maximum(steps, 1)) ** 6)
    parts = []
    for i in range(lengths):
        best = np.where(able, rng.beta(8, 2 + i, seeds), rng.beta(0.3, 12, seeds))
        right = rng.binomial(TRIALS, best[:, None] * progress)
        parts.append(_rows("test", 10 + 5 * i, "exact_match", right / TRIALS, TRIALS))
    loss = 0.2 + 3 * (1 - progress) + rng.normal(0, 0.02, progress.shape) ** 2
    parts.append(_rows("train", None, "train_loss", loss, None))
    width = 64
    constant = {
        "study": "benchmark",
        "cell": f"count-depth{depth}-width{width}-{number:08x}",
        "task": "count",
        "family": "fixed_width",
        "depth": depth,
        "width": width,
        "parameters": 12 * depth * width**2,
        "diverged": False,
    }
    member = np.repeat(np.arange(seeds), len(steps))
    step = np.tile(steps, seeds)
    shared = {
        "init_seed": member,
        "data_seed": member,
        "step": step,
        "tokens": step * 2048,
        "flops": step * 1e6 * depth,
    }
    return pl.concat(
        [
            part.with_columns(
                *(pl.Series(name, values) for name, values in shared.items()),
                *(pl.lit(value).alias(name) for name, value in constant.items()),
            )
            for part in parts
        ]
    )


def _rows(
    split: str, length: int | None, metric: str, values: np.ndarray, trials: int | None
) -> pl.DataFrame:
    return pl.DataFrame({"value": values.ravel()}).with_columns(
        split=pl.lit(split),
        length=pl.lit(length, pl.Int32),
        metric=pl.lit(metric),
        trials=pl.lit(trials, pl.Int32),
    )


def write(file: Path, folder: Path, profile: bool) -> None:
    """Reads results, writes their report, and prints this process' peak memory in bytes."""
    from jaxemerge.report import write_report

    profiler = cProfile.Profile()
    if profile:
        profiler.enable()
    write_report(pl.read_parquet(file, glob=False), folder, title="benchmark")
    if profile:
        profiler.disable()
        pstats.Stats(profiler, stream=sys.stderr).sort_stats("cumulative").print_stats(60)
    print(timing.host_peak_bytes())


def parser() -> timing.Parser:
    """The command line."""
    made = timing.Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, default in (("cells", 15), ("seeds", 250), ("lengths", 8), ("evaluations", 40)):
        made.add_argument(f"--{name}", type=int, default=default)
    made.add_argument("--rounds", type=int, default=1)
    made.add_argument("--profile", action="store_true", help="print the functions that took longest")
    made.add_argument("--json", type=Path, metavar="FILE")
    made.add_argument("--here", nargs=2, type=Path, help=argparse.SUPPRESS)
    return made


def main(arguments: Sequence[str] | None = None) -> int:
    """Draws the results, and times reports of them."""
    made = parser()
    options = made.parse_args(arguments)
    if options.here:
        file, folder = options.here
        write(file, folder, options.profile)
        return 0
    shape = (options.cells, options.seeds, options.lengths, options.evaluations)
    if min(*shape, options.rounds) < 1 or options.evaluations < 2:
        made.error("--cells, --seeds, --lengths and --rounds: at least 1; --evaluations: at least 2")
    found = [_timed(shape, options.profile) for _ in range(options.rounds)]
    timing.write(found, options.json)
    rows = [(r.cell, r.seeds, r.more["rows"], r.value, r.more["peak_bytes"] / 1e9) for r in found]
    print(timing.table(("cells x lengths x evaluations", "seeds", "rows", "seconds", "peak GB"), rows))
    return 0


def _timed(shape: tuple[int, int, int, int], profile: bool) -> timing.Result:
    """One report in a process of its own: seconds from its start to its end."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "results.parquet")
        frame = results(*shape)
        rows = frame.height
        frame.write_parquet(file)
        del frame
        command = [sys.executable, __file__, "--here", str(file), str(Path(folder, "report"))]
        began = time.perf_counter()
        done = subprocess.run(
            [*command, *(["--profile"] if profile else [])], stdout=subprocess.PIPE, text=True, check=True
        )
        seconds = time.perf_counter() - began
        size = sum(path.stat().st_size for path in Path(folder, "report").rglob("*") if path.is_file())
    cells, seeds, lengths, evaluations = shape
    more = {"rows": rows, "peak_bytes": int(done.stdout.split()[-1]), "report_bytes": size}
    name = f"{cells} x {lengths} x {evaluations}"
    return timing.Result("report", _device(), name, "write_report", seeds, seconds, "s", more)


def _device() -> str:
    return timing.device_name("cpu", "", os.cpu_count() or 1)


if __name__ == "__main__":
    sys.exit(main())
