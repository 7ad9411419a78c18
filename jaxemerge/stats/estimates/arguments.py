"""Are arguments within their ranges, and how does a diverged run count?"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]


def check_confidence(confidence: float) -> None:
    """Rejects a confidence level that is not a probability strictly between 0 and 1.

    Raises:
        ValueError: if `confidence` is outside (0, 1); 95 instead of 0.95 is the usual slip.
    """
    if not 0.0 < confidence < 1.0:
        raise ValueError(f"confidence={confidence} must lie in (0, 1)")


def check_threshold(threshold: float) -> None:
    """Rejects a threshold of success outside (0, 1].

    Raises:
        ValueError: if it is.
    """
    if not 0.0 < threshold <= 1.0:
        raise ValueError(f"threshold={threshold} must lie in (0, 1]")


def check_at_least(least: float, /, **given: float) -> None:
    """Rejects numbers below the least one allowed, such as numbers of resamples.

    Raises:
        ValueError: if one is, by its name.
    """
    for name, value in given.items():
        if not value >= least:
            raise ValueError(f"{name}={value} must be at least {least:g}")


def one_per_scale(scale: Array, populations: Sequence[ArrayLike]) -> list[Array]:
    """Populations [S_i] as float64, one for each scale.

    Raises:
        ValueError: if there are not as many as scales [N], or one has another shape.
    """
    samples = [np.asarray(population, np.float64) for population in populations]
    if [sample.ndim for sample in samples] != [1] * len(scale):
        shapes = [sample.shape for sample in samples]
        raise ValueError(
            f"populations of shapes {shapes} must be one sample of seeds for each of {len(scale)} scales"
        )
    return samples


def as_outcomes(values: ArrayLike, failure: float = 0.0) -> Array:
    """Outcomes of runs as floats, with `failure` in the place of NaN.

    A diverged run is an outcome. Dropping it would make a population look better than it is.

    Args:
        values: any shape; NaN marks a diverged run.
        failure: what a diverged run scores: 0 for scores in [0, 1]; for a loss, that of a uniform guess.

    Raises:
        ValueError: if a value is infinite, or `failure` is not finite.
    """
    if not np.isfinite(failure):
        raise ValueError(f"failure={failure} must be finite")
    outcomes = np.asarray(values, np.float64)
    if np.any(np.isinf(outcomes)):
        raise ValueError(f"{np.isinf(outcomes).sum()} of the values are infinite: they must be finite or NaN")
    return np.where(np.isnan(outcomes), float(failure), outcomes)
