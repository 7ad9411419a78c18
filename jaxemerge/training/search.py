"""Which width and chunk are fastest here? A few steps of each candidate, timed; the answer is kept."""

from __future__ import annotations

import hashlib
import json
import statistics
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jax

from jaxemerge.code import code_of, version_of
from jaxemerge.devices import Layout
from jaxemerge.files import write_json
from jaxemerge.training.plan import Plan, fixed_plan, is_out_of_memory, memory_limit, plan_fits
from jaxemerge.training.population import program
from jaxemerge.training.recipe import Recipe, cost_of
from jaxemerge.training.step import members, paired

_REPEATS = 3
_REPEAT_SECONDS = 0.3
_GIVE_UP = 0.9  # of the best rate: candidates beyond one this slow are not tried
_GAIN = 1.02  # what the first candidate, the formula's plan, must be beaten by
_WORTH_SECONDS = 600.0
_ACCELERATOR_FLOPS = 1e14  # per device and second: optimistic, so that what seems long is long


def planned_by_search(
    recipe: Recipe, formula: Plan, *, memory: int = 0, search: bool = False, cache: Path | None = None
) -> Plan:
    """The plan that an earlier search found, or a search finds now, or else the formula's.

    Args:
        recipe: the cell.
        formula: the plan to improve on: its devices are used, and about as many seeds at once at most.
        memory: as in ``make_plan``.
        search: whether to search where nothing is kept.
        cache: folder of kept answers; None keeps none. A damaged answer is not used.
    """
    key = search_key(recipe, formula, memory)
    path = cache / f"{_digest(key)}.json" if cache else None
    found = _kept(path, key) if path else None
    source = "cache"
    if found is None:
        if not search:
            return formula
        found, source = fastest(recipe, formula, memory=memory), "search"
        if path:
            path.parent.mkdir(parents=True, exist_ok=True)
            write_json(path, {"key": key, "per_device": found[0], "width": found[1]})
    per_device, width = found
    return fixed_plan(recipe, Layout(formula.layout.devices, width), per_device, source)


def worth_searching(recipe: Recipe, plan: Plan, n_seeds: int) -> bool:
    """Whether a run is long enough to pay for a search.

    On host cores never: there the formula's plan, one seed at a time on each core, is the fastest known.
    """
    devices = plan.layout.devices
    if devices[0].platform == "cpu":
        return False
    work = cost_of(recipe).flops * recipe.steps * n_seeds
    return work / (_ACCELERATOR_FLOPS * len(devices)) > _WORTH_SECONDS


def fastest(
    recipe: Recipe,
    formula: Plan,
    *,
    memory: int = 0,
    rate: Callable[[Recipe, Plan], float] | None = None,
) -> tuple[int, int]:
    """Seeds per device and width with the highest rate; the formula's unless beaten by 2 %.

    Args:
        recipe: the cell.
        formula: the first candidate.
        memory: as in ``make_plan``; candidates that are estimated to need more are left out.
        rate: seed-steps per second of a plan, 0 where it does not run; default measured.
    """
    measure = rate or measured_rate
    best = (formula.per_device, formula.layout.width)
    best_rate = measure(recipe, formula) * _GAIN
    for candidates in _walks(formula):
        for per_device, width in candidates:
            plan = fixed_plan(recipe, Layout(formula.layout.devices, width), per_device, "search")
            if not plan_fits(plan, memory):
                continue
            seen = measure(recipe, plan)
            if seen > best_rate:
                best, best_rate = (per_device, width), seen
            elif 0 < seen < _GIVE_UP * best_rate:
                break
    return best


def _walks(formula: Plan) -> Iterator[list[tuple[int, int]]]:
    """Candidates as lists of (seeds per device, width); each list starts close to the formula's plan.

    All of a chunk in rounds of fewer and fewer, or more and more, seeds side by side; on an accelerator
    also smaller and smaller chunks, each side by side as a whole.
    """
    most, width = formula.per_device, formula.layout.width
    powers = [2**i for i in range(most.bit_length()) if 2**i <= most]
    if most not in powers:
        powers.append(most)
    if formula.layout.devices[0].platform != "cpu":
        yield [(w, w) for w in reversed(powers) if w < most]
    yield [(-(-most // w) * w, w) for w in reversed(powers) if w < width]
    yield [(-(-most // w) * w, w) for w in powers if w > width]


def measured_rate(recipe: Recipe, plan: Plan) -> float:
    """Seed-steps per second of a plan: median of a few short runs; 0 where memory runs out."""
    try:
        return _timed(recipe, plan)
    except (jax.errors.JaxRuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
    return 0.0


def _timed(recipe: Recipe, plan: Plan) -> float:
    built = program(recipe, plan.layout)
    hyperparameters = recipe.optimizer.hyperparameters(recipe.steps)
    who = built.place(members(paired(range(plan.chunk)), *hyperparameters))
    state = built.init(who)

    def seconds(steps: int) -> float:
        nonlocal state
        began = time.perf_counter()
        state, _ = built.advance(state, who, 0, steps, 0, *built.data)
        jax.block_until_ready(state)
        return time.perf_counter() - began

    seconds(1)  # compiles
    steps = min(plan.dispatch, max(1, round(_REPEAT_SECONDS / seconds(1))))
    return plan.chunk * steps / statistics.median(seconds(steps) for _ in range(_REPEATS))


def search_key(recipe: Recipe, formula: Plan, memory: int = 0) -> dict[str, Any]:
    """All that a search's answer depends on, as plain JSON values.

    Of the cell that is what its program is made from, the user's own code by the digests of its files; its
    seeds, labels, length and learning rate are not.
    """
    devices = formula.layout.devices
    optimizer = recipe.optimizer.compiled_part(recipe.steps)[0]
    return {
        "device": devices[0].device_kind,
        "devices": len(devices),
        "jax": jax.__version__,
        "jaxemerge": version_of("jaxemerge"),
        "cell": [repr(part) for part in (recipe.task, recipe.model, optimizer)],
        "code": code_of((recipe.task, recipe.model, recipe.optimizer)),
        "batch": recipe.batch,
        "context": recipe.context,
        "per_device": formula.per_device,
        "width": formula.layout.width,
        "memory": memory_limit(devices[0], memory),
    }


def _digest(key: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()[:16]


def _kept(path: Path, key: dict[str, Any]) -> tuple[int, int] | None:
    """The answer in a file; None where there is none or it is damaged."""
    try:
        answer = json.loads(path.read_text(encoding="utf-8"))
        per_device, width = answer["per_device"], answer["width"]
        whole = type(per_device) is int and type(width) is int and 1 <= width <= per_device
        if answer["key"] == key and whole and per_device % width == 0:
            return per_device, width
    except (OSError, ValueError, KeyError, TypeError):
        pass
    return None
