"""Does this device compute what the specification says? Compared with host cores, and with NumPy in float64.

Logits are compared by the largest difference over the largest logit; gradients of the training loss weight by
weight, by the norm of the difference over the norm of the gradient.
"""

from __future__ import annotations

import contextlib
import functools
import os
import sys
import warnings
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from cells import Cell
from jaxemerge.devices import compiled, compiling_for, platform
from jaxemerge.models import Transformer, apply, init, kernels, llama, neox
from jaxemerge.models.implementation import KERNELS
from jaxemerge.tasks.packing import shift
from jaxemerge.training.objective import weighted_mean
from population import Population

sys.path.append(str(Path(__file__).parents[1] / "tests"))
from numpy_decoder import NumpyDecoder

_TIED = {"residual": "sequential", "norm": "rms", "mlp": "geglu", "tied": True, "bias": False}
SPECS: Mapping[str, Transformer] = {
    "neox": neox(2, 128, 2),
    "llama": llama(2, 128, 2),
    "gated GELU, tied": Transformer(2, 128, 2, rotary_fraction=1.0, mlp_ratio=2.5, **_TIED),  # type: ignore[arg-type]
    "width 64": neox(2, 64, 1),
    "width 256": neox(2, 256, 4),
    "heads of 32": neox(2, 128, 4),
    "heads of 72": neox(2, 144, 2),
    "heads of 128": neox(2, 256, 2),
}
TINY: Mapping[str, Transformer] = {"neox": neox(1, 32, 2), "llama": llama(1, 24, 3)}
VOCABULARY = 154
_SPREAD = 0.1  # of weights: so large that every nonlinearity bends
_SMALLEST = 1e-3  # weights whose gradient is a smaller share of the whole are compared on that scale
NUMPY_TOLERANCE = 1e-5  # of float32 on the host
STEPS, LOSS_TOLERANCE = 20, 2e-2


@dataclass(frozen=True)
class Check:
    """Something that was compared.

    Attributes:
        name: what with what.
        seen: the difference.
        allowed: the largest that is right; None where it is told and not judged.
        note: what else there is to say.
    """

    name: str
    seen: float
    allowed: float | None
    note: str = ""

    @property
    def right(self) -> bool:
        """Whether the difference is small enough."""
        return self.allowed is None or self.seen <= self.allowed

    def record(self) -> dict[str, Any]:
        """As plain JSON values; a difference that is no number is null."""
        seen = float(self.seen) if np.isfinite(self.seen) else None
        fields = {"check": self.name, "seen": seen, "allowed": self.allowed, "right": bool(self.right)}
        return fields | ({"note": self.note} if self.note else {})


class Form(NamedTuple):
    """A way to compute a model.

    Attributes:
        name: in words.
        dtype: precision of the computation.
        precision: of float32 products; None for the device's default.
        kernels: those allowed.
        logits, gradients: largest differences that are right.
    """

    name: str
    dtype: str
    precision: str | None
    kernels: frozenset[Any]
    logits: float
    gradients: float


# Seen on host cores with 2 blocks: logits 0.009 to 0.026, gradients 0.016 to 0.026.
_BFLOAT16 = (6e-2, 8e-2)
PLAIN = "bfloat16, plain code"
RATIO = 2.0  # largest error of a kernel's logits over that of the plain code
FORMS = (
    Form("float32, products in full", "float32", "highest", KERNELS, 2e-5, 2e-4),
    Form("float32", "float32", None, KERNELS, 1e-2, 3e-2),
    Form(PLAIN, "bfloat16", None, frozenset(), *_BFLOAT16),
    *(
        Form(f"bfloat16, {name} alone", "bfloat16", None, frozenset({name}), *_BFLOAT16)
        for name in sorted(KERNELS)
    ),
    Form("bfloat16", "bfloat16", None, KERNELS, *_BFLOAT16),
)
HOST = Form("float32 on host cores", "float32", "highest", frozenset(), 0.0, 0.0)


class Outcome(NamedTuple):
    """Logits [B, L, V] of a batch, and gradients of the training loss."""

    logits: np.ndarray
    gradients: Any


