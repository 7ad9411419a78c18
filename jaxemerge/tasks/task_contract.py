"""Does a task fulfil its contract? One call lists what to fix.

>>> check_task(Count())
()
"""

from __future__ import annotations

import dataclasses
import functools
import math
import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxemerge.code import first_problems, is_plain, told
from jaxemerge.inputs import digests
from jaxemerge.tasks.task import EvaluationSet, Example, Task
from jaxemerge.types import Key

_DRAWS = 256
_TRACES = 3  # hidden randomness may draw the same again once
_DECLARED = ("name", "vocabulary", "min_length", "max_length", "best_loss", "end", "chance")


def check_task(task: Task) -> tuple[str, ...]:
    """Lists every way in which a task breaks its contract.

    Draws a few hundred examples, compiled and mapped as in training, and reads all evaluation sets.

    Args:
        task: an instance of a Task subclass.

    Returns:
        One sentence per problem, each saying what was seen and what to do; empty if there is none.
    """
    stages = (declaration_problems, _files_and_data, _signature, _examples, _evaluation)
    return first_problems(functools.partial(stage, task) for stage in stages)


def declaration_problems(task: Task) -> Iterator[str]:
    """What is wrong with a task before it is asked for examples."""
    if isinstance(task, type) and issubclass(task, Task):
        yield f"{task.__name__} is a class: give a task of it, as {task.__name__}()"
        return
    if not isinstance(task, Task):
        yield f"{type(task).__name__} is no Task: subclass jaxemerge.Task"
        return
    if not dataclasses.is_dataclass(task) or not _hashable(task):
        yield f"{type(task).__name__} is not hashable: use @dataclass(frozen=True), and tuples for lists"
        return
    for field in dataclasses.fields(task):
        if not is_plain(getattr(task, field.name), within=Task):
            yield (
                f"field {field.name} holds {getattr(task, field.name)!r}, which cannot be written into a "
                "results folder: use numbers, text, True, False, None, tuples of these, and tasks"
            )
    said: dict[str, Any] = {}
    failures = [failure for name in _DECLARED if (failure := _asked(task, name, said))]
    yield from failures or _values(**said)


def _asked(task: Task, name: str, said: dict[str, Any]) -> str | None:
    """Adds what a property says, each asked once as some compute; or else tells what its code raises."""
    try:
        said[name] = getattr(task, name)
    except Exception as error:  # whatever it is
        return f"{name} fails: {told(error, [type(task)])}"
    return None


def _values(
    *, name: Any, vocabulary: Any, min_length: Any, max_length: Any, best_loss: Any, end: Any, chance: Any
) -> Iterator[str]:
    """What is wrong with what a task says of itself."""
    if not isinstance(name, str) or not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.+-]*", name):
        yield f"name is {name!r}: it names folders, so use letters, digits and _ alone"
    sizes = {"vocabulary": vocabulary, "min_length": min_length, "max_length": max_length}
    for what, value in sizes.items():
        if type(value) is not int or value < 1:
            yield f"{what} is {value!r}: return a positive int"
            return
    if min_length > max_length:
        yield f"min_length={min_length} is above max_length={max_length}: swap or correct them"
    number = isinstance(best_loss, (int, float)) and not isinstance(best_loss, bool)
    if best_loss is not None and not (number and 0 <= best_loss <= math.log(vocabulary)):
        yield f"best_loss is {best_loss!r}: return nats per weighted token, 0 to ln(vocabulary), or None"
    if end is not None and (type(end) is not int or not 0 <= end < vocabulary):
        yield f"end is {end!r}: return a token in [0, vocabulary={vocabulary}), or None"
    if type(chance) not in (int, float) or not 0 <= chance <= 1:
        yield f"chance is {chance!r}: return the probability of guessing an exact answer, in [0, 1]"


def _hashable(value: Any) -> bool:
    try:
        hash(value)
    except TypeError:
        return False
    return True


def _files_and_data(task: Task) -> Iterator[str]:
    try:
        digests(task)
        data = task.data
    except ValueError as error:  # what a task says of its files
        yield str(error)
        return
    except Exception as error:  # whatever the author's code raises is the finding
        yield f"files or data fail: {told(error, [type(task)])}"
        return
    if not isinstance(data, tuple) or not all(isinstance(each, np.ndarray | jax.Array) for each in data):
        yield f"data is a {type(data).__name__}: return a tuple of arrays"


