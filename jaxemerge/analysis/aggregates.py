"""How good is the best of a few runs, and which cell is better over all tests together?"""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl

from jaxemerge.stats import best_of, improvement_probability, interquartile_mean

from .ends import final_scores
from .groups import neighbours
from .kinds import is_share, less_is_better
from .results import cell_labels

MOST_PAIRS = 12  # of cells, in order of scale


def best_of_runs(frame: pl.DataFrame, metric: str, k: int, *, key: Any = 0) -> pl.DataFrame:
    """The expected best of k runs of each cell, on each test.

    A failed run of a share scores 0; of other metrics it is left out.

    Args:
        frame: results.
        metric: any metric.
        k: number of runs among which the best counts; 1 or more.
        key: int or JAX key of the bootstrap.

    Returns:
        label, test, runs (with a score), best, low, high; null where there are fewer than k runs.

    Raises:
        ValueError: as `final_scores`, or if k is below 1.
    """
    less = less_is_better(metric) and not is_share(frame, metric)
    rows: list[tuple[Any, ...]] = []
    for (label, test), runs in _scores(frame, metric).group_by("label", "test", maintain_order=True):
        values = runs["value"].to_numpy()
        found: tuple[float | None, ...] = (None, None, None)
        if len(values) >= k:
            best = best_of(values, k, less_is_better=less, key=key)
            found = (float(best.value), float(best.interval.low), float(best.interval.high))
        rows.append((label, test, len(values), *found))
    schema = {"label": pl.String(), "test": pl.String(), "runs": pl.Int64()}
    schema |= dict.fromkeys(("best", "low", "high"), pl.Float64())
    return pl.DataFrame(rows, schema=schema, orient="row").fill_nan(None)


def over_tests(frame: pl.DataFrame, metric: str, *, key: Any = 0) -> pl.DataFrame:
    """The interquartile mean of each cell's runs over all tests, with a stratified bootstrap.

    Failed runs are counted as in `best_of_runs`. Cells that lack a test are left out.

    Returns:
        label, tests, runs (of all tests together), iqm, low, high; in order of scale.

    Raises:
        ValueError: as `final_scores`.
    """
    rows = []
    for label, tasks in _by_cell(frame, metric).items():
        found = interquartile_mean(tasks, key=key)
        ends = (float(found.interval.low), float(found.interval.high))
        rows.append((label, len(tasks), sum(map(len, tasks)), float(found.value), *ends))
    schema = {"label": pl.String(), "tests": pl.Int64(), "runs": pl.Int64()}
    return pl.DataFrame(
        rows, schema=schema | dict.fromkeys(("iqm", "low", "high"), pl.Float64()), orient="row"
    )


def improvements(frame: pl.DataFrame, metric: str, *, key: Any = 0) -> pl.DataFrame:
    """The probability that a run of one cell is better than one of its neighbour, on a test drawn at random.

    Returns:
        first, second (labels, see `neighbours`; the first 12 pairs), probability (that the second is better;
        ties count half), low, high.

    Raises:
        ValueError: as `final_scores`.
    """
    sign = -1.0 if less_is_better(metric) and not is_share(frame, metric) else 1.0
    cells = {label: [sign * task for task in tasks] for label, tasks in _by_cell(frame, metric).items()}
    rows = []
    for first, second in [(a, b) for a, b in neighbours(frame) if a in cells and b in cells][:MOST_PAIRS]:
        found = improvement_probability(cells[first], cells[second], key=key)
        ends = (float(found.interval.low), float(found.interval.high))
        rows.append((first, second, float(found.value), *ends))
    schema = dict.fromkeys(("first", "second"), pl.String()) | dict.fromkeys(
        ("probability", "low", "high"), pl.Float64()
    )
    return pl.DataFrame(rows, schema=schema, orient="row")


def _scores(frame: pl.DataFrame, metric: str) -> pl.DataFrame:
    return final_scores(frame, metric).filter(pl.col("value").is_finite())


def _by_cell(frame: pl.DataFrame, metric: str) -> dict[str, list[np.ndarray]]:
    """The scores of each test by the labels of the cells that have all tests."""
    scores = _scores(frame, metric)
    tests = sorted(scores["test"].unique())
    found = {}
    for label in cell_labels(frame)["label"]:
        each = scores.filter(pl.col("label") == label).partition_by("test", as_dict=True)
        if len(each) == len(tests):
            found[str(label)] = [each[(test,)]["value"].to_numpy() for test in tests]
    return found
