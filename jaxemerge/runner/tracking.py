"""How does the training of a chunk proceed? One line of JSON per evaluation, and trackers where asked for.

    DIR/cells/CELL/metrics/CHUNK.jsonl

Lines are added while the chunk is trained. After an interruption, lines beyond the step at which training
resumes are dropped: they are written again, and no step appears twice. The same numbers go to Weights &
Biases or TensorBoard, where those are installed and asked for.
"""

from __future__ import annotations

import contextlib
import datetime
import importlib
import json
import math
import os
import secrets
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from jaxemerge.files import remove_partial, write_bytes
from jaxemerge.runner.experiment import Experiment
from jaxemerge.runner.scores import Evaluation, Progress, measured, own_metrics, successes
from jaxemerge.training import Seed

_PACKAGES = {"wandb": "wandb", "tensorboard": "tensorboardX"}
TRACKERS = tuple(_PACKAGES)


class Tracker(Protocol):
    """Receives the numbers of one chunk."""

    def log(self, step: int, numbers: Mapping[str, float]) -> None:
        """Receives numbers by name at a step; steps increase."""

    def close(self) -> None:
        """Called after the last numbers."""


def tracker(name: str, folder: Path, study: str) -> Callable[[Path, Mapping[str, Any], int], Tracker]:
    """A function that opens a tracker for a chunk.

    Args:
        name: one of ``TRACKERS``.
        folder: the results folder.
        study: name of the study.

    Returns:
        (the chunk's file of metrics, the cell's fields, first step to come) -> Tracker.

    Raises:
        ValueError: its package is not installed.
    """
    try:
        package = importlib.import_module(_PACKAGES[name])
    except ModuleNotFoundError:
        needed = f"pip install 'jaxemerge[{name}]'"
        raise ValueError(f"--track {name} needs {_PACKAGES[name]}: {needed}") from None
    if name == "wandb":
        return lambda path, fields, first: _Wandb(package, path, fields, folder, study)
    return lambda path, fields, first: _TensorBoard(package, folder / "tensorboard", path, first)


