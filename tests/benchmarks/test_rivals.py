"""Does one rival that fails cost no other, and are all of them done in time?"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import peers
import rivals
from rivals import Rivals
from worker import WorkerError

PRODUCT = "product 512"
Run = Callable[[int], None]


class Team:
    """Stands in for processes that train: the same losses, and a run that may fail."""

    work = 4.0

    def __init__(self, name: str, run: Run, prepare: Callable[[], None], loss: float) -> None:
        self.variant, self.run, self.prepare, self.loss = name, run, prepare, loss

    def losses(self) -> list[list[float]]:
        return [[self.loss] * peers.CHECKED_STEPS]


def fails(*_: object) -> None:
    raise WorkerError("out of memory")


def nothing(*_: object) -> None:
    return None


def trained(units: int) -> None:
    time.sleep(1e-4 * units)


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., Rivals]:
    """Rivals whose teams are stand-ins; ``changes`` are fields of a team by name."""

    def start(**changes: Mapping[str, Any]) -> Rivals:
        def stand_in(*_: object) -> Any:
            usual = {"run": trained, "prepare": nothing, "loss": 3.0}
            names = (peers.OURS, PRODUCT, "jax-scan", "torch-eager")
            fields = {name: usual | dict(changes.get(name.replace("-", "_"), {})) for name in names}
            worker = SimpleNamespace(deadline=None, close=lambda wait: None)
            return {name: Team(name, **fields[name]) for name in names}, [worker]

        monkeypatch.setattr(peers, "start", stand_in)
        return Rivals("4x64", [], tmp_path, {}, time.monotonic() + 99, tiny=True)

    return start


def variants(found: dict[str, Any]) -> list[str]:
    return [line["variant"] for line in found["peers"][0]["results"]]


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"run": fails}, "out of memory"),
        ({"prepare": fails}, "out of memory"),
        ({"loss": 9.0}, "its losses are .*: not the same training"),
    ],
    ids=["while it is timed", "at the start", "other losses"],
)
def test_one_that_fails_is_left_out(change: dict[str, Any], why: str, started: Callable[..., Rivals]) -> None:
    found = started(jax_scan=change).measure(time.monotonic() + 99, "device")
    assert variants(found) == ["product-peak", peers.OURS, "torch-eager"]
    with pytest.raises(AssertionError, match=why):
        raise AssertionError(found["peers"][0]["left_out"]["jax-scan"])


@pytest.mark.parametrize("change", [{"run": fails}, {"prepare": fails}])
def test_without_this_library_nothing_is_compared(
    change: dict[str, Any], started: Callable[..., Rivals]
) -> None:
    with pytest.raises(WorkerError, match="out of memory"):
        started(jaxemerge=change).measure(time.monotonic() + 99, "device")


def test_every_round_is_kept_and_time_is_left_for_timing(started: Callable[..., Rivals]) -> None:
    made, kept, deadlines = started(), list[dict[str, Any]](), list[float]()
    checked = peers.checked
    end = time.monotonic() + 99
    with pytest.MonkeyPatch.context() as patch:

        def watched(*of: Any) -> Any:
            deadlines.append(made.workers[0].deadline)  # type: ignore[arg-type]
            return checked(*of)

        patch.setattr(rivals.peers, "checked", watched)
        made.measure(end, "device", kept.append)
    assert len(kept) == made.rounds
    assert all(len(variants(part)) == 4 for part in kept)
    assert deadlines[0] < end - made.rounds * made.seconds
    assert made.workers[0].deadline == end
