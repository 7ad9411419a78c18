"""Does the script for a machine that is there for minutes end in time, lose nothing, see what is wrong?"""

from __future__ import annotations

import json
import math
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import accelerator
import cells
import journal
from accelerator import STEPS, Device, Session, Step
from hours import study_hours
from worker import WorkerError


def options(tmp_path: Path, **changes: Any) -> Any:
    fields = {"minutes": 5.0, "out": tmp_path / "out.json", "tiny": False, "cache": None, "peers": []}
    return SimpleNamespace(**{**fields, **changes})


class Scripted:
    """Stands in for the device's process: answers, failures and how long they take, by step."""

    def __init__(self, clock: list[float], script: dict[str, Any]) -> None:
        self.clock, self.script, self.closed = clock, script, 0

    def ask(self, step: str, patience: float) -> dict[str, Any]:
        seconds, answer = self.script[step]
        if seconds > patience:
            self.clock[0] += patience
            raise WorkerError(f"no answer within {patience:.0f} s")
        self.clock[0] += seconds
        if isinstance(answer, Exception):
            raise answer
        return answer

    def close(self) -> None:
        self.closed += 1


def session(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: dict[str, Any], **changes: Any
) -> tuple[Session, Scripted]:
    clock = [0.0]
    monkeypatch.setattr(accelerator.time, "monotonic", lambda: clock[0])
    made = Session(options(tmp_path, **changes), tmp_path)
    scripted = Scripted(clock, script)
    monkeypatch.setattr(made, "device", scripted)
    return made, scripted


def rate(cell: str, seconds: float, dtype: str = "bfloat16", plain: bool = False) -> dict[str, Any]:
    fields = {"cell": cell, "dtype": dtype, "seeds": 8, "plain": plain, "code": {"attention": "xla"}}
    others = ("share_of_peak", "bytes_per_seed_step", "bytes_per_second", "share_of_bandwidth")
    numbers = {"seed_steps_per_second": 1 / seconds, "milliseconds": 1e3 * seconds}
    return {**fields, **numbers, **dict.fromkeys(others)} | {"share_of_peak": 0.1}


RIGHT = {"check": "a", "seen": 0.0, "allowed": 1.0, "right": True}
WRONG = {"check": "b", "seen": None, "allowed": 1.0, "right": False}
A, B, C = Step("a", 10, "first"), Step("b", 10, "second"), Step("c", 10, "third")


def test_the_file_is_whole_after_every_step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made, scripted = session(
        tmp_path, monkeypatch, {"a": (20, {"checks": [RIGHT]}), "b": (30, {"rates": [rate("4x64", 1e-3)]})}
    )
    seen = []
    write = journal.write_json

    def watched(path: Path, value: Any) -> None:
        write(path, value)
        seen.append(json.loads(path.read_text()))

    monkeypatch.setattr(journal, "write_json", watched)
    assert made.run([A, B])
    assert [sorted(found["steps"]) for found in seen] == [["a"], ["a", "b"]]
    assert seen[0]["checks"] == [RIGHT]
    assert seen[1]["steps"]["b"] == {"state": "done", "seconds": 30.0}
    assert "total" in seen[1]["hours"]["bfloat16"]
    assert scripted.closed == 1


def test_steps_without_time_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """100 s in all, 8 of them kept back: the second is cut off, the third is not begun."""
    made, _ = session(tmp_path, monkeypatch, {"a": (60, {}), "b": (50, {}), "c": (1, {})}, minutes=100 / 60)
    assert not made.run([A, B, C])
    steps = json.loads((tmp_path / "out.json").read_text())["steps"]
    assert steps["a"]["state"] == "done"
    assert steps["b"]["state"] == "failed: no answer within 32 s"
    assert steps["c"]["state"] == "skipped: 0 s left, and it takes 10"
    assert "c: skipped: 0 s left" in capsys.readouterr().out


def test_a_step_that_fails_costs_no_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script = {"a": (1, WorkerError("its process ended: Aborted")), "b": (1, {"checks": [RIGHT]})}
    made, _ = session(tmp_path, monkeypatch, script)
    assert not made.run([A, B])
    found = json.loads((tmp_path / "out.json").read_text())
    assert found["steps"]["a"]["state"] == "failed: its process ended: Aborted"
    assert found["checks"] == [RIGHT]


def test_a_wrong_number_is_a_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    made, _ = session(tmp_path, monkeypatch, {"a": (1, {"checks": [RIGHT, WRONG]})})
    assert not made.run([A])
    assert "WRONG b: no number (allowed 1)" in capsys.readouterr().out
    assert "2 comparisons, 1 wrong; steps: 1 done" in journal.summary(made.journal.found)


