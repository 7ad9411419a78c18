"""A tiny trained population, shared by the tests of the runner."""

import pytest

from jaxemerge import AdamW, Count, Experiment, neox, paired, train


@pytest.fixture(scope="session")
def tiny():
    return Experiment(
        task=Count(11, 3, (3, 5)),
        model=neox(1, 24, 3),
        optimizer=AdamW(1e-2, warmup=2),
        steps=7,
        batch=2,
        context=13,
        seeds=paired(range(5)),
        evaluations=(3,),
        study="tiny",
    )


@pytest.fixture(scope="session")
def population(tiny):
    return train(tiny, chunk=2)
