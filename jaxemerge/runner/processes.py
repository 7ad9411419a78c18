"""Which of several processes that share a study is this one, and are the others alive?

Each process trains its share of the seeds, without communication. The first process announces that the
results folder is ready; all report that they are alive and how they ended. The key-value store of
``jax.distributed``, which the first process serves, carries these messages.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax

from jaxemerge.runner.experiment import Experiment
from jaxemerge.runner.quantities import duration
from jaxemerge.runner.rendezvous import Say, meet, within
from jaxemerge.runner.signals import StoppedError

PATIENCE = 60.0  # seconds in which all processes must have started

_BEAT, _EXPIRY = (
    5.0,
    120.0,
)  # seconds between two signs of life, and of silence until a process counts as dead
_FAREWELL = 300.0  # longest time for which a first process that fails waits for the others to save
_LEAVE = 30.0  # longest time it takes a process to exit, in seconds
_PREFIX = "jaxemerge"


class ProcessError(ValueError):
    """The processes of a study cannot find each other; the message says why."""


class Processes:
    """This process among those of a study; the only one unless it has joined others.

    Use it as a context manager around the work: others then see that this process is alive, and how it ended.

    Attributes:
        rank: number of this process, from 0.
        count: how many there are.
    """

    def __init__(self, rank: int = 0, count: int = 1) -> None:
        self.rank, self.count = rank, count
        self._token = ""
        self._ended = threading.Event()
        self._heard = (0.0, 0)  # when the first process was last asked whether it stops, and its answer

    @property
    def first(self) -> bool:
        """Whether this process makes the folder and writes the report."""
        return self.rank == 0

    @property
    def label(self) -> str:
        """Prefix of this process' lines; empty for the first process."""
        return "" if self.first else f"[process {self.rank}] "

    @property
    def share(self) -> str:
        """Name of this process' part of a cell, ``-GROUP-RANK``; empty where there is one process."""
        return f"-{self._token}-{self.rank}" if self.count > 1 else ""

    def own(self, cells: Sequence[Experiment]) -> tuple[Experiment, ...]:
        """The cells with this process' share of their seeds; cells without any are left out.

        The share is a function of rank, count and seeds: the same command finds its checkpoints again.
        """
        parts = ((cell, cell.seeds[self.rank :: self.count]) for cell in cells)
        return tuple(cell.with_seeds(seeds) for cell, seeds in parts if seeds)

    def __enter__(self) -> Processes:
        if self.count > 1:
            self._beating = threading.Thread(target=self._beat, daemon=True)
            self._beating.start()
        return self

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        if self.count == 1:
            return
        with contextlib.suppress(jax.errors.JaxRuntimeError):  # the first process may be gone
            self._set(f"ended/{self.rank}", "failed" if error else "finished")
            if self.first:  # the others cannot end in order without it
                self._wait(_FAREWELL if error else float("inf"))
                self._see_off()
        self._ended.set()
        self._beating.join()

    def start_devices(self) -> None:
        """Starts JAX's devices, where every process waits for all others, also for those without seeds."""
        if self.count > 1:
            jax.local_devices()

    def opened(self) -> None:
        """Announces that the results folder is ready; called by the first process."""
        if self.count > 1:
            self._token = os.urandom(4).hex()
            self._set("token", self._token)

    def wait_until_opened(self) -> None:
        """Waits until the first process has the results folder ready.

        Raises:
            StoppedError: the first process has failed, and has printed why.
        """
        while not self._token:
            if self.stopped():
                raise StoppedError(self.stopped())
            self._token = self._get("token")
            time.sleep(0.0 if self._token else 0.1)

    def stopped(self) -> int:
        """SIGTERM once the first process has failed or was stopped, as none can work without it; else 0."""
        when, answer = self._heard
        if self.count > 1 and not self.first and not answer and time.monotonic() - when > 1.0:
            answer = signal.SIGTERM if self._get("ended/0") == "failed" else 0
            self._heard = time.monotonic(), answer
        return answer

    def wait_for_others(self, check: Callable[[], None]) -> list[int]:
        """Waits for every process to end; ranks of those that were stopped, failed or died.

        Called by the first process. ``check`` is called repeatedly, and may raise to end the wait.
        """
        return self._wait(float("inf"), check) if self.count > 1 else []

    def _wait(self, seconds: float, check: Callable[[], None] = lambda: None) -> list[int]:
        until = time.monotonic() + seconds
        left, lost = set(range(1, self.count)), []
        signs = dict.fromkeys(left, ("", time.monotonic()))
        while left and time.monotonic() < until:
            check()
            for rank in sorted(left):
                ended, sign = self._get(f"ended/{rank}"), self._get(f"alive/{rank}")
                if sign != signs[rank][0]:
                    signs[rank] = sign, time.monotonic()
                silent = time.monotonic() - signs[rank][1] > _EXPIRY
                if ended or silent:
                    left.remove(rank)
                    lost += [] if ended == "finished" else [rank]
            time.sleep(0.2 if left else 0.0)
        return lost

    def _see_off(self) -> None:
        """Waits until the others, which have ended, have disconnected from JAX's service."""
        everyone = list(range(self.count))
        leaving = threading.Thread(target=lambda: _jax_state().client.get_live_nodes(everyone), daemon=True)
        leaving.start()
        leaving.join(_LEAVE)

    def _beat(self) -> None:
        number = 0
        while not self._ended.wait(_BEAT):
            number += 1
            with contextlib.suppress(jax.errors.JaxRuntimeError):
                self._set(f"alive/{self.rank}", str(number))

    def _set(self, key: str, value: str) -> None:
        _jax_state().client.key_value_set(f"{_PREFIX}/{key}", value, allow_overwrite=True)

    def _get(self, key: str) -> str:
        """A value; empty where none is set."""
        folder, _, name = f"{_PREFIX}/{key}".rpartition("/")
        with contextlib.suppress(jax.errors.JaxRuntimeError):  # the first process may be gone
            return dict(_jax_state().client.key_value_dir_get(folder)).get(f"{folder}/{name}", "")
        return ""


