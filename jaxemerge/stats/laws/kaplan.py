"""The law of the loss of Kaplan et al., without an irreducible part."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import jax.numpy as jnp
import numpy as np
from jax import Array
from numpy.typing import ArrayLike, NDArray

from jaxemerge.brief import brief

from ..estimates.arguments import check_confidence
from ..estimates.interval import Estimate
from .frontier import FLOPS_PER_PARAMETER_AND_TOKEN as SIX
from .frontier import ComputeOptimal, frontier
from .minimise import Penalty, minimise
from .runs import columns, estimate, need_runs, need_scales, resampled_weights, scale_of

Floats = NDArray[np.float64]
Form = Literal["parameters", "tokens", "both"]


def one_power(theta: Array, inputs: Array) -> Array:
    """ln of (S_c / S)^alpha from (alpha ln S_c, alpha) and (ln S)."""
    return theta[0] - theta[1] * inputs[0]


def two_powers(theta: Array, inputs: Array) -> Array:
    """ln of [(N_c / N)^(alpha_N / alpha_D) + D_c / D]^alpha_D.

    theta is (alpha_N ln N_c, alpha_D ln D_c, ln alpha_N, ln alpha_D), inputs are (ln N, ln D).
    """
    alpha_N, alpha_D = jnp.exp(theta[2]), jnp.exp(theta[3])
    by_size = (theta[0] - alpha_N * inputs[0]) / alpha_D
    by_data = (theta[1] - alpha_D * inputs[1]) / alpha_D
    return alpha_D * jnp.logaddexp(by_size, by_data)


@brief
@dataclass(frozen=True)
class KaplanLoss:
    """loss(N, D) = [(N_c / N)^(alpha_N / alpha_D) + D_c / D]^alpha_D, or one of its limits.

    Attributes:
        form: "both", or a limit: (N_c / N)^alpha_N for "parameters" (unlimited data),
            (D_c / D)^alpha_D for "tokens" (unlimited size).
        N_c: scale of the parameters; NaN for "tokens".
        D_c: scale of the tokens; NaN for "parameters".
        alpha_N: exponent of the parameters; NaN for "tokens".
        alpha_D: exponent of the tokens; NaN for "parameters".
        objective: sum of the penalties of the residuals of ln(loss).
        converged: whether the search ended at a minimum.
        replicates: [R, 4] N_c, D_c, alpha_N, alpha_D in each resample.
        confidence: of all intervals.
        centre: FLOPs, geometric mean of the runs'.
    """

    form: Form
    N_c: Estimate
    D_c: Estimate
    alpha_N: Estimate  # noqa: N815
    alpha_D: Estimate  # noqa: N815
    objective: float
    converged: bool
    replicates: Floats
    confidence: float
    centre: float

    @property
    def values(self) -> Floats:
        """[4] N_c, D_c, alpha_N, alpha_D."""
        return np.array([e.value for e in (self.N_c, self.D_c, self.alpha_N, self.alpha_D)])

    def predict(self, parameters: ArrayLike, tokens: ArrayLike) -> Estimate:
        """The law's loss at N and D, broadcast against each other; the form decides which of them matter."""
        N, D = np.broadcast_arrays(*(np.asarray(a, np.float64) for a in (parameters, tokens)))
        again = np.moveaxis(self.replicates.reshape(len(self.replicates), 4, *[1] * N.ndim), 1, 0)
        return estimate(_loss(self.form, self.values, N, D), _loss(self.form, again, N, D), self.confidence)

    @property
    def law(self) -> ComputeOptimal:
        """The compute-optimal frontier at C = 6 N D.

        Raises:
            ValueError: unless the form is "both".
        """
        if self.form != "both":
            raise ValueError(f"form={self.form!r} has no optimal split of compute; form='both' has")
        return frontier(
            "kaplan",
            np.stack(_exponents(self.values, self.centre)),
            np.stack(_exponents(self.replicates.T, self.centre), axis=-1),
            self.centre,
            self.confidence,
        )


