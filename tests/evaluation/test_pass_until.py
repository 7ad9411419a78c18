"""Are samples counted as if each had been drawn alone, and do finished items cost nothing?"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from jaxemerge.devices import Layout
from jaxemerge.evaluation import PassCounts, Sampling, estimate, generate, prompts
from jaxemerge.evaluation.pass_until import Tally, _joined, _packed, _shape
from jaxemerge.models import init
from jaxemerge.tasks import Count
from small_cell import CELL, trained

KEY = jax.random.key(11)
SEEDS = [(5, 5), (7, 7), (2, 9)]
ITEMS = prompts(CELL.task.evaluation_sets())
HOT = Sampling(temperature=1.5)


def layout(devices: int = 1, width: int = 1) -> Layout:
    return Layout(tuple(jax.devices()[:devices]), width)


def counted(which: list[int] | None = None, items: list[int] | None = None, **options: Any) -> PassCounts:
    chosen = [0, 1, 2] if which is None else which
    params = jax.tree.map(lambda leaf: leaf[chosen], trained())
    asked = ITEMS if items is None else ITEMS.take(items)
    options = {"key": KEY, "layout": layout(), "cap": 50, "sampling": HOT, "rows": 16, **options}
    return estimate(CELL.task, CELL.model, params, [SEEDS[i] for i in chosen], asked, **options)


@functools.cache
def flags() -> np.ndarray:
    """Whether each of the first 50 samples passes, drawn without any stopping."""
    options = {"key": KEY, "samples": 50, "sampling": HOT, "layout": layout()}
    return generate(CELL.task, CELL.model, trained(), SEEDS, ITEMS, **options).accepted


def expected(r: int, cap: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Passes, samples and censoring of one sample after the other, in plain Python."""
    passes, samples = np.zeros(flags().shape[:2], int), np.zeros(flags().shape[:2], int)
    for s, e in np.ndindex(passes.shape):
        for right in flags()[s, e, :cap]:
            samples[s, e] += 1
            passes[s, e] += right
            if passes[s, e] == r:
                break
    return passes, samples, passes < r


@pytest.mark.parametrize(("r", "cap"), [(1, 50), (2, 50), (3, 23), (2, 2)])
def test_counts_are_those_of_one_sample_after_the_other(r: int, cap: int) -> None:
    seen = counted(r=r, cap=cap)
    passes, samples, censored = expected(r, cap)
    assert np.array_equal(seen.passes, passes)
    assert np.array_equal(seen.samples, samples)
    assert np.array_equal(seen.censored, censored)
    assert seen.r == r
    assert 0 < censored.sum() < censored.size
    assert samples.sum() <= seen.computed


@pytest.mark.parametrize(
    "options",
    [
        {"rows": 4},
        {"layout": (2, 1)},
        {"layout": (1, 3), "rows": 1},
        {"which": [2, 0], "items": [3, 11, 7, 0]},
    ],
    ids=str,
)
def test_batches_and_neighbours_change_nothing(options: dict[str, Any]) -> None:
    which, items = options.pop("which", [0, 1, 2]), options.pop("items", list(range(14)))
    spread = layout(*options.pop("layout", (1, 1)))
    whole, part = counted(), counted(which, items, layout=spread, **options)
    block = np.ix_(which, items)
    for field in ("passes", "samples", "censored"):
        assert np.array_equal(getattr(part, field), getattr(whole, field)[block]), field


@dataclass(frozen=True)
class AnyFirst(Count):
    """Accepts any answer that begins with the right number."""

    def accepts(self, text: Any, reference: Any, scored: Any) -> Any:
        return text[4] == reference[4]


def test_the_verifier_is_the_tasks() -> None:
    task = AnyFirst(11, 5, (3, 7))
    options: dict[str, Any] = {"key": KEY, "layout": layout(), "sampling": HOT}
    seen = estimate(task, CELL.model, trained(), SEEDS, ITEMS, r=2, cap=50, rows=16, **options)
    texts = generate(task, CELL.model, trained(), SEEDS, ITEMS, samples=50, **options).tokens
    running = np.cumsum(texts[..., 4] == ITEMS.tokens[:, None, 4], axis=-1)
    assert np.array_equal(seen.samples, np.where(running[..., -1] < 2, 50, (running >= 2).argmax(-1) + 1))
    assert seen.samples.sum() < counted().samples.sum()


def planted(p: np.ndarray, r: int, cap: int, rows: int, rng: Any) -> tuple[Tally, int]:
    """The loop of ``estimate`` over items that pass with known probabilities."""
    tally, computed = Tally(*p.shape, r, cap), 0
    while tally.open.any():
        for jobs in list(_packed(tally, rows, 2)):
            right = rng.random((*jobs.item.shape, jobs.samples)) < p[jobs.seed[:, None], jobs.item][..., None]
            computed += right.size
            tally.add(jobs, right)
    return tally, computed


