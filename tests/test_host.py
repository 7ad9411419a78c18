"""What of the host's memory and cores is a process' own?"""

import os
import resource

import pytest

from jaxemerge import host

PHYSICAL = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


@pytest.fixture(autouse=True)
def alone(tmp_path, monkeypatch):
    """A host without control groups, limits and Slurm, with 64 GB and twelve cores."""
    monkeypatch.setattr(host, "_MEMBERSHIP", tmp_path / "membership")
    monkeypatch.setattr(host, "_GROUPS", tmp_path / "groups")
    monkeypatch.setattr(host, "_physical_memory", lambda: 64 * 10**9)
    monkeypatch.setattr(host.os, "sched_getaffinity", lambda pid: set(range(12)), raising=False)
    monkeypatch.setattr(
        host.resource, "getrlimit", lambda kind: (resource.RLIM_INFINITY, resource.RLIM_INFINITY)
    )
    for name in [name for name in os.environ if name.startswith("SLURM_")]:
        monkeypatch.delenv(name)


def member(tmp_path, *lines, **files):
    """Puts the process into control groups with these files; ``__`` stands for a slash."""
    (tmp_path / "membership").write_text("".join(f"{line}\n" for line in lines))
    for name, text in files.items():
        path = tmp_path / "groups" / name.replace("__", "/")
        path = path.with_name(path.name.replace("memory_", "memory.", 1).replace("cpu_", "cpu.", 1))
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text + "\n")


def test_without_limits_it_is_the_host(monkeypatch):
    assert (host.memory(), host.cores()) == (64 * 10**9, 12)
    monkeypatch.undo()
    assert 10**8 < host.memory() <= PHYSICAL
    assert 1 <= host.cores() <= os.cpu_count()


@pytest.mark.parametrize(
    ("lines", "files", "memory", "cores"),
    [
        # version 2, in a container: the group is the root
        (["0::/"], {"memory_max": "1200000000", "cpu_max": "200000 100000"}, 1_200_000_000, 2),
        (["0::/"], {"memory_max": "max", "cpu_max": "max 100000"}, 64 * 10**9, 12),
        # a group above is tighter, a sibling does not count
        (
            ["0::/slurm/job_7/step_0"],
            {
                "slurm__job_7__memory_max": "3000000000",
                "slurm__job_7__step_0__memory_max": "max",
                "slurm__job_8__memory_max": "1000",
                "slurm__job_7__step_0__cpu_max": "150000 100000",
            },
            3_000_000_000,
            2,
        ),
        # version 1, with Docker's joint folder for two controllers
        (
            ["4:memory:/docker/0a", "3:cpu,cpuacct:/docker/0a", "0::/"],
            {
                "memory__docker__0a__memory_limit_in_bytes": "2000000000",
                "cpu,cpuacct__docker__0a__cpu_cfs_quota_us": "250000",
                "cpu,cpuacct__docker__0a__cpu_cfs_period_us": "100000",
            },
            2_000_000_000,
            3,
        ),
        # version 1 where the host's path is not to be seen, and what stands for no limit
        (
            ["4:memory:/docker/0a", "1:cpu:/"],
            {
                "memory__memory_limit_in_bytes": "1500000000",
                "cpu__cpu_cfs_quota_us": "-1",
                "cpu__cpu_cfs_period_us": "100000",
            },
            1_500_000_000,
            12,
        ),
        (["4:memory:/"], {"memory__memory_limit_in_bytes": "9223372036854771712"}, 64 * 10**9, 12),
        (["1:cpu:/"], {"cpu__cpu_max": "5000 100000"}, 64 * 10**9, 1),
        (["0::/"], {"memory_max": "", "cpu_max": "garbage"}, 64 * 10**9, 12),
    ],
)
def test_control_groups(tmp_path, lines, files, memory, cores):
    member(tmp_path, *lines, **files)
    assert (host.memory(), host.cores()) == (memory, cores)


def test_resource_limits(monkeypatch):
    limits = {resource.RLIMIT_AS: 5 * 10**9, resource.RLIMIT_DATA: 4 * 10**9}
    monkeypatch.setattr(host.resource, "getrlimit", lambda kind: (limits[kind], resource.RLIM_INFINITY))
    assert host.memory() == 4 * 10**9


@pytest.mark.parametrize(
    ("environment", "memory", "cores"),
    [
        ({"SLURM_MEM_PER_NODE": "2000", "SLURM_CPUS_PER_TASK": "3"}, 2000 * 2**20, 3),
        ({"SLURM_MEM_PER_CPU": "500", "SLURM_CPUS_ON_NODE": "4"}, 2000 * 2**20, 12),
        ({"SLURM_MEM_PER_NODE": "0", "SLURM_CPUS_PER_TASK": "64"}, 64 * 10**9, 12),
        ({"SLURM_MEM_PER_CPU": "500"}, 64 * 10**9, 12),
    ],
)
def test_slurm(monkeypatch, environment, memory, cores):
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert (host.memory(), host.cores()) == (64 * 10**9, 12)  # left over from a job, in a shell
    monkeypatch.setenv("SLURM_JOB_ID", "7")
    assert (host.memory(), host.cores()) == (memory, cores)


@pytest.mark.parametrize(("before", "hard", "after"), [(100, 300, 300), (300, 300, 300), (250, 300, 280)])
def test_open_files(monkeypatch, before, hard, after):
    limits = [(before, hard)]
    monkeypatch.setattr(resource, "getrlimit", lambda kind: limits[-1])
    monkeypatch.setattr(resource, "setrlimit", lambda kind, pair: limits.append(pair))
    host.allow_open_files(most=after if after < hard else 65_536)
    assert limits[-1] == (after, hard)


def test_a_limit_on_open_files_that_cannot_be_raised_stays(monkeypatch):
    def rejected(kind, pair):
        raise ValueError("not allowed to raise maximum limit")

    monkeypatch.setattr(resource, "getrlimit", lambda kind: (100, resource.RLIM_INFINITY))
    monkeypatch.setattr(resource, "setrlimit", rejected)
    host.allow_open_files()
