"""Does check_task find every breach of a task's contract, and say what to do about it?"""

from __future__ import annotations

import re
import sys
import types
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxemerge as je
from jaxemerge import Count, EvaluationSet, Example, Task, TaskMixture, check_task, cli
from toy_tasks import Echo


@dataclass(frozen=True)
class Cheap(Echo):
    """Echo, with its examples read off the bits of the key: compiles in no time."""

    def sample(self, key: jax.Array) -> Example:
        bits = jax.random.key_data(key)
        n = (1 + bits[0] % self.longest).astype(int)
        place = jnp.arange(self.max_length)
        tokens = jnp.where(place < n, (bits[1] % self.letters).astype(int), self.letters)
        return Example(tokens, jnp.where(place <= n, 1.0, 0.0), n + 1)


def broken(**members: Any) -> Task:
    """A good task with some of its members replaced."""
    return dataclass(frozen=True)(type("Broken", (Cheap,), members))()


def constant(value: Any) -> property:
    return property(lambda self: value)


def resampled(change: Callable[[Example, jax.Array], Any]) -> Task:
    """A good task whose examples are changed after they were drawn."""
    return broken(sample=lambda self, key: change(Cheap.sample(self, key), key))


def evaluated(change: Callable[[tuple[EvaluationSet, ...]], Any]) -> Task:
    """A good task whose evaluation sets are changed."""
    return broken(evaluation_sets=lambda self: change(Cheap.evaluation_sets(self)))


def one_set(**fields: Any) -> Task:
    """A good task with one evaluation set, some of its fields replaced, by functions anew in each call."""
    base = {"split": "test", "length": 3, "tokens": np.ones((4, 3), np.int32)}
    scored = np.tile([False, True, True], (4, 1))

    def made() -> EvaluationSet:
        own = {name: value() if callable(value) else value for name, value in fields.items()}
        return EvaluationSet(**{**base, "scored": scored, **own})

    return evaluated(lambda sets: (made(),))


class Unhashable(Cheap):
    __hash__ = None  # type: ignore[assignment]


@dataclass(frozen=True)
class Tabled(Cheap):
    """With a field of any kind."""

    table: Any = ()


class Plain(Task):  # no dataclass
    vocabulary = min_length = max_length = 3  # type: ignore[assignment]
    sample = Cheap.sample  # type: ignore[assignment]
    evaluation_sets = Cheap.evaluation_sets  # type: ignore[assignment]


def raising(error: Exception) -> Callable[..., Any]:
    def method(*arguments: Any) -> Any:
        raise error

    return method


numbers: Iterator[int] = iter(range(10**6))

