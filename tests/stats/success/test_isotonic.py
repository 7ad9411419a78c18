"""Monotone P(success), against the min-max formula and the likelihood of a logistic curve."""

import numpy as np
import pytest

from jaxemerge.stats import fit_success_curve, isotonic_success


def by_min_max(share, weight):
    """The min-max formula: max over starts of min over ends of weighted means."""
    n = len(share)
    return [
        max(
            min(np.average(share[a : b + 1], weights=weight[a : b + 1]) for b in range(i, n))
            for a in range(i + 1)
        )
        for i in range(n)
    ]


def test_agrees_with_the_min_max_formula():
    rng = np.random.default_rng(0)
    trials = rng.integers(1, 50, 11)
    successes = rng.binomial(trials, np.linspace(0.1, 0.7, 11))
    found = isotonic_success(np.arange(1, 12), successes, trials, resamples=50)
    np.testing.assert_allclose(found.success.value, by_min_max(successes / trials, trials))
    assert np.any(np.diff(successes / trials) < 0)
    assert np.all(found.success.interval.low <= found.success.value)
    assert np.all(found.success.value <= found.success.interval.high)


def test_no_rising_curve_is_more_likely():
    scale, counts, seeds = 2.0 ** np.arange(7), [1, 0, 9, 20, 33, 42, 39], np.full(7, 50)
    found = isotonic_success(scale, counts, seeds)
    assert found.log_likelihood > fit_success_curve(scale, counts, seeds, floor=None).log_likelihood
    assert found.direction == "rises"
    fallen = isotonic_success(scale, counts, seeds, direction="falls")
    assert found.log_likelihood > fallen.log_likelihood
    assert fallen.success.value.tolist() == pytest.approx([sum(counts) / 350] * 7)


def test_falling_shares_mirror_rising_ones():
    scale, counts, seeds = 2.0 ** np.arange(7), np.array([1, 0, 9, 20, 33, 42, 39]), np.full(7, 50)
    rising = isotonic_success(scale, counts, seeds)
    falling = isotonic_success(scale, counts[::-1], seeds)
    assert (rising.direction, falling.direction) == ("rises", "falls")
    np.testing.assert_allclose(falling.success.value, rising.success.value[::-1])
    assert falling.log_likelihood == pytest.approx(rising.log_likelihood)


def test_only_the_order_of_scales_matters():
    found = isotonic_success([0, -1, 3], [4, 1, 9], [10] * 3, resamples=10)
    assert found.scale.tolist() == [-1, 0, 3]
    assert found.success.value.tolist() == pytest.approx([0.1, 0.4, 0.9])


def test_equal_scales_are_one_and_empty_cells_none():
    found = isotonic_success([4, 2, 4, 8], [3, 1, 5, 0], [10, 10, 10, 0])
    assert found.scale.tolist() == pytest.approx([2, 4])
    assert found.success.value.tolist() == pytest.approx([0.1, 0.4])


def test_floor_and_ceiling_have_no_width():
    found = isotonic_success([1, 2], [0, 9], [9, 9])
    assert found.success.interval.low.tolist() == [0, 1]
    assert found.success.interval.high.tolist() == [0, 1]
    assert found.log_likelihood == 0


def test_no_seeds():
    assert isotonic_success([], [], []).success.value.shape == (0,)


@pytest.mark.parametrize(
    ("scale", "options", "message"),
    [
        (np.ones((2, 2)), {}, r"scale of shape \(2, 2\) must be \[N\]: growth needs one measure"),
        ([1, 2], {"resamples": 0}, "resamples=0 must be at least 1"),
        ([1, 2], {"confidence": 2}, "confidence=2 must lie in"),
        ([1, 2], {"direction": "down"}, "direction='down' must be 'either', 'rises' or 'falls'"),
        ([1, np.inf], {}, r"scale=\[1.0, inf\] must be finite numbers"),
    ],
)
def test_refuses_what_it_cannot_fit(scale, options, message):
    with pytest.raises(ValueError, match=message):
        isotonic_success(scale, [0, 1], [2, 2], **options)
