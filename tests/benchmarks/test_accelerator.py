"""Does the script for a machine that is there for minutes end in time, lose nothing, see what is wrong?"""

from __future__ import annotations

import json
import math
import threading
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import accelerator
import cells
import journal
import rivals
from accelerator import STEPS, Device, Session, Step
from hours import study_hours
from worker import WorkerError


def options(tmp_path: Path, **changes: Any) -> Any:
    fields = {"minutes": 5.0, "out": tmp_path / "out.json", "tiny": False, "cache": None, "peers": []}
    return SimpleNamespace(**{**fields, **changes})


class Scripted:
    """Stands in for the device's process: answers, failures and how long they take, by step.

    What it sends before it fails or is done is under ``parts``.
    """

    parts: Mapping[str, list[dict[str, Any]]] = {}

    def __init__(self, clock: list[float], script: dict[str, Any]) -> None:
        self.clock, self.script, self.closed = clock, script, 0

    def ask(self, step: str, deadline: float, keep: accelerator.Keep) -> dict[str, Any]:
        seconds, answer = self.script[step]
        patience = deadline - self.clock[0]
        for part in self.parts.get(step, []):
            keep(part)
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
A, B, C = Step("a", 10, 70, "first"), Step("b", 10, 70, "second"), Step("c", 10, 70, "third")


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
    """100 s in all, 8 of them kept back: the second is cut off, the third is not started."""
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


def test_a_step_that_is_cut_off_keeps_what_it_measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second step's time is up after 70 s, with 200 left; the third is not cut short by it."""
    made, scripted = session(tmp_path, monkeypatch, {"a": (1, {}), "b": (150, {}), "c": (60, {})})
    first, second = rate("4x64", 2e-3), rate("4x64", 1e-3)
    scripted.parts = {"b": [{"checks": [RIGHT]}, {"rates": [first]}, {"rates": [second]}]}
    assert not made.run([A, B, C])
    found = json.loads((tmp_path / "out.json").read_text())
    assert found["steps"]["b"]["state"] == "failed: no answer within 70 s"
    assert found["steps"]["c"]["state"] == "done"
    assert found["checks"] == [RIGHT]
    assert found["rates"] == [second]  # the same population, measured for longer


def test_the_file_holds_every_part_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made, scripted = session(tmp_path, monkeypatch, {"a": (1, RuntimeError("taken away"))})
    scripted.parts = {"a": [{"rates": [rate("4x64", 1e-3)]}]}
    with pytest.raises(RuntimeError, match="taken away"):
        made.run([A])
    found = json.loads((tmp_path / "out.json").read_text())
    assert found["steps"]["a"]["state"] == "under way"
    assert [one["cell"] for one in found["rates"]] == ["4x64"]


PEERS = Step("peers 4x64", 10, 70, "others")


class SlowRivals:
    """Stands in for rivals; what was done with them."""

    def __init__(self, log: list[str]) -> None:
        self.log = log

    def measure(self, deadline: float, device: str, keep: accelerator.Keep) -> dict[str, Any]:
        self.log.append("measured")
        return {"peers": [{"cell": "4x64", "results": [], "left_out": {}}]}

    def close(self) -> None:
        self.log.append("closed")


