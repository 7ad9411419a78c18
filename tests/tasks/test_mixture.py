"""Does a mixture hand on its tasks' examples and items unchanged, but for the tokens it documents?"""

from __future__ import annotations

import collections
import inspect
import json
import re
from typing import Any

import jax
import numpy as np
import pytest
from scipy import stats

from jaxemerge import Experiment, neox
from jaxemerge.runner.experiment import Experiment as Spec
from jaxemerge.runner.labels import flat_fields, varied_fields
from jaxemerge.runner.sweep import parse
from jaxemerge.tasks import (
    Addition,
    Count,
    InContext,
    Modular,
    Parity,
    Rewrite,
    Task,
    TaskMixture,
    check_task,
)

PARTS: tuple[Task, ...] = (
    Count(11, 4, (4, 7)),
    Rewrite("sort", symbols=5, train_length=4, test_lengths=(3,)),
    Parity(train_length=6, test_lengths=(6,)),
)
KINDS = [(shared, marked) for shared in (True, False) for marked in (True, False)]


def mixed(shared: bool = True, marked: bool = True, weights: tuple[float, ...] = (1, 2, 1)) -> TaskMixture:
    return TaskMixture(PARTS, weights, shared, marked)


def offset(index: int, shared: bool) -> int:
    """What the documentation says is added to the tokens of a task."""
    return 0 if shared else sum(part.vocabulary for part in PARTS[:index])


def mark(index: int, shared: bool) -> int:
    sizes = [part.vocabulary for part in PARTS]
    return (max(sizes) if shared else sum(sizes)) + index


@pytest.mark.parametrize(("shared", "marked"), KINDS)
def test_items_are_those_of_the_tasks(shared: bool, marked: bool) -> None:
    task = mixed(shared, marked)
    expected = [(i, part, one) for i, part in enumerate(PARTS) for one in part.evaluation_sets()]
    for found, (i, part, one) in zip(task.evaluation_sets(), expected, strict=True):
        assert (found.split, found.length) == (f"{part.name}/test", one.length)
        rows = [
            [mark(i, shared)] * marked + [t + offset(i, shared) for t in row] for row in one.tokens.tolist()
        ]
        assert found.tokens.tolist() == rows
        assert found.scored.tolist() == [[False] * marked + row for row in one.scored.tolist()]
        assert (found.distractors is None) == (one.distractors is None)
        if found.distractors is not None and one.distractors is not None:
            own = found.distractors[:, :, int(marked) :] - offset(i, shared)
            assert np.array_equal(own, one.distractors)
            assert (found.distractors[:, :, : int(marked)] == mark(i, shared)).all()


def test_examples_are_those_of_the_tasks_in_the_shares_asked_for() -> None:
    """Marks say which task an example is of; without its mark it must be an example of that task."""
    task = mixed(shared=False)
    tokens, weights, lengths = map(
        np.asarray, jax.jit(jax.vmap(task.sample))(jax.random.split(jax.random.key(0), 10_000))
    )
    texts: dict[int, set] = collections.defaultdict(set)
    for ids, learnt, length in zip(tokens, weights, lengths, strict=True):
        index = int(ids[0]) - mark(0, shared=False)
        assert learnt[0] == 0
        assert not learnt[length:].any()
        own = tuple(int(t) - offset(index, shared=False) for t in ids[1:length])
        texts[index].add((own, tuple(learnt[1:length].tolist())))
        counted = texts[-1 - index]
        counted.add(len(counted))
    assert stats.chisquare([len(texts[-1 - i]) for i in range(3)], [2500, 5000, 2500]).pvalue > 1e-3
    for index, part in enumerate(PARTS):
        drawn = jax.jit(jax.vmap(part.sample))(jax.random.split(jax.random.key(1), 60_000))
        rows = zip(*map(np.asarray, drawn), strict=True)
        possible = {(tuple(t[:n].tolist()), tuple(w[:n].tolist())) for t, w, n in rows}
        assert len(possible) < 1_000  # few enough that all of them were drawn
        assert texts[index] <= possible
        assert len(texts[index]) > 30


def test_worked_examples_are_drawn() -> None:
    text = inspect.getdoc(TaskMixture) or ""
    for call, block in re.findall(r"``(TaskMixture\(.*?\))``.*:\n((?:\n(?: {4}.*\n)+)+)", text):
        task = {
            "TaskMixture((Parity(), Modular(5)))": TaskMixture((Parity(), Modular(5))),
            "TaskMixture((Parity(), Modular(5)), shared=False)": TaskMixture(
                (Parity(), Modular(5)), shared=False
            ),
        }[call]
        lines = [[int(word) for word in line.split()] for line in block.splitlines() if line.strip()]
        assert len(lines) == 4
        draw = jax.jit(jax.vmap(task.sample))(jax.random.split(jax.random.key(0), 10_000))
        rows = zip(*(np.asarray(x).tolist() for x in draw), strict=True)
        found = {(*ids[:n], *learnt[:n]) for ids, learnt, n in rows}
        for ids, learnt in zip(lines[::2], lines[1::2], strict=True):
            assert (*ids, *map(float, learnt)) in found


def test_tokens_are_shared_or_apart() -> None:
    assert mixed().vocabulary == 15 + 3
    assert mixed(marked=False).vocabulary == 15
    assert mixed(shared=False).vocabulary == 15 + 7 + 3 + 3
    assert mixed(shared=False).offsets == (0, 15, 22, 25)
    assert mixed().offsets == (0, 0, 0, 15)
    assert (mixed().min_length, mixed().max_length) == (4, 11)


