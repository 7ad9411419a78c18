"""Does the scaling benchmark measure what it says, and refuse what it cannot?"""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import jax
import pytest

import scaling
import timing
from cells import laptop
from population import Population

TINY = {"width": 32, "depth": 1, "batch": 2, "context": 16, "seeds": 2}
ARGUMENTS = [str(part) for name, value in TINY.items() for part in (f"--{name}", value)]


def test_every_axis_has_values() -> None:
    assert scaling.values("seeds") == (8, 16, 32, 64, 128, 256)
    assert scaling.values("devices") == (1, 2)  # tests/conftest.py asked for two


def test_other_devices(monkeypatch: pytest.MonkeyPatch) -> None:
    for count, expected in ((1, (1,)), (3, (1, 2)), (8, (1, 2, 4, 8))):
        monkeypatch.setattr(jax, "local_device_count", lambda count=count: count)
        assert scaling.values("devices") == expected


def test_a_population_is_what_was_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    made = []
    monkeypatch.setattr(scaling, "Population", lambda *a, **options: made.append((*a, options)))
    cell, _ = scaling.population({**TINY, "devices": 2, "seeds": 7, "depth": 3})
    (same, layout, seeds, options) = made[0]
    assert same == cell
    assert (cell.model.depth, cell.model.width, cell.batch, cell.context) == (3, 32, 2, 16)
    assert (len(layout.devices), seeds, options) == (2, 7, {"fillers": 1})
    _, _ = scaling.population({**TINY, "devices": 1, "seeds": 256})  # one chunk, however many
    assert made[1][2:] == (256, {"fillers": 0})


def test_every_call_has_the_same_number_of_steps() -> None:
    asked: list[int] = []
    scaling.calls(SimpleNamespace(run=asked.append), 5)(3)
    assert asked == [5, 5, 5]


def test_costs_are_those_of_a_seed_and_step(monkeypatch: pytest.MonkeyPatch) -> None:
    """Populations that take 2 ms a seed-step, those of more than 2 seeds 3 ms."""

    def fake(shape: dict[str, int]) -> object:
        seeds = shape["seeds"]
        one = SimpleNamespace(seeds=seeds, work=float(seeds), compile_seconds=0.25, run=seeds)
        return laptop(32, 1, 2, 16), one

    def timed(runs: dict[str, int], **_: object) -> dict[str, list[float]]:
        return {name: [seeds * 7 * (2e-3 if seeds <= 2 else 3e-3)] * 3 for name, seeds in runs.items()}

    monkeypatch.setattr(scaling, "population", fake)
    monkeypatch.setattr(scaling, "calls", lambda one, steps: one.run)
    monkeypatch.setattr(timing, "interleaved", timed)
    options = scaling.parser().parse_args(["--steps", "7", "--rounds", "3"])
    found = scaling.measure("seeds", (2, 5), {**TINY, "devices": 2}, options)
    assert [r.value for r in found] == pytest.approx([2.0, 3.0])
    assert [r.more["times_first"] for r in found] == pytest.approx([1.0, 1.5])
    assert found[1].more["model_flops_per_second"] == pytest.approx(laptop(32, 1, 2, 16).step_flops / 3e-3)
    assert [r.more["steps_per_call"] for r in found] == [7, 7]


@pytest.mark.slow
def test_results_and_table(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    out = tmp_path / "out.jsonl"
    options = ["--rounds", "2", "--seconds", "0.01", "--json", str(out)]
    assert scaling.main(["seeds", "--values", "2,4", *ARGUMENTS, *options]) == 0
    found = [timing.read(line) for line in out.read_text().splitlines()]
    assert [(r.variant, r.more["at"], r.seeds) for r in found] == [("seeds", 2, 2), ("seeds", 4, 4)]
    assert all(r.unit == "ms per seed-step" and r.value > 0 and r.more["compile_seconds"] > 0 for r in found)
    assert found[0].more["times_first"] == 1
    assert found[0].device.startswith("2 x ")
    printed = capsys.readouterr().out.splitlines()
    assert printed[0].split()[:4] == ["axis", "at", "cell", "seeds"]
    assert len(printed) == 4


@pytest.mark.slow
def test_seeds_that_fill_up_do_not_count() -> None:
    cell, asked = scaling.population({**TINY, "devices": 2, "seeds": 1})
    assert (asked.seeds, asked.work) == (1, 1.0)
    both = Population(cell, asked._program.layout, 2)
    assert both.work == 2.0
    assert asked.losses(2) == both.losses(2)  # seed 0's


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--rounds", "0"], "error: --rounds 0: must be positive"),
        (["--steps", "0"], "error: --steps 0: must be positive"),
        (["--batch", "-1"], "error: --batch -1: must be positive"),
        (["height"], "error: axis height: must be one of seeds, depth, width, context, devices"),
        (["--values", "1,2"], "error: --values 1,2: name the one axis that they belong to"),
        (["seeds", "depth", "--values", "1"], "error: --values 1: name the one axis that they belong to"),
        (["seeds", "--values", "8,x"], "error: --values 8,x: must be different positive numbers, as in 8,64"),
        (["seeds", "--values", "8,8"], "error: --values 8,8: must be different positive numbers"),
        (["depth", "--values", "0"], "error: --values 0: must be different positive numbers"),
        (["context", "--values", "3"], "error: context=3: must be at least 15"),
        (["devices", "--values", "9"], "error: devices=9: must be 1 to 2 here"),
    ],
)
def test_bad_options(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = scaling.population
    warmed: list[object] = []  # the first call is only there to warm up

    def after_warming(shape: dict[str, int]) -> object:
        warmed.append(shape)
        return None if len(warmed) == 1 else whole(shape)

    monkeypatch.setattr(scaling, "population", after_warming)
    with pytest.raises(SystemExit) as stopped:
        scaling.main(arguments)
    assert stopped.value.code == 2
    said = capsys.readouterr().err.removeprefix(f"measuring {arguments[0]}\n")
    assert said.startswith(message)
    assert said.count("\n") == 1