def _jax_state() -> Any:
    """JAX's record of the processes and its connection to the first; Orbax reads the same."""
    from jax._src import distributed

    return distributed.global_state


def join(how: str, seconds: float = PATIENCE, say: Say = lambda line: None) -> Processes:
    """Joins the other processes of this program, if any. Call it before JAX starts its devices.

    Args:
        how: ``off``; ``auto`` to join those that Slurm, Open MPI, a Kubernetes job or a TPU pod has started,
            if it has started several; or ``HOST:PORT,RANK,COUNT``, where process 0 listens at HOST:PORT.
        seconds: to wait for all of them.
        say: prints a line on who is missing.

    Raises:
        ProcessError: the text is none of these, the address cannot be used, processes are missing, or JAX
            cannot tell them from each other.
    """
    if how == "off":
        return Processes()
    arguments = _expected(os.environ) if how == "auto" else _explicit(how)
    if arguments is None or arguments.get("num_processes") == 1:
        return Processes()
    try:
        if how != "auto":
            host, _, port = arguments["coordinator_address"].rpartition(":")
            rank, count = arguments["process_id"], arguments["num_processes"]
            meet(host.strip("[]"), int(port), rank, count, seconds, say)
        for name, value in (("jax_enable_preemption_service", False), ("jax_enable_recoverability", True)):
            # Signals are handled here, and a process that dies must not end the others.
            with contextlib.suppress(AttributeError):
                jax.config.update(name, value)
        with within(seconds, lambda: _give_up(how, seconds), say):
            jax.distributed.initialize(
                **arguments,
                initialization_timeout=int(10 * seconds) + 1,
                heartbeat_timeout_seconds=int(_EXPIRY),
            )
    except Exception as error:  # whatever goes wrong where JAX asks the cluster
        if how == "auto" and "coordinator_address should be defined" in str(error) and not arguments:
            return Processes()  # libtpu is installed, and this is no TPU pod
        raise _cannot(how, " ".join(str(error).split()) or type(error).__name__) from error
    state = _jax_state()  # jax.process_index() would start the devices
    return Processes(state.process_id, state.num_processes)


def _cannot(how: str, reason: str) -> ProcessError:
    return ProcessError(
        f"--distributed {how}: {reason}; name the processes with --distributed HOST:PORT,RANK,COUNT, or "
        "continue without the others: --distributed off"
    )


def _give_up(how: str, seconds: float) -> None:
    """Ends this process: JAX would wait much longer, and then end it with the stack of its C++ code."""
    reason = f"the other processes did not come within {duration(seconds)}"
    print(f"error: {_cannot(how, reason)}", file=sys.stderr, flush=True)
    os._exit(2)


def _expected(environment: Mapping[str, str]) -> dict[str, Any] | None:
    """Arguments for JAX where a launcher has started several processes; None where none has.

    JAX would take the tasks of a whole Slurm allocation for processes of this program, and wait for them.
    """
    steps = environment.get("SLURM_STEP_NUM_TASKS", environment.get("SLURM_NTASKS", "1"))
    if "SLURM_STEP_NODELIST" in environment and "SLURM_PROCID" in environment:
        return {"num_processes": int(steps)} if int(steps) > 1 else None
    ranks = environment.get("OMPI_COMM_WORLD_SIZE", "1")
    if int(ranks) > 1:
        return {"num_processes": int(ranks)}
    if "KUBERNETES_SERVICE_HOST" in environment and "JOB_COMPLETION_INDEX" in environment:
        return {"process_id": int(environment["JOB_COMPLETION_INDEX"])}
    return {} if importlib.util.find_spec("libtpu") else None


def _explicit(text: str) -> dict[str, Any]:
    """``HOST:PORT,RANK,COUNT`` as arguments of ``jax.distributed.initialize``."""
    address, *numbers = text.split(",")
    host, _, port = address.rpartition(":")
    whole = len(numbers) == 2 and all(number.isdigit() for number in (port, *numbers))
    if not host or not whole or not int(numbers[0]) < int(numbers[1]):
        raise ProcessError(f"--distributed {text}: write auto, off, or HOST:PORT,RANK,COUNT with RANK from 0")
    rank, count = map(int, numbers)
    return {
        "coordinator_address": address,
        "num_processes": count,
        "process_id": rank,
        "cluster_detection_method": "deactivate",
    }
