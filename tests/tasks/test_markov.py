"""Is the source as it is described, and its best possible loss that of a model that knows it?"""

from __future__ import annotations

import inspect

import jax
import numpy as np
import pytest

from jaxemerge.tasks import Markov, check_task
from jaxemerge.tasks.markov import next_chances, stationary_pairs

SMALL = Markov(words=5, signal=0.7, length=11, texts=1009, source=3)


def drawn(task: Markov, n: int, key: int = 0) -> np.ndarray:
    example = jax.jit(jax.vmap(task.sample))(jax.random.split(jax.random.key(key), n))
    assert np.asarray(example.weights).tolist() == [[0.0, 0.0] + [1.0] * (task.length - 2)] * n
    return np.asarray(example.tokens)


def surprise(task: Markov, texts: np.ndarray) -> np.ndarray:
    """Mean negative log-likelihood of every text under the source's own table."""
    seen = next_chances(task)[texts[:, :-2], texts[:, 1:-1], texts[:, 2:]]
    return -np.log(seen).mean(axis=1)


def by_eigenvector(task: Markov) -> tuple[np.ndarray, float]:
    """Stationary pairs and entropy rate from the matrix of all pairs to all pairs."""
    n = task.words
    chances, moves = next_chances(task), np.zeros((n * n, n * n))
    for a in range(n):
        for b in range(n):
            for c in range(n):
                moves[a * n + b, b * n + c] = chances[a, b, c]
    values, vectors = np.linalg.eig(moves.T)
    pairs = np.real(vectors[:, np.argmax(np.real(values))])
    pairs /= pairs.sum()
    entropy = [-sum(p * np.log(p) for p in row if p > 0) for row in chances.reshape(n * n, n)]
    return pairs.reshape(n, n), float(pairs @ entropy)


@pytest.mark.parametrize("task", [SMALL, Markov(3, 0.0, 7), Markov(7, 0.95, 13, source=5)], ids=str)
def test_best_loss_is_the_entropy_rate(task: Markov) -> None:
    pairs, rate = by_eigenvector(task)
    np.testing.assert_allclose(stationary_pairs(task), pairs, atol=1e-10)
    assert task.best_loss == pytest.approx(rate, abs=1e-10)
    assert check_task(task) == ()


def test_without_a_table_the_best_loss_is_that_of_zipfs_law() -> None:
    law = np.array([6, 3, 2]) / 11
    assert Markov(3, 0.0, 7).best_loss == pytest.approx(-(law @ np.log(law)), abs=1e-12)


@pytest.mark.parametrize("which", ["training", "evaluation"])
def test_texts_come_from_the_source(which: str) -> None:
    n = 10_007
    [held_out] = Markov(5, 0.7, 11, n, 3).evaluation_sets()
    texts = drawn(SMALL, n) if which == "training" else held_out.tokens
    for i in (0, 9):  # stationary from the first pair to the last
        seen = np.zeros((5, 5))
        np.add.at(seen, (texts[:, i], texts[:, i + 1]), 1 / n)
        assert np.abs(seen - stationary_pairs(SMALL)).max() < 4 * np.sqrt(0.25 / n)
    each = surprise(SMALL, texts)
    error = each.std() / np.sqrt(n)
    assert abs(each.mean() - SMALL.best_loss) < 4 * error
    assert 8 * error < 0.1  # a table that is not followed would be seen
    other = surprise(Markov(5, 0.7, 11, 7, source=4), texts)
    assert other.mean() - SMALL.best_loss > 20 * error


def test_the_worked_example_is_drawn_and_follows_the_table() -> None:
    text = inspect.getdoc(Markov) or ""
    head, rows = "``Markov(words=3, signal=0.9, length=10)``", "1 0 0, 0 1 2 and 1 1 0"
    assert f"{head}, whose table has the rows {rows}:" in text
    words, learnt = (
        [int(word) for word in line.split()] for line in text.partition(head)[2].splitlines()[2:4]
    )
    task = Markov(words=3, signal=0.9, length=10)
    table = next_chances(task).argmax(axis=2)  # what the table says has 0.9 and more
    assert table.tolist() == [[1, 0, 0], [0, 1, 2], [1, 1, 0]]
    assert [i for i in range(2, 10) if words[i] != table[words[i - 2], words[i - 1]]] == [2]
    assert words in drawn(task, 499).tolist()
    assert learnt == [0, 0, *[1] * 8]


def test_evaluation_texts_are_scored_where_training_learns() -> None:
    [held_out] = SMALL.evaluation_sets()
    assert (held_out.split, held_out.length) == ("held_out", None)
    assert held_out.tokens.shape == (1009, 11)
    assert held_out.scored.tolist() == [[False] * 2 + [True] * 9] * 1009


def test_default_leaves_much_to_learn() -> None:
    task = Markov()
    assert task.best_loss == pytest.approx(1.10955, abs=1e-5)
    assert task.best_loss < 0.3 * np.log(task.vocabulary)
    assert SMALL.chance == pytest.approx(5.0**-9)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"words": 1}, "words=1: must be at least 2"),
        ({"signal": 1.0}, r"signal=1.0: must lie in \[0, 1\)"),
        ({"signal": -0.1}, r"signal=-0.1: must lie in \[0, 1\)"),
        ({"length": 2}, "length=2: must be at least 3, two tokens and one to predict"),
        ({"texts": 0}, "texts=0: must be at least 1"),
        ({"source": -1}, "source=-1: must not be negative"),
    ],
)
def test_refuses(changes: dict, message: str) -> None:
    with pytest.raises(ValueError, match=f"^{message}$"):
        Markov(**changes)
