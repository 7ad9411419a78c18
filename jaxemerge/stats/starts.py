"""Where does the climb begin? Samples cut at quantiles, each piece summed up by its moments."""

from __future__ import annotations

from itertools import combinations

import numpy as np

from .families import Family
from .likelihood import Fits, maximise
from .observations import Array, Points

THOROUGH = (0.08, 0.3, 0.5, 0.7, 0.92)
QUICK = (0.1, 0.5, 0.9)
# Steps of a start: a few on the many resamples, on the one data set as many as it likes.
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
        allowed: [A] atoms that may have weight, all if None.
        trial: steps that every start may take before the best of them climbs on alone.
        tolerance: nats within which the climb stops.
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
        return climb(family, points, atoms, logits, theta, tolerance=tolerance)
    repeated = points.rows(np.repeat(np.arange(rows), len(found)))
    tried = climb(family, repeated, atoms, logits, theta, steps=trial)
    best = tried.rows(np.arange(rows) * len(found) + tried.log_likelihood.reshape(rows, -1).argmax(axis=1))
    return climb(family, points, atoms, best.logits, best.theta, tolerance=tolerance)


def climb(
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
    """Logits [R, A + C] and coordinates [R, C, 2] of samples cut at the quantiles `edges`, 0 and 1 included.

    Args:
        family: shape of the components.
        points: R data sets.
        atoms: scores that carry a point mass.
        edges: [C + 1] increasing.
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
