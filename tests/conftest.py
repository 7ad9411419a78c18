"""Two CPU devices, quick compilation, no silent broadcasting, caches apart, long files first."""

import atexit
import collections
import contextlib
import importlib.metadata
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator

import pytest

# Each worker keeps what it caches to itself, out of the user's cache: plans that were timed, for example.
# Compiled programs are shared by the run: by its workers and by the programs that tests start.
_FOLDER = tempfile.mkdtemp(prefix="jaxemerge-tests-")
atexit.register(shutil.rmtree, _FOLDER, ignore_errors=True)
os.environ["XDG_CACHE_HOME"] = _FOLDER
os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", os.path.join(_FOLDER, "programs"))
os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0"  # to read any costs less than to compile it

# Compilation takes most of the tests' time. XLA passes over operations as in every run, but LLVM does not
# optimize, and XLA's older emitter writes the fusions: that takes a sixth of the time. Numbers differ by
# rounding. Tests of bits across programs, and of what the compiler makes, use full_optimization. Programs
# that tests start inherit the flags.
_QUICK = {"xla_backend_optimization_level": "0", "xla_llvm_disable_expensive_passes": "True"}
_FULL = {"xla_backend_optimization_level": "3", "xla_llvm_disable_expensive_passes": "False"}
if importlib.metadata.version("jaxlib").startswith("0.10."):  # later ones end the program: no such flag
    _QUICK["xla_cpu_use_fusion_emitters"] = "False"
    _FULL["xla_cpu_use_fusion_emitters"] = "True"
_FLAGS = " ".join(f"--{name}={value}" for name, value in _QUICK.items())
_GIVEN = os.environ.get("XLA_FLAGS", "").removeprefix(_FLAGS).strip()  # workers inherit them
os.environ["XLA_FLAGS"] = f"{_FLAGS} {_GIVEN}".strip()

import jax  # noqa: E402 - reads the environment when it is imported

from jaxemerge import devices, use_host_cores  # noqa: E402
from jaxemerge.stats.laws import minimise  # noqa: E402

use_host_cores(2)  # before anything starts JAX
jax.devices()  # and at once: training asks for as many devices as there are cores, which may be one
jax.config.update("jax_numpy_rank_promotion", "raise")
minimise._CPU_GUARD.update(_FULL)  # fits search to the last digits, and end elsewhere without optimization


@contextlib.contextmanager
def _optimized() -> Iterator[None]:
    """Within it, programs are compiled as they are for users."""
    plain = devices.compiler_options

    def full() -> dict[str, str]:
        options = {**plain(), **_FULL}
        return {name: value for name, value in options.items() if devices.on_cpu() or "xla_cpu" not in name}

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(devices, "compiler_options", full)
        patch.setenv("XLA_FLAGS", _GIVEN)  # of programs that tests start
        _forget_programs()
        yield
    _forget_programs()


@pytest.fixture(scope="module")
def full_optimization() -> Iterator[None]:
    """For a module whose tests are all about bits or what the compiler makes."""
    with _optimized():
        yield


@pytest.fixture
def full_optimization_once() -> Iterator[None]:
    """For one test of a module."""
    with _optimized():
        yield


def _forget_programs() -> None:
    """Of the library and of the tests' modules, which keep programs with their options."""
    for module in list(sys.modules.values()):
        if module.__name__.partition(".")[0] in ("jaxemerge", "tests", "small_cell", "cells"):
            for kept in [each for each in vars(module).values() if hasattr(each, "cache_clear")]:
                kept.cache_clear()


# The files that take longest, in this order. A worker takes whole files, so that fixtures are made once: the
# last ones to be taken must be short.
LONGEST = (
    "cli/test_slurm.py",
    "experiments/test_studies.py",
    "cli/test_interruptions.py",
    "test_readme.py",
    "cli/test_distributed.py",
    "training/test_seeds.py",
    "tasks/test_learning.py",
    "test_report.py",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Starts with the longest files, then those with the most slow tests."""
    slow = collections.Counter(item.path for item in items if item.get_closest_marker("slow"))

    def place(item: pytest.Item) -> tuple[int, int]:
        named = (i for i, name in enumerate(LONGEST) if item.path.as_posix().endswith(f"tests/{name}"))
        return next(named, len(LONGEST)), -slow[item.path]

    items.sort(key=place)
