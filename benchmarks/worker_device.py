"""The steps of ``accelerator.py`` that use the device, in a process of their own, one request at a time.

An answer comes in parts: what was measured is sent at once, so that a step that is cut off loses nothing.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any

import jax

import cells
import correctness
import speed
import timing
from cells import Cell
from correctness import Check
from jaxemerge.devices import self_test, use_host_cores
from population import Population
from speed import Case
from worker import answer_requests, own_output

SEED = 7  # the one that is trained alone and among others
AMONG = (16, 64)
# Seeds side by side that keep an H100 busy and leave memory; others are timed where there is time.
USUAL = {"4x64": 32, "4x128": 16, "4x256": 8, "4x512": 4, "16x128": 8}
OTHERS = {"4x64": (8, 128), "4x256": (1, 32), "4x512": (1, 16)}
MAIN = "4x64"


class Steps:
    """What can be asked for, by name; each answer is plain JSON values.

    ``keep`` is given what was measured so far. Checks go to it alone. Rates go to it after every round, and
    are the answer in the end.
    """

    def __init__(self, tiny: bool, keep: Callable[[dict[str, Any]], None]) -> None:
        self.tiny, self.keep = tiny, keep
        self.rounds, self.seconds = (2, 0.05) if tiny else (3, 0.8)
        self.parts: Mapping[str, Callable[[], dict[str, Any]]] = {
            "device": self.device,
            "models": self.models,
            "seeds": self.seeds,
            "cells": self.cells,
            "plain": self.plain,
            "widths": self.widths,
            "float32": self.float32,
        }

    def cell(self, name: str, dtype: str = "bfloat16") -> Cell:
        """A cell of the study, or a small one in its place."""
        if not self.tiny:
            return cells.named(name, dtype)
        depth, width = 1, 32 if name == MAIN else 64
        return cells.peer(study=False, width=width, depth=depth, batch=2, context=16, dtype=dtype)

    def device(self) -> dict[str, Any]:
        """What the device is, and what it can do."""
        self_test()
        first = jax.local_devices()[0]
        found: dict[str, Any] = {
            "device": timing.device_name(first.platform, first.device_kind, jax.local_device_count()),
            "kind": first.device_kind,
            "platform": first.platform,
            "memory": (first.memory_stats() or {}).get("bytes_limit"),
            "versions": timing.versions(),
        }
        self.keep({"device": found})
        for dtype in ("bfloat16", "float32"):
            runs = speed.limits(dtype)
            seen = timing.interleaved(runs, rounds=self.rounds, seconds=self.seconds / 2)
            found[f"{dtype}_flops_per_second"], found["copied_bytes_per_second"] = speed.peaks(seen)
            self.keep({"device": found})
        return {"device": found}

    def models(self) -> dict[str, Any]:
        """Logits and gradients of all models in all forms."""
        size = {"batch": 2, "length": 16} if self.tiny else {}
        specs = correctness.TINY if self.tiny else correctness.SPECS
        self.checked(correctness.model_checks(specs, **size))
        return {}

    def checked(self, checks: Iterable[Check]) -> None:
        """Sends comparisons as they are done."""
        for check in checks:
            self.keep({"checks": [check.record()]})

    def seeds(self) -> dict[str, Any]:
        """The same plan twice; a seed alone and among others; and how fast each of these populations is."""
        cell, among = self.cell(MAIN), (8,) if self.tiny else AMONG
        cases = [Case(cell, 1), *(Case(cell, n) for n in among)]
        built = speed.all_built(cases)
        others = [one for one in map(built.get, cases[1:]) if isinstance(one, Population)]
        for one in others[:1]:
            self.checked(correctness.repetition_checks(cell, one))
        alone = built[cases[0]]
        if isinstance(alone, Population):
            self.checked(correctness.seed_checks(cell, SEED, alone.of(SEED), others))
        return {"rates": self.timed(built)}

    def cells(self) -> dict[str, Any]:
        """The study's cells in bfloat16."""
        names = [MAIN] if self.tiny else list(USUAL)
        return self.rates([Case(self.cell(name), self.usual(name)) for name in names])

    def plain(self) -> dict[str, Any]:
        """Without the library's kernels, where it has any for this device."""
        cases = [Case(self.cell(name), self.usual(name)) for name in (MAIN, "4x256")]
        others = [(replace(case, plain=True), speed.labels(case)["code"]) for case in cases]
        return self.rates([case for case, code in others if speed.labels(case)["code"] != code])

    def widths(self) -> dict[str, Any]:
        """Fewer and more seeds at once."""
        numbers = {MAIN: (2,)} if self.tiny else OTHERS
        return self.rates([Case(self.cell(name), n) for name, of in numbers.items() for n in of])

    def float32(self) -> dict[str, Any]:
        """The study's cells in float32."""
        names = [MAIN] if self.tiny else list(USUAL)
        return self.rates([Case(self.cell(name, "float32"), self.usual(name)) for name in names])

    def usual(self, name: str) -> int:
        """Seeds at once."""
        return 4 if self.tiny else USUAL[name]

    def rates(self, cases: list[Case]) -> dict[str, Any]:
        """Cases compiled and timed."""
        return {"rates": self.timed(speed.all_built(cases))}

    def timed(self, built: Mapping[Case, Population | str]) -> list[dict[str, Any]]:
        """Populations timed in turns."""
        return speed.measured(
            built, rounds=self.rounds, seconds=self.seconds, keep=lambda rates: self.keep({"rates": rates})
        )


def main() -> None:
    """Serves until standard input ends; the only argument is JSON."""
    answers = own_output()
    use_host_cores()

    def keep(part: dict[str, Any]) -> None:
        print(json.dumps({"part": part}), file=answers, flush=True)

    steps = Steps(**json.loads(sys.argv[1]), keep=keep)
    answer_requests(answers, lambda what, name, n: steps.parts[what]())


if __name__ == "__main__":
    main()