def _signature(task: Task) -> Iterator[str]:
    try:
        example = jax.eval_shape(task.sample, jax.random.key(0), *task.data)
    except Exception as error:  # whatever the author's code raises is the finding
        yield f"sample(key) fails under jax.jit: {told(error, [type(task)])}"
        return
    if not isinstance(example, Example):
        yield f"sample returns {type(example).__name__}: return Example(tokens, weights, length)"
        return
    for name, shape, kind, word in (
        ("tokens", (task.max_length,), jnp.integer, "integers"),
        ("weights", (task.max_length,), jnp.floating, "floats"),
        ("length", (), jnp.integer, "integer"),
    ):
        array = getattr(example, name)
        if not hasattr(array, "shape"):
            yield f"sample's {name} are a {type(array).__name__}: return an array, of jax.numpy"
        elif array.shape != shape:
            yield f"sample's {name} have shape {array.shape}: pad to {shape}, as max_length says"
        elif not jnp.issubdtype(array.dtype, kind):
            yield f"sample's {name} are {array.dtype}: use {word}"


def _examples(task: Task) -> Iterator[str]:
    keys = jax.random.split(jax.random.key(0), _DRAWS)
    program = _traced(task, keys)
    run = program.compile()
    tokens, weights, lengths = first = _drawn(run, task, keys)
    inside = np.arange(task.max_length) < lengths[:, None]
    read = np.where(inside, tokens, 0)
    if task.max_length > 1 and np.all(read == read[0]) and np.all(lengths == lengths[0]):
        yield f"sample ignores its key: {_DRAWS} keys gave the same example; draw with jax.random"
    again = (_traced(task, keys) for _ in range(_TRACES))  # so that hidden randomness or state shows
    other = next((each for each in again if each.as_text() != program.as_text()), None)
    if not _same(first, _drawn(other.compile() if other else run, task, keys)):
        yield "sample gives another example for the same key: use no randomness or state but the key"
    if lengths.min() < task.min_length or lengths.max() > task.max_length:
        yield (
            f"sample's lengths run from {lengths.min()} to {lengths.max()}: they must lie within "
            f"min_length={task.min_length} and max_length={task.max_length}"
        )
        return
    yield from _token_range("sample's tokens", tokens[inside], task.vocabulary)
    if not np.all(np.isfinite(weights)) or weights.min() < 0:
        yield "sample's weights are negative or not finite: use 0 for tokens not learnt, 1 for others"
    elif np.any(weights[~inside] != 0):
        yield "sample's weights are not 0 beyond the example's length: set them to 0 there"
    elif not np.any(weights[:, 1:] > 0):
        yield "sample's weights are all zero: give the tokens to be learnt a positive weight"
    elif task.end is not None and not np.any((tokens == task.end) & (weights > 0)):
        yield f"end={task.end} is never learnt: give it a weight where an answer ends, or return None for end"


def _traced(task: Task, keys: Key) -> jax.stages.Lowered:
    """The program that draws examples of many keys."""
    sample: Callable[..., Example] = task.sample
    draw = jax.vmap(lambda key, *data: sample(key, *data), in_axes=(0, *(None for _ in task.data)))
    return jax.jit(draw).lower(keys, *task.data)


def _drawn(run: jax.stages.Compiled, task: Task, keys: Key) -> list[np.ndarray]:
    return [np.asarray(x) for x in run(keys, *task.data)]


def _same(left: Sequence[np.ndarray], right: Sequence[np.ndarray]) -> bool:
    return all(np.array_equal(a, b, equal_nan=True) for a, b in zip(left, right, strict=True))


def _evaluation(task: Task) -> Iterator[str]:
    try:
        sets, again = task.evaluation_sets(), task.evaluation_sets()
    except Exception as error:  # whatever the author's code raises is the finding
        yield f"evaluation_sets() fails: {told(error, [type(task)])}"
        return
    if not isinstance(sets, tuple) or not sets or not all(isinstance(s, EvaluationSet) for s in sets):
        yield "evaluation_sets() must return a tuple of one or more EvaluationSet"
        return
    problems = [problem for one in sets for problem in _form(one)]
    if problems:
        yield from problems
        return
    names = [(s.split, s.length) for s in sets]
    for name in {n for n in names if names.count(n) > 1}:
        yield f"two evaluation sets are called {name}: give each its own split or length"
    for one in sets:
        yield from _evaluation_set(task, one)
    if len(again) != len(sets) or not all(map(_equal, sets, again)):
        yield "evaluation_sets() gives other items when called again: draw them from a fixed seed"


def _equal(one: EvaluationSet, other: EvaluationSet) -> bool:
    return (one.split, one.length) == (other.split, other.length) and all(
        np.array_equal(getattr(one, name), getattr(other, name))
        for name in ("tokens", "scored", "distractors")
    )