def fit_kaplan(
    parameters: ArrayLike,
    tokens: ArrayLike,
    loss: ArrayLike,
    *,
    form: Form = "both",
    huber_delta: float = 1e-3,
    quantile: float = 0.5,
    bootstraps: int = 0,
    confidence: float = 0.95,
    key: Any = None,
) -> KaplanLoss:
    """Fits the law of Kaplan et al. by the sum of Huber penalties of ln(loss).

    Measured (benchmarks/coverage_laws.py), 300 data sets of four seeds at each of 30 scales: 95 % intervals
    cover alpha_N in 94.3 %, alpha_D in 95.3 % and the exponent a of N_opt in 95.3 %.

    Args:
        parameters: [n] N of each run, positive; the original counts non-embedding parameters.
        tokens: [n] D of each run, positive.
        loss: [n] final loss, positive.
        form: "parameters" for runs not limited by data, "tokens" for runs not limited by size, or "both".
        huber_delta: see `fit_chinchilla`.
        quantile: see `fit_chinchilla`.
        bootstraps: number of resamples for the intervals; 0 leaves them NaN. If every scale has repeats,
            seeds are resampled within scales; otherwise whole runs are drawn.
        confidence: of the percentile intervals, in (0, 1).
        key: int or JAX key of the bootstrap; None is 0.

    Returns:
        KaplanLoss.

    Raises:
        ValueError: if a value is NaN or not positive, there are too few scales, or an argument is out of its
            range.

    References:
        Kaplan et al. (2020), arXiv 2001.08361, eqs. 1.1, 1.2 and 1.5.
    """
    check_confidence(confidence)
    if form not in ("parameters", "tokens", "both"):
        raise ValueError(f"form={form!r} must be 'parameters', 'tokens' or 'both'")
    penalty = Penalty(huber_delta, quantile)
    N, D, L = columns(parameters=parameters, tokens=tokens, loss=loss)
    scales = {name: x for name, x in (("parameters", N), ("tokens", D)) if form in (name, "both")}
    need_scales(2, **scales)
    scale = scale_of(*scales.values())
    need_runs(len(np.unique(scale)), 2 * len(scales))
    found = minimise(
        two_powers if form == "both" else one_power,
        np.log(np.stack(list(scales.values()), axis=1)),
        np.log(L),
        _starts(N, D, L) if form == "both" else np.array([[np.log(L.mean()), 0.1]]),
        penalty=penalty,
        weights=resampled_weights(scale, bootstraps, key),
    )
    values, replicates = _natural(form, found.theta), _natural(form, found.replicates)
    N_c, D_c, alpha_N, alpha_D = (
        estimate(v, r, confidence) for v, r in zip(values, replicates.T, strict=True)
    )
    return KaplanLoss(
        form=form,
        N_c=N_c,
        D_c=D_c,
        alpha_N=alpha_N,
        alpha_D=alpha_D,
        objective=found.objective,
        converged=found.converged,
        replicates=replicates,
        confidence=confidence,
        centre=float(np.exp(np.mean(np.log(SIX * N * D)))),
    )


def _natural(form: Form, theta: Floats) -> Floats:
    """N_c, D_c, alpha_N, alpha_D in the last axis."""
    if form == "both":
        alphas = np.exp(theta[..., 2:])
        return np.concatenate([np.exp(theta[..., :2] / alphas), alphas], axis=-1)
    scale, alpha = np.exp(theta[..., 0] / theta[..., 1]), theta[..., 1]
    nothing = np.full(alpha.shape, np.nan)
    pairs = (scale, nothing, alpha, nothing) if form == "parameters" else (nothing, scale, nothing, alpha)
    return np.stack(pairs, axis=-1)


def _loss(form: Form, values: Floats, N: Floats, D: Floats) -> Floats:
    N_c, D_c, alpha_N, alpha_D = values
    if form == "parameters":
        return (N_c / N) ** alpha_N
    if form == "tokens":
        return (D_c / D) ** alpha_D
    return ((N_c / N) ** (alpha_N / alpha_D) + D_c / D) ** alpha_D


def _exponents(values: Floats, flops: float) -> tuple[Floats, Floats, Floats, Floats]:
    """a, ln N_opt, b, ln D_opt: where the slopes of both terms along C = 6 N D cancel."""
    N_c, D_c, alpha_N, alpha_D = values
    ratio = alpha_N / alpha_D
    a = 1 / (1 + ratio)
    log_N = a * (np.log(ratio) + ratio * np.log(N_c) - np.log(D_c) + np.log(flops / SIX))
    return a, log_N, 1 - a, np.log(flops / SIX) - log_N


def _starts(N: Floats, D: Floats, L: Floats) -> Floats:
    """[25, 4]: either term explains the loss at the middle of the runs, with any two exponents."""
    exponents = np.array([0.03, 0.08, 0.2, 0.5, 1.2])
    n, d, y = (np.mean(np.log(a)) for a in (N, D, L))
    return np.array(
        [[y + p * n - 0.3, y + q * d - 0.3, np.log(p), np.log(q)] for p in exponents for q in exponents]
    )
