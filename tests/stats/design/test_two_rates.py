"""Fisher's test of two rates against SciPy's, its power against a sum over all outcomes."""

import numpy as np
import pytest
from scipy.stats import binom, fisher_exact

from jaxemerge.stats import detectable_difference
from jaxemerge.stats.design.two_rates import fisher_p_values, rate_difference_power


def scipy_p(first, second, seeds):
    return fisher_exact([[first, seeds - first], [second, seeds - second]]).pvalue


@pytest.mark.parametrize("seeds", [1, 7, 13])
def test_p_values_are_those_of_scipy(seeds):
    first, second = np.indices((seeds + 1, seeds + 1)).reshape(2, -1)
    expected = [scipy_p(a, b, seeds) for a, b in zip(first, second, strict=True)]
    assert fisher_p_values(first, second, seeds) == pytest.approx(expected, rel=1e-9)


def test_power_sums_the_probabilities_of_all_rejected_outcomes():
    expected = sum(
        binom.pmf(a, 11, 0.1) * binom.pmf(b, 11, 0.7)
        for a in range(12)
        for b in range(12)
        if scipy_p(a, b, 11) <= 0.1
    )
    assert rate_difference_power((0.1, 0.7), 11, confidence=0.9) == pytest.approx(expected, rel=1e-9)


def test_forty_seeds_tell_a_fifth_from_a_half_in_three_studies_of_four():
    assert rate_difference_power((0.2, 0.5), 40) == pytest.approx(0.75, abs=0.002)


@pytest.mark.parametrize(("seeds", "power"), [(5, 0.5), (16, 0.5), (53, 0.8)])
def test_a_difference_that_is_just_detectable(seeds, power):
    difference = detectable_difference(seeds, power)
    reached = [
        rate_difference_power((0.5 - d / 2, 0.5 + d / 2), seeds) for d in (difference - 0.006, difference)
    ]
    assert reached[0] < power <= reached[1]


def test_three_seeds_tell_nothing_apart():
    assert np.isnan(detectable_difference(3))
    assert detectable_difference(4) < 1


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: detectable_difference(0), "seeds=0 must be at least 1"),
        (lambda: detectable_difference(9, power=1.0), r"power=1.0 must lie in \(0, 1\)"),
        (lambda: detectable_difference(9, confidence=95), r"confidence=95 must lie in \(0, 1\)"),
        (lambda: rate_difference_power((0.1, 0.2), 0), "seeds=0 must be at least 1"),
    ],
)
def test_mistakes_are_named(call, words):
    with pytest.raises(ValueError, match=words):
        call()
