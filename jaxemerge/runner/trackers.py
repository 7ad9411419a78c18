"""Where else the numbers of a chunk may be shown: Weights & Biases, TensorBoard. Neither is needed."""

from __future__ import annotations

import importlib
import os
import secrets
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol

from jaxemerge.files import write_bytes

_PACKAGES = {"wandb": "wandb", "tensorboard": "tensorboardX"}
TRACKERS = tuple(_PACKAGES)


class Tracker(Protocol):
    """Is told the numbers of one chunk."""

    def log(self, step: int, numbers: Mapping[str, float]) -> None:
        """Numbers by name at a step; steps increase."""

    def close(self) -> None:
        """Nothing more will come."""


def tracker(name: str, folder: Path, study: str) -> Callable[[Path, Mapping[str, Any], int], Tracker]:
    """What opens a tracker for a chunk.

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
        if step >= self._run.step:  # what it was told before the interruption it does not take twice
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
