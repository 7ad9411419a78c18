"""How does the whole distribution over seeds move with scale, not just its mean?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .bootstrap import generator
from .diverged import as_outcomes
from .interval import check_confidence
from .optimise import Penalty
from .power_law import PowerLaw, power_law
from .runs import columns, need_runs
from .success_curve import SuccessCurve, fit_success_curve
from .success_mean import SuccessMean, fit_success_mean

Floats = NDArray[np.float64]


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


@dataclass(frozen=True)
class ScoreDistribution:
    """How the scores of populations move with scale.

    Attributes:
        threshold: a score of at least this is a success.
        success: P(success) against scale.
        mean: mean of the successes against scale.
    """

    threshold: float
    success: SuccessCurve
    mean: SuccessMean


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
    if bootstraps < 0:
        raise ValueError(f"bootstraps={bootstraps} must be 0 or more")
    need_runs(len(np.unique(s)), 3 if offset else 2, "different scales")
    samples = _samples(s, populations)
    observed = np.stack([_quantiles(sample, asked) for sample in samples])
    for value, row in zip(s, observed, strict=True):
        if not np.all(np.isfinite(row)):
            q = asked[int(np.argmin(np.isfinite(row)))]
            raise ValueError(f"quantile {q} at scale {value:g} falls among the diverged runs")
    rng = generator(0 if key is None else key)
    again = np.stack(
        [
            _quantiles(sample[rng.integers(len(sample), size=(bootstraps, len(sample)))], asked)
            for sample in samples
        ],
        axis=1,
    )
    laws = tuple(
        power_law(s, observed[:, j], penalty, offset=offset, confidence=confidence, again=again[:, :, j])
        for j in range(len(asked))
    )
    return LossQuantiles(asked, laws, s, observed)


def fit_score_distribution(
    scale: ArrayLike,
    populations: Sequence[ArrayLike],
    threshold: float = 0.2,
    *,
    ceiling: float | None = None,
    confidence: float = 0.95,
    resamples: int = 1000,
    key: Any = 0,
) -> ScoreDistribution:
    """Fits P(success) and the mean of the successes against scale, which one mean over seeds would blend.

    Args:
        scale: [N] positive.
        populations: N samples [S_i] of scores in [0, 1]; NaN is a diverged run, which fails.
        threshold: success is a score of at least this; in (0, 1].
        ceiling: P(success) far above the midpoint; None to fit it.
        confidence: probability in (0, 1).
        resamples: of the mean's bootstrap.
        key: int or JAX key.

    Returns:
        ScoreDistribution.

    Raises:
        ValueError: as `fit_success_mean` and `fit_success_curve` do.
    """
    mean = fit_success_mean(
        scale, populations, threshold, confidence=confidence, resamples=resamples, key=key
    )
    trials = [len(as_outcomes(population)) for population in populations]
    success = fit_success_curve(scale, mean.n_success, trials, ceiling=ceiling, confidence=confidence)
    return ScoreDistribution(threshold, success, mean)


def _samples(scale: Floats, populations: Sequence[ArrayLike]) -> list[Floats]:
    """Losses with diverged runs as infinite."""
    samples = [np.asarray(population, np.float64) for population in populations]
    if [sample.ndim for sample in samples] != [1] * len(scale) or not all(map(len, samples)):
        shapes = [sample.shape for sample in samples]
        raise ValueError(
            f"populations of shapes {shapes} must be one sample of seeds for each of {len(scale)} scales"
        )
    for sample in samples:
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
