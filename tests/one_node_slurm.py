"""A Slurm of one node and two cores, for tests: all its files in one folder, away from a cluster's own.

Needs root and Debian's slurm-wlm. `with Cluster(...)` starts the daemons and stops them; its `environment` is
that of sbatch and srun.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Self

DAEMONS = ("munged", "slurmctld", "slurmd")
# Jobs are queued again a credential's life after they ended, two minutes unless told otherwise.
SETTINGS = """
ClusterName=one
SlurmctldHost={host}(127.0.0.1)
SlurmUser=root
SlurmctldPort={controller}
SlurmdPort={node}
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket,cred_expire=5
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SlurmdParameters=config_overrides
SchedulerParameters=sched_interval=2,bf_interval=2,batch_sched_delay=0
ReturnToService=2
JobRequeue=1
KillWait=10
SlurmdTimeout=5
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
NodeName={host} NodeAddr=127.0.0.1 CPUs=2 RealMemory=1000 State=UNKNOWN
PartitionName=cpu Nodes={host} Default=YES MaxTime=INFINITE State=UP PriorityTier=1 GraceTime=10
PartitionName=urgent Nodes={host} MaxTime=INFINITE State=UP PriorityTier=2 PreemptMode=OFF
"""


# The kernel ends a daemon with the process that started it, however that ends.
_ENDS_WITH_PARENT = ("setpriv", "--pdeathsig", "KILL") if shutil.which("setpriv") else ()
_PATH = f"{os.environ.get('PATH', os.defpath)}:/usr/sbin"  # where Debian puts daemons


def missing() -> str:
    """Why no Slurm can be started here; empty if one can."""
    if os.geteuid() != 0:
        return "a Slurm node needs root"
    absent = [name for name in (*DAEMONS, "sbatch") if not shutil.which(name, path=_PATH)]
    return f"not installed: {', '.join(absent)} (Debian's slurm-wlm)" if absent else ""


class Cluster:
    """One node, two cores, a partition ``cpu`` and one that preempts it, ``urgent``."""

    def __init__(self, folder: Path, variables: Mapping[str, str]) -> None:
        """Starts the daemons.

        Args:
            folder: for all files of the cluster; empty.
            variables: of the environment of jobs, besides this process'.
        """
        self.folder = folder
        for name in ("state", "spool"):
            (folder / name).mkdir()
        ports = {name: _free_port() for name in ("controller", "node")}
        settings = SETTINGS.format(host=socket.gethostname().partition(".")[0], folder=folder, **ports)
        (folder / "slurm.conf").write_text(settings)
        key = folder / "munge.key"
        key.write_bytes(os.urandom(1024))
        key.chmod(0o400)
        folder.chmod(0o755)
        self.environment = {
            **os.environ,
            **variables,
            "PATH": _PATH,
            "SLURM_CONF": str(folder / "slurm.conf"),
        }
        self._started: dict[str, subprocess.Popen[bytes]] = {}
        self._former = signal.signal(signal.SIGTERM, signal.default_int_handler)  # tests end as by Ctrl-C
        try:
            self._start(
                "munged",
                *("--foreground", "--force", f"--key-file={key}", f"--socket={folder}/munge.socket"),
                *(f"--pid-file={folder}/munged.pid", f"--log-file={folder}/munged.log"),
                f"--seed-file={folder}/munge.seed",
            )
            _until(lambda: (folder / "munge.socket").exists(), 30, "munged")
            self._start("slurmctld", "-D")
            self.start_node()
        except BaseException:
            self.end()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.end()

    def start_node(self) -> None:
        """Starts slurmd, and waits until its node takes jobs."""
        self._start("slurmd", "-D")
        _until(lambda: self.asked("sinfo", "-h", "-p", "cpu", "-o", "%T") in ("idle", "mixed"), 60, "slurmd")

    def lose_node(self) -> None:
        """Kills slurmd and all jobs, as a crash of the machine does."""
        self._started["slurmd"].kill()
        self._started["slurmd"].wait()
        self._kill_jobs()

    def asked(self, *words: str) -> str:
        """What one of Slurm's commands prints; empty where it fails."""
        done = subprocess.run(words, env=self.environment, capture_output=True, text=True, timeout=60)
        return done.stdout.strip() if done.returncode == 0 else ""

    def end(self) -> None:
        """Stops all jobs and daemons."""
        self._kill_jobs()
        for daemon in self._started.values():
            daemon.kill()  # asked to end, slurmctld takes ten seconds
            daemon.wait()
        signal.signal(signal.SIGTERM, self._former)

    def _start(self, name: str, *words: str) -> None:
        quiet = subprocess.DEVNULL
        self._started[name] = subprocess.Popen(
            [*_ENDS_WITH_PARENT, shutil.which(name, path=_PATH) or name, *words],
            env=self.environment,
            stdin=quiet,
            stdout=quiet,
            stderr=quiet,
        )

    def _kill_jobs(self) -> None:
        """Kills every process with this cluster in its environment, other than the daemons."""
        mark = f"SLURM_CONF={self.folder}/slurm.conf".encode()
        daemons = {daemon.pid for daemon in self._started.values()}
        for path in Path("/proc").glob("[0-9]*/environ"):
            number = int(path.parent.name)
            with contextlib.suppress(OSError):  # it has ended
                if number not in daemons and mark in path.read_bytes().split(b"\0"):
                    os.kill(number, signal.SIGKILL)


def _free_port() -> int:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        return int(bound.getsockname()[1])


def _until(true: Callable[[], bool], seconds: float, what: str) -> None:
    end = time.monotonic() + seconds
    while not true():
        if time.monotonic() > end:
            raise TimeoutError(f"{what} has not come up in {seconds:.0f} s")
        time.sleep(0.2)
