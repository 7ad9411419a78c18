"""Which devices compute, can their numbers be trusted, and how is one seed's function spread over them?"""

from __future__ import annotations

import contextlib
import contextvars
import functools
import importlib.metadata
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

from jaxemerge import host

# XLA:CPU of jaxlib 0.10.2 fuses some reductions wrongly (github.com/jax-ml/jax/issues/39103).
# Without these fusions the numbers are right, and training is as fast or faster.
_CPU_GUARD = {"xla_cpu_experimental_ynn_fusion_type": ""}

# Where cores have vectors of 512 bits, XLA uses them only when told to: 1.04 times as fast on a Zen 5.
_CPU_WIDE = {"xla_cpu_prefer_vector_width": "512"}

# XLA orders operations so that several can run at once. Programs of many small ones, on devices that are a
# core each, pay for that and do not need it: a population samples 1.4 to 1.6 times as fast without.
_CPU_IN_ORDER = {"xla_cpu_enable_concurrency_optimized_scheduler": "False"}

# Without it the gradients of cuDNN's attention and of scatters are added in the order in which blocks happen
# to finish, and the same plan would not give the same bits twice.
_GPU_IN_ORDER = {"xla_gpu_exclude_nondeterministic_ops": "True"}

# The platform that programs are compiled for, where that is not the one at hand.
_target: contextvars.ContextVar[str | None] = contextvars.ContextVar("target", default=None)


class DeviceError(RuntimeError):
    """The devices at hand cannot be used."""


def platform() -> str:
    """Platform that programs are compiled for: ``cpu``, ``gpu`` or ``tpu``."""
    return _target.get() or jax.default_backend()


def on_cpu() -> bool:
    """Whether programs are compiled for host cores."""
    return platform() == "cpu"


def ahead_of_time() -> bool:
    """Whether programs are compiled for a chip that is described, whatever the devices at hand."""
    return _target.get() is not None


@contextlib.contextmanager
def compiling_for(target: str) -> Iterator[None]:
    """Within it, programs take the form that is right for ``target``, whatever the devices at hand.

    Args:
        target: ``cpu``, ``gpu`` or ``tpu``.
    """
    token = _target.set(target)
    try:
        yield
    finally:
        _target.reset(token)


def use_host_cores(n: int | None = None) -> None:
    """Makes the host's cores ``n`` JAX devices (default: all cores this process may use).

    A single small model cannot keep several cores busy, but several seeds can: one device each. Has no
    effect once JAX has started its devices, or where XLA_FLAGS already sets their number.
    """
    if "xla_force_host_platform_device_count" in os.environ.get("XLA_FLAGS", ""):
        return
    try:
        jax.config.update("jax_num_cpu_devices", n or host.cores())
    except RuntimeError:  # the backend has started: what it has is what there is
        return


def start() -> str:
    """Starts JAX's devices; a line on what is missing where a GPU of this host is not used, else empty.

    Raises:
        DeviceError: JAX cannot start the devices that it is asked for, or computes in 64 bits.
    """
    _refuse_x64()
    asked = _platforms_asked()
    try:
        devices = jax.local_devices()
    except (RuntimeError, AssertionError) as error:  # JAX asserts that a platform that was asked for is there
        reason = " ".join(str(error).split()) or "this host has none, or JAX is installed without them"
        there = "unset JAX_PLATFORMS to use what there is" if asked else "JAX_PLATFORMS=cpu uses the CPU"
        what = f"JAX_PLATFORMS={asked}" if asked else "the devices"
        raise DeviceError(f"JAX cannot start {what}: {reason}; {there}") from error
    gpu = shutil.which("nvidia-smi") is not None or Path("/proc/driver/nvidia").exists()
    if devices[0].platform != "cpu" or asked or not gpu:
        return ""
    return (
        "This host has an NVIDIA GPU, and JAX does not see it: training is on the CPU. "
        "Install JAX with CUDA: pip install 'jaxemerge[cuda]'"
    )


