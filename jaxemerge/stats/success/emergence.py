"""Is a scale curve a straight line or a jump?"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..estimates.arguments import as_outcomes


def linearity(
    scores: ArrayLike,
    *,
    where: ArrayLike | None = None,
    resolution: ArrayLike | None = None,
    failure: float = 0.0,
) -> NDArray[np.float64]:
    """How close a scale curve is to a straight line: L = I / sqrt(mean_i d_i²).

    With scores y_1..y_N in order of scale, d_i = y_{i+1} - y_i and

        I = sign(argmax y - argmin y) (max y - min y)      (of equal extremes the first counts),

    |L| <= N - 1, with equality for a straight line; a single jump has |L| = sqrt(N - 1).

    Args:
        scores: [..., N] in order of scale; usually one curve per seed. NaN is a diverged run.
        where: [..., N], False where a scale was not run: the curve then continues at the next scale that was.
            By default all were.
        resolution: floor of the denominator, broadcast against [...]. Exact match on n items moves in
            steps of 1/n; with `resolution=1/n` no increment counts as smaller than the test can resolve, and
            all curves have a finite value.
        failure: score of a diverged run.

    Returns:
        [...], one number per curve. A flat curve is 0/0: NaN, or 0 with a resolution. NaN for fewer than
        two scales.

    Raises:
        ValueError: if `scores` has no axis, holds infinities, `where` does not fit it, or `resolution` is not
            positive.

    References:
        Srivastava et al. (2022), arXiv 2206.04615 (definitions of linearity and breakthroughness).
    """
    curve = _curve(scores, where, failure)
    mean = np.sum(curve.squares, axis=-1) / np.maximum(curve.steps, 1)
    return _ratio(curve, np.sqrt(mean), resolution)


def breakthroughness(
    scores: ArrayLike,
    *,
    where: ArrayLike | None = None,
    resolution: ArrayLike | None = None,
    failure: float = 0.0,
) -> NDArray[np.float64]:
    """How close a scale curve is to a jump: B = I / sqrt(median_i d_i²).

    I and d as in `linearity`. A straight line has |B| = N - 1; a jump between plateaus has a small median
    increment, hence a large |B|. With an even number of increments the median is the mean of the two middle
    squares, so its root is not the median of |d|.

    B is infinite, with the sign of I, when more than half of the increments are exactly 0. That is common for
    exact match at its floor, and such curves cannot be ranked. With `resolution=1/n` B is finite for every
    curve, and at most n in size.

    Args:
        scores: [..., N], as for `linearity`.
        where: [..., N], False where a scale was not run.
        resolution: floor of the denominator, broadcast against [...]; 1/n for shares of n items.
        failure: score of a diverged run.

    Returns:
        [...], one number per curve, possibly +-inf. A flat curve is 0/0: NaN, or 0 with a resolution.
        NaN for fewer than two scales.

    Raises:
        ValueError: as `linearity`.

    References:
        Srivastava et al. (2022), arXiv 2206.04615 (definitions of linearity and breakthroughness).
    """
    curve = _curve(scores, where, failure)
    return _ratio(curve, np.sqrt(_median(curve)), resolution)


def emergence_score(
    scores: ArrayLike,
    *,
    where: ArrayLike | None = None,
    resolution: ArrayLike | None = None,
    failure: float = 0.0,
) -> NDArray[np.float64]:
    """The emergence score of a task-metric-model triplet, which is its breakthroughness.

    Args:
        scores: [..., N], as for `linearity`.
        where: [..., N], False where a scale was not run.
        resolution: floor of the denominator, as for `breakthroughness`.
        failure: score of a diverged run.

    Returns:
        [...], as `breakthroughness`.

    Raises:
        ValueError: as `linearity`.

    References:
        Schaeffer, Miranda and Koyejo (2023), arXiv 2304.15004 (the score of their meta-analysis).
    """
    return breakthroughness(scores, where=where, resolution=resolution, failure=failure)


class _Curve(NamedTuple):
    """Curves, each as far as it was run.

    Attributes:
        improvement: [...] signed range I.
        squares: [..., N-1] squared increments, 0 where there is none.
        steps: [...] number of increments there are.
    """

    improvement: NDArray[np.float64]
    squares: NDArray[np.float64]
    steps: NDArray[np.int64]


def _curve(scores: ArrayLike, where: ArrayLike | None, failure: float) -> _Curve:
    given = np.asarray(scores, np.float64)
    if given.ndim == 0:
        raise ValueError("scores must have a last axis of scales, not be a single number")
    run = np.ones(given.shape, bool) if where is None else np.asarray(where, bool)
    try:
        run = np.broadcast_to(run, given.shape)
    except ValueError:
        raise ValueError(f"where of shape {run.shape} does not fit scores of shape {given.shape}") from None
    values = as_outcomes(np.where(run, given, 0.0), failure)

    # Scales that were run move to the front, in their order; what follows repeats the last of them.
    count = run.sum(axis=-1)
    order = np.argsort(~run, axis=-1, kind="stable")
    place = np.minimum(np.arange(given.shape[-1]), np.maximum(count - 1, 0)[..., None])
    packed = np.take_along_axis(values, np.take_along_axis(order, place, axis=-1), axis=-1)
    if packed.shape[-1] == 0:
        packed = np.zeros((*packed.shape[:-1], 1))
    highest, lowest = packed.argmax(axis=-1), packed.argmin(axis=-1)
    improvement = np.sign(highest - lowest) * np.ptp(packed, axis=-1)
    return _Curve(improvement, np.diff(packed, axis=-1) ** 2, np.maximum(count - 1, 0))


def _median(curve: _Curve) -> NDArray[np.float64]:
    """Median of the first `steps` squares; the others are 0 and sort before them."""
    ordered = np.sort(curve.squares, axis=-1)
    if ordered.shape[-1] == 0:
        return np.zeros(curve.steps.shape)
    padding = ordered.shape[-1] - curve.steps
    last = ordered.shape[-1] - 1
    low = np.minimum(padding + (curve.steps - 1) // 2, last)
    high = np.minimum(padding + curve.steps // 2, last)
    middle = np.take_along_axis(ordered, np.stack([low, high], axis=-1), axis=-1)
    return middle.mean(axis=-1)


def _ratio(
    curve: _Curve, increment: NDArray[np.float64], resolution: ArrayLike | None
) -> NDArray[np.float64]:
    if resolution is not None:
        floor = np.asarray(resolution, np.float64)
        if not np.all(floor > 0):
            raise ValueError(f"resolution={resolution!r} must be positive, for instance 1/n for shares of n")
        increment = np.maximum(increment, floor)
    with np.errstate(divide="ignore", invalid="ignore"):  # a jump over zeros is infinite, a flat curve 0/0
        ratio = curve.improvement / increment
    return np.where(curve.steps > 0, ratio, np.nan)
