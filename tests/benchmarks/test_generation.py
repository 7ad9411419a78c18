"""Does the benchmark of generation time the same texts, and count what sampling costs?"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest

import generation
from jaxemerge.devices import Layout
from jaxemerge.models import neox
from jaxemerge.tasks import Markov

TINY = Markov(words=5, length=9, texts=7), neox(1, 8, 1), 3


@pytest.fixture
def tiny(monkeypatch: pytest.MonkeyPatch) -> None:
    made = generation.workload
    monkeypatch.setattr(generation, "workload", lambda *a: made(*TINY))
    monkeypatch.setattr(generation, "CAPS", (4,))


def test_it_runs(tiny: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out.jsonl"
    arguments = ["--seeds", "3", "--rounds", "1", "--seconds", "0.001", "--rows", "8", "--json", str(out)]
    assert generation.main(arguments) == 0
    found = [json.loads(line) for line in out.read_text().splitlines()]
    fast = {row["variant"]: row for row in found[:3]}
    assert list(fast) == [generation.POPULATION, generation.ONE, generation.FULL]
    assert [row["seeds"] for row in fast.values()] == [3, 3, min(3, jax.local_device_count())]
    assert fast[generation.POPULATION]["population_is_times"] == 1
    for row in fast.values():
        assert row["same_tokens"] >= 0.99
        assert row["value"] > 0
    costs = found[3:]
    assert [row["cap"] for row in costs] == [4]
    for row in costs:
        assert row["samples"] >= 3
        assert row["texts_per_sample"] >= 1
    said = capsys.readouterr().out
    assert "tokens/s" in said
    assert "texts/sample" in said


def test_a_variant_that_writes_other_texts_is_seen() -> None:
    """The forward pass over whole texts draws with the same numbers; with others it would not agree."""
    work = generation.workload(*TINY)
    whole = work.texts(None, range(3), 0)
    full: Any = generation.without_cache(work, Layout(tuple(jax.devices()[:1]), 1))()
    assert generation.check_same({generation.POPULATION: whole, generation.FULL: full}) >= 0.99
    other = np.where(work.items.writes, (whole + 1) % 5, whole)
    with pytest.raises(ValueError, match=r"of the tokens agree: the variants write different texts"):
        generation.check_same({generation.POPULATION: whole, generation.FULL: other})


def test_numbers_out_of_range(capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("seeds", "items", "rounds", "seconds"):
        with pytest.raises(SystemExit) as stopped:
            generation.main([f"--{name}", "0"])
        assert stopped.value.code == 2
        assert f"--{name} 0" in capsys.readouterr().err
