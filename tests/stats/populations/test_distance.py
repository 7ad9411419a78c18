"""Distances between populations, against SciPy and brute force."""

import math

import numpy as np
import pytest
from scipy import stats

from jaxemerge.stats import PermutationTest, wasserstein, wasserstein_matrix, wasserstein_test


def by_repetition(x, y, p):
    """Repeat each value until both samples are equally long; sorted values are then matched one to one."""
    size = math.lcm(len(x), len(y))
    first = np.sort(np.repeat(x, size // len(x)))
    second = np.sort(np.repeat(y, size // len(y)))
    return np.mean(np.abs(first - second) ** p) ** (1 / p)


@pytest.mark.parametrize(("n", "m"), [(1, 1), (1, 7), (7, 7), (13, 29), (24, 36), (250, 91)])
@pytest.mark.parametrize("p", [1, 2, 3.5])
def test_agrees_with_brute_force(n, m, p):
    rng = np.random.default_rng(n * m)
    x, y = rng.integers(0, 9, n) / 9, rng.normal(size=m)
    assert wasserstein(x, y, p) == pytest.approx(by_repetition(x, y, p), rel=1e-12)


@pytest.mark.parametrize(("n", "m"), [(7, 7), (13, 29), (250, 91)])
def test_agrees_with_scipy_at_order_one(n, m):
    rng = np.random.default_rng(n)
    x, y = rng.random(n), rng.beta(0.3, 0.3, m)
    assert wasserstein(x, y, 1) == pytest.approx(stats.wasserstein_distance(x, y), rel=1e-12)


def test_infinite_order_is_the_largest_gap():
    x, y = [0.0, 0.0, 1.0], [0.0, 1.0, 1.0]
    assert wasserstein(x, y, math.inf) == 1
    assert wasserstein(x, y, 1) == pytest.approx(1 / 3)
    assert wasserstein(x, y, 800) == pytest.approx((1 / 3) ** (1 / 800))


def test_rows_are_samples():
    rng = np.random.default_rng(0)
    x, y = rng.random((3, 1, 11)), rng.random((5, 13))
    found = wasserstein(x, y)
    assert found.shape == (3, 5)
    assert found[2, 4] == wasserstein(x[2, 0], y[4])


def test_is_a_distance_in_the_unit_of_the_values():
    x, y = np.random.default_rng(1).random((2, 17))
    assert wasserstein(x, x) == 0
    assert wasserstein(x, x + 0.3) == pytest.approx(0.3)
    assert wasserstein(1e-200 * x, 1e-200 * y) == pytest.approx(1e-200 * wasserstein(x, y))


def test_diverged_runs_and_empty_samples():
    assert wasserstein([np.nan, 0.5], [0.5, 0.5]) == wasserstein([0.0, 0.5], [0.5, 0.5])
    assert wasserstein([np.nan, 0.5], [0.5, 0.5], failure=0.5) == 0
    assert np.isnan(wasserstein([], [0.5]))
    assert np.isnan(wasserstein(np.zeros((3, 0)), [0.5])).tolist() == [True] * 3


def test_matrix_holds_all_pairs():
    rng = np.random.default_rng(4)
    populations = [rng.random(7), rng.random(11), [np.nan, 0.2], []]
    found = wasserstein_matrix(populations, 1)
    for i in range(3):
        for j in range(3):
            assert found[i, j] == pytest.approx(float(wasserstein(populations[i], populations[j], 1)))
    assert np.isnan(found[3]).all()
    assert np.isnan(found[:, 3]).all()
    assert wasserstein_matrix([]).shape == (0, 0)


def test_p_value_is_that_of_all_deals():
    """Few enough seeds for SciPy to go through all deals."""
    x, y = np.array([0.0, 0.0, 0.1, 0.3]), np.array([0.2, 0.6, 0.8, 0.9, 0.9])
    exact = stats.permutation_test(
        (x, y), stats.wasserstein_distance, n_resamples=np.inf, alternative="greater"
    )
    found = wasserstein_test(x, y, 1, permutations=20_000, key=1)
    assert found.statistic == pytest.approx(exact.statistic)
    assert found.p_value == pytest.approx(exact.pvalue, abs=0.004)
    assert 0.01 < exact.pvalue < 0.2


def test_size_on_a_floor_of_zeros_and_power_against_a_shift():
    """Half the seeds at exactly 0: ties do no harm."""
    rng = np.random.default_rng(0)

    def population(n, share):
        return np.where(rng.random(n) < share, rng.beta(4, 4, n), 0.0)

    def rejections(share, pairs):
        p_values = [
            wasserstein_test(population(20, 0.5), population(31, share), permutations=99, key=key).p_value
            for key in range(pairs)
        ]
        return np.mean(np.array(p_values) <= 0.05)

    assert 0.025 <= rejections(0.5, 500) <= 0.08
    assert rejections(0.97, 100) > 0.8


def test_nothing_to_tell_apart():
    assert wasserstein_test([0.5] * 5, [0.5] * 7, permutations=99) == PermutationTest(0.0, 1.0, 99)
    assert wasserstein_test([0.1], [0.9], permutations=99).p_value == 1
    empty = wasserstein_test([], [0.9], permutations=99)
    assert math.isnan(empty.statistic)
    assert math.isnan(empty.p_value)


def test_deals_are_the_same_for_the_same_key(monkeypatch):
    x, y = np.random.default_rng(5).random((2, 11))
    assert wasserstein_test(x, y, permutations=199, key=3) == wasserstein_test(x, y, permutations=199, key=3)
    assert (
        wasserstein_test(x, y, permutations=199, key=3).p_value
        != wasserstein_test(x, y, permutations=199, key=4).p_value
    )
    whole = wasserstein_test(x, y, permutations=199, key=3)
    monkeypatch.setattr("jaxemerge.stats.estimates.resampling.CELLS_AT_ONCE", 100)
    assert wasserstein_test(x, y, permutations=199, key=3) == whole  # in pieces, as at once


@pytest.mark.parametrize(
    ("measure", "message"),
    [
        (lambda: wasserstein([0.1], [0.2], 0.5), "p=0.5 must be at least 1"),
        (lambda: wasserstein([0.1], [0.2], math.nan), "p=nan must be at least 1"),
        (lambda: wasserstein(0.1, [0.2]), "not be the single number 0.1"),
        (lambda: wasserstein([0.1], [math.inf]), "1 of the values are infinite"),
        (
            lambda: wasserstein_test([[0.1]], [0.2]),
            r"x and y of shapes \(1, 1\) and \(1,\) must be one value",
        ),
        (lambda: wasserstein_test([0.1], [0.2], permutations=0), "permutations=0 must be at least 1"),
    ],
)
def test_refuses_what_it_cannot_measure(measure, message):
    with pytest.raises(ValueError, match=message):
        measure()
