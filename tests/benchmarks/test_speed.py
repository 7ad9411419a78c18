"""Are populations timed as they were, and does one that fails cost no other?"""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any

import jax
import pytest

import cells
import speed
import timing
from jaxemerge.devices import compiling_for
from population import Population
from speed import Case

CELL = cells.named("4x64", "bfloat16")
SMALL, LARGE = Case(CELL, 4), Case(CELL, 64)


class Trained(Population):
    """Stands in for a compiled population; ``fault`` is what training ends with."""

    def __init__(self, seeds: int, fault: Exception | None = None) -> None:
        self.seeds, self.fault, self.running = seeds, fault, False
        self.layout, self.compile_seconds = SimpleNamespace(width=seeds), 2.0  # type: ignore[assignment]

    def start(self) -> None:
        self.running = True

    def stop(self) -> None:
        self.running = False

    def run(self, steps: int) -> object:
        if self.fault:
            raise self.fault
        return None

    def text(self) -> str:
        return "no program"

    def temporary_bytes(self) -> int:
        return 100 * self.seeds


@pytest.fixture
def timed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Every variant takes half a second per unit, matrix products and copies a tenth; which were timed."""
    names: list[str] = []

    def interleaved(runs: Any, **_: Any) -> dict[str, list[float]]:
        names.extend(runs)
        return {name: [0.5] * 3 if "seeds" in name else [0.1] * 3 for name in runs}

    monkeypatch.setattr(timing, "interleaved", interleaved)
    monkeypatch.setattr(speed, "_copies", lambda size: lambda n: None)
    monkeypatch.setattr(speed.peak, "_product", lambda devices, size, dtype: lambda n: None)
    return names


def test_a_rate_and_its_shares(timed: list[str]) -> None:
    one = Trained(4)
    [found] = speed.measured({SMALL: one})
    assert found["seed_steps_per_second"] == pytest.approx(8)
    assert found["milliseconds"] == pytest.approx(125)
    assert found["tokens_per_second"] == pytest.approx(8 * 128 * 256)
    assert found["peak_flops_per_second"] == pytest.approx(2 * 2048**3 / 0.1)
    assert found["share_of_peak"] == pytest.approx(8 * CELL.step_flops / (2 * 2048**3 / 0.1))
    assert found["copied_bytes_per_second"] == pytest.approx(2 * 2**27 / 0.1)
    assert found["bytes_per_seed_step"] is found["bytes_per_second"] is found["share_of_bandwidth"] is None
    assert found["temporary_bytes_per_seed"] == 100
    assert (found["cell"], found["dtype"], found["seeds"]) == ("4x64", "bfloat16", 4)
    assert "bfloat16 copy" in timed
    assert not one.running  # its memory is given back


def test_bytes_are_those_of_the_program(timed: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(speed, "bytes_per_seed_step", lambda one: 1e9)
    [found] = speed.measured({SMALL: Trained(4)})
    assert found["bytes_per_second"] == pytest.approx(8e9)
    assert found["share_of_bandwidth"] == pytest.approx(8e9 / (2 * 2**27 / 0.1))


def test_one_that_runs_out_of_memory_costs_no_other(timed: list[str]) -> None:
    full = Trained(64, jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: out of memory\nand a long story"))
    found = {each["seeds"]: each for each in speed.measured({LARGE: full, SMALL: Trained(4)})}
    assert found[64]["error"] == "JaxRuntimeError: RESOURCE_EXHAUSTED: out of memory"
    assert math.isfinite(found[4]["seed_steps_per_second"])
    assert not full.running


def test_one_that_does_not_compile_costs_no_other(monkeypatch: pytest.MonkeyPatch, timed: list[str]) -> None:
    def built(case: Case) -> Population:
        if case == LARGE:
            raise NotImplementedError("no rule")
        return Trained(case.seeds)

    monkeypatch.setattr(speed, "built", built)
    found = speed.measured(speed.all_built([LARGE, SMALL]))
    assert [each.get("error") for each in found] == ["NotImplementedError: no rule", None]


def test_nothing_to_time(timed: list[str]) -> None:
    assert speed.measured({LARGE: "no rule"})[0]["error"] == "no rule"
    assert timed == []


def test_plain_code_is_told_from_kernels() -> None:
    with compiling_for("gpu"):
        fast, plain = (speed.labels(Case(CELL, 4, plain))["code"] for plain in (False, True))
    assert fast != plain
    assert fast["attention"] == "cudnn"
    assert plain["attention"] == "xla"
    assert Case(CELL, 4, plain=True).name == "4x64, bfloat16, 4 seeds, plain code"
