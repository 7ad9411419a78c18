"""Maximum-likelihood mixtures, vectorised over data sets, and the starts of the search."""

from __future__ import annotations

from dataclasses import dataclass, fields
from itertools import combinations

import numpy as np
from numpy.typing import NDArray
from scipy.special import log_softmax

from .component_families import Family
from .observations import Array, Points


@dataclass(frozen=True)
class Fits:
    """Mixtures of A atoms and C components on R data sets.

    Attributes:
        logits: [R, A + C] log weights up to a constant, atoms first; -inf leaves a part out.
        theta: [R, C, 2] coordinates of the components.
        log_likelihood: [R] in nats.
        converged: [R] whether the last step gained less than the tolerance.
    """

    logits: Array
    theta: Array
    log_likelihood: Array
    converged: NDArray[np.bool_]

    @property
    def weights(self) -> Array:
        """[R, A + C] weights, atoms first; they add up to 1."""
        return np.exp(log_softmax(self.logits, axis=-1))

    def rows(self, index: NDArray[np.int64]) -> Fits:
        """The fits `index`."""
        return Fits(self.logits[index], self.theta[index], self.log_likelihood[index], self.converged[index])


@dataclass(frozen=True)
class Expansion:
    """The log likelihood at one theta, with its derivatives.

    Attributes:
        log_likelihood: [R] nats.
        gradient: [R, P].
        information: [R, P, P] sum of the outer products of the seeds' scores.
        expected: [R, P] roughly the diagonal of the Fisher information, given the responsibilities.
    """

    log_likelihood: Array
    gradient: Array
    information: Array
    expected: Array

    def rows(self, index: NDArray[np.int64]) -> Expansion:
        """The data sets `index`."""
        return Expansion(*(getattr(self, field.name)[index] for field in fields(self)))


def maximise(
    family: Family,
    points: Points,
    atoms: tuple[float, ...],
    logits: Array,
    theta: Array,
    *,
    steps: int = 100,
    tolerance: float = 1e-5,
) -> Fits:
    """Maximises the likelihood from R starts on R data sets (or one that all share).

    The information is the sum of the outer products of the seeds' scores, so that only first derivatives are
    needed. It is damped as by Levenberg and Marquardt, and a step that lowers the likelihood is undone. For a
    component of equal scores the outer products vanish at its mean, however narrow it is; damping therefore
    scales with the expected information where that is larger. Rows stop independently, and only rows that
    still move cost time.

    Args:
        family: shape of the components.
        points: the data.
        atoms: scores that carry a point mass, A of them.
        logits: [R, A + C] start.
        theta: [R, C, 2] start.
        steps: at most.
        tolerance: nats; a row stops when a step is expected to gain less than this.

    References:
        Berndt, Hall, Hall and Hausman (1974), Ann. Econ. Soc. Meas. 3, p. 653 (the information);
        Marquardt (1963), J. SIAM 11, p. 431 (the damping).
    """
    state = np.concatenate([logits, theta.reshape(len(theta), -1)], axis=1)
    shape = (logits.shape[1], theta.shape[1])
    low = np.concatenate([np.full(shape[0], -np.inf), np.tile(family.low, shape[1])])
    high = np.concatenate([np.full(shape[0], np.inf), np.tile(family.high, shape[1])])
    state = np.clip(state, low, high)
    final = np.empty(len(state))
    converged = np.zeros(len(state), bool)

    active = np.arange(len(state))
    data, place = points, state
    here = expand(family, data, atoms, place, shape)
    damping = np.full(len(state), 1e-2)
    for _ in range(steps):
        free = ~((place >= high) & (here.gradient > 0) | (place <= low) & (here.gradient < 0))
        move = _step(here, damping, free)
        proposal = np.clip(place + move, low, high)
        there = expand(family, data, atoms, proposal, shape)
        gain = there.log_likelihood - here.log_likelihood
        better = gain > 0
        place = np.where(better[:, None], proposal, place)
        here = _where(better, there, here)
        promise = np.einsum("rp,rp->r", here.gradient, move)
        done = (better & (gain < tolerance) & (damping <= 1)) | (
            ~better & ((damping > 1e4) | (np.abs(promise) < tolerance))
        )
        damping = np.clip(np.where(better, damping / 5, damping * 6), 1e-6, 1e6)
        if not done.any():
            continue
        state[active], final[active] = place, here.log_likelihood
        converged[active[done]] = True
        keep = np.flatnonzero(~done)
        if len(keep) == 0:
            active = active[keep]
            break
        active, place, damping, data = active[keep], place[keep], damping[keep], data.rows(keep)
        here = here.rows(keep)
    if len(active):
        state[active], final[active] = place, here.log_likelihood
    return Fits(state[:, : shape[0]], state[:, shape[0] :].reshape(theta.shape), final, converged)


