"""What is a training program made from? A task, a model and how the one learns the other."""

from __future__ import annotations

import dataclasses
import functools
from dataclasses import dataclass, field
from typing import cast

import jax
import jax.numpy as jnp
import optax

from jaxemerge.code import is_own
from jaxemerge.models import Model  # here, not for type checkers alone: ``--set`` reads the fields' types
from jaxemerge.models.implementation import Code, code_in_use
from jaxemerge.tasks import Task
from jaxemerge.training.objective import Cost, NextToken, Objective
from jaxemerge.types import Array, Float, Int, Params


@dataclass(frozen=True)
class AdamW:
    """AdamW (Loshchilov & Hutter 2019), gradients clipped by their global norm, cosine schedule.

    The learning rate rises linearly from 0 over ``warmup`` steps, then follows half a cosine down to
    ``final`` times its peak at the last step of training, or at ``horizon`` times that step. Weight decay
    acts on matrices, not on biases and norms.

    Attributes:
        learning_rate: peak learning rate.
        warmup: steps of linear warm-up.
        final: learning rate at the end, as a share of the peak.
        horizon: length of the schedule as a multiple of the training: at 1.25 training stops before the
            learning rate is down, as happens to one who planned a longer run.
        beta1, beta2, epsilon: decay of the first and second moment, and the denominator's constant.
        weight_decay: decoupled decay, multiplied by the current learning rate.
        clip: largest global norm of one seed's gradient.

    Raises:
        ValueError: a field is out of range.
    """

    learning_rate: float = 1e-3
    warmup: int = 100
    final: float = 0.0
    beta1: float = 0.9
    beta2: float = 0.999
    epsilon: float = 1e-8
    weight_decay: float = 0.1
    clip: float = 1.0
    horizon: float = 1.0

    def __post_init__(self) -> None:
        for name in ("learning_rate", "epsilon", "clip", "horizon"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name}={getattr(self, name)}: must be positive")
        for name in ("beta1", "beta2"):
            if not 0 <= getattr(self, name) < 1:
                raise ValueError(f"{name}={getattr(self, name)}: must lie in [0, 1)")
        if not 0 <= self.final <= 1:
            raise ValueError(f"final={self.final}: must lie in [0, 1], a share of the peak learning rate")
        if self.warmup < 0:
            raise ValueError(f"warmup={self.warmup}: must be 0 or more steps")
        if self.weight_decay < 0:
            raise ValueError(f"weight_decay={self.weight_decay}: must not be negative")

    def schedule(self, step: Int[Array, ""], length: Float[Array, ""] | float) -> Float[Array, ""]:
        """Learning rate of a step as a share of the peak; ``length`` is the schedule's, in steps."""
        # Both may be traced: trainings that differ in length alone are one program.
        fall = jnp.maximum(length - self.warmup, 1.0)
        angle = jnp.pi * jnp.clip((step - self.warmup) / fall, 0.0, 1.0)
        cosine = self.final + (1.0 - self.final) * 0.5 * (1.0 + jnp.cos(angle))
        return jnp.where(step < self.warmup, step / max(self.warmup, 1), cosine)

    def transformation(self, weight_decay: Float[Array, ""]) -> optax.GradientTransformation:
        """Everything but the learning rate, for one seed.

        Clipping looks at the whole tree it is given: this must be mapped over seeds, never
        applied to stacked ones.
        """
        return optax.chain(
            optax.clip_by_global_norm(self.clip),
            optax.scale_by_adam(self.beta1, self.beta2, self.epsilon),
            optax.add_decayed_weights(weight_decay, mask=_matrices),
        )


def _matrices(params: optax.Params) -> optax.Params:
    return jax.tree.map(lambda x: jnp.ndim(x) >= 2, params)


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
