"""Is jaxemerge faster than what one would use instead? One run, in turns, the same training.

python benchmarks/peers.py                              the quick study's cell, 16 seeds
python benchmarks/peers.py --width 128 --json out.jsonl
python benchmarks/peers.py --variants jaxemerge,jax-scan,jax-vmap       without PyTorch

All variants train the same model (GPT-NeoX blocks) on batches of the same shape with the same AdamW
(decay on matrices, clipping, cosine). Before anything is timed, all start from the same weights and
batches and must show the same losses in the first steps. jaxemerge draws its data while it trains; the
others are given batches that were drawn before, at no charge.
"""

from __future__ import annotations

import argparse
import dataclasses
import os
import statistics
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NoReturn

import peak
import timing
from cells import laptop
from jaxemerge import host
from worker import Work, Worker, WorkerError

OURS = "jaxemerge"
PER_CORE = "torch-compile-per-core"
VARIANTS = {
    OURS: "jaxemerge, seeds spread over all devices",
    "jax-loop": "JAX, one jitted step per seed, called from Python",
    "jax-scan": "JAX, single seeds, each one scanned, one after another",
    "jax-vmap": "JAX, jit(vmap(scan(step)))",
    "torch-eager": "PyTorch, eager, one seed after another",
    "torch-compile": "PyTorch, torch.compile, one seed after another",
    "torch-vmap": "PyTorch, torch.func.vmap over seeds",
    "torch-vmap-compile": "PyTorch, torch.compile of torch.func.vmap over seeds",
    PER_CORE: "PyTorch, torch.compile in one single-threaded process per core",
}
GROUPS = {
    "the best single-process PyTorch": [n for n in VARIANTS if n.startswith("torch") and n != PER_CORE],
    "PyTorch compiled in one process per core": [PER_CORE],
    "the best of the other JAX variants": [n for n in VARIANTS if n.startswith("jax-")],
}
CHECKED_STEPS = 4
# Relative, of losses. Accelerators multiply float32 in fewer bits by default.
TOLERANCE = {"cpu": 5e-5, "other": 5e-3, "bfloat16": 2e-2}
_FOLDER = Path(__file__).parent
_ENVIRONMENT = {"XLA_PYTHON_CLIENT_PREALLOCATE": "false", "TORCHINDUCTOR_COMPILE_THREADS": "1"}


def parser() -> timing.Parser:
    """The command line."""
    made = timing.Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, default in {
        "width": 64,
        "depth": 2,
        "batch": 16,
        "context": 64,
        "seeds": 16,
        "rounds": 9,
    }.items():
        made.add_argument(f"--{name}", type=int, default=default, help=f"default {default}")
    made.add_argument("--seconds", type=float, default=0.8, help="of one variant in one round")
    made.add_argument("--variants", default=",".join(VARIANTS), help=", ".join(VARIANTS))
    made.add_argument(
        "--json", type=Path, metavar="FILE", help="write results there instead of printing them"
    )
    return made


def chosen(options: argparse.Namespace, fail: Callable[[str], NoReturn]) -> list[str]:
    """Names of variants, jaxemerge always among them."""
    for name in ("width", "depth", "batch", "context", "seeds", "rounds", "seconds"):
        if getattr(options, name) <= 0:
            fail(f"--{name} {getattr(options, name)}: must be positive")
    names = options.variants.split(",")
    for name in names:
        if name not in VARIANTS:
            fail(f"--variants {name}: must be one of {', '.join(VARIANTS)}")
    if any(name.startswith("torch") for name in names) and find_spec("torch") is None:
        fail("PyTorch is not installed: pip install 'jaxemerge[bench]', or leave the torch variants out")
    return [OURS, *(name for name in VARIANTS if name in names and name != OURS)]


class Team:
    """Workers that carry out one variant together, and what came of asking them."""

    def __init__(self, variant: str, workers: Sequence[Worker]) -> None:
        self.variant, self.workers = variant, workers
        self.work = 0.0

    def prepare(self) -> None:
        """Asks for the first losses, which takes compiling; ``losses`` waits for them."""
        self._ask("losses", CHECKED_STEPS)

    def losses(self) -> list[list[float]]:
        """Every worker's first losses, which were asked for before."""
        answers = self._answers()
        self.work = sum(answer["work"] for answer in answers)
        return [answer["losses"] for answer in answers]

    def run(self, units: int) -> None:
        """Lets all workers train at once and waits for the last."""
        self._ask("run", units)
        self._answers()

    def _ask(self, what: str, n: int) -> None:
        for worker in self.workers:
            worker.ask(what, self.variant, n)

    def _answers(self) -> list[dict]:
        return [worker.answer() for worker in self.workers]


def start(
    work: Work,
    names: Sequence[str],
    environment: Mapping[str, str] | None = None,
    deadline: float | None = None,
) -> tuple[dict[str, Team], list[Worker]]:
    """Starts a process for each variant, and several for the one that has one per core.

    Args:
        work: what is trained; jaxemerge's process writes into its folder what all start from.
        names: variants.
        environment: further variables of all processes.
        deadline: when their answers must be there, by ``time.monotonic``; None for as long as it takes.
    """

    def worker(kind: str, core: int = -1) -> Worker:
        fields = {**dataclasses.asdict(work), "core": core}
        threads = {"OMP_NUM_THREADS": "1" if core >= 0 else str(host.cores())}
        log = Path(work.folder, f"{kind}{len(started)}.log")
        variables = {**_ENVIRONMENT, **threads, **(environment or {})}
        started.append(Worker(_FOLDER / f"worker_{kind}.py", fields, variables, log))
        started[-1].deadline = deadline
        return started[-1]

    started: list[Worker] = []
    ours = worker("jaxemerge")
    try:
        ours.ask("list")
        teams = {name: Team(name, [ours]) for name in ours.answer()["names"]}
    except WorkerError:
        ours.close(wait=0.2)
        raise
    for name in names:
        if name == PER_CORE:
            crew = [worker("torch", core) for core in sorted(os.sched_getaffinity(0))]
            teams[name] = Team("torch-compile", crew)
        elif name != OURS:
            teams[name] = Team(name, [worker(name.partition("-")[0])])
    return teams, started


