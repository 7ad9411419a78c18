"""What else is kept of a trained population, beside its scores: single items, and passes of its samples."""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from jaxemerge.devices import Layout
from jaxemerge.evaluation import evaluate, sampled
from jaxemerge.runner.experiment import Experiment
from jaxemerge.runner.scores import Evaluation
from jaxemerge.runner.signals import StopRequest
from jaxemerge.runner.store import ITEMS, PASSES
from jaxemerge.runner.tables import items_table, passes_table
from jaxemerge.training import Seed
from jaxemerge.types import Params


def wanted(experiment: Experiment, keep_items: bool) -> bool:
    """Whether anything is kept at the end of an experiment's training."""
    return keep_items or experiment.pass_until is not None


def kept(
    experiment: Experiment,
    seeds: Sequence[Seed],
    params: Params,
    evaluation: Evaluation,
    layout: Layout,
    *,
    keep_items: bool,
    stop: StopRequest | None = None,
) -> dict[str, pl.DataFrame]:
    """What is kept of a cell's seeds, from their weights and their evaluation at the same step.

    Args:
        experiment: the cell; its ``pass_until`` asks for passes.
        seeds: the S members.
        params: their weights.
        evaluation: of these weights.
        layout: how they are spread over devices.
        keep_items: whether what every seed makes of every item is kept.
        stop: obeyed between batches of samples.

    Raises:
        StoppedError: ``stop`` was asked to; nothing is kept then.
    """
    found: dict[str, pl.DataFrame] = {}
    if not wanted(experiment, keep_items):
        return found
    work = *experiment.language(), params
    seen = evaluate(*work, layout=layout, written=keep_items)
    who = experiment, seeds, evaluation
    if keep_items:
        found[ITEMS] = items_table(*who, seen)
    if experiment.pass_until is not None:
        between = stop.raise_if_asked if stop is not None else _go_on
        passed = sampled(*work, seeds, experiment.pass_until, layout=layout, seen=seen, between=between)
        found[PASSES] = passes_table(*who, passed)
    return found


def _go_on() -> None:
    pass
