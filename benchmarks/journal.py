"""What ``accelerator.py`` has found so far: in a JSON file, and as text."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import timing
from hours import study_hours
from jaxemerge.files import make_folder, write_json

# What tells the entries of a list apart: a later one takes the place of an earlier one of the same name.
_NAMES = {"checks": ("check",), "rates": ("cell", "dtype", "seeds", "plain"), "peers": ("cell",)}


class Journal:
    """All findings so far. The file is complete at any time."""

    def __init__(self, path: Path | None) -> None:
        self.path = path
        if path is not None:
            make_folder(path.resolve().parent)
        self.found: dict[str, Any] = {"steps": {}, "checks": [], "rates": [], "peers": []}

    def add(self, step: str, state: str, seconds: float, answer: Mapping[str, Any]) -> None:
        """Adds what a step found, or has found so far, and writes the file."""
        self.found["steps"][step] = {"state": state, "seconds": round(seconds, 1)}
        for name, value in answer.items():
            self.found[name] = _merged(self.found[name], value, _NAMES[name]) if name in _NAMES else value
        self.found["hours"] = hours(self.found["rates"])
        if self.path is not None:
            write_json(self.path, timing.plain(self.found))


def _merged(
    old: Sequence[Mapping[str, Any]], new: Sequence[Mapping[str, Any]], names: Sequence[str]
) -> list[Mapping[str, Any]]:
    """Both lists, of entries with the same names only the newest."""
    return list({tuple(entry[name] for name in names): entry for entry in (*old, *new)}.values())


def hours(rates: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Hours of the whole count study, by precision, from each cell's fastest population."""
    found = {}
    for dtype in ("bfloat16", "float32"):
        best: dict[str, float] = {}
        for rate in rates:
            if rate["dtype"] == dtype and not rate["plain"] and "error" not in rate:
                seconds = 1 / rate["seed_steps_per_second"]
                best[rate["cell"]] = min(best.get(rate["cell"], seconds), seconds)
        whole = study_hours({cell: t for cell, t in best.items() if "," not in cell}, dtype)
        if whole is not None:
            by_cell, interpolated = whole.by_cell, list(whole.interpolated)
            found[dtype] = {"total": whole.total, "by_cell": by_cell, "interpolated": interpolated}
    return found


def show(state: str, answer: Mapping[str, Any]) -> None:
    """Prints what a step found."""
    if state != "done":
        print(state, flush=True)
    for name, value in answer.get("device", {}).items():
        print(f"  {name}: {value:.4g}" if isinstance(value, float) else f"  {name}: {value}")
    checks = answer.get("checks", [])
    for check in checks:
        allowed = "for information" if check["allowed"] is None else f"allowed {check['allowed']:.2g}"
        mark = "ok   " if check["right"] else "WRONG"
        seen = "no number" if check["seen"] is None else f"{check['seen']:.2g}"
        print(f"  {mark} {check['check']}: {seen} ({allowed}) {check.get('note', '')}".rstrip())
    if answer.get("rates"):
        print(rates_table(answer["rates"]))
    sys.stdout.flush()


def rates_table(rates: Sequence[Mapping[str, Any]]) -> str:
    """One line per population."""
    names = ("seed_steps_per_second", "milliseconds", "share_of_peak")
    rows: list[tuple[object, ...]] = []
    for rate in rates:
        start = (rate["cell"], rate["dtype"], rate["seeds"], ", ".join(rate["code"].values()))
        if "error" in rate:
            rows.append((*start, *[float("nan")] * 6, rate["error"]))
            continue
        more = [rate["bytes_per_seed_step"], rate["bytes_per_second"], rate["share_of_bandwidth"]]
        scaled = [float("nan") if v is None else v / by for v, by in zip(more, (1e9, 1e12, 1), strict=True)]
        rows.append((*start, *(rate[name] for name in names), *scaled, ""))
    header = (
        "cell",
        "precision",
        "seeds",
        "code",
        "seed-steps/s",
        "ms",
        "of peak",
        "GB/step",
        "TB/s",
        "of copy",
    )
    return timing.table((*header, ""), rows)


def summary(found: Mapping[str, Any]) -> str:
    """The last lines."""
    lines = [
        f"the count study in {dtype}: {whole['total']:.1f} hours of training, "
        f"{len(whole['interpolated'])} of its cells interpolated by width"
        for dtype, whole in found.get("hours", {}).items()
    ]
    wrong = sum(not check["right"] for check in found["checks"])
    states = [step["state"].partition(":")[0] for step in found["steps"].values()]
    counts = ", ".join(f"{states.count(state)} {state}" for state in dict.fromkeys(states))
    return "\n".join([*lines, f"{len(found['checks'])} comparisons, {wrong} wrong; steps: {counts}"])
