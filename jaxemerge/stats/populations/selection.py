"""Which family, how many components and which atoms describe one population?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import product

import numpy as np
from scipy.special import xlogy

from ..estimates.arguments import check_at_least, check_confidence
from .component_families import Beta, BetaBinomial, Family, Gaussian
from .mixture_likelihood import FULL, QUICK, THOROUGH, Fits, fit_best, log_parts, maximise_in_blocks
from .observations import Array, Points

FAMILIES = ("auto", "beta_binomial", "beta", "gaussian")
# Least width of a component as a share of the sample's standard deviation, also over half the seeds: close
# pairs are not components.
NARROWEST = 0.05
# Seeds that a side, or a component, needs at least.
SIDE = 3
# BIC within which fits to all seeds may still be the best one to resampled seeds.
WINDOW = 10.0
# Components of this width, as a share of the grid's step, merge with those on neighbouring grid points.
TIE_WIDTH = 0.6


@dataclass(frozen=True)
class Candidate:
    """One number of components with one choice of atoms.

    Attributes:
        atoms: scores that have weight.
        fit: one row, components sorted by mean.
        bic: -2 log L + ln(S) (3 C + A - 1).
    """

    atoms: tuple[float, ...]
    fit: Fits
    bic: float

    @property
    def parameters(self) -> int:
        """Free ones: 3 C + A - 1."""
        return 3 * self.fit.theta.shape[1] + len(self.atoms) - 1


@dataclass(frozen=True)
class Selection:
    """The fit of least BIC, and those that the likelihood ratio compares.

    Attributes:
        family: shape of the components.
        data: what was fitted.
        atoms: scores that have weight in `fit`.
        fit: one row, components sorted by mean.
        bic: by number of components, the least over the choices of atoms.
        all_atoms: scores that seeds sit on and that may carry weight.
        nested: by number of components, the fit with all of these.
        rivals: fits whose BIC is close to the least, `fit` included: all that resampled seeds may favour.
    """

    family: Family
    data: Points
    atoms: tuple[float, ...]
    fit: Fits
    bic: dict[int, float]
    all_atoms: tuple[float, ...]
    nested: dict[int, Fits]
    rivals: tuple[Candidate, ...]

    def like(self, candidate: Candidate, fit: Fits) -> Selection:
        """The same with another fit of a candidate's form."""
        return replace(self, atoms=candidate.atoms, fit=fit)


def check_arguments(
    components: Sequence[int], family: str, bootstraps: int, confidence: float, depth: float
) -> tuple[int, ...]:
    """The numbers of components in increasing order.

    Raises:
        ValueError: if an argument is out of its range.
    """
    check_confidence(confidence)
    numbers = tuple(sorted(set(components)))
    if not numbers or numbers[0] < 1 or any(c != int(c) for c in numbers):
        raise ValueError(f"components={tuple(components)} must be whole numbers of at least 1")
    if family not in FAMILIES:
        raise ValueError(f"family={family!r} must be one of {', '.join(FAMILIES)}")
    check_at_least(0, bootstraps=bootstraps)
    if not 0 < depth < 1:
        raise ValueError(f"depth={depth} must lie in (0, 1)")
    return numbers


def family_of(name: str, scores: Array, trials: Array | None) -> Family:
    """The family called `name`; "auto" decides by the range of the scores and whether they are counts.

    Raises:
        ValueError: if counts and family do not match.
    """
    counts = trials is not None
    if name == "auto":
        bounded = scores.min() >= 0 and scores.max() <= 1
        name = "beta_binomial" if counts else "beta" if bounded else "gaussian"
    if counts != (name == "beta_binomial"):
        raise ValueError(f"family={name!r} {'does not take' if counts else 'needs'} trials")
    inside = scores[(scores > 0) & (scores < 1)] if name != "gaussian" else scores
    sd = float(inside.std()) if len(inside) else 0.0
    least = max(NARROWEST, 2 / max(len(inside), 1)) * sd
    if counts:
        return BetaBinomial(least)
    narrowest = max(least, TIE_WIDTH * _resolution(inside), 1e-3 * max(1.0, float(np.abs(scores).max())))
    return (
        Beta(narrowest) if name == "beta" else Gaussian(float(inside.mean()), max(sd, narrowest), narrowest)
    )


