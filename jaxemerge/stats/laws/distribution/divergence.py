"""Which share of the seeds diverges at each scale?"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import expit, log_expit

Floats = NDArray[np.float64]

CENTRE, SPREAD = -3.0, 3.0  # normal prior of the logit at the mean scale
SLOPE = 1.5  # standard deviation of its slopes' priors


def fit_divergence(z_CK: Floats, diverged: Floats, trained: Floats) -> Floats | None:
    """Penalised logistic regression of divergence on scale.

    Args:
        z_CK: [C, K] standardised ln scale.
        diverged: [C] seeds that diverged.
        trained: [C] seeds that did not.

    Returns:
        [1 + K] intercept and slopes; None if no seed diverged.
    """
    if not diverged.any():
        return None
    spread = np.append(SPREAD, np.full(z_CK.shape[1], SLOPE))
    centre = np.append(CENTRE, np.zeros(z_CK.shape[1]))
    columns = np.column_stack([np.ones(len(z_CK)), z_CK])

    def cost(beta: Floats) -> tuple[float, Floats]:
        logits, off = columns @ beta, (beta - centre) / spread
        value = -diverged @ log_expit(logits) - trained @ log_expit(-logits) + off @ off / 2
        return value, columns.T @ ((diverged + trained) * expit(logits) - diverged) + off / spread

    return minimize(cost, centre, jac=True, method="BFGS").x


def diverging(beta: Floats | None, z_GK: Floats) -> Floats:
    """[G] share of seeds that diverge at standardised ln scales."""
    if beta is None:
        return np.zeros(len(z_GK))
    return expit(beta[0] + z_GK @ beta[1:])
