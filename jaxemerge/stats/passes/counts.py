"""Pass counts of items or seeds: checks, average rates, and counts drawn again."""

from __future__ import annotations

from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .growth_curves import Array, Counts, Exact, Observed

Pair = tuple[ArrayLike, ArrayLike]


def read_arrays(
    pass_rate: ArrayLike | None, counts: Pair | None, scales: int, axes: int | None = None
) -> list[Array]:
    """Passes and samples, or rates alone, of one shape [..., N].

    Args:
        pass_rate, counts: one of them.
        scales: N.
        axes: how many axes there must be; any number by default.

    Raises:
        ValueError: if neither or both are given, shapes do not fit or numbers are impossible.
    """
    if (pass_rate is None) == (counts is None):
        raise ValueError("give either pass_rate=, exact rates, or counts=(passes, samples)")
    given = [np.asarray(a, np.float64) for a in ([pass_rate] if counts is None else counts)]
    arrays = list(np.broadcast_arrays(*given))
    shape = arrays[0].shape
    if len(shape) == 0 or shape[-1] != scales or (axes is not None and len(shape) != axes):
        wanted = "[..., N]" if axes is None else "[U, N]"
        raise ValueError(f"rates or counts of shape {shape} must be {wanted} with N={scales} scales")
    if counts is None:
        outside = arrays[0][(arrays[0] <= 0) | (arrays[0] >= 1)]
        if len(outside):
            raise ValueError(
                f"pass_rate={outside[0]:g}: exact rates lie strictly between 0 and 1; give counts instead"
            )
    elif not np.all((arrays[0] >= 0) & (arrays[0] <= arrays[1]) & np.isfinite(arrays[1])):
        raise ValueError("counts=(passes, samples): 0 <= passes <= samples must hold everywhere")
    return arrays


def as_observed(arrays: list[Array]) -> Observed:
    """B data sets of what `read_arrays` returned, leading axes in one."""
    flat = [a.reshape(-1, a.shape[-1]) for a in arrays]
    return Counts(*flat) if len(flat) == 2 else as_exact(flat[0])


def as_exact(rate: Array) -> Exact:
    """Rates [B, N]; NaN is not known."""
    known = ~np.isnan(rate)
    return Exact(np.log(-np.log(np.where(known, rate, 0.5))), known.astype(np.float64))


NEARLY_ALL = 0.9  # share of units that pass
Unit = Literal["samples", "items", "seeds"]


class Units(NamedTuple):
    """Passes, samples and estimated rates of U items or seeds at N scales, [..., U, N] each."""

    passes: Array
    samples: Array
    rate: Array


def units_of(passes: Array, samples: Array, stop: tuple[int, int] | None) -> Units:
    """Unbiased rates: (r - 1)/(K - 1) where sampling stopped at the r-th pass, else m/K."""
    at_pass = np.zeros(passes.shape, bool) if stop is None else passes >= stop[0]
    one = np.where(at_pass & (samples > 1), 1.0, 0.0)
    rate = np.divide(passes - one, samples - one, out=np.full(passes.shape, np.nan), where=samples > 0)
    return Units(passes, samples, rate)


def resampled(units: Units, by: Unit, resamples: int, rng: np.random.Generator) -> Units:
    """[R, U, N] units drawn with replacement: whole items, or seeds at each scale independently."""
    size, scales = units.passes.shape[-2:]
    drawn = rng.integers(size, size=(resamples, size, 1 if by == "items" else scales))
    return Units(*(np.take_along_axis(a[None], drawn, axis=1) for a in units))


def averaged(units: Units, by: Unit, *, exact: bool) -> Observed:
    """The average over units [..., U, N] as B data sets, of counts or of exact rates."""
    if not exact:
        passes, samples = (np.atleast_2d(a) for a in average_counts(units, by))
        return Counts(passes, samples)
    there = ~np.isnan(units.rate)
    total = np.where(there, units.rate, 0.0).sum(axis=-2)
    count = there.sum(axis=-2)
    return as_exact(np.atleast_2d(np.divide(total, count, out=np.full(total.shape, np.nan), where=count > 0)))


