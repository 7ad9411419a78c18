"""Does the throughput benchmark measure what it says?"""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

import cells
import throughput
import timing


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> cells.Cell:
    """A cell of the quick study's batch, small enough for a test."""
    made = replace(cells.laptop(32, 1, 2, 16), name="small")
    monkeypatch.setitem(cells.LAPTOP, "small", made)
    return made


@pytest.mark.slow
def test_a_population_and_single_seeds_are_measured(small: cells.Cell, tmp_path: Path) -> None:
    out = tmp_path / "out.jsonl"
    asked = ["small", "--here", "--seeds", "2,4", "--rounds", "2", "--seconds", "0.01", "--json", str(out)]
    assert throughput.main(asked) == 0
    found = [timing.read(line) for line in out.read_text().splitlines()]
    assert [(r.variant, r.seeds) for r in found] == [
        (throughput.ONE, 1),
        (throughput.POPULATION, 2),
        (throughput.POPULATION, 4),
    ]
    for r in found:
        assert r.unit == "seed-steps/s"
        assert r.value > 0
        assert r.more["tokens_per_second"] == pytest.approx(r.value * 2 * 16)
        assert r.more["model_flops_per_second"] == pytest.approx(r.value * small.step_flops)
        share = r.more["model_flops_per_second"] / r.more["peak_flops_per_second"]
        assert r.more["share_of_peak"] == pytest.approx(share)
        assert 0 < r.more["share_of_peak"] < 1
        assert r.more["precision"] == "float32"
    # Compiling is a difference of two times: 0 where the second is the longer one.
    assert all(r.more["compile_seconds"] >= 0 and r.more["peak_bytes"] > 1e7 for r in found[1:])


def test_a_cell_that_does_not_fit_is_reported(small: cells.Cell, monkeypatch: pytest.MonkeyPatch) -> None:
    import jax

    def build(cell: cells.Cell, layout: object, seeds: int, **_: object) -> object:
        if seeds > 2:
            raise jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: out of memory\nand a long story")
        return SimpleNamespace(seeds=seeds, run=lambda n: None, compile_seconds=0.5)

    monkeypatch.setattr(throughput, "Population", build)
    monkeypatch.setattr(timing, "interleaved", lambda runs, **_: {name: [0.1, 0.1] for name in runs})
    monkeypatch.setattr(throughput.peak, "products", lambda dtype: {})
    monkeypatch.setattr(throughput.peak, "peak", lambda seen, devices: 1e12)
    found = throughput.measure(small, [2, 4], rounds=2, seconds=0.01)
    assert [r.seeds for r in found] == [1, 2, 4]
    assert math.isnan(found[-1].value)
    assert found[-1].more["error"] == "RESOURCE_EXHAUSTED: out of memory"


def test_cells_without_time_left_are_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """An accelerator measures the study's cells; the exit code says that one is missing."""

    def timed(names: list[str], *_: object) -> tuple[list[timing.Result], dict[str, str]]:
        assert list(names) == list(cells.STUDY)
        found = timing.Result("throughput", "device", "4x64", throughput.POPULATION, 32, 10.0, "seed-steps/s")
        return [found], {"16x128": "no time left of 9 minutes"}

    monkeypatch.setattr(throughput, "_has_accelerator", lambda: True)
    monkeypatch.setattr(throughput, "_in_processes", timed)
    assert throughput.main([]) == 1
    assert capsys.readouterr().err == "16x128 left out: no time left of 9 minutes\n"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["5x5"], "error: cell '5x5': must be one of quick, width128, width256, or DEPTHxWIDTH"),
        (["--seeds", "0"], "error: --seeds 0: must be different positive numbers, as in 8,64,256"),
        (["--seeds", "8,x"], "error: --seeds 8,x: must be different positive numbers"),
        (["--rounds", "0"], "error: --rounds: must be at least 1"),
    ],
)
def test_bad_options(arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        throughput.main(arguments)
    assert stopped.value.code == 2
    assert capsys.readouterr().err.startswith(message)
