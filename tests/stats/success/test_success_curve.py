"""Success against scale, against statsmodels, brute force and simulation."""

import math

import numpy as np
import pytest
import statsmodels.api as sm
from scipy.optimize import minimize
from scipy.special import expit
from scipy.stats import chi2

from jaxemerge.stats import fit_success_curve

SCALE = 2.0 ** np.arange(7)
COUNTS, SEEDS = np.array([0, 2, 9, 20, 33, 39, 41]), np.full(7, 50)
ENDS = ("midpoint", "slope", "ceiling")


def by_search(scale, successes, trials, midpoint=None):
    """Highest log-likelihood of three parameters, by a general optimiser from many starts."""
    logs = np.log(scale)

    def loss(theta):
        middle, slope, ceiling = theta
        p = np.clip(ceiling * expit(slope * (logs - middle)), 1e-12, 1 - 1e-12)
        return -np.sum(successes * np.log(p) + (trials - successes) * np.log1p(-p))

    middles = np.linspace(0, 4, 5) if midpoint is None else [math.log(midpoint)]
    around = (-3, 8) if midpoint is None else (middles[0], middles[0])
    bounds = [around, (0, 30), (0.01, 1)]
    runs = [minimize(loss, (m, s, 0.9), bounds=bounds, tol=1e-12) for m in middles for s in (1, 4)]
    return -min(run.fun for run in runs)


def test_agrees_with_a_general_optimiser():
    found = fit_success_curve(SCALE, COUNTS, SEEDS)
    assert found.log_likelihood == pytest.approx(by_search(SCALE, COUNTS, SEEDS), abs=1e-6)


def test_profile_interval_ends_where_the_likelihood_ratio_says():
    found = fit_success_curve(SCALE, COUNTS, SEEDS, confidence=0.9)
    for end in (found.midpoint.interval.low, found.midpoint.interval.high):
        drop = 2 * (found.log_likelihood - by_search(SCALE, COUNTS, SEEDS, end))
        assert drop == pytest.approx(chi2.ppf(0.9, 1), abs=0.01)


def test_agrees_with_statsmodels_where_asymptotes_are_known():
    counts = np.array([2, 5, 14, 22, 35, 44, 49])
    found = fit_success_curve(SCALE, counts, SEEDS, ceiling=1.0)
    table = np.stack([counts, SEEDS - counts], axis=1)
    design = sm.add_constant(np.log(SCALE))
    fit = sm.GLM(table, design, family=sm.families.Binomial()).fit(tol=1e-12)
    assert found.slope.value == pytest.approx(fit.params[1], rel=1e-5)
    assert found.midpoint.value == pytest.approx(math.exp(-fit.params[0] / fit.params[1]), rel=1e-5)
    np.testing.assert_allclose(found.probability(SCALE), fit.fittedvalues, rtol=1e-5)
    # Profile and Wald intervals agree to second order only.
    wald = fit.conf_int()[1]
    assert (found.slope.interval.low, found.slope.interval.high) == pytest.approx(tuple(wald), rel=0.05)


@pytest.mark.parametrize("interaction", [False, True])
def test_depth_and_width_at_once_agree_with_statsmodels(interaction):
    scale = np.array([(d, w) for d in (1, 2, 4, 8) for w in (64, 128, 512)], float)
    x = np.log(scale) - np.log(scale).mean(axis=0)
    counts = np.random.default_rng(0).binomial(50, expit(-0.3 + 1.2 * x[:, 0] - 0.4 * x[:, 1]))
    columns = np.column_stack([np.ones(12), x, *([x[:, 0] * x[:, 1]] if interaction else [])])
    fit = sm.GLM(np.stack([counts, 50 - counts], axis=1), columns, family=sm.families.Binomial()).fit(
        tol=1e-12
    )
    found = fit_success_curve(scale, counts, np.full(12, 50), ceiling=1.0, interaction=interaction)
    np.testing.assert_allclose(found.slope.value, fit.params[1:3], rtol=1e-4)
    np.testing.assert_allclose(found.slope.interval.low, fit.conf_int()[1:3, 0], rtol=0.1)
    np.testing.assert_allclose(found.probability(scale), fit.fittedvalues, rtol=1e-4)
    assert math.isnan(found.midpoint.value)
    if interaction:
        assert found.interaction.value == pytest.approx(fit.params[3], abs=1e-4)
    else:
        assert math.isnan(found.interaction.value)


