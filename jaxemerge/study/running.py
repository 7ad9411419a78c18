"""How are experiments trained into a folder from Python, as the command line does?"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jaxemerge.evaluation.metrics import success_threshold
from jaxemerge.runner.cautions import cautions
from jaxemerge.runner.checks import prepare
from jaxemerge.runner.experiment import Experiment

from .folder import Study, report_of

if TYPE_CHECKING:
    from jaxemerge.runner.store import Store

_LOG = logging.getLogger(__name__)
CHECKPOINT = 300.0  # seconds between two checkpoints


def run(
    experiments: Experiment | Iterable[Experiment],
    out: Path | str | None = None,
    *,
    resume: bool = True,
    report: bool = True,
    threshold: float | None = None,
    keep_weights: bool = True,
    chunk: int = 0,
    memory: int = 0,
    checkpoint_every: float = CHECKPOINT,
    progress: bool = True,
) -> Study:
    """Trains experiments into a results folder, as the command line does.

    Finished seeds are not trained again. Ctrl-C, and a signal to end, save a checkpoint first; the same call
    resumes there. Needs Polars.

    Args:
        experiments: the cells, for example from ``sweep``.
        out: results folder; by default ``results/`` with the experiments' study name.
        resume: whether a folder that holds a study may be continued.
        report: whether to write the report at the end.
        threshold: success is a score of at least this, recorded in the folder; by default a fifth of the way
            from chance to 1.
        keep_weights: whether to keep the final weights, for ``Study.population``.
        chunk: seeds trained at once; 0 chooses for the devices.
        memory: bytes that training may take; 0 takes a share of the devices' memory.
        checkpoint_every: seconds between two checkpoints.
        progress: whether to show the progress.

    Returns:
        The study.

    Raises:
        ValueError: there are no experiments; they cannot be trained; the folder holds another experiment, or
            any and ``resume`` is False; guessing would be a success.
        DeviceError: the devices return wrong numbers, or one seed is too much for their memory.
        KeyboardInterrupt: Ctrl-C; checkpoints are saved.
    """
    cells = _distinct(experiments)
    folder = Path("results") / cells[0].study if out is None else Path(out)
    if not resume and (folder / "study.json").exists():
        raise ValueError(f"{folder} holds a study: resume=True continues it")
    _start(cells)
    store = _opened(folder, cells, threshold)
    study = Study(cells, store)
    from jaxemerge.runner.jobs import jobs

    todo = jobs(cells, store, chunk=chunk, memory=memory)
    if todo:
        _train(todo, study, keep_weights=keep_weights, interval=checkpoint_every, progress=progress)
    if report:
        report_of(study.store, study.store.threshold, unless_current=True)
    return study


def _distinct(experiments: Experiment | Iterable[Experiment]) -> tuple[Experiment, ...]:
    from jaxemerge.runner.sweep import distinct

    given = (experiments,) if isinstance(experiments, Experiment) else tuple(experiments)
    for each in given:
        if not isinstance(each, Experiment):
            raise ValueError(f"experiments: {each!r} must be an Experiment")
    if not given:
        raise ValueError("experiments: none given; at least 1 is needed")
    return distinct(given)


def _start(cells: Sequence[Experiment]) -> None:
    """Starts the devices and checks what is to be trained."""
    from jaxemerge.cache import keep_compiled
    from jaxemerge.devices import start, use_host_cores

    use_host_cores()
    start()
    with contextlib.suppress(OSError):  # programs are then compiled anew in every run
        keep_compiled()
    for cell in cells:
        prepare(cell)
    for line in cautions(cells):
        _LOG.warning(line)


def _opened(folder: Path, cells: Sequence[Experiment], threshold: float | None) -> Store:
    """The folder, created or mended."""
    from jaxemerge.runner.opening import create_store

    chance = max(cell.chance for cell in cells)
    if threshold is not None:
        success_threshold(chance, threshold)
    default = success_threshold(chance)
    store = create_store(folder, cells[0].study, cells, threshold=threshold, default_threshold=default)
    store.mend()
    return store


def _train(todo: Sequence[Any], study: Study, *, keep_weights: bool, interval: float, progress: bool) -> None:
    """Trains what is missing, saving a checkpoint when a signal comes."""
    from rich.console import Console

    from jaxemerge.runner.chunk import RunOptions
    from jaxemerge.runner.groups import grouped
    from jaxemerge.runner.progress import Display
    from jaxemerge.runner.signals import StoppedError, StopRequest
    from jaxemerge.runner.study import train_jobs

    console = Console(quiet=not progress, highlight=False, markup=False, emoji=False)
    threshold = study.store.threshold or 0.0
    with contextlib.ExitStack() as stack:
        stop = stack.enter_context(StopRequest()) if _in_main_thread() else None
        display = stack.enter_context(Display(console, grouped(todo), threshold))
        options = RunOptions(interval=interval, save_weights=keep_weights, stop=stop, say=display.line)
        try:
            train_jobs(todo, study.store, display, options)
        except StoppedError as stopped:
            raise KeyboardInterrupt(f"{stopped}: checkpoints are saved; run again to resume") from stopped


def _in_main_thread() -> bool:
    import threading

    return threading.current_thread() is threading.main_thread()
