"""What would the mixture have been on other seeds, or if there were fewer lumps?"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from .families import Family
from .likelihood import Fits, log_parts
from .observations import Array, Points
from .starts import QUICK, climb, fit_best

# Nats within which resampled fits are climbed: far below what a p-value or an interval resolves.
TOLERANCE = 1e-3


def resampled_fits(
    family: Family,
    data: Points,
    atoms: tuple[float, ...],
    fits: Fits,
    rng: np.random.Generator,
    resamples: int,
) -> Fits:
    """[R] fits to seeds drawn with replacement, climbed from the fit to all, components sorted by mean."""
    seeds = round(data.counts.sum())
    counts = rng.multinomial(seeds, data.counts[0] / seeds, size=resamples).astype(np.float64)
    return in_order(family, _refit(family, replace(data, counts=counts), atoms, fits))


def likelihood_ratio_p_value(
    family: Family,
    data: Points,
    atoms: tuple[float, ...],
    fewer: Fits,
    more: int,
    rng: np.random.Generator,
    resamples: int,
) -> float:
    """Share of samples from the fit with fewer components whose likelihood ratio reaches the observed one.

    The observed sample counts as one of them, so that the test keeps its level with any number of resamples.

    References:
        McLachlan (1987), Appl. Stat. 36, p. 318.
    """
    drawn = draw(family, data, atoms, fewer, rng, resamples)
    null = _refit(family, drawn, atoms, fewer)
    alternative = fit_best(family, drawn, atoms, more, QUICK, tolerance=TOLERANCE)
    gained = alternative.log_likelihood - null.log_likelihood
    # The same few starts as on the drawn samples, lest the search alone make the observed ratio stand out.
    found = fit_best(family, data, atoms, more, QUICK)
    observed = found.log_likelihood[0] - fewer.log_likelihood[0]
    return float(1 + np.sum(gained >= observed)) / (1 + resamples)


def draw(
    family: Family,
    data: Points,
    atoms: tuple[float, ...],
    fits: Fits,
    rng: np.random.Generator,
    resamples: int,
) -> Points:
    """R samples from one mixture, each with the seeds and items of `data`."""
    seeds = round(data.counts.sum())
    if data.histogram:
        joint, _ = log_parts(family, data, atoms, fits.logits, fits.theta)
        chances = np.exp(joint[0]).sum(axis=0)
        return replace(
            data, counts=rng.multinomial(seeds, chances / chances.sum(), size=resamples).astype(float)
        )
    part = _pick(fits.weights[0], (resamples, seeds), rng)
    component = np.maximum(part - len(atoms), 0)
    n = None if data.n is None else np.broadcast_to(data.n, part.shape)
    x = family.draw(fits.theta[0][component], n, rng)
    for index, atom in enumerate(atoms):
        x = np.where(part == index, atom if n is None else atom * n, x)
    order = np.argsort(x if n is None else x / n, axis=1)
    n = None if n is None else np.take_along_axis(n, order, axis=1)
    return Points(np.take_along_axis(x, order, axis=1), n, np.ones((1, seeds)))


def in_order(family: Family, fits: Fits) -> Fits:
    """The same fits with components sorted by mean, so that they can be compared between resamples."""
    atoms = fits.logits.shape[1] - fits.theta.shape[1]
    order = np.argsort(family.mean(fits.theta), axis=1)
    logits = np.take_along_axis(fits.logits[:, atoms:], order, axis=1)
    theta = np.take_along_axis(fits.theta, order[..., None], axis=1)
    return replace(fits, logits=np.concatenate([fits.logits[:, :atoms], logits], axis=1), theta=theta)


def _refit(family: Family, data: Points, atoms: tuple[float, ...], fits: Fits) -> Fits:
    rows = max(len(data.x), len(data.counts))
    # A weight of nothing could not grow again.
    logits = np.where(np.isneginf(fits.logits), -np.inf, np.log(np.maximum(fits.weights, 1e-2)))
    logits, theta = np.repeat(logits, rows, axis=0), np.repeat(fits.theta, rows, axis=0)
    return climb(family, data, atoms, logits, theta, tolerance=TOLERANCE)


def _pick(weights: Array, shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    return np.searchsorted(np.cumsum(weights)[:-1], rng.random(shape), side="right")
