"""The parametric law of the loss in parameters and tokens: the third approach of Hoffmann et al."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from typing import Any, Literal

import jax.numpy as jnp
import numpy as np
from jax import Array
from numpy.typing import ArrayLike, NDArray

from jaxemerge.brief import brief

from ..estimates.arguments import check_confidence
from ..estimates.interval import Estimate
from .frontier import FLOPS_PER_PARAMETER_AND_TOKEN as SIX
from .frontier import Allocation, ComputeOptimal, check_flops, frontier
from .minimise import Minimum, Penalty, minimise
from .runs import (
    columns,
    common_power,
    estimate,
    fewest_degrees,
    need_runs,
    need_scales,
    resampled_weights,
    scale_of,
)

Floats = NDArray[np.float64]

NAMES = ("A", "B", "E", "alpha", "beta")
# The starts of Hoffmann et al. (2022), section D.3: ln A, ln B, ln E, alpha, beta.
GRID = tuple(np.linspace(*span) for span in ((0, 25, 6), (0, 25, 6), (-1, 1, 5), (0, 2, 5), (0, 2, 5)))
PLAUSIBLE = (0.0, 2.0)  # exponents
FEW_TOKENS = 0.1  # per parameter, at the median


def log_loss(theta: Array, inputs: Array) -> Array:
    """ln(E + A / N^alpha + B / D^beta) from (ln A, ln B, ln E, alpha, beta) and (ln N, ln D)."""
    terms = jnp.stack([theta[0] - theta[3] * inputs[0], theta[1] - theta[4] * inputs[1], theta[2]])
    top = jnp.max(terms)
    return top + jnp.log(jnp.sum(jnp.exp(terms - top)))


@brief
@dataclass(frozen=True)
class ParametricLoss:
    """loss(N, D) = E + A / N^alpha + B / D^beta, fitted to runs.

    Attributes:
        A: of the parameters' term, in units of the loss.
        B: of the tokens' term.
        E: irreducible loss.
        alpha: exponent of the parameters.
        beta: exponent of the tokens.
        a: exponent of N_opt against FLOPs, beta / (alpha + beta).
        b: exponent of D_opt, alpha / (alpha + beta).
        objective: sum of the penalties of the residuals of ln(loss).
        converged: whether the search ended at a minimum.
        replicates: [R, 5] A, B, E, alpha, beta in each resample.
        confidence: of all intervals.
        degrees: of freedom of the variance over resamples; fewer ones widen the intervals. inf for plain
            percentiles.
        penalty: of a residual.
        parameters: [n] N of the runs, as given.
        tokens: [n] D of the runs.
        loss: [n] of the runs.
    """

    A: Estimate
    B: Estimate
    E: Estimate
    alpha: Estimate
    beta: Estimate
    a: Estimate
    b: Estimate
    objective: float
    converged: bool
    replicates: Floats
    confidence: float
    degrees: float
    penalty: Penalty
    parameters: Floats
    tokens: Floats
    loss: Floats

    @property
    def values(self) -> Floats:
        """[5] A, B, E, alpha, beta."""
        return np.array([getattr(self, name).value for name in NAMES])

    @cached_property
    def covariance(self) -> Floats:
        """[5, 5] of A, B, E, alpha, beta over the resamples; NaN with fewer than two."""
        if len(self.replicates) < 2:
            return np.full((5, 5), np.nan)
        known = self.replicates[~np.isnan(self.replicates).any(axis=1)]
        return np.cov(known, rowvar=False)

    @property
    def standard_errors(self) -> dict[str, float]:
        """Standard deviations over the resamples, of A, B, E, alpha, beta, a and b."""
        errors = dict(zip(NAMES, np.sqrt(np.diag(self.covariance)), strict=True))
        share = float(np.nanstd(_share(self.replicates), ddof=1)) if len(self.replicates) > 1 else np.nan
        return {name: float(error) for name, error in errors.items()} | {"a": share, "b": share}

    def predict(self, parameters: ArrayLike, tokens: ArrayLike) -> Estimate:
        """The law's loss at N and D, broadcast against each other; the interval is that of the law.

        Raises:
            ValueError: if N or D are not positive.
        """
        N, D = _positive("parameters", parameters), _positive("tokens", tokens)
        return estimate(_loss(self.values, N, D), self.replicated(N, D), self.confidence, self.degrees)

    def replicated(self, parameters: ArrayLike, tokens: ArrayLike) -> Floats:
        """[R, ...] losses at N and D, broadcast against each other, by the law of each resample."""
        N, D = np.broadcast_arrays(np.asarray(parameters, np.float64), np.asarray(tokens, np.float64))
        again = self.replicates.reshape(len(self.replicates), 5, *[1] * N.ndim)
        return _loss(np.moveaxis(again, 1, 0), N, D)

    def optimal(self, flops: ArrayLike) -> Allocation:
        """N, D and loss of the lowest loss at training FLOPs C = 6 N D, [...].

        Raises:
            ValueError: if FLOPs are not positive.

        References:
            Hoffmann et al. (2022), eq. 4.
        """
        C = check_flops(flops)
        again = np.moveaxis(self.replicates.reshape(len(self.replicates), 5, *[1] * C.ndim), 1, 0)
        best, drawn = _optimum(self.values, C), _optimum(again, C)
        N, D, loss = (estimate(v, r, self.confidence, self.degrees) for v, r in zip(best, drawn, strict=True))
        return Allocation(float(C) if C.ndim == 0 else C, N, D, loss)

    @property
    def law(self) -> ComputeOptimal:
        """The compute-optimal frontier about the geometric mean of the runs' FLOPs."""
        centre = float(np.exp(np.mean(np.log(SIX * self.parameters * self.tokens))))
        again = np.moveaxis(self.replicates, 1, 0)
        return frontier(
            "parametric",
            np.array(_exponents(self.values, centre)),
            np.stack(_exponents(again, centre), axis=-1),
            centre,
            self.confidence,
            self.degrees,
        )