def checked(teams: Mapping[str, Team], tolerance: float) -> dict[str, str]:
    """Compares everybody's first losses with jaxemerge's; what is wrong, by variant.

    All must have been prepared, in the order of ``teams``.

    Raises:
        WorkerError: jaxemerge itself failed.
    """
    expected = teams[OURS].losses()[0]
    faults = {}
    for name, team in teams.items():
        if name == OURS:
            continue
        print(f"waiting for {name}", file=sys.stderr, flush=True)
        try:
            seen = team.losses()
        except WorkerError as error:
            faults[name] = str(error)
            continue
        for losses in seen if not peak.is_product(name) else []:
            worst = max(abs(a - b) / abs(b) for a, b in zip(losses, expected, strict=True))
            if not worst <= tolerance:
                faults[name] = f"its losses are {losses}, jaxemerge's {expected}: not the same training"
    return faults


def results(
    teams: Mapping[str, Team], seen: Mapping[str, list[float]], work: Work, device: str
) -> list[timing.Result]:
    """A Result per variant, and the peak."""
    cell = work.cell
    products = {name: times for name, times in seen.items() if peak.is_product(name)}
    highest = peak.peak(products, int(teams[next(iter(products))].work))
    common: dict[str, Any] = {"benchmark": "peers", "device": device, "cell": cell.name}
    found = [timing.Result(**common, variant="product-peak", seeds=0, value=highest, unit="FLOP/s")]
    ours = [t / teams[OURS].work for t in seen[OURS]]
    for name, times in seen.items():
        if name in products:
            continue
        per_step = [t / teams[name].work for t in times]
        middle = statistics.median(per_step)
        more = {
            "milliseconds": 1e3 * middle,
            "spread": timing.spread(per_step),
            "jaxemerge_times_as_fast": timing.median_ratio(per_step, ours),
            "share_of_peak": cell.step_flops / middle / highest,
            "rounds": len(times),
            "precision": work.dtype,
        }
        found.append(
            timing.Result(
                **common, variant=name, seeds=work.seeds, value=1 / middle, unit="seed-steps/s", more=more
            )
        )
    return found


def report(found: Sequence[timing.Result]) -> str:
    """The table, and one sentence per group of peers."""
    highest, *timed = found
    rows = [
        (
            VARIANTS[r.variant],
            r.value,
            *(r.more[k] for k in ("milliseconds", "spread", "share_of_peak", "jaxemerge_times_as_fast")),
        )
        for r in timed
    ]
    header = ("variant", "seed-steps/s", "ms", "+-", "of peak", "jaxemerge is x times as fast")
    first = timed[0]
    lines = [
        f"{first.cell}, {first.seeds} seeds, {first.more['precision']}, on {first.device}; "
        f"matrix-product peak {highest.value / 1e9:.0f} GFLOP/s",
        timing.table(header, rows),
    ]
    ratios = {r.variant: r.more["jaxemerge_times_as_fast"] for r in timed}
    for words, group in GROUPS.items():
        present = [ratios[name] for name in group if name in ratios]
        if present:
            lines.append(f"jaxemerge is {min(present):.2f} times as fast as {words}.")
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the comparison; 1 where a variant failed or trained something else."""
    made = parser()
    options = made.parse_args(arguments)
    names = chosen(options, made.error)
    shape = {n: getattr(options, n) for n in ("width", "depth", "batch", "context", "seeds")}
    try:
        cell = laptop(*(shape[n] for n in ("width", "depth", "batch", "context")))
    except ValueError as error:
        made.error(str(error))
    if cell.context < cell.task.max_length:
        made.error(f"--context {cell.context}: must be at least {cell.task.max_length}")
    with tempfile.TemporaryDirectory() as folder:
        return _compare(Work(**shape, folder=folder), names, options)


def _compare(work: Work, names: Sequence[str], options: argparse.Namespace) -> int:
    teams, started = start(work, names)
    try:
        platform, device = _device()
        for team in teams.values():
            team.prepare()
        faults = checked(teams, TOLERANCE["cpu" if platform == "cpu" else "other"])
        for name, fault in faults.items():
            print(f"{name} left out: {fault}", file=sys.stderr)
        left = {name: team for name, team in teams.items() if name not in faults}
        runs = {name: team.run for name, team in left.items()}
        seen = timing.interleaved(runs, rounds=options.rounds, seconds=options.seconds)
    except WorkerError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    finally:
        for worker in started:
            worker.close()
    found = results(left, seen, work, device)
    timing.write(found, options.json)
    print(report(found))
    return 1 if faults else 0


def _device() -> tuple[str, str]:
    import jax

    from jaxemerge import use_host_cores

    use_host_cores()
    first = jax.local_devices()[0]
    return first.platform, timing.device_name(first.platform, first.device_kind, jax.local_device_count())


if __name__ == "__main__":
    sys.exit(main())
