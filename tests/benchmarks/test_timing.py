"""Are timings taken in turns, told as they were, and cells the ones they claim to be?"""

from __future__ import annotations

import math
from pathlib import Path
from types import SimpleNamespace

import pytest

import cells
import peak
import peers
import timing


def test_variants_take_turns_and_each_round_starts_with_another(monkeypatch: pytest.MonkeyPatch) -> None:
    calls, clock = list[str](), [0.0]
    monkeypatch.setattr(timing, "time", SimpleNamespace(perf_counter=lambda: clock[0]))

    def variant(name: str, seconds: float) -> timing.Run:
        def run(n: int) -> None:
            calls.append(name)
            clock[0] += seconds * n

        return run

    seen = timing.interleaved({"a": variant("a", 0.004), "b": variant("b", 0.008)}, rounds=4, seconds=0.02)
    assert calls[-8:] == ["a", "b", "b", "a", "a", "b", "b", "a"]
    assert [len(times) for times in seen.values()] == [4, 4]
    assert timing.median_ratio(seen["b"], seen["a"]) == pytest.approx(
        2
    )  # per unit, however often each was repeated


def test_nothing_to_time_is_refused() -> None:
    with pytest.raises(ValueError, match=r"^0 variants in rounds=3: there must be at least 1 of each$"):
        timing.interleaved({}, rounds=3, seconds=1)


def test_results_read_back(tmp_path: Path) -> None:
    found = [
        timing.Result("peers", "2 x CPU", "2x64", "jax", 16, 12.5, "seed-steps/s", {"rounds": 9}),
        timing.Result("peers", "2 x CPU", "2x64", "torch", 16, math.nan, "seed-steps/s", {"error": "no"}),
    ]
    timing.write(found, tmp_path / "new" / "out.jsonl")
    lines = (tmp_path / "new" / "out.jsonl").read_text().splitlines()
    first, second = map(timing.read, lines)
    assert first == found[0]
    assert math.isnan(second.value)
    assert '"versions": {"python"' in lines[0]


def test_table_aligns_numbers_to_the_right() -> None:
    assert timing.table(("name", "ms"), [("one", 1.2345), ("eleven", 12345.6), ("none", math.nan)]).split(
        "\n"
    ) == ["name        ms", "------  ------", "one       1.23", "eleven  12,346", "none         -"]


def test_spread_is_half_the_quartile_distance() -> None:
    assert timing.spread([1.0, 2.0, 3.0, 4.0, 5.0]) == pytest.approx(1 / 3)
    assert math.isnan(timing.spread([1.0]))


def test_cells() -> None:
    quick = cells.named("quick", "float32")
    assert (quick.model.depth, quick.model.width, quick.model.head_width) == (2, 64, 32)
    assert (quick.batch, quick.context) == (16, 64)
    per_token = quick.model.training_flops_per_token(quick.task.vocabulary, 64)
    assert quick.step_flops == per_token * 16 * 64
    study = cells.named("16x128", "bfloat16")
    assert (study.batch, study.context, study.model.head_width, study.model.dtype) == (
        128,
        256,
        64,
        "bfloat16",
    )
    assert len(cells.grid("float32")) == 15
    with pytest.raises(ValueError, match=r"^cell '4x65': must be one of quick, width128, width256, or DEPTH"):
        cells.named("4x65", "float32")


def test_peak_is_the_best_size() -> None:
    seen = {"product 100": [2e-6, 1e-6, 1e-6], "product 200": [1.6e-5] * 3, "jaxemerge": [1e-9]}
    assert peak.peak(seen, 2) == pytest.approx(2 * 2 * 100**3 / 1e-6)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--rounds", "0"], "error: --rounds 0: must be positive"),
        (["--variants", "tensorflow"], "error: --variants tensorflow: must be one of jaxemerge"),
        (["--width", "7", "--variants", "jaxemerge"], "error: "),
        (["--context", "3", "--variants", "jaxemerge"], "error: --context 3: must be at least"),
    ],
)
def test_bad_options(arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        peers.main(arguments)
    assert stopped.value.code == 2
    said = capsys.readouterr().err
    assert said.startswith(message)
    assert said.count("\n") == 1


@pytest.mark.slow
def test_peers_train_the_same(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """A tiny cell, the variants that need no PyTorch; exit code 0 says that all losses agreed."""
    sizes = {"--width": 32, "--depth": 1, "--batch": 2, "--context": 32, "--seeds": 2, "--rounds": 2}
    shape = [str(part) for pair in sizes.items() for part in pair]
    out = tmp_path / "out.jsonl"
    names = "jaxemerge,jax-loop,jax-scan,jax-vmap"
    assert peers.main([*shape, "--seconds", "0.02", "--variants", names, "--json", str(out)]) == 0
    found = [timing.read(line) for line in out.read_text().splitlines()]
    assert [r.variant for r in found] == ["product-peak", *names.split(",")]
    assert all(r.value > 0 for r in found)
    assert "the best of the other JAX variants" in capsys.readouterr().out