def test_a_process_that_hangs_or_dies_is_replaced(tmp_path: Path) -> None:
    script = tmp_path / "hangs.py"
    script.write_text(
        "import sys, time\n"
        "for line in sys.stdin:\n"
        "    if 'hang' in line: time.sleep(60)\n"
        "    if 'die' in line: sys.exit('Segmentation fault')\n"
        "    print('{\"checks\": []}', flush=True)\n"
    )
    device = Device(tmp_path, {}, tiny=True, script=script)
    began = time.monotonic()
    with pytest.raises(WorkerError, match=r"^no answer within 1 s$"):
        device.ask("hang", 1.0)
    assert time.monotonic() - began < 15
    with pytest.raises(WorkerError, match=r"^its process ended: Segmentation fault$"):
        device.ask("die", 30.0)
    assert device.ask("live", 30.0) == {"checks": []}
    device.close()


def test_hours_of_a_machine_with_one_speed() -> None:
    """Where every FLOP takes the same time, the hours of all cells are those of their FLOPs."""
    speed = 2e14
    timed = {name: cells.named(name, "bfloat16").step_flops / speed for name in ("4x64", "4x256", "16x128")}
    found = study_hours(timed, "bfloat16")
    assert found is not None
    grid = cells.grid("bfloat16")
    assert found.total == pytest.approx(sum(cell.step_flops for cell in grid) / speed * 250 * 10_000 / 3600)
    assert len(grid) == 15
    assert set(found.interpolated) == {cell.name for cell in grid} - set(timed)
    assert study_hours({"quick": 1e-6}, "bfloat16") is None


def test_only_the_best_population_of_a_cell_counts() -> None:
    failed = {"cell": "4x64", "dtype": "bfloat16", "plain": False, "error": "out of memory"}
    rates = [rate("4x64", 2e-3), rate("4x64", 1e-3), rate("4x64", 1e-4, plain=True), failed]
    alone = study_hours({"4x64": 1e-3}, "bfloat16")
    found = journal.hours([*rates, rate("1x32, batch 2x16", 1e-9)])
    assert alone is not None
    assert found["bfloat16"]["total"] == pytest.approx(alone.total)
    assert set(found) == {"bfloat16"}


def test_what_a_population_reads_like() -> None:
    lines = journal.rates_table([rate("4x64", 1e-3), {**rate("4x512", 1e-2), "error": "out of memory"}])
    assert "seed-steps/s" in lines
    assert "1,000" in lines
    assert "out of memory" in lines


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--steps", "speed"], "error: --steps speed: must be one of device, models, seeds"),
        (["--peers", "tensorflow"], "error: --peers tensorflow: must be one of jaxemerge"),
        (["--minutes", "0"], "error: --minutes 0: must be positive"),
        (["--train", "5x5"], "error: --train 5x5: must be one of 4x64"),
    ],
)
def test_bad_options(arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        accelerator.main(arguments)
    assert stopped.value.code == 2
    assert capsys.readouterr().err.startswith(message)


@pytest.mark.slow
def test_a_rehearsal_on_host_cores(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out.json"
    steps = "device,models,seeds,peers 4x64,plain"
    asked = ["--tiny", "--minutes", "20", "--steps", steps, "--peers", "jax-scan", "--out", str(out)]
    assert accelerator.main(asked) == 0
    found = json.loads(out.read_text())
    assert {name: step["state"] for name, step in found["steps"].items()} == dict.fromkeys(
        steps.split(","), "done"
    )
    assert found["device"]["platform"] == "cpu"
    names = [check["check"] for check in found["checks"]]
    assert "neox, logits, host cores against NumPy" in names
    assert "llama, bfloat16 (attention cpu, blocks plain), gradients" in names
    assert any("seed 7 alone and among 8, initial weights" in name for name in names)
    assert all(check["right"] for check in found["checks"])
    assert {each["seeds"] for each in found["rates"]} == {1, 8}
    assert all(each["seed_steps_per_second"] > 0 for each in found["rates"])
    [compared] = found["peers"]
    assert [r["variant"] for r in compared["results"]] == ["product-peak", "jaxemerge", "jax-scan"]
    assert compared["left_out"] == {}
    assert math.isfinite(compared["results"][-1]["jaxemerge_times_as_fast"])
    assert f"{len(found['checks'])} comparisons, 0 wrong; steps: 5 done" in capsys.readouterr().out


def test_every_step_says_what_it_takes() -> None:
    assert len({step.name for step in STEPS}) == len(STEPS)
    assert all(step.least > 0 and step.words for step in STEPS)