@pytest.mark.parametrize("p", [0.5, 0.1, 0.01])
def test_waiting_times_are_negative_binomial(p: float) -> None:
    """Counting to the end of a batch, or taking the best batch, would not be."""
    r = 2
    tally, _ = planted(np.full((50, 100), p), r, 10**6, 128, np.random.default_rng(0))
    failures = tally.samples.ravel() - r
    edges = np.unique(stats.nbinom.ppf(np.linspace(0, 1, 21)[1:-1], r, p))
    observed = np.bincount(np.searchsorted(edges, failures), minlength=len(edges) + 1)
    shares = np.diff(np.concatenate([[0], stats.nbinom.cdf(edges, r, p), [1]]))
    assert stats.chisquare(observed, shares * failures.size).pvalue > 1e-3
    rounded = -(-tally.samples.ravel() // 16) * 16 - r  # counted to the end of batches of 16
    biased = np.bincount(np.searchsorted(edges, rounded), minlength=len(edges) + 1)
    assert stats.chisquare(biased, shares * failures.size).pvalue < 1e-10
    assert np.mean(1 / (tally.samples - 1)) == pytest.approx(p, rel=0.12)  # 4 standard errors


def test_cost_is_that_of_the_samples_needed() -> None:
    """Most items are easy; the hard ones make the cost, and their batches are full."""
    rng = np.random.default_rng(1)
    p = 10 ** rng.uniform(-4, -0.1, (7, 61))
    tally, computed = planted(p, 2, 100_000, 128, rng)
    needed = int(tally.samples.sum())
    assert needed <= computed < 1.15 * needed
    alike = 7 * 61 * int(tally.samples.max())  # without compaction all go on until the last is finished
    assert computed < 0.1 * alike
    tally, computed = planted(np.full((3, 5), 0.9), 2, 100_000, 128, rng)
    assert computed <= 3 * 128 * 2  # easy items: one call to a seed, perhaps two


def test_few_shapes() -> None:
    shapes = {_shape(n, least, 128) for n in range(1, 300) for least in (0, 1, 5, 17, 100, 10**5)}
    assert shapes == {128, 32, 8, 2, 1}
    assert _shape(1, 0, 128) == 1  # rows that would be idle try the same item again
    assert _shape(128, 0, 128) == 128
    assert _shape(128, 4, 128) == 32
    assert _shape(128, 10**5, 128) == 1


def test_jobs_hold_every_open_item_once() -> None:
    tally = Tally(3, 37, 2, 10)
    tally.passes[0, ::2] = 2
    tally.samples[1, 5:] = 10
    jobs = list(_packed(tally, 16, 2))
    asked = [
        (int(job.seed[g]), int(item))
        for job in jobs
        for g in range(2)
        for item, wanted in zip(job.item[g], job.wanted[g], strict=True)
        if wanted
    ]
    assert sorted(asked) == [tuple(pair) for pair in np.argwhere(tally.open).tolist()]
    assert {job.item.shape[1] * job.samples for job in jobs} == {16}
    idle = _joined([(1, np.array([4, 2]))], tally, 4, 4, 2)
    assert idle.wanted.tolist() == [[True, True, False, False], [False] * 4]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"r": 0}, "r=0, cap=50: r must be at least 1, and cap at least r"),
        ({"r": 3, "cap": 2}, "r=3, cap=2: r must be at least 1, and cap at least r"),
        ({"sampling": Sampling(temperature=0)}, "temperature=0: greedy answers are all the same"),
        ({"rows": 12}, "rows=12: must be a power of two, or 0"),
        ({"rows": -4}, "rows=-4: must be a power of two"),
        ({"key": jax.random.key(0, impl="rbg")}, "key: rbg keys do not keep draws apart"),
    ],
)
def test_bad_arguments(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        counted(**options)


def test_rates_are_the_probabilities_of_the_answers() -> None:
    """Untrained weights: by hand, all answers of a length are about equally likely."""
    task = Count(3, 2, (1, 2))
    draw = jax.jit(jax.vmap(lambda key: init(CELL.model, task.vocabulary, key)))
    params = draw(jax.random.split(jax.random.key(3), 40))
    items = prompts(task.evaluation_sets())
    seen = estimate(
        *(task, CELL.model, jax.tree.map(np.asarray, params), [(s, s) for s in range(40)], items),
        **{"key": KEY, "r": 5, "rows": 64, "layout": layout()},
    )
    unbiased = (seen.r - 1) / (seen.samples - 1)
    for answers, p in ((1, 1 / 7), (2, 1 / 49)):
        rates = unbiased[:, items.scored.sum(1) == answers]
        standard_error = np.std(rates) / np.sqrt(rates.size)
        assert abs(rates.mean() - p) < 4 * standard_error
        assert standard_error < 0.1 * p
    assert not seen.censored.any()
    assert jnp.all(seen.passes == 5)