def test_peers_are_timed_when_the_device_s_memory_is_free(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are started before the step that times nothing, and before no other."""
    log: list[str] = []
    made, scripted = session(tmp_path, monkeypatch, {"device": (1, {}), "models": (1, {}), "a": (1, {})})
    monkeypatch.setattr(accelerator, "Rivals", lambda *_, **__: SlowRivals(log))
    monkeypatch.setattr(scripted, "close", lambda: log.append("device closed"))
    ask = scripted.ask
    monkeypatch.setattr(scripted, "ask", lambda step, *rest: (log.append(step), ask(step, *rest))[1])
    prepare = made.prepare
    monkeypatch.setattr(made, "prepare", lambda *of: (log.append("started"), prepare(*of))[1])
    device, models = (step for step in STEPS if step.name in ("device", "models"))
    assert made.run([device, models, PEERS, A])
    expected = ["device", "started", "models", "device closed", "measured", "closed", "a", "device closed"]
    assert log == expected


def test_peers_that_do_not_start_in_time_are_closed_when_they_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log: list[str] = []
    waiting = threading.Event()

    def slow(*_: object, **__: object) -> SlowRivals:
        waiting.wait(30)
        return SlowRivals(log)

    monkeypatch.setattr(accelerator, "Rivals", slow)
    made = Session(options(tmp_path), tmp_path)
    assert not made.run([replace(PEERS, most=0.05)])
    steps = json.loads((tmp_path / "out.json").read_text())["steps"]
    assert steps["peers 4x64"]["state"] == "failed: the processes of the peers did not start in time"
    assert log == []
    waiting.set()
    made._pool.shutdown()
    assert log == ["closed"]


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
        '    print(\'{"part": {"rates": [1]}}\\n{"part": {"rates"\', end=\'\', flush=True)\n'
        "    time.sleep(0.1)\n"  # a line may come in pieces
        "    print(': [1, 2]}}', flush=True)\n"
        "    print('{\"checks\": []}', flush=True)\n"
    )
    device = Device(tmp_path, {}, tiny=True, script=script)
    began = time.monotonic()
    parts: list[dict[str, Any]] = []

    def ask(step: str, seconds: float) -> dict[str, Any]:
        return device.ask(step, time.monotonic() + seconds, parts.append)

    with pytest.raises(WorkerError, match=r"^no answer within 1 s$"):
        ask("hang", 1.0)
    with pytest.raises(WorkerError, match=r"^no answer within 0 s$"):
        ask("hang", -1.0)
    assert time.monotonic() - began < 15
    with pytest.raises(WorkerError, match=r"^its process ended: Segmentation fault$"):
        ask("die", 30.0)
    assert parts == []
    assert ask("live", 30.0) == {"checks": []}
    assert parts == [{"rates": [1]}, {"rates": [1, 2]}]
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
        (["--steps", "speed"], "error: --steps speed: must be one of device, models, peers 4x64"),
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


def rehearsed(steps: str, out: Path) -> dict[str, Any]:
    """What a session of these steps on host cores, with tiny cells, finds: nothing wrong."""
    asked = ["--tiny", "--minutes", "20", "--steps", steps, "--peers", "jax-scan", "--out", str(out)]
    assert accelerator.main(asked) == 0
    found: dict[str, Any] = json.loads(out.read_text())
    states = {name: step["state"] for name, step in found["steps"].items()}
    assert states == dict.fromkeys(steps.split(","), "done")
    assert all(check["right"] for check in found["checks"])
    return found


@pytest.mark.slow
def test_a_rehearsal_on_host_cores(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = rehearsed("device,models,peers 4x64,plain", tmp_path / "out.json")
    assert found["device"]["platform"] == "cpu"
    names = [check["check"] for check in found["checks"]]
    assert "neox, logits, host cores against NumPy" in names
    assert "llama, bfloat16 (attention cpu, blocks plain), gradients" in names
    [compared] = found["peers"]
    assert [r["variant"] for r in compared["results"]] == ["product-peak", "jaxemerge", "jax-scan"]
    assert compared["left_out"] == {}
    assert math.isfinite(compared["results"][-1]["jaxemerge_times_as_fast"])
    assert f"{len(names)} comparisons, 0 wrong; steps: 4 done" in capsys.readouterr().out


@pytest.mark.slow
@pytest.mark.usefixtures("full_optimization_once")  # programs of one seed and of eight agree to the bit
def test_a_rehearsal_of_one_seed_among_eight(tmp_path: Path) -> None:
    found = rehearsed("seeds", tmp_path / "out.json")
    names = [check["check"] for check in found["checks"]]
    assert len([name for name in names if "seed 7 alone and among 8" in name]) == 3
    assert {each["seeds"] for each in found["rates"]} == {1, 8}
    assert all(each["seed_steps_per_second"] > 0 for each in found["rates"])


def test_every_step_says_what_it_takes() -> None:
    assert len({step.name for step in STEPS}) == len(STEPS)
    assert all(0 < step.least < step.most and step.words for step in STEPS)
    assert {step.name.removeprefix("peers ") for step in STEPS if "peers" in step.name} == set(rivals.CELLS)
