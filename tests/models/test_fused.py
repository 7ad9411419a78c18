"""Do the fused kernels, run operation by operation, give the values and gradients of the plain code?"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import special

from jaxemerge.devices import compiled, compiling_for
from jaxemerge.models import kernels, neox
from jaxemerge.models.fused import check, interpreted, mlp, projection, tiles
from jaxemerge.models.implementation import implementation
from jaxemerge.models.transformer import Transformer, apply, decoder
from small_cell import parameter_shapes

FLOAT32, BFLOAT16 = 2e-6, 8e-3  # largest norm of a difference over that expected; 4e-7 and 4e-3 seen


def distances(case: check.Case, dtype: Any) -> list[float]:
    """How far a kernel is from plain code, in each result and gradient."""
    arguments = jax.tree.map(lambda x: x.astype(dtype) if x.dtype == jnp.bfloat16 else x, case.arguments)
    pairs = [check.values_and_gradients(code)(*arguments) for code in (case.kernel, case.plain)]
    return [check.distance(*pair) for pair in zip(*pairs, strict=True)]


SIZES = [
    pytest.param("float32", FLOAT32, (1, 64, 16, 192), id="float32"),
    pytest.param("bfloat16", BFLOAT16, (4, 32, 8, 64), id="bfloat16"),
    pytest.param("float32", FLOAT32, (6, 32, 0, 128), id="width192", marks=pytest.mark.slow),
    pytest.param("bfloat16", BFLOAT16, (4, 64, 64, 256), id="width256", marks=pytest.mark.slow),
]


@pytest.mark.parametrize("which", range(3), ids=["qkv", "end", "nll"])
@pytest.mark.parametrize(("dtype", "tolerance", "sizes"), SIZES)
def test_equals_plain_code(
    which: int, dtype: str, tolerance: float, sizes: tuple[int, int, int, int]
) -> None:
    found = distances(check.cases(*sizes, True)[which], dtype)
    assert len(found) == (7, 9, 4)[which]
    assert max(found) < tolerance
    if dtype == "bfloat16":
        assert max(found) > 20 * FLOAT32  # or it would not be bfloat16 that was tested


@pytest.fixture
def _kept_hidden_layer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mlp, "_KEEP_WIDTH", 64)


@pytest.mark.usefixtures("_kept_hidden_layer")
def test_backward_pass_that_keeps_the_hidden_layer() -> None:
    assert max(distances(check.cases(1, 64, 16, 128, True)[1], "float32")) < FLOAT32


def _gelu_by_tanh(x: Any) -> Any:
    return jax.nn.gelu(x, approximate=True), tiles_gelu(x)[1]


def _slope_of_one(x: Any) -> Any:
    return tiles_gelu(x)[0], jnp.ones_like(x)


def _no_mean(x_ref: Any, here: Any, epsilon: float) -> Any:
    mean, inverse = tiles_moments(x_ref, here, epsilon)
    return 0 * mean, inverse


def _positions_from_the_block(start: Any, length: int) -> Any:
    return tiles.pl.ds(start, tiles.ROWS), jnp.arange(tiles.ROWS) % length


tiles_gelu, tiles_moments = tiles.gelu_and_slope, tiles.moments
FAULTS: dict[str, tuple[Any, str, Any, int]] = {
    "GELU by tanh": (tiles, "gelu_and_slope", _gelu_by_tanh, 1),
    "slope of GELU forgotten": (tiles, "gelu_and_slope", _slope_of_one, 1),
    "mean not subtracted": (tiles, "moments", _no_mean, 0),
    "rotation the other way": (
        projection,
        "_turned_back",
        lambda g, part, turn: projection._turned(g, part, turn, g.dtype),
        0,
    ),
}


@pytest.mark.parametrize("name", FAULTS)
def test_sees_a_fault(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    module, attribute, wrong, which = FAULTS[name]
    monkeypatch.setattr(module, attribute, wrong)
    assert max(distances(check.cases(1, 64, 16, 64, True)[which], "float32")) > 20 * FLOAT32


def test_gelu_and_its_slope() -> None:
    x = np.linspace(-12, 12, 4001, dtype=np.float32)
    value, slope = (np.asarray(part, np.float64) for part in tiles.gelu_and_slope(jnp.asarray(x)))
    exact = x.astype(np.float64)
    phi, density = special.ndtr(exact), np.exp(-(exact**2) / 2) / np.sqrt(2 * np.pi)
    assert np.abs(value - exact * phi).max() < 5e-7
    assert np.abs(slope - phi - exact * density).max() < 5e-7
    assert np.abs(np.asarray(jax.nn.gelu(x)) - exact * phi).max() > 1e-4  # by tanh


@pytest.mark.parametrize(("rows", "padded"), [(64, 64), (65, 128), (1, 64)])
def test_rows_are_padded(rows: int, padded: int) -> None:
    x = tiles.padded(jnp.ones((rows, 3)))
    assert x.shape == (padded, 3)
    assert x.sum() == rows * 3


@pytest.mark.parametrize(
    ("blocks", "n", "parts"), [(512, 4, 8), (512, 32, 1), (5, 4, 1), (12, 4, 4), (8, 999, 1)]
)
def test_segments_divide_the_blocks(blocks: int, n: int, parts: int) -> None:
    assert tiles.segments(blocks, n) == parts


class Model:
    """A small model on a GPU, its kernels run operation by operation."""

    spec = neox(1, 64, 2, dtype="bfloat16", mlp_ratio=1.0)
    vocabulary = 67

    @functools.cached_property
    def params(self) -> Any:
        """Weights whose biases and scales are far from their initial values."""
        rng = np.random.default_rng(3)

        def draw(path: Any, leaf: Any) -> Any:
            noise = rng.normal(size=leaf.shape).astype(np.float32)
            return {"scale": 1 + 0.3 * noise, "bias": 0.3 * noise}.get(str(path[-1].key), 0.15 * noise)

        return jax.tree_util.tree_map_with_path(draw, parameter_shapes(self.spec, self.vocabulary))

    @functools.cached_property
    def tokens(self) -> np.ndarray:
        return np.random.default_rng(1).integers(0, self.vocabulary, (3, 37), dtype=np.int32)

    def loss_and_gradients(self, spec: Transformer, params: Any) -> list[np.ndarray]:
        def mean(params: Any) -> Any:
            return decoder(spec, self.vocabulary, params).losses(self.tokens, self.tokens[:, ::-1]).mean()

        return [
            np.asarray(leaf, np.float64)
            for leaf in jax.tree.leaves(jax.jit(jax.value_and_grad(mean))(params))
        ]


model = Model()


@pytest.fixture
def _on_gpu() -> Iterator[None]:
    with compiling_for("gpu"), kernels("fused"), interpreted():
        yield


@pytest.mark.usefixtures("_on_gpu")
def test_a_model_of_fused_blocks_equals_one_of_plain_layers() -> None:
    """Both in bfloat16 are as far from float32 as rounding makes them, and no further."""
    assert implementation(model.spec, "gpu").blocks == "fused"
    fused = model.loss_and_gradients(model.spec, model.params)
    with kernels():
        plain = model.loss_and_gradients(model.spec, model.params)
        fine = model.loss_and_gradients(neox(1, 64, 2, mlp_ratio=1.0), model.params)
    for one, other, exact in zip(fused, plain, fine, strict=True):
        rounding = check.distance(other, exact)
        assert 0 < check.distance(one, exact) < max(2 * rounding, 1e-3)


@pytest.mark.usefixtures("_on_gpu")
def test_logits_of_fused_blocks() -> None:
    def logits() -> Any:
        return jax.jit(lambda params: apply(model.spec, model.vocabulary, params, model.tokens))(model.params)

    fused = logits()
    with kernels():
        plain = logits()
    assert 0 < check.distance(np.asarray(fused), np.asarray(plain)) < 0.02


@pytest.mark.slow
@pytest.mark.usefixtures("_on_gpu")
def test_seeds_side_by_side_are_those_one_by_one() -> None:
    def loss(params: Any) -> Any:
        return decoder(model.spec, model.vocabulary, params).losses(model.tokens, model.tokens).mean()

    both = jax.tree.map(lambda x: np.stack([x, x[::-1]]), model.params)
    together, one_by_one = jax.jit(jax.vmap(jax.grad(loss)))(both), jax.jit(jax.grad(loss))
    for i in range(2):
        alone = one_by_one(jax.tree.map(lambda x, i=i: x[i], both))
        for one, other in zip(jax.tree.leaves(alone), jax.tree.leaves(together), strict=True):
            assert check.distance(np.asarray(other[i]), np.asarray(one)) < 5e-3


@pytest.mark.slow
def test_the_check_finds_nothing_wrong() -> None:
    assert check.fault(1, 64, 16, 64, interpret=True) is None


def broken(kernel: Callable[..., Any]) -> list[check.Case]:
    return [check.Case("broken", kernel, lambda x: 2.0 * x, (jnp.ones((2, 3)),))]


def test_the_check_names_what_is_wrong() -> None:
    assert check.first_fault(broken(lambda x: 2.0 * x)) is None
    off = check.first_fault(broken(lambda x: 2.1 * x))
    assert off == "broken: differs from plain code by 0.05, more than 0.015"
    assert "by inf" in str(check.first_fault(broken(lambda x: x * jnp.nan)))


def test_the_check_sees_a_kernel_whose_bits_change() -> None:
    draws = iter(np.random.default_rng(0).normal(size=9))

    def other_each_time(x: Any) -> Any:
        return x * jax.pure_callback(lambda: np.float32(next(draws)), jax.ShapeDtypeStruct((), jnp.float32))

    kernel = jax.custom_jvp(other_each_time)
    kernel.defjvp(lambda primal, tangent: (other_each_time(*primal), 2.0 * tangent[0]))
    assert check.first_fault(broken(kernel)) == "broken: two runs give different bits"


def test_a_kernel_is_compiled_once_with_the_options_of_programs(monkeypatch: pytest.MonkeyPatch) -> None:
    made = []

    def noting(function: Any) -> Any:
        made.append(function)
        return compiled(function)

    monkeypatch.setattr(check, "compiled", noting)
    assert check.first_fault(broken(lambda x: 2.0 * x)) is None
    assert len(made) == 2  # the kernel and the plain code
