"""How many components does a population of seeds have, and is it two-sided?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import softmax

from ..estimates.interval import UNKNOWN, Estimate, Interval, success_interval
from ..estimates.resampling import generator, percentile_interval
from .mixture_likelihood import Fits, log_parts
from .modality import dip_test
from .observations import Array, Points, items_right, on_coarser_grid, points, scores_of_seeds
from .selection import Selection, check_arguments, family_of, likelihood_ratio_p_value, resampled_fits, select
from .sides import Sides, above, sides

# A valley that half of the resamples lack is attributed to chance.
MAJORITY = 0.5
# With some hundred seeds the dip test detects a side of a quarter, with less power than a fit, but not of a
# tenth. Both numbers were chosen on simulated components and flat blocks, for 95 % power on the former.
MINORITY, DOUBT = 0.25, 0.4


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
        converged: whether the search ended within its steps.
        modes: scores of the peaks of the components' density, atoms left out.
        antimodes: scores of the valleys between them.
        valley: density at the deepest valley over that at the lower of its two peaks; 1 for one peak.
        valley_share: share of the fits to resampled seeds that have a valley; 1 without bootstraps.
        bimodal: at least two peaks, with the evidence that `fit_mixture` lists.
        two_sided: `bimodal`, or an atom separated by a valley from a component or another atom.
        cut: score of the deepest valley when atoms count as peaks; NaN where there is no valley.
        success: P(success) without a threshold: expected share of the seeds above the cut.
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
    converged: bool
    modes: tuple[float, ...]
    antimodes: tuple[float, ...]
    valley: float
    valley_share: float
    bimodal: bool
    two_sided: bool
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
    upper: float = 0.5,
) -> Mixture:
    """Fits a mixture to the scores of S seeds: how many components there are, and whether they are separated.

    Families. "beta_binomial": a seed with rate q ~ Beta(a, b) gets k of its n items right. "beta": scores
    strictly between 0 and 1 are Beta(a, b). "gaussian": any scores. In the first two, scores of exactly 0 and
    exactly 1 may carry point masses (atoms): a pile of zeros is a point mass, not a component
    with a width. "auto" takes the first if `trials` are given, the second if all scores lie in [0, 1], else
    the third. Components are at most slightly U-shaped. Counts that all lie on a coarser grid (scores rounded
    to tenths) are fitted as counts of that grid's steps.

    Number of components: least BIC = -2 log L + ln(S) (3 C + A - 1), over the numbers asked for and, for
    beta-binomials, over the atoms that seeds really sit on. `p_values` add the bootstrap likelihood ratio of
    c against more components, both with all atoms.

    A population is `bimodal` if all of this holds: the fit has a valley at least `depth` deep between two
    peaks of its components' density; so have at least half of the fits to resampled seeds; and the bootstrap
    likelihood ratio rejects one component at level 1 - `confidence`. Flat-topped components are not
    beta-binomial and would be rejected too: where both sides hold a quarter of the components' weight, the
    p-value of `dip_test` without the atoms must be at most 0.4. An atom is not a peak here: zeros and one
    component are `two_sided` but not `bimodal`. Failures that are mostly but not only zeros are a component,
    and with another one they are `bimodal`.

    `success` is the expected share of seeds (sum of responsibilities over S) in components whose mean is
    above `cut`, and in the atom at 1. Without a valley all seeds are on one side: the share is 1 if the mean
    score is at least `upper`, else 0, with Wilson's interval. Other intervals are percentile bootstraps over
    seeds, components matched by the order of their means.

    Measured on 250 seeds and 91 items (`benchmarks/coverage_mixture.py`). 95 % intervals over 500
    populations, 0.2 and 0.5 of the seeds above: weight and `success` 93.6 and 92.8 %, upper mean 93.2 and
    92.6 %. `bimodal` in 200 populations each, 60 bootstraps, means .1 and .7, weights .1 to .9: with a + b =
    20 and 50 all; with a + b = 10, 93.5 % at weight .1 (just below the 95 % aimed at), 97.5 % at .3, all
    above. Wrongly: none of those at the floor, all zeros or ones, uniform, zeros with one component,
    on coarse grids; 1 % of triangular ones. A flat block from .3 to .8 is wrongly called bimodal in 20 %.

    NaN scores are diverged runs: failures with score 0 among proportions, left out elsewhere. All scores on
    atoms (all zero, say) give C = 0. Numbers of components above that of the distinct scores off the atoms
    are not tried. One seed gives NaN intervals.

    Args:
        values: [S] scores, proportions if `trials` are given.
        trials: items behind each score, one number or [S]; every score must be a count over its trials.
        components: numbers of components to try.
        family: one of "auto", "beta_binomial", "beta", "gaussian".
        key: int or JAX key of the bootstraps.
        bootstraps: resamples for p-values and for intervals. With 0 there are neither, and `bimodal` rests
            on the other criteria.
        confidence: probability in (0, 1) of every interval, and see above.
        depth: in (0, 1), how deep a valley must be: 1 - valley / lower peak.
        upper: mean score from which a population without a valley counts as successful.

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
    replicates = None
    if resamples:
        replicates = _replicates(selection, rng, resamples)
    found = sides(selection, replicates, depth)
    responsibilities = _responsibilities(selection, x, n, np.asarray(values, np.float64))
    split = len(selection.atoms)
    means = None if replicates is None else shape.mean(replicates.theta)
    shares = None if replicates is None else replicates.weights
    weights = selection.fit.weights[0]
    bimodal = _bimodal(selection, found, p_values, confidence, depth) and _dips(selection, found, scores, n)
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
        converged=bool(selection.fit.converged[0]),
        modes=found.modes,
        antimodes=found.antimodes,
        valley=found.valley,
        valley_share=found.valley_share,
        bimodal=bimodal,
        two_sided=bimodal or bool(found.cut == found.cut and found.cut_share >= MAJORITY),
        cut=found.cut,
        success=_success(selection, found.cut, shares, scores, confidence, upper),
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


