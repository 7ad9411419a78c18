"""Tables on the terminal."""

import io
import re

import numpy as np
import polars as pl
import pytest
from rich.console import Console
from scipy.stats import sem, t

from jaxemerge.cli.report import print_scores, print_summary
from synthetic import population_frame


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
    assert re.search("test +items +seeds", text)
    for test in ("count/test, length 30", "count/test, length 40", "parity/test, length 30"):
        assert text.count(test) == 1


def told(results, best_losses):
    console = Console(file=io.StringIO(), width=150)
    print_scores(console, results, "exact_match", 0.2, best_losses)
    return console.file.getvalue()


def with_losses():
    """Two cells at one length, with answer losses of about 1.3 nats beside the exact matches."""
    results = population_frame(cells=((1, 64), (2, 64)), lengths=(30,), steps=(0, 10), diverged=0)
    exact = results.filter(pl.col("metric") == "exact_match")
    noise = np.random.default_rng(0).normal(1.3, 0.05, exact.height)
    loss = {"metric": pl.lit("answer_nll"), "trials": pl.lit(None, pl.Int32), "value": pl.Series(noise)}
    return pl.concat([exact, exact.with_columns(**loss)])


def test_what_only_luck_gets_right_is_told_by_its_loss():
    results = with_losses()
    right = pl.col("metric") == "exact_match"
    never = results.with_columns(value=pl.when(right).then(0.0).otherwise("value"))
    first, second = results["cell"].unique(maintain_order=True)
    assert "Exact match" in told(never, {first: 0.0, second: None})  # all could be right
    assert "loss" not in told(results, {first: 1.2, second: 1.2})  # some are
    text = told(never, {first: 1.224, second: 1.225})
    assert "Exact match" not in text
    assert "Answer loss (nats per token) over runs at their end" in text
    [row] = [line.split() for line in text.splitlines() if " depth 1 " in line]
    ends = never.filter(pl.col("cell") == first, ~right, pl.col("step") == 10)["value"].to_numpy()
    assert row[-1] == "1.224"
    assert f"{ends.mean():.4g}" in row
    student = t.interval(0.95, len(ends) - 1, ends.mean(), sem(ends))
    assert [float(row[row.index("to") + i]) for i in (-1, 1)] == pytest.approx(student, abs=0.001)


def test_cells_of_luck_stand_beside_others():
    results = with_losses()
    first, second = results["cell"].unique(maintain_order=True)
    zero = (pl.col("metric") == "exact_match") & (pl.col("cell") == first)
    mixed = results.with_columns(value=pl.when(zero).then(0.0).otherwise("value"))
    losses, _, matches = told(mixed, {first: 1.224, second: 0.0}).partition("Exact match")
    assert "depth 1, width 64" in losses
    assert "depth 2" not in losses
    assert "depth 2, width 64" in matches
    assert "depth 1" not in matches
