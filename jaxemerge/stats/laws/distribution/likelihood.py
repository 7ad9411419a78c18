"""How likely are the scores of all seeds under one law? The likelihood, in JAX, and its weak priors.

Seed s of a cell with standardised log scale z, on a test of length l with n items, k of them right:

    t_s ~ N(0, 1), shared by all lengths;   e_cell ~ N(0, sigma^2), shared by all seeds of a cell
    P(success) = ceiling * F(beta z - tau_l + lambda t_s + e_cell)
    success:  k = n with probability `one`, else BetaBinomial(n, mean, precision)
              mean = theta + (1 - theta) sigmoid(m + alpha z + a ln l), ln precision = p + gamma z
    failure:  k = 0 with probability `zero`, else BetaBinomial(n, mean below theta, precision)

F is the link. tau grows with the length. The integral over t is a Gauss-Hermite sum; that over e_cell an
adaptive one, around the mode of each cell. Every parameter is a real number with a normal prior, wide enough
to matter only where the data say little, as where depth separates failures from successes.

References:
    Liu and Pierce (1994), Biometrika 81, p. 624 (adaptive Gauss-Hermite quadrature).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from numpy.typing import NDArray

Floats = NDArray[np.float64]

SEED_NODES, CELL_NODES = 15, 3
NEWTON, NEAR = 8, 1e-3  # steps to the mode of e_cell / sigma, and the step of its numerical derivatives
PRECISION = (-0.7, 8.5)  # ln precision is kept within: from U-shaped to binomial
NEVER = -1e30  # log probability of what cannot be

LINKS: dict[str, Callable[[Array], Array]] = {
    "logit": jax.nn.sigmoid,
    "cauchit": lambda eta: 0.5 + jnp.arctan(eta) / jnp.pi,
    "cloglog": lambda eta: -jnp.expm1(-jnp.exp(jnp.minimum(eta, 4.0))),
}


class Block(NamedTuple):
    """Parameters of one kind: their number, and mean and standard deviation of their normal prior."""

    size: int
    centre: float
    spread: float


class Shape(NamedTuple):
    """What is fixed before a fit and compiled into its program.

    Attributes:
        weights: columns of scale that move P(success).
        means: columns that move the mean of the successes.
        precisions: columns that move the precision of the successes.
        failures: columns that move the share of zeros among the failures.
        lengths: L.
        trials: [L] items.
        threshold: theta, in [0, 1).
        link: of P(success).
    """

    weights: int
    means: int
    precisions: int
    failures: int
    lengths: int
    trials: tuple[int, ...]
    threshold: float
    link: str

    @property
    def blocks(self) -> dict[str, Block]:
        """The parameters in the order of theta."""
        longer = self.lengths > 1
        return {
            "weights": Block(self.weights, 0.0, 3.0),
            "tau": Block(1, 0.0, 5.0),
            "ln_tau_step": Block(self.lengths - 1, 0.0, 1.5),
            "ln_lambda": Block(1, 0.0, 1.0),
            "ln_sigma": Block(1, -1.2, 0.8),
            "ceiling": Block(1, 6.0, 2.0),
            "mean": Block(1, 0.0, 2.0),
            "means": Block(self.means, 0.0, 1.5),
            "mean_length": Block(int(longer), 0.0, 1.5),
            "ln_precision": Block(1, 2.3, 1.5),
            "precisions": Block(self.precisions, 0.0, 1.0),
            "one": Block(1, -3.0, 2.0),
            "zero": Block(1, 1.0, 2.0),
            "zeros": Block(self.failures, 0.0, 1.5),
            "zero_length": Block(int(longer), 0.0, 1.5),
            "failure_mean": Block(1, 0.0, 1.5),
            "ln_failure_precision": Block(1, 2.3, 1.5),
        }

    @property
    def places(self) -> dict[str, slice]:
        """Where each block is in theta."""
        found, start = {}, 0
        for name, block in self.blocks.items():
            found[name] = slice(start, start + block.size)
            start += block.size
        return found

    @property
    def prior(self) -> tuple[Floats, Floats]:
        """[P] means and [P] standard deviations."""
        blocks = self.blocks.values()
        return tuple(  # type: ignore[return-value]
            np.concatenate([np.full(block.size, block[side]) for block in blocks]) for side in (1, 2)
        )


class Design(NamedTuple):
    """Columns of scale for each part of the law, and of length; all standardised.

    Attributes:
        weights: [C, Kw].
        means: [C, Km].
        precisions: [C, Kp].
        failures: [C, Kf].
        length: [L] ln l, standardised.
    """

    weights: Any
    means: Any
    precisions: Any
    failures: Any
    length: Any


class Centres(NamedTuple):
    """Around which e_cell / sigma is integrated: mode and standard deviation of each cell, [C] each."""

    mode: Any
    spread: Any


class Parts(NamedTuple):
    """The law at given cells.

    Attributes:
        eta: [C, L] logits of success at t = e = 0.
        seeds: lambda.
        cells: sigma.
        ceiling: in (0, 1).
        success: [C, L, n + 1] log probabilities of the counts of a success, n the largest test.
        failure: [C, L, n + 1] the same of a failure.
        mean: [C, L] of the successes' beta-binomial.
        precision: [C].
        zero: [C, L] share of zeros by the atom.
        one: share of ones by the atom.
    """

    eta: Array
    seeds: Array
    cells: Array
    ceiling: Array
    success: Array
    failure: Array
    mean: Array
    precision: Array
    zero: Array
    one: Array


def parts(shape: Shape, theta: Array, design: Design) -> Parts:
    """All that the law says of some cells.

    Args:
        shape: of the law.
        theta: [P] parameters.
        design: of the cells.
    """
    of = {name: theta[place] for name, place in shape.places.items()}
    tau_L = of["tau"][0] + jnp.concatenate([jnp.zeros(1), jnp.cumsum(jnp.exp(of["ln_tau_step"]))])
    longer = design.length if shape.lengths > 1 else 0.0 * design.length

    def along(name: str) -> Array:
        return (jnp.sum(of[name]) * longer)[None]  # nothing where there is one length

    mean = (of["mean"][0] + design.means @ of["means"])[:, None] + along("mean_length")
    mean = shape.threshold + (1 - shape.threshold) * jax.nn.sigmoid(mean)
    precision = jnp.exp(jnp.clip(of["ln_precision"][0] + design.precisions @ of["precisions"], *PRECISION))
    zero = (of["zero"][0] + design.failures @ of["zeros"])[:, None] + along("zero_length")
    low = shape.threshold * jax.nn.sigmoid(of["failure_mean"][0])
    narrow = jnp.exp(jnp.clip(of["ln_failure_precision"][0], *PRECISION))
    n_L1 = np.asarray(shape.trials)[:, None]
    k_n = np.arange(max(shape.trials) + 1)[None]
    success = _beta_binomial(shape, mean, jnp.broadcast_to(precision[:, None], mean.shape))
    everywhere = jnp.ones((1, shape.lengths))
    failure = _beta_binomial(shape, low * everywhere, narrow * everywhere)
    return Parts(
        eta=(design.weights @ of["weights"])[:, None] - tau_L[None],
        seeds=jnp.exp(of["ln_lambda"][0]),
        cells=jnp.exp(of["ln_sigma"][0]),
        ceiling=jax.nn.sigmoid(of["ceiling"][0]),
        success=_with_atom(success, of["one"][0], k_n == n_L1),
        failure=_with_atom(failure, zero[..., None], k_n == np.zeros_like(n_L1)),
        mean=mean,
        precision=precision,
        zero=jax.nn.sigmoid(zero),
        one=jax.nn.sigmoid(of["one"][0]),
    )


def _beta_binomial(shape: Shape, mean: Array, precision: Array) -> Array:
    """[C, L, n + 1] log probabilities of k = 0..n right of each test's items; `NEVER` beyond its n.

    Rising factorials as sums of logarithms: much cheaper than log-gamma functions, and exact.
    """
    size = max(shape.trials)
    j_11n = np.arange(size)[None, None]
    a, b = (mean * precision)[..., None], ((1 - mean) * precision)[..., None]

    def rising(start: Array) -> Array:
        return jnp.pad(jnp.cumsum(jnp.log(start + j_11n), axis=-1), [(0, 0), (0, 0), (1, 0)])

    k, n = np.arange(size + 1), np.asarray(shape.trials)
    left = np.maximum(n[:, None] - k, 0)
    log_factorial = np.concatenate([[0.0], np.cumsum(np.log(np.arange(1, size + 1)))])
    choose = log_factorial[n][:, None] - log_factorial[k] - log_factorial[left]
    rows = mean.shape[0]
    wrong = jnp.take_along_axis(rising(b), np.broadcast_to(left, (rows, *left.shape)), axis=-1)
    total = jnp.take_along_axis(rising(a + b), np.broadcast_to(n[:, None], (rows, len(n), 1)), axis=-1)
    return jnp.where((k <= n[:, None])[None], choose[None] + rising(a) + wrong - total, NEVER)


def _with_atom(log_p: Array, logit: Array, there: NDArray[np.bool_]) -> Array:
    """The log probabilities with an atom of this logit where `there`."""
    rest = jax.nn.log_sigmoid(-logit) + log_p
    atom = jnp.broadcast_to(jax.nn.log_sigmoid(logit), rest.shape)
    return jnp.where(there[None], jnp.logaddexp(rest, atom), rest)


def rule(nodes: int) -> tuple[Floats, Floats]:
    """Nodes and weights of E[f(x)], x ~ N(0, 1)."""
    x, w = np.polynomial.hermite_e.hermegauss(nodes)
    return x, w / w.sum()


def seed_log_likelihoods(shape: Shape, found: Parts, counts: Array, shift: Array, spread: Array) -> Array:
    """[C, M, Q] log probabilities of the rows of counts, integrated over t.

    Args:
        shape: of the law.
        found: the law at the cells.
        counts: [C, M, L].
        shift: [C, Q] added to the logits: values of e_cell.
        spread: standard deviation of what is integrated over: lambda.
    """
    t, w = rule(SEED_NODES)
    link = LINKS[shape.link]
    logits = found.eta[:, :, None, None] + shift[:, None, :, None] + (spread * t)[None, None, None]
    success_CLQT = found.ceiling * link(logits)
    product: Any = 1.0
    level = jnp.zeros(counts.shape[:2])
    for test in range(shape.lengths):
        high = jnp.take_along_axis(found.success[:, test], counts[:, :, test], axis=1)
        low = jnp.take_along_axis(found.failure[:, test], counts[:, :, test], axis=1)
        top = jax.lax.stop_gradient(jnp.maximum(high, low))
        a, b = jnp.exp(high - top), jnp.exp(low - top)
        product = product * (b[..., None, None] + (a - b)[..., None, None] * success_CLQT[:, None, test])
        level = level + top
    return jnp.log(jnp.maximum(product @ w, 1e-300)) + level[..., None]


def cell_log_likelihoods(
    shape: Shape, theta: Array, design: Design, counts: Array, seeds: Array, centres: Centres
) -> Array:
    """[C] log-likelihoods of the seeds of each cell, integrated over t and e_cell."""
    x, w = rule(CELL_NODES)
    found = parts(shape, theta, design)
    z_CQ = centres.mode[:, None] + centres.spread[:, None] * x[None]
    given_CMQ = seed_log_likelihoods(shape, found, counts, found.cells * z_CQ, found.seeds)
    joint = jnp.sum(seeds[..., None] * given_CMQ, axis=1) - z_CQ**2 / 2 + (x**2 / 2)[None]
    return jax.nn.logsumexp(joint + np.log(w)[None], axis=1) + jnp.log(centres.spread)


def log_prior(shape: Shape, theta: Array) -> Array:
    """Log density of the normal priors, without its constant."""
    centre, spread = shape.prior
    return -0.5 * jnp.sum(((theta - centre) / spread) ** 2)


def new_centres(
    shape: Shape, theta: Array, design: Design, counts: Array, seeds: Array, start: Centres
) -> Centres:
    """The mode of e_cell / sigma of every cell at theta, by damped Newton steps from `start`.

    Slope and curvature come from three values close together: the cells do not depend on each other.
    """
    found = parts(shape, theta, design)
    near = NEAR * np.array([[-1.0, 0.0, 1.0]])

    def bent(z: Array) -> tuple[Array, Array]:
        z_CQ = z[:, None] + near
        given = seed_log_likelihoods(shape, found, counts, found.cells * z_CQ, found.seeds)
        below, at, above = (jnp.sum(seeds[..., None] * given, axis=1) - z_CQ**2 / 2).T
        return (above - below) / (2 * NEAR), jnp.maximum((2 * at - above - below) / NEAR**2, 0.5)

    def step(_: Any, z: Array) -> Array:
        slope, bend = bent(z)
        return z + jnp.clip(slope / bend, -1.0, 1.0)

    mode = jax.lax.fori_loop(0, NEWTON, step, start.mode)
    return Centres(mode, 1 / jnp.sqrt(bent(mode)[1]))
