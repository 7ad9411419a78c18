"""Would the law have predicted the larger models from the smaller? Rolling-origin validation."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .interval import Estimate, Interval
from .runs import columns

Floats = NDArray[np.float64]
Rows = NDArray[np.int64]


@dataclass(frozen=True)
class RollingOrigin:
    """What was predicted for each run from the runs of smaller scale alone.

    Attributes:
        runs: [H] indices of the predicted runs, by scale.
        scale: [H] of these.
        origin: [H] largest scale that the prediction was fitted to.
        observed: [H] value of these.
        predicted: [H] prediction, with the interval of the law.
    """

    runs: Rows
    scale: Floats
    origin: Floats
    observed: Floats
    predicted: Estimate

    @property
    def error(self) -> Floats:
        """[H] predicted - observed."""
        return self.predicted.value - self.observed

    @property
    def relative_error(self) -> Floats:
        """[H] error / observed; infinite where 0 was observed."""
        with np.errstate(divide="ignore", invalid="ignore"):
            return self.error / self.observed


def rolling_origin(
    scale: ArrayLike,
    observed: ArrayLike,
    predict: Callable[[Rows, Rows], Estimate],
    *,
    least: int = 3,
    ahead: int = 1,
) -> RollingOrigin:
    """Fits on the smaller scales and predicts the next, from `least` scales up to all but the last.

    Args:
        scale: [n] by which runs are ordered, positive: parameters, FLOPs, ...
        observed: [n] what is predicted.
        predict: from the indices of the runs to fit and those to predict to an estimate for the latter, such
            as `lambda fit, to: fit_power_law(s[fit], y[fit]).predict(s[to])`.
        least: number of different scales in the first fit.
        ahead: how many scales ahead to predict; 1 is the next.

    Returns:
        RollingOrigin.

    Raises:
        ValueError: if shapes do not fit, scales are not positive, or there are too few of them.
    """
    (s,) = columns(scale=scale)
    y = np.asarray(observed, np.float64)
    if y.shape != s.shape:
        raise ValueError(f"observed of shape {y.shape} must be one value for each of {len(s)} runs")
    if least < 1 or ahead < 1:
        raise ValueError(f"least={least}, ahead={ahead} must be at least 1")
    scales = np.unique(s)
    if len(scales) < least + ahead:
        raise ValueError(f"{len(scales)} different scales; {least + ahead} or more are needed")
    runs: list[Rows] = []
    origins: list[Floats] = []
    values: list[Floats] = []
    lows: list[Floats] = []
    highs: list[Floats] = []
    for last, target in zip(scales[least - 1 :], scales[least + ahead - 1 :], strict=False):
        to = np.flatnonzero(s == target)
        found = predict(np.flatnonzero(s <= last), to)
        runs.append(to)
        origins.append(np.full(len(to), last))
        for parts, of in zip(
            (values, lows, highs), (found.value, found.interval.low, found.interval.high), strict=True
        ):
            parts.append(np.broadcast_to(of, to.shape))
    index = np.concatenate(runs)
    value, low, high = (np.concatenate(parts) for parts in (values, lows, highs))
    return RollingOrigin(
        index, s[index], np.concatenate(origins), y[index], Estimate(value, Interval(low, high))
    )
