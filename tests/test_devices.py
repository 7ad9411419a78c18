"""Are wrong numbers refused, and are seeds spread as asked?"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxemerge import devices
from jaxemerge.devices import (
    DeviceError,
    Layout,
    compiler_options,
    over_seeds,
    self_test,
    use_host_cores,
)


def first(n: int) -> tuple[Any, ...]:
    return tuple(jax.devices()[:n])


def test_numbers_are_right() -> None:
    self_test()
    self_test(compiler_options())


@pytest.mark.skipif(
    jax.lib.__version__ != "0.10.2" or jax.default_backend() != "cpu",
    reason="the fault is that of jaxlib 0.10.2 on CPU",
)
def test_known_fault_is_found_and_named() -> None:
    assert compiler_options()["xla_cpu_experimental_ynn_fusion_type"] == ""
    with pytest.raises(
        DeviceError, match=r"jaxlib 0\.10\.2\) returns 10[67]\d+ where 1073741824 is right.*39103"
    ):
        self_test({})


def test_64_bits_are_refused_at_the_start() -> None:
    jax.config.update("jax_enable_x64", True)
    try:
        for begin in (self_test, devices.start):
            with pytest.raises(DeviceError, match=r"jax_enable_x64 is on: .* unset JAX"):
                begin()
    finally:
        jax.config.update("jax_enable_x64", False)
    assert devices.start() == ""


@pytest.mark.parametrize("wrong", [1071645696.0, float("nan")])
def test_wrong_numbers_are_refused(wrong: float, monkeypatch: pytest.MonkeyPatch) -> None:
    compiler_options()  # asks the real jit once
    monkeypatch.setattr(devices.jax, "jit", lambda f, **options: lambda rows: np.full(len(rows), wrong))
    with pytest.raises(DeviceError, match=r"returns (nan|1071645696) where 1073741824 is right"):
        self_test()


# What makes a GPU add up gradients in a fixed order; XLA takes it in this spelling only.
IN_ORDER = {"xla_gpu_exclude_nondeterministic_ops": "True"}


def test_options_of_other_backends(monkeypatch: pytest.MonkeyPatch) -> None:
    fresh = devices._cpu_options.__wrapped__
    with monkeypatch.context() as patch:
        patch.setattr(devices.jax, "default_backend", lambda: "gpu")
        assert compiler_options() == IN_ORDER
    with devices.compiling_for("gpu"):
        assert compiler_options() == IN_ORDER
        assert not devices.on_cpu()
        assert devices.ahead_of_time()
    assert devices.on_cpu()
    assert not devices.ahead_of_time()
    with devices.compiling_for("tpu"):
        assert compiler_options() == {}

    def unknown(*arguments: Any, **options: Any) -> Any:
        raise jax.errors.JaxRuntimeError("No such compile option")

    with monkeypatch.context() as patch:
        patch.setattr(devices.jax, "jit", unknown)
        assert fresh() == {}
    assert fresh() == compiler_options()


@pytest.mark.skipif(jax.default_backend() != "cpu", reason="options of host cores")
def test_wide_vectors_where_the_cores_have_them(monkeypatch: pytest.MonkeyPatch) -> None:
    """An option that one jaxlib does not know does not take the other with it."""
    jit, wide, guard = jax.jit, "xla_cpu_prefer_vector_width", "xla_cpu_experimental_ynn_fusion_type"
    fresh = devices._cpu_options.__wrapped__
    for flags, expected in (("flags : avx512f avx512_vbmi2", "512"), ("flags : avx2 avx512f", None)):
        monkeypatch.setattr(Path, "read_text", lambda self, flags=flags: flags)
        assert fresh().get(wide) == expected

    def old(function: Any, compiler_options: dict[str, str]) -> Any:
        if guard in compiler_options:
            raise jax.errors.JaxRuntimeError("No such compile option")
        return jit(function, compiler_options=compiler_options)

    monkeypatch.setattr(Path, "read_text", lambda self: "avx512_vbmi2")
    monkeypatch.setattr(devices.jax, "jit", old)
    assert fresh() == {wide: "512"}

    def no_such_file(self: Path) -> str:
        raise OSError

    monkeypatch.setattr(Path, "read_text", no_such_file)
    assert fresh() == {}


@pytest.mark.skipif(jax.default_backend() != "cpu", reason="options of host cores")
def test_small_operations_one_after_the_other(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only programs that ask for it get the option, on host cores and where the compiler knows it."""
    option = {"xla_cpu_enable_concurrency_optimized_scheduler": "False"}
    fresh, jit, seen = devices._cpu_in_order.__wrapped__, jax.jit, list[Any]()
    assert fresh() == option
    assert devices.compiled(lambda x: x + 1, in_order=True)(2) == 3

    def noting(function: Any, compiler_options: dict[str, str], **options: Any) -> Any:
        seen.append(compiler_options)
        return jit(function, compiler_options=compiler_options, **options)

    monkeypatch.setattr(devices.jax, "jit", noting)
    devices.compiled(len)
    devices.compiled(len, in_order=True)
    with devices.compiling_for("gpu"):
        devices.compiled(len, in_order=True)
    assert seen == [dict(compiler_options()), {**compiler_options(), **option}, IN_ORDER]

    def unknown(*arguments: Any, **options: Any) -> Any:
        raise jax.errors.JaxRuntimeError("No such compile option")

    monkeypatch.setattr(devices.jax, "jit", unknown)
    assert fresh() == {}