def _replicates(selection: Selection, rng: np.random.Generator, resamples: int) -> Fits:
    if selection.fit.theta.shape[1]:
        return resampled_fits(
            selection.family, selection.data, selection.atoms, selection.fit, rng, resamples
        )
    seeds = round(selection.data.counts.sum())
    shares = rng.multinomial(seeds, selection.fit.weights[0], size=resamples) / seeds
    with np.errstate(divide="ignore"):
        logits = np.log(shares)
    return Fits(logits, np.zeros((resamples, 0, 2)), np.zeros(resamples), np.ones(resamples, bool))


def _bimodal(
    selection: Selection, found: Sides, p_values: dict[int, float], confidence: float, depth: float
) -> bool:
    rejected = p_values.get(1, 0.0) <= 1 - confidence
    return found.valley <= 1 - depth and found.valley_share >= MAJORITY and rejected


def _dips(selection: Selection, found: Sides, scores: Array, n: Array | None) -> bool:
    """False if Hartigans' test favours one mode where both sides are large enough for it to detect."""
    means, weights = (
        selection.family.mean(selection.fit.theta[0]),
        selection.fit.weights[0, len(selection.atoms) :],
    )
    upper = weights[means > found.antimodes[0]].sum() / weights.sum()
    if min(upper, 1 - upper) < MINORITY:
        return True
    inside = ~np.isin(scores, selection.atoms)
    return dip_test(scores[inside], None if n is None else n[inside]).p_value <= DOUBT


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


def _success(
    selection: Selection, cut: float, shares: Array | None, scores: Array, confidence: float, upper: float
) -> Estimate:
    if np.isnan(cut):
        n = len(scores)
        passed = n if scores.mean() >= upper else 0
        return Estimate(passed / n, success_interval(passed, n, confidence))
    side = above(selection, cut)
    value = float(selection.fit.weights[0] @ side)
    return Estimate(value, UNKNOWN if shares is None else percentile_interval(shares @ side, confidence))