def model_checks(
    specs: Mapping[str, Transformer], batch: int = 8, length: int = 256, threads: int = 0
) -> Iterator[Check]:
    """All models in all forms against float32 on host cores, and that against NumPy.

    Programs are compiled side by side; checks come as they are done.
    """
    tokens = np.random.default_rng(0).integers(0, VOCABULARY, (batch, length), dtype=np.int32)
    with warnings.catch_warnings(record=True) as said:  # kernels that cannot be used say so once
        warnings.simplefilter("always")
        forms = {name: told_apart(spec) for name, spec in specs.items()}
    for warning in said:
        yield Check(str(warning.message), 1.0, 0.0)
    with ThreadPoolExecutor(threads or min(12, os.cpu_count() or 1)) as pool:
        hosts = {name: pool.submit(on_host, spec, tokens) for name, spec in specs.items()}
        work = {
            pool.submit(on_device, spec, tokens, form): (name, form)
            for name, spec in specs.items()
            for form in forms[name]
        }
        for name, spec in specs.items():
            yield _against_numpy(name, spec, tokens, hosts[name].result())
        errors: dict[str, dict[str, float]] = {name: {} for name in specs}
        for done in as_completed(work):
            name, form = work[done]
            title = f"{name}, {form.name} ({code(specs[name], form)})"
            for check in _compared(title, done, hosts[name].result(), form):
                errors[name].setdefault(form.name, check.seen)
                yield check
    for name, of in errors.items():
        yield from against_plain(name, of)


def told_apart(spec: Transformer, forms: Sequence[Form] = FORMS) -> list[Form]:
    """Forms of a model that differ on this platform, the last of those that do not."""
    return list({(form.dtype, form.precision, code(spec, form)): form for form in forms}.values())


def code(spec: Transformer, form: Form) -> str:
    """What computes the parts of a model in some form on this platform."""
    with kernels(*form.kernels):
        parts = replace(spec, dtype=form.dtype).implementation()  # type: ignore[arg-type]
    return ", ".join(f"{part} {by}" for part, by in parts.items())


@functools.cache
def weights_of(spec: Transformer) -> Any:
    """Weights far from the initial ones: biases that are not 0 and scales that are not 1."""
    with jax.default_device(_host()):  # drawn there, they are the same for all
        params = init(spec, VOCABULARY, jax.random.key(0))
    rng = np.random.default_rng(1)
    return jax.tree.map(
        lambda x: np.asarray(x) + _SPREAD * rng.standard_normal(x.shape).astype(np.float32), params
    )


def on_device(spec: Transformer, tokens: np.ndarray, form: Form) -> Outcome:
    """A model's outcome in some form, as a device of this process computes it."""
    model = replace(spec, dtype=form.dtype)  # type: ignore[arg-type]
    given, weight = jnp.asarray(tokens), shift(jnp.ones(tokens.shape))

    def loss(params: Any) -> Any:
        # As in training, where the loss can come without logits; those are computed for themselves.
        losses = model.losses(VOCABULARY, params, given, jnp.zeros_like(given), shift(given))
        return weighted_mean(losses, weight), apply(model, VOCABULARY, params, given)

    with kernels(*form.kernels), _products(form.precision):
        (_, logits), gradients = compiled(jax.value_and_grad(loss, has_aux=True))(weights_of(spec))
        return Outcome(np.asarray(logits), jax.tree.map(np.asarray, gradients))


def _products(precision: str | None) -> Any:
    return jax.default_matmul_precision(precision) if precision else contextlib.nullcontext()


def on_host(spec: Transformer, tokens: np.ndarray) -> Outcome:
    """A model's outcome in float32 on host cores, in the form that is theirs."""
    with compiling_for("cpu"), jax.default_device(_host()):
        return on_device(spec, tokens, HOST)


def _host() -> jax.Device:
    return jax.devices("cpu")[0]


def _against_numpy(name: str, spec: Transformer, tokens: np.ndarray, host: Outcome) -> Check:
    expected = NumpyDecoder(spec)(weights_of(spec), tokens[:1])
    return Check(
        f"{name}, logits, host cores against NumPy",
        largest_difference(host.logits[:1], expected),
        NUMPY_TOLERANCE,
    )