def fit_chinchilla(
    parameters: ArrayLike,
    tokens: ArrayLike,
    loss: ArrayLike,
    *,
    huber_delta: float = 1e-3,
    quantile: float = 0.5,
    starts: Literal["grid", "quick"] | ArrayLike = "grid",
    bootstraps: int = 0,
    confidence: float = 0.95,
    key: Any = None,
) -> ParametricLoss:
    """Fits loss = E + A / N^alpha + B / D^beta to runs by the sum of Huber penalties of ln(loss).

    Runs of equal N and D are repeats with other seeds. If every scale has repeats, the bootstrap resamples
    seeds within scales, and intervals are wider than percentiles by the ratio of Student's to normal
    quantiles, with the effective degrees of freedom (`degrees`). Otherwise it draws whole runs.

    Measured (benchmarks/coverage_laws.py), 300 data sets: of 60 runs, 95 % intervals cover E in 97.0 %,
    alpha in 99.0 %, beta in 98.0 %, a in 98.7 %, N_opt at 1e23 FLOPs in 98.0 % and its loss in 97.0 %: a
    little wide. With four seeds at each of 30 scales: 96.0, 96.7, 98.7, 95.3, 96.0 and 93.0 %; by least
    squares 93.3, 94.0, 96.0, 93.3, 93.3 and 92.7 %.
    From 4,500 starts on 240 runs the search takes 1.6 s on two cores (benchmarks/fits.py), with 4,000
    resamples and compiling 9.7 s.

    Args:
        parameters: [n] N of each run, positive.
        tokens: [n] D of each run, positive, in tokens, not thousands.
        loss: [n] final loss in nats per token, positive.
        huber_delta: residual of ln(loss) at which the penalty turns from quadratic to linear; inf for least
            squares.
        quantile: weight of residuals above the law, in (0, 1); below 0.5 the law moves towards the best runs.
        starts: "grid", the 4,500 starts of Hoffmann et al. and 64 from the data; "quick", these 64 only;
            or [M, 5] values of A, B, E, alpha, beta.
        bootstraps: number of resamples for standard errors and intervals; 0 leaves them NaN.
        confidence: of the percentile intervals, in (0, 1).
        key: int or JAX key of the bootstrap; None is 0.

    Returns:
        ParametricLoss.

    Raises:
        ValueError: if a value is NaN or not positive, there are fewer than five scales, or fewer than three
            different N or D, D follows N (`common_power`), or an argument is out of its range.

    Warns:
        UserWarning: if the search did not converge, an exponent is outside (0, 2), or there are fewer tokens
            than a tenth of the parameters, which suggests tokens counted in thousands.

    References:
        Hoffmann et al. (2022), arXiv 2203.15556, sections 3.3 and D.3; Besiroglu et al. (2024),
        arXiv 2404.10102 (sum instead of mean, and the bootstrap).
    """
    check_confidence(confidence)
    penalty = Penalty(huber_delta, quantile)
    N, D, L = columns(parameters=parameters, tokens=tokens, loss=loss)
    scale = scale_of(N, D)
    need_runs(len(np.unique(scale)), 5)
    need_scales(3, parameters=N, tokens=D)
    power = common_power(N, D)
    if power is not None:
        raise ValueError(
            f"tokens go as parameters to the power {power:.3g} in all runs: such a design cannot distinguish "
            "the terms of parameters and tokens; fit a power law of one of them (fit_power_law)"
        )
    weights = resampled_weights(scale, bootstraps, key)
    found = minimise(
        log_loss,
        np.log(np.stack([N, D], axis=1)),
        np.log(L),
        _starts(starts, N, D, L),
        penalty=penalty,
        weights=weights,
    )
    degrees = fewest_degrees(found.replicates, weights, scale)
    record = _record(found, N, D, L, penalty, confidence, degrees)
    _warn(record)
    return record


