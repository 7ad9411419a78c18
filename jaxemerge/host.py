"""How much memory, how many cores and how many open files of its host may this process use?"""

from __future__ import annotations

import contextlib
import os
import resource
from collections.abc import Iterator
from pathlib import Path

_MEMBERSHIP = Path("/proc/self/cgroup")  # the process' control groups
_GROUPS = Path("/sys/fs/cgroup")  # their limits


def memory() -> int:
    """Bytes this process may use.

    The least of the host's physical memory, the limits of its control groups (containers, schedulers;
    version 1 and 2), its resource limits, and what Slurm has allocated.
    """
    return min([_physical_memory(), *_group_memory(), *_resource_limits(), *_slurm_memory()])


def cores() -> int:
    """Cores this process may use, at least 1.

    The least of those that it may be scheduled on, its control groups' quota of processor time, rounded up,
    and what Slurm has allocated to a task.
    """
    affine = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min([affine, *_group_cores(), *_numbers_of_slurm("SLURM_CPUS_PER_TASK")]))


def allow_open_files(most: int = 65_536) -> None:
    """Raises the limit on open files as far as this process may: each cell of a group has a lock file."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = most if hard == resource.RLIM_INFINITY else min(most, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with contextlib.suppress(ValueError, OSError):  # a system with a lower limit of its own
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def _physical_memory() -> int:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def _group_memory() -> Iterator[int]:
    for folder in _groups("memory"):
        for name in ("memory.max", "memory.limit_in_bytes"):
            yield from _numbers(folder / name)[:1]


def _group_cores() -> Iterator[int]:
    for folder in _groups("cpu"):
        quota = _numbers(folder / "cpu.max")  # "150000 100000"; "max 100000" is no quota
        if not quota:
            quota = _numbers(folder / "cpu.cfs_quota_us") + _numbers(folder / "cpu.cfs_period_us")
        if len(quota) == 2 and min(quota) > 0:  # -1 is no quota
            yield -(-quota[0] // quota[1])


def _resource_limits() -> Iterator[int]:
    for kind in (resource.RLIMIT_AS, resource.RLIMIT_DATA):
        limit, _ = resource.getrlimit(kind)
        if limit != resource.RLIM_INFINITY:
            yield limit


def _slurm_memory() -> Iterator[int]:
    for megabytes in _numbers_of_slurm("SLURM_MEM_PER_NODE"):
        yield megabytes * 2**20
    for megabytes in _numbers_of_slurm("SLURM_MEM_PER_CPU"):
        for cpus in _numbers_of_slurm("SLURM_CPUS_ON_NODE"):
            yield megabytes * cpus * 2**20


def _numbers_of_slurm(name: str) -> list[int]:
    """The number in a variable of a Slurm job, in a list; empty if unset, no number, or 0 (no limit)."""
    text = os.environ.get(name, "") if "SLURM_JOB_ID" in os.environ else ""
    return [int(text)] if text.isdecimal() and int(text) > 0 else []


def _groups(controller: str) -> Iterator[Path]:
    """Folders of the control groups of a controller: the process' own and all above it.

    A container may be given the path on the host, which does not exist there: its own group is the root.
    """
    for line in _lines(_MEMBERSHIP):
        _, controllers, path = line.split(":", 2)
        if not controllers:  # version 2
            roots = [_GROUPS, _GROUPS / "unified"]
        elif controller in controllers.split(","):
            roots = [_GROUPS / name for name in dict.fromkeys((controller, controllers))]
        else:
            continue
        for root in roots:
            folder = root / path.strip("/")
            yield from (folder, *(above for above in folder.parents if above.is_relative_to(root)))


def _numbers(path: Path) -> list[int]:
    """The whole numbers in the first line of a file; none where it holds something else, or is not there."""
    words = next(iter(_lines(path)), "").split()
    try:
        return [int(word) for word in words]
    except ValueError:
        return []


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text().splitlines()
    except OSError:
        return []
