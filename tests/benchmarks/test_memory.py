"""Does the memory benchmark compare a real peak with the plan, and is the plan right?"""

from __future__ import annotations

from pathlib import Path

import pytest

import memory
import timing


@pytest.mark.slow
@pytest.mark.usefixtures("full_optimization_once")
def test_the_plan_is_within_a_fifth_of_the_peak(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out.jsonl"
    assert memory.main(["small", "--json", str(out)]) == 0
    (found,) = [timing.read(line) for line in out.read_text().splitlines()]
    assert (found.cell, found.seeds, found.unit) == ("small", 16, "bytes")
    assert found.value > 2e8
    assert found.more["planned_over_peak"] == pytest.approx(found.more["planned_bytes"] / found.value)
    assert 0.8 <= found.more["planned_over_peak"] <= 1.2
    assert capsys.readouterr().out.splitlines()[0].split()[:3] == ["cell", "seeds", "at"]


def test_an_unknown_cell_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        memory.main(["tiny"])
    assert stopped.value.code == 2
    assert capsys.readouterr().err.startswith(
        "error: cell 'tiny': must be one of small, large, large, in chunks"
    )
