"""How would a statistic move if other seeds had been drawn? The seed is the unit that is resampled."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .interval import UNKNOWN, Estimate, Interval, check_confidence


def generator(key: Any) -> np.random.Generator:
    """A NumPy generator that depends on `key` alone.

    Args:
        key: a non-negative int, or one JAX key (typed or raw).

    Raises:
        ValueError: if `key` is a batch of JAX keys or a negative int.
    """
    if isinstance(key, int | np.integer):
        if key < 0:
            raise ValueError(f"key={key} must be a non-negative int or a JAX key")
        return np.random.default_rng(int(key))
    import jax  # only for those who hold a JAX key: importing it takes a second

    words = np.asarray(jax.random.key_data(key))
    if words.ndim != 1:
        raise ValueError(f"key of shape {tuple(key.shape)} is a batch of JAX keys; one key is needed")
    return np.random.default_rng(words)


def resample_indices(seeds: int, *, key: Any = 0, resamples: int = 1000) -> NDArray[np.int64]:
    """Draws `resamples` populations of the same size, with replacement.

    Returns:
        [R, S] indices into the S seeds.

    Raises:
        ValueError: if there is no seed or no resample to draw.
    """
    if seeds < 1:
        raise ValueError(f"seeds={seeds} must be at least 1")
    if resamples < 1:
        raise ValueError(f"resamples={resamples} must be at least 1")
    return generator(key).integers(seeds, size=(resamples, seeds))


def percentile_interval(replicates: ArrayLike, confidence: float = 0.95) -> Interval:
    """The middle `confidence` of the replicates along their first axis; NaN replicates are dropped.

    Args:
        replicates: [R] or [R, ...] values of a statistic on R resamples; NaN where it is undefined.
        confidence: probability in (0, 1).

    Returns:
        Interval of floats, or of arrays [...]; NaN ends where no replicate is defined.

    Raises:
        ValueError: if `confidence` is not in (0, 1) or there is no replicate.

    References:
        Efron and Tibshirani (1993), An Introduction to the Bootstrap, section 13.3.
    """
    check_confidence(confidence)
    values = np.asarray(replicates, np.float64)
    if values.ndim == 0 or len(values) == 0:
        raise ValueError(f"replicates of shape {values.shape}: at least one replicate is needed")
    if values.ndim == 1:
        defined = values[~np.isnan(values)]
        return Interval(*map(float, np.quantile(defined, _tails(confidence)))) if len(defined) else UNKNOWN
    columns = [percentile_interval(column, confidence) for column in values.reshape(len(values), -1).T]
    shape = values.shape[1:]
    return Interval(
        np.array([c.low for c in columns]).reshape(shape), np.array([c.high for c in columns]).reshape(shape)
    )


def bootstrap(
    values: ArrayLike,
    statistic: Callable[[NDArray[Any]], NDArray[np.float64]],
    *,
    key: Any = 0,
    resamples: int = 1000,
    confidence: float = 0.95,
) -> Estimate:
    """Percentile-bootstrap estimate of any statistic of a population of seeds.

    Args:
        values: [S, ...], one row per seed; whole rows are resampled, so a seed stays in one piece.
        statistic: vectorised, reduces axis 1: [R, S, ...] -> [R] or [R, ...]. NaN where undefined.
        key: int or JAX key; the same key gives the same interval.
        resamples: R, number of resamples.
        confidence: probability in (0, 1).

    Returns:
        The statistic of `values` and the percentile interval over the resamples on which it is defined.

    Raises:
        ValueError: if there is no seed, no resample, or `confidence` is not in (0, 1).

    References:
        Efron and Tibshirani (1993), An Introduction to the Bootstrap, section 13.3.
    """
    check_confidence(confidence)
    data = np.asarray(values)
    indices_RS = resample_indices(len(data), key=key, resamples=resamples)
    value = np.asarray(statistic(data[None]), np.float64)[0]
    interval = percentile_interval(statistic(data[indices_RS]), confidence)
    return Estimate(float(value) if value.ndim == 0 else value, interval)


def _tails(confidence: float) -> tuple[float, float]:
    return (1 - confidence) / 2, (1 + confidence) / 2
