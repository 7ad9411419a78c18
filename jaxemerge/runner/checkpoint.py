"""Where does a chunk of seeds resume after an interruption? At its newest checkpoint that is undamaged.

    DIR/cells/CELL/checkpoints/CHUNK/STEP/chunk.json    seeds, plan, circumstances, digests of all files
    DIR/cells/CELL/checkpoints/CHUNK/STEP/arrays/       weights, optimizer and scores so far (Orbax)

The two newest stay: a damaged one costs an interval, not the chunk.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import re
import shutil
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jax
import numpy as np

from jaxemerge.evaluation import SetScores
from jaxemerge.files import (
    DamagedError,
    appearing,
    check_digest,
    digest,
    make_folder,
    read_sealed,
    set_aside,
    write_sealed,
)
from jaxemerge.runner.records import checkpoint_folders, newest_record
from jaxemerge.runner.scores import Evaluation, WithOwn
from jaxemerge.training import DispatchInfo, Program, ResumeState, Seed, StepInfo, TrainState

KEPT = 2
_FILE_BYTES = 8192  # on disk of the two files of an array, in addition to its content
_ARRAY_INODES, _MORE_INODES = 3, 8  # of an array: a folder and two files; of a checkpoint
_METRIC = "metric."  # before the names of an objective's metrics, and of own ones
INTERVAL = 300.0  # seconds between two checkpoints


@dataclass(frozen=True)
class Checkpoint:
    """The state of a chunk when it was interrupted.

    Attributes:
        step: updates made before it.
        seeds: the S members, in the order of the arrays.
        record: plan, provenance, seconds so far, and the arrays' names.
        arrays: every leaf on the host, leading axis S.
    """

    step: int
    seeds: tuple[Seed, ...]
    record: Mapping[str, Any]
    arrays: Mapping[str, np.ndarray]

    @property
    def moment(self) -> tuple[Any, ...]:
        """Equal for checkpoints of cells that were trained together, saved at the same time."""
        return self.step, self.record["dispatches"], tuple(self.record["evaluation_steps"])

    def take(
        self, seeds: Sequence[Seed], built: Program, members: Any
    ) -> tuple[ResumeState, list[Evaluation]]:
        """Where the given seeds of the chunk resume, and their scores so far.

        Args:
            seeds: some of the chunk's, in any order.
            built: the cell's program.
            members: its arguments, for the shapes of its state.

        Raises:
            DamagedError: an array is missing, or is not of the model's shape or type.
        """
        chosen = np.array([self.seeds.index(seed) for seed in seeds])
        state = jax.eval_shape(built.init, members)
        loaded = self._state(state, chosen)
        counts = self.record["dispatches"], self.record["evaluations"]
        infos = [_info(self._stacked("infos", i, chosen)) for i in range(counts[0])]
        steps = self.record["evaluation_steps"]
        evaluations = [_evaluation(steps[i], self._stacked("scores", i, chosen)) for i in range(counts[1])]
        return ResumeState(self.step, loaded, tuple(infos), tuple(steps)), evaluations

    def _state(self, template: TrainState, chosen: np.ndarray) -> TrainState:
        """The state, each array checked against the one that training would start with."""
        leaves, structure = jax.tree_util.tree_flatten_with_path(template)
        found = []
        for path, leaf in leaves:
            name = f"state{jax.tree_util.keystr(path)}"
            array = self.arrays.get(name)
            if array is None or array.dtype != leaf.dtype or array.shape[1:] != leaf.shape[1:]:
                seen = "missing" if array is None else f"{array.dtype}{list(array.shape[1:])}"
                raise DamagedError(f"checkpoint: {name} is {seen}, not {leaf.dtype}{list(leaf.shape[1:])}")
            found.append(array[chosen])
        return jax.tree.unflatten(structure, found)

    def _stacked(self, name: str, i: int, chosen: np.ndarray) -> dict[str, np.ndarray]:
        """Entry i of every stack [n, S, ...] called ``name``."""
        prefix = f"{name}."
        stacks = {k.removeprefix(prefix): v for k, v in self.arrays.items() if k.startswith(prefix)}
        return {k: v[i][chosen] for k, v in stacks.items()}


@dataclass
class Checkpoints:
    """The checkpoints of one chunk of seeds.

    Attributes:
        folder: holds them; made when it is needed.
        interval: seconds between two of them.
    """

    folder: Path
    interval: float = INTERVAL
    _last: float = field(default_factory=time.monotonic)

    @property
    def due(self) -> bool:
        """Whether more than ``interval`` seconds have passed since the last one, or since the start."""
        return time.monotonic() - self._last >= self.interval

    @property
    def being_written(self) -> bool:
        """Whether a process is writing one, or died while it did."""
        return any(self.folder.glob(".*.partial"))

    def save(
        self,
        resumed: ResumeState,
        seeds: Sequence[Seed],
        evaluations: Sequence[Evaluation],
        record: Mapping[str, Any],
    ) -> None:
        """Writes a checkpoint, and removes all but the last two.

        Raises:
            OSError: it cannot be written; earlier ones are as they were.
        """
        arrays = _arrays(resumed, evaluations)
        names = list(arrays)
        keyed = dict(zip(_keys(names), arrays.values(), strict=True))
        make_folder(self.folder)
        with appearing(self.folder / f"{resumed.step:09d}") as partial:
            partial.mkdir(parents=True)
            _check_room(partial, keyed)
            try:
                _save(partial / "arrays", keyed)
            except Exception as error:  # whatever Orbax makes of a file system that fails
                code = _error_number(error)
                reason = os.strerror(code) if code != errno.EIO else str(error)
                raise OSError(code, reason, str(self.folder)) from error
            files = sorted(path for path in partial.rglob("*") if path.is_file())
            fields = {
                **record,
                **{"step": resumed.step, "seeds": [list(seed) for seed in seeds], "arrays": names},
                "dispatches": len(resumed.infos),
                "evaluations": len(evaluations),
                "evaluation_steps": [evaluation.step for evaluation in evaluations],
                "files": {str(path.relative_to(partial)): digest(path) for path in files},
            }
            write_sealed(partial / "chunk.json", fields)
        for old in self._folders()[:-KEPT]:
            shutil.rmtree(old)
        self._last = time.monotonic()

    def record(self) -> dict[str, Any] | None:
        """The record of the newest checkpoint, without its arrays; None where none can be read."""
        return newest_record(self.folder)

    def damage(self) -> list[str]:
        """One line per damaged checkpoint; read-only."""
        found = []
        for folder in self._folders():
            try:
                _load(folder)
            except DamagedError as error:
                found.append(str(error))
        return found

    def latest(self, say: Callable[[str], None]) -> Checkpoint | None:
        """The newest undamaged checkpoint; damaged ones are renamed and reported through ``say``."""
        for folder in reversed(self._folders()):
            try:
                return _load(folder)
            except DamagedError as error:
                say(f"{error}; the checkpoint of step {int(folder.name)} is not used.")
                set_aside(folder)
        return None

    def clear(self) -> None:
        """Removes all checkpoints: the chunk is finished."""
        shutil.rmtree(self.folder, ignore_errors=True)
        with contextlib.suppress(OSError):  # others of this cell are still in use
            self.folder.parent.rmdir()

    def _folders(self) -> list[Path]:
        return checkpoint_folders(self.folder)


def _load(folder: Path) -> Checkpoint:
    record = read_sealed(folder / "chunk.json")
    for name, expected in record["files"].items():
        check_digest(folder / name, expected)
    names = record["arrays"]
    try:
        loaded = _orbax(lambda saver: saver.restore(folder / "arrays"))
        arrays = {name: np.asarray(loaded[key]) for name, key in zip(names, _keys(names), strict=True)}
    except Exception as error:  # whatever Orbax makes of files that it does not know
        raise DamagedError(f"{folder / 'arrays'} cannot be read: {error}") from error
    seeds = tuple((init, data) for init, data in record["seeds"])
    return Checkpoint(record["step"], seeds, record, arrays)


def _arrays(resumed: ResumeState, evaluations: Sequence[Evaluation]) -> dict[str, np.ndarray]:
    """All arrays by name; Orbax is slow with many small ones, so those of one kind are stacked."""
    leaves = jax.tree_util.tree_flatten_with_path(resumed.state)[0]
    named = {f"state{jax.tree_util.keystr(path)}": np.asarray(leaf) for path, leaf in leaves}
    if resumed.infos:
        named |= {f"infos.{k}": v for k, v in _stack([_of_info(info) for info in resumed.infos]).items()}
    if evaluations:
        named |= {f"scores.{k}": v for k, v in _stack([_of_evaluation(e) for e in evaluations]).items()}
    return named


def _stack(parts: Sequence[Mapping[str, Any]]) -> dict[str, np.ndarray]:
    return {name: np.stack([np.asarray(part[name]) for part in parts]) for name in parts[0]}


def _of_info(info: DispatchInfo) -> dict[str, Any]:
    return {"loss_sum": info.loss_sum, **info.last._asdict()}


def _info(arrays: Mapping[str, Any]) -> DispatchInfo:
    return DispatchInfo(arrays["loss_sum"], StepInfo(arrays["loss"], arrays["gradient_norm"]))


def _of_evaluation(evaluation: Evaluation) -> dict[str, Any]:
    fields = evaluation._asdict()
    del fields["step"]
    scores = fields.pop("scores")
    if evaluation.stopped_at is None:
        del fields["stopped_at"]
    if isinstance(scores, WithOwn):
        own = {f"{_METRIC}{name}": values for name, values in scores.own.items()}
        return {**own, **scores.sets._asdict(), **fields}
    if not isinstance(scores, dict):
        return {**scores._asdict(), **fields}
    return {**{f"{_METRIC}{name}": values for name, values in scores.items()}, **fields}


def _evaluation(step: int, arrays: Mapping[str, Any]) -> Evaluation:
    own = {k.removeprefix(_METRIC): values for k, values in arrays.items() if k.startswith(_METRIC)}
    sets = SetScores(*(arrays[name] for name in SetScores._fields)) if "exact" in arrays else None
    scores = own if sets is None else WithOwn(sets, own) if own else sets
    training = (arrays["train_loss"], arrays["gradient_norm"], arrays["diverged"])
    return Evaluation(step, scores, *training, stopped_at=arrays.get("stopped_at"))


def _check_room(folder: Path, arrays: Mapping[str, np.ndarray]) -> None:
    """Checks that the arrays fit on the disk, before Orbax fails in many threads at once.

    Raises:
        OSError: there is too little room, or there are too few inodes.
    """
    needed = sum(array.nbytes + _FILE_BYTES for array in arrays.values())
    system = os.statvfs(folder)
    few = system.f_files and system.f_favail < _ARRAY_INODES * len(arrays) + _MORE_INODES  # 0 are not counted
    if system.f_bavail * system.f_frsize < needed or few:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(folder.parent))


def _keys(names: Sequence[str]) -> list[str]:
    """Names that are safe as names of files."""
    return [f"array{i:04d}" for i in range(len(names))]


def _save(folder: Path, arrays: Mapping[str, np.ndarray]) -> None:
    """Writes arrays as Orbax does; of several processes it lets the first alone write any of NumPy."""
    _orbax(lambda saver: saver.save(folder, arrays))
    if jax.process_index():
        import tensorstore  # what Orbax writes them with

        for name, array in arrays.items():
            place = {"driver": "file", "path": str(folder / name)}
            spec = {"driver": "zarr", "kvstore": place}
            kind = tensorstore.dtype(array.dtype)
            tensorstore.open(spec, create=True, dtype=kind, shape=array.shape).result().write(array).result()


def _error_number(error: Exception) -> int:
    """The kernel's number of what made Orbax fail; its libraries have it in their text. EIO where none do."""
    if isinstance(error, OSError) and error.errno:
        return error.errno
    named = re.search(r"os_error_code='(\d+)'", str(error))
    full = os.strerror(errno.ENOSPC) in str(error)
    return int(named[1]) if named else errno.ENOSPC if full else errno.EIO


