"""Power laws of one measure of scale, with or without a floor, and of quantiles over seeds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp
import numpy as np
from jax import Array
from numpy.typing import ArrayLike, NDArray

from jaxemerge.brief import brief

from ..estimates.arguments import check_at_least, check_confidence, one_per_scale
from ..estimates.interval import Estimate
from ..estimates.resampling import generator, resampled
from .minimise import Penalty, minimise
from .runs import columns, estimate, fewest_degrees, need_runs, resampled_weights, scale_of

Floats = NDArray[np.float64]


def log_power(theta: Array, inputs: Array) -> Array:
    """ln(A / s^alpha + E) from (ln A, alpha, ln E) and (ln s)."""
    return jnp.logaddexp(theta[0] - theta[1] * inputs[0], theta[2])


@brief
@dataclass(frozen=True)
class PowerLaw:
    """value = E + coefficient (scale / centre)^-exponent.

    Attributes:
        coefficient: value above E at the centre.
        exponent: positive where the value falls with scale.
        E: limit at infinite scale; 0 without an offset.
        centre: geometric mean of the scales.
        objective: sum of the penalties of the residuals of ln(value).
        converged: whether the search ended at a minimum.
        replicates: [R, 3] coefficient, exponent, E in each resample.
        confidence: of all intervals.
        degrees: of freedom of the variance over resamples; fewer ones widen the intervals.
    """

    coefficient: Estimate
    exponent: Estimate
    E: Estimate
    centre: float
    objective: float
    converged: bool
    replicates: Floats
    confidence: float
    degrees: float

    def predict(self, scale: ArrayLike) -> Estimate:
        """The law's value at scales [...]; the interval is that of the law, not of one run."""
        s = np.asarray(scale, np.float64) / self.centre
        again = np.moveaxis(self.replicates.reshape(len(self.replicates), 3, *[1] * s.ndim), 1, 0)
        here = self.E.value + self.coefficient.value * s**-self.exponent.value
        return estimate(here, again[2] + again[0] * s ** -again[1], self.confidence, self.degrees)


def fit_power_law(
    scale: ArrayLike,
    value: ArrayLike,
    *,
    offset: bool = True,
    huber_delta: float = 1e-3,
    quantile: float = 0.5,
    bootstraps: int = 0,
    confidence: float = 0.95,
    key: Any = None,
) -> PowerLaw:
    """Fits value = E + A / scale^exponent by the sum of Huber penalties of ln(value).

    Measured (benchmarks/coverage_laws.py), 300 data sets of five seeds at each of eight scales: 95 %
    intervals cover the exponent in 97.7 %, E in 97.7 % and the value at 100 times the largest scale in
    96.3 %. Over four scales without E (benchmarks/coverage_of_means.py, 60 to 100 data sets) they cover the
    exponent in 93 % with 3 seeds at each, in 91 to 92 % with 5, less than they say, and in 95 to 97 % with 16
    to 250.

    Args:
        scale: [n] of each run, positive: parameters, tokens, FLOPs, ...; equal ones are repeats.
        value: [n] positive.
        offset: whether E is fitted; without, it is 0.
        huber_delta: see `fit_chinchilla`.
        quantile: see `fit_chinchilla`.
        bootstraps: number of resamples for the intervals; 0 leaves them NaN. If every scale has repeats,
            seeds are resampled within scales; otherwise whole runs are drawn.
        confidence: of the percentile intervals, in (0, 1).
        key: int or JAX key of the bootstrap; None is 0.

    Returns:
        PowerLaw.

    Raises:
        ValueError: if a value is NaN or not positive, there are fewer scales than parameters, or an argument
            is out of its range.
    """
    check_confidence(confidence)
    penalty = Penalty(huber_delta, quantile)
    x, y = columns(scale=scale, value=value)
    groups = scale_of(x)
    need_runs(groups.max() + 1, 3 if offset else 2, "different scales")
    return power_law(
        x,
        y,
        penalty,
        offset=offset,
        confidence=confidence,
        weights=resampled_weights(groups, bootstraps, key),
        scale=groups,
    )


def power_law(
    x: Floats,
    y: Floats,
    penalty: Penalty,
    *,
    offset: bool,
    confidence: float,
    weights: Floats | None = None,
    scale: NDArray[np.int64] | None = None,
    again: Floats | None = None,
    degrees: float = float("inf"),
) -> PowerLaw:
    """The fit to checked columns, with [R, n] weights of runs of each scale [n], or values of R resamples."""
    centre = float(np.exp(np.mean(np.log(x))))
    found = minimise(
        log_power,
        np.log(x / centre)[:, None],
        np.log(y),
        _starts(y, offset=offset),
        penalty=penalty,
        weights=weights,
        targets=None if again is None else np.log(again),
        free=(True, True, offset),
    )
    here, replicates = _natural(found.theta), _natural(found.replicates)
    if not offset:
        here[2] = replicates[:, 2] = 0.0
    if weights is not None and scale is not None:
        free = replicates if offset else replicates[:, :2]
        repeated = np.bincount(scale).min() > 1
        degrees = fewest_degrees(free, weights, scale) if repeated else float(max(len(x) - free.shape[1], 1))
    coefficient, exponent, E = (
        estimate(v, r, confidence, degrees) for v, r in zip(here, replicates.T, strict=True)
    )
    return PowerLaw(
        coefficient, exponent, E, centre, found.objective, found.converged, replicates, confidence, degrees
    )