def _form(one: EvaluationSet) -> Iterator[str]:
    """What is not even of the right kind."""
    if not isinstance(one.split, str) or not one.split.strip() or not one.split.isprintable():
        yield f"an evaluation set's split is {one.split!r}: give it a name, as 'test'"
    if one.length is not None and (type(one.length) is not int or one.length < 0):
        yield f"{_named(one)}: give its length as an int, or None"
    for name in ("tokens", "scored", "distractors"):
        value = getattr(one, name)
        if not isinstance(value, np.ndarray | jax.Array) and (name != "distractors" or value is not None):
            yield f"{_named(one)}: {name} are a {type(value).__name__}: give a NumPy array"


def _named(one: EvaluationSet) -> str:
    return f"evaluation set {one.split!r}" + ("" if one.length is None else f" of length {one.length!r}")


def _evaluation_set(task: Task, one: EvaluationSet) -> Iterator[str]:
    where = _named(one)
    tokens, scored = np.asarray(one.tokens), np.asarray(one.scored)
    if tokens.ndim != 2 or not tokens.size or not np.issubdtype(tokens.dtype, np.integer):
        yield f"{where}: tokens are {tokens.dtype} of shape {tokens.shape}: give integers [items, positions]"
    elif scored.shape != tokens.shape or scored.dtype != bool:
        yield f"{where}: scored is {scored.dtype} of shape {scored.shape}: give bool {tokens.shape}"
    else:
        yield from _token_range(f"{where}: tokens", tokens, task.vocabulary)
        if scored[:, 0].any():
            yield f"{where}: position 0 is scored, but nothing comes before it to predict it from"
        unscored = int((~scored.any(axis=1)).sum())
        if unscored:
            yield f"{where}: {unscored} items have no scored token: score at least one"
            return
        yield from _ends(where, task, tokens, scored)
        if type(task).accepts is not Task.accepts:  # the default is known to be right
            yield from _accepted(where, task, tokens, scored)
        if one.distractors is not None:
            yield from _distractors(where, task, one)


def _ends(where: str, task: Task, tokens: np.ndarray, scored: np.ndarray) -> Iterator[str]:
    """A model that writes the end token writes no more."""
    later = np.flip(np.cumsum(np.flip(scored, 1), 1), 1) - scored  # scored tokens to the right
    early = int(((tokens == task.end) & scored & (later > 0)).any(1).sum())
    if early:
        yield (
            f"{where}: end={task.end} stands before the last scored token of {early} items: an answer stops "
            "there; use another end, or None"
        )


def _accepted(where: str, task: Task, tokens: np.ndarray, scored: np.ndarray) -> Iterator[str]:
    """References are right answers, as they are and as they are written; a text without an answer is not."""
    verify = jax.jit(jax.vmap(task.accepts))
    try:
        right = np.asarray(verify(tokens, tokens, scored))
        empty = np.asarray(verify(np.where(scored, -1, tokens), tokens, scored))
    except Exception as error:  # whatever the author's code raises is the finding
        reason = told(error, [type(task)])
        yield f"{where}: accepts(text, reference, scored) fails under jax.vmap: {reason}"
        return
    if right.shape != (len(tokens),) or right.dtype != bool:
        yield f"{where}: accepts returns {right.dtype} of shape {right.shape[1:]}: return one bool"
    elif not right.all():
        yield f"{where}: accepts refuses {int((~right).sum())} references: accept at least these"
    elif empty.any():
        yield f"{where}: accepts takes {int(empty.sum())} texts with -1 (nothing) for an answer: refuse them"


def _distractors(where: str, task: Task, one: EvaluationSet) -> Iterator[str]:
    texts, tokens = np.asarray(one.distractors), np.asarray(one.tokens)
    items, length = tokens.shape
    if texts.ndim != 3 or not np.issubdtype(texts.dtype, np.integer) or not texts.size:
        seen = f"{texts.dtype} of shape {texts.shape}"
        yield f"{where}: distractors are {seen}: give integers [items, choices, positions]"
        return
    if (texts.shape[0], texts.shape[2]) != (items, length):
        needed = f"({items}, choices, {length})"
        yield f"{where}: distractors have shape {texts.shape}: give {needed}, as tokens have"
        return
    yield from _token_range(f"{where}: distractors", texts, task.vocabulary)
    changed = texts != tokens[:, None]
    if (changed & ~one.scored[:, None]).any():
        yield f"{where}: distractors differ from tokens where nothing is scored: change the answer alone"
    elif not changed.any(-1).all():
        equal = int((~changed.any(-1)).sum())
        yield f"{where}: {equal} distractors equal their item: make them wrong answers"


def _token_range(what: str, tokens: np.ndarray, vocabulary: int) -> Iterator[str]:
    low, high = int(tokens.min()), int(tokens.max())
    if low < 0 or high >= vocabulary:
        yield f"{what} run from {low} to {high}: they must lie in [0, vocabulary={vocabulary})"
