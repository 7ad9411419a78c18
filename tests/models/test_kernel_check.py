"""Is a kernel that fails its check on the device at hand left alone, and is that said once?"""

from __future__ import annotations

import fcntl
import time
import warnings
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import pytest

from jaxemerge.devices import compiling_for
from jaxemerge.models import kernel_check, neox
from jaxemerge.models.implementation import Implementation, implementation

SPEC = neox(2, 64, 1, dtype="bfloat16")


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> Iterator[pytest.MonkeyPatch]:
    """As if a GPU were here on which both kernels pass their checks."""
    monkeypatch.setattr(kernel_check, "_is_here", lambda: True)
    monkeypatch.setattr(kernel_check, "_blocks_fault", lambda *sizes: None)
    monkeypatch.setattr(kernel_check, "_attention_fault", lambda *sizes: None)
    kernel_check._passes.cache_clear()
    yield monkeypatch
    kernel_check._passes.cache_clear()


@pytest.mark.usefixtures("gpu")
def test_kernels_that_pass_are_used_without_a_word() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert implementation(SPEC, "gpu") == Implementation("cudnn", "fused")


@pytest.mark.parametrize(
    ("which", "said", "left"),
    [
        ("_blocks_fault", "the fused kernels cannot be used on .*: off", Implementation("cudnn", "plain")),
        ("_attention_fault", "cuDNN's attention cannot be used on .*: off", Implementation("xla", "fused")),
    ],
)
def test_a_kernel_that_fails_is_replaced(
    gpu: pytest.MonkeyPatch, which: str, said: str, left: Implementation
) -> None:
    asked = []

    def fault(*sizes: int) -> str:
        asked.append(sizes)
        return "off by one"

    gpu.setattr(kernel_check, which, fault)
    with pytest.warns(UserWarning, match=said.replace(": off", ", plain code is used instead .off by one.")):
        assert implementation(SPEC, "gpu") == left
    assert implementation(SPEC, "gpu") == left  # known by now
    assert asked == [(1, 64, 16, 256) if which == "_blocks_fault" else (1, 64)]


def test_a_check_that_cannot_run_is_a_fault(gpu: pytest.MonkeyPatch) -> None:
    def fault(*sizes: int) -> None:
        raise ImportError("no module named triton\n" + "and more " * 99)

    gpu.setattr(kernel_check, "_blocks_fault", fault)
    with pytest.warns(UserWarning, match=r"ImportError: no module named triton\)$"):
        assert implementation(SPEC, "gpu") == Implementation("cudnn", "plain")


def test_a_long_message_is_cut() -> None:
    def fault() -> None:
        raise ValueError("x" * 999)

    assert kernel_check._reason(fault) == "ValueError: " + "x" * 188


def test_threads_that_ask_at_once_share_one_check(gpu: pytest.MonkeyPatch) -> None:
    asked = []

    def slow(*sizes: int) -> None:
        asked.append(sizes)
        time.sleep(0.05)

    gpu.setattr(kernel_check, "_blocks_fault", slow)
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda _: kernel_check.blocks_work(1, 64, 16, 256), range(4)))
    assert found == [True] * 4
    assert asked == [(1, 64, 16, 256)]


def test_two_processes_check_one_after_the_other(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    path = tmp_path / "jaxemerge" / "kernel_check.lock"
    with kernel_check._one_process(), path.open("a") as other, pytest.raises(BlockingIOError):
        fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
    with path.open("a") as other:
        fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)  # free again
    monkeypatch.setenv("XDG_CACHE_HOME", str(path))  # not a folder
    with kernel_check._one_process():
        pass


def test_a_described_gpu_is_not_judged_by_the_one_at_hand(gpu: pytest.MonkeyPatch) -> None:
    gpu.undo()
    gpu.setattr(jax, "default_backend", lambda: "gpu")
    gpu.setattr(kernel_check, "_usable", lambda *_: False)
    assert implementation(SPEC, "gpu") == Implementation("xla", "plain")
    with compiling_for("gpu"):
        assert implementation(SPEC, "gpu") == Implementation("cudnn", "fused")


def test_without_a_gpu_nothing_is_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kernel_check, "_usable", lambda *_: pytest.fail("asked"))
    assert implementation(SPEC, "gpu") == Implementation("cudnn", "fused")


def test_checks_compute_while_something_is_traced() -> None:
    def traced(x: Any) -> Any:
        found = kernel_check._outside_of_tracing(lambda: float(jax.jit(jnp.sin)(0.5)))
        assert isinstance(found, float)
        return x + found

    assert jax.jit(traced)(1.0) == pytest.approx(1.479426, abs=1e-6)
    with pytest.raises(jax.errors.ConcretizationTypeError):
        jax.jit(lambda x: x + float(jax.jit(jnp.sin)(0.5)))(1.0)


def test_attention_is_compared_with_the_plain_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """Here there is no cuDNN, which is a fault, too; with plain code in its place there is none."""
    assert "cuDNN is not detected" in str(kernel_check._reason(kernel_check._attention_fault, 1, 64))
    plain = jax.nn.dot_product_attention
    monkeypatch.setattr(
        jax.nn,
        "dot_product_attention",
        lambda *qkv, is_causal, implementation: plain(*qkv, is_causal=is_causal),
    )
    assert kernel_check._attention_fault(2, 32) is None