def test_units_of_scale_do_not_matter():
    small, large = (fit_success_curve(unit * SCALE, COUNTS, SEEDS) for unit in (1.0, 1e6))
    assert large.midpoint.interval.low == pytest.approx(1e6 * small.midpoint.interval.low, rel=1e-3)
    assert large.slope.value == pytest.approx(small.slope.value, rel=1e-3)


def test_order_of_cells_does_not_matter_and_empty_cells_say_nothing():
    order = np.random.default_rng(1).permutation(7)
    straight = fit_success_curve(SCALE, COUNTS, SEEDS)
    other = fit_success_curve(
        np.append(SCALE[order], 999.0), np.append(COUNTS[order], 0), np.append(SEEDS[order], 0)
    )
    for name in ENDS:
        a, b = getattr(straight, name), getattr(other, name)
        assert (a.value, a.interval.low, a.interval.high) == pytest.approx(
            (b.value, b.interval.low, b.interval.high), rel=1e-3
        )


def test_floor_is_fitted_if_asked():
    p = 0.2 + 0.6 * expit(3 * np.log(SCALE / 8))
    found = fit_success_curve(SCALE, np.round(2000 * p), np.full(7, 2000), floor=None)
    assert found.floor.value == pytest.approx(0.2, abs=0.01)
    assert found.floor.interval.low < 0.2 < found.floor.interval.high
    assert found.ceiling.value == pytest.approx(0.8, abs=0.01)
    assert found.probability(1e-9) == pytest.approx(found.floor.value)


def test_separated_data_have_a_step_with_a_finite_interval():
    found = fit_success_curve(SCALE, np.where(SCALE > 5, 50, 0), SEEDS)
    assert found.midpoint.value == pytest.approx(math.sqrt(4 * 8), rel=1e-3)
    # At the midpoint half the seeds succeed: it is at neither of the scales beside the gap.
    assert 4 < found.midpoint.interval.low < 4.5
    assert 7 < found.midpoint.interval.high < 8
    assert (found.slope.value, found.slope.interval.high) == (math.inf, math.inf)
    assert 0 < found.slope.interval.low < math.inf
    np.testing.assert_allclose(found.probability(SCALE), SCALE > 5, atol=1e-6)


def test_one_scale_inside_a_step_fixes_the_midpoint_not_the_slope():
    found = fit_success_curve(SCALE, [0, 0, 0, 20, 50, 50, 50], SEEDS)
    assert found.slope.value == math.inf
    assert 6 < found.midpoint.interval.low < found.midpoint.value < found.midpoint.interval.high < 16
    assert found.probability(8.0) == pytest.approx(0.4, abs=1e-3)


@pytest.mark.parametrize(("ceiling", "direction"), [(None, "either"), (1.0, "either"), (1.0, "rises")])
def test_all_seeds_failed(ceiling, direction):
    found = fit_success_curve(SCALE, np.zeros(7), SEEDS, ceiling=ceiling, direction=direction)
    assert found.midpoint.interval.high == math.inf
    if direction == "either":
        assert math.isnan(found.midpoint.value)
        assert found.midpoint.interval.low == 0
    else:
        assert found.midpoint.value == math.inf
        assert found.midpoint.interval.low > 64
    np.testing.assert_allclose(found.probability(SCALE), 0, atol=1e-6)


def test_all_seeds_succeeded():
    found = fit_success_curve(SCALE, SEEDS, SEEDS, direction="rises")
    assert (found.midpoint.value, found.midpoint.interval.low) == (0, 0)
    assert found.midpoint.interval.high < 1
    assert found.ceiling.interval.low > 0.98
    fallen = fit_success_curve(SCALE, SEEDS, SEEDS, direction="falls")
    assert (fallen.midpoint.value, fallen.midpoint.interval.high) == (math.inf, math.inf)
    assert fallen.midpoint.interval.low > 64


