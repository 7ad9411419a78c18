"""Families of mixture components, with the derivatives that fitting needs.

Every family has two unbounded coordinates per component: the first moves the mean, the second the spread.
A component is at most slightly U-shaped, so that a component has one peak and a bimodal fit needs two.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from scipy.special import betaln, expit, gammaln, logit, psi

from .observations import HISTOGRAM, Points

Array = NDArray[np.float64]

BOWL = 0.8
MEAN_EDGE, LOOSEST, TIGHTEST = 14.0, -8.0, 14.0


class Family(Protocol):
    """One shape of component; theta [R, C, 2] are its coordinates on R data sets.

    Attributes:
        name: in records and messages.
        names: of the two parameters of a component.
        low: [2] least coordinates.
        high: [2] greatest coordinates.
    """

    names: tuple[str, str]

    @property
    def name(self) -> str: ...

    @property
    def low(self) -> Array: ...

    @property
    def high(self) -> Array: ...

    def log_density(self, theta: Array, points: Points) -> tuple[Array, Array]:
        """[R, C, B] log density (or probability) at the points and [R, C, 2, B] its derivatives by theta."""
        ...

    def information(self, theta: Array, points: Points) -> Array:
        """[R, C, 2] roughly the Fisher information of one seed of a component about each coordinate.

        For the mean the reciprocal variance of a score, for the spread that of a normal law.
        """
        ...

    def start(self, mean: Array, variance: Array, items: float) -> Array:
        """[..., 2] coordinates of components with these moments of the scores."""
        ...

    def mean(self, theta: Array) -> Array:
        """[...] means of the scores."""
        ...

    def parameters(self, theta: Array) -> Array:
        """[..., 2] the parameters called `names`."""
        ...

    def draw(self, theta: Array, n: Array | None, rng: np.random.Generator) -> Array:
        """[...] one score (items right, with n) from each component theta [..., 2]."""
        ...


def shape_parameters(theta: Array) -> tuple[Array, Array, Array]:
    """a, b [...] of Beta(a, b) at theta = (logit mean, log(a + b - least)), and d(a, b)/d theta [..., 2, 2].

    With the mean m, least = BOWL / (m² + (1-m)²) >= BOWL / max(m, 1-m): a or b is at least BOWL. At BOWL = 1
    no component could be U-shaped; a little less leaves the flat one inside the range and not on its edge,
    where the bootstrap of the likelihood ratio would reject it too often.
    """
    m = expit(theta[..., 0])
    slope = m * expit(-theta[..., 0])
    squares = 1 - 2 * slope
    free = np.exp(theta[..., 1])
    total = free + BOWL / squares
    total_slope = 2 * BOWL * (1 - 2 * m) * slope / squares**2
    by_mean = np.stack([slope * total + m * total_slope, -slope * total + (1 - m) * total_slope], -1)
    by_spread = np.stack([m * free, (1 - m) * free], -1)
    return m * total, (1 - m) * total, np.stack([by_mean, by_spread], -1)


def _shape_start(mean: Array, inverse_total: Array) -> Array:
    """Coordinates from a mean and 1/(a + b + 1), kept away from the edges."""
    m = np.clip(mean, 1e-3, 1 - 1e-3)
    total = 1 / np.clip(inverse_total, 3e-3, 0.4) - 1
    free = np.maximum(total - BOWL / (m**2 + (1 - m) ** 2), 0.2)
    return np.stack([logit(m), np.log(free)], -1)


def _by_coordinates(by_a: Array, by_b: Array, jacobian: Array) -> Array:
    """Chain rule: [R, C, B] derivatives by a and b to [R, C, 2, B] by theta."""
    return by_a[:, :, None] * jacobian[:, :, 0, :, None] + by_b[:, :, None] * jacobian[:, :, 1, :, None]


class _Shaped:
    """The part that the two families with shape parameters a and b share."""

    names = ("a", "b")
    low = np.array([-MEAN_EDGE, LOOSEST])
    high = np.array([MEAN_EDGE, TIGHTEST])

    def mean(self, theta: Array) -> Array:
        return expit(theta[..., 0])

    def parameters(self, theta: Array) -> Array:
        return np.stack(shape_parameters(theta)[:2], -1)


def _high(narrowest: float) -> Array:
    """[2] greatest coordinates of components whose rates spread at least this much at mean 1/2."""
    return np.array([MEAN_EDGE, min(TIGHTEST, np.log(0.25 / max(narrowest, 1e-6) ** 2))])


@dataclass(frozen=True)
class BetaBinomial(_Shaped):
    """k of n items right, where a seed's rate is Beta(a, b): C(n, k) B(a + k, b + n - k) / B(a, b).

    Attributes:
        narrowest: least standard deviation of the rates at mean 1/2, so that close seeds are no spikes.
    """

    narrowest: float = 0.0
    name: str = "beta_binomial"

    @property
    def high(self) -> Array:  # type: ignore[override]
        return _high(self.narrowest)

    def log_density(self, theta: Array, points: Points) -> tuple[Array, Array]:
        assert points.n is not None
        a, b, jacobian = shape_parameters(theta)
        k, n = points.x[:, None], points.n[:, None]
        choose = gammaln(n + 1) - gammaln(k + 1) - gammaln(n - k + 1)
        (log_a, by_a), (log_b, by_b), (log_n, by_n) = (
            _rising(a, k),
            _rising(b, n - k),
            _rising(a + b, n if np.ptp(n) else n[:1, :, :1]),
        )
        return choose + log_a + log_b - log_n, _by_coordinates(by_a - by_n, by_b - by_n, jacobian)

    def information(self, theta: Array, points: Points) -> Array:
        assert points.n is not None
        a, b, _ = shape_parameters(theta)
        n = points.n.mean(axis=1, keepdims=True)
        between = (n - 1) / (a + b + 1)  # variance of the rates over that of n draws at one rate
        share = a * b / (a + b) ** 2
        return np.stack([share * n / (1 + between), 0.5 * (between / (1 + between)) ** 2], -1)

    def start(self, mean: Array, variance: Array, items: float) -> Array:
        spread = np.clip(mean * (1 - mean), 1e-6, None)
        return _shape_start(mean, (variance / spread * items - 1) / max(items - 1, 1))

    def draw(self, theta: Array, n: Array | None, rng: np.random.Generator) -> Array:
        a, b, _ = shape_parameters(theta)
        assert n is not None
        return rng.binomial(n.astype(np.int64), rng.beta(a, b)).astype(np.float64)


@dataclass(frozen=True)
class Beta(_Shaped):
    """A score strictly between 0 and 1 with density x^(a-1) (1-x)^(b-1) / B(a, b); 0 and 1 are atoms.

    Attributes:
        narrowest: least standard deviation at mean 1/2, so that ties cannot become spikes.
    """

    narrowest: float = 1e-3
    name: str = "beta"

    @property
    def high(self) -> Array:  # type: ignore[override]
        return _high(self.narrowest)

    def log_density(self, theta: Array, points: Points) -> tuple[Array, Array]:
        a, b, jacobian = shape_parameters(theta)
        inside = ((points.x > 0) & (points.x < 1))[:, None]
        x = np.where(inside, points.x[:, None], 0.5)
        log_x, log_rest = np.log(x), np.log1p(-x)
        a1, b1 = a[..., None], b[..., None]
        log_density = (a1 - 1) * log_x + (b1 - 1) * log_rest - betaln(a1, b1)
        total = psi(a1 + b1)
        slopes = _by_coordinates(log_x - psi(a1) + total, log_rest - psi(b1) + total, jacobian)
        return np.where(inside, log_density, -np.inf), np.where(inside[:, :, None], slopes, 0.0)

    def information(self, theta: Array, points: Points) -> Array:
        a, b, _ = shape_parameters(theta)
        return np.stack([a * b / (a + b) ** 2 * (a + b + 1), np.full(a.shape, 0.5)], -1)

    def start(self, mean: Array, variance: Array, items: float) -> Array:
        return _shape_start(mean, 1 / (np.clip(mean * (1 - mean), 1e-6, None) / np.maximum(variance, 1e-6)))

    def draw(self, theta: Array, n: Array | None, rng: np.random.Generator) -> Array:
        a, b, _ = shape_parameters(theta)
        return np.clip(rng.beta(a, b), 1e-12, 1 - 1e-12)


@dataclass(frozen=True)
class Gaussian:
    """An unbounded score with mean mu and standard deviation sigma.

    Attributes:
        centre: where the means' coordinate has its origin.
        scale: unit of the coordinates.
        narrowest: least sigma, so that ties and close pairs cannot become spikes.
    """

    centre: float = 0.0
    scale: float = 1.0
    narrowest: float = 1e-3
    name: str = "gaussian"
    names = ("mean", "sd")

    @property
    def low(self) -> Array:
        return np.array([-1e3, np.log(self.narrowest / self.scale)])

    @property
    def high(self) -> Array:
        return np.array([1e3, 5.0])

    def log_density(self, theta: Array, points: Points) -> tuple[Array, Array]:
        mu, sd = np.moveaxis(self.parameters(theta)[..., None], -2, 0)
        z = (points.x[:, None] - mu) / sd
        slopes = np.stack([z * (self.scale / sd), z**2 - 1], 2)
        return -0.5 * (z**2 + np.log(2 * np.pi)) - np.log(sd), slopes

    def information(self, theta: Array, points: Points) -> Array:
        sd = self.parameters(theta)[..., 1]
        return np.stack([(self.scale / sd) ** 2, np.full(sd.shape, 2.0)], -1)

    def start(self, mean: Array, variance: Array, items: float) -> Array:
        sd = np.maximum(np.sqrt(variance), 0.05 * self.scale)
        return np.stack([(mean - self.centre) / self.scale, np.log(sd / self.scale)], -1)

    def mean(self, theta: Array) -> Array:
        return self.centre + self.scale * theta[..., 0]

    def parameters(self, theta: Array) -> Array:
        return np.stack([self.mean(theta), self.scale * np.exp(theta[..., 1])], -1)

    def draw(self, theta: Array, n: Array | None, rng: np.random.Generator) -> Array:
        mu, sd = np.moveaxis(self.parameters(theta), -1, 0)
        return rng.normal(mu, sd)


def _rising(start: Array, steps: Array) -> tuple[Any, Any]:
    """log of start (start+1) ... (start+steps-1) and its derivative, at steps [1|R, 1, B] for start [R, C].

    Histograms share their steps: running sums over 0..n are several times cheaper than gamma functions.
    """
    if len(steps) > 1 or steps.max() > HISTOGRAM or steps.shape[-1] == 1:
        top = start[..., None] + steps
        return gammaln(top) - gammaln(start)[..., None], psi(top) - psi(start)[..., None]
    factors = start[..., None] + np.arange(steps.max())
    sums = np.zeros((2, *start.shape, factors.shape[-1] + 1))
    np.cumsum(np.log(factors), axis=-1, out=sums[0, ..., 1:])
    np.cumsum(1 / factors, axis=-1, out=sums[1, ..., 1:])
    log, slope = sums[..., steps[0, 0].astype(np.int64)]
    return log, slope
