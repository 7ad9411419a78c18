"""Which parameters are most likely? Penalised maximum likelihood, cold and warm."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from numpy.typing import NDArray
from scipy.optimize import minimize

from ..minimise import float64, host
from .likelihood import Centres, Design, Shape, cell_log_likelihoods, log_prior, new_centres

Floats = NDArray[np.float64]

ROUNDS = 8  # of search and new centres of the adaptive integral
STEPS = 300  # of one search
SETTLED = 1e-3  # nats: a round that moves less ends the fit
DIFFERENCE = 1e-4
WARM_GRADIENT, COLD_GRADIENT = 3e-3, 1e-3  # of the objective in nats per standard deviation


class Problem(NamedTuple):
    """A law to be fitted to the seeds of some cells.

    Attributes:
        shape: of the law.
        design: of the C cells.
        counts: [C, M, L] of the rows.
        free: [P] parameters that may move; the others stay at the start.
    """

    shape: Shape
    design: Design
    counts: NDArray[np.int64]
    free: NDArray[np.bool_]


class Optimum(NamedTuple):
    """The most likely parameters.

    Attributes:
        theta: [P].
        log_likelihood: in nats, without the priors.
        log_posterior: with them, up to a constant.
        centres: of the integrals over e_cell.
        root: [P, P] a root of the inverse negative Hessian of the log posterior, 0 for fixed parameters.
        evaluations: of the gradient.
    """

    theta: Floats
    log_likelihood: float
    log_posterior: float
    centres: Centres
    root: Floats
    evaluations: int


class Programs(NamedTuple):
    """Compiled functions of (theta, design, counts, seeds, centres)."""

    slope: Callable[..., tuple[Array, Array]]
    centres: Callable[..., Centres]


@functools.cache
def programs(shape: Shape) -> Programs:
    """The programs of laws of one shape; they are compiled once for each size of data."""
    _, options = _host()

    def cost(theta: Array, *data: Any) -> Array:
        return -jnp.sum(cell_log_likelihoods(shape, theta, *data)) - log_prior(shape, theta)

    def centres(theta: Array, *data: Any) -> Centres:
        return new_centres(shape, theta, *data)

    def jitted(function: Callable[..., Any]) -> Callable[..., Any]:
        return jax.jit(function, compiler_options=dict(options))

    return Programs(jitted(jax.value_and_grad(cost)), jitted(centres))


def _host() -> tuple[Any, Any]:
    return host()


def maximise(problem: Problem, seeds: Floats, start: Floats, warm: Optimum | None = None) -> Optimum:
    """The penalised maximum near a start.

    L-BFGS-B in coordinates in which the posterior is round: from the Hessian at the optimum of the law's own
    data (`warm`), or else from the priors and, after the first round, from the Hessian found so far.

    Args:
        problem: the law and the data's shape.
        seeds: [C, M] seeds of each row, or their weights in a resample.
        start: [P].
        warm: an optimum for data of the same distribution.

    Returns:
        Optimum.
    """
    with float64():
        return _Search(problem, seeds).run(start, warm)


def settled(problem: Problem, seeds: Floats, optimum: Optimum) -> Optimum:
    """Restarts a search from its optimum: in a narrow valley the first may have stopped early."""
    again = maximise(problem, seeds, optimum.theta, optimum)
    return again if again.log_posterior > optimum.log_posterior + SETTLED else optimum


class _Search:
    def __init__(self, problem: Problem, seeds: Floats) -> None:
        device, _ = _host()
        self.problem, self.calls = problem, 0
        self.programs = programs(problem.shape)
        self.data = jax.device_put((problem.design, problem.counts, np.asarray(seeds, np.float64)), device)

    def run(self, start: Floats, warm: Optimum | None) -> Optimum:
        theta, before = np.array(start, np.float64), np.inf
        C = len(self.problem.counts)
        centres = warm.centres if warm else Centres(np.zeros(C), np.ones(C))
        root = warm.root if warm else self._prior_root()
        for _ in range(ROUNDS):
            centres = self.programs.centres(theta, *self.data, centres)
            theta, cost = self._descend(theta, centres, root, WARM_GRADIENT if warm else COLD_GRADIENT)
            if abs(before - cost) < SETTLED * (1 if warm is None else 10):
                break
            before = cost
            if warm is None:
                root = self._hessian_root(theta, centres)
        value = -cost - float(log_prior(self.problem.shape, jnp.asarray(theta)))
        centres = Centres(*(np.asarray(part) for part in centres))
        return Optimum(theta, value, -cost, centres, root, self.calls)

    def _descend(
        self, theta: Floats, centres: Centres, root: Floats, tolerance: float
    ) -> tuple[Floats, float]:
        def cost(step: Floats) -> tuple[float, Floats]:
            self.calls += 1
            value, slope = self.programs.slope(theta + root @ step, *self.data, centres)
            return float(value), root.T @ np.asarray(slope)

        options = {"maxiter": STEPS, "gtol": tolerance, "ftol": 1e-12, "maxcor": 20}
        found = minimize(cost, np.zeros(len(theta)), jac=True, method="L-BFGS-B", options=options)
        return theta + root @ found.x, float(found.fun)

    def _prior_root(self) -> Floats:
        _, spread = self.problem.shape.prior
        return np.diag(np.where(self.problem.free, spread / np.sqrt(1 + self.data[2].sum()), 0.0))

    def _hessian_root(self, theta: Floats, centres: Centres) -> Floats:
        """From differences of gradients: the Hessian sets the scale of the search and nothing else."""
        free = np.flatnonzero(self.problem.free)
        slopes = []
        for place in free:
            moved = np.array(theta)
            moved[place] += DIFFERENCE
            slopes.append(np.asarray(self.programs.slope(moved, *self.data, centres)[1])[free])
        bend = (
            np.array(slopes) - np.asarray(self.programs.slope(theta, *self.data, centres)[1])[free]
        ) / DIFFERENCE
        values, vectors = np.linalg.eigh((bend + bend.T) / 2)
        root = np.zeros((len(theta), len(theta)))
        root[np.ix_(free, free)] = vectors / np.sqrt(np.maximum(np.abs(values), 1e-3))
        return root
