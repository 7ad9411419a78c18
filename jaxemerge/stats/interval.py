"""How is an uncertain number written down? As an estimate with the two ends of its interval."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Number = float | NDArray[np.float64]


@dataclass(frozen=True)
class Interval:
    """An interval, ends included.

    Attributes:
        low: lower end, a float or an array; NaN where the data say nothing about it.
        high: upper end, of the same shape.
    """

    low: Number
    high: Number


@dataclass(frozen=True)
class Estimate:
    """A point estimate and its interval, in the same unit and of the same shape.

    Attributes:
        value: the estimate, a float or an array.
        interval: where the truth lies, with the confidence that the function which made it says.
    """

    value: Number
    interval: Interval


UNKNOWN = Interval(float("nan"), float("nan"))


def check_confidence(confidence: float) -> None:
    """Refuses a confidence level that is not a probability strictly between 0 and 1.

    Raises:
        ValueError: if `confidence` is outside (0, 1); 95 instead of 0.95 is the usual slip.
    """
    if not 0.0 < confidence < 1.0:
        raise ValueError(f"confidence={confidence} must lie in (0, 1)")
