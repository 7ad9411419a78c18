"""Do teacher-forced scores say what a seed would write, and how likely it finds the answer?"""

from __future__ import annotations

import dataclasses
import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxemerge.devices import Layout, compiled, over_seeds
from jaxemerge.evaluation import Sheet, item_scores, scores, sheet
from jaxemerge.evaluation import score as module
from jaxemerge.models import Transformer, apply, init, neox
from jaxemerge.tasks import Task
from small_cell import CELL, SIXTEEN, built, of, run
from toy_tasks import Echo

SEEDS = (5, 7, 2)  # as many as there is time to score by hand
MODEL = dataclasses.replace(CELL.model, init_std=0.5)  # untrained weights that are sure of something


@functools.cache
def trained() -> Any:
    """Weights of three seeds, trained until they know some items and not others."""
    params = run(built(1, 4), of(SIXTEEN, learning_rate=0.1), 200)[0].params
    return jax.tree.map(lambda leaf: leaf[[SIXTEEN.index(seed) for seed in SEEDS]], params)


def of_seed(tree: Any, i: int) -> Any:
    return jax.tree.map(lambda leaf: leaf[i], tree)


@functools.partial(jax.jit, static_argnums=(0, 1))
def logits_of(task: Task, model: Transformer, params: Any, tokens: Any) -> jax.Array:
    return apply(model, task.vocabulary, params, tokens)


def by_item(task: Task, model: Transformer, params: Any) -> tuple[list[int], list[int], list[float]]:
    """Exact matches, right tokens and nats of each set; every item alone and unpadded."""
    exact, right, nll = [], [], []
    for one in task.evaluation_sets():
        exact.append(0), right.append(0), nll.append(0.0)
        for tokens, scored in zip(one.tokens, one.scored, strict=True):
            logits = np.asarray(logits_of(task, model, params, tokens[None]), np.float64)[0]
            hits = 0
            for t in np.flatnonzero(scored):  # token t is predicted at t - 1
                hits += int(np.argmax(logits[t - 1]) == tokens[t])
                nll[-1] -= logits[t - 1, tokens[t]] - np.logaddexp.reduce(logits[t - 1])
            right[-1] += hits
            exact[-1] += hits == scored.sum()
    return exact, right, nll


def test_scores_equal_items_one_by_one() -> None:
    items = sheet(CELL.task)
    score = compiled(functools.partial(scores, CELL.model, CELL.task.vocabulary, items))
    seen_exact = []
    for i in range(len(SEEDS)):
        params = of_seed(trained(), i)
        exact, right, nll = by_item(CELL.task, CELL.model, params)
        seen = score(params)
        assert seen.exact.tolist() == exact
        assert seen.right.tolist() == right
        np.testing.assert_allclose(seen.nll, nll, rtol=1e-5)
        seen_exact.append(exact)
    # Neither all right nor all wrong, and tokens right beyond the items that are.
    assert 0 < np.sum(seen_exact) < 3 * items.items.sum()
    assert len({tuple(exact) for exact in seen_exact}) > 1


def test_scores_of_sets_that_differ_in_shape() -> None:
    task = Echo()
    params = init(MODEL, task.vocabulary, jax.random.key(1))
    exact, right, nll = by_item(task, MODEL, params)
    seen = compiled(functools.partial(scores, MODEL, task.vocabulary, sheet(task)))(params)
    assert (seen.exact.tolist(), seen.right.tolist()) == (exact, right)
    np.testing.assert_allclose(seen.nll, nll, rtol=1e-5)
    assert 0 < sum(right) < sheet(task).answers.sum()


def written(task: Task, params: Any, prompt: np.ndarray, n: int) -> list[int]:
    """Greedy decoding: the likeliest next token, again and again."""
    text = np.full((1, len(prompt) + n), task.vocabulary - 1, np.int32)  # what stands behind is not seen
    text[0, : len(prompt)] = prompt
    for t in range(len(prompt), len(prompt) + n):
        text[0, t] = np.argmax(logits_of(task, CELL.model, params, text)[0, t - 1])
    return text[0, len(prompt) :].tolist()


def test_exact_match_is_what_greedy_decoding_writes() -> None:
    task, items = CELL.task, sheet(CELL.task)
    score = compiled(functools.partial(scores, CELL.model, task.vocabulary, items))
    for i in range(len(SEEDS)):
        params = of_seed(trained(), i)
        matches, tokens_right = [], []
        for one in task.evaluation_sets():
            texts = [written(task, params, row[:4], one.length) for row in one.tokens]
            answers = one.tokens[:, 4 : 4 + one.length].tolist()
            matches.append(sum(text == answer for text, answer in zip(texts, answers, strict=True)))
            tokens_right.append(int((np.array(texts) == np.array(answers)).sum()))
        seen = score(params)
        assert seen.exact.tolist() == matches
        # Tokens are scored after the right ones, not after those written: not the same number.
        assert i != 0 or seen.right.tolist() != tokens_right


def test_not_a_number_is_never_right(monkeypatch: pytest.MonkeyPatch) -> None:
    """The arg max of NaN is token 0, and token 0 is an answer of Count."""
    params = jax.tree.map(lambda leaf: jnp.full(leaf.shape[1:], jnp.nan), trained())
    one = functools.partial(scores, CELL.model, CELL.task.vocabulary, sheet(CELL.task))
    seen = compiled(one)(params)
    assert seen.exact.tolist() == seen.right.tolist() == [0, 0]
    assert np.all(np.isnan(seen.nll))
    monkeypatch.setattr(module.jnp, "isfinite", lambda x: jnp.ones(x.shape, bool))
    assert compiled(lambda p: one(p))(params).right.tolist() == [1, 1]  # what the guard is for