def _refuse_x64() -> None:
    if jax.config.jax_enable_x64:  # type: ignore[attr-defined]
        raise DeviceError("jax_enable_x64 is on: training computes in 32 bits; unset JAX_ENABLE_X64")


def _platforms_asked() -> str:
    """What JAX_PLATFORMS says, or what was set in its place."""
    return getattr(jax.config, "jax_platforms", None) or ""


def compiler_options() -> Mapping[str, str]:
    """Options every program is compiled with."""
    return {"cpu": _cpu_options, "gpu": _gpu_options}.get(platform(), dict)()


@functools.cache
def _cpu_options() -> Mapping[str, str]:
    wanted = {**_CPU_GUARD, **(_CPU_WIDE if _has_fast_wide_vectors() else {})}
    return {name: value for name, value in wanted.items() if _is_known(name, value)}


@functools.cache
def _gpu_options() -> Mapping[str, str]:
    return {name: value for name, value in _GPU_IN_ORDER.items() if _is_known(name, value)}


@functools.cache
def _cpu_in_order() -> Mapping[str, str]:
    """Further options of programs whose operations are best computed one after the other."""
    return {name: value for name, value in _CPU_IN_ORDER.items() if _is_known(name, value)}


def _is_known(option: str, value: str) -> bool:
    """Whether this jaxlib's compiler has the option."""
    try:
        jax.jit(lambda x: x + 1, compiler_options={option: value})(np.float32(0))
    except jax.errors.JaxRuntimeError:
        return False
    return True


def _has_fast_wide_vectors() -> bool:
    """Whether the host's cores compute 512 bits at full clock: since Intel's Ice Lake and AMD's Zen 4."""
    try:
        return "avx512_vbmi2" in Path("/proc/cpuinfo").read_text()
    except OSError:
        return False


def compiled(function: Callable[..., Any], *, in_order: bool = False, **options: Any) -> Callable[..., Any]:
    """``jax.jit`` with the options that keep the numbers right on this backend.

    Args:
        function: what to compile.
        in_order: whether it is many small operations, which host cores compute faster one after the other.
        options: of ``jax.jit``.
    """
    used = {**compiler_options(), **(_cpu_in_order() if in_order and on_cpu() else {})}
    return jax.jit(function, compiler_options=used, **options)


def self_test(options: Mapping[str, str] | None = None) -> None:
    """Checks a known miscompilation on the devices at hand; costs some ten milliseconds.

    Args:
        options: compiler options to test; by default those that ``compiled`` uses.

    Raises:
        DeviceError: the compiled program returns a wrong number, or JAX computes in 64 bits.
    """
    _refuse_x64()
    rows = np.stack([np.arange(32_769), np.zeros(32_769), np.zeros(32_769)], axis=1).astype(np.float32)
    eye = jnp.eye(3)
    used = dict(compiler_options() if options is None else options)
    squares = jax.jit(lambda x: jax.vmap(lambda row: jnp.sum((eye @ row) ** 2))(x), compiler_options=used)
    seen, expected = float(squares(rows)[-1]), 32_768.0**2
    version = importlib.metadata.version("jaxlib")
    if not abs(seen - expected) <= 1e-6 * expected:
        raise DeviceError(
            f"XLA on {jax.devices()[0].device_kind} (jaxlib {version}) returns {seen:.0f} where "
            f"{expected:.0f} is right: a fused reduction is miscompiled (jax issue 39103). "
            "Install another jaxlib; results from this one would be wrong."
        )


