"""Do the comparisons pass what is right, and see what is wrong?"""

from __future__ import annotations

import warnings
from dataclasses import replace
from typing import Any

import jax
import numpy as np
import pytest

import correctness
from correctness import FORMS, HOST, Check, gradient_difference, largest_difference
from jaxemerge.devices import compiling_for
from jaxemerge.models import apply, layers, neox
from jaxemerge.models.implementation import KERNELS
from small_cell import mean_loss

SPEC = neox(1, 24, 3)
TOKENS = np.random.default_rng(0).integers(0, correctness.VOCABULARY, (2, 11), dtype=np.int32)


@pytest.fixture(scope="module")
def checks() -> dict[str, Check]:
    found = correctness.model_checks({"neox": SPEC}, batch=2, length=11)
    return {one.name.replace(" (attention cpu, blocks plain)", ""): one for one in found}


def test_a_right_model_passes(checks: dict[str, Check]) -> None:
    assert all(one.right for one in checks.values())
    assert checks["neox, logits, host cores against NumPy"].seen > 0
    assert checks["neox, bfloat16, logits"].seen > 10 * checks["neox, float32, products in full, logits"].seen


def test_a_wrong_model_is_seen(monkeypatch: pytest.MonkeyPatch, checks: dict[str, Check]) -> None:
    """GELU by tanh instead of erf on the device alone: in float32 the differences are far beyond rounding."""
    host = correctness.on_host(SPEC, TOKENS)
    monkeypatch.setattr(layers, "gelu", lambda x: jax.nn.gelu(x, approximate=True))
    seen = correctness.on_device(SPEC, TOKENS, FORMS[0])
    assert largest_difference(seen.logits, host.logits) > FORMS[0].logits
    assert gradient_difference(seen.gradients, host.gradients)[0] > FORMS[0].gradients


def test_the_host_is_held_against_numpy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(layers, "gelu", lambda x: jax.nn.gelu(x, approximate=True))
    [first, *_] = correctness.model_checks({"neox": SPEC}, batch=2, length=11)
    assert first.name == "neox, logits, host cores against NumPy"
    assert not first.right


def test_gradients_are_those_of_the_loss() -> None:
    """Against a difference quotient, along one direction, in float32."""
    found = correctness.on_device(SPEC, TOKENS, HOST)
    params, rng = correctness.weights_of(SPEC), np.random.default_rng(2)
    direction = jax.tree.map(lambda x: rng.standard_normal(x.shape).astype(np.float32), params)

    def loss(step: float) -> float:
        moved: Any = jax.tree.map(lambda x, d: x + step * d, params, direction)
        tokens = jax.numpy.asarray(TOKENS)
        logits = apply(SPEC, correctness.VOCABULARY, moved, tokens)
        return float(mean_loss(logits, tokens, jax.numpy.ones(TOKENS.shape)))

    slope = (loss(1e-3) - loss(-1e-3)) / 2e-3
    pairs = zip(jax.tree.leaves(found.gradients), jax.tree.leaves(direction), strict=True)
    assert sum(float(np.sum(g * d)) for g, d in pairs) == pytest.approx(slope, rel=0.02)


def test_forms_that_are_the_same_code_are_tried_once() -> None:
    wide = replace(SPEC, width=192)  # heads of 64
    assert [form.name for form in correctness.told_apart(wide)] == [
        "float32, products in full",
        "float32",
        "bfloat16",
    ]
    with compiling_for("gpu"):
        names = [form.name for form in correctness.told_apart(wide)]
    assert "bfloat16, plain code" in names
    assert len(names) >= 4
    assert len([name for name in names if name.startswith("bfloat16")]) <= 2 + len(KERNELS)


