"""Simulated studies of the questions whose power has no formula, against large samples and clear cases."""

import numpy as np
import pytest
from scipy.special import expit, ndtri

from jaxemerge.stats.design.questions import Init, Midpoint, SuccessMeanWidth, TwoSided


def rng(key=0):
    return np.random.default_rng(key)


def large_sample_error(asked, seeds):
    """Standard error of ln(midpoint) from the information of all counts; the ceiling is fitted or known."""
    z = np.log(np.array(asked.scales) / asked.midpoint)
    s = expit(asked.slope * z)
    p = asked.ceiling * s
    gradient = [-asked.ceiling * s * (1 - s) * asked.slope, asked.ceiling * s * (1 - s) * z]
    if asked.free_ceiling:
        gradient.append(s)
    columns = np.stack(gradient, axis=1)
    information = columns.T @ (columns * (seeds / (p * (1 - p)))[:, None])
    return np.sqrt(np.linalg.inv(information)[0, 0])


@pytest.mark.parametrize("free", [True, False])
def test_midpoints_are_as_precise_as_large_samples_say(free):
    asked = Midpoint(free_ceiling=free, scales=(1.0, 2.0, 4.0, 8.0, 16.0, 32.0))
    half = ndtri(0.975) * large_sample_error(asked, 1000)
    for factor, expected in ((0.8, False), (1.25, True)):
        wanted = Midpoint(precision=float(half * factor), free_ceiling=free, scales=asked.scales)
        assert wanted.found(1000, 2, 0.95, rng()).tolist() == [expected] * 2


def test_a_midpoint_without_successes_is_not_located():
    assert not Midpoint(midpoint=1e6, precision=9.0).found(5, 2, 0.95, rng()).any()


def test_two_clear_sides_are_found_and_one_side_is_not():
    assert TwoSided(weight=0.5, means=(0.1, 0.9)).found(60, 2, 0.95, rng()).all()
    assert not TwoSided(means=(0.5, 0.5)).found(60, 3, 0.95, rng()).any()


def test_a_side_at_zero_is_made_of_zeros():
    assert TwoSided(weight=0.5, means=(0.0, 0.7)).found(30, 2, 0.95, rng()).all()


def test_the_mean_of_successes_is_as_precise_as_large_samples_say():
    asked = SuccessMeanWidth(threshold=0.05)  # nearly all of the Beta law is above it
    rate_variance = 0.6 * 0.4 / (asked.concentration + 1)
    spread = np.sqrt(rate_variance + (0.6 * 0.4 - rate_variance) / asked.items)
    width = 2 * ndtri(0.975) * spread / np.sqrt(0.5 * 2000)
    for factor, expected in ((0.85, False), (1.15, True)):
        wanted = SuccessMeanWidth(width=float(width * factor), threshold=0.05)
        assert wanted.found(2000, 5, 0.95, rng()).tolist() == [expected] * 5


def test_no_effect_of_initialisation_is_found_at_the_level_of_the_test():
    found = Init(init=1e-9, data=0.4).found(6, 2000, 0.95, rng())
    assert found.mean() == pytest.approx(0.05, abs=0.015)


def test_a_cut_outcome_hides_some_of_the_effect():
    scores, successes = (Init(rate=rate).found(8, 400, 0.95, rng()).mean() for rate in (0.0, 0.3))
    assert 0.1 < successes < scores - 0.1
