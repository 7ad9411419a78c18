"""Resampled seeds: how wide intervals must be where few seeds matter."""

import math

import numpy as np
import pytest
from scipy.stats import norm, t

from jaxemerge.stats.laws.runs import degrees_of_freedom, estimate, resampled_weights, widened

SCALE = np.repeat(np.arange(7), 4)
# Two scales decide, the others hardly count.
SHARES = np.array([1.0, 1.0, 0.1, 0.1, 0.1, 0.1, 0.1])


def drawn(number):
    """Replicates of a weighted sum of the scales' means of normal seeds around 0, with their weights."""
    seeds = np.random.default_rng(number).normal(size=SCALE.size)
    weights = resampled_weights(SCALE, 200, number)
    return (weights * seeds * SHARES[SCALE] / 4).sum(axis=1), weights, np.sum(seeds * SHARES[SCALE] / 4)


def test_few_seeds_need_students_width():
    plain, wide, found = [], [], []
    for number in range(400):
        replicates, weights, value = drawn(number)
        degrees = degrees_of_freedom(replicates, weights, SCALE)
        found.append(degrees)
        for hits, known in ((plain, math.inf), (wide, degrees)):
            interval = estimate(value, replicates, 0.95, known).interval
            hits.append(interval.low <= 0 <= interval.high)
    assert np.mean(plain) < 0.91
    assert 0.92 <= np.mean(wide) <= 0.98
    assert 4 < np.median(found) < 9  # two scales of 4 seeds: 6


def test_one_scale_of_four_seeds_has_three_degrees():
    weights = resampled_weights(SCALE, 4000, 0)
    replicates = weights[:, :4] @ [1.0, 2.0, 4.0, 8.0]
    assert degrees_of_freedom(replicates, weights, SCALE) == pytest.approx(3, abs=0.1)


def test_whole_runs_and_nothing_to_tell():
    weights = resampled_weights(np.arange(11), 50, 0)
    assert degrees_of_freedom(weights @ np.arange(11.0), weights, np.arange(11)) == 10
    assert math.isinf(degrees_of_freedom(np.ones(50), weights, np.arange(11)))


def test_percentiles_reach_students_quantile():
    assert norm.ppf((1 + widened(0.95, 5)) / 2) == pytest.approx(t.ppf(0.975, 5))
    assert widened(0.9, math.inf) == 0.9
    assert 0.999 < widened(0.95, 1) < 1