def ends_of(estimate):
    return estimate.value, estimate.interval.low, estimate.interval.high


def test_success_that_falls_with_noise():
    noise, successes = [0.1, 0.3, 1, 3, 10], [16, 15, 9, 2, 0]
    found = fit_success_curve(noise, successes, [16] * 5, ceiling=1.0)
    assert found.midpoint.value == pytest.approx(1.13, abs=0.005)
    assert ends_of(found.slope) == pytest.approx((-2.18, -3.40, -1.38), abs=0.005)
    # A ceiling below 1, which allows for the failure at 0.3, goes with a steeper curve.
    found = fit_success_curve(noise, successes, [16] * 5)
    assert found.midpoint.value == pytest.approx(1.13, abs=0.005)
    assert ends_of(found.slope) == pytest.approx((-2.18, -3.71, -1.38), abs=0.01)
    assert found.probability([1e-9, 1e9]) == pytest.approx([found.ceiling.value, 0], abs=1e-6)


@pytest.mark.parametrize(
    ("counts", "options"),
    [
        (COUNTS, {}),
        (COUNTS, {"ceiling": 1.0}),
        (COUNTS, {"direction": "rises"}),
        (np.where(SCALE > 5, 50, 0), {}),
        (COUNTS + 6, {"floor": None}),
        (COUNTS, {"interval": "bootstrap", "resamples": 40}),
    ],
)
def test_a_falling_curve_is_the_rising_one_against_the_inverse_of_scale(counts, options):
    rising = fit_success_curve(SCALE, counts, SEEDS, **options)
    other = {"direction": "falls"} if "direction" in options else {}
    falling = fit_success_curve(1 / SCALE, counts, SEEDS, **(options | other))
    assert falling.log_likelihood == pytest.approx(rising.log_likelihood, abs=1e-6)
    value, low, high = ends_of(rising.midpoint)
    assert ends_of(falling.midpoint) == pytest.approx((1 / value, 1 / high, 1 / low), rel=2e-3)
    value, low, high = ends_of(rising.slope)
    assert ends_of(falling.slope) == pytest.approx((-value, -high, -low), rel=2e-3)
    assert ends_of(falling.ceiling) == pytest.approx(ends_of(rising.ceiling), abs=2e-3)


def test_a_direction_that_is_wrong_has_no_midpoint():
    found = fit_success_curve(SCALE, COUNTS[::-1], SEEDS, direction="rises")
    assert math.isnan(found.midpoint.value)
    assert (found.midpoint.interval.low, found.midpoint.interval.high) == (0, math.inf)
    assert found.slope.interval.low == 0


def test_a_flat_curve_may_rise_or_fall():
    found = fit_success_curve(SCALE, [24, 26, 25, 24, 26, 25, 24], SEEDS, ceiling=1.0)
    assert found.slope.interval.low < 0 < found.slope.interval.high


@pytest.mark.slow
def test_intervals_of_a_weak_slope_cover_whichever_sign_it_has():
    hits = []
    for number in range(60):
        slope = 0.1 if number % 2 else -0.1
        p = expit(slope * np.log(SCALE / 8))
        found = fit_success_curve(SCALE, np.random.default_rng(number).binomial(50, p), SEEDS, ceiling=1.0)
        hits.append(found.slope.interval.low <= slope <= found.slope.interval.high)
    assert 0.88 <= np.mean(hits) <= 0.995


def test_one_scale_and_no_seed():
    one = fit_success_curve([3.0], [20], [50], ceiling=1.0)
    assert (one.midpoint.interval.low, one.midpoint.interval.high) == (0, math.inf)
    for scale in (np.zeros(0), np.zeros((0, 2)), [3.0]):
        nothing = fit_success_curve(scale, np.zeros(len(scale)), np.zeros(len(scale)))
        assert math.isnan(nothing.midpoint.value)
        assert np.isnan(nothing.slope.value).all()
        assert np.isnan(nothing.probability([[3.0, 4.0]])).all()


