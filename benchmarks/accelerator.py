"""Is this library right and fast on the accelerator at hand? One call that ends in time.

python benchmarks/accelerator.py --minutes 8 --out accelerator.json
python benchmarks/accelerator.py --train 4x64 --minutes 8 --out DIR     trains seeds of a cell of the paper
python benchmarks/accelerator.py --import DIR                           makes result parts of what that wrote

Needs JAX, Flax, Optax and NumPy; PyTorch for the peers. The file is rewritten after every measurement: where
the machine is taken away, only the unfinished one is lost. Steps without time left are named. The device is
used by a separate process; if that crashes or hangs, the other steps still run. Nothing else computes while
the device is timed, and that process is ended, with its device memory, before the peers are timed.
"""

from __future__ import annotations

import argparse
import math
import os
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

# A clone in which nothing is installed will do.
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "experiments"))
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import paper_cell
import peers
import timing
from jaxemerge import host
from jaxemerge.cache import keep_compiled
from jaxemerge.devices import DeviceError
from journal import Journal, show, summary
from rivals import Rivals, time_left
from worker import Worker, WorkerError

ROOT = Path(__file__).resolve().parents[1]
MEASURED = ROOT / "experiments" / "measured" / "paper"  # results of the paper's cells
DEVICE = Path(__file__).with_name("worker_device.py")
MARGIN = 8.0  # seconds at the end that no step may use
Keep = Callable[[dict[str, Any]], object]  # is given a part of a step's answer
RIVALS = ("jax-scan", "jax-vmap", "torch-eager", "torch-compile", "torch-vmap-compile")
PREPARING = "models"  # the step that times nothing: meanwhile the rivals of the next one are compiled


@dataclass(frozen=True)
class Step:
    """A part of the whole.

    Attributes:
        name: as in ``--steps``.
        least: seconds that must be left for it to start.
        most: seconds after which it is ended: a process that hangs does not cost the steps after it.
        words: what it answers.
    """

    name: str
    least: float
    most: float
    words: str


STEPS = (
    Step("device", 20, 90, "what the device is, and what it can do"),
    Step("models", 30, 180, "logits and gradients of all models against host cores"),
    Step("peers 4x64", 45, 180, "the same training in PyTorch and plain JAX, interleaved"),
    Step("seeds", 45, 150, "the same plan twice; a seed alone and among others; the speed of each"),
    Step("cells", 45, 240, "the study's cells in bfloat16"),
    Step("plain", 45, 150, "without the library's kernels"),
    Step("float32", 45, 180, "the study's cells in float32"),
    Step("widths", 45, 180, "fewer and more seeds at once"),
    Step("peers 4x256", 75, 240, "the same training in PyTorch and plain JAX, interleaved"),
)


class Device:
    """The process that uses the device; a new one after a failure."""

    def __init__(
        self, folder: Path, environment: Mapping[str, str], tiny: bool, script: Path = DEVICE
    ) -> None:
        log = folder / "device.log"
        self._start: Callable[[], Worker] = lambda: Worker(script, {"tiny": tiny}, environment, log)
        self._worker: Worker | None = None

    def ask(self, step: str, deadline: float, keep: Keep) -> dict[str, Any]:
        """What a step finds.

        Args:
            step: its name.
            deadline: when it must be done, by ``time.monotonic``.
            keep: called with each part of the answer as it comes.

        Raises:
            WorkerError: it failed, or was not done in time.
        """
        self._worker = self._worker or self._start()
        self._worker.deadline = deadline
        try:
            self._worker.ask(step)
            while "part" in (answer := self._worker.answer()):
                keep(answer["part"])
            return answer
        except WorkerError:
            self.close()
            raise

    def close(self) -> None:
        """Ends the process."""
        if self._worker is not None:
            self._worker.close(wait=0.2)
        self._worker = None