def log_parts(
    family: Family, points: Points, atoms: tuple[float, ...], logits: Array, theta: Array
) -> tuple[Array, Array]:
    """[R, A + C, B] log of weight times density of every part, and [R, C, 2, B] its derivatives by theta."""
    log_density, slopes = family.log_density(theta, points)
    with np.errstate(divide="ignore"):
        hits = [np.log((points.scores == atom).astype(np.float64)) for atom in atoms]
    shape = (len(log_density), 1, log_density.shape[-1])
    parts = [np.broadcast_to(hit[:, None], shape) for hit in hits]
    return np.concatenate([*parts, log_density], axis=1) + log_softmax(logits, axis=-1)[..., None], slopes


def expand(
    family: Family, points: Points, atoms: tuple[float, ...], state: Array, shape: tuple[int, int]
) -> Expansion:
    """The log likelihood of R states [R, P], with its first derivatives and outer-product information."""
    logits, theta = state[:, : shape[0]], state[:, shape[0] :].reshape(len(state), shape[1], 2)
    joint, slopes = log_parts(family, points, atoms, logits, theta)
    top = joint.max(axis=1, keepdims=True)
    responsibilities = np.exp(joint - top)
    total = responsibilities.sum(axis=1, keepdims=True)
    responsibilities /= total
    log_density_RB = (top + np.log(total))[:, 0]

    weights = np.exp(log_softmax(logits, axis=-1))
    scores_RPB = np.empty((*state.shape, joint.shape[-1]))
    scores_RPB[:, : shape[0]] = responsibilities - weights[..., None]
    by_theta = scores_RPB[:, shape[0] :].reshape(*slopes.shape)
    np.multiply(slopes, responsibilities[:, -shape[1] :, None], out=by_theta)
    weighted_RPB = scores_RPB * points.counts[:, None]
    return Expansion(
        (log_density_RB * points.counts).sum(axis=-1),
        weighted_RPB.sum(axis=-1),
        weighted_RPB @ scores_RPB.transpose(0, 2, 1),
        _expected(family, points, weights, responsibilities, theta),
    )


def _expected(family: Family, points: Points, weights: Array, responsibilities: Array, theta: Array) -> Array:
    """[R, P] see `Expansion`."""
    members = (responsibilities[:, -theta.shape[1] :] * points.counts[:, None]).sum(axis=-1)
    by_theta = family.information(theta, points) * members[..., None]
    by_logit = weights * (1 - weights) * points.counts.sum(axis=-1, keepdims=True)
    return np.concatenate([by_logit, by_theta.reshape(len(theta), -1)], axis=1)


def _step(here: Expansion, damping: Array, free: NDArray[np.bool_]) -> Array:
    """A damped step in the coordinates that no bound holds; the others must not bend it."""
    gradient = here.gradient * free
    information = here.information * free[:, None] * free[:, :, None]
    diagonal = np.einsum("rpp->rp", information)
    ridge = (damping[:, None] + 1e-6) * np.maximum(diagonal, here.expected) + 1e-9
    system = information + ridge[..., None] * np.eye(diagonal.shape[1])
    step = np.linalg.solve(system, gradient[..., None])[..., 0]
    return np.clip(step, -3.0, 3.0)


def _where(better: NDArray[np.bool_], there: Expansion, here: Expansion) -> Expansion:
    pairs = ((getattr(there, field.name), getattr(here, field.name)) for field in fields(here))
    return Expansion(*(np.where(better.reshape(-1, *[1] * (new.ndim - 1)), new, old) for new, old in pairs))


THOROUGH = (0.08, 0.3, 0.5, 0.7, 0.92)
QUICK = (0.1, 0.5, 0.9)
# Steps of a start: few on the many resamples, more on the data themselves.
TRIAL, FULL = 8, 40
BLOCK = 100
FIELDS = ("logits", "theta", "log_likelihood", "converged")