def _compared(name: str, done: Any, host: Outcome, form: Form) -> Iterator[Check]:
    try:
        seen = done.result()
    except Exception as error:  # whatever the compiler or the device says is the finding
        yield Check(name, np.inf, form.logits, f"{type(error).__name__}: {str(error).partition(chr(10))[0]}")
        return
    yield Check(f"{name}, logits", largest_difference(seen.logits, host.logits), form.logits)
    worst, where = gradient_difference(seen.gradients, host.gradients)
    yield Check(f"{name}, gradients", worst, form.gradients, where)


def against_plain(name: str, errors: Mapping[str, float]) -> Iterator[Check]:
    """Kernels in bfloat16 may be no less exact than the plain code, which rounds as they do.

    Args:
        name: of the model.
        errors: of the logits, by the name of the form.
    """
    plain = errors.get(PLAIN)
    for form, error in errors.items():
        if plain and form.startswith("bfloat16") and form != PLAIN:
            yield Check(f"{name}, {form}, error over that of the plain code", error / plain, RATIO)


def largest_difference(seen: np.ndarray, expected: np.ndarray) -> float:
    """Over the largest of what is expected; infinite where something is no number."""
    difference = np.max(np.abs(np.asarray(seen, np.float64) - expected)) / np.max(np.abs(expected))
    return float(difference) if np.isfinite(difference) else np.inf


def gradient_difference(seen: Any, expected: Any) -> tuple[float, str]:
    """The largest over all weights, and the name of these."""
    right, _ = jax.tree.flatten_with_path(expected)
    whole = np.sqrt(sum(np.sum(np.square(leaf, dtype=np.float64)) for _, leaf in right))
    found = []
    for (path, leaf), other in zip(right, jax.tree.leaves(seen), strict=True):
        size = max(float(np.linalg.norm(leaf)), _SMALLEST * float(whole))
        away = float(np.linalg.norm(np.asarray(other, np.float64) - leaf)) / size
        found.append((away if np.isfinite(away) else np.inf, jax.tree_util.keystr(path)))
    return max(found)


def repetition_checks(cell: Cell, one: Population) -> Iterator[Check]:
    """The same plan twice: the same bits."""
    first, second = one.weights(STEPS), one.weights(STEPS)
    pairs = zip(jax.tree.leaves(first), jax.tree.leaves(second), strict=True)
    different = sum(int(np.sum(a.view(np.uint32) != b.view(np.uint32))) for a, b in pairs)
    yield Check(f"{cell.name}, {STEPS} steps of {one.seeds} seeds twice, weights that differ", different, 0)


def seed_checks(cell: Cell, seed: int, alone: Population, others: Sequence[Population]) -> Iterator[Check]:
    """One seed trained alone and among others: the same initial weights, and nearly the same training.

    Args:
        cell: what is trained.
        seed: which one.
        alone: a population of that seed.
        others: populations of the seeds from 0 on.
    """
    start, end = (_row(alone.weights(steps), 0) for steps in (0, STEPS))
    loss = alone.final_losses(STEPS)[0]
    for one in others:
        name = f"{cell.name}, seed {seed} alone and among {one.seeds}"
        first, last = (_row(one.weights(steps), seed) for steps in (0, STEPS))
        yield Check(f"{name}, initial weights", _norm(first, start), 0)
        moved = _norm(end, start)
        share = f"of how far {STEPS} steps moved them"
        yield Check(f"{name}, weights", _norm(last, end) / moved, 0 if _in_turn(one) else None, share)
        found = one.final_losses(STEPS)[seed]
        yield Check(f"{name}, loss of step {STEPS}", abs(found - loss) / loss, LOSS_TOLERANCE)


def _in_turn(one: Population) -> bool:
    """Whether a population trains one seed after the other, which gives the bits of each alone."""
    return platform() == "cpu" and one.layout.width == 1


def _row(tree: Any, index: int) -> Any:
    return jax.tree.map(lambda x: x[index], tree)


def _norm(a: Any, b: Any) -> float:
    """Euclidean distance of two trees of weights."""
    pairs = zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True)
    return float(np.sqrt(sum(np.sum((np.float64(x) - y) ** 2) for x, y in pairs)))