BREACHES: dict[str, tuple[Callable[[], Any], str]] = {
    "no task": (lambda: 42, "int is no Task: subclass jaxemerge.Task"),
    "not hashable": (
        Unhashable,
        "Unhashable is not hashable: use @dataclass(frozen=True), and tuples for lists",
    ),
    "a class": (lambda: Cheap, "Cheap is a class: give a task of it, as Cheap()"),
    "vocabulary fails": (
        lambda: broken(vocabulary=property(raising(KeyError("x")))),
        "vocabulary fails: KeyError: 'x' (",
    ),
    "chance fails": (
        lambda: broken(chance=property(raising(KeyError("x")))),
        "chance fails: KeyError: 'x' (",
    ),
    "best loss a text": (lambda: broken(best_loss=constant("0")), "best_loss is '0': return nats"),
    "no dataclass": (Plain, "Plain is not hashable: use @dataclass(frozen=True)"),
    "vocabulary float": (
        lambda: broken(vocabulary=constant(6.0)),
        "vocabulary is 6.0: return a positive int",
    ),
    "vocabulary zero": (lambda: broken(vocabulary=constant(0)), "vocabulary is 0: return a positive int"),
    "length of NumPy": (
        lambda: broken(max_length=constant(np.int64(29))),
        "max_length is np.int64(29): return",
    ),
    "lengths exchanged": (
        lambda: broken(min_length=constant(30)),
        "min_length=30 is above max_length=29: swap or correct them",
    ),
    "branch on a traced value": (
        lambda: resampled(lambda e, key: e if e.length > 3 else None),
        "sample(key) fails under jax.jit: TracerBoolConversionError: ",
    ),
    "error without a message": (
        lambda: broken(sample=raising(NotImplementedError())),
        "sample(key) fails under jax.jit: NotImplementedError",
    ),
    "plain tuple": (
        lambda: resampled(lambda e, key: tuple(e)),
        "sample returns tuple: return Example(tokens, weights, length)",
    ),
    "tokens too short": (
        lambda: resampled(lambda e, key: e._replace(tokens=e.tokens[:23])),
        "sample's tokens have shape (23,): pad to (29,), as max_length says",
    ),
    "weights too short": (
        lambda: resampled(lambda e, key: e._replace(weights=e.weights[:23])),
        "sample's weights have shape (23,): pad to (29,), as max_length says",
    ),
    "length an array": (
        lambda: resampled(lambda e, key: e._replace(length=e.length[None])),
        "sample's length have shape (1,): pad to ()",
    ),
    "tokens a list": (
        lambda: resampled(lambda e, key: e._replace(tokens=list(e.tokens))),
        "sample's tokens are a list: return an array, of jax.numpy",
    ),
    "tokens float": (
        lambda: resampled(lambda e, key: e._replace(tokens=1.0 * e.tokens)),
        "sample's tokens are float32: use integers",
    ),
    "weights bool": (
        lambda: resampled(lambda e, key: e._replace(weights=e.weights > 0)),
        "sample's weights are bool: use floats",
    ),
    "length float": (
        lambda: resampled(lambda e, key: e._replace(length=1.0 * e.length)),
        "sample's length are float32: use integer",
    ),
    "key ignored": (
        lambda: broken(sample=lambda self, key: Cheap.sample(self, jax.random.key(3))),
        "sample ignores its key: 256 keys gave the same example; draw with jax.random",
    ),
    "key decides padding only": (
        lambda: resampled(
            lambda e, key: Example(jnp.where(jnp.arange(29) < 3, 1, e.tokens), 1.0 * (jnp.arange(29) < 3), 3)
        ),
        "sample ignores its key: 256 keys gave the same example; draw with jax.random",
    ),
    "few hidden draws": (  # the first of which are alike
        lambda: resampled(lambda e, key: e._replace(tokens=(e.tokens + int(next(numbers) % 3 == 2)) % 6)),
        "sample gives another example for the same key: use no randomness or state but the key",
    ),
    "end not learnt": (
        lambda: broken(
            end=constant(5),
            sample=lambda self, key: (e := Cheap.sample(self, key))._replace(weights=1.0 * (e.tokens < 5)),
        ),
        "end=5 is never learnt: give it a weight where an answer ends, or return None for end",
    ),
    "state beside the key": (
        lambda: broken(sample=lambda self, key: Cheap.sample(self, jax.random.fold_in(key, next(numbers)))),
        "sample gives another example for the same key: use no randomness or state but the key",
    ),
    "too long": (
        lambda: resampled(lambda e, key: e._replace(length=e.length + 2)),
        "they must lie within min_length=2 and max_length=29",
    ),
    "too short": (
        lambda: resampled(lambda e, key: e._replace(length=e.length - 1)),
        "sample's lengths run from 1 to 28: they must lie within min_length=2 and max_length=29",
    ),
    "token beyond the vocabulary": (
        lambda: resampled(lambda e, key: e._replace(tokens=e.tokens + 1)),
        "sample's tokens run from 1 to 6: they must lie in [0, vocabulary=6)",
    ),
    "negative token": (
        lambda: resampled(lambda e, key: e._replace(tokens=e.tokens - 1)),
        "sample's tokens run from -1 to 4: they must lie in [0, vocabulary=6)",
    ),
    "negative weight": (
        lambda: resampled(lambda e, key: e._replace(weights=-e.weights)),
        "sample's weights are negative or not finite: use 0 for tokens not learnt, 1 for others",
    ),
    "weight not a number": (
        lambda: resampled(lambda e, key: e._replace(weights=e.weights / 0)),
        "sample's weights are negative or not finite",
    ),
    "weight on padding": (
        lambda: resampled(lambda e, key: e._replace(weights=jnp.ones(29))),
        "sample's weights are not 0 beyond the example's length: set them to 0 there",
    ),
    "nothing to learn": (
        lambda: resampled(lambda e, key: e._replace(weights=0 * e.weights)),
        "sample's weights are all zero: give the tokens to be learnt a positive weight",
    ),
    "only the first token to learn": (
        lambda: resampled(lambda e, key: e._replace(weights=e.weights.at[1:].set(0))),
        "sample's weights are all zero",
    ),
    "name with a path": (
        lambda: broken(name=constant("../count")),
        "name is '../count': it names folders, so use letters, digits and _ alone",
    ),
    "name no text": (lambda: broken(name=constant(None)), "name is None: it names folders, so use letters"),
    "field a function": (
        lambda: Tabled(table=len),
        "field table holds <built-in function len>, which cannot be written into a results folder: use",
    ),
    "field of NumPy": (
        lambda: Tabled(table=((1, np.int64(2)),)),
        "field table holds ((1, np.int64(2)),), which cannot be written",
    ),
    "field infinite": (
        lambda: Tabled(table=float("inf")),
        "field table holds inf, which cannot be written",
    ),
    "field of a task within": (
        lambda: TaskMixture((Tabled(table=len), Cheap())),
        "field tasks holds (Tabled(",
    ),
    "best loss above that of guessing": (
        lambda: broken(best_loss=constant(2.0)),  # ln 6 is 1.79
        "best_loss is 2.0: return nats per weighted token, 0 to ln(vocabulary), or None",
    ),
    "best loss negative": (lambda: broken(best_loss=constant(-0.1)), "best_loss is -0.1: return nats"),
    "end beyond the vocabulary": (
        lambda: broken(end=constant(6)),
        "end is 6: return a token in [0, vocabulary=6), or None",
    ),
    "end a truth": (lambda: broken(end=constant(True)), "end is True: return a token in [0, vocabulary=6)"),
    "chance in percent": (
        lambda: broken(chance=constant(50)),
        "chance is 50: return the probability of guessing an exact answer, in [0, 1]",
    ),
    "chance of NumPy": (
        lambda: broken(chance=constant(np.float32(0.5))),
        "chance is np.float32(0.5): return the probability",
    ),
    "evaluation drawn anew": (
        lambda: evaluated(
            lambda sets: (replace(sets[0], tokens=sets[0].tokens ^ (next(numbers) & 1)), *sets[1:])
        ),
        "evaluation_sets() gives other items when called again: draw them from a fixed seed",
    ),
    "evaluation of another number": (
        lambda: evaluated(lambda sets: sets[next(numbers) % 2 :]),
        "evaluation_sets() gives other items when called again: draw them from a fixed seed",
    ),
    "distractors drawn anew": (
        lambda: one_set(distractors=lambda: np.tile([1, 1, 2 + (next(numbers) & 1)], (4, 1, 1))),
        "evaluation_sets() gives other items when called again: draw them from a fixed seed",
    ),
    "split called anew": (
        lambda: one_set(split=lambda: f"test{next(numbers)}"),
        "evaluation_sets() gives other items when called again: draw them from a fixed seed",
    ),
    "split a number": (lambda: one_set(split=3), "an evaluation set's split is 3: give it a name, as 'test'"),
    "length of a set float": (
        lambda: one_set(length=3.0),
        "evaluation set 'test' of length 3.0: give its length as an int, or None",
    ),
    "evaluation tokens a list": (
        lambda: one_set(tokens=[[1, 1, 1], [1, 1]]),
        "evaluation set 'test' of length 3: tokens are a list: give a NumPy array",
    ),
    "evaluation fails": (
        lambda: broken(evaluation_sets=raising(KeyError("letters"))),
        "evaluation_sets() fails: KeyError: 'letters'",
    ),
    "list of sets": (
        lambda: evaluated(list),
        "evaluation_sets() must return a tuple of one or more EvaluationSet",
    ),
    "no set": (lambda: evaluated(lambda s: ()), "must return a tuple of one or more EvaluationSet"),
    "arrays for sets": (lambda: evaluated(lambda s: (s[0].tokens,)), "must return a tuple of one or more"),
    "two of a name": (
        lambda: evaluated(lambda s: (*s, s[1])),
        "two evaluation sets are called ('long', 11): give each its own split or length",
    ),
    "evaluation tokens float": (
        lambda: one_set(tokens=np.ones((4, 3))),
        "set 'test' of length 3: tokens are float64 of shape (4, 3): give integers [items, positions]",
    ),
    "one item, no axis": (
        lambda: one_set(tokens=np.ones(3, np.int32), length=None),
        "evaluation set 'test': tokens are int32 of shape (3,): give integers [items, positions]",
    ),
    "no item": (lambda: one_set(tokens=np.ones((0, 3), np.int32)), "tokens are int32 of shape (0, 3): give"),
    "no position": (
        lambda: one_set(tokens=np.ones((4, 0), np.int32)),
        "tokens are int32 of shape (4, 0): give",
    ),
    "scored of another shape": (
        lambda: one_set(scored=np.ones((4, 2), bool)),
        "evaluation set 'test' of length 3: scored is bool of shape (4, 2): give bool (4, 3)",
    ),
    "scored a number": (
        lambda: one_set(scored=np.tile([0, 1, 1], (4, 1))),
        "scored is int64 of shape (4, 3): give bool (4, 3)",
    ),
    "evaluation token beyond the vocabulary": (
        lambda: one_set(tokens=np.full((4, 3), 6)),
        "evaluation set 'test' of length 3: tokens run from 6 to 6: they must lie in [0, vocabulary=6)",
    ),
    "first position scored": (
        lambda: one_set(scored=np.ones((4, 3), bool)),
        "position 0 is scored, but nothing comes before it to predict it from",
    ),
    "item without a scored token": (
        lambda: one_set(scored=np.array([[False, True, True]] * 3 + [[False] * 3])),
        "1 items have no scored token: score at least one",
    ),
    "end within an answer": (
        lambda: broken(end=constant(3)),  # the sets' letters are 0 to 4, three times or more
        "end=3 stands before the last scored token of 1 items: an answer stops there; use another end",
    ),
    "accepts fails": (
        lambda: broken(accepts=lambda self, text, reference, scored: text == [1]),
        "accepts(text, reference, scored) fails under jax.vmap: TypeError: ",
    ),
    "accepts tells of every token": (
        lambda: broken(accepts=lambda self, text, reference, scored: text == reference),
        "accepts returns bool of shape (4,): return one bool",
    ),
    "accepts a number": (
        lambda: broken(accepts=lambda self, text, reference, scored: jnp.sum(text == reference)),
        "accepts returns int32 of shape (): return one bool",
    ),
    "accepts no reference": (
        lambda: broken(accepts=lambda self, text, reference, scored: jnp.any(text != reference)),
        "accepts refuses 5 references: accept at least these",
    ),
    "accepts nothing for an answer": (
        lambda: broken(accepts=lambda self, text, reference, scored: jnp.asarray(True)),
        "accepts takes 5 texts with -1 (nothing) for an answer: refuse them",
    ),
    "distractors float": (
        lambda: one_set(distractors=np.ones((4, 2, 3))),
        "set 'test' of length 3: distractors are float64 of shape (4, 2, 3): give integers [items, choices,",
    ),
    "one distractor, no axis": (
        lambda: one_set(distractors=np.ones((4, 3), int)),
        "distractors are int64 of shape (4, 3): give integers [items, choices, positions]",
    ),
    "distractors of other items": (
        lambda: one_set(distractors=np.ones((3, 2, 3), int)),
        "distractors have shape (3, 2, 3): give (4, choices, 3), as tokens have",
    ),
    "distractor beyond the vocabulary": (
        lambda: one_set(distractors=np.tile([1, 1, 6], (4, 1, 1))),
        "evaluation set 'test' of length 3: distractors run from 1 to 6: they must lie in [0, vocabulary=6)",
    ),
    "distractors to another question": (
        lambda: one_set(distractors=np.tile([2, 1, 2], (4, 1, 1))),
        "distractors differ from tokens where nothing is scored: change the answer alone",
    ),
    "a distractor that is right": (
        lambda: one_set(distractors=np.array([[[1, 2, 1], [1, 1, 1]]] * 4)),
        "4 distractors equal their item: make them wrong answers",
    ),
}


