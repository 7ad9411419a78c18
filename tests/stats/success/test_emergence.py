"""Linearity and breakthroughness, against the definitions written with loops over lists."""

import itertools
import math
import statistics

import numpy as np
import pytest

from jaxemerge.stats import breakthroughness, emergence_score, linearity


def by_definition(scores, centre):
    """I / sqrt(centre of squared increments), of one curve of plain floats."""
    scores = list(scores)
    squares = [(after - before) ** 2 for before, after in itertools.pairwise(scores)]
    improvement = max(scores) - min(scores)
    if scores.index(max(scores)) < scores.index(min(scores)):
        improvement = -improvement
    denominator = math.sqrt(centre(squares))
    if denominator == 0:
        return math.copysign(math.inf, improvement) if improvement else math.nan
    return improvement / denominator


@pytest.mark.parametrize("scales", [2, 3, 4, 5, 8, 13])
@pytest.mark.parametrize(
    ("measure", "centre"), [(linearity, statistics.fmean), (breakthroughness, statistics.median)]
)
def test_agrees_with_the_definition(scales, measure, centre):
    curves = np.random.default_rng(scales).integers(0, 4, size=(3, 37, scales)) / 4
    expected = [[by_definition(curve, centre) for curve in group] for group in curves]
    np.testing.assert_allclose(measure(curves), expected, rtol=1e-12)


def test_a_straight_line_reaches_the_bound():
    line = np.linspace(0.1, 0.7, 7)
    assert linearity(line) == pytest.approx(6)
    assert breakthroughness(line) == pytest.approx(6)
    assert linearity(line[::-1]) == pytest.approx(-6)


def test_no_curve_is_more_linear_than_a_line():
    curves = np.random.default_rng(3).random((1009, 6))
    assert np.abs(linearity(curves)).max() <= 5 + 1e-12


def test_a_jump_is_told_from_a_line():
    jump = [0.0, 0.01, 0.0, 0.9, 0.91, 0.92]
    assert breakthroughness(jump) > 50
    assert linearity(jump) < 2.4


def test_even_number_of_increments_is_not_the_median_of_their_sizes():
    """Increments .1 and .3: root of the mean of squares, not .2."""
    assert breakthroughness([0.0, 0.1, 0.4]) == pytest.approx(0.4 / math.sqrt((0.01 + 0.09) / 2))


def test_a_jump_over_zeros_is_infinite_and_a_flat_curve_undefined():
    found = breakthroughness([[0, 0, 0, 1, 1], [1, 1, 0, 0, 0], [0.5] * 5])
    assert found[:2].tolist() == [math.inf, -math.inf]
    assert math.isnan(found[2])
    assert math.isnan(linearity([0.5] * 5))


def test_resolution_floors_the_increment():
    curves = [[0, 0, 0, 1, 1], [0.2] * 5, [0, 0.25, 0.5, 0.75, 1]]
    assert breakthroughness(curves, resolution=1 / 91).tolist() == pytest.approx([91, 0, 4])
    assert breakthroughness(curves, resolution=[1 / 91, 1 / 91, 0.5]).tolist() == pytest.approx([91, 0, 2])
    assert linearity([0.2] * 5, resolution=1 / 91) == 0


def test_a_missing_scale_is_left_out():
    scores = np.random.default_rng(0).random((11, 7))
    where = np.random.default_rng(1).random((11, 7)) < 0.6
    where[0], where[1] = False, [True, *[False] * 6]
    for measure in (linearity, breakthroughness):
        found = measure(np.where(where, scores, np.nan), where=where)
        for number in range(2, 11):
            kept = scores[number][where[number]]
            assert len(kept) > 1
            assert found[number] == pytest.approx(float(measure(kept)))
        assert np.isnan(found[:2]).all()  # no scale, one scale


def test_a_diverged_run_scores_zero_or_what_is_asked():
    assert linearity([0.5, np.nan, 1.0]) == linearity([0.5, 0.0, 1.0])
    assert breakthroughness([5.0, np.nan, 3.0], failure=7.0) == breakthroughness([5.0, 7.0, 3.0])


def test_fewer_than_two_scales_say_nothing():
    for measure in (linearity, breakthroughness):
        assert np.isnan(measure([0.5], resolution=0.1))
        assert np.isnan(measure(np.zeros((3, 0)))).tolist() == [True] * 3
        assert measure(np.zeros((0, 4))).shape == (0,)


def test_emergence_score_is_breakthroughness():
    scores = np.random.default_rng(2).random((5, 6))
    assert (
        emergence_score(scores, resolution=0.3).tolist() == breakthroughness(scores, resolution=0.3).tolist()
    )


@pytest.mark.parametrize(
    ("scores", "options", "message"),
    [
        (0.5, {}, "scores must have a last axis of scales"),
        ([0.1, np.inf], {}, "1 of the values are infinite"),
        ([0.1, 0.2], {"failure": np.nan}, "failure=nan must be finite"),
        ([0.1, 0.2], {"where": [True] * 3}, r"where of shape \(3,\) does not fit scores of shape \(2,\)"),
        ([0.1, 0.2], {"resolution": 0.0}, "resolution=0.0 must be positive"),
        ([0.1, 0.2], {"resolution": [0.1, np.nan]}, r"resolution=\[0.1, nan\] must be positive"),
    ],
)
def test_refuses_what_it_cannot_measure(scores, options, message):
    for measure in (linearity, breakthroughness, emergence_score):
        with pytest.raises(ValueError, match=message):
            measure(scores, **options)
