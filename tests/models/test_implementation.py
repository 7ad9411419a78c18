"""Is the right code chosen for each platform, and does the traced program hold it?"""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxemerge.devices import compiling_for
from jaxemerge.models import Transformer, apply, families, init, kernels, neox
from jaxemerge.models.implementation import implementation

CUDNN = "dot_product_attention_fwd"


def spec_of(width: int = 64, heads: int = 1, **changes: Any) -> Transformer:
    return neox(1, width, heads, dtype="bfloat16", **changes)


@pytest.mark.parametrize(
    ("spec", "platform", "attention"),
    [
        (spec_of(), "gpu", "cudnn"),
        (spec_of(), "tpu", "xla"),
        (spec_of(), "cpu", "cpu"),
        (neox(1, 64, 1), "gpu", "xla"),  # float32
        (spec_of(360, 5), "gpu", "cudnn"),  # heads of 72
        (spec_of(128, 1), "gpu", "cudnn"),
        (spec_of(256, 1), "gpu", "xla"),  # wider than cuDNN takes on all GPUs
        (spec_of(60, 5, rotary_fraction=0.5), "gpu", "xla"),  # heads of 12
    ],
)
def test_choice(spec: Transformer, platform: str, attention: str) -> None:
    assert implementation(spec, platform).attention == attention


def test_all_cells_of_the_count_study_take_fused_attention() -> None:
    cells = families.count_fixed_depth() + families.count_fixed_width() + families.count_fixed_parameters()
    specs = [dataclasses.replace(cell, dtype="bfloat16") for cell in cells]
    assert {implementation(spec, "gpu").attention for spec in specs} == {"cudnn"}


def test_kernels_are_switched_off_and_on() -> None:
    with kernels():
        assert implementation(spec_of(), "gpu").attention == "xla"
        with kernels("cudnn"):
            assert implementation(spec_of(), "gpu").attention == "cudnn"
        assert implementation(spec_of(), "gpu").attention == "xla"
    assert implementation(spec_of(), "gpu").attention == "cudnn"
    with (
        pytest.raises(ValueError, match=r"^kernels\('cuda',\): must be among cudnn, fused$"),
        kernels("cuda"),
    ):  # type: ignore[arg-type]
        pass


def traced(spec: Transformer, platform: str) -> str:
    """The program of the gradient as it is traced for a platform."""
    params = jax.eval_shape(lambda: init(spec, 11, jax.random.key(0)))
    tokens = jax.ShapeDtypeStruct((2, 16), jnp.int32)

    def total(params: Any, tokens: Any) -> Any:
        return apply(spec, 11, params, tokens).sum()

    with compiling_for(platform):
        return str(jax.make_jaxpr(lambda p, t: jax.grad(total)(p, t))(params, tokens))


@pytest.mark.usefixtures("_cudnn")
def test_the_program_holds_what_was_chosen() -> None:
    assert traced(spec_of(), "gpu").count(CUDNN) >= 1
    for spec, platform in ((spec_of(), "tpu"), (spec_of(), "cpu"), (neox(1, 64, 1), "gpu")):
        assert CUDNN not in traced(spec, platform)
    with kernels():
        assert CUDNN not in traced(spec_of(), "gpu")


@pytest.fixture
def _cudnn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lets programs be traced with cuDNN's attention where there is no cuDNN."""
    from jax._src.cudnn import fused_attention_stablehlo

    monkeypatch.setattr(fused_attention_stablehlo, "check_cudnn_version", lambda: 91000)


def test_provenance_names_the_code() -> None:
    assert spec_of().implementation() == {"attention": "cpu", "blocks": "plain"}
    with compiling_for("gpu"):
        assert spec_of().implementation() == {"attention": "cudnn", "blocks": "fused"}


def test_plain_path_on_a_gpu_equals_that_of_the_cpu() -> None:
    """In float32, where both are plain products: the same mathematics in another order."""
    spec, tokens = neox(2, 24, 3, rotary_fraction=0.5), np.arange(14, dtype=np.int32).reshape(2, 7) % 11
    params = init(spec, 11, jax.random.key(1))
    with compiling_for("gpu"):
        other = apply(spec, 11, params, tokens)
    np.testing.assert_allclose(apply(spec, 11, params, tokens), other, atol=1e-6)