def select(family: Family, data: Points, numbers: tuple[int, ...]) -> Selection:
    """Fits all numbers of components with all choices of atoms and keeps the least BIC."""
    on = {0.0, 1.0} if family.name != "gaussian" else set()
    held = data.scores[data.counts > 0]
    seen = tuple(sorted(on & set(held.tolist())))
    distinct = len(set(held.tolist()) - on)
    if distinct == 0:
        return _atoms_only(family, data, seen)
    seeds = data.counts.sum()
    most = min(distinct, max(1, int(seeds) // SIDE))
    tried = [c for c in numbers if c <= most] or [min(numbers[0], most)]
    # Without counts a score of 0 or 1 has no density: there every atom is needed.
    masks = [(True,) * len(seen)] if data.n is None else list(product((True, False), repeat=len(seen)))
    found = [
        (c, mask, fit_best(family, data, seen, c, THOROUGH, allowed=mask, trial=FULL))
        for c in tried
        for mask in masks
    ]
    candidates = [_candidate(family, seen, mask, fit, seeds) for _, mask, fit in found]
    best = min(candidates, key=lambda candidate: candidate.bic)
    of_number = [(c, candidate.bic) for (c, *_), candidate in zip(found, candidates, strict=True)]
    return Selection(
        family=family,
        data=data,
        atoms=best.atoms,
        fit=best.fit,
        bic={c: min(bic for number, bic in of_number if number == c) for c in tried},
        all_atoms=seen,
        nested={c: fit for c, mask, fit in found if all(mask)},
        rivals=tuple(rival for rival in candidates if rival.bic <= best.bic + WINDOW),
    )


def _candidate(
    family: Family, seen: tuple[float, ...], mask: tuple[bool, ...], fit: Fits, seeds: float
) -> Candidate:
    used = [*np.flatnonzero(mask), *range(len(seen), fit.logits.shape[1])]
    atoms = tuple(a for a, allowed in zip(seen, mask, strict=True) if allowed)
    found = Candidate(atoms, in_order(family, replace(fit, logits=fit.logits[:, used])), np.nan)
    bic = float(-2 * fit.log_likelihood[0] + np.log(seeds) * found.parameters)
    return replace(found, bic=bic)


def _atoms_only(family: Family, data: Points, seen: tuple[float, ...]) -> Selection:
    seeds = data.counts.sum()
    at = np.array([data.counts[data.scores == atom].sum() for atom in seen])
    log_likelihood = float((at * np.log(at / seeds)).sum())
    fit = Fits(np.log(at / seeds)[None], np.zeros((1, 0, 2)), np.array([log_likelihood]), np.array([True]))
    least = -2 * log_likelihood + float(np.log(seeds)) * (len(seen) - 1)
    return Selection(family, data, seen, fit, {0: least}, seen, {}, (Candidate(seen, fit, least),))


def _resolution(scores: Array) -> float:
    """Step of the grid that scores sit on: their least gap if at least half of them are ties, else 0."""
    distinct = np.unique(scores)
    if len(distinct) < 2 or len(distinct) > len(scores) / 2:
        return 0.0
    return float(np.diff(distinct).min())


# Nats within which fits to resamples end: far below what a p-value or an interval resolves.
TOLERANCE = 1e-3


def resampled_counts(data: Points, rng: np.random.Generator, resamples: int) -> Array:
    """[R, B] seeds at each point, drawn with replacement."""
    seeds = round(data.counts.sum())
    return rng.multinomial(seeds, data.counts[0] / seeds, size=resamples).astype(np.float64)


def refits(selection: Selection, candidate: Candidate, counts_RB: Array) -> Fits:
    """[R] fits of a candidate's form to resampled seeds, started from its fit to all, sorted by mean."""
    family, atoms, fit = selection.family, candidate.atoms, candidate.fit
    if fit.theta.shape[1]:
        return in_order(family, _refit(family, replace(selection.data, counts=counts_RB), atoms, fit))
    at = [counts_RB[:, selection.data.scores[0] == atom].sum(axis=1) for atom in atoms]
    shares = np.stack(at, axis=1) / counts_RB.sum(axis=1, keepdims=True)
    with np.errstate(divide="ignore"):
        logits = np.log(shares)
    log_likelihood = xlogy(np.stack(at, axis=1), shares).sum(axis=1)
    return Fits(logits, np.zeros((len(logits), 0, 2)), log_likelihood, np.ones(len(logits), bool))


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

    The observed sample counts as one of them, so that the size is right for any number of resamples.

    References:
        McLachlan (1987), Appl. Stat. 36, p. 318.
    """
    drawn = draw(family, data, atoms, fewer, rng, resamples)
    null = _refit(family, drawn, atoms, fewer)
    alternative = fit_best(family, drawn, atoms, more, QUICK, tolerance=TOLERANCE)
    gained = alternative.log_likelihood - null.log_likelihood
    # The same few starts as on the drawn samples: a better search would inflate the observed ratio.
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
    # A weight of zero could not grow again.
    logits = np.where(np.isneginf(fits.logits), -np.inf, np.log(np.maximum(fits.weights, 1e-2)))
    logits, theta = np.repeat(logits, rows, axis=0), np.repeat(fits.theta, rows, axis=0)
    return maximise_in_blocks(family, data, atoms, logits, theta, tolerance=TOLERANCE)


def _pick(weights: Array, shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    return np.searchsorted(np.cumsum(weights)[:-1], rng.random(shape), side="right")