@contextlib.contextmanager
def _closed_loops_ignored() -> Iterator[None]:
    """Where one file of many cannot be written, each of the others prints that its event loop is closed."""
    former = sys.unraisablehook

    def hook(dropped: Any) -> None:
        if str(dropped.exc_value) != "Event loop is closed":
            former(dropped)

    sys.unraisablehook = hook
    yield
    sys.unraisablehook = former  # not where the block fails: some are still to come


def _orbax(use: Callable[[Any], Any]) -> Any:
    """Calls a function with an Orbax checkpointer, whose notes on single-process saves are silenced.

    Where several processes train a study each saves its own seeds, when it is time for them: Orbax must not
    wait for the others.
    """
    import orbax.checkpoint as ocp  # heavy, and not needed to train

    me = jax.process_index()
    alone = ocp.options.MultiprocessingOptions(primary_host=me, active_processes={me})
    handler = ocp.PyTreeCheckpointHandler(use_ocdbt=False, multiprocessing_options=alone)

    logger = logging.getLogger("absl")
    level = logger.level
    logger.setLevel(logging.CRITICAL)  # what fails is raised as well
    try:
        with (
            _closed_loops_ignored(),
            ocp.Checkpointer(handler, multiprocessing_options=alone) as saver,
        ):
            return use(saver)
    finally:
        logger.setLevel(level)
