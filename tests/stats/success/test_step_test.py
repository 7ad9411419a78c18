"""Steps against curves: by brute force and by simulation."""

import math

import numpy as np
import pytest
from scipy.special import expit, xlog1py, xlogy

from jaxemerge.stats import fit_success_curve, step_test

SCALE, SEEDS = 2.0 ** np.arange(7), np.full(7, 50)
SMOOTH = np.array([1, 3, 9, 20, 33, 39, 41])


def step_height(successes, trials, cut):
    groups = [(successes[:cut].sum(), trials[:cut].sum()), (successes[cut:].sum(), trials[cut:].sum())]
    return sum(xlogy(k, k / n) + xlog1py(n - k, -k / n) for k, n in groups)


def test_statistic_is_the_gain_of_the_curve_over_the_best_step():
    found = step_test(SCALE, SMOOTH, SEEDS, resamples=19)
    heights = [step_height(SMOOTH, SEEDS, cut) for cut in range(1, 7)]
    curve = fit_success_curve(SCALE, SMOOTH, SEEDS, floor=None).log_likelihood
    assert found.statistic == pytest.approx(2 * (curve - max(heights)), abs=1e-5)
    cut = 1 + int(np.argmax(heights))
    assert (found.step.low, found.step.high) == pytest.approx((SCALE[cut - 1], SCALE[cut]))
    assert found.before == pytest.approx(SMOOTH[:cut].mean() / 50)
    assert found.after == pytest.approx(SMOOTH[cut:].mean() / 50)


def test_a_gradual_change_is_no_step():
    assert step_test(SCALE, SMOOTH, SEEDS, resamples=99).p_value == 0.01


def test_a_step_is_a_step():
    found = step_test(SCALE, [0, 0, 0, 40, 41, 39, 42], SEEDS, resamples=99)
    assert found.p_value > 0.2
    assert (found.step.low, found.step.high) == pytest.approx((4, 8))


def test_order_of_cells_does_not_matter():
    order = np.random.default_rng(0).permutation(7)
    straight = step_test(SCALE, SMOOTH, SEEDS, resamples=19)
    other = step_test(SCALE[order], SMOOTH[order], SEEDS[order], resamples=19)
    assert other.statistic == pytest.approx(straight.statistic, abs=1e-6)


def test_known_asymptotes_are_kept():
    found = step_test(SCALE, SMOOTH, SEEDS, floor=0.1, ceiling=0.9, resamples=19)
    assert (found.before, found.after) == (0.1, 0.9)
    capped = step_test(SCALE, [50] * 7, SEEDS, ceiling=0.9, resamples=19)
    assert (capped.before, capped.after) == (0.9, 0.9)
    raised = step_test(SCALE, [0] * 7, SEEDS, floor=0.1, resamples=19)
    assert (raised.before, raised.after) == (0.1, 0.1)


def test_a_step_down_mirrors_a_step_up():
    up = step_test(SCALE, SMOOTH, SEEDS, resamples=19)
    down = step_test(1 / SCALE, SMOOTH, SEEDS, resamples=19)
    assert down.statistic == pytest.approx(up.statistic, abs=1e-5)
    assert (down.before, down.after) == pytest.approx((up.after, up.before))
    assert (1 / down.step.high, 1 / down.step.low) == pytest.approx((up.step.low, up.step.high))
    known = [
        step_test(scale, SMOOTH, SEEDS, floor=0.1, ceiling=0.9, resamples=19) for scale in (SCALE, 1 / SCALE)
    ]
    assert known[0].statistic == pytest.approx(known[1].statistic, abs=1e-5)
    assert (known[1].before, known[1].after) == pytest.approx((0.9, 0.1))


@pytest.mark.parametrize(
    ("successes", "direction"),
    [
        ([0] * 7, "either"),
        ([50] * 7, "either"),
        ([9] * 7, "either"),
        ([41, 39, 33, 20, 9, 3, 1], "rises"),
        ([1, 3, 9, 20, 33, 39, 41], "falls"),
    ],
)
def test_no_change_is_no_step(successes, direction):
    found = step_test(SCALE, successes, SEEDS, direction=direction, resamples=19)
    assert found.statistic == pytest.approx(0, abs=1e-6)
    assert found.p_value == 1
    assert math.isnan(found.step.low)
    assert found.before == found.after == pytest.approx(np.mean(successes) / 50)


def test_two_scales_cannot_tell():
    assert step_test([1, 2], [3, 40], [50, 50], resamples=19).p_value == 1


def test_no_seeds():
    found = step_test([1.0], [0], [0])
    assert math.isnan(found.p_value)
    assert math.isnan(found.statistic)


@pytest.mark.slow
def test_size_and_power():
    def rejections(p, sets):
        counts = [np.random.default_rng(number).binomial(50, p) for number in range(sets)]
        return np.mean([step_test(SCALE, k, SEEDS, resamples=39).p_value <= 0.05 for k in counts])

    assert rejections(np.repeat([0.02, 0.8], [3, 4]), 60) <= 0.11  # the standard error of 0.05 is 0.028
    assert rejections(0.8 * expit(2 * np.log(SCALE / 6)), 30) >= 0.8


@pytest.mark.parametrize(
    ("scale", "options", "message"),
    [
        (np.ones((2, 2)), {}, r"scale of shape \(2, 2\) must be \[N\]: a step has one measure"),
        ([1, 2], {"resamples": 0}, "resamples=0 must be at least 1"),
        ([1, -2], {}, "must be positive numbers"),
        ([1, 2], {"direction": "up"}, "direction='up' must be"),
        ([1, 2], {"floor": -0.1}, "floor=-0.1, ceiling=None: 0 <= floor <= ceiling <= 1 must hold"),
    ],
)
def test_refuses_what_it_cannot_test(scale, options, message):
    with pytest.raises(ValueError, match=message):
        step_test(scale, [0, 1], [2, 2], **options)
