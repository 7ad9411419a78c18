"""Does a prediction say what the compiled program says, and is an answer given again only where it holds?"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import jax
import pytest

from jaxemerge.devices import Layout
from jaxemerge.models import neox
from jaxemerge.models.implementation import kernels
from jaxemerge.training import cost_of, roofline
from jaxemerge.training.chips import chip_named
from jaxemerge.training.compiled import compiled_training
from jaxemerge.training.hlo import parse
from jaxemerge.training.roofline import MEMORY_SHARE, Prediction, kept_prediction, predicted, recomputed_flops
from jaxemerge.training.traffic import step_kernels, total
from small_cell import CELL

H100 = chip_named("h100")
FOUND = Prediction("h100", "bfloat16", 8, 8, 300, 3.0e9, 66e9, 0.0, 3e6, 0.5e9, 0, 41.0)


def test_least_times_are_bytes_and_products_over_what_the_chip_does() -> None:
    assert FOUND.traffic_seconds == pytest.approx(3.0e9 / (0.9 * 3.352e12))
    assert FOUND.arithmetic_seconds == pytest.approx(66e9 / 989.4e12)
    assert FOUND.least_seconds == FOUND.traffic_seconds
    assert replace(FOUND, bytes=1e6).least_seconds == FOUND.arithmetic_seconds
    again = replace(FOUND, recomputed=33e9)
    assert again.arithmetic_seconds == pytest.approx(1.5 * FOUND.arithmetic_seconds)
    single = replace(FOUND, dtype="float32")
    assert single.arithmetic_seconds == pytest.approx(2 * FOUND.arithmetic_seconds)


def test_seeds_that_fit() -> None:
    assert FOUND.side_by_side(10 * 503e6 + 1e6) == 10
    assert FOUND.side_by_side(10 * 503e6 - 1e6) == 9
    assert FOUND.in_turn(0.5e9 + 7 * 3e6) == 7
    assert FOUND.in_turn(0.5e9 + 7 * 3e6 - 1) == 6
    assert FOUND.in_turn(1e6) == 0
    assert FOUND.side_by_side() == int(MEMORY_SHARE * H100.memory / 503e6) == 113


@pytest.fixture
def on_host(monkeypatch: pytest.MonkeyPatch) -> None:
    """Compiles for the host's devices in place of the chip's."""
    monkeypatch.setattr(roofline, "described", lambda chip: tuple(jax.devices()[:2]))


@pytest.mark.usefixtures("on_host")
def test_a_prediction_is_per_device_and_seed(tmp_path: Path) -> None:
    seeds, width = 6, 3
    found = predicted(CELL, H100, seeds, width=width, cache=tmp_path)
    done = compiled_training(CELL, Layout(tuple(jax.devices()[:2]), width), 2 * seeds)
    assert found.bytes == pytest.approx(total(step_kernels(parse(done.text))) / width)
    assert found.state == pytest.approx(done.state / seeds)
    assert found.temporary == pytest.approx(done.temporary / width)
    assert found.flops == cost_of(CELL).flops
    assert (found.seeds, found.width, found.collectives) == (seeds, width, 0)
    assert found.dtype == "float32"


@pytest.mark.parametrize(
    ("fits", "seeds", "kernels"), [(8, 8, True), (3, 2, True), (1, 1, True), (0, 1, False)]
)
def test_fewer_seeds_where_the_compiler_runs_out_of_memory(
    monkeypatch: pytest.MonkeyPatch, fits: int, seeds: int, kernels: bool
) -> None:
    """A TPU's compiler says RESOURCE_EXHAUSTED before anything runs."""

    def compiled_for(recipe: object, chip: object, seeds: int, width: int) -> tuple[Prediction, str]:
        assert width == seeds
        if seeds > fits:
            raise jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: Ran out of memory on HBM, 42.71G of 15.75G")
        return replace(FOUND, seeds=seeds), "text"

    monkeypatch.setattr(roofline, "_as_compiled", compiled_for)
    found, text = roofline.compiled_prediction(CELL, H100, 8)
    assert (found.seeds, found.kernels > 0, bool(text)) == (seeds, kernels, kernels)