def test_started_devices_stay_as_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    before = jax.devices()
    assert len(before) == 2  # tests/conftest.py asked for them
    use_host_cores(5)
    assert jax.devices() == before
    monkeypatch.setenv("XLA_FLAGS", "--xla_force_host_platform_device_count=3")
    monkeypatch.setattr(devices.jax, "config", None)  # not touched
    use_host_cores(5)


def test_devices_that_cannot_start_are_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def failing() -> list[jax.Device]:
        raise RuntimeError("Unable to initialize backend 'cuda':\n no GPU")

    monkeypatch.setattr(devices.jax, "local_devices", failing)
    monkeypatch.setattr(devices, "_platforms_asked", lambda: "cuda")
    with pytest.raises(DeviceError) as raised:
        devices.start()
    assert str(raised.value) == (
        "JAX cannot start JAX_PLATFORMS=cuda: Unable to initialize backend 'cuda': no GPU; "
        "unset JAX_PLATFORMS to use what there is"
    )


def test_a_platform_that_is_not_there_is_one_line() -> None:
    environment = {
        **os.environ,
        "JAX_PLATFORMS": "cuda",
        "PYTHONPATH": str(Path(devices.__file__).parents[1]),
    }
    code = (
        "from jaxemerge import devices\n"
        "try:\n    devices.start()\n"
        "except devices.DeviceError as error:\n    print(error)"
    )
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=60)
    assert done.stdout.startswith("JAX cannot start JAX_PLATFORMS=cuda: ")
    assert done.stdout.count("\n") == 1


def test_an_unknown_flag_of_xla_is_one_line() -> None:
    """XLA itself ends the process, and names the flag."""
    code = "from jaxemerge import devices; devices.start()"
    environment = {
        **os.environ,
        "XLA_FLAGS": "--xla_no_such_flag=3",
        "PYTHONPATH": str(Path(devices.__file__).parents[1]),
    }
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=environment, timeout=60
    )
    assert done.returncode != 0
    assert done.stdout == ""
    assert done.stderr.strip().endswith("--xla_no_such_flag=3")


def test_a_gpu_that_jax_does_not_see_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(devices, "_platforms_asked", lambda: "")
    monkeypatch.setattr(devices.shutil, "which", lambda name: f"/usr/bin/{name}")
    assert "This host has an NVIDIA GPU, and JAX does not see it" in devices.start()
    monkeypatch.setattr(devices.shutil, "which", lambda name: None)
    assert devices.start() == "" or Path("/proc/driver/nvidia").exists()
    monkeypatch.setattr(devices.shutil, "which", lambda name: f"/usr/bin/{name}")
    monkeypatch.setattr(devices, "_platforms_asked", lambda: "cpu")
    assert devices.start() == ""  # as asked for


def test_layout_errors() -> None:
    with pytest.raises(ValueError, match=r"^devices=\(\): at least one is needed$"):
        Layout(())
    with pytest.raises(ValueError, match=r"^width=0: must be at least 1$"):
        Layout(first(1), 0)


def test_layout() -> None:
    assert Layout(first(2), 3).multiple == 6
    assert Layout(first(2)) == Layout(first(2), 1)
    assert hash(Layout(first(2), 3)) == hash(Layout(first(2), 3))
    placed = jax.device_put(np.arange(6), Layout(first(2), 3).sharding)
    assert [shard.data.tolist() for shard in placed.addressable_shards] == [[0, 1, 2], [3, 4, 5]]


