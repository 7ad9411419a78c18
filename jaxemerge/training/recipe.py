"""What is a training program made from? A task, a model and how the one learns the other."""

from __future__ import annotations

import dataclasses
import functools
from dataclasses import dataclass, field
from typing import cast

import jax
import jax.numpy as jnp
import numpy as np

from jaxemerge.code import is_own
from jaxemerge.models import Model  # here, not for type checkers alone: ``--set`` reads the fields' types
from jaxemerge.models.implementation import Code, code_in_use
from jaxemerge.tasks import Task
from jaxemerge.training.objective import Cost, NextToken, Objective
from jaxemerge.training.optimizer import AdamW, Optimizer
from jaxemerge.types import Array, Params


@dataclass(frozen=True)
class Recipe:
    """How one seed is trained; ``Experiment`` adds which seeds, and when they are scored.

    Attributes:
        task: what is learnt; or an objective, which needs no model.
        model: what learns; None for an objective.
        optimizer: how gradients change the weights; see ``training.optimizer``.
        steps: training steps.
        batch: context windows per step and seed; 1 for an objective, which draws its own data.
        context: tokens per window; 1 for an objective.
    """

    task: Task | Objective
    model: Model | None = None
    optimizer: Optimizer = field(default_factory=AdamW)
    steps: int = 1_000
    batch: int = 32
    context: int = 64


def fixed_part(recipe: Recipe) -> Recipe:
    """What a program is compiled for: cells with the same fixed part share one program.

    They differ in hyperparameters of members, which are inputs of the program, or in length only.
    """
    optimizer, steps = recipe.optimizer.compiled_part(recipe.steps)
    return Recipe(recipe.task, recipe.model, optimizer, steps, recipe.batch, recipe.context)


def objective_of(recipe: Recipe) -> Objective | NextToken:
    """What a recipe's training minimises."""
    if recipe.model is None:
        return cast(Objective, recipe.task)
    return NextToken(cast("Task", recipe.task), recipe.model, recipe.batch, recipe.context)


def data_of(recipe: Recipe) -> tuple[Array | np.ndarray, ...]:
    """Arrays that every step of every seed reads: the task's ``data``; none of an objective."""
    return cast("Task", recipe.task).data if recipe.model is not None else ()


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


def check_numbers(recipe: Recipe) -> None:
    """Refuses numbers that no program can hold: integers and floats have 32 bits there.

    Fields of the user's own classes are theirs to check.

    Raises:
        ValueError: naming the first such field.
    """
    parts = {"": recipe, "task.": recipe.task, "model.": recipe.model, "optimizer.": recipe.optimizer}
    for prefix, owner in parts.items():
        if not dataclasses.is_dataclass(owner) or is_own(type(owner)):
            continue
        for name in (each.name for each in dataclasses.fields(owner)):
            value = getattr(owner, name)
            if type(value) is int and not abs(value) < 2**31:
                raise ValueError(f"{prefix}{name}={value}: must be below {2**31}")
            if type(value) is float and not abs(value) < 2.0**128:
                raise ValueError(f"{prefix}{name}={value}: must be a number below {2.0**128:.2g}")


@functools.lru_cache(maxsize=256)  # tracing takes a while
def train_state_bytes(recipe: Recipe) -> int:
    """Bytes of one seed's weights and optimizer state."""
    params = init_shapes(recipe)
    transformation = recipe.optimizer.transformation(jnp.float32(0.0), recipe.steps)
    arrays = jax.tree.leaves((params, jax.eval_shape(transformation.init, params)))
    return sum(each.size * each.dtype.itemsize for each in arrays if each.ndim or each.dtype != jnp.int32)