def environment(options: argparse.Namespace) -> dict[str, str]:
    """Variables of all processes."""
    found = {
        "PYTHONPATH": os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH", "")])),
        "XLA_PYTHON_CLIENT_PREALLOCATE": "false",  # several processes share the device
        "TORCHINDUCTOR_COMPILE_THREADS": str(max(1, host.cores() // 2)),
    }
    platforms = os.environ.get("JAX_PLATFORMS", "")
    if platforms and "cpu" not in platforms.split(","):
        found["JAX_PLATFORMS"] = f"{platforms},cpu"  # the host is what the device is compared with
    if options.cache is not None:
        folder = options.cache.resolve()
        found["JAX_COMPILATION_CACHE_DIR"] = str(folder / "jax")
        found["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0.5"
        found["TORCHINDUCTOR_CACHE_DIR"] = str(folder / "torch")
    return found


class Session:
    """One call: its processes, its time and its journal."""

    def __init__(self, options: argparse.Namespace, folder: Path) -> None:
        self.options, self.folder = options, folder
        self.end = time.monotonic() + 60 * options.minutes - MARGIN
        self.journal = Journal(options.out)
        self.device = Device(folder, environment(options), options.tiny)
        self._pool = ThreadPoolExecutor()
        self.rivals: dict[str, Future[Rivals]] = {}

    def run(self, steps: Sequence[Step]) -> bool:
        """Takes the steps that there is time for; whether none failed and all that was compared is right."""
        try:
            for i, step in enumerate(steps):
                following = steps[i + 1].name if i + 1 < len(steps) else ""
                if step.name == PREPARING and following.startswith("peers "):
                    self.prepare(following.removeprefix("peers "), step.most + steps[i + 1].most)
                self.take(step)
        finally:
            self.device.close()
            for each in self.rivals.values():
                each.add_done_callback(_closed)
        failed = any(step["state"].startswith("failed") for step in self.journal.found["steps"].values())
        return not failed and all(check["right"] for check in self.journal.found["checks"])

    def prepare(self, cell: str, seconds: float) -> None:
        """Starts those that train the same, and has them compile, in the background."""
        deadline = min(self.end, time.monotonic() + seconds)
        work = (cell, self.options.peers, self.folder / cell, environment(self.options), deadline)
        self.rivals[cell] = self._pool.submit(Rivals, *work, tiny=self.options.tiny)

    def take(self, step: Step) -> None:
        """One step, if there is time."""
        left = time_left(self.end)
        if left < step.least and not self.options.tiny:
            state = f"skipped: {left:.0f} s left, and it takes {step.least:.0f}"
            self.journal.add(step.name, state, 0.0, {})
            print(f"\n{step.name}: {state}", flush=True)
            return
        print(f"\n{step.name}: {step.words} ({left:.0f} s left)", flush=True)
        began, state, answer = time.monotonic(), "done", dict[str, Any]()

        def keep(part: dict[str, Any]) -> None:
            self.journal.add(step.name, "under way", time.monotonic() - began, part)
            show("done", {name: part[name] for name in part if name == "checks"})

        try:
            answer = self.answer(step, min(self.end, began + step.most), keep)
        except WorkerError as error:
            state = f"failed: {error}"
        self.journal.add(step.name, state, time.monotonic() - began, answer)
        show(state, answer)

    def answer(self, step: Step, deadline: float, keep: Keep) -> dict[str, Any]:
        """What comes of a step."""
        kind, _, cell = step.name.partition(" ")
        if kind != "peers":
            return self.device.ask(step.name, deadline, keep)
        self.device.close()  # its memory is the rivals' now
        if cell not in self.rivals:
            self.prepare(cell, time_left(deadline))
        started = self.rivals.pop(cell)
        try:
            rivals = started.result(time_left(deadline))
        except TimeoutError:
            started.add_done_callback(_closed)
            raise WorkerError("the processes of the peers did not start in time") from None
        try:
            name = self.journal.found.get("device", {}).get("device", "unknown")
            return rivals.measure(deadline, name, keep)
        finally:
            rivals.close()


def _closed(started: Future[Rivals]) -> None:
    """Ends the processes of rivals that nobody waits for."""
    if started.exception() is None:
        started.result().close()


def parser() -> timing.Parser:
    """The command line."""
    made = timing.Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("--minutes", type=float, default=8.0, help="for everything (default 8)")
    made.add_argument("--out", type=Path, metavar="PATH", help="file of results; with --train a folder")
    made.add_argument("--steps", help=f"some of {', '.join(step.name for step in STEPS)}")
    made.add_argument("--peers", default=",".join(RIVALS), help="default all; torch- ones need PyTorch")
    made.add_argument("--cache", type=Path, metavar="DIR", help="keep compiled programs there")
    made.add_argument("--train", metavar="CELL", help="train seeds of this cell of the paper instead")
    made.add_argument(
        "--import", dest="imported", type=Path, metavar="DIR", help="make result parts of what --train wrote"
    )
    made.add_argument("--tiny", action="store_true", help="small sizes, to rehearse on host cores")
    return made


def chosen(options: argparse.Namespace) -> list[Step]:
    """The steps that were asked for.

    Raises:
        ValueError: there is no such step or peer.
    """
    known = {step.name: step for step in STEPS}
    names = options.steps.split(",") if options.steps else list(known)
    for name in names:
        if name not in known:
            raise ValueError(f"--steps {name}: must be one of {', '.join(known)}")
    options.peers = [name for name in options.peers.split(",") if name]
    for name in options.peers:
        if name not in peers.VARIANTS:
            raise ValueError(f"--peers {name}: must be one of {', '.join(peers.VARIANTS)}")
    if find_spec("torch") is None:
        options.peers = [name for name in options.peers if not name.startswith("torch")]
    if options.minutes <= 0:
        raise ValueError(f"--minutes {options.minutes:g}: must be positive")
    return [known[name] for name in names]


def train(options: argparse.Namespace) -> int:
    """Trains seeds of a cell of the paper; 1 where not one chunk was finished, and seeds are missing."""
    cells = paper_cell.cells(options.tiny)
    if options.train not in cells:
        raise ValueError(f"--train {options.train}: must be one of {', '.join(cells)}")
    if options.cache is not None:
        keep_compiled(options.cache.resolve() / "jax")
    folder = options.out or Path("paper")
    experiment = cells[options.train]
    done = paper_cell.train(experiment, folder, MEASURED, 60 * options.minutes - MARGIN)
    there = paper_cell.seeds_there(experiment.cell, folder, MEASURED)
    print(f"{sum(len(chunk.experiment.seeds) for chunk in done)} seeds trained, {len(there)} there in all")
    return 0 if there >= set(experiment.seeds) or done else 1


def import_results(options: argparse.Namespace) -> int:
    """Makes result parts, and prints the distribution that all of them come to."""
    from paper_results import add, distribution  # needs Polars

    cells, folder = paper_cell.cells(options.tiny), options.out or MEASURED
    print("\n".join(add(options.imported, folder, cells)) or f"{options.imported} holds no finished chunk")
    table = distribution(folder, cells)
    print(timing.table(table.columns, [[_shown(value) for value in row] for row in table.rows()]))
    return 0


def _shown(value: object) -> object:
    return math.nan if value is None else value


def main(arguments: Sequence[str] | None = None) -> int:
    """Takes all steps; 1 where one failed or something is wrong."""
    made = parser()
    options = made.parse_args(arguments)
    try:
        if options.train is not None:
            return train(options)
        if options.imported is not None:
            return import_results(options)
        steps = chosen(options)
    except (ValueError, OSError, DeviceError) as error:
        made.error(str(error))
    with tempfile.TemporaryDirectory() as folder:
        session = Session(options, Path(folder))
        right = session.run(steps)
        if not right:
            for log in sorted(Path(folder).rglob("*.log")):
                print(f"--- {log.name}\n{log.read_text()[-2000:]}", file=sys.stderr)
    print(summary(session.journal.found))
    return 0 if right else 1


if __name__ == "__main__":
    sys.exit(main())
