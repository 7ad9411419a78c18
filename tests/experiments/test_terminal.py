"""Tables on the terminal."""

import io

import polars as pl
from rich.console import Console

from synthetic import population_frame
from terminal import print_summary


def printed(results):
    console = Console(file=io.StringIO(), width=150)
    print_summary(console, results, 0.2)
    return console.file.getvalue()


def test_tests_are_named_by_their_length_where_they_have_one_split():
    text = printed(population_frame(cells=((1, 64),), lengths=(30, 40), steps=(0, 10)))
    assert " length " in text
    assert "test" not in text


def test_tests_of_several_splits_are_named_by_these_too():
    one = population_frame(cells=((1, 64),), lengths=(30, 40), steps=(0, 10))
    both = pl.concat([one.with_columns(split=pl.lit(name)) for name in ("count/test", "parity/test")])
    text = printed(both)
    assert "test   seeds" in text
    for test in ("count/test, length 30", "count/test, length 40", "parity/test, length 30"):
        assert text.count(test) == 1