def _record(
    found: Minimum, N: Floats, D: Floats, L: Floats, penalty: Penalty, confidence: float, degrees: float
) -> ParametricLoss:
    values, replicates = _natural(found.theta), _natural(found.replicates)
    A, B, E, alpha, beta = (
        estimate(v, r, confidence, degrees) for v, r in zip(values, replicates.T, strict=True)
    )
    return ParametricLoss(
        A=A,
        B=B,
        E=E,
        alpha=alpha,
        beta=beta,
        a=estimate(_share(values), _share(replicates), confidence, degrees),
        b=estimate(1 - _share(values), 1 - _share(replicates), confidence, degrees),
        objective=found.objective,
        converged=found.converged,
        replicates=replicates,
        confidence=confidence,
        degrees=degrees,
        penalty=penalty,
        parameters=N,
        tokens=D,
        loss=L,
    )


def _natural(theta: Floats) -> Floats:
    """A, B, E, alpha, beta in the last axis, from ln A, ln B, ln E, alpha, beta."""
    with np.errstate(over="ignore"):
        return np.concatenate([np.exp(theta[..., :3]), theta[..., 3:]], axis=-1)


def _share(values: Floats) -> Floats:
    """beta / (alpha + beta)."""
    with np.errstate(all="ignore"):
        return values[..., 4] / (values[..., 3] + values[..., 4])


def _loss(values: Floats, N: Floats, D: Floats) -> Floats:
    A, B, E, alpha, beta = values
    with np.errstate(all="ignore"):  # of a resample that determines no law: not finite
        return E + A * N**-alpha + B * D**-beta


def _exponents(values: Floats, flops: float | Floats) -> tuple[Floats, Floats, Floats, Floats]:
    """a, ln N_opt, b, ln D_opt at training FLOPs."""
    A, B, _, alpha, beta = values
    x = np.log(flops / SIX)
    with np.errstate(all="ignore"):  # as in `_loss`
        a = beta / (alpha + beta)
        log_G = np.log(alpha * A / (beta * B)) / (alpha + beta)
        return a, log_G + a * x, 1 - a, -log_G + (1 - a) * x


def _optimum(values: Floats, flops: Floats) -> tuple[Floats, Floats, Floats]:
    _, log_N, _, log_D = _exponents(values, flops)
    with np.errstate(over="ignore"):
        N, D = np.exp(log_N), np.exp(log_D)
    return N, D, _loss(values, N, D)


def _starts(starts: Any, N: Floats, D: Floats, L: Floats) -> Floats:
    if isinstance(starts, str):
        if starts not in ("grid", "quick"):
            raise ValueError(f"starts={starts!r} must be 'grid', 'quick' or values of A, B, E, alpha, beta")
        fitted = _fitted_starts(N, D, L)
        return fitted if starts == "quick" else np.concatenate([np.array(list(product(*GRID))), fitted])
    values = np.asarray(starts, np.float64)
    if values.ndim != 2 or values.shape[1] != 5 or len(values) == 0 or not np.all(values[:, :3] > 0):
        raise ValueError(
            f"starts of shape {values.shape} must be [M, 5]: A, B, E, alpha, beta, the first three positive"
        )
    return np.concatenate([np.log(values[:, :3]), values[:, 3:]], axis=1)


def _fitted_starts(N: Floats, D: Floats, L: Floats) -> Floats:
    """[64, 5] for exponents on a grid, the other three by linear least squares of relative residuals."""
    exponents = np.array([0.05, 0.1, 0.2, 0.3, 0.4, 0.6, 0.9, 1.4])
    found = []
    for alpha, beta in product(exponents, exponents):
        powers = np.stack([(N / N.min()) ** -alpha, (D / D.min()) ** -beta, np.ones_like(N)], axis=1)
        solved = np.linalg.lstsq(powers / L[:, None], np.ones_like(L), rcond=None)[0]
        A, B, E = np.log(np.maximum(solved, 0.03 * L.min()))
        found.append([A + alpha * np.log(N.min()), B + beta * np.log(D.min()), E, alpha, beta])
    return np.array(found)


def _positive(name: str, given: ArrayLike) -> Floats:
    array = np.asarray(given, np.float64)
    bad = array[~(array > 0)]
    if bad.size:
        raise ValueError(f"{name}={bad.ravel()[0]:g} must be positive")
    return array


def _warn(law: ParametricLoss) -> None:
    per_parameter = float(np.median(law.tokens / law.parameters))
    if per_parameter < FEW_TOKENS:
        warnings.warn(
            f"{per_parameter:.3g} tokens per parameter at the median: are tokens counted in thousands?",
            stacklevel=3,
        )
    if not law.converged:
        warnings.warn("the search did not end at a minimum; the values are unreliable", stacklevel=3)
    for name, value in (("alpha", law.alpha.value), ("beta", law.beta.value)):
        if not PLAUSIBLE[0] < value < PLAUSIBLE[1]:
            warnings.warn(
                f"{name}={value:.4g} is outside {PLAUSIBLE}: not a plausible exponent", stacklevel=3
            )
