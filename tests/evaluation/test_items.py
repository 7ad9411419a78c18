"""Are the values of items those of the logits, one item at a time?"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxemerge.devices import Layout
from jaxemerge.evaluation import evaluate, prompts, scores, sheet
from jaxemerge.evaluation.metrics import EXACT_MATCH, METRICS
from jaxemerge.evaluation.score import answer_edits
from jaxemerge.models import apply, init
from small_cell import CELL
from toy_tasks import Echo

MODEL = replace(CELL.model, init_std=0.5)


@dataclass(frozen=True)
class Mixed(Echo):
    """Sets with no, one and two distractors to an item."""

    def evaluation_sets(self) -> Any:
        found = []
        for n, one in enumerate(super().evaluation_sets()):
            wrong = [np.where(one.scored, (one.tokens + i + 1) % 6, one.tokens) for i in range(n)]
            texts = np.stack(wrong, axis=1).astype(np.int32) if n else None
            found.append(replace(one, distractors=texts))
        return tuple(found)


TASKS = {"count": CELL.task, "mixed": Mixed()}


def params_of(task: Any, n: int = 3) -> Any:
    draw = jax.jit(jax.vmap(lambda key: init(MODEL, task.vocabulary, key)))
    return jax.tree.map(np.asarray, draw(jax.random.split(jax.random.key(2), n)))


def logs(task: Any, params: Any, text: np.ndarray) -> np.ndarray:
    """Log-probabilities of all tokens at every place, in float64; entry t predicts t + 1."""
    logits = np.asarray(_apply(task.vocabulary, params, text[None]), np.float64)[0]
    return logits - np.logaddexp.reduce(logits, axis=-1, keepdims=True)


_apply = jax.jit(lambda v, p, t: apply(MODEL, v, p, t), static_argnums=0)


@pytest.mark.parametrize("name", TASKS)
def test_values_one_by_one(name: str) -> None:
    task = TASKS[name]
    params = params_of(task)
    layout = Layout(tuple(jax.devices()[:2]), 1)
    seen = evaluate(task, MODEL, params, layout=layout, log_probabilities=True)
    items = seen.items
    assert items.choices is not None
    assert items.log_probabilities is not None
    e = 0
    for one in task.evaluation_sets():
        for n in range(len(one.tokens)):
            places = np.flatnonzero(one.scored[n])
            assert (seen.split[e], seen.length[e], seen.number[e]) == (one.split, one.length or -1, n)
            assert items.answers[e] == len(places)
            for s in range(3):
                weights = jax.tree.map(lambda leaf, s=s: leaf[s], params)
                found = logs(task, weights, one.tokens[n])[places - 1]
                target = one.tokens[n][places]
                each = found[np.arange(len(places)), target]
                hits = found.argmax(-1) == target
                assert items.right[s, e] == hits.sum()
                assert items.exact[s, e] == hits.all()
                assert items.nll[s, e] == pytest.approx(-each.sum(), rel=1e-5)
                brier = ((np.exp(found) - np.eye(task.vocabulary)[target]) ** 2).sum()
                assert items.brier[s, e] == pytest.approx(brier, rel=1e-4)
                kept = items.log_probabilities[s, e]
                np.testing.assert_allclose(kept[: len(places)], each, rtol=1e-4)
                assert np.isnan(kept[len(places) :]).all()
                wrong = [] if one.distractors is None else one.distractors[n]
                others = [logs(task, weights, w)[places - 1, w[places]].sum() for w in wrong]
                np.testing.assert_allclose(items.choices[s, e, : 1 + len(others)], [each.sum(), *others],
                                           rtol=1e-4)  # fmt: skip
                assert np.isneginf(items.choices[s, e, 1 + len(others) :]).all()
            e += 1
    assert (seen.vocabulary, seen.chance) == (task.vocabulary, task.chance)


@pytest.mark.parametrize("name", TASKS)
def test_sums_are_the_scores_of_the_sets(name: str) -> None:
    task = TASKS[name]
    params = params_of(task)
    seen = evaluate(task, MODEL, params, written=False).items
    assert seen.edits is None
    assert seen.log_probabilities is None
    items = sheet(task)
    where = np.repeat(np.arange(len(items.items)), items.items)
    for s in range(3):
        whole = jax.jit(lambda p: scores(MODEL, task.vocabulary, items, p))(
            jax.tree.map(lambda leaf, s=s: leaf[s], params)
        )
        for m in range(len(items.items)):
            assert seen.exact[s, where == m].sum() == whole.exact[m]
            assert seen.right[s, where == m].sum() == whole.right[m]
            assert seen.nll[s, where == m].sum() == pytest.approx(float(whole.nll[m]), rel=1e-5)


def test_every_metric_takes_them() -> None:
    items = evaluate(TASKS["mixed"], MODEL, params_of(TASKS["mixed"])).items
    for metric in METRICS:
        assert metric.of(items).shape == (3, 13)
    assert items.edits is not None
    assert np.array_equal(items.edits == 0, EXACT_MATCH.of(items) == 1)
    assert np.all(items.edits <= items.answers)


def test_edits_of_answers_that_end_early_or_have_given_tokens() -> None:
    """``0 1 | 2 3 (4) 5 .``: 4 is given, 6 is the end."""
    one = prompts(Echo().evaluation_sets()[0]).take([0])
    tokens = np.array([[0, 1, 2, 3, 4, 5, 6]], np.int32)
    scored = np.array([[False, False, True, True, False, True, True]])
    asked = replace(one, tokens=tokens, scored=scored, writes=scored)
    texts = np.array([
        [0, 1, 2, 3, 4, 5, 6],
        [0, 1, 2, 3, 4, 5, 0],  # no end: one token too many
        [0, 1, 2, 6, 4, -1, -1],  # two are missing
        [0, 1, 3, 5, 4, 6, -1],  # the first is missing
        [0, 1, 6, -1, 4, -1, -1],
    ])  # fmt: skip
    assert answer_edits(texts[:, None], asked, 6)[:, 0].tolist() == [0, 1, 2, 1, 3]
    assert answer_edits(texts[:, None], asked, None)[0, 0] == 0


def test_blocks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    from jaxemerge.evaluation import score as module

    task = TASKS["count"]
    whole = evaluate(task, MODEL, params_of(task), written=False).items
    monkeypatch.setattr(module, "in_blocks", lambda x, plain=module.in_blocks: plain(x, 59))
    parts = evaluate(task, MODEL, params_of(task), written=False).items
    np.testing.assert_array_equal(whole.right, parts.right)
    np.testing.assert_allclose(whole.choices, parts.choices, rtol=1e-5)
    assert jnp.isfinite(parts.brier).all()