def average_counts(units: Units, by: Unit) -> tuple[Array, Array]:
    """Passes and samples [..., N] of one binomial count equivalent to the units together.

    Its rate is the average rate. For fixed units, by = "samples", the variance is that of sampling each unit.
    For units drawn from a population, by = "items" or "seeds", the variance between their rates is added. It
    is estimated from all scales together: a scale at which no unit passes would show no difference, and
    many samples of few units would count too much. The variance is rho p (1 - p), or tau^2 (p ln p)^2, that
    of units whose F = ln(-ln P) has standard deviation tau at every scale. The second is used where nearly
    all units pass wherever any does, and the scales agree more on it than on the first. Counts need not be
    whole numbers.
    """
    there = units.samples > 0
    number = np.maximum(there.sum(axis=-2), 1)
    rate = np.where(there, units.rate, 0.0)
    mean = rate.sum(axis=-2) / number
    within = _sampling_variance(units, rate).sum(axis=-2) / number
    total = units.samples.sum(axis=-2)
    spread = mean * (1 - mean)
    seen = (spread > 0) & (within > 0)
    alone = np.divide(within, spread, out=number / np.maximum(total, 1), where=seen)
    if by == "samples":
        rho = np.zeros(mean.shape)
    else:
        away = np.where(there, rate - mean[..., None, :], 0.0)
        between = (away**2).sum(axis=-2) / np.maximum(number - 1, 1)
        excess = np.where(seen, between - within, 0.0)
        passing = (units.passes > 0).sum(axis=-2) >= NEARLY_ALL * number
        rho = _shared(mean, excess, seen, total, np.all(passing | ~seen, axis=-1))
    worth = np.where(total > 0, number / (rho + (1 - rho) * np.minimum(alone, 1.0)), 0.0)
    return mean * worth, worth


def _shared(
    mean: Array, excess: Array, seen: NDArray[np.bool_], total: Array, passing: NDArray[np.bool_]
) -> Array:
    """The part of p (1 - p) by which the rates of units differ, [..., N], between 0 and 1."""
    smooth = np.clip(mean, 0.5 / (total + 1), 1 - 0.5 / (total + 1))
    base, bent = smooth * (1 - smooth), (smooth * np.log(smooth)) ** 2
    alike = excess.sum(axis=-1) / np.maximum(np.where(seen, base, 0.0).sum(axis=-1), 1e-300)
    number = np.maximum(seen.sum(axis=-1), 1)
    squares = np.where(seen, excess / bent, 0.0).sum(axis=-1) / number
    steady = ~passing | (_scatter(excess, base, seen) <= _scatter(excess, bent, seen))
    found = np.where(steady[..., None], alike[..., None], squares[..., None] * bent / base)
    return np.clip(found, 0.0, 1.0)


def _scatter(excess: Array, shape: Array, seen: NDArray[np.bool_]) -> Array:
    """Variance over the scales of ln(excess / shape), where there is an excess."""
    there = seen & (excess > 0)
    logs = np.where(there, np.log(np.where(there, excess / shape, 1.0)), 0.0)
    number = np.maximum(there.sum(axis=-1), 1)
    mean = logs.sum(axis=-1) / number
    return (np.where(there, logs - mean[..., None], 0.0) ** 2).sum(axis=-1) / number


def _sampling_variance(units: Units, rate: Array) -> Array:
    """p (1 - p) / K with p from one more pass and failure, so that 0 of K is not certain."""
    smooth = (units.passes + 0.5) / (units.samples + 1)
    p = np.where(units.passes > 0, rate, smooth)
    return np.where(units.samples > 0, p * (1 - p) / np.maximum(units.samples, 1), 0.0)


def draw_counts(
    rate: Array, samples: Array, stop: tuple[int, int] | None, resamples: int, rng: np.random.Generator
) -> Counts:
    """R times the counts of B curves at N scales, as [R B, N].

    Args:
        rate: [B, N] probabilities of a pass.
        samples: [B, N] numbers of samples; 0 stays 0.
        stop: (r, cap) draws one after the other until r passes or cap samples.
        resamples: R.
        rng: random numbers.
    """
    scales = rate.shape[-1]
    if stop is None:
        size = np.round(samples).astype(np.int64)
        drawn = rng.binomial(size, rate, size=(resamples, *rate.shape))
        kept = np.broadcast_to(size, drawn.shape)
        return Counts(*(a.reshape(-1, scales).astype(np.float64) for a in (drawn, kept)))
    r, cap = stop
    # A rate below this has no pass within the cap, and numpy's geometric would run over.
    rare = np.maximum(rate, 1e-3 / cap)
    at = np.cumsum(rng.geometric(rare, size=(r, resamples, *rate.shape)), axis=0)
    passes = np.where(samples > 0, np.sum(at <= cap, axis=0), 0)
    kept = np.where(samples > 0, np.minimum(at[-1], cap), 0)
    return Counts(*(a.reshape(-1, scales).astype(np.float64) for a in (passes, kept)))
