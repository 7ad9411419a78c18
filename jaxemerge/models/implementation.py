"""Which code computes the parts of a transformer? A function of its specification and the platform.

The plain code of ``layers`` runs everywhere and is the reference. On a platform where something faster
computes the same function, that is used instead, unless it was switched off here. The choice changes
neither the specification nor a cell's name; provenance records it.
"""

from __future__ import annotations

import contextlib
import contextvars
import dataclasses
from collections.abc import Iterator
from typing import Literal

from jaxemerge.devices import ahead_of_time, platform
from jaxemerge.models.architecture import Architecture
from jaxemerge.models.kernel_check import attention_works, blocks_work

Kernel = Literal["cudnn", "fused"]
# A platform, the kernels that may be used there, and whether its devices are only described.
Code = tuple[str, frozenset[str], bool]
KERNELS: frozenset[Kernel] = frozenset({"cudnn", "fused"})

# cuDNN's fused attention: head widths that all versions and GPUs since Ampere take.
_CUDNN_MULTIPLE, _CUDNN_WIDEST = 8, 128

# The fused kernels hold rows of an activation in registers, in chunks of 64 columns.
_FUSED_MULTIPLE, _FUSED_WIDEST, _FUSED_HEADS = 64, 512, (16, 32, 64, 128)

_allowed: contextvars.ContextVar[frozenset[str]] = contextvars.ContextVar("kernels", default=KERNELS)


@dataclasses.dataclass(frozen=True)
class Implementation:
    """The code that computes a transformer on one platform.

    Attributes:
        attention: ``cpu`` the form of ``cpu_kernels``; ``xla`` plain products and a softmax, whose scores are
            written to memory; ``cudnn`` cuDNN's fused attention, which never writes them.
        blocks: ``plain`` the layers one by one; ``fused`` the kernels of ``fused``, whose hidden
            activations and logits stay on the chip.
    """

    attention: Literal["cpu", "xla", "cudnn"]
    blocks: Literal["plain", "fused"]


def allowed_kernels() -> frozenset[str]:
    """Names of the accelerator kernels that may be used now."""
    return _allowed.get()


def code_in_use() -> Code:
    """What decides how models are computed besides their specification: part of every program's key."""
    return platform(), allowed_kernels(), ahead_of_time()


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


def implementation(spec: Architecture, target: str) -> Implementation:
    """What computes ``spec`` on the platform ``target`` (``cpu``, ``gpu`` or ``tpu``).

    cuDNN's attention takes bfloat16 and head widths that are multiples of 8 up to 128. The fused kernels
    take bfloat16 and GPT-NeoX-style blocks of a width that is a multiple of 64 up to 512. Neither takes a
    bias of the scores (``alibi``, ``fire``, ``within_example``), and the fused kernels no dropout.
    Everything else takes the plain path, and so does a GPU on which a kernel fails its check at the first
    use. Programs for a chip that is only described assume that its kernels work.
    """
    if target == "cpu":
        return Implementation("cpu", "plain")
    if target != "gpu" or spec.dtype != "bfloat16":
        return Implementation("xla", "plain")
    cudnn = "cudnn" in allowed_kernels() and _cudnn_takes(spec)
    fused = "fused" in allowed_kernels() and _fused_take(spec)
    return Implementation("cudnn" if cudnn else "xla", "fused" if fused else "plain")


def _cudnn_takes(spec: Architecture) -> bool:
    if spec.biases_scores:
        return False
    sizes = spec.head_width % _CUDNN_MULTIPLE == 0 and spec.head_width <= _CUDNN_WIDEST
    return sizes and attention_works(spec.heads, spec.head_width)


def _fused_take(spec: Architecture) -> bool:
    if spec.biases_scores or spec.dropout:
        return False
    style = (spec.residual, spec.norm, spec.mlp, spec.bias) == ("parallel", "layer", "gelu", True)
    sizes = spec.width % _FUSED_MULTIPLE == 0 and spec.mlp_width % _FUSED_MULTIPLE == 0
    taken = style and sizes and spec.width <= _FUSED_WIDEST and spec.head_width in _FUSED_HEADS
    return taken and blocks_work(spec.heads, spec.head_width, spec.rotary_width, spec.mlp_width)
