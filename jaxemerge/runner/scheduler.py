"""Submits programs to a scheduler: an array of jobs that save and requeue themselves at their time limit.

Needs submitit, which knows how Slurm wants this done: https://github.com/facebookincubator/submitit.
"""

from __future__ import annotations

import contextlib
import os
import shlex
import shutil
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

_STOPPED = {
    128 + signal.SIGTERM,
    128 + signal.SIGUSR2,
}  # exit codes of a program that was asked to save and exit
_NOTICE = 180  # seconds between the warning and a job's time limit: time to compile and save
_REQUEUES = 1_000  # a study may take any number of time limits
_STALLED = 2  # so many time limits without progress end a job
_MILESTONES = ("[!.]*.json", "checkpoints/*/[0-9]*/chunk.json")  # in the folder of a cell
_UNTIL_KILLED = 3_600.0  # longest wait for the end that a scheduler has announced, in seconds


class LaunchError(ValueError):
    """Jobs cannot be submitted; the message says why."""


@dataclass(frozen=True)
class Resources:
    """Resources of one job; the scheduler decides on those that are not set.

    Attributes:
        partition: of the cluster.
        minutes: time limit of a job; unfinished jobs are queued again.
        gpus: GPUs of a job.
        cpus: cores of a job.
        memory: bytes of a job.
        parallel: how many jobs may run at once; 0 for any number.
        further: other options of sbatch, by name without the dashes.
    """

    partition: str | None = None
    minutes: float | None = None
    gpus: int | None = None
    cpus: int | None = None
    memory: int = 0
    parallel: int = 0
    further: Mapping[str, str] = field(default_factory=dict)


class Command:
    """Runs a program in a subprocess, and asks it to save and exit when the job must end.

    submitit serialises this object and the program's words, and nothing else, into the user's folder of
    jobs. Results and checkpoints never pass through it.
    """

    def __init__(self, watched: Sequence[Path] = (), before: Sequence[str] = (), stalled: int = 0) -> None:
        """A job that is queued for the first time, or again.

        Args:
            watched: folders of the cells that the program trains.
            before: what they held when the job was last queued again.
            stalled: how often in a row they held the same.
        """
        self._watched, self._before, self._stalled = tuple(watched), tuple(before), stalled

    def __call__(self, words: Sequence[str]) -> None:
        """Runs the program to its end.

        Raises:
            RuntimeError: it failed.
        """
        self._program = subprocess.Popen(list(words))
        try:
            self._wait()
            code = self._program.wait()
            if code in _STOPPED:
                # The scheduler has announced the end of the job to all of its processes. It decides whether
                # the job is queued again (preempted) or not (cancelled).
                time.sleep(_UNTIL_KILLED)
        finally:
            if self._program.poll() is None:
                self._program.terminate()
        if code:
            raise RuntimeError(f"exit code {code}: {shlex.join(words)}")

    def checkpoint(self, words: Sequence[str]) -> Any:
        """The job to queue again once the program has saved; submitit calls it from a signal handler.

        Raises:
            RuntimeError: the cells are where they were after each of the last two times: it would never end.
        """
        from submitit.helpers import DelayedSubmission

        if self._program.returncode is None:
            self._program.send_signal(signal.SIGTERM)
            self._wait()
        now = _progress(self._watched)
        stalled = self._stalled + 1 if self._watched and now == self._before else 0
        if stalled >= _STALLED:
            raise RuntimeError(
                f"no checkpoint and no finished seed in the last {_STALLED} time limits: not queued again; "
                f"give jobs more time, with --job-time ({shlex.join(words)})"
            )
        return DelayedSubmission(Command(self._watched, now, stalled), words)

    def _wait(self) -> None:
        """Waits for the program, leaving its exit code to be read.

        A signal handler may do so while the interrupted code does: Popen.wait would be stuck on its lock.
        """
        with contextlib.suppress(ChildProcessError):  # the interrupted code has just read it
            os.waitid(os.P_PID, self._program.pid, os.WEXITED | os.WNOWAIT)


def _progress(cells: Sequence[Path]) -> tuple[str, ...]:
    """How far cells are: names of their finished chunks, and of checkpoints, which have their steps."""
    found = (path for cell in cells for form in _MILESTONES for path in cell.glob(form))
    return tuple(sorted(map(str, found)))


def require(where: str) -> Any:
    """The submitit package, if jobs can be submitted from this machine.

    Raises:
        LaunchError: it is not installed, or there is no Slurm on this machine.
    """
    try:
        import submitit
    except ModuleNotFoundError:
        raise LaunchError(f"--launch {where} needs submitit: pip install 'jaxemerge[slurm]'") from None
    if where == "slurm" and not (shutil.which("sbatch") and shutil.which("srun")):
        raise LaunchError("--launch slurm: no sbatch and srun here: log in where jobs are submitted")
    return submitit


def submit(
    where: str,
    commands: Sequence[Sequence[str]],
    folder: Path,
    resources: Resources,
    name: str,
    watched: Sequence[Sequence[Path]] = (),
) -> list[Any]:
    """Submits one job per command, as an array where there are several.

    Args:
        where: ``slurm``, or ``local`` for processes on this machine, to try it out.
        commands: words of each program.
        folder: for logs and submitit's own files.
        resources: of each job.
        name: of the jobs.
        watched: per command, folders of the cells that it trains, to see whether it makes progress.

    Returns:
        submitit's jobs.

    Raises:
        LaunchError: submitit or Slurm are missing, or Slurm rejects the jobs.
    """
    submitit = require(where)
    try:
        if where == "slurm":
            executor = submitit.SlurmExecutor(folder, max_num_timeout=_REQUEUES)
            executor.update_parameters(**slurm_parameters(resources, name))
        else:
            executor = submitit.LocalExecutor(folder, max_num_timeout=_REQUEUES)
            executor.update_parameters(**local_parameters(resources))
        with executor.batch():
            folders = watched or [()] * len(commands)
            pairs = zip(commands, folders, strict=True)
            return [executor.submit(Command(cells), list(words)) for words, cells in pairs]
    except RuntimeError as error:
        reason = " ".join(str(error).split())
        raise LaunchError(f"--launch {where}: {reason}") from error


def slurm_parameters(resources: Resources, name: str) -> dict[str, Any]:
    """Resources under submitit's names."""
    given = {
        "job_name": name,
        "partition": resources.partition,
        "time": None if resources.minutes is None else max(1, round(resources.minutes)),
        "gpus_per_node": resources.gpus,
        "cpus_per_task": resources.cpus,
        "mem": f"{resources.memory // 2**20}M" if resources.memory else None,
        "array_parallelism": resources.parallel or None,
        "signal_delay_s": notice(resources.minutes),
        "additional_parameters": {"requeue": True, **resources.further},
    }
    return {key: value for key, value in given.items() if value is not None}


def local_parameters(resources: Resources) -> dict[str, Any]:
    """The same for processes on this machine, whose warning comes later."""
    minutes = 7 * 24 * 60 if resources.minutes is None else resources.minutes
    delay = notice(minutes)
    return {"timeout_min": minutes, "signal_delay_s": delay, "gpus_per_node": resources.gpus or 0}


def notice(minutes: float | None) -> int:
    """Seconds between the warning and the time limit: three minutes, or half of a short limit.

    Slurm sends a warning that is due before the job starts as soon as it runs, and the job would be queued
    again for ever.
    """
    return _NOTICE if minutes is None else min(_NOTICE, int(30 * minutes))