def test_item_scores_by_brute_force() -> None:
    rng = np.random.default_rng(0)
    logits = 2 * rng.normal(size=(23, 7, 3)).astype(np.float32)
    tokens, scored = rng.integers(0, 3, (23, 7)), rng.random((23, 7)) < 0.3
    scored[:, 0] = False
    logits[5, 2] = np.nan
    scored[5, 3], tokens[5, 3] = True, 0
    logits[6, 2] = np.nan  # not scored, so no matter
    scored[6, 3] = False
    seen = item_scores(jnp.asarray(logits), jnp.asarray(tokens), jnp.asarray(scored))
    for e in range(23):
        places = np.flatnonzero(scored[e])
        hits = [
            bool(np.all(np.isfinite(logits[e, t - 1]))) and int(np.argmax(logits[e, t - 1])) == tokens[e, t]
            for t in places
        ]
        p = [np.exp(logits[e, t - 1].astype(float)) for t in places]
        nats = sum(-np.log(q[tokens[e, t]] / q.sum()) for q, t in zip(p, places, strict=True))
        assert bool(seen.exact[e]) == all(hits)
        assert int(seen.right[e]) == sum(hits)
        assert float(seen.nll[e]) == pytest.approx(nats, rel=1e-5, nan_ok=True)
    assert np.isfinite(seen.nll[6])
    assert 3 < np.sum(seen.exact) < 20


def rows(items: Sheet, i: int) -> set[tuple[Any, ...]]:
    """Items of set ``i``, as tuples of tokens and scores."""
    tokens, scored = (x.reshape(-1, x.shape[-1])[items.member[i]] for x in (items.tokens, items.scored))
    return {(*t, *s) for t, s in zip(tokens.tolist(), scored.tolist(), strict=True)}


@pytest.mark.parametrize("task", [CELL.task, Echo()], ids=str)
@pytest.mark.parametrize("block_tokens", [1, 30, 59, 10_000])
def test_sheet_holds_every_item_once(task: Task, block_tokens: int) -> None:
    items, sets = sheet(task, block_tokens), task.evaluation_sets()
    blocks, n_rows, length = items.tokens.shape
    assert length == max(one.tokens.shape[1] for one in sets)
    assert n_rows * length <= max(block_tokens, length)
    assert items.scored.shape == items.tokens.shape
    assert items.member.shape == (len(sets), blocks * n_rows)
    assert items.member.sum(0).max() == 1
    filled = items.scored.reshape(blocks * n_rows, length).any(1)
    assert np.array_equal(items.member.any(0), filled)
    assert (items.splits, items.lengths) == (tuple(s.split for s in sets), tuple(s.length for s in sets))
    for i, one in enumerate(sets):
        rest = length - one.tokens.shape[1]
        expected = {
            (*t, *[0] * rest, *s, *[False] * rest)
            for t, s in zip(one.tokens.tolist(), one.scored.tolist(), strict=True)
        }
        assert rows(items, i) == expected
        assert items.items[i] == items.member[i].sum() == len(expected)
        assert items.answers[i] == one.scored.sum()


@pytest.mark.parametrize("block_tokens", [1, 59])
def test_blocks_change_nothing(block_tokens: int) -> None:
    params = of_seed(trained(), 1)
    one, many = (
        compiled(functools.partial(scores, CELL.model, CELL.task.vocabulary, sheet(CELL.task, size)))(params)
        for size in (10_000, block_tokens)
    )
    assert len(sheet(CELL.task, block_tokens).tokens) > 2
    assert one.exact.tolist() == many.exact.tolist()
    assert one.right.tolist() == many.right.tolist()
    np.testing.assert_allclose(one.nll, many.nll, rtol=1e-5)


@pytest.mark.parametrize(("devices", "width"), [(1, 3), (2, 1)])
def test_scores_of_a_population(devices: int, width: int) -> None:
    items = sheet(CELL.task)
    one = functools.partial(scores, CELL.model, CELL.task.vocabulary, items)
    order = [0, 1, 2, 1, 0, 2]
    params = jax.tree.map(lambda leaf: leaf[np.array(order)], trained())
    layout = Layout(tuple(jax.devices()[:devices]), width)
    seen = over_seeds(one, layout)(jax.device_put(params, layout.sharding))
    alone = compiled(one)
    for i, seed in enumerate(order):
        expected = alone(of_seed(trained(), seed))
        assert seen.exact[i].tolist() == expected.exact.tolist()
        assert seen.right[i].tolist() == expected.right.tolist()
        np.testing.assert_allclose(seen.nll[i], expected.nll, rtol=1e-5)


def test_scores_of_another_model_differ() -> None:
    """The comparisons above would see other weights."""
    items = sheet(CELL.task)
    score = compiled(functools.partial(scores, CELL.model, CELL.task.vocabulary, items))
    nats = np.array([score(of_seed(trained(), i)).nll for i in range(len(SEEDS))])
    assert np.min(np.abs(np.diff(nats, axis=0)) / nats[1:]) > 1e-3
    assert neox(1, 20, 5, rotary_fraction=0.5, mlp_ratio=1.35) == CELL.model