class ChunkMetrics:
    """Writes the numbers of one chunk during training; a context manager that gives ``update``."""

    def __init__(
        self,
        path: Path,
        experiment: Experiment,
        seeds: Sequence[Seed],
        *,
        threshold: float,
        trackers: Sequence[Callable[[Path, Mapping[str, Any], int], Tracker]] = (),
        say: Callable[[str], None] = lambda line: None,
    ) -> None:
        """Writes nothing yet.

        Args:
            path: the chunk's file; its folder holds the files of the cell's other chunks.
            experiment: the cell.
            seeds: of the chunk.
            threshold: exact match from which a seed counts as a success.
            trackers: each is called with the file, the cell's fields and the first step to come.
            say: prints a line where a tracker fails.
        """
        self._path, self._experiment, self._seeds = path, experiment, seeds
        self._threshold, self._say = threshold, say
        self._makers, self._trackers = trackers, list[Tracker]()
        self._began = time.monotonic()
        self._mark: tuple[int, float] | None = None  # step and seconds of the previous evaluation
        self._earlier = -1.0  # seconds before this process; negative until the first progress was seen

    def update(self, seen: Progress) -> None:
        """A dispatch has ended."""
        if self._earlier < 0:
            self._earlier = self._drop(seen.step)
            self._open_trackers(seen.step)
        if seen.evaluation is None:
            return
        seconds = self._earlier + time.monotonic() - self._began
        line = {
            "cell": self._experiment.cell,
            "chunk": self._path.stem,
            "members": _members(self._seeds),
            **summary(self._experiment, seen.evaluation, self._threshold),
            "seconds": round(seconds, 3),
            "seed_steps_per_second": self._rate(seen.step, seconds),
            "time": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        }
        self._mark = seen.step, seconds
        with self._path.open("ab") as file:
            file.write((json.dumps(line, allow_nan=False) + "\n").encode())
        self._tell(lambda tracker: tracker.log(seen.step, flat(line)))

    def __enter__(self) -> Callable[[Progress], None]:
        return self.update

    def __exit__(self, *_: object) -> None:
        self._tell(lambda tracker: tracker.close())

    def _rate(self, step: int, seconds: float) -> float | None:
        """Seed-steps per second since the previous evaluation; none for the first, which compiles."""
        if self._mark is None or step == self._mark[0]:
            return None
        return round(len(self._seeds) * (step - self._mark[0]) / max(seconds - self._mark[1], 1e-9), 3)

    def _drop(self, first: int) -> float:
        """Drops lines that are about to be written again, of any chunk; the seconds spent before them."""
        folder, spent = self._path.parent, 0.0
        folder.mkdir(exist_ok=True)
        remove_partial(folder)
        mine = set(_members(self._seeds).split())
        for path in sorted(folder.glob("[!.]*.jsonl")):
            with contextlib.suppress(FileNotFoundError):  # another process drops its own
                lines = path.read_bytes().splitlines(keepends=True)
                found = [(text, line) for text in lines if (line := _parsed(text))]
                if path != self._path and not any(mine & set(line["members"].split()) for _, line in found):
                    continue  # another process may be adding to it
                kept = [(text, line) for text, line in found if line["step"] < first]
                spent = max([spent, *(line["seconds"] for _, line in kept)])
                if len(kept) < len(lines):
                    write_bytes(path, b"".join(text for text, _ in kept))
                if not kept:
                    path.unlink()
        return spent

    def _open_trackers(self, first: int) -> None:
        fields = self._experiment.to_dict() | {"seeds": _members(self._seeds), "cell": self._experiment.cell}
        for make in self._makers:
            try:
                self._trackers.append(make(self._path, fields, first))
            except Exception as error:  # a server that is away must not end days of training
                self._say(f"Continuing without a tracker: {_words(error)}")

    def _tell(self, what: Callable[[Tracker], None]) -> None:
        for tracker in list(self._trackers):
            try:
                what(tracker)
            except Exception as error:  # as above
                self._trackers.remove(tracker)
                self._say(f"Continuing without a tracker: {_words(error)}")


def summary(experiment: Experiment, evaluation: Evaluation, threshold: float) -> dict[str, Any]:
    """Numbers of a chunk at one evaluation; null where they are not finite.

    A diverged seed counts, with an exact match of 0 and an infinite loss. The tests of an objective are its
    shares, under their own names; its other metrics are medians.
    """
    lost = evaluation.diverged
    losses = np.where(lost | np.isnan(evaluation.train_loss), np.inf, evaluation.train_loss)
    low, middle, high = np.quantile(losses, (0.1, 0.5, 0.9), method="nearest")
    tests, per_step = successes(experiment, evaluation.scores), experiment.tokens_per_step
    shares = [np.where(lost, 0.0, test.values) for test in tests]
    return {
        "seeds": len(lost),
        "diverged": int(lost.sum()),
        **({} if evaluation.stopped_at is None else {"stopped": int((evaluation.stopped_at >= 0).sum())}),
        "step": evaluation.step,
        "tokens": None if per_step is None else evaluation.step * per_step,
        "loss": {"low": _finite(low), "median": _finite(middle), "high": _finite(high)},
        "threshold": threshold,
        "tests": [
            {
                "split": test.split,
                "length": test.length,
                test.metric: float(of.mean()),
                "successes": int((of >= threshold).sum()),
            }
            for test, of in zip(tests, shares, strict=True)
        ],
        **({"values": _medians(experiment, evaluation)} if experiment.model is None else {}),
        **({"own": _own(experiment, evaluation)} if experiment.metrics else {}),
    }


def _own(experiment: Experiment, evaluation: Evaluation) -> list[dict[str, Any]]:
    """Medians of own metrics over seeds that have not diverged, test by test."""
    left = ~evaluation.diverged
    return [
        {
            **{"split": one.split, "length": one.length, "metric": one.metric},
            "median": _finite(float(np.median(one.values[left]))) if left.any() else None,
        }
        for one in own_metrics(experiment, evaluation.scores)
    ]


