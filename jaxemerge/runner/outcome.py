"""What comes of training in memory? A population: its weights, its scores, and how it is shown."""

from __future__ import annotations

import html
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import jax
import numpy as np

from jaxemerge.evaluation import Passed, hidden
from jaxemerge.models import Hidden
from jaxemerge.runner.experiment import Experiment
from jaxemerge.runner.picture import strips
from jaxemerge.runner.scores import Evaluation, Measured, measured, successes
from jaxemerge.types import Int, Params

if TYPE_CHECKING:
    import polars as pl


@dataclass(frozen=True, eq=False, repr=False)
class Population:
    """A trained population.

    Attributes:
        experiment: what was trained.
        params: final weights as NumPy arrays, leading axis S in the order of ``experiment.seeds``.
        evaluations: scores of all seeds at every evaluation step.
        passed: counts of samples, where the experiment's ``pass_until`` asks for them.
        kept: weights by step, of the steps of ``keep_weights_at``; as ``params``.
    """

    experiment: Experiment
    params: Params
    evaluations: tuple[Evaluation, ...]
    passed: Passed | None = None
    kept: Mapping[int, Params] = field(default_factory=dict)

    def __repr__(self) -> str:
        lost = int(self.evaluations[-1].diverged.sum())
        at = self.evaluations[-1].stopped_at
        stopped = 0 if at is None else int((at >= 0).sum())
        seeds = f"{len(self.experiment.seeds)} seeds" + (f", {lost} of them diverged" if lost else "")
        seeds += f", {stopped} stopped by rules" if stopped else ""
        tests = "; ".join(map(_range, measured(self.experiment, self.evaluations[-1].scores)[:1]))
        size = sum(leaf[0].size for leaf in jax.tree.leaves(self.params))
        scale = f"{size:,} weights each, {self.experiment.steps:,} steps"
        return f"Population({self.experiment.cell}, {seeds}, {scale}{'; ' if tests else ''}{tests})"

    def _repr_html_(self) -> str:
        """The line, and a chart of the final scores of all seeds."""
        tests = [one for one in successes(self.experiment, self.evaluations[-1].scores) if one.trials]
        return f"<p>{html.escape(repr(self))}</p>{strips([(_test(one), one.values) for one in tests])}"

    def frame(self) -> pl.DataFrame:
        """The results schema: one row per seed, evaluation step, split and metric. Needs Polars."""
        from jaxemerge.runner.tables import results_table, with_pass_rates

        rows = results_table(self.experiment, self.experiment.seeds, self.evaluations)
        return with_pass_rates(rows, self.passes())

    def hidden(self, tokens: Int[np.ndarray, "B L"], *, attention: bool = False) -> Hidden:
        """Residual stream and, on request, attention weights of every member; see ``evaluation.hidden``.

        Args:
            tokens: B texts of L tokens, the same for all members.
            attention: whether to return attention weights.

        Returns:
            Hidden, leading axis S in the order of ``experiment.seeds``.

        Raises:
            ValueError: the model has no hidden states, this was trained on an objective, or ``tokens`` has
                another shape or tokens that the task does not have.
        """
        task, model = self.experiment.language()
        return hidden(model, self.params, tokens, attention=attention, vocabulary=task.vocabulary)

    def passes(self) -> pl.DataFrame | None:
        """Counts of sampling, one row per seed and item; None where nothing was sampled. Needs Polars."""
        from jaxemerge.runner.tables import passes_table

        if self.passed is None:
            return None
        return passes_table(self.experiment, self.experiment.seeds, self.evaluations[-1], self.passed)


def _test(one: Measured) -> str:
    where = one.split if one.length is None else f"length {one.length}"
    return f"{one.metric}, {where}"


def _range(one: Measured) -> str:
    low, middle, high = np.nanquantile(one.values, (0.0, 0.5, 1.0))
    return f"{_test(one)}: {low:.4g} to {high:.4g}, median {middle:.4g}"
