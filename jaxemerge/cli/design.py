"""How many seeds does a question need, and what would they cost?"""

from __future__ import annotations

import argparse
import math
import typing
from collections.abc import Sequence
from dataclasses import fields
from typing import Any

from rich.console import Console

from jaxemerge import charts
from jaxemerge.analysis import power_table
from jaxemerge.cli.cells import chosen_cells, results_folder, selected
from jaxemerge.cli.parser import suggestion
from jaxemerge.cli.studies import Front
from jaxemerge.cli.terminal import say, table
from jaxemerge.devices import use_host_cores
from jaxemerge.runner.experiment import Experiment
from jaxemerge.runner.jobs import assumed_rate, estimates, jobs
from jaxemerge.runner.opening import open_store
from jaxemerge.runner.quantities import duration
from jaxemerge.runner.sweep import converted
from jaxemerge.stats import Estimate, SeedPlan, plan_seeds
from jaxemerge.stats.design.questions import QUESTIONS
from jaxemerge.training import crossed, paired

PICTURES = (".svg", ".png", ".html")
BAR = 30  # columns of a bar of power 1


def design(options: argparse.Namespace, front: Front, console: Console) -> int:
    """Simulates, prints the number of seeds, its power and its cost, and returns the exit code.

    Raises:
        ValueError: there is no such part of the effect, study, cell or kind of picture.
    """
    question = options.question.replace("-", "_")
    effect = _effect(question, options.effect)
    if options.chart and options.chart.suffix not in PICTURES:
        raise ValueError(f"--chart {options.chart}: the name must end with {', '.join(PICTURES)}")
    cells = selected(chosen_cells(options, front), options.cells) if options.study else ()
    with console.status("simulating studies ..."):
        plan = plan_seeds(
            question,
            effect,
            options.power,
            confidence=options.confidence,
            studies=options.studies,
            most=options.most,
            key=options.key,
        )
    for text in _answer(plan):
        console.print(text, markup=False)
    _print_curve(console, plan)
    if cells and math.isfinite(plan.seeds.value):
        console.print(_cost(plan, cells, options), markup=False)
    if options.chart:
        charts.power_against_seeds(power_table(plan), plan.target).save(str(options.chart))
        say(console, f"Chart: {options.chart}")
    return 0


def _effect(question: str, assignments: Sequence[str]) -> dict[str, Any]:
    """Parts of the effect as they are written on the command line, in their own types."""
    kinds, effect = typing.get_type_hints(QUESTIONS[question]), {}
    parts = [field.name for field in fields(QUESTIONS[question])]
    for text in assignments:
        name, equals, value = text.partition("=")
        if not equals:
            raise ValueError(f"--effect {text}: write PART=VALUE, for example {parts[0]}=...")
        if name not in parts:
            known = f": must be one of {', '.join(parts)}"
            raise ValueError(f"--effect {name}: no part of {question}{suggestion(name, parts) or known}")
        effect[name] = converted(f"--effect {name}", kinds[name], value)
    return effect


def _answer(plan: SeedPlan) -> list[str]:
    """The question, what counts as an answer, and the number of seeds."""
    effect = " ".join(f"{name}={_plain(value)}" for name, value in plan.effect.items())
    asked = [
        plan.asks,
        f"Effect: {effect}",
        f"Answered where {plan.answered}, at {plan.confidence:g} confidence.",
    ]
    power = _with_interval(plan.power)
    if math.isinf(plan.runs):
        return [
            *asked,
            "",
            f"Not with {plan.curve_seeds[-1]} seeds per cell: power {power}, {plan.target:g} wanted.",
        ]
    low, high = int(plan.seeds.interval.low), int(plan.seeds.interval.high)
    between = f" (with the error of simulation {low} to {high})" if low < high else ""
    return [*asked, "", f"Needed: {_size(plan)}{between}, for power {plan.target:g}. Reached: {power}."]


def _size(plan: SeedPlan) -> str:
    """The number of seeds, and how they are spread."""
    runs = int(plan.runs)
    if plan.crossed is not None:
        return "{} init seeds x {} data seeds, {} runs".format(*plan.crossed, runs)
    return f"{runs // plan.cells} seeds" + (f" in each of {plan.cells} cells" if plan.cells > 1 else "")


def _print_curve(console: Console, plan: SeedPlan) -> None:
    """Power against seeds, as a table with bars."""
    made = table("seeds", "power", "95 % of simulation", "studies", "", left=0)
    made.columns[-1].justify = "left"
    rows = zip(*power_table(plan).iter_columns(), strict=True)
    for seeds, power, low, high, studies in rows:
        bar = "#" * round(BAR * power)
        made.add_row(str(seeds), f"{power:.2f}", f"{low:.2f} to {high:.2f}", f"{studies:,}", bar)
    console.print(made)


def _cost(plan: SeedPlan, cells: Sequence[Experiment], options: argparse.Namespace) -> str:
    """What that number of seeds of every cell costs, as ``plan`` estimates it."""
    seeds = paired(range(int(plan.runs) // plan.cells))
    if plan.crossed is not None:
        seeds = crossed(*map(range, plan.crossed))
    whole = [cell.with_seeds(seeds) for cell in cells]
    folder = results_folder(options)
    store = open_store(folder) if (folder / "study.json").is_file() else None
    use_host_cores(None)
    rate = options.flops_per_second or assumed_rate(getattr(cells[0].model, "dtype", "float32"))
    costs = estimates(whole, jobs(whole, store), rate)
    left, total = sum(cost.seeds for cost in costs), len(seeds) * len(cells)
    there = f", {total - left} of them trained already" if left < total else ""
    flops, took = sum(cost.flops for cost in costs), duration(sum(cost.seconds for cost in costs))
    source = "as given" if options.flops_per_second else "this machine's, estimated"
    return (
        f"{options.study}: {len(seeds)} seeds in each of {len(cells)} cells are {total} seeds{there}: "
        f"{flops:.2g} FLOPs, about {took} at {rate:.2g} FLOP/s ({source}), without compilation."
    )


def _with_interval(estimate: Estimate) -> str:
    return f"{estimate.value:.2f} [{estimate.interval.low:.2f}, {estimate.interval.high:.2f}]"


def _plain(value: Any) -> str:
    """A value as it is written on the command line."""
    if isinstance(value, tuple):
        return ",".join(f"{each:g}" for each in value)
    return str(value) if isinstance(value, bool) else f"{value:g}"