def test_a_form_that_does_not_compile_is_a_finding(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(spec: Any, tokens: Any, form: Any) -> Any:
        raise RuntimeError("INTERNAL: no kernel image\nand a long story")

    host = correctness.on_host(SPEC, TOKENS)
    monkeypatch.setattr(correctness, "on_host", lambda spec, tokens: host)
    monkeypatch.setattr(correctness, "on_device", broken)
    found = list(correctness.model_checks({"neox": SPEC}, batch=2, length=11))[1:]
    assert {one.note for one in found} == {"RuntimeError: INTERNAL: no kernel image"}
    assert not any(one.right for one in found)
    assert found[0].record()["seen"] is None


def test_a_kernel_that_is_less_exact_than_plain_code_is_seen() -> None:
    """Both are within what bfloat16 allows; the kernel's error is three times that of the plain code."""
    errors = {"float32": 1e-6, correctness.PLAIN: 0.01, "bfloat16, cudnn alone": 0.011, "bfloat16": 0.03}
    found = {one.name: one for one in correctness.against_plain("neox", errors)}
    assert len(found) == 2
    assert found["neox, bfloat16, cudnn alone, error over that of the plain code"].right
    assert found["neox, bfloat16, error over that of the plain code"].seen == pytest.approx(3)
    assert not found["neox, bfloat16, error over that of the plain code"].right
    assert list(correctness.against_plain("neox", {"bfloat16": 0.01})) == []


def test_a_kernel_that_cannot_be_used_is_a_finding(monkeypatch: pytest.MonkeyPatch) -> None:
    def told_apart(spec: Any) -> list[Any]:
        warnings.warn("cuDNN's attention cannot be used on H100", stacklevel=1)
        return []

    monkeypatch.setattr(correctness, "told_apart", told_apart)
    first = next(correctness.model_checks({"neox": SPEC}, batch=2, length=11))
    assert (first.name, first.right) == ("cuDNN's attention cannot be used on H100", False)


def test_no_number_is_never_right() -> None:
    expected = np.ones(3)
    assert largest_difference(np.array([1.0, np.nan, 1.0]), expected) == np.inf
    assert gradient_difference({"a": np.array([np.inf])}, {"a": np.array([1.0])}) == (np.inf, "['a']")


def test_the_worst_weight_is_named() -> None:
    right = {"large": np.full(4, 3.0), "small": np.full(4, 1e-9)}
    assert gradient_difference({**right, "large": np.full(4, 3.3)}, right) == (
        pytest.approx(0.1),
        "['large']",
    )
    # What is nearly 0 is held against the whole gradient, not against itself.
    assert gradient_difference({**right, "small": np.full(4, 2e-9)}, right)[0] < 1e-5


class Trained:
    """Stands in for a population: weights that tell their seed, with a fault where it is asked for."""

    def __init__(self, first: int, seeds: int, fault: float = 0.0, width: int = 1) -> None:
        self.first, self.seeds, self.fault, self.calls = first, seeds, fault, 0
        self.layout = type("Layout", (), {"width": width})

    def weights(self, steps: int) -> Any:
        self.calls += 1
        each = np.arange(self.first, self.first + self.seeds, dtype=np.float32)[:, None] + np.ones(3)
        return {"w": (each * (1 + 0.01 * steps) + self.fault * self.calls).astype(np.float32)}

    def final_losses(self, steps: int) -> np.ndarray:
        return np.arange(self.first, self.first + self.seeds) + 1.0 + self.fault


def test_training_that_is_not_repeated_is_seen() -> None:
    cell: Any = type("Cell", (), {"name": "4x64"})
    [same] = correctness.repetition_checks(cell, Trained(0, 8))  # type: ignore[arg-type]
    [other] = correctness.repetition_checks(cell, Trained(0, 8, 1e-3))  # type: ignore[arg-type]
    assert (same.seen, same.right) == (0, True)
    assert (other.seen, other.right) == (24, False)


def test_a_seed_that_depends_on_its_neighbours_is_seen() -> None:
    cell: Any = type("Cell", (), {"name": "4x64"})
    alone: Any = Trained(7, 1)

    def right(other: Any) -> list[bool]:
        return [one.right for one in correctness.seed_checks(cell, 7, alone, [other])]

    assert right(Trained(0, 16)) == [True] * 3
    assert right(Trained(1, 16)) == [False] * 3  # another seed's
    assert right(Trained(0, 16, 1.0)) == [False] * 3
    # Side by side only the initial weights must be the same to the bit.
    assert right(Trained(0, 16, 1e-3, width=16)) == [False, True, True]
