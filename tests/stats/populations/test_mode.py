"""The half-sample mode, against a plain recursion over lists."""

import numpy as np
import pytest

from jaxemerge.stats import half_sample_mode


def by_recursion(points):
    """Bickel and Frühwirth's algorithm, one list at a time."""
    points = sorted(points)
    if len(points) == 1:
        return points[0]
    if len(points) == 2:
        return sum(points) / 2
    if len(points) == 3:
        left, right = points[1] - points[0], points[2] - points[1]
        if left == right:
            return points[1]
        return sum(points[:2] if left < right else points[1:]) / 2
    keep = (len(points) + 1) // 2
    halves = [points[i : i + keep] for i in range(len(points) - keep + 1)]
    return by_recursion(min(halves, key=lambda half: half[-1] - half[0]))


@pytest.mark.parametrize("n", [1, 2, 3, 4, 5, 7, 11, 16, 37, 250])
def test_agrees_with_the_recursion(n):
    # Multiples of 1/64 are exact in binary: ties are ties in both.
    samples = np.random.default_rng(n).integers(0, 65, size=(29, n)) / 64
    assert half_sample_mode(samples).tolist() == [by_recursion(list(sample)) for sample in samples]


def test_finds_a_planted_peak_among_spread_values():
    rng = np.random.default_rng(0)
    sample = np.concatenate([rng.normal(0.7, 0.01, 60), rng.random(41)])
    assert half_sample_mode(sample) == pytest.approx(0.7, abs=0.01)
    assert half_sample_mode(1 - sample) == pytest.approx(0.3, abs=0.01)


def test_a_floor_of_zeros_is_the_mode():
    assert half_sample_mode([0.0] * 11 + [0.19, 0.24, 0.38, 0.62, 0.86]) == 0.0
    assert half_sample_mode([1.0] * 11 + [0.0] * 5) == 1.0


def test_a_tie_of_failure_and_success_reads_as_failure():
    assert half_sample_mode([0.0] * 4 + [1.0] * 4) == 0.0


def test_rounding_of_shares_breaks_no_tie():
    """Three neighbours of k/91 are equally far apart, though not in floating point."""
    thirds = [[k / 91, (k + 1) / 91, (k + 2) / 91] for k in range(89)]
    assert np.ptp(np.diff(thirds, axis=1)) > 0
    assert half_sample_mode(thirds).tolist() == [third[1] for third in thirds]


def test_rounding_of_shares_breaks_no_tie_of_halves():
    """Evenly spaced scores: every half is as short as the first, whatever their differences round to."""
    spaced = np.arange(7) / 91
    assert np.argmin(spaced[3:] - spaced[:4]) > 0
    assert half_sample_mode(spaced) == half_sample_mode(np.arange(7) / 128) * 128 / 91


def test_shape_is_that_of_the_leading_axes():
    assert half_sample_mode(np.zeros((2, 3, 5))).shape == (2, 3)


@pytest.mark.parametrize("values", [[], np.zeros((3, 0))])
def test_refuses_an_empty_sample(values):
    with pytest.raises(ValueError, match="must have at least one value along the last axis"):
        half_sample_mode(values)
