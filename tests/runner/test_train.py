"""Training a whole experiment: chunks, padding, hyperparameters, refusals."""

from dataclasses import dataclass

import jax
import numpy as np
import pytest

from jaxemerge import Count, paired, train
from jaxemerge.runner.train import chunked


def test_chunks_are_joined_in_the_order_of_the_seeds(tiny, population):
    order = (4, 1, 3)  # an odd number: the last chunk is filled up
    again = train(tiny.with_seeds(paired(order)), chunk=4)
    assert [one.step for one in again.evaluations] == [0, 3, 7]
    for a, b in zip(again.evaluations, population.evaluations, strict=True):
        for x, y in zip(jax.tree.leaves(a[1:]), jax.tree.leaves(b[1:]), strict=True):
            assert x.shape[0] == 3
            np.testing.assert_allclose(x, y[list(order)], rtol=1e-5, atol=1e-6)
    for x, y in zip(jax.tree.leaves(again.params), jax.tree.leaves(population.params), strict=True):
        np.testing.assert_allclose(x, y[list(order)], rtol=1e-4, atol=1e-6)


def test_seeds_differ(population):
    table = population.params["embedding"]
    assert len({row.tobytes() for row in table}) == 5


def test_training_reduces_the_loss(population):
    losses = [one.train_loss for one in population.evaluations]
    assert np.all(losses[-1] < losses[0])


@dataclass(frozen=True)
class Shouting(Count):
    """Breaks the contract: tokens beyond the vocabulary."""

    def sample(self, key):
        example = super().sample(key)
        return example._replace(tokens=example.tokens + self.vocabulary)


def test_a_task_that_breaks_its_contract_is_refused_before_training(tiny):
    broken = tiny.__class__(Shouting(11, 3, (3, 5)), tiny.model, context=13)
    with pytest.raises(
        ValueError, match=r"task shouting: sample's tokens run from .* must lie in \[0, vocab"
    ):
        train(broken)


def test_chunked():
    assert chunked(paired(range(5)), 2) == [((0, 0), (1, 1)), ((2, 2), (3, 3)), ((4, 4),)]
