"""Fits of laws by penalised residuals, from thousands of starts and on thousands of resamples at once.

The objective is a weighted sum over runs of a convex penalty of the residual. The descent is Levenberg-
Marquardt on a quadratic majoriser of the penalty (iteratively reweighted least squares), which approaches an
optimum from almost any start. The best few runs finish with exact second derivatives, which the last digits
need: most residuals lie beyond the bend of Huber's penalty, where the majoriser is too steep. All of it is
one compiled program in float64 on the host, whatever the numbers of starts and resamples.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Law = Callable[[Array, Array], Array]
_State = tuple[Array, Array, Array, Array, Array]

ROWS = 32  # problems solved side by side: their intermediate arrays stay in the cache of a core
PAD = 32  # runs are filled up to a multiple of this with runs of no weight, so that few programs are compiled
# Steps from all starts, from the best of these, and of the final polish.
FIRST, DESCENT, POLISH = 30, 150, 60
KEPT, POLISHED = 64, 8
TOLERANCE = 1e-14  # change of the objective, relative, that counts as none
FLAT = 1e-6  # cosine between the residuals and each parameter's slopes that counts as a minimum

# See jaxemerge.devices: fused reductions of jaxlib 0.10.2 on the host are wrong without this.
_CPU_GUARD = {"xla_cpu_experimental_ynn_fusion_type": ""}


@dataclass(frozen=True)
class Penalty:
    """The penalty of a residual r = observed - predicted.

    Huber's penalty, r^2 / 2 up to `delta` and delta (|r| - delta / 2) beyond, times 2 `quantile` above the
    law and 2 (1 - `quantile`) below it.

    Attributes:
        delta: bend of the penalty, positive; inf for plain least squares.
        quantile: in (0, 1); 0.5 is symmetric.

    Raises:
        ValueError: if an attribute is out of its range.

    References:
        Huber (1964), Ann. Math. Stat. 35, p. 73; Newey and Powell (1987), Econometrica 55, p. 819 (two
        sides).
    """

    delta: float = 1e-3
    quantile: float = 0.5

    def __post_init__(self) -> None:
        if not self.delta > 0:
            raise ValueError(f"huber_delta={self.delta} must be positive; inf is plain least squares")
        if not 0 < self.quantile < 1:
            raise ValueError(f"quantile={self.quantile} must lie in (0, 1)")

    def __call__(self, residuals: Floats) -> Floats:
        """Cost of each residual, of the same shape."""
        size = np.abs(residuals)
        cost = np.where(
            size <= self.delta, residuals**2 / 2, min(self.delta, 1e300) * (size - self.delta / 2)
        )
        return cost * np.where(residuals > 0, 2 * self.quantile, 2 * (1 - self.quantile))


@dataclass(frozen=True)
class Minimum:
    """The best parameters for the runs and for each resample of them.

    Attributes:
        theta: [P] parameters.
        objective: sum of the penalties there.
        converged: whether the gradient vanishes there.
        replicates: [R, P] the same for each resample; NaN where nothing finite was found.
        objectives: [R] the objectives there.
        ends: [M] objectives at which the first descent from each start ended.
    """

    theta: Floats
    objective: float
    converged: bool
    replicates: Floats
    objectives: Floats
    ends: Floats


def minimise(
    law: Law,
    inputs: Floats,
    target: Floats,
    starts: Floats,
    *,
    penalty: Penalty,
    weights: Floats | None = None,
    targets: Floats | None = None,
    free: Sequence[bool] | None = None,
) -> Minimum:
    """Finds the parameters of the least penalty, from every start and then on every resample.

    Args:
        law: a module-level function of parameters [P] and the inputs of one run [K] to a prediction; JAX must
            be able to differentiate it twice.
        inputs: [n, K] of the runs.
        target: [n] what the law predicts.
        starts: [M, P].
        penalty: of a residual.
        weights: [R, n] of the runs in each resample, whose search starts at the optimum of all runs.
        targets: [R, n] of the runs in each resample, where they differ from `target`.
        free: for each of the P parameters, whether it may move away from its start.

    Returns:
        Minimum.
    """
    n, R = len(target), len(weights if weights is not None else targets if targets is not None else ())
    held = np.ones(starts.shape[1]) if free is None else np.asarray(free, np.float64)
    search = _Search(law, inputs, held, penalty)
    ones = np.ones(n)
    thetas, ends, _ = search(starts, ones, target, FIRST)
    thetas, costs, _ = search(thetas[np.argsort(ends)[:KEPT]], ones, target, DESCENT)
    thetas, costs, flat = search(thetas[np.argsort(costs)[:POLISHED]], ones, target, POLISH, exact=True)
    best = int(np.argsort(costs)[0])
    weights_Rn = np.ones((R, n)) if weights is None else weights
    targets_Rn = np.broadcast_to(target, (R, n)) if targets is None else targets
    near, _, _ = search(np.tile(thetas[best], (R, 1)), weights_Rn, targets_Rn, DESCENT)
    replicates, objectives, _ = search(near, weights_Rn, targets_Rn, POLISH, exact=True)
    return Minimum(
        theta=thetas[best],
        objective=float(costs[best]),
        converged=bool(flat[best]),
        replicates=np.where(np.isfinite(objectives)[:, None], replicates, np.nan),
        objectives=objectives,
        ends=ends,
    )


class _Search:
    """Descents of one law on the same inputs, by one program for any number of starts and resamples."""

    def __init__(self, law: Law, inputs: Floats, free: Floats, penalty: Penalty) -> None:
        self.runs = len(inputs)
        self.side = -self.runs % PAD
        with float64():
            self.device, options = host()
            self.program = _program(law, tuple(options.items()))
            self.inputs, self.free, self.bend = jax.device_put(
                (
                    np.pad(inputs, ((0, self.side), (0, 0)), mode="edge"),
                    free,
                    np.array([penalty.delta, penalty.quantile]),
                ),
                self.device,
            )

    def __call__(
        self, thetas: Floats, weights: Floats, targets: Floats, steps: int, *, exact: bool = False
    ) -> tuple[Floats, Floats, NDArray[np.bool_]]:
        """Where descents end, [M, P], the objectives there, [M], and whether they are flat, [M].

        Args:
            thetas: [M, P] starts.
            weights: [n] or [M, n] of the runs.
            targets: [n] or [M, n] of the runs.
            steps: at most so many.
            exact: with second derivatives of the law.
        """
        M = len(thetas)
        rows = -M % ROWS  # of no value: their search is over at once
        shape = (M, self.runs)
        thetas = np.pad(thetas, ((0, rows), (0, 0)), constant_values=np.nan)
        weights, targets = (
            np.pad(np.broadcast_to(each, shape), ((0, rows), (0, self.side))) for each in (weights, targets)
        )
        with float64():
            found = [
                self.program(
                    self.inputs,
                    self.free,
                    self.bend,
                    np.int64(steps),
                    np.bool_(exact),
                    *jax.device_put([each[i : i + ROWS] for each in (thetas, weights, targets)], self.device),
                )
                for i in range(0, M, ROWS)
            ]
            parts = [[np.asarray(each) for each in part] for part in found]
        if not parts:
            return thetas, np.zeros(0), np.zeros(0, bool)
        ends, costs, flat = (np.concatenate(each)[:M] for each in zip(*parts, strict=True))
        return ends, costs, flat


def float64() -> AbstractContextManager[Any]:
    """Double precision within the context only."""
    if hasattr(jax, "enable_x64"):
        return jax.enable_x64(True)
    return jax.experimental.enable_x64(True)  # type: ignore[attr-defined]


@functools.cache
def host() -> tuple[Any, Mapping[str, str]]:
    """The host's first device, and the options its programs are compiled with.

    If JAX does not see the host, its default device.
    """
    try:
        device = jax.local_devices(backend="cpu")[0]
    except RuntimeError:
        return jax.local_devices()[0], {}
    try:
        probe = jax.device_put(np.float32(0), device)
        jax.jit(lambda x: x + 1, compiler_options=dict(_CPU_GUARD))(probe)
    except jax.errors.JaxRuntimeError:  # a jaxlib that does not know the option
        return device, {}
    return device, _CPU_GUARD


@functools.cache
def _program(law: Law, options: tuple[tuple[str, str], ...]) -> Callable[..., tuple[Array, Array, Array]]:
    """`ROWS` descents side by side; the number of steps and the derivatives to use are arguments."""

    def descend(
        inputs: Array,
        free: Array,
        bend: Array,
        steps: Array,
        exact: Array,
        theta: Array,
        weights: Array,
        target: Array,
    ) -> tuple[Array, Array, Array]:
        problem = _Problem(law, inputs, target, weights, free, bend)
        theta, cost = problem.descend(theta, steps, exact)
        return theta, cost, problem.flat(theta)

    side_by_side = jax.vmap(descend, (None, None, None, None, None, 0, 0, 0))
    return jax.jit(side_by_side, compiler_options=dict(options))


@dataclass(frozen=True)
class _Problem:
    """One weighting of the runs."""

    law: Law
    inputs: Array
    target: Array
    weights: Array
    free: Array
    bend: Array

    def residuals(self, theta: Array) -> Array:
        return self.target - jax.vmap(self.law, (None, 0))(theta, self.inputs)

    def sided(self, residuals: Array) -> Array:
        """Weights of the runs, with the weight of the side of the law they are on."""
        return self.weights * jnp.where(residuals > 0, 2 * self.bend[1], 2 * (1 - self.bend[1]))

    def objective(self, theta: Array) -> Array:
        r = self.residuals(theta)
        size, delta = jnp.abs(r), self.bend[0]
        inner = jnp.minimum(size, delta)
        # An infinite delta multiplies nothing, and a weight of 0 hides whatever the law says.
        beyond = jnp.where(size <= delta, 0.0, delta) * (size - inner)
        return jnp.sum(jnp.where(self.weights == 0, 0.0, self.sided(r) * (inner**2 / 2 + beyond)))

    def expand(self, theta: Array) -> tuple[Array, Array]:
        """Gradient [P] and safe curvature [P, P] of the objective."""
        r, delta = self.residuals(theta), self.bend[0]
        size, sided = jnp.abs(r), self.sided(r)
        slopes_nP = jax.vmap(jax.grad(self.law), (None, 0))(theta, self.inputs)
        pulls = sided * jnp.clip(r, -delta, delta)
        touching = sided * jnp.where(size <= delta, 1.0, delta / size)
        safe = jnp.einsum("n,np,nq->pq", touching, slopes_nP, slopes_nP)
        return -(pulls @ slopes_nP), safe

    def curvature(self, theta: Array) -> Array:
        """Second derivatives [P, P] of the objective."""
        r, delta = self.residuals(theta), self.bend[0]
        slopes_nP = jax.vmap(jax.grad(self.law), (None, 0))(theta, self.inputs)
        bends_nPP = jax.vmap(jax.hessian(self.law), (None, 0))(theta, self.inputs)
        near = jnp.where(jnp.abs(r) <= delta, self.sided(r), 0.0)
        pulls = self.sided(r) * jnp.clip(r, -delta, delta)
        first = jnp.einsum("n,np,nq->pq", near, slopes_nP, slopes_nP)
        return first - jnp.einsum("n,npq->pq", pulls, bends_nPP)

    def descend(self, theta: Array, steps: Array, exact: Array) -> tuple[Array, Array]:
        """Parameters and objective after at most so many steps; NaN goes nowhere."""

        def step(state: _State) -> _State:
            count, here, cost, damping, _ = state
            gradient, safe = self.expand(here)
            curvature = jax.lax.cond(exact, self.curvature, lambda _: safe, here)
            diagonal = jnp.diagonal(safe)
            # A parameter that is held has a row of its own: its step is 0.
            ridge = damping * (diagonal + 1e-12 * jnp.max(diagonal) + 1e-300) + (1 - self.free)
            held = curvature * (self.free[:, None] * self.free[None, :])
            move = -jnp.linalg.solve(held + jnp.diag(ridge), gradient * self.free)
            value = self.objective(here + move)
            better = (value < cost) & (move @ gradient < 0)
            done = (better & (cost - value <= TOLERANCE * cost)) | (damping > 1e8)
            return (
                count + 1,
                jnp.where(better, here + move, here),
                jnp.where(better, value, cost),
                jnp.clip(jnp.where(better, damping / 5, damping * 4), 1e-10, 1e12),
                done,
            )

        def going(state: _State) -> Array:
            return (state[0] < steps) & ~state[4]

        cost = self.objective(theta)
        start = (jnp.array(0), theta, cost, jnp.array(1e-2), ~(cost > 0) | jnp.isinf(cost))
        _, theta, cost, _, _ = jax.lax.while_loop(going, step, start)
        return theta, cost

    def flat(self, theta: Array) -> Array:
        """Whether the gradient vanishes, measured against the slopes and the cost."""
        gradient, safe = self.expand(theta)
        cost = self.objective(theta)
        exact = cost <= 1e-24 * jnp.sum(self.weights)
        steep = jnp.abs(gradient * self.free) > FLAT * jnp.sqrt(2 * cost * jnp.diagonal(safe))
        return jnp.isfinite(cost) & (exact | ~jnp.any(steep))