def _medians(experiment: Experiment, evaluation: Evaluation) -> dict[str, float | None]:
    """Median over seeds that have not diverged, of every metric that is not a share."""
    others = [one for one in measured(experiment, evaluation.scores) if one.trials is None]
    left = ~evaluation.diverged
    return {one.metric: _finite(float(np.median(one.values[left]))) for one in others if left.any()}


def flat(line: Mapping[str, Any]) -> dict[str, float]:
    """A line's numbers by names with slashes, as trackers have them."""
    return {name: value for name, value in _flat(line) if value is not None}


def _flat(line: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for name in ("seeds", "diverged", "stopped", "tokens", "seconds", "seed_steps_per_second"):
        if name in line:
            yield name, line[name]
    for name, value in line["loss"].items():
        yield f"loss/{name}", value
    for test in line["tests"]:
        what = test["split"] if test["length"] is None else f"{test['split']}/length{test['length']}"
        for name in test.keys() - {"split", "length", "successes"}:
            yield f"{name}/{what}", test[name]
        yield f"successes/{what}", test["successes"] / line["seeds"]
    for one in line.get("own", ()):
        what = one["split"] if one["length"] is None else f"{one['split']}/length{one['length']}"
        yield f"{one['metric']}/{what}", one["median"]
    for name, value in line.get("values", {}).items():
        yield f"{name}/test", value


def _members(seeds: Sequence[Seed]) -> str:
    """``7``, or ``3/8`` where the initial weights have another seed than the data."""
    return " ".join(str(init) if init == data else f"{init}/{data}" for init, data in seeds)


def _parsed(text: bytes) -> dict[str, Any]:
    """A line; empty where a kill has torn it, or something else has damaged it."""
    try:
        line = json.loads(text)
        kinds = {"members": str, "step": int, "seconds": float}
        whole = text.endswith(b"\n") and all(isinstance(line[name], kind) for name, kind in kinds.items())
    except (ValueError, KeyError, TypeError):
        return {}
    return line if whole else {}


def _finite(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None


def _words(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__


class _Wandb:
    """One run of Weights & Biases per chunk, the same one after an interruption."""

    def __init__(self, wandb: Any, path: Path, fields: Mapping[str, Any], folder: Path, study: str) -> None:
        self._run = wandb.init(
            project=os.environ.get("WANDB_PROJECT", "jaxemerge"),
            group=study,
            job_type=fields["cell"],
            name=f"{fields['cell']} {path.stem}",
            id=_kept_id(path.with_suffix(".wandb")),
            resume="allow",
            config=dict(fields),
            dir=str(folder),
            settings=wandb.Settings(console="off", silent=True),
        )

    def log(self, step: int, numbers: Mapping[str, float]) -> None:
        if step >= self._run.step:  # it rejects steps that it has seen before the interruption
            self._run.log(dict(numbers), step=step)

    def close(self) -> None:
        self._run.finish()


class _TensorBoard:
    """One folder of event files per chunk."""

    def __init__(self, package: Any, folder: Path, path: Path, first: int) -> None:
        # TensorBoard passes over what earlier files hold of the first step and those after it. Files of the
        # same second would have the same name.
        place, suffix = folder / path.parent.parent.name / path.stem, f".{first:09d}"
        self._writer = package.SummaryWriter(str(place), purge_step=first, filename_suffix=suffix)

    def log(self, step: int, numbers: Mapping[str, float]) -> None:
        for name, value in numbers.items():
            self._writer.add_scalar(name, value, step)
        self._writer.flush()

    def close(self) -> None:
        self._writer.close()


def _kept_id(path: Path) -> str:
    """The id in a file, which is made with a new one if there is none."""
    if not path.is_file():
        write_bytes(path, secrets.token_hex(8).encode())
    return path.read_text(encoding="ascii")
