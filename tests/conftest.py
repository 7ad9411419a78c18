"""Two CPU devices for every test, no silent broadcasting between ranks, caches apart, long files first."""

import atexit
import collections
import os
import shutil
import tempfile

import pytest

# Each worker keeps what it caches to itself, out of the user's cache: plans that were timed, for example.
# Compiled programs are shared by the run: by its workers and by the programs that tests start.
_FOLDER = tempfile.mkdtemp(prefix="jaxemerge-tests-")
atexit.register(shutil.rmtree, _FOLDER, ignore_errors=True)
os.environ["XDG_CACHE_HOME"] = _FOLDER
os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", os.path.join(_FOLDER, "programs"))
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0.2")

import jax  # noqa: E402 - reads the environment when it is imported

from jaxemerge import use_host_cores  # noqa: E402

use_host_cores(2)  # before anything starts JAX
jax.devices()  # and at once: training asks for as many devices as there are cores, which may be one
jax.config.update("jax_numpy_rank_promotion", "raise")

# The files that take longest, in this order. A worker takes whole files, so that fixtures are made once: the
# last ones to be taken must be short.
LONGEST = (
    "experiments/test_studies.py",
    "cli/test_interruptions.py",
    "cli/test_slurm.py",
    "cli/test_launching.py",
    "cli/test_distributed.py",
    "cli/test_program.py",
    "test_readme.py",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Starts with the longest files, then those with the most slow tests."""
    slow = collections.Counter(item.path for item in items if item.get_closest_marker("slow"))

    def place(item: pytest.Item) -> tuple[int, int]:
        named = (i for i, name in enumerate(LONGEST) if item.path.as_posix().endswith(f"tests/{name}"))
        return next(named, len(LONGEST)), -slow[item.path]

    items.sort(key=place)
