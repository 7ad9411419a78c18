"""Is the compiled program as claimed: no talk between devices, the same bits twice, one size for all?"""

from __future__ import annotations

import collections
import functools
import hashlib
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest

from jaxemerge.devices import Layout, over_seeds
from small_cell import SIXTEEN, built, of, same

# What is compiled is to be what users run.
pytestmark = pytest.mark.usefixtures("full_optimization")

FOLDER = Path(__file__).parents[2]
STEPS = 7
COLLECTIVE = re.compile(r"all-|collective|reduce-scatter|ragged|send|recv|partition-id|replica-id|permute")
OPERATION = re.compile(r"^\s*(?:ROOT )?%?[\w.\-]+ = .*?[\]})] ([a-z][a-z\-]*)\(", re.MULTILINE)


def operations(text: str) -> collections.Counter[str]:
    """How often each operation stands in a compiled program."""
    return collections.Counter(OPERATION.findall(text))


def collectives(text: str) -> set[str]:
    """Those operations that need other devices, or know which one they run on."""
    return {name for name in operations(text) if COLLECTIVE.search(name)}


@functools.cache
def compiled_programs(seeds: int) -> tuple[Any, Any, Any]:
    """Members on two devices, and the programs init and advance compiled for them."""
    one = built(2, 1)
    who = one.place(of((SIXTEEN * 4)[:seeds]))
    init = one.init.lower(who).compile()
    return who, init, one.advance.lower(init(who), who, 0, STEPS, 0).compile()


@pytest.mark.parametrize("which", ["init", "advance"])
def test_devices_do_not_talk_to_each_other(which: str) -> None:
    _, init, advance = compiled_programs(4)
    text = (init if which == "init" else advance).as_text()
    assert "num_partitions=2" in text
    assert sum(operations(text).values()) > 100
    assert collectives(text) == set()


@pytest.mark.parametrize(
    ("planted", "found"),
    [
        (lambda x: jax.lax.psum(x, "seed"), "all-reduce"),
        (lambda x: jax.lax.pmax(x.sum(), "seed"), "all-reduce"),
        (lambda x: jax.lax.all_gather(x, "seed"), "all-gather"),
        (lambda x: jax.lax.ppermute(x, "seed", [(0, 1), (1, 0)]), "collective-permute"),
        (lambda x: jax.lax.all_to_all(x, "seed", 0, 0), "all-to-all"),
        (lambda x: jax.lax.psum_scatter(x, "seed", tiled=True), "reduce-scatter"),
        (lambda x: x * jax.lax.axis_index("seed"), "partition-id"),
    ],
)
def test_planted_talk_is_found(planted: Any, found: str) -> None:
    spread = over_seeds(planted, Layout(tuple(jax.devices()[:2])))
    text = spread.lower(np.ones((4, 2), np.float32)).compile().as_text()
    assert {name.removesuffix("-start").removesuffix("-done") for name in collectives(text)} == {found}


@pytest.mark.slow
def test_program_does_not_grow_with_the_seeds() -> None:
    """Seeds of a device follow each other in a loop: more of them change shapes and nothing else."""
    few, many = (compiled_programs(seeds) for seeds in (4, 64))
    for i in (1, 2):
        assert operations(few[i].as_text()) == operations(many[i].as_text())
    assert "32,20,60]" in many[2].as_text()  # the weights of 32 seeds on each device
    assert "32,20,60]" not in few[2].as_text()


def test_size_of_a_program_that_grows_is_noticed() -> None:
    def unrolled(x: Any) -> Any:
        return jax.numpy.stack([jax.numpy.sort(row) for row in x])

    few, many = (operations(jax.jit(unrolled).lower(np.ones((n, 5))).compile().as_text()) for n in (2, 9))
    assert few["sort"] == 2
    assert many["sort"] == 9


def trained(seeds: int = 4) -> list[np.ndarray]:
    """All numbers after some steps: weights, moments, losses, gradient norms."""
    who, init, advance = compiled_programs(seeds)
    return jax.tree.leaves(jax.tree.map(np.asarray, advance(init(who), who, 0, STEPS, 0)))


def digest(leaves: list[np.ndarray]) -> str:
    """SHA-256 of all bits."""
    return hashlib.sha256(b"".join(leaf.tobytes() for leaf in leaves)).hexdigest()


def test_the_same_plan_gives_the_same_bits_twice() -> None:
    first, second = trained(), trained()
    assert same(first, second)
    assert digest(first) == digest(second)
    changed = [first[0].copy(), *first[1:]]
    changed[0].view(np.uint8).flat[0] ^= 1  # a single bit
    assert not same(first, changed)
    assert digest(first) != digest(changed)


def says(code: str, *folders: str) -> str:
    """What a new process, which compiles everything for itself, prints last."""
    path = os.pathsep.join(str(FOLDER / folder) for folder in folders)
    environment = {name: value for name, value in os.environ.items() if name != "XLA_FLAGS"}
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**environment, "PYTHONPATH": path, "JAX_ENABLE_COMPILATION_CACHE": "false"},
        capture_output=True,
        text=True,
        check=True,
        timeout=200,
    )
    return done.stdout.splitlines()[-1]


@pytest.mark.slow
def test_two_processes_compute_the_same_bits() -> None:
    """Each compiles for itself; this one is the second."""
    code = (
        "import jaxemerge; jaxemerge.use_host_cores(2)\n"
        "import test_program; print(test_program.digest(test_program.trained()))"
    )
    assert says(code, "", "tests", "tests/training") == digest(trained())


@pytest.mark.slow
@pytest.mark.parametrize("devices", [1, 3])
def test_the_command_line_uses_as_many_devices_as_it_is_told(devices: int, tmp_path: Path) -> None:
    """``run.py --cpu-devices N``: N devices start, and the plan shares the seeds out over N."""
    arguments = [
        "--plan",
        "--flops-per-second",
        "1e9",
        "--cpu-devices",
        str(devices),
        "--seeds",
        "48",
        "--no-cache",
    ]
    code = (
        "import jax, run\nfrom jaxemerge.cli import plan\nkept = []\nshown = plan.estimates\n"
        "plan.estimates = lambda cells, todo, rate: kept.extend(todo) or shown(cells, todo, rate)\n"
        f"code = run.main({[*arguments, '--out', str(tmp_path / 'x')]!r})\n"
        "plans = {(len(job.plan.layout.devices), job.plan.chunk) for job in kept}\n"
        "print(code, jax.local_device_count(), plans)"
    )
    assert says(code, "", "experiments") == f"0 {devices} {{({devices}, {8 * devices})}}"
