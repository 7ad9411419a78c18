"""Examples as words, to be compared with what plain Python spells from the prompt alone."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterator

import jax
import numpy as np

from jaxemerge import tasks
from jaxemerge.tasks import Task

# A prompt's words, up to the first token that is learnt -> all words, and which of them are learnt.
Oracle = Callable[[list[str]], tuple[list[str], list[int]]]
EXAMPLES = 10_000


def spelt(task: Task, tokens: np.ndarray) -> list[str]:
    return [task.alphabet[token] for token in tokens]  # type: ignore[attr-defined]


def drawn(task: Task, n: int = EXAMPLES, key: int = 0) -> list[tuple[list[str], list[float]]]:
    """Words and weights of random examples; what lies beyond an example's length must weigh nothing."""
    example = jax.jit(jax.vmap(task.sample))(jax.random.split(jax.random.key(key), n))
    tokens, weights, lengths = map(np.asarray, example)
    assert tokens.shape == weights.shape == (n, task.max_length)
    assert lengths.min() == task.min_length
    assert lengths.max() == task.max_length
    assert not weights[np.arange(task.max_length) >= lengths[:, None]].any()
    rows = zip(tokens, weights, lengths, strict=True)
    return [(spelt(task, ids[:length]), learnt[:length].tolist()) for ids, learnt, length in rows]


def evaluated(task: Task, split: str | None = None) -> Iterator[tuple[str, int | None, list[str], list[int]]]:
    """Split, length, words and scored places of every evaluation item, up to the last of these."""
    for one in task.evaluation_sets():
        if split not in (None, one.split):
            continue
        for ids, scored in zip(one.tokens, one.scored, strict=True):
            last = int(np.flatnonzero(scored)[-1])
            yield one.split, one.length, spelt(task, ids[: last + 1]), scored[: last + 1].astype(int).tolist()


def prompt(words: list[str], weights: list[float] | list[int]) -> list[str]:
    return words[: int(np.flatnonzero(weights)[0])]


def check_examples(task: Task, oracle: Oracle, n: int = EXAMPLES) -> list[list[str]]:
    """Asserts that the oracle spells every random example from its prompt; the words of all."""
    examples = drawn(task, n)
    for words, weights in examples:
        assert (words, weights) == oracle(prompt(words, weights))
    return [words for words, _ in examples]


def check_evaluation(
    task: Task, oracle: Oracle, split: str | None = None
) -> list[tuple[str, int | None, list[str]]]:
    """Asserts the same of every evaluation item: what is learnt is scored."""
    items = list(evaluated(task, split))
    for _, _, words, scored in items:
        assert (words, scored) == oracle(prompt(words, scored))
    return [item[:3] for item in items]


def documented(kind: type[Task]) -> list[tuple[Task, list[str], list[int]]]:
    """Every worked example of a task's docstring: the task, its words, and what is learnt."""
    found = []
    text = inspect.getdoc(kind) or ""  # Python 3.13 takes the indentation away by itself
    for call, block in re.findall(r"``(\w+\(.*?\))``.*?:\n((?:\n(?: {4}.*(?:\n|$))+)+)", text):
        task = eval(call, vars(tasks).copy())
        lines = [line.strip() for line in block.splitlines() if line.strip()]
        for written, marks in zip(lines[::2], lines[1::2], strict=True):
            words = written.split() if " " in written else list(written)
            learnt = [int(mark) for mark in marks.replace(" ", "")]
            assert len(words) == len(learnt)
            assert set(words) <= set(task.alphabet)
            assert task.min_length <= len(words) <= task.max_length
            found.append((task, words, learnt))
    assert found, f"{kind.__name__} has no worked example"
    return found
