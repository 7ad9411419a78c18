"""Do seeds write what they would write alone, token by token, and is what they write judged right?"""

from __future__ import annotations

import functools
import importlib
from dataclasses import dataclass, replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxemerge.devices import Layout, compiled
from jaxemerge.evaluation import GREEDY, Prompts, Sampling, decoding, generate, prompts, scores, sheet
from jaxemerge.evaluation.generate import default_rows
from jaxemerge.models import Transformer, apply, init
from jaxemerge.tasks import (
    BUILT_IN,
    Addition,
    Composition,
    Corpus,
    Count,
    InContext,
    Markov,
    Modular,
    Parity,
    Recall,
    Rewrite,
    SparseParity,
    Task,
    TaskMixture,
)
from small_cell import CELL, trained
from toy_tasks import Echo

KEY = jax.random.key(5)
SEEDS = [(5, 5), (7, 7), (2, 9)]
ITEMS = prompts(CELL.task.evaluation_sets())


def untrained(task: Task, model: Transformer, n: int) -> Any:
    draw = jax.jit(jax.vmap(lambda key: init(model, task.vocabulary, key)))
    return jax.tree.map(np.asarray, draw(jax.random.split(jax.random.key(0), n)))


def layout(devices: int = 1, width: int = 1) -> Layout:
    return Layout(tuple(jax.devices()[:devices]), width)


def written(items: Prompts = ITEMS, which: list[int] | None = None, **options: Any) -> Any:
    chosen = [0, 1, 2] if which is None else which
    params = jax.tree.map(lambda leaf: leaf[chosen], trained())
    options = {"layout": layout(), "key": KEY, **options}
    return generate(CELL.task, CELL.model, params, [SEEDS[i] for i in chosen], items, **options)


@dataclass(frozen=True)
class Gaps(Echo):
    """Echo with given tokens between those that are written, and prompts of unequal length."""

    def evaluation_sets(self) -> Any:
        sets = []
        for one in super().evaluation_sets():
            scored = one.scored.copy()
            scored[:, 1:] = np.arange(1, scored.shape[1]) % 2 == 1  # every other token
            scored[::2, 1] = False  # every other item starts two places later
            sets.append(type(one)(one.split, one.length, one.tokens, scored))
        return tuple(sets)


REWRITE, RECALL = Rewrite("sort", 5, 4, (3, 4), 11), Recall(5, 7, 3, 2, (2, 3), 11)
LIBRARY: tuple[Task, ...] = (
    Markov(words=3, length=7, texts=13),
    TaskMixture((Modular(7), RECALL, REWRITE)),
)
THE_REST: tuple[Task, ...] = (
    Addition(carries=True, train_digits=3, test_digits=(2, 3), items=11),
    Composition(5, 3, 3, test_steps=(1, 3), items=11),
    Corpus(__file__, context=7, windows=13),
    InContext("reversal", 2, (1, 2), longest=4, items=11),
    Modular(7),
    Parity(5, (3, 5), 11),
    RECALL,
    REWRITE,
    SparseParity(6, 2, 11),
)


def test_no_task_is_left_out() -> None:
    assert {type(task) for task in (CELL.task, *LIBRARY, *THE_REST)} == set(BUILT_IN)


@pytest.mark.parametrize(
    "task",
    [
        *(pytest.param(task, id=str(task)) for task in (CELL.task, Echo(), Gaps(), *LIBRARY)),
        *(pytest.param(task, id=str(task), marks=pytest.mark.slow) for task in THE_REST),
    ],
)
def test_greedy_answers_are_the_exact_matches(task: Task) -> None:
    """On every item, one by one; half of the references are what the second seed writes."""
    trains = task is CELL.task
    params = trained() if trains else jax.tree.map(lambda x: 12 * x, untrained(task, CELL.model, 3))
    items = prompts(task.evaluation_sets())
    if not trains:
        own = generate(task, CELL.model, params, SEEDS, items, layout=layout()).tokens[1, :, 0]
        whole = ((own >= 0) & ((own != task.end) | ~items.scored)).all(1) & (np.arange(len(items)) % 2 == 0)
        items = replace(items, tokens=np.where(whole[:, None], own, items.tokens))
    texts, accepted = (x[:, :, 0] for x in generate(task, CELL.model, params, SEEDS, items, layout=layout()))
    seen = ((texts == items.tokens) | ~items.scored).all(-1)
    if type(task).accepts is Task.accepts:
        assert np.array_equal(accepted, seen)
    logits = compiled(jax.vmap(lambda p: apply(CELL.model, task.vocabulary, p, jnp.asarray(items.tokens))))
    right = np.asarray(logits(params))[:, :, :-1].argmax(-1) == items.tokens[:, 1:]
    assert np.array_equal(seen, (right | ~items.scored[:, 1:]).all(-1))
    assert 0 < seen.sum() < seen.size
    if trains:
        one = compiled(functools.partial(scores, CELL.model, task.vocabulary, sheet(task)))
        assert one(jax.tree.map(lambda leaf: leaf[1], params)).exact.sum() == seen[1].sum()


