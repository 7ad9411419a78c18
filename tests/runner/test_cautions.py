"""What is allowed and unlikely to be meant is said once."""

import dataclasses

from jaxemerge import AdamW, train
from jaxemerge.runner.cautions import cautions


def test_a_warm_up_that_is_as_long_as_the_training_is_named(tiny, caplog):
    long = dataclasses.replace(tiny, optimizer=AdamW(warmup=7))
    line = (
        "optimizer.warmup=7 is not shorter than the training of 7 steps: the learning rate never reaches its "
        "peak"
    )
    assert cautions([tiny, long, long.with_seeds([(1, 1)])]) == [line]
    assert cautions([tiny]) == cautions([dataclasses.replace(long, steps=8)]) == []
    train(tiny.with_seeds([(1, 1)]))
    assert line not in caplog.text
    train(long.with_seeds([(1, 1)]))
    assert line in caplog.text
