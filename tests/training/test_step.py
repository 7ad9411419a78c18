"""Is a training step the one of a loop written by hand?"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxemerge.models import apply
from jaxemerge.training import AdamW
from small_cell import CELL, built, distance, of, run, settled, training_batch
from small_cell import mean_loss as loss

STEPS = 7
TOLERANCE = 2e-5  # of each array's largest entry; rounding alone


def closed_form(step: float, steps: int, warmup: int, final: float) -> float:
    if step < warmup:
        return step / warmup
    done = min((step - warmup) / max(steps - warmup, 1), 1)
    return final + (1 - final) * (1 + np.cos(np.pi * done)) / 2


def is_matrix(path: Any, leaf: Any) -> bool:
    return str(path[-1].key) in ("kernel", "embedding", "head")


def own_loss(params: Any, tokens: Any, weights: Any) -> jax.Array:
    logits = apply(CELL.model, CELL.task.vocabulary, params, tokens)
    each = optax.losses.softmax_cross_entropy_with_integer_labels(logits[:, :-1], tokens[:, 1:])
    return (each * weights[:, 1:]).sum() / weights[:, 1:].sum()


gradient_of = jax.jit(jax.value_and_grad(own_loss))
batch_of = jax.jit(lambda member, step: training_batch(CELL, member, step))


def by_hand(
    schedule: Callable[[int], float] = lambda step: closed_form(step, CELL.steps, 3, 0.1),
    clip: float = CELL.optimizer.clip,
    decays: Callable[[Any, Any], bool] = is_matrix,
    decay: float = CELL.optimizer.weight_decay,
    beta2: float = CELL.optimizer.beta2,
) -> tuple[Any, list[float], list[float]]:
    """Weights of seed 7 after STEPS steps of optax.adamw, with losses and gradient norms."""
    rates = np.array([CELL.optimizer.learning_rate * schedule(step) for step in range(STEPS)], np.float32)
    optimizer = optax.chain(
        optax.clip_by_global_norm(clip),
        optax.adamw(
            lambda count: jnp.asarray(rates)[count],
            b1=CELL.optimizer.beta1,
            b2=beta2,
            eps=CELL.optimizer.epsilon,
            weight_decay=decay,
            mask=lambda tree: jax.tree_util.tree_map_with_path(decays, tree),
        ),
    )
    params = start()
    losses, norms = [], []
    state = optimizer.init(params)
    for step in range(STEPS):
        batch = batch_of(member(), step)
        value, gradient = gradient_of(params, batch.tokens, batch.weights)
        losses.append(float(value))
        norms.append(float(np.sqrt(sum(np.sum(np.square(g)) for g in jax.tree.leaves(gradient)))))
        updates, state = optimizer.update(gradient, state, params)
        params = optax.apply_updates(params, updates)
    return params, losses, norms


def member() -> Any:
    return jax.tree.map(lambda leaf: leaf[0], of([7]))


def start() -> Any:
    one = built(1, 1)
    return jax.tree.map(lambda leaf: np.asarray(leaf)[0], one.init(one.place(of([7]))).params)


@functools.cache
def trained() -> tuple[Any, Any]:
    state, info = run(built(1, 1), of([7]), STEPS)
    return jax.tree.map(lambda leaf: leaf[0], state.params), info


def test_equals_a_loop_by_hand() -> None:
    seen, info = trained()
    params, losses, norms = by_hand()
    assert min(norms) < CELL.optimizer.clip < max(norms)  # clipped at some steps, not at others
    assert distance(settled(seen), settled(params)) < TOLERANCE
    np.testing.assert_allclose(info.loss_sum[0], sum(losses), rtol=1e-6)
    np.testing.assert_allclose(info.last.loss[0], losses[-1], rtol=1e-6)
    np.testing.assert_allclose(info.last.gradient_norm[0], norms[-1], rtol=1e-5)


def test_schedule_may_be_longer_than_training() -> None:
    """A length of the schedule of its own, as ``horizon`` gives it, in the program of all lengths."""
    longer = 2 * CELL.steps
    state, _ = run(built(1, 1), of([7], decay_steps=longer), STEPS)
    seen = settled(jax.tree.map(lambda leaf: leaf[0], state.params))
    by_schedule = by_hand(lambda step: closed_form(step, longer, 3, 0.1))[0]
    assert distance(seen, settled(by_schedule)) < TOLERANCE
    assert distance(seen, settled(trained()[0])) > 10 * TOLERANCE


FAULTS: dict[str, dict[str, Any]] = {
    "a step late": {"schedule": lambda step: closed_form(step + 1, CELL.steps, 3, 0.1)},
    "decays to 0": {"schedule": lambda step: closed_form(step, CELL.steps, 3, 0.0)},
    "no clipping": {"clip": 1e9},
    "decay of everything": {"decays": lambda path, leaf: True},
    "decay of kernels alone": {"decays": lambda path, leaf: str(path[-1].key) == "kernel"},
    "no decay": {"decay": 0.0},
    "other second moment": {"beta2": 0.99},
}


@pytest.mark.parametrize("name", FAULTS)
def test_sees_a_fault(name: str) -> None:
    assert distance(settled(trained()[0]), settled(by_hand(**FAULTS[name])[0])) > 10 * TOLERANCE


def test_decays_matrices_and_nothing_else() -> None:
    """With gradients of zero, AdamW changes weights by their decay alone."""
    params = jax.tree.map(np.ones_like, start())
    transformation = CELL.optimizer.transformation(jnp.float32(0.2))
    zero = jax.tree.map(np.zeros_like, params)
    updates, _ = transformation.update(zero, transformation.init(params), params)
    for path, leaf in jax.tree_util.tree_leaves_with_path(updates):
        np.testing.assert_allclose(leaf, 0.2 if is_matrix(path, leaf) else 0.0)


@pytest.mark.parametrize(
    ("steps", "warmup", "final"),
    [(100, 10, 0.0), (97, 0, 0.3), (61, 60, 0.1), (10, 23, 0.0), (1, 0, 0.0), (1, 1, 1.0)],
)
def test_schedule_equals_its_closed_form(steps: int, warmup: int, final: float) -> None:
    optimizer = AdamW(warmup=warmup, final=final)
    for step in range(steps + 1):
        expected = closed_form(step, max(steps, warmup + 1), warmup, final)
        assert float(optimizer.relative_rate(jnp.int32(step), steps)) == pytest.approx(expected, abs=2e-7)
    if warmup < steps:
        assert float(optimizer.relative_rate(jnp.int32(steps), steps)) == pytest.approx(final, abs=1e-7)
        assert float(optimizer.relative_rate(jnp.int32(warmup), steps)) == 1


def test_loss_is_a_mean_over_weights() -> None:
    rng = np.random.default_rng(0)
    logits, tokens = rng.normal(size=(3, 7, 5)).astype(np.float32), rng.integers(0, 5, (3, 7))
    weights = rng.integers(0, 3, (3, 7)).astype(np.float32)
    total = count = 0.0
    for b in range(3):
        for t in range(6):  # position t predicts token t + 1
            p = np.exp(logits[b, t].astype(np.float64))
            total -= weights[b, t + 1] * np.log(p[tokens[b, t + 1]] / p.sum())
            count += weights[b, t + 1]
    assert float(loss(logits, tokens, weights)) == pytest.approx(total / count, rel=1e-6)
    weights[:, 0] += 100  # nothing predicts the first token
    assert float(loss(logits, tokens, weights)) == pytest.approx(total / count, rel=1e-6)
    assert float(loss(logits, tokens, 0 * weights)) == 0


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"learning_rate": 0.0}, "learning_rate=0.0: must be positive"),
        ({"epsilon": -1.0}, "epsilon=-1.0: must be positive"),
        ({"clip": float("nan")}, "clip=nan: must be positive"),
        ({"beta1": 1.0}, r"beta1=1.0: must lie in \[0, 1\)"),
        ({"beta2": -0.1}, r"beta2=-0.1: must lie in \[0, 1\)"),
        ({"final": 1.5}, r"final=1.5: must lie in \[0, 1\], a share of the peak learning rate"),
        ({"warmup": -1}, "warmup=-1: must be 0 or more steps"),
        ({"weight_decay": -0.1}, "weight_decay=-0.1: must not be negative"),
    ],
)
def test_optimizer_errors(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=f"^{message}$"):
        dataclasses.replace(AdamW(), **changes)


def test_clipping_looks_at_one_seed() -> None:
    """Mapped over seeds an enormous gradient shrinks its own update alone; on stacked seeds all of them."""
    params = {"kernel": np.ones((2, 3, 5), np.float32)}
    transformation = CELL.optimizer.transformation(jnp.float32(0.0))

    def moment(gradients: Any, mapped: bool) -> np.ndarray:
        def update(gradients: Any, params: Any) -> Any:
            return transformation.update(gradients, transformation.init(params), params)[1]

        state = (jax.vmap(update) if mapped else update)(gradients, params)
        return np.asarray(state[1].mu["kernel"])

    calm = {"kernel": np.full((2, 3, 5), 0.1, np.float32)}
    wild = {"kernel": calm["kernel"] * np.array([1, 1e6], np.float32)[:, None, None]}
    assert np.array_equal(moment(wild, mapped=True)[0], moment(calm, mapped=True)[0])
    assert np.linalg.norm(moment(wild, mapped=True)[1]) == pytest.approx(0.1 * CELL.optimizer.clip, rel=1e-5)
    assert not np.allclose(moment(wild, mapped=False)[0], moment(calm, mapped=False)[0])
