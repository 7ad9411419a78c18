"""Does the law predict cells that it has not seen better than simpler predictions do?"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from jaxemerge.brief import brief

from ...estimates.arguments import check_at_least
from ...estimates.interval import Estimate
from ...estimates.resampling import generator, percentile_interval
from .fitting import Problem, maximise, settled
from .law import WITHOUT, DistributionLaw
from .prediction import described, log_scores

Floats = NDArray[np.float64]
Whole = NDArray[np.int64]

CERTAIN = 40.0  # a logit
RESAMPLES = 2000


class Scored(NamedTuple):
    """Scores of one prediction of S held-out seeds.

    Attributes:
        joint: [S] log probability of a seed's counts on all tests together, in nats; larger is better.
        marginal: [S] mean over tests of the log probability of the count.
        crps: [S] mean over tests of the continuous ranked probability score of the share of right items;
            smaller is better.
    """

    joint: Floats
    marginal: Floats
    crps: Floats


@brief
@dataclass(frozen=True)
class HeldOutScores:
    """Predictions of every seed by laws that were fitted without its cell.

    Attributes:
        names: of the predictions, the law first.
        cell: [S] cell of each scored seed.
        scores: of each prediction.
        differences: of each baseline, in the order of names: mean gain of the law in joint, marginal and
            crps (positive where the law is better), with intervals over seeds within cells.
        pit: [S, L] randomised probability integral transform of the counts under the law; uniform if the law
            is right.
    """

    names: tuple[str, ...]
    cell: Whole
    scores: tuple[Scored, ...]
    differences: tuple[tuple[Estimate, Estimate, Estimate], ...]
    pit: Floats

    def means(self) -> dict[str, tuple[float, float, float]]:
        """Mean joint and marginal log score, and CRPS, of each prediction by name."""
        each = ((float(part.mean()) for part in scored) for scored in self.scores)
        return dict(zip(self.names, map(tuple, each), strict=True))  # type: ignore[arg-type]


Fold = tuple[Whole, Whole]  # cells to fit, cells to predict


def held_out_scores(
    law: DistributionLaw,
    *,
    by: Literal["cell", "rolling"] | Sequence[int] = "cell",
    least: int = 3,
    confidence: float = 0.95,
    key: Any = 0,
) -> HeldOutScores:
    """Refits the law without some cells, predicts their seeds, and scores it against baselines.

    Baselines: the nearest fitted cell in ln scale; all fitted cells, and those of the same first or second
    coordinate, pooled (each a mixture of the law's form without slopes); one beta-binomial whose mean and
    precision move with scale; and a law of its own for every test.

    Intervals resample the held-out seeds within their cells: they say whether these cells were predicted
    better, not whether others would be. Diverged seeds are not scored.

    Args:
        law: the fit whose data are split; its form is kept.
        by: "cell" holds out every cell once; "rolling" fits the cells of smaller scale (product of the
            coordinates) and predicts the next; places in `law.seen.scale` name cells that are held out
            together and predicted one after the other.
        least: number of different scales in the first fit of "rolling".
        confidence: of the intervals, in (0, 1).
        key: int or JAX key of the resamples and of the randomised transform.

    Returns:
        HeldOutScores.

    Raises:
        ValueError: if `by` is another word or names a cell that is not there, or there are too few cells.

    References:
        Gneiting and Raftery (2007), J. Am. Stat. Assoc. 102, p. 359 (both scores); Czado, Gneiting and Held
        (2009), Biometrics 65, p. 1254 (the randomised transform).
    """
    check_at_least(2, least=least)
    folds = list(_folds(law, by, least))
    seeds = [np.flatnonzero(np.isin(_cells_of(law), to)) for _, to in folds]
    found: dict[str, list[tuple[Floats, Floats]]] = {}
    for fold in folds:
        for name, predict in _predictions(law).items():
            found.setdefault(name, []).append(predict(*fold))
    rng = generator(key)
    scores, pit = [], np.empty(0)
    for name, parts in found.items():
        scored = [_scored(law, rows, *part) for rows, part in zip(seeds, parts, strict=True)]
        scores.append(Scored(*(np.concatenate(each) for each in zip(*scored, strict=True))))
        if name == "law":
            pit = np.concatenate(
                [_pit(law, rows, part[1], rng) for rows, part in zip(seeds, parts, strict=True)]
            )
    cell = _cells_of(law)[np.concatenate(seeds)]
    weights = _resamples(cell, rng)
    gains = [_gains(scores[0], other, weights, confidence) for other in scores[1:]]
    return HeldOutScores(tuple(found), cell, tuple(scores), tuple(gains), pit)


def _cells_of(law: DistributionLaw) -> Whole:
    """[S] cell of each seed, -1 of one that diverged."""
    return np.where(law.seen.row < 0, -1, law.seen.row // law.seen.counts.shape[1])


def _folds(law: DistributionLaw, by: str | Sequence[int], least: int) -> Iterator[Fold]:
    cells = np.flatnonzero(law.seen.seeds.sum(axis=1) > 0)
    if not isinstance(by, str):
        chosen = np.isin(cells, by)
        if not chosen.sum() == len(by) or chosen.sum() > len(cells) - 2:
            raise ValueError(f"by={by} must be different places among {cells.tolist()}, all but two at most")
        yield from ((cells[~chosen], np.array([cell])) for cell in cells[chosen])
        return
    if by not in ("cell", "rolling"):
        raise ValueError(f"by={by!r} must be 'cell', 'rolling' or places of cells")
    if by == "cell":
        if len(cells) < 3:
            raise ValueError(f"{len(cells)} cells: at least 3 are needed to hold one out")
        for cell in cells:
            yield cells[cells != cell], np.array([cell])
        return
    size = np.round(np.log(law.seen.scale[cells]).sum(axis=1), 9)
    sizes = np.unique(size)
    if len(sizes) <= least:
        raise ValueError(f"{len(sizes)} different scales: more than least={least} are needed")
    for next_one in sizes[least:]:
        yield cells[size < next_one], cells[size == next_one]


Predict = Callable[[Whole, Whole], tuple[Floats, Floats]]


def _predictions(law: DistributionLaw) -> dict[str, Predict]:
    """Each prediction by name: from cells to fit and to predict, to log scores [C, M] and [C, L, n + 1]."""
    scale = (np.log(law.seen.scale) - law.columns.centre) / law.columns.unit
    flat = _without(law.problem, ("weights", "means", "precisions", "zeros"))

    def fitted(problem: Problem, fit: Whole, start: Floats | None = None) -> tuple[Floats, Floats]:
        used = np.zeros_like(law.seen.seeds)
        used[fit] = law.seen.seeds[fit]
        begin = problem.shape.prior[0] if start is None else start
        return _predicted(problem, settled(problem, used, maximise(problem, used, begin)).theta)

    def nearest(fit: Whole, to: Whole) -> tuple[Floats, Floats]:
        distance = np.sum((scale[fit] - scale[to].mean(axis=0)) ** 2, axis=1)
        return fitted(flat, fit[[np.argmin(distance)]])

    def same(coordinate: int) -> Predict:
        def predict(fit: Whole, to: Whole) -> tuple[Floats, Floats]:
            shared = fit[np.isin(law.seen.scale[fit, coordinate], law.seen.scale[to, coordinate])]
            return fitted(flat, shared if len(shared) else fit)

        return predict

    start = law.shape.prior[0]
    if law.shape.lengths == 1:
        start[law.shape.places["ln_lambda"]] = WITHOUT
    found: dict[str, Predict] = {
        "law": lambda fit, _: fitted(law.problem, fit, start),
        "nearest cell": nearest,
        "all cells pooled": lambda fit, _: fitted(flat, fit),
    }
    if len(law.names) > 1:
        found |= {f"cells of the same {name}": same(place) for place, name in enumerate(law.names)}
    single, begin = _one_component(law.problem)
    found["one component"] = lambda fit, _: fitted(single, fit, begin)
    if law.shape.lengths > 1:
        found["a law for each test"] = lambda fit, _: _each_test(law, fit)
    return found


def _without(problem: Problem, kinds: tuple[str, ...]) -> Problem:
    free = problem.free.copy()
    for kind in kinds:
        free[problem.shape.places[kind]] = False
    return problem._replace(free=free)


def _one_component(problem: Problem) -> tuple[Problem, Floats]:
    """The law with a success for certain and a threshold of 0: one beta-binomial, and where to start."""
    shape = problem.shape._replace(threshold=1e-9)
    start, free = shape.prior[0], np.zeros(len(shape.prior[0]), bool)
    for kind in ("mean", "means", "mean_length", "ln_precision", "precisions"):
        free[shape.places[kind]] = True
    fixed = {"tau": -CERTAIN, "ceiling": CERTAIN, "one": -CERTAIN, "ln_lambda": WITHOUT, "ln_sigma": WITHOUT}
    for kind, value in fixed.items():
        start[shape.places[kind]] = value
    start[shape.places["ln_tau_step"]] = WITHOUT
    return problem._replace(shape=shape, free=free), start


def _each_test(law: DistributionLaw, fit: Whole) -> tuple[Floats, Floats]:
    joint: Any = 0.0
    tables = []
    for test in range(law.shape.lengths):
        shape = law.shape._replace(lengths=1, trials=law.shape.trials[test : test + 1])
        design = law.problem.design._replace(length=np.zeros(1))
        start, free = shape.prior[0], np.ones(len(shape.prior[0]), bool)
        start[shape.places["ln_lambda"]] = WITHOUT
        free[shape.places["ln_lambda"]] = False
        problem = Problem(shape, design, law.seen.counts[..., test : test + 1], free)
        used = np.zeros_like(law.seen.seeds)
        used[fit] = law.seen.seeds[fit]
        score, table = _predicted(problem, maximise(problem, used, start).theta)
        joint = joint + score
        room = max(law.shape.trials) + 1 - table.shape[-1]
        tables.append(np.pad(table, ((0, 0), (0, 0), (0, room))))
    return joint, np.concatenate(tables, axis=1)


def _predicted(problem: Problem, theta: Floats) -> tuple[Floats, Floats]:
    """[C, M] log scores of the rows, and [C, L, n + 1] probabilities of the counts."""
    nowhere = np.zeros((1, len(problem.counts)))
    table = described(problem.shape, theta[None], problem.design, nowhere, True)[3][0]
    return log_scores(problem.shape, theta, problem.design, problem.counts), table


def _scored(law: DistributionLaw, seeds: Whole, joint: Floats, table: Floats) -> Scored:
    row = law.seen.row[seeds]
    cell = row // law.seen.counts.shape[1]
    counts_SL = law.seen.counts.reshape(-1, law.shape.lengths)[row]
    tests = np.arange(law.shape.lengths)
    seen = table[cell[:, None], tests, counts_SL]
    below = np.cumsum(table[cell], axis=-1)  # [S, L, n + 1]
    step = counts_SL[..., None] <= np.arange(table.shape[-1])
    # Up to n - 1 of each test's own n: beyond, both are 1.
    crps = np.sum((below - step) ** 2, axis=-1) / law.seen.trials
    return Scored(joint.reshape(-1)[row], np.log(np.maximum(seen, 1e-300)).mean(axis=1), crps.mean(axis=1))


def _pit(law: DistributionLaw, seeds: Whole, table: Floats, rng: np.random.Generator) -> Floats:
    row = law.seen.row[seeds]
    cell = row // law.seen.counts.shape[1]
    counts_SL = law.seen.counts.reshape(-1, law.shape.lengths)[row]
    tests = np.arange(law.shape.lengths)
    upto = np.cumsum(table, axis=-1)[cell[:, None], tests, counts_SL]
    return upto - rng.random(upto.shape) * table[cell[:, None], tests, counts_SL]


def _resamples(cell: Whole, rng: np.random.Generator) -> Floats:
    """[R, S] weights of the seeds, resampled within cells."""
    weights = np.zeros((RESAMPLES, len(cell)))
    for each in np.unique(cell):
        members = np.flatnonzero(cell == each)
        k = len(members)
        draws = max(k - 1, 1)
        weights[:, members] = rng.multinomial(draws, np.full(k, 1 / k), size=RESAMPLES) * (k / draws)
    return weights


def _gains(
    law: Scored, other: Scored, weights: Floats, confidence: float
) -> tuple[Estimate, Estimate, Estimate]:
    found = []
    for ours, theirs, sign in zip(law, other, (1, 1, -1), strict=True):
        gain = sign * (ours - theirs)
        found.append(
            Estimate(float(gain.mean()), percentile_interval(weights @ gain / len(gain), confidence))
        )
    return found[0], found[1], found[2]
