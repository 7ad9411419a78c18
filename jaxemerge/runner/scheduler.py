"""Submits programs to a scheduler: an array of jobs that save and requeue themselves at their time limit.

Needs submitit, which knows how Slurm wants this done: https://github.com/facebookincubator/submitit.
"""

from __future__ import annotations

import contextlib
import os
import re
import shlex
import shutil
import signal
import subprocess
import time
import types
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
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
# The last line of a log of errors, as ``Command`` words it.
_FAILED = re.compile(
    r"RuntimeError: (?P<why>exit code (?P<code>-?\d+)|no checkpoint [^(]*).*--cells (?P<cells>\S+).*"
)
_A_WEEK = 7 * 24 * 60.0  # minutes of a job where nothing sets a limit
_UNTIL_KILLED = 3_600.0  # longest wait for the end that a scheduler has announced, in seconds


class LaunchError(ValueError):
    """Jobs cannot be submitted; the message says why."""


@dataclass(frozen=True)
class Resources:
    """Resources of one job; the scheduler decides on those that are not set.

    Attributes:
        partition: of the cluster.
        minutes: time limit of a job; unfinished jobs are queued again. None: the partition's.
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
        self._asked = False  # to end, by whoever launched it

    def __call__(self, words: Sequence[str]) -> None:
        """Runs the program to its end.

        Raises:
            RuntimeError: it failed.
        """
        local = os.environ.get("SUBMITIT_EXECUTOR") == "local"
        # Slurm signals every process of a job. On this machine signals come through here alone, and not from
        # the terminal.
        self._program = subprocess.Popen(list(words), start_new_session=local)
        if local:
            signal.signal(signal.SIGTERM, self._pass_on)
        try:
            self._wait()
            code = self._program.wait()
            if code in _STOPPED and not local:
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

    def _pass_on(self, number: int, frame: types.FrameType | None) -> None:
        if self._program.returncode is None and not self._asked:
            self._program.send_signal(number)
        self._asked = True  # a second one might come when the program has saved and ends

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
            executor.update_parameters(**slurm_parameters(_limited(resources), name))
        else:
            executor = submitit.LocalExecutor(folder, max_num_timeout=_REQUEUES)
            executor.update_parameters(**local_parameters(resources))
        folders = watched or [()] * len(commands)
        with _deaf() if where == "local" else contextlib.nullcontext(), executor.batch():
            pairs = zip(commands, folders, strict=True)
            return [executor.submit(Command(cells), list(words)) for words, cells in pairs]
    except RuntimeError as error:
        reason = " ".join(str(error).split())
        raise LaunchError(f"--launch {where}: {reason}") from error


@contextlib.contextmanager
def _deaf() -> Iterator[None]:
    """Programs started in the block ignore what a terminal sends to all: their starter ends them."""
    former = {number: signal.signal(number, signal.SIG_IGN) for number in (signal.SIGINT, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)


def end(jobs: Sequence[Any]) -> None:
    """Asks jobs on this machine to save and exit, until they have.

    Args:
        jobs: what ``submit`` returned for ``local``; their ids are numbers of processes.
    """
    while left := [job for job in jobs if not job.done()]:
        for job in left:  # one that is just starting does not pass it on
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(job.job_id), signal.SIGTERM)
        time.sleep(1.0)


def failures(folder: Path) -> dict[str, str]:
    """Why the last job of a cell failed, in a line, by cell; of jobs that say so in their logs.

    Args:
        folder: of logs.
    """
    found: dict[str, str] = {}
    for path in sorted(folder.glob("*.err"), key=lambda path: path.stat().st_mtime):
        lines = path.read_text(errors="replace").splitlines()
        if not (failed := _FAILED.fullmatch(lines[-1] if lines else "")):
            continue
        code, why, cells = int(failed["code"] or 0), failed["why"], failed["cells"].split(",")
        said = [line.removeprefix("error: ") for line in lines if line.startswith("error: ")]
        stopped = code in _STOPPED or code == -signal.SIGTERM
        found |= dict.fromkeys(cells, "" if stopped else f"{said[-1] if said else why} ({path})")
    return {cell: why for cell, why in found.items() if why}


def _limited(resources: Resources) -> Resources:
    """With the time limit that Slurm would set: submitit sets five minutes where it is given none.

    Raises:
        LaunchError: Slurm knows no such partition.
    """
    if resources.minutes is not None or "time" in resources.further:
        return resources
    return replace(resources, minutes=partition_limit(resources.partition))


def partition_limit(partition: str | None) -> float:
    """Minutes of a job for which none are asked: the partition's default, else its maximum, else a week.

    Args:
        partition: one or several with commas between them; None for the cluster's default one.

    Raises:
        LaunchError: Slurm knows no such partition.
    """
    chosen = ["-p", partition] if partition else []
    done = subprocess.run(
        ["sinfo", "-h", *chosen, "-o", "%P|%L|%l"], capture_output=True, text=True, errors="replace"
    )
    lines = [line.split("|") for line in done.stdout.splitlines() if line.count("|") == 2]
    found = [limits for name, *limits in lines if partition or name.endswith("*")]
    if done.returncode or not found:
        reason = (
            " ".join(done.stderr.split()) or f"sinfo shows no partition {partition or 'that is the default'}"
        )
        raise LaunchError(f"--launch slurm: {reason}; choose one with --partition")
    return min(next(filter(None, map(_minutes, limits)), _A_WEEK) for limits in found)


def _minutes(text: str) -> float | None:
    """Minutes of a limit; None for ``n/a`` and ``infinite``."""
    try:
        return minutes(text)
    except ValueError:
        return None


def minutes(text: str) -> float:
    """Reads a time limit in minutes as Slurm does: ``90``, ``30:00``, ``4:00:00``, ``2-12``, ``2-12:00:00``.

    Raises:
        ValueError: the text is no time, or 0.
    """
    days, dash, rest = text.rpartition("-")
    parts = rest.split(":")
    whole = all(part.isdecimal() for part in (*parts, *([days] if dash else [])))
    if not whole or len(parts) > 3 or not any(int(part) for part in (*parts, days or "0")):
        raise ValueError(f"{text!r} must be a time such as 4:00:00, 30:00, 2-00:00:00, or 90 (minutes)")
    numbers = [int(part) for part in parts]
    if dash:  # D-H, D-H:M and D-H:M:S
        hours, mins, secs = [*numbers, 0, 0][:3]
    else:  # M, M:S and H:M:S
        hours, mins, secs = {1: [0, *numbers, 0], 2: [0, *numbers], 3: numbers}[len(numbers)]
    return 1440 * int(days or 0) + 60 * hours + mins + secs / 60


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
    limit = _A_WEEK if resources.minutes is None else resources.minutes
    delay = notice(limit)
    return {"timeout_min": limit, "signal_delay_s": delay, "gpus_per_node": resources.gpus or 0}


def notice(minutes: float | None) -> int:
    """Seconds between the warning and the time limit: three minutes, or half of a short limit.

    Slurm sends a warning that is due before the job starts as soon as it runs, and the job would be queued
    again for ever.
    """
    return _NOTICE if minutes is None else min(_NOTICE, int(30 * minutes))
