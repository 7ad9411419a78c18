"""Are parameters and training FLOPs, given by formula, those of the weights and programs themselves?"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator
from typing import Any

import jax
import numpy as np
import pytest

from jaxemerge.models import (
    Transformer,
    apply,
    families,
    init,
    llama,
    neox,
    tracing,
)
from small_cell import mean_loss, parameter_shapes

COUNT_VOCABULARY = 154
FAMILIES = (
    families.count_fixed_depth,
    families.count_fixed_width,
    families.count_fixed_parameters,
    families.pass_until,
)


def counted(tree: Any) -> tuple[int, int]:
    """Numbers in a tree of weights: all, and those outside embedding and head."""
    total = sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(tree))
    inner = {k: v for k, v in tree.items() if k not in ("embedding", "head")}
    return total, sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(inner))


def formula(spec: Transformer, vocabulary: int) -> tuple[int, int]:
    return spec.total_parameters(vocabulary), spec.non_embedding_parameters()


@pytest.mark.parametrize("norm", ["rms", "layer"])
@pytest.mark.parametrize(("mlp", "tied"), [("gelu", True), ("geglu", False), ("swiglu", True)])
@pytest.mark.parametrize("bias", [False, True])
def test_parameters_of_every_part(norm: Any, mlp: Any, tied: bool, bias: bool) -> None:
    spec = Transformer(3, 30, 5, norm=norm, mlp=mlp, tied=tied, bias=bias, rotary_fraction=1.0, mlp_ratio=1.9)
    assert formula(spec, 13) == counted(parameter_shapes(spec, 13))


@pytest.mark.parametrize("preset", [neox, llama])
def test_parameters_of_drawn_weights(preset: Callable[..., Transformer]) -> None:
    spec = preset(2, 24, 3)
    assert formula(spec, 13) == counted(init(spec, 13, jax.random.key(0)))


@pytest.mark.parametrize("family", FAMILIES, ids=lambda f: f.__name__)
def test_parameters_of_families(family: Callable[[], list[Transformer]]) -> None:
    members = family()
    for spec in members:
        assert formula(spec, COUNT_VOCABULARY) == counted(parameter_shapes(spec, COUNT_VOCABULARY))


def test_count_families_are_those_of_the_paper() -> None:
    def shapes(specs: list[Transformer]) -> list[tuple[int, int]]:
        return [(spec.depth, spec.width) for spec in specs]

    assert shapes(families.count_fixed_depth()) == [(4, w) for w in (64, 128, 256, 384, 512)]
    assert shapes(families.count_fixed_width()) == [(d, 512) for d in (1, 2, 4, 6, 8)]
    same = families.count_fixed_parameters()
    assert shapes(same) == [(1, 512), (2, 360), (4, 256), (7, 192), (16, 128)]
    millions = [spec.total_parameters(COUNT_VOCABULARY) / 1e6 for spec in same]
    assert millions == pytest.approx([3.31, 3.23, 3.24, 3.17, 3.21], abs=0.005)
    everything = families.count_fixed_depth() + families.count_fixed_width() + same
    assert {spec.head_width for spec in everything} == {64, 72}
    assert all(spec == neox(spec.depth, spec.width, spec.heads) for spec in everything)
    # A GPT-NeoX block has 12 D^2 + 13 D weights; two norms, not one, stand before its branches.
    for spec in everything:
        d, w = spec.depth, spec.width
        assert spec.non_embedding_parameters() == d * (12 * w * w + 13 * w) + 2 * w


def test_pass_until_family_is_that_of_the_paper() -> None:
    specs = families.pass_until()
    assert [spec.depth for spec in specs] == [12, 16, 20, 24, 28, 32, 36]
    assert [spec.heads for spec in specs] == [math.floor(i * (8 + i) / 4) for i in range(3, 10)]
    assert {spec.head_width for spec in specs} == {64}
    billions = [spec.non_embedding_parameters() / 1e9 for spec in specs]
    assert billions == pytest.approx([0.036, 0.109, 0.241, 0.499, 0.892, 1.542, 2.45], rel=0.006)
    assert {(s.norm, s.mlp, s.mlp_ratio, s.tied, s.residual) for s in specs} == {
        ("rms", "geglu", 2.5, True, "sequential")
    }


def products(jaxpr: Any) -> Iterator[int]:
    """2 m n k of every matrix product in a program, whatever it is nested in.

    A product with a single column or row is how a sum is computed on host cores: not counted.
    """
    for equation in jaxpr.eqns:
        if equation.primitive.name == "dot_general":
            (left, _), _ = equation.params["dimension_numbers"]
            inner = math.prod(equation.invars[0].aval.shape[axis] for axis in left)
            if min(equation.outvars[0].aval.shape[-2:]) > 1:
                yield 2 * math.prod(equation.outvars[0].aval.shape) * inner
        for value in equation.params.values():
            for part in value if isinstance(value, (tuple, list)) else (value,):
                inside = getattr(part, "jaxpr", part)
                if hasattr(inside, "eqns"):
                    yield from products(inside)


def traced_flops(spec: Transformer, vocabulary: int, batch: int, length: int) -> int:
    tokens = jax.ShapeDtypeStruct((batch, length), np.int32)
    weights = jax.ShapeDtypeStruct((batch, length), np.float32)

    def objective(params: Any, tokens: Any, weights: Any) -> jax.Array:
        return mean_loss(apply(spec, vocabulary, params, tokens), tokens, weights)

    traced = jax.make_jaxpr(jax.value_and_grad(objective))(
        parameter_shapes(spec, vocabulary), tokens, weights
    )
    return sum(products(traced.jaxpr))


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"mlp": "swiglu", "tied": True, "bias": False},
        {"norm": "rms", "rotary_fraction": 0.0, "mlp": "geglu"},
    ],
    ids=str,
)
def test_training_flops_are_those_of_the_traced_program(changes: dict[str, Any]) -> None:
    """Equal to the last operation, but for the embedding's gradient.

    That is computed as a product with one-hot tokens (2 V D a token), where a lookup would do: it is
    work of this implementation, not of training the model, and the formula leaves it out.
    """
    spec = Transformer(3, 40, 5, mlp_ratio=1.9, **changes)
    vocabulary, batch, length = 37, 2, 23
    per_token = spec.training_flops_per_token(vocabulary, length) + 2 * vocabulary * spec.width
    traced = traced_flops(spec, vocabulary, batch, length)
    assert traced == per_token * batch * length
    for other in ((spec.depth + 1, 40), (spec.depth, 80)):  # a count that misses a part would not notice
        assert (
            traced_flops(Transformer(*other, 5, mlp_ratio=1.9, **changes), vocabulary, batch, length) > traced
        )


@pytest.mark.parametrize(
    "changes",
    [
        {"positions": "fire"},
        {"positions": "fire", "within_example": True},
        {"positions": "alibi"},
        {"positions": "none", "within_example": True},
    ],
    ids=str,
)
def test_flops_of_a_step_by_kind_of_positions(changes: dict[str, Any]) -> None:
    spec, vocabulary, batch, length = Transformer(3, 40, 5, **changes), 37, 2, 23
    tokens = jax.ShapeDtypeStruct((batch, length), np.int32)

    def objective(params: Any, tokens: Any) -> jax.Array:
        return mean_loss(spec.apply(vocabulary, params, tokens, tokens), tokens, tokens)

    program = jax.make_jaxpr(jax.value_and_grad(objective))(parameter_shapes(spec, vocabulary), tokens)
    one_hot = 2 * vocabulary * spec.width * batch * length
    assert sum(products(program.jaxpr)) == spec.step_flops(vocabulary, batch, length) + one_hot
    assert spec.step_flops(vocabulary, batch, length) >= Transformer(3, 40, 5).step_flops(37, batch, length)


@pytest.mark.parametrize("kind", ["none", "learned", "alibi", "fire"])
def test_parameters_by_kind_of_positions(kind: Any) -> None:
    spec = Transformer(3, 30, 5, positions=kind, max_positions=17)
    shapes = parameter_shapes(spec, 13)
    table = shapes.pop("position_embedding", None)
    total, inner = counted(shapes)
    assert formula(spec, 13) == (total + (0 if table is None else 17 * 30), inner)
    assert (table is not None) == (kind == "learned")


@pytest.mark.parametrize(
    "changes",
    [
        {"positions": "fire"},
        {"positions": "fire", "within_example": True},
        {"positions": "alibi"},
        {"dropout": 0.1},
    ],
    ids=str,
)
def test_bytes_by_option(changes: dict[str, Any]) -> None:
    """The formula against all that the traced backward pass keeps, which is an upper bound."""
    spec = neox(2, 64, 2, **changes)

    def loss(params: Any) -> jax.Array:
        zeros = np.zeros((8, 32), np.int32)
        return spec.training_losses(15, params, zeros, zeros, zeros, jax.random.key(0)).sum()

    usual, shapes = neox(2, 64, 2), parameter_shapes(spec, 15)
    found = tracing.step_bytes(loss, shapes) + 3 * 4 * 8 * 32 * 15
    assert found == pytest.approx(spec.activation_bytes(15, 8, 32), rel=0.3)
    assert spec.activation_bytes(15, 8, 32) >= usual.activation_bytes(15, 8, 32)


def test_flops_of_a_known_model() -> None:
    """PaLM, appendix B: 6 N + 12 L H Q T; here by hand for one block of width 64, context 256."""
    spec = neox(1, 64, 1)
    by_hand = 6 * (12 * 64**2 + 154 * 64) + 12 * 1 * 64 * 256
    assert spec.training_flops_per_token(154, 256) == by_hand


def test_bytes() -> None:
    spec = neox(2, 24, 3)
    base = spec.activation_bytes(13, 5, 17)
    gradients = 4 * spec.total_parameters(13)
    assert spec.activation_bytes(13, 10, 17) - gradients == 2 * (base - gradients)
    half = Transformer(2, 24, 3, dtype="bfloat16").activation_bytes(13, 5, 17)
    logits = 12 * 13 * 5 * 17
    assert half - gradients - logits == (base - gradients - logits) / 2
    grows: list[tuple[int, ...]] = [(2, 2, 24, 3), (2, 3, 24, 3), (3, 3, 48, 3), (5, 3, 48, 3)]
    sizes = [neox(d, w, h).activation_bytes(13, b, 17) for b, d, w, h in grows]
    assert all(a < b for a, b in itertools.pairwise(sizes))
