"""How uncertain is a weighted sum of the means of several groups of runs?"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def welch(weight: Array, runs: Array, variance: Array) -> tuple[float, float]:
    """Standard error of sum(weight * mean), and its degrees of freedom.

    Args:
        weight: [M] of each group's mean.
        runs: [M] in each group; groups without any are left out.
        variance: [M] between the runs of each group; not used where there is one run, which is taken to be as
            variable as those of the other groups together.

    Returns:
        Both numbers; (0, 1) where no group has two runs or none varies.

    References:
        Welch (1947), Biometrika 34, p. 28; Satterthwaite (1946), Biometrics Bull. 2, p. 110.
    """
    dof = np.maximum(runs - 1, 0)
    repeated, there = dof > 0, runs > 0
    if not repeated.any() or np.isnan(weight[there]).any():
        return 0.0, 1.0
    own = np.where(repeated, variance, 0.0)
    pooled = float(np.sum(dof * own) / dof.sum())
    spread = np.where(repeated, own, pooled)
    parts = np.where(there, weight**2 * spread / np.maximum(runs, 1), 0.0)
    if not parts.sum() > 0:
        return 0.0, 1.0
    degrees = parts.sum() ** 2 / np.sum(parts**2 / np.where(repeated, dof, dof.sum()))
    return float(np.sqrt(parts.sum())), float(degrees)
