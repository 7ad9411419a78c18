"""The timed search: which candidates, which is taken, what is kept."""

from __future__ import annotations

import importlib
import json
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import jax
import pytest

from jaxemerge.devices import Layout
from jaxemerge.models import llama
from jaxemerge.training import make_plan, search
from jaxemerge.training.plan import fixed_plan
from jaxemerge.training.search import fastest, planned_by_search, search_key, worth_searching
from small_cell import CELL

SEED = sum(
    (
        12 * CELL.model.total_parameters(CELL.task.vocabulary),
        CELL.model.activation_bytes(CELL.task.vocabulary, CELL.batch, CELL.context),
    )
)


def device(platform: str, memory: int = 10**11) -> Any:
    return SimpleNamespace(
        platform=platform, device_kind=platform, memory_stats=lambda: {"bytes_limit": memory}
    )


def tried(formula: Any, speed: Any, memory: int = 0) -> tuple[tuple[int, int], list[tuple[int, int]]]:
    """What a search takes, and what it tries, where ``speed(seeds per device, width)`` is the rate."""
    seen = []

    def rate(recipe: Any, plan: Any) -> float:
        seen.append((plan.per_device, plan.layout.width))
        return speed(*seen[-1])

    return fastest(CELL, formula, memory=memory, rate=rate), seen


def test_an_accelerator_tries_smaller_chunks_and_rounds() -> None:
    formula = make_plan(CELL, 12, devices=(device("gpu"),))
    assert (formula.per_device, formula.layout.width) == (12, 12)
    best, seen = tried(formula, lambda chunk, width: 1.0)
    assert best == (12, 12)
    assert seen == [(12, 12), (8, 8), (4, 4), (2, 2), (1, 1), (16, 8), (12, 4), (12, 2), (12, 1)]
    assert tried(formula, lambda chunk, width: float((chunk, width) == (4, 4)) + 1)[0] == (4, 4)
    assert tried(formula, lambda chunk, width: float((chunk, width) == (12, 2)) + 1)[0] == (12, 2)


def test_host_cores_try_more_side_by_side() -> None:
    formula = make_plan(CELL, 10, devices=(device("cpu"), device("cpu")))
    best, seen = tried(formula, lambda chunk, width: 1 + 0.1 * (width == 4))
    assert seen == [(5, 1), (6, 2), (8, 4), (5, 5)]
    assert best == (8, 4)


def test_the_formula_must_be_beaten_and_a_slow_direction_is_left() -> None:
    formula = make_plan(CELL, 32, devices=(device("gpu"),))
    assert tried(formula, lambda chunk, width: 1.01 if width == 16 else 1.0)[0] == (32, 32)
    best, seen = tried(formula, lambda chunk, width: float(chunk * width))
    assert best == (32, 32)
    assert seen == [(32, 32), (16, 16), (32, 16)]


def test_candidates_that_run_out_of_memory_are_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    def timed(recipe: Any, plan: Any) -> float:
        if plan.layout.width > 2:
            raise jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: Out of memory")
        return float(plan.layout.width)

    monkeypatch.setattr(search, "_timed", timed)
    formula = make_plan(CELL, 8, devices=(device("gpu"),))
    assert fastest(CELL, formula) == (2, 2)

    def lost(recipe: Any, plan: Any) -> float:
        raise jax.errors.JaxRuntimeError("INTERNAL: lost")

    monkeypatch.setattr(search, "_timed", lost)
    with pytest.raises(jax.errors.JaxRuntimeError, match="lost"):
        fastest(CELL, formula)


def test_candidates_keep_to_a_budget() -> None:
    budget = 12 * SEED
    formula = make_plan(CELL, 12, devices=(device("gpu"),), memory=budget)
    _, seen = tried(formula, lambda chunk, width: 1.0, budget)
    for per_device, width in seen:
        assert fixed_plan(CELL, Layout(formula.layout.devices, width), per_device, "").bytes <= budget


