"""One step of one seed."""

from __future__ import annotations

from typing import Any, NamedTuple, cast

import jax
import jax.numpy as jnp
import optax

from jaxemerge.tasks import Batch, Task, pack_batch
from jaxemerge.training.recipe import Recipe, objective_of
from jaxemerge.training.state import Member, TrainState, data_key, init_key
from jaxemerge.types import Array, Float


class StepInfo(NamedTuple):
    """What a step saw, before its update.

    Attributes:
        loss: mean training loss of its batch, in nats.
        gradient_norm: global norm of the gradient before clipping.
    """

    loss: Float[Array, ""]
    gradient_norm: Float[Array, ""]


def initial_state(recipe: Recipe, member: Member) -> TrainState:
    """Weights and empty optimizer state of one member."""
    params = objective_of(recipe).init(init_key(member.init_seed))
    optimizer = recipe.optimizer.transformation(member.weight_decay).init(params)
    return TrainState(params, optimizer, jnp.zeros((), bool))


def training_batch(recipe: Recipe, member: Member, step: Any) -> Batch:
    """The context windows of one member at one step: a pure function of (data_seed, step)."""
    task, key = cast("Task", recipe.task), data_key(member.data_seed, step)
    return pack_batch(task, key, recipe.batch, recipe.context)


def train_step(recipe: Recipe, state: TrainState, member: Member, step: Any) -> tuple[TrainState, StepInfo]:
    """Moves one member's weights by one step of AdamW, on data that are a function of (data_seed, step).

    From the first loss or gradient on that is not finite the member has diverged: it moves no more, and
    its losses and gradient norms are NaN.
    """
    key = data_key(member.data_seed, step)
    value, gradients = jax.value_and_grad(objective_of(recipe).loss)(state.params, key)
    info = StepInfo(value, optax.tree.norm(gradients))
    transformation = recipe.optimizer.transformation(member.weight_decay)
    updates, optimizer = transformation.update(gradients, state.optimizer, state.params)
    rate = member.learning_rate * recipe.optimizer.schedule(step, member.decay_steps)
    params = jax.tree.map(lambda p, u: p - rate * u, state.params, updates)
    finite = jnp.isfinite(info.loss) & jnp.isfinite(info.gradient_norm)
    diverged = state.diverged | ~finite

    def frozen(before: Any, after: Any) -> Array:
        return jnp.where(diverged, before, after)

    # Its last weights are kept: what broke can still be looked at.
    params = jax.tree.map(frozen, state.params, params)
    optimizer = jax.tree.map(frozen, state.optimizer, optimizer)
    seen = StepInfo(frozen(jnp.nan, info.loss), frozen(jnp.nan, info.gradient_norm))
    return TrainState(params, optimizer, diverged), seen
