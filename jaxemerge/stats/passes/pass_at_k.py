"""What is the chance that one of k sampled answers passes, and how good is the best of k seeds?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import gammaln

from jaxemerge.brief import brief

from ..estimates.arguments import check_at_least, check_confidence
from ..estimates.interval import UNKNOWN, Estimate
from ..estimates.mean import FEWEST, mean_interval
from ..estimates.resampling import generator, percentile_interval

Array = NDArray[np.float64]


@brief
@dataclass(frozen=True)
class PassAtK:
    """The probability that at least one of k sampled answers passes.

    Attributes:
        k: answers.
        problem: [P] unbiased estimate of each problem.
        mean: over the problems, with an interval over these.
    """

    k: int
    problem: NDArray[np.float64]
    mean: Estimate


def pass_at_k(samples: ArrayLike, passes: ArrayLike, k: int, *, confidence: float = 0.95) -> PassAtK:
    """The unbiased estimate of pass@k from n samples of a problem, c of which passed,

        pass@k = 1 - C(n - c, k) / C(n, k),

    the share of all sets of k of the samples that hold a pass. 1 - (1 - c/n)^k is biased downwards. The
    interval of the mean takes problems as drawn from a population of problems (`mean_interval`).

    Args:
        samples: [P] n of each problem, at least k.
        passes: [P] c of each problem.
        k: at least 1.
        confidence: probability in (0, 1).

    Raises:
        ValueError: if some n < k, some 0 <= c <= n does not hold, or an argument is out of its range.

    References:
        Chen et al. (2021), "Evaluating Large Language Models Trained on Code", arXiv 2107.03374, eq. 1.
    """
    check_confidence(confidence)
    check_at_least(1, k=k)
    n, c = (np.asarray(counts, np.float64) for counts in (samples, passes))
    if n.ndim != 1 or n.shape != c.shape or not len(n):
        raise ValueError(f"samples {n.shape} and passes {c.shape} must be one number each per problem")
    whole = np.isfinite(n) & (n == np.round(n)) & (c == np.round(c))
    if not np.all(whole & (c >= 0) & (c <= n)):
        bad = int(np.argmin(whole & (c >= 0) & (c <= n)))
        raise ValueError(f"{c[bad]:g} passes of {n[bad]:g} samples: whole numbers with 0 <= c <= n must hold")
    if n.min() < k:
        raise ValueError(f"pass@{k} needs {k} samples of every problem: one has {n.min():g}")
    fails = n - c
    some = fails >= k  # with fewer failures every set of k holds a pass
    ratio = np.exp(_log_choose(np.where(some, fails, k), k) - _log_choose(n, k))
    problem = np.clip(np.where(some, 1 - ratio, 1.0), 0.0, 1.0)
    return PassAtK(k, problem, mean_interval(problem, confidence, bounds=(0.0, 1.0)))


def _log_choose(n: Array, k: int) -> Array:
    return np.asarray(gammaln(n + 1) - gammaln(k + 1.0) - gammaln(n - k + 1))


def best_of(
    values: ArrayLike,
    k: int,
    *,
    less_is_better: bool = False,
    confidence: float = 0.95,
    resamples: int = 1000,
    key: Any = 0,
) -> Estimate:
    """The expected best of k seeds, from n seeds: the mean of the best over all sets of k of them,

        sum_i x_(i) C(i - 1, k - 1) / C(n, k),      x_(1) <= ... <= x_(n),

    which is unbiased. The interval is that of percentiles over resampled seeds; it is too narrow where k is
    near n, as nothing is known beyond the best seed.

    Args:
        values: [S] scores of seeds; a failed one is the worst value that there is, such as 0 of a share.
        k: from 1 to S.
        less_is_better: whether the best is the least.
        confidence: probability in (0, 1).
        resamples: of the seeds.
        key: int or JAX key.

    Returns:
        Estimate; the interval is NaN with fewer than three seeds.

    Raises:
        ValueError: if there are fewer than k seeds, a value is not finite, or an argument is out of range.

    References:
        Dodge et al. (2019), "Show Your Work", arXiv 1909.03004, eq. 5 (expected best, with replacement).
    """
    check_confidence(confidence)
    check_at_least(1, k=k, resamples=resamples)
    x = np.asarray(values, np.float64) * (-1.0 if less_is_better else 1.0)
    if x.ndim != 1 or not np.all(np.isfinite(x)):
        raise ValueError(f"values of shape {x.shape} must be finite, one per seed")
    if len(x) < k:
        raise ValueError(f"the best of {k} seeds needs {k} seeds: there are {len(x)}")
    rank = np.arange(1.0, len(x) + 1)
    chosen = rank >= k
    log_weight = _log_choose(np.where(chosen, rank - 1, k), k - 1) - _log_choose(np.array(float(len(x))), k)
    weight = np.where(chosen, np.exp(log_weight), 0.0)
    sign = -1.0 if less_is_better else 1.0
    best = sign * float(np.sort(x) @ weight)
    if len(x) < FEWEST:
        return Estimate(best, UNKNOWN)
    drawn = generator(key).choice(x, (resamples, len(x)))
    return Estimate(best, percentile_interval(sign * np.sort(drawn, axis=1) @ weight, confidence))