def test_an_answer_is_kept_and_a_damaged_one_is_not_used(
    tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    searches = []

    def rate(recipe: Any, plan: Any) -> float:
        searches.append(plan)
        return float(plan.layout.width)

    monkeypatch.setattr(search, "measured_rate", rate)
    formula = make_plan(CELL, 8, devices=(device("cpu"),))
    cache = tmp_path / "plans"
    assert planned_by_search(CELL, formula, cache=cache) == formula  # neither asked for nor kept
    first = planned_by_search(CELL, formula, search=True, cache=cache)
    assert (first.per_device, first.layout.width, first.source) == (8, 8, "search")
    n = len(searches)
    assert planned_by_search(CELL, formula, cache=cache) == replace(first, source="cache")
    assert len(searches) == n
    [path] = cache.iterdir()
    good = path.read_text()
    wider = good.replace('"width": 8\n}', '"width": 3\n}')
    another = good.replace('"batch": 3', '"batch": 4')
    for bad in ("", "{", "[]", '{"key": 1}', wider, another):
        assert bad != good
        path.write_text(bad)
        assert planned_by_search(CELL, formula, cache=cache) == formula
        assert planned_by_search(CELL, formula, search=True, cache=cache).source == "search"
        assert path.read_text() == good
    assert planned_by_search(CELL, formula, search=True).source == "search"  # nowhere to keep it
    other = replace(CELL, batch=5)
    assert planned_by_search(other, formula, cache=cache) == formula


def test_an_answer_holds_for_its_circumstances() -> None:
    formula = make_plan(CELL, 8, devices=(device("gpu"),))
    key = search_key(CELL, formula)
    assert json.loads(json.dumps(key)) == key
    longer = replace(CELL, steps=99, optimizer=replace(CELL.optimizer, learning_rate=0.5))
    assert search_key(longer, formula) == key
    for other in (
        search_key(replace(CELL, context=19), formula),
        search_key(replace(CELL, model=llama(1, 20, 5)), formula),
        search_key(CELL, make_plan(CELL, 7, devices=(device("gpu"),))),
        search_key(CELL, make_plan(CELL, 16, devices=(device("gpu"),) * 2)),
        search_key(CELL, make_plan(CELL, 8, devices=(device("tpu"),))),
        search_key(CELL, formula, 10**9),
    ):
        assert other != key


OWN = """
from dataclasses import dataclass
from jaxemerge import Count

@dataclass(frozen=True)
class Mine(Count):
    {}
"""


def test_an_answer_holds_for_the_code_it_was_found_with(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two files with a class of one name and the same fields share no answer; the same file does."""
    keys = []
    for folder, body in (("one", "pass"), ("other", "extra = 1"), ("same", "pass")):
        path = tmp_path / folder / "searched.py"
        path.parent.mkdir()
        path.write_text(OWN.format(body))
        monkeypatch.syspath_prepend(path.parent)
        task = importlib.import_module("searched").Mine(11, 5, (3, 7))
        keys.append(search_key(replace(CELL, task=task), make_plan(CELL, 8, devices=(device("gpu"),))))
        del sys.modules["searched"]
    assert keys[0] == keys[2] != keys[1]
    assert {**keys[0], "code": {}} == {**keys[1], "code": {}}  # they differ in nothing else


def test_only_long_runs_on_accelerators_pay() -> None:
    big = replace(CELL, model=llama(4, 256, 4), batch=128, context=256, steps=10_000)
    for used, recipe, pays in (
        (device("gpu"), big, True),
        (device("gpu"), CELL, False),
        (device("cpu"), big, False),
    ):
        plan = make_plan(recipe, 250, devices=(used,))
        assert worth_searching(recipe, plan, 250) == pays


@pytest.mark.slow
def test_real_rates_are_measured() -> None:
    formula = make_plan(CELL, 2)
    rate = search.measured_rate(CELL, formula)
    assert 1 < rate < 1e7