def fit_best(
    family: Family,
    points: Points,
    atoms: tuple[float, ...],
    components: int,
    cuts: tuple[float, ...],
    *,
    allowed: tuple[bool, ...] | None = None,
    trial: int = TRIAL,
    tolerance: float = 1e-5,
) -> Fits:
    """The most likely of the fits from every choice of `components` - 1 cuts, on each of R data sets.

    Args:
        family: shape of the components.
        points: R data sets.
        atoms: scores that carry a point mass.
        components: C >= 1.
        cuts: quantiles at which a sample may be cut.
        allowed: [A] atoms that may have weight; all by default.
        trial: steps of every start before the best of them continues alone.
        tolerance: nats within which the search stops.
    """
    rows = max(len(points.counts), len(points.x))
    found = [
        cut_sample(family, points, atoms, edges, share) for edges, share in _choices(components, cuts, atoms)
    ]
    shared = (rows, len(atoms) + components)
    logits = np.stack([np.broadcast_to(start, shared) for start, _ in found], 1).reshape(-1, shared[1])
    theta = np.stack([theta for _, theta in found], 1).reshape(rows * len(found), components, 2)
    if allowed is not None:
        logits[:, : len(atoms)][:, ~np.array(allowed, bool)] = -np.inf
    if len(found) == 1:
        return maximise_in_blocks(family, points, atoms, logits, theta, tolerance=tolerance)
    repeated = points.rows(np.repeat(np.arange(rows), len(found)))
    tried = maximise_in_blocks(family, repeated, atoms, logits, theta, steps=trial)
    best = tried.rows(np.arange(rows) * len(found) + tried.log_likelihood.reshape(rows, -1).argmax(axis=1))
    return maximise_in_blocks(family, points, atoms, best.logits, best.theta, tolerance=tolerance)


def maximise_in_blocks(
    family: Family,
    points: Points,
    atoms: tuple[float, ...],
    logits: Array,
    theta: Array,
    *,
    steps: int = 100,
    tolerance: float = 1e-5,
) -> Fits:
    """`maximise` in blocks of data sets that stay in the processor's cache."""
    blocks = [np.arange(i, min(i + BLOCK, len(theta))) for i in range(0, len(theta), BLOCK)]
    fits = [
        maximise(
            family, points.rows(rows), atoms, logits[rows], theta[rows], steps=steps, tolerance=tolerance
        )
        for rows in blocks
    ]
    return Fits(*(np.concatenate([getattr(fit, name) for fit in fits]) for name in FIELDS))


def cut_sample(
    family: Family, points: Points, atoms: tuple[float, ...], edges: tuple[float, ...], share: float
) -> tuple[Array, Array]:
    """Logits [R, A + C] and coordinates [R, C, 2] from the moments of samples cut at the quantiles `edges`.

    Args:
        family: shape of the components.
        points: R data sets.
        atoms: scores that carry a point mass.
        edges: [C + 1] increasing, from 0 to 1.
        share: of the seeds exactly at an atom that go to the atom.
    """
    counts = points.counts.copy()
    at_atoms = [np.where(points.scores == atom, points.counts, 0.0) for atom in atoms]
    for at in at_atoms:
        counts = counts - share * at
    total = np.maximum(counts.sum(axis=-1, keepdims=True), 1e-9)
    upto = np.cumsum(counts, axis=-1) / total
    ends = np.array(edges)[:, None]
    pieces = np.minimum(upto[:, None], ends[1:]) - np.maximum((upto - counts / total)[:, None], ends[:-1])
    pieces = np.maximum(pieces, 0.0)
    mass = np.maximum(pieces.sum(axis=-1), 1e-9)
    scores = points.scores[:, None]
    mean = (pieces * scores).sum(axis=-1) / mass
    variance = (pieces * (scores - mean[..., None]) ** 2).sum(axis=-1) / mass
    items = 1.0 if points.n is None else float(points.n.mean())
    seeds = points.counts.sum(axis=-1, keepdims=True)
    atom_weights = [share * at.sum(axis=-1, keepdims=True) / seeds for at in at_atoms]
    weights = np.concatenate([*atom_weights, mass * total / seeds], axis=1)
    return np.log(np.maximum(weights, 1e-3)), family.start(mean, variance, items)


def _choices(
    components: int, cuts: tuple[float, ...], atoms: tuple[float, ...]
) -> list[tuple[tuple[float, ...], float]]:
    shares = (0.3, 0.98) if atoms else (0.0,)
    return [((0.0, *inner, 1.0), share) for inner in combinations(cuts, components - 1) for share in shares]
