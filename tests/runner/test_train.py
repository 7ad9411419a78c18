"""Training a whole experiment: chunks, padding, hyperparameters, refusals."""

import importlib
from dataclasses import dataclass

import jax
import numpy as np
import pytest

from jaxemerge import Count, paired, train
from jaxemerge.devices import DeviceError
from jaxemerge.runner.train import chunked

training = importlib.import_module("jaxemerge.runner.train")  # the package's `train` is the function


@pytest.mark.slow
@pytest.mark.usefixtures("full_optimization_once")  # or the biases of keys, rounding scaled up, differ
def test_chunks_are_joined_in_the_order_of_the_seeds(tiny):
    whole = train(tiny, chunk=2)
    order = (4, 1, 3)  # an odd number: the last chunk is filled up
    again = train(tiny.with_seeds(paired(order)), chunk=4)
    assert [one.step for one in again.evaluations] == [0, 3, 7]
    for a, b in zip(again.evaluations, whole.evaluations, strict=True):
        for x, y in zip(jax.tree.leaves(a[1:]), jax.tree.leaves(b[1:]), strict=True):
            assert x.shape[0] == 3
            np.testing.assert_allclose(x, y[list(order)], rtol=1e-5, atol=1e-6)
    for x, y in zip(jax.tree.leaves(again.params), jax.tree.leaves(whole.params), strict=True):
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


def running_out(monkeypatch, most, message="RESOURCE_EXHAUSTED: Out of memory allocating 7 bytes"):
    """Chunks of more than ``most`` seeds fail."""
    true = training.train_chunk

    def failing(experiment, plan, who, **more):
        if plan.chunk > most:
            raise jax.errors.JaxRuntimeError(message)
        yield from true(experiment, plan, who, **more)

    monkeypatch.setattr(training, "train_chunk", failing)


def test_out_of_memory_halves_the_chunk_and_goes_on(tiny, population, monkeypatch, caplog):
    running_out(monkeypatch, 2)
    again = train(tiny, chunk=5)
    assert [record.getMessage() for record in caplog.records] == [
        "Out of memory: continuing with 4 seeds at once.",
        "Out of memory: continuing with 2 seeds at once.",
    ]
    for x, y in zip(jax.tree.leaves(again.params), jax.tree.leaves(population.params), strict=True):
        np.testing.assert_array_equal(x, y)


def test_out_of_memory_with_one_seed_per_device_and_other_errors(tiny, monkeypatch):
    running_out(monkeypatch, 0)
    with pytest.raises(DeviceError, match="out of memory with one seed on each of 2 cpu devices"):
        train(tiny, chunk=2)
    monkeypatch.undo()
    running_out(monkeypatch, 0, "INTERNAL: the device is lost")
    with pytest.raises(jax.errors.JaxRuntimeError, match="lost"):
        train(tiny, chunk=2)
