"""How are timings taken and told? Shared by all benchmarks.

Variants are warmed up, then measured in turns, so that a machine that slows down slows all of them;
what is reported are medians, and medians of ratios within a turn.
"""

from __future__ import annotations

import argparse
import dataclasses
import importlib.metadata
import json
import math
import platform
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

_MOST_REPEATS = 100_000
_PACKAGES = ("jaxemerge", "jax", "jaxlib", "flax", "optax", "numpy", "torch")

Run = Callable[[int], object]  # does its work n times, and returns when all of it is done


class Parser(argparse.ArgumentParser):
    """Says what is wrong in one line and exits with 2."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"error: {message}\n")


def numbers(option: str, text: str) -> tuple[int, ...]:
    """The numbers that an option lists with commas.

    Raises:
        ValueError: they are not positive whole numbers, or one is there twice.
    """
    parts = text.split(",")
    if not all(part.isdecimal() and int(part) for part in parts) or len(set(parts)) < len(parts):
        raise ValueError(f"{option} {text}: must be different positive numbers, as in 8,64,256")
    return tuple(map(int, parts))


@dataclasses.dataclass(frozen=True)
class Result:
    """One measured number.

    Attributes:
        benchmark: the script.
        device: how many of which device.
        cell: model and batch, by name.
        variant: what was timed.
        seeds: seeds trained together.
        value: the number; NaN where there is none (the reason is in ``more``).
        unit: its unit.
        more: whatever else matters, by name.
    """

    benchmark: str
    device: str
    cell: str
    variant: str
    seeds: int
    value: float
    unit: str
    more: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    def line(self) -> str:
        """As one line of JSON, with the versions of what was used; NaN becomes null."""
        fields = dataclasses.asdict(self)
        more = fields.pop("more")
        return json.dumps(plain({**fields, **more, "versions": versions()}), allow_nan=False)


def plain(value: Any) -> Any:
    """As JSON has it: keys are text, tuples lists, what is no number or infinite null."""
    if isinstance(value, dict):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [plain(v) for v in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def read(line: str) -> Result:
    """The Result of a line of JSON."""
    fields = json.loads(line)
    fields.pop("versions")
    known = {f.name: fields.pop(f.name) for f in dataclasses.fields(Result) if f.name != "more"}
    known["value"] = math.nan if known["value"] is None else known["value"]
    return Result(**known, more=fields)


def versions() -> dict[str, str]:
    """Versions of Python and of the packages that are installed."""
    found = {"python": platform.python_version()}
    for name in _PACKAGES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def device_name(platform_name: str, kind: str, count: int) -> str:
    """``2 x AMD EPYC``; a host's devices go by the name of its processor."""
    return f"{count} x {_processor() if platform_name == 'cpu' else kind}"


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def host_peak_bytes() -> int:
    """Most of the host's memory that this process has used so far; 0 where the system does not say."""
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError:
        return 0
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))


def interleaved(
    runs: Mapping[str, Run],
    *,
    rounds: int,
    seconds: float,
    so_far: Callable[[Mapping[str, Sequence[float]]], object] = lambda seen: None,
) -> dict[str, list[float]]:
    """Seconds per unit of work of every variant in every round.

    Each variant is called once to warm up, then with ever more repeats until it is known how many
    last about ``seconds``. Every round measures all variants; each starts with another one.

    Args:
        runs: by name; must block until their work is done.
        rounds: measurements of each variant.
        seconds: how long one measurement should last.
        so_far: called after every round with all that was seen.

    Raises:
        ValueError: no variant or no round.
    """
    if not runs or rounds < 1:
        raise ValueError(f"{len(runs)} variants in rounds={rounds}: there must be at least 1 of each")
    repeats = {name: _calibrated(run, seconds) for name, run in runs.items()}
    order, seen = list(runs), {name: list[float]() for name in runs}
    for i in range(rounds):
        start = i % len(order)
        for name in order[start:] + order[:start]:
            seen[name].append(_timed(runs[name], repeats[name]) / repeats[name])
        so_far(seen)
    return seen


def _calibrated(run: Run, seconds: float) -> int:
    run(1)
    repeats, spent = 1, _timed(run, 1)
    while spent < 0.3 * seconds and repeats < _MOST_REPEATS:
        repeats = max(repeats + 1, int(repeats * min(10.0, 0.7 * seconds / max(spent, 1e-9))))
        spent = _timed(run, repeats)
    return min(max(1, round(repeats * seconds / max(spent, 1e-9))), _MOST_REPEATS)


def _timed(run: Run, repeats: int) -> float:
    began = time.perf_counter()
    run(repeats)
    return time.perf_counter() - began


def median_ratio(above: Sequence[float], below: Sequence[float]) -> float:
    """Median over rounds of the ratio within a round."""
    return statistics.median(a / b for a, b in zip(above, below, strict=True))


def spread(values: Sequence[float]) -> float:
    """Half the distance between the quartiles, as a share of the median; NaN of a single value."""
    if len(values) < 2:
        return math.nan
    low, middle, high = statistics.quantiles(values, n=4, method="inclusive")
    return (high - low) / 2 / middle


def write(results: Sequence[Result], path: Path | None) -> None:
    """Writes a line of JSON per result to a file, or prints them."""
    lines = "".join(f"{result.line()}\n" for result in results)
    if path is None:
        print(lines, end="", flush=True)
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(lines)


def table(header: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """Columns of text; numbers to the right."""
    cells = [list(header)] + [[_shown(value) for value in row] for row in rows]
    widths = [max(len(row[i]) for row in cells) for i in range(len(header))]
    right = [any(isinstance(row[i], int | float) for row in rows) for i in range(len(header))]
    lines = [
        "  ".join(
            text.rjust(w) if r else text.ljust(w) for text, w, r in zip(row, widths, right, strict=True)
        )
        for row in cells
    ]
    lines.insert(1, "  ".join("-" * width for width in widths))
    return "\n".join(line.rstrip() for line in lines)


def _shown(value: object) -> str:
    if isinstance(value, float):
        return "-" if math.isnan(value) else f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"
    return str(value)
