"""How does a run that diverged count?"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray


def as_outcomes(values: ArrayLike, failure: float = 0.0) -> NDArray[np.float64]:
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
