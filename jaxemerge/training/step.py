"""One step of one seed: who it is, what it carries from step to step, and how it moves."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from jaxemerge.brief import brief
from jaxemerge.training.recipe import Recipe, objective_of
from jaxemerge.types import Array, Bool, Float, Key, Params, UInt32

_LARGEST_SEED = 2**32 - 1
_INIT, _DATA = 0, 1  # independent streams of random numbers from one root key


@brief
class Members(NamedTuple):
    """What sets one member of a population apart from another; leading axis S.

    Hyperparameters are here and not in the compiled program, so they may differ per member and
    change without recompiling.

    Attributes:
        init_seed: decides the initial weights.
        data_seed: decides the training data of every step.
        learning_rate: peak learning rate.
        weight_decay: decoupled weight decay.
        decay_steps: length of the learning rate's schedule.
    """

    init_seed: UInt32[Array, " S"]
    data_seed: UInt32[Array, " S"]
    learning_rate: Float[Array, " S"]
    weight_decay: Float[Array, " S"]
    decay_steps: Float[Array, " S"]


Member = Members  # one of them: the same fields without the axis S


@brief
class TrainState(NamedTuple):
    """All that training changes; leading axis S when it is a population.

    Attributes:
        params: float32 weights.
        optimizer: optax state.
        diverged: whether a loss or gradient was ever not finite.
    """

    params: Params
    optimizer: Any
    diverged: Bool[Array, "*S"]


Seed = tuple[int, int]  # (init_seed, data_seed)


def paired(seeds: Iterable[int]) -> tuple[Seed, ...]:
    """Each seed decides both the initial weights and the data.

    Raises:
        ValueError: a number is given instead of seeds.
    """
    return tuple((int(s), int(s)) for s in _several(seeds, "paired(range({}))"))


def crossed(init_seeds: Iterable[int], data_seeds: Iterable[int]) -> tuple[Seed, ...]:
    """Every initialisation with every data order, to tell the two sources of variance apart.

    Raises:
        ValueError: a number is given instead of seeds.
    """
    orders = tuple(_several(data_seeds, "crossed(..., range({}))"))
    return tuple((int(i), int(d)) for i in _several(init_seeds, "crossed(range({}), ...)") for d in orders)


def _several(seeds: Any, call: str) -> Iterable[int]:
    """The seeds; a number of them is an error, which shows the right call."""
    if not isinstance(seeds, Iterable):
        raise ValueError(f"{seeds!r} is a number: give the seeds themselves, as in {call.format(seeds)}")
    return seeds


def seed_pairs(seeds: Any) -> tuple[Seed, ...]:
    """Seeds as pairs of Python integers.

    Raises:
        ValueError: they are not pairs (init_seed, data_seed).
    """
    try:
        return tuple((int(init), int(data)) for init, data in seeds)
    except TypeError:
        call = "paired(range(8))" if not isinstance(seeds, Iterable) else f"paired({seeds!r})"
        raise ValueError(f"seeds={seeds!r}: must be pairs (init_seed, data_seed), as in {call}") from None


def check_seeds(seeds: Iterable[Seed]) -> None:
    """Raises ValueError if there is no seed, a duplicate, or one that is not a 32-bit unsigned integer."""
    seen: set[Seed] = set()
    for seed in seeds:
        if seed in seen:
            name = seed[0] if seed[0] == seed[1] else seed
            raise ValueError(f"seeds: {name} is given twice; every seed must be different")
        if any(not 0 <= part <= _LARGEST_SEED for part in seed):
            raise ValueError(f"seeds: {seed} must be integers of 0 to {_LARGEST_SEED}")
        seen.add(seed)
    if not seen:
        raise ValueError("seeds: none given; at least 1 is needed")


def members(seeds: Iterable[Seed], learning_rate: float, weight_decay: float, decay_steps: float) -> Members:
    """Members that share their hyperparameters; replace a field to let it differ.

    Args:
        seeds: (init_seed, data_seed) of each.
        learning_rate: peak learning rate.
        weight_decay: decoupled weight decay.
        decay_steps: length of the learning rate's schedule.
    """
    pairs = np.asarray(tuple(seeds), np.uint32).reshape(-1, 2)
    return Members(
        init_seed=jnp.asarray(pairs[:, 0]),
        data_seed=jnp.asarray(pairs[:, 1]),
        learning_rate=jnp.full(len(pairs), learning_rate, jnp.float32),
        weight_decay=jnp.full(len(pairs), weight_decay, jnp.float32),
        decay_steps=jnp.full(len(pairs), decay_steps, jnp.float32),
    )


def init_key(init_seed: UInt32[Array, ""]) -> Key:
    """Key of a member's initial weights."""
    return jax.random.fold_in(_stream(_INIT), init_seed)


def data_key(data_seed: UInt32[Array, ""], step: Array | int) -> Key:
    """Key of a member's batch at a step: training can stop and resume at any step without an iterator."""
    return jax.random.fold_in(jax.random.fold_in(_stream(_DATA), data_seed), step)


def _stream(stream: int) -> Key:
    # threefry whatever the default: the rbg generators draw all of a vmap from its first key.
    return jax.random.fold_in(jax.random.key(0, impl="threefry2x32"), stream)


@brief
class StepInfo(NamedTuple):
    """What a step saw, before its update.

    Attributes:
        loss: mean training loss of its batch, in nats.
        gradient_norm: global norm of the gradient before clipping.
    """

    loss: Float[Array, ""]
    gradient_norm: Float[Array, ""]


def initial_state(recipe: Recipe, member: Member, params: Params | None = None) -> TrainState:
    """Weights and empty optimizer state of one member; weights are drawn unless ``params`` gives them."""
    params = objective_of(recipe).init(init_key(member.init_seed)) if params is None else params
    optimizer = recipe.optimizer.transformation(member.weight_decay, recipe.steps).init(params)
    return TrainState(params, optimizer, jnp.zeros((), bool))


def train_step(
    recipe: Recipe, state: TrainState, member: Member, step: Any, data: Sequence[Array] = ()
) -> tuple[TrainState, StepInfo]:
    """Moves one member's weights by one step, on a batch that is a function of (data_seed, step).

    From the first loss or gradient on that is not finite the member has diverged: it moves no more, and
    its losses and gradient norms are NaN.

    Args:
        recipe: task, model and optimizer.
        state: of one member.
        member: who it is.
        step: updates made so far.
        data: the task's arrays, shared by all members.
    """
    key = data_key(member.data_seed, step)
    loss: Callable[..., Array] = objective_of(recipe).loss
    value, gradients = jax.value_and_grad(loss)(state.params, key, *data)
    info = StepInfo(value, optax.tree.norm(gradients))
    transformation = recipe.optimizer.transformation(member.weight_decay, recipe.steps)
    updates, optimizer = transformation.update(gradients, state.optimizer, state.params)
    rate = recipe.optimizer.rate(step, member.learning_rate, member.decay_steps)
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
