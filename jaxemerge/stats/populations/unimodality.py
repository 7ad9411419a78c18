"""Could all seeds come from one population with a single mode, given its few items and seeds?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import betainc, gammaln, xlog1py, xlogy

from ..estimates.arguments import check_at_least
from ..estimates.resampling import generator, permutation_p_value
from .modality import spread_ties
from .observations import Array, items_right, scores_of_seeds

# Places of the mode and of the ends of the uniform pieces; steps of the search for their weights.
PLACES, STEPS = 41, 150
# Fewer scores have no dip to speak of.
FEWEST = 4


@dataclass(frozen=True)
class UnimodalityTest:
    """A test of a single mode.

    Attributes:
        n: seeds tested.
        statistic: Hartigans' dip of the scores.
        p_value: share of samples from the most likely unimodal population with at least this dip.
        mode: of that population.
    """

    n: int
    statistic: float
    p_value: float
    mode: float


@dataclass(frozen=True)
class UnimodalFit:
    """The most likely unimodal distribution of the seeds' rates: uniform pieces that share one end, the mode.

    Attributes:
        mode: where all pieces begin.
        ends: [J] where they end; a piece that ends at the mode is a point mass.
        weights: [J] their shares.
        log_likelihood: nats.
    """

    mode: float
    ends: Array
    weights: Array
    log_likelihood: float


def unimodality_test(
    values: ArrayLike, trials: ArrayLike | None = None, *, key: Any = 0, resamples: int = 499
) -> UnimodalityTest:
    """Tests whether the seeds' rates have a single mode.

    Under the null hypothesis a seed's rate has a density that rises to a mode and falls beyond it; the mode
    may carry a point mass, as a floor of zeros does. Every such distribution is a mixture of uniform ones
    with one end at the mode (Khinchine), so that its nonparametric maximum likelihood is a mixture fit
    for every place of the mode. Samples of as many seeds, each with its own number of items, are drawn from
    the best of these, and p is the share with at least the observed dip, the observed sample counted as one
    of them. Equal scores are spread as in `dip_test`.

    `dip_test` compares with the uniform distribution, the least favourable one; here the null has the shape
    of the data, so that a side of few seeds is detected. Zeros with one far component are not unimodal, zeros
    with a falling tail are.

    Measured (`benchmarks/coverage_mixture.py sides`), p <= 0.05 in 100 to 200 populations of 5 to 250 seeds:
    Beta, beta-binomial, logit-normal, flat, floors, zeros with a tail 0 to 7 %. Means .1 and .7, a + b = 20,
    91 items, .3 of the seeds above: 24, 47, 89 and 99 % with 16, 30, 60 and 120 seeds; .1 above: 8, 19 and 58
    % with 60, 120 and 250; means .25 and .65, half above: 31 and 94 % with 60 and 250.

    NaN proportions are diverged runs and count as 0; other NaN values are left out. Fewer than four scores,
    or equal ones, give p = 1.

    Args:
        values: [S] scores; proportions if `trials` are given.
        trials: items behind each score, one number or [S].
        key: int or JAX key of the samples.
        resamples: number of samples drawn; the smallest p-value is 1/(resamples + 1).

    Raises:
        ValueError: if there is no score, a score is not a count over its trials, or `resamples` < 1.

    References:
        Hartigan and Hartigan (1985), Ann. Stat. 13, p. 70 (the dip); Feller (1971), An Introduction to
        Probability Theory II, section V.9 (Khinchine's theorem); Cheng and Hall (1998), J. R. Stat. Soc. B
        60, p. 579 (calibration by a unimodal density close to the data).
    """
    check_at_least(1, resamples=resamples)
    scores = scores_of_seeds(values, proportions=trials is not None)
    k, n = (scores, None) if trials is None else items_right(scores, trials)
    return one_mode(k, n, key=key, resamples=resamples)


def one_mode(x_S: Array, n_S: Array | None, *, key: Any = 0, resamples: int = 499) -> UnimodalityTest:
    """`unimodality_test` of items right, or of real scores where `n_S` is None; without seeds p = 1."""
    seeds = len(x_S)
    scores = x_S if n_S is None else x_S / n_S
    if seeds < FEWEST or scores.min() == scores.max():
        mode = float(np.median(scores)) if seeds else float("nan")
        return UnimodalityTest(seeds, 1 / (2 * max(seeds, 1)), 1.0, mode)
    width_S = np.full(seeds, _resolution(scores)) if n_S is None else 1 / n_S
    found, rng = fit_unimodal(x_S, n_S), generator(key)
    observed = _dip(scores, width_S)
    drawn_RS = _samples(found, n_S, (resamples, seeds), rng)
    p_value = permutation_p_value(observed, np.array([_dip(sample_S, width_S) for sample_S in drawn_RS]))
    return UnimodalityTest(seeds, observed, float(p_value), found.mode)


def fit_unimodal(x_S: Array, n_S: Array | None) -> UnimodalFit:
    """The nonparametric maximum likelihood under a single mode, on a grid of modes and ends.

    For every mode the likelihood is that of a mixture with known components, which EM raises to its only
    maximum.

    Args:
        x_S: items right, or real scores.
        n_S: items, or None.
    """
    pairs = np.stack([x_S, np.ones(len(x_S)) if n_S is None else n_S], axis=1)
    (x, n), counts = (part.T for part in np.unique(pairs, axis=0, return_counts=True))
    grid = np.linspace((x / n).min(), (x / n).max(), PLACES)
    chances_MBJ = _pieces_of_reals(x, grid) if n_S is None else _pieces_of_counts(x, n, grid)
    weights_MJ = np.full((PLACES, PLACES), 1 / PLACES)
    for _ in range(STEPS):
        density_MB = np.maximum((chances_MBJ @ weights_MJ[..., None])[..., 0], 1e-300)
        weights_MJ = weights_MJ * ((counts / density_MB)[:, None] @ chances_MBJ)[:, 0] / len(x_S)
    log_likelihood_M = np.log(density_MB) @ counts
    best = int(log_likelihood_M.argmax())
    weights = weights_MJ[best] / weights_MJ[best].sum()
    return UnimodalFit(float(grid[best]), grid, weights, float(log_likelihood_M[best]))


def _pieces_of_counts(k: Array, n: Array, grid: Array) -> Array:
    """[M, B, J] probability of k of n items where the rate is uniform between grid points M and J."""
    k, n = k[:, None], n[:, None]
    below_BM = betainc(k + 1, n - k + 1, grid) / (n + 1)  # the binomial probability integrated up to the grid
    choose = gammaln(n + 1) - gammaln(k + 1) - gammaln(n - k + 1)
    at_BM = np.exp(choose + xlogy(k, grid) + xlog1py(n - k, -grid))
    length_MJ = np.abs(grid[:, None] - grid)
    between_BMJ = np.abs(below_BM[:, :, None] - below_BM[:, None]) / np.where(length_MJ > 0, length_MJ, 1)
    index = np.arange(len(grid))
    between_BMJ[:, index, index] = at_BM
    return np.ascontiguousarray(between_BMJ.transpose(1, 0, 2))


def _pieces_of_reals(x: Array, grid: Array) -> Array:
    """[M, B, J] density at x of the uniform law between grid points M and J; one step wide at M = J."""
    step = grid[1] - grid[0]
    low = np.minimum(grid[:, None], grid) - 0.5 * step * np.eye(len(grid))
    high = np.maximum(grid[:, None], grid) + 0.5 * step * np.eye(len(grid))
    slack = 1e-9 * step
    inside = (x[:, None] >= low[:, None] - slack) & (x[:, None] <= high[:, None] + slack)
    return inside / (high - low)[:, None]


def _samples(
    found: UnimodalFit, n_S: Array | None, shape: tuple[int, int], rng: np.random.Generator
) -> Array:
    """[R, S] scores of R samples from the unimodal population."""
    end = rng.choice(found.ends, size=shape, p=found.weights)
    rate = found.mode + (end - found.mode) * rng.random(shape)
    return rate if n_S is None else rng.binomial(n_S.astype(np.int64), np.clip(rate, 0, 1)) / n_S


def _dip(scores_S: Array, width_S: Array) -> float:
    import diptest  # its compiled part is wanted only here

    return float(diptest.dipstat(spread_ties(scores_S, width_S), sort_x=False))


def _resolution(scores_S: Array) -> float:
    """Within which real scores are not told apart: a step of the grid, or that of rounded scores."""
    distinct = np.unique(scores_S)
    step = float(np.ptp(distinct)) / (PLACES - 1)
    rounded = len(distinct) <= len(scores_S) / 2
    return max(step, float(np.diff(distinct).min())) if rounded else step
