"""Fits of laws by penalised residuals, from thousands of starts and on thousands of resamples at once.

The objective is a weighted sum over runs of a convex penalty of the residual. The descent is Levenberg-
Marquardt on a quadratic majoriser of the penalty (iteratively reweighted least squares), which approaches an
optimum from almost any start. The best few runs finish with exact second derivatives, which the last digits
need: most residuals lie beyond the bend of Huber's penalty, where the majoriser is too steep. All of it is
one compiled program in float64 on the host.
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
    n, P = len(target), starts.shape[1]
    R = len(weights if weights is not None else targets if targets is not None else ())
    weights_Rn = np.ones((R, n)) if weights is None else weights
    targets_Rn = np.broadcast_to(target, (R, n)) if targets is None else targets
    side = -n % PAD
    arguments = (
        np.pad(inputs, ((0, side), (0, 0)), mode="edge"),
        np.pad(target, (0, side), mode="edge"),
        np.pad(np.ones(n), (0, side)),
        _filled(starts, 0, np.nan),
        _filled(weights_Rn, side, 0.0),
        _filled(targets_Rn, side, 0.0),
        np.ones(P) if free is None else np.asarray(free, np.float64),
        np.array([penalty.delta, penalty.quantile]),
    )
    with float64():
        device, options = host()
        program = _program(law, tuple(options.items()))
        found = [np.asarray(a) for a in program(*jax.device_put(arguments, device))]
    theta, objective, flat, replicates, objectives, ends = found
    known = np.isfinite(objectives[:R])
    return Minimum(
        theta=theta,
        objective=float(objective),
        converged=bool(flat),
        replicates=np.where(known[:, None], replicates[:R], np.nan),
        objectives=objectives[:R],
        ends=ends[: len(starts)],
    )


def _filled(rows: Floats, side: int, value: float) -> Floats:
    """Padded to one of few sizes, so that few programs are compiled; a padded row costs one evaluation."""
    size = 0 if len(rows) == 0 else ROWS * 2 ** max(int(np.ceil(np.log2(len(rows) / ROWS))), 0)
    return np.pad(rows, ((0, size - len(rows)), (0, side)), constant_values=value)


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
def _program(law: Law, options: tuple[tuple[str, str], ...]) -> Callable[..., tuple[Array, ...]]:
    return jax.jit(functools.partial(_search, law), compiler_options=dict(options))


def _search(
    law: Law,
    inputs: Array,
    target: Array,
    weight: Array,
    starts: Array,
    weights: Array,
    targets: Array,
    free: Array,
    bend: Array,
) -> tuple[Array, ...]:
    """The whole search; see `minimise`."""
    all_runs = _Problem(law, inputs, target, weight, free, bend)

    def first(theta: Array) -> tuple[Array, Array]:
        return all_runs.descend(theta, FIRST, exact=False)

    def further(theta: Array) -> tuple[Array, Array]:
        return all_runs.descend(theta, DESCENT, exact=False)

    def last(theta: Array) -> tuple[Array, Array]:
        return all_runs.descend(theta, POLISH, exact=True)

    def again(runs: tuple[Array, Array]) -> tuple[Array, Array]:
        resample = _Problem(law, inputs, runs[1], runs[0], free, bend)
        near, _ = resample.descend(theta, DESCENT, exact=False)
        return resample.descend(near, POLISH, exact=True)

    thetas, ends = jax.lax.map(first, starts, batch_size=ROWS)
    thetas, costs = jax.lax.map(further, thetas[_lowest(ends, KEPT)], batch_size=ROWS)
    thetas, costs = jax.vmap(last)(thetas[_lowest(costs, POLISHED)])
    best = _lowest(costs, 1)[0]
    theta = thetas[best]
    if len(weights):
        replicates, objectives = jax.lax.map(again, (weights, targets), batch_size=ROWS)
    else:
        replicates, objectives = jnp.zeros((0, len(theta))), jnp.zeros(0)
    return theta, costs[best], all_runs.flat(theta), replicates, objectives, ends


def _lowest(costs: Array, most: int) -> Array:
    """Indices of the lowest, NaN last."""
    return jnp.argsort(costs)[:most]


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

    def expand(self, theta: Array, *, exact: bool) -> tuple[Array, Array, Array]:
        """Gradient [P], curvature [P, P] and the diagonal of the safe curvature [P] of the objective."""
        r, delta = self.residuals(theta), self.bend[0]
        size, sided = jnp.abs(r), self.sided(r)
        slopes_nP = jax.vmap(jax.grad(self.law), (None, 0))(theta, self.inputs)
        pulls = sided * jnp.clip(r, -delta, delta)
        touching = sided * jnp.where(size <= delta, 1.0, delta / size)
        safe = jnp.einsum("n,np,nq->pq", touching, slopes_nP, slopes_nP)
        if not exact:
            return -(pulls @ slopes_nP), safe, jnp.diagonal(safe)
        bends_nPP = jax.vmap(jax.hessian(self.law), (None, 0))(theta, self.inputs)
        near = jnp.where(size <= delta, sided, 0.0)
        curvature = jnp.einsum("n,np,nq->pq", near, slopes_nP, slopes_nP)
        curvature -= jnp.einsum("n,npq->pq", pulls, bends_nPP)
        return -(pulls @ slopes_nP), curvature, jnp.diagonal(safe)

    def descend(self, theta: Array, steps: int, *, exact: bool) -> tuple[Array, Array]:
        """Parameters and objective after at most so many steps; NaN goes nowhere."""

        def step(state: _State) -> _State:
            count, here, cost, damping, _ = state
            gradient, curvature, diagonal = self.expand(here, exact=exact)
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
        gradient, _, diagonal = self.expand(theta, exact=False)
        cost = self.objective(theta)
        exact = cost <= 1e-24 * jnp.sum(self.weights)
        steep = jnp.abs(gradient * self.free) > FLAT * jnp.sqrt(2 * cost * diagonal)
        return jnp.isfinite(cost) & (exact | ~jnp.any(steep))
