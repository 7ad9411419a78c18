"""How many components does a population of seeds have, and is it two-sided?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import softmax

from jaxemerge.brief import brief

from ..estimates.interval import UNKNOWN, Estimate, Interval, success_interval
from ..estimates.resampling import generator, percentile_interval
from .mixture_likelihood import log_parts
from .observations import Array, Points, items_right, on_coarser_grid, points, scores_of_seeds
from .selection import (
    Candidate,
    Selection,
    check_arguments,
    family_of,
    likelihood_ratio_p_value,
    refits,
    resampled_counts,
    select,
)
from .sides import ResampledSides, resampled_sides, share_above, sides
from .unimodality import one_mode

# A valley that half of the resamples lack is attributed to chance.
MAJORITY = 0.5


@brief
@dataclass(frozen=True)
class Mixture:
    """A mixture of point masses (atoms) and C components sorted by mean, and whether it has two sides.

    Attributes:
        family: "beta_binomial", "beta" or "gaussian".
        n: seeds S behind the fit.
        diverged: seeds whose score was NaN.
        weights: [C] shares of the components.
        means: [C] their mean scores.
        parameters: [C, 2] (a, b) of the Beta law of a seed's rate, or (mean, sd).
        atoms: scores that carry a point mass of their own: 0, 1, both or none.
        atom_weights: [A] shares of the atoms; with `weights` they add up to 1.
        responsibilities: [S, C] probability that a seed belongs to each component, in the order of `values`.
        atom_responsibilities: [S, A] the same for the atoms.
        log_likelihood: nats.
        bic: for each number of components fitted, the least BIC over the choices of atoms; lower is better.
        p_values: for a number c of components, the parametric-bootstrap p-value of c against the next
            number requested, up to the first that is not rejected; empty without bootstraps.
        several_components: one component is rejected: the population is not one beta-binomial (Beta, normal)
            with its atoms. A flat or skewed population with a single mode is not, either.
        converged: whether the search ended within its steps.
        modes: scores of the peaks of the components' density, atoms left out.
        antimodes: scores of the valleys between them.
        valley: density at the deepest valley over that at the lower of its two peaks; 1 for one peak.
        valley_share: share of the fits to resampled seeds that have a valley; 1 without bootstraps.
        p_one_mode: p-value of a single mode of all seeds (`unimodality_test`), which may be an atom.
        p_one_mode_inside: the same of the seeds off the atoms.
        two_sided: the population has two sides, by the criteria that `fit_mixture` lists.
        bimodal: the same of the seeds off the atoms, too: two peaks besides the point masses.
        cut: score of the deepest valley when atoms count as peaks; NaN where there is no valley.
        success: P(success) without a threshold: expected share of the seeds above the cut. NaN without a
            valley, unless all seeds are at 0 or all at 1.
    """

    family: str
    n: int
    diverged: int
    weights: Estimate
    means: Estimate
    parameters: Array
    atoms: tuple[float, ...]
    atom_weights: Estimate
    responsibilities: Array
    atom_responsibilities: Array
    log_likelihood: float
    bic: dict[int, float]
    p_values: dict[int, float]
    several_components: bool
    converged: bool
    modes: tuple[float, ...]
    antimodes: tuple[float, ...]
    valley: float
    valley_share: float
    p_one_mode: float
    p_one_mode_inside: float
    two_sided: bool
    bimodal: bool
    cut: float
    success: Estimate

    def pmf(self, k: ArrayLike, n: int) -> Array:
        """[...] probability that a seed has k of n items right, atoms included.

        Raises:
            ValueError: if the components are not beta-binomial.
        """
        if self.family != "beta_binomial":
            raise ValueError(f"family={self.family!r} has a density; only beta_binomial has a pmf")
        from scipy.stats import betabinom

        right = np.asarray(k)[..., None]
        components = betabinom.pmf(right, n, *self.parameters.T) * self.weights.value
        hits = (right == np.array(self.atoms) * n) * self.atom_weights.value
        return components.sum(axis=-1) + hits.sum(axis=-1)

    def density(self, x: ArrayLike) -> Array:
        """[...] density of the components at scores x; it integrates to 1 less the atoms' weights.

        For beta-binomial components this is the density of a seed's underlying rate.
        """
        from scipy import stats

        law = stats.norm if self.family == "gaussian" else stats.beta
        return (law.pdf(np.asarray(x)[..., None], *self.parameters.T) * self.weights.value).sum(axis=-1)


def fit_mixture(
    values: ArrayLike,
    trials: ArrayLike | None = None,
    components: Sequence[int] = (1, 2, 3),
    family: str = "auto",
    *,
    key: Any = 0,
    bootstraps: int = 200,
    confidence: float = 0.95,
    depth: float = 0.1,
) -> Mixture:
    """Fits a mixture to the scores of S seeds: how many components there are, and whether they are separated.

    Families. "beta_binomial": a seed with rate q ~ Beta(a, b) gets k of its n items right. "beta": scores
    strictly between 0 and 1 are Beta(a, b). "gaussian": any scores. In the first two, scores of exactly 0 and
    exactly 1 may carry point masses (atoms): a pile of zeros is a point mass, not a component
    with a width. "auto" takes the first if `trials` are given, the second if all scores lie in [0, 1], else
    the third. Components are at most slightly U-shaped. Counts that all lie on a coarser grid (scores rounded
    to tenths) are fitted as counts of that grid's steps.

    Number of components: least BIC = -2 log L + ln(S) (3 C + A - 1), over the numbers asked for and, for
    beta-binomials, over the atoms that seeds really sit on. There are at least three seeds for every
    component, and none is narrower than 1/20, or 2/S, of the standard deviation of the scores. `p_values` add
    the bootstrap likelihood ratio of c against more components, both with all atoms.

    A population is `two_sided` if all of this holds, where an atom counts as a peak: the fit has a valley at
    least `depth` deep between two peaks, with at least three seeds on either side; so have at least half of
    the fits to resampled seeds; and `unimodality_test` rejects a single mode of all seeds at level
    1 - `confidence`. It is `bimodal` if the same also holds for the components and the seeds without the
    atoms: zeros and one component are `two_sided` but not `bimodal`. Failures that are mostly but not only
    zeros are a component, and with another one they are `bimodal`. More than one component is not more than
    one mode: `several_components` states the former.

    `success` is the expected share of seeds (sum of responsibilities over S) in components whose mean is
    above `cut`, and in the atom at 1. Its interval holds the percentiles over resampled seeds, each with
    its own least BIC over components and atoms and its own cut, and Wilson's interval. Without a valley, in
    the fit or in half of those to resampled seeds, the share is not determined without a threshold: NaN. If
    all seeds are at 1, or at 0, it is 1, or 0, with Wilson's interval. A valley alone is no evidence of two
    sides: see `two_sided`. Other intervals are percentile bootstraps over seeds, components matched by the
    order of their means.

    Measured (`benchmarks/coverage_mixture.py sides`): `two_sided` in 100 populations of 5, 10 and 16 seeds
    each with one side (Beta, logit-normal, flat, floors, tails): 0 to 5 %. Where `success` is determined,
    87 % of its 95 % intervals hold the share at 16 seeds, less than they say, 93 to 100 % at 30 to 120 and 90
    to 95 % at 250 (`success`, 40 populations each of means .25 and .65, or .1 and .7).

    NaN scores are diverged runs: failures with score 0 among proportions, left out elsewhere. All scores on
    atoms (all zero, say) give C = 0. Numbers of components above that of the distinct scores off the atoms
    are not tried. One seed gives NaN intervals.

    Args:
        values: [S] scores, proportions if `trials` are given.
        trials: items behind each score, one number or [S]; every score must be a count over its trials.
        components: numbers of components to try.
        family: one of "auto", "beta_binomial", "beta", "gaussian".
        key: int or JAX key of the bootstraps.
        bootstraps: resamples for `p_values` and for intervals. With 0 there are neither, and `two_sided`
            rests on the other criteria.
        confidence: probability in (0, 1) of every interval, and see above.
        depth: in (0, 1), how deep a valley must be: 1 - valley / lower peak.

    Raises:
        ValueError: if an argument is out of its range, or the values do not fit the family.

    References:
        McLachlan and Peel (2000), Finite Mixture Models, sections 2.1 and 6.4-6.6 (likelihood, bootstrap of
        the likelihood ratio); McLachlan (1987), Appl. Stat. 36, p. 318; Ospina and Ferrari (2010), Stat.
        Papers 51 (inflated Beta); Schwarz (1978), Ann. Stat. 6, p. 461 (BIC).
    """
    numbers = check_arguments(components, family, bootstraps, confidence, depth)
    rng = generator(key)
    counts = trials is not None
    scores = scores_of_seeds(values, proportions=counts or family in ("beta_binomial", "beta"))
    if len(scores) == 0:
        raise ValueError(
            f"values are all NaN ({np.size(values)} diverged seeds); at least one score is needed"
        )
    x, n = on_coarser_grid(*items_right(scores, trials)) if trials is not None else (scores, None)
    scores = x if n is None else x / n
    shape = family_of(family, scores, n)
    selection = select(shape, points(x, n), numbers)
    resamples = bootstraps if len(scores) > 1 else 0
    p_values = _p_values(selection, rng, resamples, 1 - confidence)
    drawn = resampled_counts(selection.data, rng, resamples) if resamples else None
    found = sides(selection, depth)
    moved = None if drawn is None else resampled_sides(selection, drawn, depth)
    p_one_mode = one_mode(x, n, key=key).p_value
    divided = found.cut == found.cut and (moved is None or moved.cut_share >= MAJORITY)
    two_sided = divided and p_one_mode <= 1 - confidence
    valley = found.valley <= 1 - depth and (moved is None or moved.valley_share >= MAJORITY)
    p_inside = _inner_p_value(selection, x, n, p_one_mode, key)
    bimodal = two_sided and valley and p_inside <= 1 - confidence
    responsibilities = _responsibilities(selection, x, n, np.asarray(values, np.float64))
    split, weights = len(selection.atoms), selection.fit.weights[0]
    means, shares = _moved(selection, drawn)
    return Mixture(
        family=shape.name,
        n=np.size(values),
        diverged=int(np.isnan(np.asarray(values, np.float64)).sum()),
        weights=_estimate(weights[split:], None if shares is None else shares[:, split:], confidence),
        means=_estimate(shape.mean(selection.fit.theta[0]), means, confidence),
        parameters=shape.parameters(selection.fit.theta[0]),
        atoms=selection.atoms,
        atom_weights=_estimate(weights[:split], None if shares is None else shares[:, :split], confidence),
        responsibilities=responsibilities[:, split:],
        atom_responsibilities=responsibilities[:, :split],
        log_likelihood=float(selection.fit.log_likelihood[0]),
        bic=selection.bic,
        p_values=p_values,
        several_components=p_values.get(1, 1.0) <= 1 - confidence,
        converged=bool(selection.fit.converged[0]),
        modes=found.modes,
        antimodes=found.antimodes,
        valley=found.valley,
        valley_share=1.0 if moved is None else moved.valley_share,
        p_one_mode=p_one_mode,
        p_one_mode_inside=p_inside,
        two_sided=two_sided,
        bimodal=bimodal,
        cut=found.cut,
        success=_success(selection, found.cut if divided else np.nan, moved, confidence),
    )


def _p_values(
    selection: Selection, rng: np.random.Generator, resamples: int, level: float
) -> dict[int, float]:
    found: dict[int, float] = {}
    tried = sorted(selection.nested)
    for fewer, more in pairwise(tried if resamples else []):
        fit = selection.nested[fewer]
        p = likelihood_ratio_p_value(
            selection.family, selection.data, selection.all_atoms, fit, more, rng, resamples
        )
        found[fewer] = p
        if p > level:
            break
    return found


def _inner_p_value(selection: Selection, x: Array, n: Array | None, p_all: float, key: Any) -> float:
    """p-value of a single mode of the seeds off the atoms."""
    inside = ~np.isin(x if n is None else x / n, selection.atoms)
    if inside.all():
        return p_all
    return one_mode(x[inside], None if n is None else n[inside], key=key).p_value


def _moved(selection: Selection, drawn: Array | None) -> tuple[Array | None, Array | None]:
    """[R, C] means and [R, A + C] weights of the chosen form on the resampled seeds."""
    if drawn is None:
        return None, None
    fits = refits(selection, Candidate(selection.atoms, selection.fit, 0.0), drawn)
    return selection.family.mean(fits.theta), fits.weights


def _responsibilities(selection: Selection, x: Array, n: Array | None, values: Array) -> Array:
    """[S, A + C] by seed; NaN for diverged seeds that were left out."""
    seeds = Points(x[None], None if n is None else n[None], np.ones((1, len(x))))
    fit = selection.fit
    joint, _ = log_parts(selection.family, seeds, selection.atoms, fit.logits, fit.theta)
    known = softmax(joint[0], axis=0).T
    if len(known) == len(values):
        return known
    result = np.full((len(values), known.shape[1]), np.nan)
    result[~np.isnan(values)] = known
    return result


def _estimate(value: Array, replicates: Array | None, confidence: float) -> Estimate:
    unknown = np.full(value.shape, np.nan)
    if replicates is None or value.size == 0:
        return Estimate(value, Interval(unknown, unknown))
    return Estimate(value, percentile_interval(replicates, confidence))


def _success(selection: Selection, cut: float, moved: ResampledSides | None, confidence: float) -> Estimate:
    seeds = float(selection.data.counts.sum())
    held = np.unique(selection.data.scores[0][selection.data.counts[0] > 0])
    if len(held) == 1 and len(selection.atoms) == 1:
        return Estimate(float(held[0]), success_interval(round(held[0] * seeds), round(seeds), confidence))
    if np.isnan(cut):
        return Estimate(float("nan"), UNKNOWN)
    value = float(share_above(selection, selection.fit, np.array([cut]))[0])
    if moved is None:
        return Estimate(value, UNKNOWN)
    wilson, found = success_interval(value * seeds, seeds, confidence), moved.success
    bootstrap = percentile_interval(found, confidence)
    low, high = min(wilson.low, bootstrap.low), max(wilson.high, bootstrap.high)
    return Estimate(value, Interval(float(low), float(high)))
