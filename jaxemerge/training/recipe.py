"""What is a training program made from? A task, a model and how the one learns the other."""

from __future__ import annotations

import dataclasses
import functools
from dataclasses import dataclass, field
from typing import cast

import jax

from jaxemerge.models import Model  # here, not for type checkers alone: ``--set`` reads the fields' types
from jaxemerge.models.implementation import Code, code_in_use
from jaxemerge.tasks import Task
from jaxemerge.training.objective import Cost, NextToken, Objective
from jaxemerge.training.optimizer import AdamW
from jaxemerge.types import Params


@dataclass(frozen=True)
class Recipe:
    """How one seed is trained; ``Experiment`` adds which seeds, and when they are scored.

    Attributes:
        task: what is learnt; or an objective, which needs no model.
        model: what learns; None for an objective.
        optimizer: how it learns.
        steps: training steps.
        batch: context windows per step and seed; 1 for an objective, which draws its own data.
        context: tokens per window; 1 for an objective.
    """

    task: Task | Objective
    model: Model | None = None
    optimizer: AdamW = field(default_factory=AdamW)
    steps: int = 1_000
    batch: int = 32
    context: int = 64


def fixed_part(recipe: Recipe) -> Recipe:
    """What a program is compiled for: cells with the same fixed part share one program.

    They differ in hyperparameters of members, which are inputs of the program, or in length only.
    """
    optimizer = dataclasses.replace(recipe.optimizer, learning_rate=1.0, weight_decay=0.0, horizon=1.0)
    return Recipe(recipe.task, recipe.model, optimizer, 1, recipe.batch, recipe.context)


def objective_of(recipe: Recipe) -> Objective | NextToken:
    """What a recipe's training minimises."""
    if recipe.model is None:
        return cast(Objective, recipe.task)
    return NextToken(cast("Task", recipe.task), recipe.model, recipe.batch, recipe.context)


def cost_of(recipe: Recipe) -> Cost:
    """What training one seed of a recipe takes."""
    return _cost(objective_of(recipe), code_in_use())


@functools.lru_cache(maxsize=256)  # tracing takes a while
def _cost(objective: Objective | NextToken, code: Code) -> Cost:
    del code  # a model's memory depends on what computes it
    return objective.cost()


def init_shapes(recipe: Recipe) -> Params:
    """Shapes and dtypes of one member's weights, without drawing them."""
    return jax.eval_shape(objective_of(recipe).init, jax.random.key(0))