@pytest.mark.parametrize("n", [1, 2])
@pytest.mark.parametrize("width", [1, 3, 6])
def test_over_seeds(n: int, width: int) -> None:
    """Two trees with the axis S, and two scalars that are the same for all."""
    widths: list[tuple[int, ...]] = []

    def one(tree: Any, vector: Any, scale: Any, offset: Any) -> Any:
        widths.append(tree["a"].shape)
        return {"sum": (tree["a"] * vector).sum() * scale + offset, "row": tree["a"][::-1], "b": tree["b"]}

    seeds = 12
    spread = over_seeds(one, Layout(first(n), width), mapped=2, shared=2)
    rng = np.random.default_rng(0)
    a, vector = rng.normal(size=(2, seeds, 5)).astype(np.float32)
    b = np.arange(seeds)
    seen = spread({"a": a, "b": b}, vector, 3.0, 7)
    np.testing.assert_allclose(seen["sum"], (a * vector).sum(1) * 3 + 7, rtol=1e-5, atol=1e-6)
    assert np.array_equal(seen["row"], a[:, ::-1])
    assert np.array_equal(seen["b"], b)
    assert len(seen["sum"].sharding.device_set) == n
    assert set(widths) == {(5,)}  # written for one seed


def test_width_is_how_many_run_side_by_side() -> None:
    def loops(width: int, seeds: int) -> tuple[bool, bool]:
        spread = over_seeds(lambda x: jnp.dot(x, x.T), Layout(first(1), width))
        text = spread.lower(jax.ShapeDtypeStruct((seeds, 5, 7), np.float32)).as_text()
        return "while" in text, f"tensor<{width}x5x7xf32>" in text

    assert loops(6, 6) == (False, True)
    assert loops(3, 6) == (True, True)
    assert loops(1, 6)[0]


def test_what_changes_is_changed_in_place() -> None:
    def grow(x: jax.Array, by: jax.Array, twice: jax.Array) -> tuple[jax.Array, jax.Array]:
        return x + by * twice, x.sum()

    x, by = np.arange(30.0, dtype=np.float32).reshape(6, 5), np.arange(6, dtype=np.float32)
    for n, width in ((1, 1), (2, 1), (1, 2), (1, 6), (2, 3)):
        layout = Layout(first(n), width)
        takes = over_seeds(grow, layout, mapped=2, shared=1, changes=True)
        given = jax.device_put(jnp.array(x), layout.sharding)  # the library's own: it is overwritten
        grown, sums = takes(given, by, 2.0)
        assert np.array_equal(grown, x + 2 * by[:, None])
        assert np.array_equal(sums, x.sum(1))
        assert given.is_deleted()
        assert not jax.device_put(by, layout.sharding).is_deleted()


@pytest.mark.parametrize("width", [1, 2, 6])
def test_what_changes_is_traced_once(width: int) -> None:
    """Tracing a training step takes about as long as compiling a small one."""
    traced: list[tuple[int, ...]] = []

    def grow(x: jax.Array, by: jax.Array, twice: jax.Array) -> tuple[jax.Array, jax.Array]:
        traced.append(x.shape)
        return x + by * twice, x.sum()

    takes = over_seeds(grow, Layout(first(1), width), mapped=2, shared=1, changes=True)
    takes(jnp.ones((6, 5)), jnp.arange(6.0), 2.0)
    assert traced == [(5,)]


def test_seeds_that_change_in_turn_need_their_memory_once() -> None:
    def grow(x: jax.Array) -> tuple[jax.Array, jax.Array]:
        grown = jax.lax.fori_loop(0, 3, lambda _, y: y @ y, x)
        return grown, grown[0, 0]

    whole = jax.ShapeDtypeStruct((16, 128, 128), np.float32)
    size = 16 * 128 * 128 * 4
    program = over_seeds(grow, Layout(first(1)), changes=True).lower(whole).compile()
    used = program.memory_analysis()
    assert used.alias_size_in_bytes >= size
    assert used.temp_size_in_bytes < size / 2
    mapped = over_seeds(lambda x: grow(x)[0], Layout(first(1))).lower(whole).compile().memory_analysis()
    assert mapped.output_size_in_bytes >= size  # what it costs where it is built anew
