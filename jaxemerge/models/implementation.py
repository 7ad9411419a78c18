"""Which code computes the parts of a transformer? A function of its specification and the platform.

The plain code of ``layers`` runs everywhere and is the reference. On a platform where something faster
computes the same function, that is used instead, unless it was switched off here. The choice changes
neither the specification nor a cell's name; provenance records it.
"""

from __future__ import annotations

import contextlib
import contextvars
import dataclasses
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Iterator

    from jaxemerge.models.transformer import Transformer

Kernel = Literal["cudnn"]
KERNELS: frozenset[Kernel] = frozenset({"cudnn"})

# cuDNN's fused attention: head widths that all versions and GPUs since Ampere take.
_CUDNN_MULTIPLE, _CUDNN_WIDEST = 8, 128

_allowed: contextvars.ContextVar[frozenset[str]] = contextvars.ContextVar("kernels", default=KERNELS)


@dataclasses.dataclass(frozen=True)
class Implementation:
    """The code that computes a transformer on one platform.

    Attributes:
        attention: ``cpu`` the form of ``cpu_kernels``; ``xla`` plain products and a softmax, whose scores are
            written to memory; ``cudnn`` cuDNN's fused attention, which never writes them.
    """

    attention: Literal["cpu", "xla", "cudnn"]


def allowed_kernels() -> frozenset[str]:
    """Names of the accelerator kernels that may be used now."""
    return _allowed.get()


@contextlib.contextmanager
def kernels(*names: Kernel) -> Iterator[None]:
    """Within it, programs are traced with these accelerator kernels and no others.

    ``with kernels():`` gives the plain code everywhere. Programs that exist already stay as they are.

    Args:
        names: any of ``KERNELS``; all of them are allowed by default.

    Raises:
        ValueError: there is no kernel of that name.
    """
    unknown = sorted(set(names) - KERNELS)
    if unknown:
        raise ValueError(f"kernels{tuple(unknown)}: must be among {', '.join(sorted(KERNELS))}")
    token = _allowed.set(frozenset(names))
    try:
        yield
    finally:
        _allowed.reset(token)


def implementation(spec: Transformer, platform: str) -> Implementation:
    """What computes ``spec`` on ``platform`` (``cpu``, ``gpu`` or ``tpu``).

    cuDNN's attention takes bfloat16 and head widths that are multiples of 8 up to 128; everything else, and
    float32, takes the plain path.
    """
    if platform == "cpu":
        return Implementation("cpu")
    takes = spec.head_width % _CUDNN_MULTIPLE == 0 and spec.head_width <= _CUDNN_WIDEST
    fused = platform == "gpu" and spec.dtype == "bfloat16" and takes and "cudnn" in allowed_kernels()
    return Implementation("cudnn" if fused else "xla")