def by_hand(params: Any, item: int, uniform: np.ndarray | None) -> list[int]:
    """One text, every token from a forward pass over all before it."""
    text = ITEMS.tokens[item].copy()
    places, over = np.flatnonzero(ITEMS.writes[item]), False
    for t in places:
        if over:
            text[t] = -1
            continue
        logits = np.asarray(_logits(params, text[None]), np.float64)[0, t - 1]
        share = np.exp(logits - logits.max())
        sums = np.cumsum(share / share.sum())
        text[t] = logits.argmax() if uniform is None else int((sums <= uniform[t]).sum())
        over = text[t] == CELL.task.end
    return text.tolist()


@jax.jit
def _logits(params: Any, text: Any) -> Any:
    return apply(CELL.model, CELL.task.vocabulary, params, jnp.maximum(text, 0))


def numbers(seed: tuple[int, int], item: int, sample: int) -> np.ndarray:
    """What a sample draws with: a chain of fold_in, place last."""
    key = KEY
    for part in (*seed, item, sample):
        key = jax.random.fold_in(key, part)
    return np.array([jax.random.uniform(jax.random.fold_in(key, t)) for t in range(ITEMS.tokens.shape[1])])


def test_texts_are_those_written_by_hand() -> None:
    greedy, drawn = written(), written(samples=2, sampling=Sampling())
    ended = 0
    for s, item in ((0, 0), (1, 8), (2, 11), (0, 12)):
        params = jax.tree.map(lambda leaf, s=s: leaf[s], trained())
        assert greedy.tokens[s, item, 0].tolist() == by_hand(params, item, None)
        for k in range(2):
            uniform = numbers(SEEDS[s], item, k)
            assert drawn.tokens[s, item, k].tolist() == by_hand(params, item, uniform)
        ended += int((greedy.tokens[s, item] == -1).any())
    assert ended > 0
    assert not np.array_equal(drawn.tokens[:, :, 0], drawn.tokens[:, :, 1])


@pytest.mark.parametrize(
    "options",
    [
        {"rows": 4},
        {"rows": 1},
        {"samples": 11, "rows": 8},
        {"layout": (2, 1)},
        {"layout": (1, 3)},
        {"which": [2, 0]},
        {"items": [3, 11, 7]},
    ],
    ids=str,
)
def test_a_sample_does_not_depend_on_what_is_written_beside_it(options: dict[str, Any]) -> None:
    whole = written(samples=11, sampling=Sampling())
    which, items = options.get("which", [0, 1, 2]), options.get("items", list(range(len(ITEMS))))
    spread = layout(*options.get("layout", (1, 1)))
    n, rows = options.get("samples", 3), options.get("rows", 0)
    part = written(ITEMS.take(items), which, samples=n, sampling=Sampling(), rows=rows, layout=spread)
    block = np.ix_(which, items, range(n))
    assert np.array_equal(part.tokens, whole.tokens[block])
    assert np.array_equal(part.accepted, whole.accepted[block])
    assert whole.accepted.any()
    assert not whole.accepted.all()


def test_keys_decide() -> None:
    one, other = (written(key=jax.random.key(k), sampling=Sampling()).tokens for k in (1, 2))
    assert not np.array_equal(one, other)
    assert np.array_equal(one, written(key=jax.random.key(1), sampling=Sampling()).tokens)


def test_shares_of_samples_are_the_probabilities() -> None:
    """Of one answer of three numbers: the product of its tokens' probabilities, within 4 standard errors."""
    item, n = 4, 4096
    params = jax.tree.map(lambda leaf: leaf[0], trained())
    logits = np.asarray(_logits(params, ITEMS.tokens[item][None]), np.float64)[0]
    logs = logits - np.logaddexp.reduce(logits, axis=-1, keepdims=True)
    places = np.flatnonzero(ITEMS.scored[item])
    p = float(np.exp(logs[places - 1, ITEMS.tokens[item, places]].sum()))
    seen = written(ITEMS.take([item]), [0], samples=n, sampling=Sampling(), rows=1024).accepted.mean()
    assert 0.02 < p < 0.98
    assert abs(seen - p) < 4 * np.sqrt(p * (1 - p) / n)