# Told of every evaluation set that has the fault.
OF_EACH_SET = {"end within an answer", *(name for name in BREACHES if name.startswith("accepts"))}


@pytest.mark.parametrize("task", [Count(), Echo(), Cheap()], ids=str)
def test_good_tasks(task: Task) -> None:
    assert check_task(task) == ()


@pytest.mark.parametrize("name", BREACHES)
def test_breach(name: str) -> None:
    make, message = BREACHES[name]
    problems = check_task(make())
    assert problems
    assert message in problems[0]
    if name not in OF_EACH_SET:
        assert len(problems) == 1


def test_all_problems_of_a_stage_are_told() -> None:
    task = resampled(lambda e, key: Example(e.tokens[:23], 1 + 0 * e.tokens, e.length))
    assert len(check_task(task)) == 2
    task = one_set(tokens=np.full((4, 3), 9), scored=np.array([[True] * 3] + [[False] * 3] * 3))
    assert len(check_task(task)) == 3


# Breaches that would otherwise come out as a wrong result, not as an error.
SILENT = {
    name: BREACHES[name]
    for name in (
        "token beyond the vocabulary",
        "nothing to learn",
        "key ignored",
        "state beside the key",
        "first position scored",
        "item without a scored token",
        "evaluation drawn anew",
    )
}