@pytest.mark.parametrize(("shared", "marked"), KINDS)
def test_keeps_the_contract(shared: bool, marked: bool) -> None:
    task = TaskMixture((PARTS[0], PARTS[2]), (), shared, marked)
    assert check_task(task) == ()
    assert task.chance == 0.5


@pytest.mark.parametrize(("shared", "marked"), KINDS)
def test_answers_are_judged_by_their_own_task(shared: bool, marked: bool) -> None:
    sums = Addition(hints=False, carries=True, test_digits=(2,))
    task = TaskMixture((PARTS[2], sums), (), shared, marked)
    parity, addition = task.evaluation_sets()
    accepts = jax.jit(jax.vmap(task.accepts))
    for one in (parity, addition):
        assert accepts(one.tokens, one.tokens, one.scored).all()
        assert not accepts(np.where(one.scored, one.tokens + 1, one.tokens), one.tokens, one.scored).any()
        assert not accepts(np.where(one.scored, -1, one.tokens), one.tokens, one.scored).any()
    text = addition.tokens.copy()
    carry = text[:, int(marked) + 7]  # that of the lowest digits, a token of two neighbouring ids
    text[:, int(marked) + 7] = carry.min() + carry.max() - carry
    # Addition accepts wrong carries; where it cannot be told from parity, only the reference is right.
    assert accepts(text, addition.tokens, addition.scored).all() == (marked or not shared)


def test_the_end_is_one_token_or_none() -> None:
    words: tuple[Task, ...] = (Rewrite("copy"), Rewrite("sort"))
    assert TaskMixture(words).end == Rewrite().end
    assert TaskMixture(words, shared=False).end is None
    assert mixed().end is None


def test_best_loss_is_known_where_tasks_can_be_told_apart() -> None:
    rules: tuple[Task, ...] = (InContext("identity"), InContext("reversal"))
    assert TaskMixture(rules).best_loss == 0
    assert TaskMixture(rules, marked=False).best_loss is None  # the first answer is a guess
    assert TaskMixture(rules, shared=False, marked=False).best_loss == 0


def test_tasks_of_one_name_are_numbered() -> None:
    task = TaskMixture((Modular(5), Modular(7), Parity(), Modular(5, "add", 0.3)))
    assert task.labels == ("modular", "modular2", "parity", "modular3")
    assert [one.split for one in task.evaluation_sets()][:4] == [
        "modular/train",
        "modular/held_out",
        "modular2/train",
        "modular2/held_out",
    ]


def experiment(task: Task) -> Experiment:
    return Experiment(task, neox(1, 24, 3), steps=3, batch=2, context=40)


@pytest.mark.parametrize(
    "task", [mixed(), TaskMixture((mixed(marked=False), Modular(5)), shared=False)], ids=str
)
def test_json_gives_back_nested_tasks(task: TaskMixture) -> None:
    one = experiment(task)
    again = Spec.from_json(one.to_json())
    assert again == one
    assert again.cell == one.cell
    assert hash(again) == hash(one)


def test_json_names_an_unknown_task_within_a_task() -> None:
    fields = json.loads(experiment(mixed()).to_json())
    fields["task"]["tasks"][1]["kind"] = "Nope"
    with pytest.raises(ValueError, match="task 'Nope' is unknown: must be one of Addition, "):
        Spec.from_json(json.dumps(fields))
    fields["task"]["tasks"][1] = {"kind": "Parity", "bits": 3}
    with pytest.raises(ValueError, match="Parity has no field 'bits': must be one of items"):
        Spec.from_json(json.dumps(fields))


def test_cells_that_differ_within_a_task_differ() -> None:
    other = TaskMixture((Count(11, 4, (4, 6)), *PARTS[1:]), (1, 2, 1))
    cells = [experiment(mixed()), experiment(other)]
    assert cells[0].cell != cells[1].cell
    flat = [flat_fields(cell.to_dict()) for cell in cells]
    assert varied_fields(flat) == ["task.tasks.0.test_lengths"]
    assert flat[0]["task.tasks.1.operation"] == "sort"


def test_weights_can_be_set_by_hand_and_tasks_cannot() -> None:
    base = experiment(mixed())
    assert parse(base, "task.weights=1,2.5,3") == ("task.weights", ((1.0, 2.5, 3.0),))
    assert parse(base, "task.marked=False") == ("task.marked", (False,))
    for text, message in (
        ("task.weights=a,b", "task.weights=a,b: must be numbers with commas between them"),
        ("task.tasks=count", "task.tasks=count: must be given in a study"),
        ("task.tasks.0.numbers=9", r"unknown field task\.tasks\.0: task\.tasks is a plain value"),
    ):
        with pytest.raises(ValueError, match=message):
            parse(base, text)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"tasks": (Count(),)}, "tasks: 1 given; a mixture has two or more"),
        ({"tasks": (Count(), 3)}, "tasks: 3 is no Task"),
        ({"tasks": PARTS, "weights": (1,)}, r"weights=\(1\.0,\): give one for each of 3 tasks, or none"),
        ({"tasks": PARTS, "weights": (1, 0, 1)}, r"weights=\(1\.0, 0\.0, 1\.0\): must be positive"),
        ({"tasks": PARTS, "weights": (1, float("nan"), 1)}, r"weights=\(1\.0, nan, 1\.0\): must be positive"),
    ],
)
def test_errors(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=f"^{message}$"):
        TaskMixture(**values)