def test_no_more_parameters_than_scales():
    with pytest.raises(ValueError, match="2 scales cannot determine 3 parameters: give the ceiling"):
        fit_success_curve([1, 2, 2], [1, 5, 6], [9, 9, 9])
    assert fit_success_curve([1, 2], [1, 5], [9, 9], ceiling=1.0).ceiling.value == 1
    assert fit_success_curve([1, 2, 4], [1, 5, 6], [9, 9, 9]).midpoint.value > 1


def test_bootstrap_resembles_the_profile():
    p = 0.8 * expit(2 * np.log(SCALE / 6))
    counts, seeds = np.round(250 * p), np.full(7, 250)
    profile = fit_success_curve(SCALE, counts, seeds)
    found = fit_success_curve(SCALE, counts, seeds, interval="bootstrap", resamples=300, key=1)
    for name in ENDS:
        a, b = getattr(profile, name), getattr(found, name)
        assert a.value == b.value
        assert (a.interval.low, a.interval.high) == pytest.approx((b.interval.low, b.interval.high), rel=0.15)


@pytest.mark.slow
def test_intervals_cover_the_truth():
    p = 0.8 * expit(2 * np.log(SCALE / 6))
    hits = []
    for number in range(60):
        found = fit_success_curve(SCALE, np.random.default_rng(number).binomial(50, p), SEEDS)
        hits.append(
            [
                getattr(found, name).interval.low <= truth <= getattr(found, name).interval.high
                for name, truth in zip(ENDS, (6, 2, 0.8), strict=True)
            ]
        )
    assert np.all(np.mean(hits, axis=0) >= 0.89)  # the standard error of 0.95 is 0.028
    assert np.all(np.mean(hits, axis=0) <= 0.995)


@pytest.mark.parametrize(
    ("arguments", "options", "message"),
    [
        (([1, 2], [0, 1], [1]), {}, r"successes \(2,\) and trials \(1,\) must be one each for 2 scales"),
        ((3.0, 1, 2), {}, r"scale of shape \(\) must be \[N\] or \[N, 2\]"),
        ((np.ones((2, 3)), [0, 1], [1, 1]), {}, r"scale of shape \(2, 3\) must be"),
        (([0, 2], [0, 1], [1, 1]), {}, r"scale=\[0.0, 2.0\] must be positive numbers"),
        (([1, 2], [0, 2], [1, 1]), {}, r"successes=\[0.0, 2.0\] of trials=\[1.0, 1.0\]: 0 <= k <= n"),
        (([1, 2], [0, np.nan], [1, 1]), {}, "0 <= k <= n must hold"),
        (([1, 2], [0, 1], [1, 1]), {"ceiling": 1.5}, "floor=0.0, ceiling=1.5: 0 <= floor <= ceiling <= 1"),
        (([1, 2], [0, 1], [1, 1]), {"floor": 0.5, "ceiling": 0.4}, "floor=0.5, ceiling=0.4: 0 <= floor"),
        (([1, 2], [0, 1], [1, 1]), {"interval": "wald"}, "interval='wald' must be 'profile' or 'bootstrap'"),
        (([1, 2], [0, 1], [1, 1]), {"resamples": 0}, "resamples=0 must be at least 1"),
        (([1, 2], [0, 1], [1, 1]), {"direction": "up"}, "direction='up' must be 'either', 'rises' or"),
        ((np.ones((2, 2)), [0, 1], [1, 1]), {"direction": "falls"}, "direction='falls' needs one measure"),
        (([1, 2], [0, 1], [1, 1]), {"confidence": 95}, r"confidence=95 must lie in \(0, 1\)"),
    ],
)
def test_refuses_what_it_cannot_fit(arguments, options, message):
    with pytest.raises(ValueError, match=message):
        fit_success_curve(*arguments, **options)
