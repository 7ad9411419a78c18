"""How good is a method over many tasks with a few seeds each, and is it better than another?"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import trim_mean

from .arguments import check_at_least, check_confidence
from .interval import Estimate
from .resampling import generator, percentile_interval

Array = NDArray[np.float64]


def interquartile_mean(
    scores: Sequence[ArrayLike], *, confidence: float = 0.95, resamples: int = 2000, key: Any = 0
) -> Estimate:
    """The mean of the middle half of the scores of all tasks and seeds together.

    It is less moved by outliers than the mean, and depends on more scores than the median. The interval is
    that of percentiles of a stratified bootstrap: seeds are resampled within each task, the tasks are fixed.

    Args:
        scores: M tasks of [S_m] scores of seeds each, on one scale.
        confidence: probability in (0, 1).
        resamples: of the seeds.
        key: int or JAX key.

    Raises:
        ValueError: if a task has no score or one that is not finite, or an argument is out of its range.

    References:
        Agarwal et al. (2021), "Deep Reinforcement Learning at the Edge of the Statistical Precipice",
        arXiv 2108.13264, section 4.
    """
    tasks = _tasks(scores)

    def statistic(drawn: list[Array]) -> Array:
        return np.asarray(trim_mean(np.concatenate(drawn, axis=1), 0.25, axis=1))

    return _stratified(statistic, tasks, confidence, resamples, key)


def improvement_probability(
    first: Sequence[ArrayLike],
    second: Sequence[ArrayLike],
    *,
    confidence: float = 0.95,
    resamples: int = 2000,
    key: Any = 0,
) -> Estimate:
    """The probability that a run of the second method beats one of the first, on a task drawn at random,

        mean over tasks of P(y > x) + P(y = x) / 2.

    Args:
        first, second: M tasks of scores of seeds each, larger is better; seeds may differ in number.
        confidence: probability in (0, 1).
        resamples: of the seeds of both methods, within each task.
        key: int or JAX key.

    Raises:
        ValueError: if the methods have different numbers of tasks, or as `interquartile_mean`.

    References:
        Agarwal et al. (2021), arXiv 2108.13264, section 4 (average probability of improvement).
    """
    one, two = _tasks(first), _tasks(second)
    if len(one) != len(two):
        raise ValueError(f"{len(one)} and {len(two)} tasks: both methods need the same tasks")

    def statistic(drawn: list[Array]) -> Array:
        pairs = zip(drawn[: len(one)], drawn[len(one) :], strict=True)
        return np.mean([_wins(x, y) for x, y in pairs], axis=0)

    return _stratified(statistic, [*one, *two], confidence, resamples, key)


def _wins(x: Array, y: Array) -> Array:
    """[R] shares of pairs of [R, n] and [R, m] that y wins, ties by half."""
    apart = y[:, :, None] - x[:, None, :]
    return np.mean((np.sign(apart) + 1) / 2, axis=(1, 2))


def _stratified(
    statistic: Callable[[list[Array]], Array],
    strata: list[Array],
    confidence: float,
    resamples: int,
    key: Any,
) -> Estimate:
    check_confidence(confidence)
    check_at_least(1, resamples=resamples)
    rng = generator(key)
    value = float(statistic([each[None] for each in strata])[0])
    drawn = [rng.choice(each, (resamples, len(each))) for each in strata]
    return Estimate(value, percentile_interval(statistic(drawn), confidence))


def _tasks(scores: Sequence[ArrayLike]) -> list[Array]:
    tasks = [np.asarray(task, np.float64) for task in scores]
    if not tasks or any(task.ndim != 1 or not len(task) or not np.all(np.isfinite(task)) for task in tasks):
        raise ValueError("scores must be one or more finite numbers for each of one or more tasks")
    return tasks
