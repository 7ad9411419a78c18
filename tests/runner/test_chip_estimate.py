"""Does the plan for another chip add up, with and without a compiler for it?"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from jaxemerge.devices import compiling_for
from jaxemerge.models import neox
from jaxemerge.runner import chip_estimate
from jaxemerge.runner.chip_estimate import chip_estimates
from jaxemerge.runner.experiment import Experiment
from jaxemerge.tasks import Count
from jaxemerge.training import AdamW, cost_of, paired
from jaxemerge.training.chips import chip_named
from jaxemerge.training.compiled import CompilerMissingError
from jaxemerge.training.plan import cell_bytes
from jaxemerge.training.roofline import Prediction

H100 = chip_named("h100")
CELL = Experiment(
    Count(),
    neox(4, 64, 1, dtype="bfloat16"),
    AdamW(1e-3),
    steps=700,
    batch=128,
    context=256,
    seeds=paired(range(250)),
)
FOUND = Prediction("h100", "bfloat16", 8, 8, 300, 3.0e9, 66e9, 0.0, 3e6, 0.5e9, 0, 41.0)


@pytest.fixture
def compiled(monkeypatch: pytest.MonkeyPatch) -> list[Experiment]:
    """Cells that were compiled; each has the same needs."""
    seen: list[Experiment] = []

    def found(experiment: Experiment, *_: object, **__: object) -> Prediction:
        seen.append(experiment)
        return FOUND

    monkeypatch.setattr(chip_estimate, "described", lambda chip: ())
    monkeypatch.setattr(chip_estimate, "predicted", found)
    return seen


def test_chunks_are_what_fits_shared_out_evenly(compiled: list[Experiment]) -> None:
    [one] = chip_estimates([CELL], H100)
    assert FOUND.side_by_side() == 113
    assert one.chunk == 84  # three chunks: 84 + 84 + 82
    assert one.bytes == pytest.approx(84 * 503e6)
    assert one.seed_steps == 3 * 84 * 700
    assert one.flops == pytest.approx(one.seed_steps * 66e9)
    assert one.least_seconds == pytest.approx(one.seed_steps * FOUND.traffic_seconds)
    assert [found.chunk for found in chip_estimates([CELL], H100, memory=int(10.5 * 503e6))] == [10]
    [few] = chip_estimates([CELL.with_seeds(paired(range(7)))], H100)
    assert (few.chunk, few.seed_steps) == (7, 7 * 700)
    assert len(compiled) == 3


def test_a_cell_that_does_not_fit_has_no_chunk(compiled: list[Experiment]) -> None:
    [one] = chip_estimates([CELL], H100, memory=502_000_000)
    assert (one.chunk, one.bytes) == (0, 0)
    assert one.seed_steps == 250 * 700
    assert compiled == [CELL]


def test_at_most_256_at_once(monkeypatch: pytest.MonkeyPatch, compiled: list[Experiment]) -> None:
    monkeypatch.setattr(chip_estimate, "predicted", lambda *_, **__: replace(FOUND, temporary=1e6))
    [one] = chip_estimates([CELL.with_seeds(paired(range(1000)))], H100)
    assert one.chunk == 250
    assert compiled == []


def test_cells_that_share_a_program_are_compiled_once(compiled: list[Experiment]) -> None:
    faster = replace(CELL, optimizer=AdamW(3e-3))
    wider = replace(CELL, model=replace(CELL.model, width=128, heads=2))
    assert len([*chip_estimates([CELL, faster, wider], H100)]) == 3
    assert compiled == [CELL, wider]


def test_a_cell_is_announced_before_it_is_compiled(
    monkeypatch: pytest.MonkeyPatch, compiled: list[Experiment], tmp_path: Path
) -> None:
    announced: list[tuple[Experiment, int]] = []

    def note(cell: Experiment) -> None:
        announced.append((cell, len(compiled)))

    assert len([*chip_estimates([CELL], H100, compiling=note)]) == 1
    assert announced == [(CELL, 0)]
    monkeypatch.setattr(chip_estimate, "kept_prediction", lambda *_, **__: FOUND)
    assert len([*chip_estimates([CELL], H100, cache=tmp_path, compiling=note)]) == 1
    assert announced == [(CELL, 0)]


def test_without_a_compiler_the_formula_speaks(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(chip: object) -> None:
        raise CompilerMissingError("pip install x")

    monkeypatch.setattr(chip_estimate, "described", missing)
    assert str(chip_estimate.compiler_missing(H100)) == "pip install x"
    [one] = chip_estimates([CELL], H100)
    assert (one.prediction.kernels, one.prediction.bytes) == (0, 0.0)
    with compiling_for("gpu"):
        assert (one.prediction.state, one.prediction.temporary) == cell_bytes(CELL)
    assert one.prediction.temporary < cell_bytes(CELL)[1] / 4  # kernels that keep no scores and no logits
    products = cost_of(CELL).flops + one.prediction.recomputed
    assert products > 1.3 * cost_of(CELL).flops
    assert one.prediction.least_seconds == pytest.approx(products / 989.4e12)
    assert one.chunk > 10
