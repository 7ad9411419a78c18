"""Intervals of means: against Clopper and Pearson, Student, and random weights; coverage with few seeds."""

import math

import numpy as np
import pytest
from scipy import stats

from jaxemerge.stats import mean_interval

UNIT = (0.0, 1.0)


@pytest.mark.parametrize(("k", "n"), [(0, 3), (3, 3), (10, 10), (3, 16), (15, 16), (41, 251)])
@pytest.mark.parametrize("confidence", [0.8, 0.95])
def test_of_zeros_and_ones_is_clopper_and_pearson(k, n, confidence):
    found = mean_interval(np.arange(n) < k, confidence, bounds=UNIT)
    exact = stats.binomtest(k, n).proportion_ci(confidence, method="exact")
    assert found.value == pytest.approx(k / n)
    assert (found.interval.low, found.interval.high) == pytest.approx((exact.low, exact.high), abs=1e-6)


@pytest.mark.parametrize("n", [3, 7, 60, 250])
def test_is_a_quantile_over_random_weights(n):
    """Weights uniform on the simplex, drawn; the bound itself comes from a characteristic function."""
    rng = np.random.default_rng(n)
    x = np.where(rng.random(n) < 0.4, rng.beta(8, 2, n), 0.0)
    w = rng.dirichlet(np.ones(n + 1), 20_000)
    found = mean_interval(x, 0.9, bounds=UNIT).interval
    low, high = np.quantile(w @ np.append(x, 0), 0.05), np.quantile(w @ np.append(x, 1), 0.95)
    # Quantiles of 20,000 draws are off by some 0.02 of their spread.
    assert (found.low, found.high) == pytest.approx((low, high), abs=0.02 * (high - low) + 1e-4)


def test_ten_perfect_scores_do_not_prove_that_all_are():
    found = mean_interval([1.0] * 10, bounds=UNIT)
    assert (found.value, found.interval.high) == (1.0, 1.0)
    assert found.interval.low == pytest.approx(0.025 ** (1 / 10), abs=1e-6)


def test_other_bounds_are_moved_and_scaled():
    x = np.array([0.3, 0.9, 0.5, 0.25])
    inside, unit = mean_interval(x, bounds=(0.2, 1)), mean_interval((x - 0.2) / 0.8, bounds=UNIT)
    assert inside.interval.low == pytest.approx(0.2 + 0.8 * unit.interval.low)
    assert inside.interval.high == pytest.approx(0.2 + 0.8 * unit.interval.high)


def test_without_bounds_it_is_student():
    x = np.random.default_rng(1).normal(3, 2, 11)
    found = mean_interval(x, 0.9)
    exact = stats.t.interval(0.9, 10, x.mean(), stats.sem(x))
    assert (found.interval.low, found.interval.high) == pytest.approx(exact)
    assert math.isnan(mean_interval([2.5] * 5).interval.low)


def test_fewer_than_three_seeds_have_no_interval():
    for values, bounds in (([0.2, 0.4], UNIT), ([0.2, 0.4], None), ([0.2], UNIT)):
        found = mean_interval(values, bounds=bounds)
        assert found.value == np.mean(values)
        assert math.isnan(found.interval.low)
        assert math.isnan(found.interval.high)
    assert math.isnan(mean_interval([]).value)


@pytest.mark.parametrize("n", [3, 5, 16])
def test_covers_where_few_seeds_succeed(n):
    """A tenth score 0.8 and the others 0: percentiles and Student cover in 25 to 81 % with 3 to 16 seeds."""
    scores = np.where(np.random.default_rng(n).random((150, n)) < 0.1, 0.8, 0.0)
    found = [mean_interval(row, bounds=UNIT).interval for row in scores]
    assert np.mean([i.low <= 0.08 <= i.high for i in found]) >= 0.95
    student = [stats.t.interval(0.95, n - 1, row.mean(), max(stats.sem(row), 1e-12)) for row in scores]
    assert np.mean([low <= 0.08 <= high for low, high in student]) < 0.86


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([0.1, np.nan, 0.2],), r"values of shape \(3,\) must be finite, one per seed"),
        (([[0.1]],), r"values of shape \(1, 1\) must be finite"),
        (([0.1, 1.2], 0.95, UNIT), r"values from 0.1 to 1.2 must lie in bounds=\(0.0, 1.0\)"),
        (([0.5], 95), r"confidence=95 must lie in \(0, 1\)"),
    ],
)
def test_rejects(arguments, message):
    with pytest.raises(ValueError, match=message):
        mean_interval(*arguments[:2], bounds=arguments[2] if len(arguments) > 2 else None)