def test_stops_when_all_have_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    """The program reads no token after the last text has ended: counted as it runs."""
    read = []
    module = importlib.import_module("jaxemerge.evaluation.generate")  # a function has its name, too
    plain = Transformer.extend

    def counting(*arguments: Any) -> Any:
        jax.debug.callback(lambda position: read.append(int(position)), arguments[-1])
        return plain(*arguments)

    monkeypatch.setattr(Transformer, "extend", counting)
    asked = module.request(np.array([SEEDS[1]], np.uint32), np.arange(9), 0, 9)
    one = jax.tree.map(lambda leaf: leaf[0], (trained_one(), asked))
    manner = decoding.Manner(ITEMS.start)
    text, _ = jax.jit(lambda *a: decoding.write(CELL.task, CELL.model, manner, *a))(
        *one, module.on_device(ITEMS), KEY
    )
    jax.effects_barrier()
    wrote = np.where(ITEMS.writes[:9], np.asarray(text)[:, 0] >= 0, False)
    assert sorted(read) == list(range(ITEMS.start, int(wrote.any(0).nonzero()[0].max())))


def trained_one() -> Any:
    return jax.tree.map(lambda leaf: leaf[1:2], trained())


def test_not_a_number_writes_nothing() -> None:
    params = jax.tree.map(lambda leaf: np.full_like(leaf, np.nan), trained())
    seen = generate(CELL.task, CELL.model, params, SEEDS, ITEMS, layout=layout())
    assert np.all(seen.tokens[:, :, 0][:, ITEMS.writes] == -1)
    assert not seen.accepted.any()


def test_cache_in_bfloat16_writes_nearly_the_same() -> None:
    fine, coarse = written(), written(cache="bfloat16")
    assert 0.8 < np.mean(fine.tokens == coarse.tokens) <= 1


@dataclass(frozen=True)
class AnyOrder(Count):
    """Accepts the numbers in any order."""

    def accepts(self, text: Any, reference: Any, scored: Any) -> Any:
        far = self.vocabulary
        return jnp.all(jnp.sort(jnp.where(scored, text, far)) == jnp.sort(jnp.where(scored, reference, far)))


def test_the_verifier_is_the_tasks() -> None:
    task = AnyOrder(11, 5, (3, 7))
    exact = written(samples=64, sampling=Sampling(temperature=2.0))
    options = {"samples": 64, "sampling": Sampling(temperature=2.0), "key": KEY, "layout": layout()}
    seen = generate(task, CELL.model, trained(), SEEDS, ITEMS, **options)
    assert np.array_equal(seen.tokens, exact.tokens)
    expected = [
        sorted(text[scored]) == sorted(reference[scored])
        for of_seed in seen.tokens
        for texts, reference, scored in zip(of_seed, ITEMS.tokens, ITEMS.scored, strict=True)
        for text in texts
    ]
    assert seen.accepted.ravel().tolist() == expected
    assert seen.accepted.sum() > exact.accepted.sum()


def test_prompts() -> None:
    assert len(ITEMS) == 9 + 5
    assert ITEMS.start == 4
    assert ITEMS.numbers.tolist() == list(range(14))
    assert ITEMS.writes[0].tolist() == [False] * 4 + [True] * 4 + [False] * 4  # the end may be written
    assert ITEMS.writes[13].tolist() == [False] * 4 + [True] * 8
    part = ITEMS.take([12, 3])
    assert part.numbers.tolist() == [12, 3]
    assert np.array_equal(part.tokens, ITEMS.tokens[[12, 3]])
    gaps = prompts(Gaps().evaluation_sets()[1])
    assert gaps.writes[1].tolist() == [False] + [True, False] * 5 + [True]


def test_rows_fit_the_budget() -> None:
    wide = Transformer(16, 1024, 8)
    assert default_rows(CELL.model, ITEMS, None, layout()) == 128
    assert default_rows(wide, ITEMS, None, layout()) == 128
    long = Prompts(*(np.zeros((1, 2000), t) for t in (int, bool, bool)), numbers=np.zeros(1, int))
    assert default_rows(wide, long, None, layout()) == 1
    assert default_rows(Transformer(4, 256, 4), long, None, layout()) == 8  # 16 MB each


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"samples": 0}, "samples=0: must be at least 1"),
        ({"sampling": Sampling(), "key": None}, "key=None: drawing at temperature=1 needs a jax.random.key"),
        ({"key": jax.random.key(0, impl="rbg")}, "key: rbg keys do not keep draws apart"),
        ({"key": jax.random.PRNGKey(0)}, "key: uint32 keys do not keep draws apart"),
        ({"cache": "float16"}, "cache='float16': must be float32, bfloat16 or None"),
    ],
)
def test_bad_arguments(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        written(**options)


def test_weights_of_other_seeds() -> None:
    with pytest.raises(ValueError, match="params hold 3 seeds, and 2 are named"):
        generate(CELL.task, CELL.model, trained(), SEEDS[:2], ITEMS)


def test_greedy_needs_no_key() -> None:
    assert np.array_equal(written(key=None).tokens, written(sampling=GREEDY).tokens)
