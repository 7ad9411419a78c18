"""Differences of means and one-sided tests, against SciPy and by simulation."""

import math

import numpy as np
import pytest
from scipy import stats

from jaxemerge.stats import mean_at_most, mean_difference

LOW, HIGH = [3.31, 3.28, 3.30, 3.27], [3.36, 3.29, 3.41, 3.30, 3.35]


def test_the_difference_is_welchs():
    found = mean_difference(LOW, HIGH, 0.9)
    expected = stats.ttest_ind(HIGH, LOW, equal_var=False)
    interval = expected.confidence_interval(0.9)
    assert found.p_value == pytest.approx(expected.pvalue)
    assert (found.difference.interval.low, found.difference.interval.high) == pytest.approx(tuple(interval))
    assert found.difference.value == pytest.approx(np.mean(HIGH) - np.mean(LOW))


def test_one_seed_is_as_variable_as_the_others():
    found = mean_difference([3.2], HIGH)
    error = np.std(HIGH, ddof=1) * np.sqrt(1 + 1 / 5)
    assert found.p_value == pytest.approx(2 * stats.t.sf((np.mean(HIGH) - 3.2) / error, 4))
    alone = mean_difference([3.2], [3.3])
    assert alone.difference.value == pytest.approx(0.1)
    assert np.isnan([alone.p_value, alone.difference.interval.low]).all()


def test_the_one_sided_test_is_students():
    found = mean_at_most(LOW, 3.31)
    assert found.p_value == pytest.approx(stats.ttest_1samp(LOW, 3.31, alternative="less").pvalue)
    assert mean_at_most(LOW, found.bound).p_value == pytest.approx(0.05)
    assert np.isnan(mean_at_most([3.2], 3.3).p_value)
    assert [mean_at_most([3.2, 3.2], target).p_value for target in (3.3, 3.1)] == [0, 1]


def test_size_with_three_seeds():
    rng = np.random.default_rng(0)
    draws = rng.normal(3.28, 0.01, (2000, 3))
    assert np.mean([mean_at_most(x, 3.28).p_value <= 0.05 for x in draws]) == pytest.approx(0.05, abs=0.015)
    pairs = rng.normal(0, [[1], [3]], (2000, 2, 4))
    assert np.mean([mean_difference(*pair).p_value <= 0.05 for pair in pairs]) <= 0.065


@pytest.mark.parametrize("values", [[], [1.0, np.nan], [[1.0, 2.0]]])
def test_refuses_what_is_no_sample(values):
    for call in (lambda: mean_difference(values, LOW), lambda: mean_at_most(values, 3.0)):
        with pytest.raises(ValueError, match="must be one or more finite numbers"):
            call()
    with pytest.raises(ValueError, match="target=inf must be finite"):
        mean_at_most(LOW, np.inf)


@pytest.mark.parametrize("values", [[3.1] * 3, [0.7] * 6, [1e30] * 3])
def test_equal_values_do_not_vary_by_rounding(values):
    found = mean_difference(values, [2 * v for v in values])
    assert found.difference.value == values[0]
    assert math.isnan(found.p_value)
    assert math.isnan(found.difference.interval.low)
    test = mean_at_most(values, values[0])
    assert (test.mean, test.bound, test.p_value) == (values[0], values[0], 0.0)
