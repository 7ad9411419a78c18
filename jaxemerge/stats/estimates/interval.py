"""Values with their intervals, and the interval of a proportion."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import ndtri

from .arguments import check_confidence

Number = float | NDArray[np.float64]


@dataclass(frozen=True)
class Interval:
    """An interval, ends included.

    Attributes:
        low: lower end, a float or an array; NaN where the data do not determine it.
        high: upper end, of the same shape.
    """

    low: Number
    high: Number


@dataclass(frozen=True)
class Estimate:
    """A point estimate and its interval, in the same unit and of the same shape.

    Attributes:
        value: the estimate, a float or an array.
        interval: of the confidence given to the function that made it.
    """

    value: Number
    interval: Interval


UNKNOWN = Interval(float("nan"), float("nan"))


def success_interval(k: ArrayLike, n: ArrayLike, confidence: float = 0.95) -> Interval:
    """Wilson's score interval for a binomial proportion, element by element.

    With p = k/n and z the normal quantile of (1 + confidence)/2, the ends are

        (p + z²/2n ± z sqrt(p(1-p)/n + z²/4n²)) / (1 + z²/n).

    Its coverage stays close to nominal for a few dozen seeds and for extreme shares, where the textbook
    interval p ± z·se collapses to a point (k = 0 and k = n).

    Args:
        k: number of successes, any shape.
        n: number of trials, broadcast against `k`; n = 0 gives the interval (0, 1).
        confidence: probability in (0, 1).

    Returns:
        Interval of two floats if both arguments are scalars, else of two float64 arrays.

    Raises:
        ValueError: if some k is not in 0..n, or `confidence` is not in (0, 1).

    References:
        Wilson (1927), J. Am. Stat. Assoc. 22, p. 209; Brown, Cai and DasGupta (2001), Statistical Science 16,
        eq. 4.
    """
    check_confidence(confidence)
    successes, trials = np.broadcast_arrays(np.asarray(k, np.float64), np.asarray(n, np.float64))
    if not np.all((successes >= 0) & (successes <= trials)):
        raise ValueError(f"k={k!r} successes out of n={n!r} trials: 0 <= k <= n must hold")

    z2 = float(ndtri(0.5 + confidence / 2)) ** 2
    # Multiplied through by n, so that n = 0 needs no division by it: centre 1/2, half-width 1/2.
    centre = (successes + z2 / 2) / (trials + z2)
    share_left = 1 - np.divide(successes, trials, out=np.zeros(trials.shape), where=trials > 0)
    half_width = np.sqrt(z2 * (successes * share_left + z2 / 4)) / (trials + z2)
    # The formula gives 0 at k = 0 and 1 at k = n up to rounding; make it exact.
    low = np.where(successes == 0, 0.0, centre - half_width)
    high = np.where(successes == trials, 1.0, centre + half_width)
    return Interval(low, high) if low.ndim else Interval(float(low), float(high))