@dataclass(frozen=True)
class Layout:
    """Where seeds are computed.

    Attributes:
        devices: seeds are shared out evenly over these.
        width: how many seeds a device computes side by side (vmap); further ones follow in turn.

    Raises:
        ValueError: there is no device, or ``width`` is below 1.
    """

    devices: tuple[jax.Device, ...]
    width: int = 1

    def __post_init__(self) -> None:
        if not self.devices:
            raise ValueError("devices=(): at least one is needed")
        if self.width < 1:
            raise ValueError(f"width={self.width}: must be at least 1")

    @property
    def multiple(self) -> int:
        """Numbers of seeds that fit this layout are multiples of this."""
        return len(self.devices) * self.width

    @property
    def sharding(self) -> NamedSharding:
        """Sharding of an array whose leading axis is the seed."""
        return NamedSharding(self._mesh, P("seed"))

    @property
    def everywhere(self) -> NamedSharding:
        """Sharding of an array that every device holds whole."""
        return NamedSharding(self._mesh, P())

    @property
    def _mesh(self) -> Mesh:
        return Mesh(np.array(self.devices), ("seed",))


def over_seeds(
    one: Callable[..., Any],
    layout: Layout,
    *,
    mapped: int = 1,
    shared: int = 0,
    changes: bool = False,
    in_order: bool = False,
) -> Callable[..., Any]:
    """Compiles a function of one seed into one program for many, without communication between them.

    Args:
        one: takes ``mapped`` trees of one seed, then ``shared`` arrays that are the same for all.
        layout: which devices, and how many seeds side by side on each.
        mapped: number of leading arguments whose leaves carry the axis S.
        shared: number of further arguments.
        changes: whether ``one`` returns its first tree as it has become, and a result. What is given for that
            tree is then changed in place: it needs its memory once, and is used up.
        in_order: as in ``compiled``.

    Returns:
        Jitted function; every leaf of its result carries the axis S, a multiple of ``layout.multiple``.
    """

    def on_one_device(*arguments: Any) -> Any:
        trees, same = arguments[:mapped], arguments[mapped:]

        def member(*tree: Any) -> Any:
            return one(*tree, *same)

        seeds = jax.tree.leaves(trees)[0].shape[0]
        if layout.width == seeds > 1:
            return jax.vmap(member)(*trees)
        if changes:
            return _in_turn(member, trees, layout.width)
        batch = layout.width if layout.width > 1 else None
        return jax.lax.map(lambda tree: member(*tree), trees, batch_size=batch)

    specs = (P("seed"),) * mapped + (P(),) * shared
    spread = jax.shard_map(
        on_one_device, mesh=layout._mesh, in_specs=specs, out_specs=P("seed"), check_vma=False
    )
    return compiled(spread, in_order=in_order, donate_argnums=(0,) if changes else ())


def _in_turn(member: Callable[..., Any], trees: tuple[Any, ...], width: int) -> tuple[Any, Any]:
    """``member`` of ``width`` seeds after another, each putting its changed first tree where it was.

    ``jax.lax.map`` would build a second copy of all first trees while it reads the first.
    """

    def place(i: Any, x: Any) -> Any:
        return jax.lax.dynamic_slice_in_dim(x, i * width, width)

    def put(i: Any, whole: Any, part: Any) -> Any:
        return jax.lax.dynamic_update_slice_in_dim(whole, part, i * width, 0)

    @functools.partial(jax.jit, inline=True)  # traced once: for the shapes of its results and for the loop
    def some(*parts: Any) -> Any:
        if width > 1:
            return jax.vmap(member)(*parts)
        alone = member(*jax.tree.map(lambda x: x[0], parts))
        return jax.tree.map(lambda x: x[None], alone)

    def at(i: Any, whole: tuple[Any, ...]) -> Any:
        return some(*jax.tree.map(lambda x: place(i, x), whole))

    def body(i: Any, carry: tuple[Any, Any]) -> tuple[Any, Any]:
        found = at(i, (carry[0], *trees[1:]))
        return jax.tree.map(lambda whole, part: put(i, whole, part), carry, found)

    seeds = jax.tree.leaves(trees)[0].shape[0]
    shapes = jax.eval_shape(at, 0, trees)[1]
    results = jax.tree.map(lambda x: jnp.zeros((seeds, *x.shape[1:]), x.dtype), shapes)
    return jax.lax.fori_loop(0, seeds // width, body, (trees[0], results))
