"""How many samples does a seed need until an item is passed? Sampling until r passes, or a cap.

Counts are as if samples were drawn one after the other: samples after the r-th pass do not count, although
they may have been drawn in the same batch.

References:
    Hu et al. (2023), "Unlock Predictable Scaling from Emergent Abilities", arXiv 2310.03262, section 4.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import numpy as np

from jaxemerge.brief import brief
from jaxemerge.devices import Layout
from jaxemerge.evaluation.decoding import CacheType, Manner, Request, Sampling, writer
from jaxemerge.evaluation.generate import (
    Prompts,
    checked_key,
    default_layout,
    default_rows,
    on_device,
    prompts,
)
from jaxemerge.evaluation.score import Evaluated, evaluate
from jaxemerge.models import Model
from jaxemerge.tasks import EvaluationSet, Task
from jaxemerge.types import Bool, Float, Int, Key, Params

_GROWTH = 4  # a batch is this many times the one before


@dataclass(frozen=True)
class PassUntil:
    """Sampling of a trained population's answers until r of them pass.

    Attributes:
        split: name of the evaluation sets whose items are sampled; empty for all.
        length: length of these sets; None for all.
        items: items of each set, evenly spread over it; 0 for all.
        r: passes to wait for; at least 2, as fewer give no unbiased rate.
        cap: most samples of one item by one seed.
        temperature: at which answers are drawn.
        source: seed of the draws.

    Raises:
        ValueError: a field is out of range; the message says its value and what is allowed.
    """

    split: str = ""
    length: int | None = None
    items: int = 0
    r: int = 2
    cap: int = 10_000
    temperature: float = 1.0
    source: int = 0

    def __post_init__(self) -> None:
        if self.items < 0:
            raise ValueError(f"items={self.items}: must be at least 1, or 0 for all")
        if not 2 <= self.r <= self.cap:
            raise ValueError(f"r={self.r}, cap={self.cap}: r must be at least 2, and cap at least r")
        if not 0 < self.temperature < float("inf"):
            raise ValueError(f"temperature={self.temperature}: must be a positive number")

    def chosen(self, sets: Sequence[EvaluationSet]) -> Int[np.ndarray, " U"]:
        """Places of the chosen items among those of all sets.

        Raises:
            ValueError: no set has this split and length.
        """
        found, first = [], 0
        for one in sets:
            n = len(one.tokens)
            if self.split in ("", one.split) and self.length in (None, one.length):
                spread = np.linspace(0, n - 1, min(self.items or n, n))
                found.append(first + np.unique(np.round(spread).astype(np.int64)))
            first += n
        if not found:
            there = ", ".join(f"{one.split!r} of length {one.length}" for one in sets)
            raise ValueError(
                f"pass_until: no evaluation set is {self.split!r} of length {self.length}; there are {there}"
            )
        return np.concatenate(found)


@brief
@dataclass(frozen=True, eq=False)
class PassCounts:
    """Passes and samples of S seeds on E items: what ``jaxemerge.stats.pass_rate`` takes.

    Attributes:
        passes: r, or fewer where the cap was reached before.
        samples: up to and including the r-th pass, or the cap.
        censored: whether the cap was reached before the r-th pass.
        r: passes that were waited for.
        computed: texts that were written in all, those beyond the r-th pass and idle ones included.
    """

    passes: Int[np.ndarray, "S E"]
    samples: Int[np.ndarray, "S E"]
    censored: Bool[np.ndarray, "S E"]
    r: int
    computed: int


def estimate(
    task: Task,
    model: Model,
    params: Params,
    seeds: Sequence[tuple[int, int]],
    items: Prompts,
    *,
    key: Key,
    r: int = 2,
    cap: int = 100_000,
    sampling: Sampling = Sampling(),  # noqa: B008 - frozen
    layout: Layout | None = None,
    cache: CacheType | None = None,
    rows: int = 0,
    between: Callable[[], None] = lambda: None,
) -> PassCounts:
    """Samples answers until every seed has passed every item ``r`` times, or has tried ``cap`` times.

    The k-th sample of an item is a function of (key, seed, item, k). Finished items cost nothing: what is
    left is packed again for every batch, in a few shapes, each compiled once.

    Args:
        task: its verifier says what passes.
        model: what writes.
        params: weights, leading axis S.
        seeds: the S members' (init_seed, data_seed).
        items: what to answer.
        key: a threefry key.
        r: passes to wait for, at least 1; unbiased estimates need 2.
        cap: most samples of an item, at least r.
        sampling: how tokens are drawn, not greedily.
        layout: as in ``generate``.
        cache: as in ``generate``.
        rows: texts of a seed that are written together, a power of two; 0 chooses.
        between: called between two batches; may raise to stop.

    Raises:
        ValueError: an argument is out of range; the message says its value and what is allowed.
    """
    if r < 1 or cap < r:
        raise ValueError(f"r={r}, cap={cap}: r must be at least 1, and cap at least r")
    if sampling.temperature == 0:
        raise ValueError("temperature=0: greedy answers are all the same; sample at a positive temperature")
    if rows < 0 or rows & (rows - 1):
        raise ValueError(f"rows={rows}: must be a power of two, or 0")
    root = checked_key(key, sampling)
    used = layout or default_layout(len(seeds))
    together = rows or default_rows(model, items, cache, used)
    decided = type(task).accepts is Task.accepts  # only the reference passes: a wrong token decides
    texts, weights = on_device(items), _Weights(params, used)
    pairs = np.asarray(seeds, np.uint32).reshape(-1, 2)

    def answers(jobs: _Jobs) -> Any:
        """Asks for the texts of one program call; does not wait for them."""
        manner = Manner(items.start, jobs.samples, sampling, cache, decided)
        asked = Request(pairs[jobs.seed], jobs.item, jobs.first, jobs.wanted)
        placed = jax.device_put(asked, used.sharding)
        return writer(task, model, used, manner)(weights.of(jobs.seed), placed, texts, root)[1]

    tally = Tally(len(pairs), len(items), r, cap)
    computed = 0
    while tally.open.any():
        asked = list(_packed(tally, together, used.multiple))
        for jobs, right in [(jobs, answers(jobs)) for jobs in asked]:
            computed += jobs.item.size * jobs.samples
            tally.add(jobs, np.asarray(right))
        between()
    return PassCounts(tally.passes, tally.samples, tally.passes < r, r, computed)


class _Jobs(NamedTuple):
    """What is written in one call of a program, G seeds at once (some may be the same)."""

    seed: Int[np.ndarray, " G"]
    item: Int[np.ndarray, "G U"]
    first: Int[np.ndarray, "G U"]
    wanted: Bool[np.ndarray, "G U"]
    samples: int


class Tally:
    """Passes and samples so far; samples are counted in their order, and none after the r-th pass.

    Attributes:
        passes, samples: of every seed and item.
    """

    def __init__(self, n_seeds: int, n_items: int, r: int, cap: int) -> None:
        self.passes = np.zeros((n_seeds, n_items), np.int64)
        self.samples = np.zeros((n_seeds, n_items), np.int64)
        self._r, self._cap = r, cap

    @property
    def open(self) -> Bool[np.ndarray, "S E"]:
        """Where samples are still needed."""
        return (self.passes < self._r) & (self.samples < self._cap)

    def add(self, jobs: _Jobs, right_GUM: Bool[np.ndarray, "G U m"]) -> None:
        """Counts the samples that follow those counted so far."""
        group, column = np.nonzero(jobs.wanted)
        seed, item = jobs.seed[group], jobs.item[group, column]
        right = right_GUM[group, column]
        room = self._cap - self.samples[seed, item]
        right = right & (np.arange(right.shape[1]) < room[:, None])
        running = self.passes[seed, item][:, None] + np.cumsum(right, axis=1)
        done = running[:, -1] >= self._r
        last = np.where(done, (running >= self._r).argmax(axis=1) + 1, np.minimum(right.shape[1], room))
        self.samples[seed, item] += last
        self.passes[seed, item] = np.minimum(running[:, -1], self._r)


def _packed(tally: Tally, rows: int, groups: int) -> Iterator[_Jobs]:
    """The next samples of all open items, for programs that take ``groups`` seeds at once.

    A seed with few open items writes many samples of each: texts that are computed side by side cost the
    same whether they are wanted or not.
    """
    queues: dict[int, list[tuple[int, np.ndarray]]] = {}
    for seed in np.flatnonzero(tally.open.any(axis=1)):
        which = np.flatnonzero(tally.open[seed])
        size = _shape(len(which), int(tally.samples[seed, which].min()), rows)
        queues.setdefault(size, []).extend(
            (int(seed), which[i : i + size]) for i in range(0, len(which), size)
        )
    for size, queue in sorted(queues.items()):
        for i in range(0, len(queue), groups):
            yield _joined(queue[i : i + groups], tally, size, rows // size, groups)


def _shape(n_open: int, least: int, rows: int) -> int:
    """Items to a call: few enough that each gets a batch as large as its samples so far, or all rows."""
    size = rows
    while size > 1 and (max(1, size // _GROWTH) >= n_open or rows // size < least):
        size = max(1, size // _GROWTH)
    return size


def _joined(queue: list[tuple[int, np.ndarray]], tally: Tally, size: int, samples: int, groups: int) -> _Jobs:
    """Parts of a queue as arrays, filled up with unwanted items."""
    seed = np.full(groups, queue[-1][0])
    item, wanted = np.zeros((groups, size), np.int32), np.zeros((groups, size), bool)
    for g, (owner, which) in enumerate(queue):
        seed[g], item[g, : len(which)], wanted[g, : len(which)] = owner, which, True
    first = tally.samples[seed[:, None], item].astype(np.int32)
    return _Jobs(seed, item, first, wanted, samples)


class _Weights:
    """Weights of chosen seeds on the devices; caches the latest choice."""

    def __init__(self, params: Params, layout: Layout) -> None:
        self._params = jax.tree.map(np.asarray, params)
        self._sharding = layout.sharding
        self._latest: tuple[tuple[int, ...], Any] = ((), None)

    def of(self, seeds: Int[np.ndarray, " G"]) -> Params:
        """With leading axis G."""
        which = tuple(seeds.tolist())
        if which != self._latest[0]:
            placed = jax.device_put(jax.tree.map(lambda x: x[seeds], self._params), self._sharding)
            self._latest = (which, placed)
        return self._latest[1]


@brief
class Passed(NamedTuple):
    """Counts and answer losses of S seeds on U items.

    Attributes:
        counts: passes and samples.
        split, length, number: of each item, as in ``Evaluated``.
        answers: scored tokens of each item.
        nll: negative log-likelihood of the reference answer, summed, in nats.
    """

    counts: PassCounts
    split: np.ndarray
    length: Int[np.ndarray, " U"]
    number: Int[np.ndarray, " U"]
    answers: Int[np.ndarray, " U"]
    nll: Float[np.ndarray, "S U"]


def sampled(
    task: Task,
    model: Model,
    params: Params,
    seeds: Sequence[tuple[int, int]],
    asked: PassUntil,
    *,
    layout: Layout | None = None,
    seen: Evaluated | None = None,
    between: Callable[[], None] = lambda: None,
) -> Passed:
    """Samples the chosen items until they pass; returns counts and the answers' losses.

    Args:
        task, model, params, seeds: as in ``estimate``.
        asked: what is sampled, and for how long.
        layout: as in ``generate``.
        seen: the result of ``evaluate`` for this population, if there is one.
        between: called between two batches; may raise to stop.
    """
    sets = task.evaluation_sets()
    which = asked.chosen(sets)
    known = seen or evaluate(task, model, params, layout=layout, written=False)
    counts = estimate(
        *(task, model, params, seeds, prompts(sets).take(which)),
        key=jax.random.key(asked.source, impl="threefry2x32"),
        r=asked.r,
        cap=asked.cap,
        sampling=Sampling(asked.temperature),
        layout=layout,
        between=between,
    )
    items = known.items
    return Passed(
        counts,
        *(known.split[which], known.length[which], known.number[which]),
        *(items.answers[which], items.nll[:, which]),
    )
