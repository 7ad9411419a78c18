"""Are examples laid end to end as a plain loop would do it?"""

from __future__ import annotations

import functools
from collections.abc import Callable

import jax
import numpy as np
import pytest

from jaxemerge.tasks import Count, Task, pack_batch, pack_window
from toy_tasks import Echo

TASKS = (Count(13, 7, (9,)), Echo())


@functools.cache
def sampler(task: Task) -> Callable[[jax.Array], tuple[jax.Array, jax.Array, jax.Array]]:
    return jax.jit(jax.vmap(task.sample))


@functools.cache
def examples(task: Task, seed: int, n: int = 199) -> list[tuple[list[int], list[float]]]:
    """The examples of a window's key, one after the other."""
    keys = jax.random.split(jax.random.key(seed), n)
    tokens, weights, lengths = map(np.asarray, sampler(task)(keys))
    return [(t[:n].tolist(), w[:n].tolist()) for t, w, n in zip(tokens, weights, lengths, strict=True)]


def packed(
    task: Task,
    seed: int,
    context: int,
    fits: Callable[[int, int], bool] = lambda end, context: end <= context,
) -> tuple[list[int], list[float]]:
    """Fills a window by a loop; an example that does not fit keeps its tokens and loses its weights."""
    tokens: list[int] = []
    weights: list[float] = []
    for example, learnt in examples(task, seed):
        if len(tokens) == context:
            return tokens, weights
        room = context - len(tokens)
        whole = fits(len(tokens) + len(example), context)
        tokens += example[:room]
        weights += learnt[:room] if whole else [0.0] * min(room, len(example))
    raise AssertionError("not enough examples")


def ends(task: Task, seed: int) -> np.ndarray:
    return np.cumsum([len(example) for example, _ in examples(task, seed)])


@functools.partial(jax.jit, static_argnums=(0, 2))
def window(task: Task, key: jax.Array, context: int) -> tuple[jax.Array, jax.Array]:
    return pack_window(task, key, context)


batch = jax.jit(pack_batch, static_argnums=(0, 2, 3))


def seen(task: Task, seed: int, context: int) -> tuple[list[int], list[float]]:
    tokens, weights, _ = window(task, jax.random.key(seed), context)
    assert tokens.shape == weights.shape == (context,)
    return tokens.tolist(), weights.tolist()


@pytest.mark.parametrize("task", TASKS, ids=str)
@pytest.mark.parametrize("context", [29, 61, 127])
def test_window_equals_a_loop(task: Task, context: int) -> None:
    for seed in range(17):
        assert seen(task, seed, context) == packed(task, seed, context)


@pytest.mark.parametrize("task", TASKS, ids=str)
@pytest.mark.parametrize("beyond", [-1, 0, 1])
def test_example_that_ends_with_the_window_keeps_its_weights(task: Task, beyond: int) -> None:
    seed = 3
    context = int(next(end for end in ends(task, seed) if end > 40)) + beyond
    tokens, weights = seen(task, seed, context)
    assert (tokens, weights) == packed(task, seed, context)
    assert (weights[-1] > 0) == (beyond == 0)
    wrong = packed(task, seed, context, fits=lambda end, context: end < context)
    assert ((tokens, weights) != wrong) == (beyond == 0)


@pytest.mark.parametrize("task", TASKS, ids=str)
def test_loop_sees_weights_of_cut_off_examples(task: Task) -> None:
    differ = [
        seen(task, seed, 61) != packed(task, seed, 61, fits=lambda end, context: True) for seed in range(17)
    ]
    cut = [61 not in ends(task, seed) for seed in range(17)]
    assert sum(cut) > 10
    # A cut-off example shows only if a token that would be learnt is inside the window.
    assert sum(differ) >= 5
    assert not any(d and not c for d, c in zip(differ, cut, strict=True))


def test_no_padding_and_no_loss_on_prompts() -> None:
    task = Count(13, 7, (9,))
    tokens, weights = map(np.array, zip(*(seen(task, seed, 61) for seed in range(23)), strict=True))
    assert task.pad not in tokens
    assert np.all(tokens[:, 0] == task.begin)
    for row, learnt in zip(tokens, weights, strict=True):
        for start in np.flatnonzero(row == task.begin):
            assert not learnt[start : start + 4].any()


def test_batch_is_windows_of_their_own_keys() -> None:
    task, key = TASKS[0], jax.random.key(11)
    tokens, weights, _ = map(np.asarray, batch(task, key, 5, 61))
    assert tokens.shape == weights.shape == (5, 61)
    assert len({row.tobytes() for row in tokens}) == 5
    for row, learnt, one in zip(tokens, weights, jax.random.split(key, 5), strict=True):
        alone = window(task, one, 61)
        assert np.array_equal(row, alone[0])
        assert np.array_equal(learnt, alone[1])


def test_windows_map_over_keys() -> None:
    """As in training: one window of each of several seeds, side by side."""
    task, keys = TASKS[1], jax.random.split(jax.random.key(2), 3)
    together = jax.jit(jax.vmap(lambda key: pack_window(task, key, 61)))(keys)
    for i, key in enumerate(keys):
        alone = window(task, key, 61)
        assert np.array_equal(together.tokens[i], alone[0])
        assert np.array_equal(together.weights[i], alone[1])
    assert not np.array_equal(together.tokens[0], together.tokens[1])


def test_segments_count_the_examples_of_a_window() -> None:
    """Every example of Echo ends with the same token, which stands nowhere else."""
    task = Echo()
    tokens, _, segments = map(np.asarray, batch(task, jax.random.key(3), 5, 61))
    ended = np.cumsum(tokens == task.letters, axis=1)
    assert np.array_equal(segments, np.pad(ended[:, :-1], ((0, 0), (1, 0))))
    assert segments.max() > 3
