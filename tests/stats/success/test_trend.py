"""Trends within strata, against statsmodels, against all permutations, and by simulation."""

import itertools

import numpy as np
import pytest
import statsmodels.formula.api as smf
from pandas import DataFrame

from jaxemerge.stats import trend_test


def population(rng, slope=0.0, seeds=12):
    """Four strata by three scales; many scores are exactly 0, and the strata differ."""
    stratum, scale = (a.ravel() for a in np.meshgrid([1, 2, 3, 5], np.repeat([0.0, 1.0, 2.0], seeds // 3)))
    score = rng.uniform(size=len(scale)) * (rng.uniform(size=len(scale)) < 0.6)
    return scale, slope * scale + score * stratum / 5, stratum


def test_the_slope_is_that_of_least_squares_with_an_intercept_per_stratum():
    scale, outcomes, stratum = population(np.random.default_rng(0), slope=0.1)
    frame = DataFrame({"x": scale, "y": outcomes, "stratum": stratum}).sample(frac=1, random_state=1)
    model = smf.ols("y ~ x + C(stratum)", frame).fit()
    found = trend_test(frame["x"], frame["y"], frame["stratum"])
    assert found.slope.value == pytest.approx(model.params["x"])
    assert found.runs == 48
    alone = trend_test(frame["x"], frame["y"])
    assert alone.slope.value == pytest.approx(smf.ols("y ~ x", frame).fit().params["x"])


def test_the_p_value_is_the_share_of_all_permutations_within_strata():
    x = [np.array([0.0, 1.0, 2.0, 4.0]), np.array([1.0, 3.0, 3.0])]
    y = [np.array([0.1, 0.0, 0.7, 0.8]), np.array([5.2, 5.9, 5.1])]
    rises = [[np.dot(u - u.mean(), p) for p in itertools.permutations(v)] for u, v in zip(x, y, strict=True)]
    sums = np.abs(np.add.outer(*map(np.array, rises)))
    exact = np.mean(sums >= sums[0, 0] - 1e-12)
    found = trend_test(np.concatenate(x), np.concatenate(y), [0, 0, 0, 0, 1, 1, 1], permutations=40_000)
    assert 0.02 < exact < 0.5
    assert found.p_value == pytest.approx(exact, abs=0.01)


def test_strata_are_not_mixed_up():
    # Within each stratum the outcome falls; over all of them it rises.
    scale, stratum = np.array([0.0, 1.0, 10.0, 11.0] * 5), np.array([0, 0, 1, 1] * 5)
    outcomes = 10.0 * stratum - 0.5 * scale
    assert trend_test(scale, outcomes, stratum).slope.value == pytest.approx(-0.5)
    assert trend_test(scale, outcomes).slope.value > 0
    flat = trend_test(scale, 10.0 * stratum, stratum)
    assert (flat.slope.value, flat.p_value) == (0.0, 1.0)


def test_size_and_coverage():
    rng, rejected, covered = np.random.default_rng(2), 0, 0
    for key in range(200):
        null = trend_test(*population(rng), permutations=199, resamples=1, key=key)
        rejected += null.p_value <= 0.05
        slope = trend_test(*population(rng, 0.2), permutations=1, resamples=400, key=key).slope
        covered += slope.interval.low < 0.2 < slope.interval.high
    assert 2 <= rejected <= 21  # 0.9999 of binomial(200, 0.05)
    assert 178 <= covered <= 197


def test_a_clear_trend_is_found():
    found = trend_test(*population(np.random.default_rng(3), slope=0.3))
    assert found.p_value == pytest.approx(1e-4)
    assert found.slope.interval.low > 0.1


def test_diverged_runs_fail():
    scale = np.repeat([0.0, 1.0], 6)
    outcomes = np.where(scale == 0, np.nan, 1.0)
    assert trend_test(scale, outcomes).slope.value == pytest.approx(1)
    assert trend_test(scale, outcomes, failure=0.5).slope.value == pytest.approx(0.5)


def test_what_says_nothing_is_unknown():
    for found in (trend_test([1.0, 1.0], [0.0, 1.0]), trend_test([1.0, 2.0], [0.0, 1.0], [0, 1])):
        assert np.isnan(found.slope.value)
        assert np.isnan(found.slope.interval.low)
        assert np.isnan(found.p_value)
        assert found.runs == 0


@pytest.mark.parametrize(
    ("arguments", "options", "message"),
    [
        (
            ([1.0, 2.0], [0.0]),
            {},
            r"scale \(2,\), outcomes \(1,\) and stratum \(2,\) must be one each per run",
        ),
        (([1.0, 2.0], [0.0, 1.0], [0]), {}, r"stratum \(1,\) must be one each"),
        (([1.0, np.inf], [0.0, 1.0]), {}, "every scale must be finite"),
        (
            ([1.0, 2.0], [0.0, 1.0]),
            {"permutations": 0},
            "permutations=0 must be at least",
        ),
        (([1.0, 2.0], [0.0, 1.0]), {"confidence": 1.0}, "confidence=1.0 must"),
    ],
)
def test_bad_input_is_refused(arguments, options, message):
    with pytest.raises(ValueError, match=message):
        trend_test(*arguments, **options)
