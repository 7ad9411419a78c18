"""Is the training program compiled for a chip that is not here, and does it keep to its bounds there?

What is compiled for an H100 needs XLA's compiler for NVIDIA GPUs, but no GPU; `.ci/run` installs it.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from dataclasses import replace
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import pytest

import cells
from jaxemerge.devices import DeviceError, Layout
from jaxemerge.training import compiled, program
from jaxemerge.training.chips import CHIPS, chip_named
from jaxemerge.training.compiled import CompilerMissingError, compiled_training, described
from jaxemerge.training.hlo import parse
from jaxemerge.training.roofline import compiled_prediction
from jaxemerge.training.traffic import collectives, kernels, step_kernels
from small_cell import CELL, of

# What is compiled is to be what users run.
pytestmark = pytest.mark.usefixtures("full_optimization")

# GB that a step of a seed may move, by cell of the count study in bfloat16; 0.70 seen.
MOST_GB = {"4x64": 0.8}


@functools.cache
def compiler() -> str:
    """Why there is no compiler for GPUs here; empty if there is one."""
    try:
        described(chip_named("h100"))
    except CompilerMissingError as error:
        return str(error)
    return ""


def needs_compiler() -> None:
    if compiler():
        pytest.skip(compiler())


@pytest.fixture
def no_places() -> Iterator[None]:
    """Programs without tables of the lines of Python, which name whoever asked for the program, too."""
    before = jax.config.jax_traceback_in_locations_limit  # type: ignore[attr-defined]
    jax.clear_caches()  # or a program that was lowered before would have its tables
    jax.config.update("jax_traceback_in_locations_limit", 0)
    yield
    jax.config.update("jax_traceback_in_locations_limit", before)


@pytest.mark.usefixtures("no_places")
def test_memory_is_that_of_the_program_that_trains() -> None:
    """The same program, run here: its state has the size that was read, and the text is its own."""
    layout = Layout(tuple(jax.devices()[:2]), 3)
    done = compiled_training(CELL, layout, 6)
    built = program(CELL, layout)
    who = built.place(of(range(6)))
    lowered = built.advance.lower(built.init(who), who, 0, 1, 0)  # type: ignore[attr-defined]
    assert lowered.compile().as_text() == done.text
    leaves = jax.tree.leaves((built.init(who), who))
    each = sum(leaf.nbytes for leaf in leaves) / 2 + 3 * 4  # per device, and three numbers of steps
    assert done.state == pytest.approx(each, rel=0.02)
    assert 0 < done.temporary < 100 * done.state


def test_a_missing_compiler_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(*_: object, **__: object) -> None:
        raise NotImplementedError("topology not implemented for cuda\nmore")

    monkeypatch.setattr(compiled.topologies, "get_topology_desc", missing)
    compiled._described.cache_clear()
    for name, wheel in (("h100", "jax-cuda13-plugin=="), ("tpu-v5e", r"jax\[tpu\]==")):
        with pytest.raises(DeviceError, match=rf"pip install .*{wheel}") as raised:
            described(chip_named(name))
        assert "topology not implemented for cuda)" in str(raised.value)
        assert "\n" not in str(raised.value)
    compiled._described.cache_clear()


def test_missing_cudnn_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def without_cudnn(*_: object) -> None:
        raise RuntimeError("cuDNN not found.")

    built = SimpleNamespace(advance=SimpleNamespace(trace=without_cudnn))
    monkeypatch.setattr(compiled, "program", lambda *_: built)
    monkeypatch.setattr(compiled, "_arguments", lambda *_: (None, None, ()))
    monkeypatch.setattr(compiled, "_platform", lambda _: "gpu")
    with pytest.raises(CompilerMissingError, match=r"\(cuDNN not found\.\); .*nvidia-cudnn-cu13"):
        compiled_training(CELL, Layout(tuple(jax.devices("cpu")[:1])), 1)


@pytest.mark.slow
@pytest.mark.parametrize("name", MOST_GB)
def test_a_step_on_an_h100_moves_no_more_than_it_should(name: str) -> None:
    needs_compiler()
    found, text = compiled_prediction(cells.named(name, "bfloat16"), chip_named("h100"), 8)
    assert 0.1 < found.bytes / 1e9 <= MOST_GB[name]
    assert found.collectives == 0
    assert found.kernels == len(step_kernels(parse(text))) > 20
    # Weights and two moments in float32, and little else, stay between steps.
    assert found.state == pytest.approx(12 * 220_000, rel=0.1)


@pytest.mark.slow
def test_seeds_on_several_gpus_do_not_talk_to_each_other() -> None:
    needs_compiler()
    cell = replace(CELL, model=replace(CELL.model, width=24, heads=3))
    done = compiled_training(cell, Layout(described(chip_named("h100"), 2), 3), 6)
    assert "num_partitions=2" in done.text
    assert collectives(parse(done.text)) == []


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name, chip in CHIPS.items() if chip.platform == "gpu"])
def test_xla_understands_the_description_of_each_gpu(name: str) -> None:
    needs_compiler()
    chip = chip_named(name)
    [device] = described(chip)
    assert (device.platform, device.device_kind) == ("gpu", chip.label)
    matrix = jax.ShapeDtypeStruct((96, 96), jnp.bfloat16, sharding=jax.sharding.SingleDeviceSharding(device))
    program = jax.jit(jnp.dot).trace(matrix, matrix).lower(lowering_platforms=("cuda",)).compile()
    module = parse(program.as_text())
    moved = sum(kernel.bytes for kernel in kernels(module, module.entry))
    assert moved >= 3 * 96 * 96 * 2