def _natural(theta: Floats) -> Floats:
    return np.stack([np.exp(theta[..., 0]), theta[..., 1], np.exp(theta[..., 2])], axis=-1)


def _starts(y: Floats, *, offset: bool) -> Floats:
    """[M, 3]: shares of the smallest value as E, exponents of either sign."""
    middle = np.exp(np.mean(np.log(y)))
    shares = (0.02, 0.3, 0.7, 0.95) if offset else (0.0,)
    found = []
    for share in shares:
        E = share * y.min()
        log_E = np.log(E) if offset else -800.0  # its exponential is 0
        found += [[np.log(middle - E + 1e-3 * middle), p, log_E] for p in (-0.5, 0.02, 0.1, 0.3, 1.0)]
    return np.array(found)


@dataclass(frozen=True)
class LossQuantiles:
    """Power laws of the quantiles of the loss over seeds.

    Attributes:
        quantiles: as asked for, ascending.
        laws: one for each.
        scale: [N] different scales.
        observed: [N, Q] quantiles at these.
    """

    quantiles: tuple[float, ...]
    laws: tuple[PowerLaw, ...]
    scale: Floats
    observed: Floats


def fit_loss_quantiles(
    scale: ArrayLike,
    populations: Sequence[ArrayLike],
    *,
    quantiles: Sequence[float] = (0.1, 0.5, 0.9),
    offset: bool = True,
    huber_delta: float = 1e-3,
    bootstraps: int = 0,
    confidence: float = 0.95,
    key: Any = None,
) -> LossQuantiles:
    """Fits E + A / scale^exponent to each quantile over seeds; the bootstrap resamples seeds within scales.

    Args:
        scale: [N] positive, all different.
        populations: N samples [S_i] of losses; NaN is a diverged run, worse than any other.
        quantiles: in (0, 1).
        offset: whether E is fitted.
        huber_delta: see `fit_chinchilla`.
        bootstraps: number of resamples for the intervals; 0 leaves them NaN.
        confidence: of the percentile intervals, in (0, 1).
        key: int or JAX key of the bootstrap; None is 0.

    Returns:
        LossQuantiles.

    Raises:
        ValueError: if scales and populations do not fit, there are fewer scales than parameters, losses are
            not positive, a quantile falls among diverged runs, or an argument is out of its range.
    """
    check_confidence(confidence)
    penalty = Penalty(huber_delta)
    (s,) = columns(scale=scale)
    asked = tuple(sorted(quantiles))
    if not asked or not all(0 < q < 1 for q in asked):
        raise ValueError(f"quantiles={list(quantiles)} must be one or more in (0, 1)")
    check_at_least(0, bootstraps=bootstraps)
    need_runs(len(np.unique(s)), 3 if offset else 2, "different scales")
    samples = _samples(s, populations)
    observed = np.stack([_quantiles(sample, asked) for sample in samples])
    for value, row in zip(s, observed, strict=True):
        if not np.all(np.isfinite(row)):
            q = asked[int(np.argmin(np.isfinite(row)))]
            raise ValueError(f"quantile {q} at scale {value:g} falls among the diverged runs")
    rng = generator(0 if key is None else key)
    again = np.stack([_quantiles(resampled(s, bootstraps, rng), asked) for s in samples], axis=1)
    dof = float(max(min(map(len, samples)) - 1, 1))
    options: dict[str, Any] = {"offset": offset, "confidence": confidence, "degrees": dof}
    laws = tuple(
        power_law(s, observed[:, j], penalty, again=again[:, :, j], **options) for j in range(len(asked))
    )
    return LossQuantiles(asked, laws, s, observed)


def _samples(scale: Floats, populations: Sequence[ArrayLike]) -> list[Floats]:
    """Losses with diverged runs as infinite."""
    samples = one_per_scale(scale, populations)
    for sample in samples:
        if len(sample) == 0:
            raise ValueError("an empty population has no quantiles: every scale needs at least one run")
        if np.any(sample <= 0):
            raise ValueError(f"loss={sample[sample <= 0][0]:g} in one run must be positive")
    return [np.where(np.isnan(sample), np.inf, sample) for sample in samples]


def _quantiles(sample: Floats, quantiles: tuple[float, ...]) -> Floats:
    """[..., Q] of samples [..., S]; infinite where a quantile touches a diverged run."""
    ordered = np.sort(sample, axis=-1)
    places = np.array(quantiles) * (sample.shape[-1] - 1)
    low, high = np.floor(places).astype(int), np.ceil(places).astype(int)
    share = places - low
    with np.errstate(invalid="ignore"):
        between = ordered[..., low] + share * (ordered[..., high] - ordered[..., low])
    return np.where(share == 0, ordered[..., low], between)
