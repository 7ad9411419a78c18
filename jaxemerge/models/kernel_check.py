"""May a kernel be used on this device? Found out once per process and sizes, before its first use."""

from __future__ import annotations

import functools
import threading
import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np

if TYPE_CHECKING:
    from jaxtyping import Array


def attention_works(heads: int, head_width: int) -> bool:
    """Whether cuDNN's attention equals the plain one on this device; True where there is no GPU to ask."""
    return not _is_here() or _usable("cuDNN's attention", _attention_fault, heads, head_width)


def blocks_work(heads: int, head_width: int, rotated: int, hidden: int) -> bool:
    """Whether the fused kernels equal the plain code on this device; True where there is no GPU to ask."""
    return not _is_here() or _usable("the fused kernels", _blocks_fault, heads, head_width, rotated, hidden)


def _is_here() -> bool:
    return jax.default_backend() == "gpu"


@functools.cache
def _usable(name: str, fault: Callable[..., str | None], *sizes: int) -> bool:
    found = _outside_of_tracing(functools.partial(_said, fault, *sizes))
    if found is not None:
        kind = jax.devices()[0].device_kind
        warnings.warn(f"{name} cannot be used on {kind}, plain code is used instead ({found})", stacklevel=2)
    return found is None


def _said(fault: Callable[..., str | None], *sizes: int) -> str | None:
    """What is wrong; a check that cannot run (a JAX without Triton) is a fault, too."""
    try:
        return fault(*sizes)
    except Exception as error:
        return f"{type(error).__name__}: {error}"


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
    q, k, v = (jnp.asarray(rng.normal(size=(3, 64, heads, head_width)), jnp.bfloat16) for _ in range(3))

    def attention(code: Any, q: Array, k: Array, v: Array) -> Array:
        return jax.nn.dot_product_attention(q, k, v, is_causal=True, implementation=code)

    fused, plain = (functools.partial(attention, code) for code in ("cudnn", "xla"))
    return first_fault([Case("attention", fused, plain, (q, k, v))])
