"""A cell that trains in milliseconds a step, and its compiled programs, shared by the tests of a session."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np

from jaxemerge.devices import Layout
from jaxemerge.models import Transformer, neox
from jaxemerge.models.layers import negative_log_likelihood
from jaxemerge.tasks import Batch, Count, Task, pack_batch
from jaxemerge.tasks.packing import shift
from jaxemerge.training import AdamW, Members, Program, Recipe, members, paired, program
from jaxemerge.training.objective import weighted_mean
from jaxemerge.training.step import data_key

_TASK = Count(11, 5, (3, 7))
_MODEL = neox(1, 20, 5, rotary_fraction=0.5, mlp_ratio=1.35)
_OPTIMIZER = AdamW(learning_rate=0.01, warmup=3, final=0.1, clip=1.8, weight_decay=0.2)


@dataclass(frozen=True)
class Cell(Recipe):
    """A recipe of small sizes."""

    task: Task = _TASK
    model: Transformer = _MODEL
    optimizer: AdamW = _OPTIMIZER
    steps: int = 13
    batch: int = 3
    context: int = 17


def parameter_shapes(spec: Transformer, vocabulary: int) -> Any:
    """Shapes and dtypes of a transformer's weights."""
    return jax.eval_shape(lambda: spec.init(vocabulary, jax.random.key(0)))


def training_batch(recipe: Recipe, member: Any, step: Any) -> Batch:
    """The context windows of one member at one step."""
    return pack_batch(recipe.task, data_key(member.data_seed, step), recipe.batch, recipe.context)


def mean_loss(logits: Any, tokens: Any, weights: Any) -> jax.Array:
    """Of given logits, in nats per weighted token."""
    return weighted_mean(negative_log_likelihood(logits, shift(tokens)), shift(weights))


CELL = Cell()
SIXTEEN = [11, 3, 7, 0, 2**32 - 1, 21, 5, 1, 4, 8, 6, 10, 13, 9, 12, 2]  # seeds


@functools.cache
def built(devices: int, width: int, cell: Cell = CELL) -> Program:
    return program(cell, Layout(tuple(jax.devices()[:devices]), width))


def of(seeds: Sequence[int], **changes: Any) -> Members:
    """Members of seeds; ``changes`` are arrays, or values for all."""
    own = CELL.optimizer
    base = members(paired(seeds), own.learning_rate, own.weight_decay, CELL.steps)
    fields = {name: np.broadcast_to(np.asarray(v, np.float32), len(seeds)) for name, v in changes.items()}
    return base._replace(**fields)


def run(built: Program, who: Members, steps: int, *, start: int = 0, state: Any = None) -> tuple[Any, Any]:
    """State and info after ``steps`` steps, as NumPy arrays."""
    placed = built.place(who)
    state = built.init(placed) if state is None else jax.device_put(state, built.layout.sharding)
    return jax.tree.map(np.asarray, built.advance(state, placed, start, start + steps, 0))


@functools.cache
def trained() -> Any:
    """Weights of seeds 5, 7 and 2, trained until they know some items and not others."""
    params = run(built(1, 4), of(SIXTEEN, learning_rate=0.1), 200)[0].params
    return jax.tree.map(lambda leaf: np.asarray(leaf[[SIXTEEN.index(seed) for seed in (5, 7, 2)]]), params)


def seed_of(tree: Any, index: int) -> list[np.ndarray]:
    """The leaves of one seed."""
    return [leaf[index] for leaf in jax.tree.leaves(tree)]


def same(left: Sequence[np.ndarray], right: Sequence[np.ndarray]) -> bool:
    """Whether all arrays are equal to the last bit."""
    return all(a.dtype == b.dtype and a.tobytes() == b.tobytes() for a, b in zip(left, right, strict=True))


def distance(left: Sequence[np.ndarray], right: Sequence[np.ndarray]) -> float:
    """Largest difference of any array, over that array's largest entry."""
    return max(
        float(np.max(np.abs(a - b)) / max(np.max(np.abs(b)), 1e-9)) for a, b in zip(left, right, strict=True)
    )


def settled(params: Any) -> list[np.ndarray]:
    """The weights, but for the biases of keys, as a list.

    Softmax hardly sees those: their gradient is rounding where they are not rotated, and Adam scales
    that up to full steps. Two right programs differ there by far more than by rounding.
    """
    third = CELL.model.width

    def of_leaf(path: Any, leaf: Any) -> np.ndarray:
        whole = np.asarray(leaf)
        if not jax.tree_util.keystr(path).endswith("['qkv']['bias']"):
            return whole
        return np.concatenate([whole[..., :third], whole[..., 2 * third :]], axis=-1)

    return jax.tree.leaves(jax.tree_util.tree_map_with_path(of_leaf, params))
