"""What do checkpoints cost: how long does one take, and how much memory, beside the training it protects?

python benchmarks/checkpoints.py                    the three cells of the quick study
python benchmarks/checkpoints.py --saves 20 --json out.jsonl

A checkpoint is everything that ``run_chunk`` does for one: weights, optimizer and scores are taken from
the device, written, flushed, and sealed with a digest. While that lasts the device has nothing to do, so
the share of a run is the time of one checkpoint over the time between two. The first in a process loads the
packages that write it.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import jax

import timing
from jaxemerge import AdamW, Count, Experiment, neox, paired
from jaxemerge.devices import use_host_cores
from jaxemerge.runner.checkpoint import INTERVAL
from jaxemerge.runner.opening import create_store
from jaxemerge.runner.provenance import provenance
from jaxemerge.runner.scores import Evaluation
from jaxemerge.runner.train import train_chunk
from jaxemerge.training import make_plan

_STEPS = 20
_QUICK = Experiment(
    Count(40, 10, (10, 20, 30)),
    neox(1, 64, 2),
    AdamW(3e-3, warmup=1),
    steps=_STEPS,
    batch=16,
    context=64,
    seeds=paired(range(16)),
    evaluations=tuple(range(1, _STEPS)),
)


def measure(experiment: Experiment, saves: int) -> timing.Result:
    """Trains a cell, saves it ``saves`` times along the way and times that."""
    seeds, plan = experiment.seeds, make_plan(experiment, len(experiment.seeds))
    seconds, before, evaluations = list[float](), 0, list[Evaluation]()
    with tempfile.TemporaryDirectory() as folder:
        keep = create_store(Path(folder), "benchmark", [experiment]).checkpoints(experiment.cell, seeds)
        record = {"cell": experiment.cell, "seconds": 0.0, "plan": plan.record, "provenance": provenance()}
        for progress, snapshot in train_chunk(
            experiment, plan, experiment.members_of(seeds), pause=lambda: True
        ):
            evaluations += [progress.evaluation] if progress.evaluation else []
            if snapshot is None or not 0 < progress.step < experiment.steps or len(seconds) == saves:
                continue
            before = before or timing.host_peak_bytes()
            began = time.perf_counter()
            keep.save(snapshot.resume_state(len(seeds)), seeds, evaluations, {**record, "earlier": []})
            seconds.append(time.perf_counter() - began)
        kept = sum(path.stat().st_size for path in keep.folder.rglob("*") if path.is_file())
    first = jax.local_devices()[0]
    more = {
        "first_seconds": seconds[0],
        "share": statistics.median(seconds) / INTERVAL,
        "interval_seconds": INTERVAL,
        "added_bytes": timing.host_peak_bytes() - before,
        "peak_bytes": before,
        "kept_bytes": kept,
    }
    name = "x".join(map(str, experiment.learner.sizes.values()))
    device = timing.device_name(first.platform, first.device_kind, jax.local_device_count())
    median = statistics.median(seconds)
    return timing.Result("checkpoints", device, name, "save", len(seeds), median, "seconds", more)


def report(found: Sequence[timing.Result]) -> str:
    """One line per cell."""
    rows = [
        (
            *(r.cell, r.seeds, r.value, r.more["first_seconds"], f"{r.more['share']:.2%}"),
            *(r.more["added_bytes"] / 1e6, r.more["peak_bytes"] / 1e6, r.more["kept_bytes"] / 1e6),
        )
        for r in found
    ]
    header = ("cell", "seeds", "s", "s, first", f"of {INTERVAL:g} s", "MB added", "MB before", "MB on disk")
    return timing.table(header, rows)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measures each cell."""
    made = timing.Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("--saves", type=int, default=10, help=f"1 to {_STEPS - 1}, of each cell")
    made.add_argument("--depths", type=int, nargs="+", default=[1, 2, 3])
    made.add_argument("--seeds", type=int, default=16)
    made.add_argument("--json", type=Path, metavar="FILE", help="write results there, print none")
    options = made.parse_args(arguments)
    if not 1 <= options.saves < _STEPS:
        made.error(f"--saves {options.saves}: must be 1 to {_STEPS - 1}")
    if min(options.depths) < 1 or options.seeds < 1:
        made.error("--depths and --seeds: must be at least 1")
    use_host_cores()
    seeds = paired(range(options.seeds))
    cells = [replace(_QUICK, model=neox(depth, 64, 2), seeds=seeds) for depth in options.depths]
    found = [measure(cell, options.saves) for cell in cells]
    timing.write(found, options.json)
    print(report(found))
    return 0


if __name__ == "__main__":
    sys.exit(main())
