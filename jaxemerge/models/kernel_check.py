"""May a kernel be used on this device? Checked once per process and sizes, before the first use."""

from __future__ import annotations

import contextlib
import functools
import threading
import warnings
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxemerge.cache import cache_folder
from jaxemerge.devices import ahead_of_time

if TYPE_CHECKING:
    from jaxtyping import Array

_LENGTH = 320  # window positions: five blocks of 64 rows, and not a whole number of 128
_REASON = 200  # characters of an error that a warning shows

# Threads compile several cells at once: one checks, the others wait for its answer.
_one_thread = threading.Lock()


def attention_works(heads: int, head_width: int) -> bool:
    """Whether cuDNN's attention equals the plain one on this device; True where there is no GPU to ask."""
    return not _is_here() or _usable("cuDNN's attention", _attention_fault, heads, head_width)


def blocks_work(heads: int, head_width: int, rotated: int, hidden: int) -> bool:
    """Whether the fused kernels equal the plain code on this device; True where there is no GPU to ask."""
    return not _is_here() or _usable("the fused kernels", _blocks_fault, heads, head_width, rotated, hidden)


def _is_here() -> bool:
    """Whether what is compiled now will run on a GPU of this host, not on one that is only described."""
    return not ahead_of_time() and jax.default_backend() == "gpu"


def _usable(name: str, fault: Callable[..., str | None], *sizes: int) -> bool:
    with _one_thread:
        return _passes(name, fault, *sizes)


@functools.cache
def _passes(name: str, fault: Callable[..., str | None], *sizes: int) -> bool:
    with _one_process():
        found = _outside_of_tracing(functools.partial(_reason, fault, *sizes))
    if found is not None:
        kind = jax.devices()[0].device_kind
        warnings.warn(f"{name} cannot be used on {kind}, plain code is used instead ({found})", stacklevel=3)
    return found is None


@contextlib.contextmanager
def _one_process() -> Iterator[None]:
    """Waits until no other process of this user checks: two at once could lack the memory that one has."""
    import fcntl  # a GPU's host has it

    try:
        folder = cache_folder()
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        file = (folder / "kernel_check.lock").open("a")
    except OSError:  # a read-only home: the check itself does not need the folder
        yield
        return
    with file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _reason(fault: Callable[..., str | None], *sizes: int) -> str | None:
    """What is wrong, in one short line. A check that cannot run (a JAX without Triton) is a fault, too."""
    try:
        return fault(*sizes)
    except Exception as error:  # of any kind: there is always the plain code
        return f"{type(error).__name__}: {str(error).strip().partition(chr(10))[0]}"[:_REASON]


def _outside_of_tracing(function: Callable[[], Any]) -> Any:
    """The function's result, computed even where the caller is being traced: JAX traces per thread."""
    found: list[Any] = []
    thread = threading.Thread(target=lambda: found.append(function()))
    thread.start()
    thread.join()
    return found[0]


def _blocks_fault(heads: int, head_width: int, rotated: int, hidden: int) -> str | None:
    from jaxemerge.models.fused.check import fault

    return fault(heads, head_width, rotated, hidden)


def _attention_fault(heads: int, head_width: int) -> str | None:
    from jaxemerge.models.fused.check import Case, first_fault

    rng = np.random.default_rng(0)
    shape = (2, _LENGTH, heads, head_width)
    q, k, v = (jnp.asarray(rng.normal(size=shape), jnp.bfloat16) for _ in range(3))

    def attention(code: Any, q: Array, k: Array, v: Array) -> Array:
        return jax.nn.dot_product_attention(q, k, v, is_causal=True, implementation=code)

    fused, plain = (functools.partial(attention, code) for code in ("cudnn", "xla"))
    return first_fault([Case("attention", fused, plain, (q, k, v))])