def test_another_failure_of_the_compiler_is_raised(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise jax.errors.JaxRuntimeError("INTERNAL: no such instruction")

    monkeypatch.setattr(roofline, "_as_compiled", broken)
    with pytest.raises(jax.errors.JaxRuntimeError, match="no such instruction"):
        roofline.compiled_prediction(CELL, H100, 8)


def test_an_answer_is_kept_and_given_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def compile_once(*arguments: object, **_: object) -> tuple[Prediction, str]:
        asked.append(arguments)
        return replace(FOUND, kernels=len(asked)), ""

    monkeypatch.setattr(roofline, "compiled_prediction", compile_once)
    first = predicted(CELL, H100, cache=tmp_path)
    assert predicted(CELL, H100, cache=tmp_path) == first
    assert predicted(replace(CELL, steps=999), H100, cache=tmp_path) == first  # the same program
    assert len(asked) == 1
    for cell, chip, seeds in (
        (replace(CELL, batch=5), H100, 8),
        (CELL, chip_named("a100"), 8),
        (CELL, H100, 16),
    ):
        assert predicted(cell, chip, seeds, cache=tmp_path) != first
    assert len(asked) == 4
    monkeypatch.setattr(roofline, "_library", lambda: "other code")
    assert predicted(CELL, H100, cache=tmp_path).kernels == 5


def test_other_kernels_are_another_program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(roofline, "compiled_prediction", lambda *_, **__: (FOUND, ""))
    predicted(CELL, H100, cache=tmp_path)
    with kernels():
        assert kept_prediction(CELL, H100, cache=tmp_path) is None
    assert kept_prediction(CELL, H100, cache=tmp_path) == FOUND


@pytest.mark.parametrize("what", ["flags", "flax", "kernels that failed"])
def test_an_answer_holds_for_the_same_circumstances(
    what: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(roofline, "compiled_prediction", lambda *_, **__: (FOUND, ""))
    monkeypatch.setenv("XLA_FLAGS", "--xla_a=1")
    cell = replace(CELL, model=neox(1, 64, 1, dtype="bfloat16"))
    predicted(cell, H100, cache=tmp_path)
    assert kept_prediction(cell, H100, cache=tmp_path) == FOUND
    if what == "flags":
        monkeypatch.setenv("XLA_FLAGS", "--xla_a=2")
    elif what == "flax":
        version_of = roofline.version_of
        monkeypatch.setattr(roofline, "version_of", lambda name: "9" if name == what else version_of(name))
    else:
        monkeypatch.setattr("jaxemerge.models.implementation.blocks_work", lambda *_: False)
    assert kept_prediction(cell, H100, cache=tmp_path) is None


def test_work_that_fused_kernels_repeat() -> None:
    """By hand for width 64: the MLP forward takes 4 D F; 6 D F are repeated, and 4 D V for the head."""
    cell = replace(CELL, model=neox(2, 64, 1, dtype="bfloat16"))
    tokens, vocabulary = cell.batch * cell.context, cell.task.vocabulary
    rotations = 12 * 64 * 64
    by_hand = tokens * (2 * (6 * 64 * 256 + rotations) + 4 * 64 * vocabulary)
    assert recomputed_flops(cell, H100) == by_hand
    wide = replace(cell, model=neox(2, 384, 6, dtype="bfloat16"))
    wide_by_hand = tokens * (2 * (2 * 384 * 1536 + 12 * 64 * 384) + 4 * 384 * vocabulary)
    assert recomputed_flops(wide, H100) == wide_by_hand
    assert recomputed_flops(CELL, H100) == 0.0  # in float32 plain code computes
    assert recomputed_flops(cell, chip_named("tpu-v5e")) == 0.0


def test_a_damaged_answer_is_compiled_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(roofline, "compiled_prediction", lambda *_, **__: (FOUND, ""))
    predicted(CELL, H100, cache=tmp_path)
    [file] = tmp_path.iterdir()
    for content in ("", "{}", file.read_text().replace('"kernels"', '"other"')):
        file.write_text(content)
        assert predicted(CELL, H100, cache=tmp_path) == FOUND
        assert '"kernels"' in file.read_text()