def experiment(task: Task, **changes: Any) -> je.Experiment:
    recipe: dict[str, Any] = {"steps": 2, "batch": 2, "context": 40, "seeds": je.paired(range(2)), **changes}
    return je.Experiment(task, je.neox(1, 12, 3, rotary_fraction=0.5), **recipe)


def no_training(*arguments: Any, **options: Any) -> None:
    raise AssertionError("training began")


@pytest.mark.parametrize("name", SILENT)
def test_training_refuses_a_breach_with_its_reason(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    make, message = SILENT[name]
    monkeypatch.setattr(sys.modules["jaxemerge.runner.train"], "make_plan", no_training)
    with pytest.raises(ValueError, match=re.escape(message)) as refused:
        je.train(experiment(make()))
    assert str(refused.value).startswith("task broken: ")
    assert "\n" not in str(refused.value)
    with pytest.raises(AssertionError, match="training began"):
        je.train(experiment(Cheap()))


@pytest.mark.parametrize("name", SILENT)
def test_the_command_line_refuses_a_breach_and_writes_nothing(
    name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make, message = SILENT[name]
    study = types.SimpleNamespace(cells=lambda quick: (experiment(make()),))
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as stopped:
        cli.main(["broken"], {"broken": study})
    assert stopped.value.code == 2
    output = capsys.readouterr()
    assert message in output.err
    assert (output.out, output.err.count("\n")) == ("", 1)
    assert list(tmp_path.iterdir()) == []


def test_examples_longer_than_the_context_are_refused() -> None:
    with pytest.raises(
        ValueError, match=r"^context=28 is shorter than the longest example of cheap: it must be at least 29"
    ):
        experiment(Cheap(), context=28)


def test_names() -> None:
    assert Echo().name == "echo"
    assert type("InContextDates", (Echo,), {})().name == "in_context_dates"
