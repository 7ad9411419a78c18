"""The power law of the mean of successes, against statsmodels and by hand."""

import math

import numpy as np
import pytest
import statsmodels.api as sm
from scipy import stats

from jaxemerge.stats import fit_success_mean

SCALE = np.array([1.0, 2, 4, 8])


def populations(seeds=37):
    rng = np.random.default_rng(0)
    return [np.where(rng.random(seeds) < 0.6, rng.uniform(0.3, 0.5, seeds) * s**0.2, 0.1) for s in SCALE]


def test_agrees_with_weighted_least_squares():
    samples = populations()
    found = fit_success_mean(SCALE, samples)
    wins = [sample[sample >= 0.2] for sample in samples]
    counts, means = np.array([len(w) for w in wins]), np.array([w.mean() for w in wins])
    fit = sm.WLS(np.log(means), sm.add_constant(np.log(SCALE)), weights=counts).fit()
    assert found.exponent.value == pytest.approx(fit.params[1])
    np.testing.assert_allclose(found.mean_at(SCALE), np.exp(fit.fittedvalues))
    np.testing.assert_allclose(found.mean, means)
    assert found.n_success.tolist() == counts.tolist()
    assert found.coefficient.value == pytest.approx(float(found.mean_at(found.centre)))


def test_a_planted_law_lies_in_narrow_intervals():
    found = fit_success_mean(SCALE, populations(3001))
    assert found.exponent.interval.low < 0.2 < found.exponent.interval.high
    assert found.exponent.interval.high - found.exponent.interval.low < 0.03
    truth = 0.4 * found.centre**0.2
    assert found.coefficient.interval.low < truth < found.coefficient.interval.high


def test_scales_without_a_success_are_left_out():
    samples = [[0.0, 0.1], [0.4, 0.5, np.nan], [], [0.7, 0.9]]
    found = fit_success_mean(SCALE, samples)
    assert found.exponent.value == pytest.approx(math.log(0.8 / 0.45) / math.log(4))
    assert np.isnan(found.mean).tolist() == [True, False, True, False]
    assert found.n_success.tolist() == [0, 2, 0, 2]


def test_one_scale_has_a_mean_but_no_exponent():
    found = fit_success_mean([1, 2], [[0.0], [0.5, 0.7]])
    assert math.isnan(found.exponent.value)
    assert math.isnan(found.exponent.interval.low)
    assert (found.coefficient.value, found.centre) == pytest.approx((0.6, 2))
    error = stats.t.ppf(0.975, 1) * np.std([0.5, 0.7], ddof=1) / 0.6 / math.sqrt(2)
    assert found.coefficient.interval.low == pytest.approx(0.6 * math.exp(-error))


@pytest.mark.parametrize(("scales", "seeds"), [(3, 8), (5, 8), (2, 12)])
def test_covers_the_exponent_with_few_successes(scales, seeds):
    """Half of the seeds succeed, with relative spreads of 2 and 30 % in turn."""
    rng, scale = np.random.default_rng(seeds), 2.0 ** np.arange(scales)
    hits = []
    for _ in range(300):
        spread = np.where(np.arange(scales) % 2, 0.02, 0.3)
        samples = [
            np.clip(np.where(rng.random(seeds) < 0.5, m * (1 + d * rng.normal(size=seeds)), 0), 0, 1)
            for m, d in zip(0.45 * scale**0.1, spread, strict=True)
        ]
        interval = fit_success_mean(scale, samples, 0.05).exponent.interval
        hits += [interval.low <= 0.1 <= interval.high] if interval.high > interval.low else []
    assert len(hits) > 250
    assert 0.915 <= np.mean(hits) <= 0.99


def test_no_success_and_single_successes():
    none = fit_success_mean([1, 2], [[0.0, np.nan], []])
    assert math.isnan(none.coefficient.value)
    assert math.isnan(none.centre)
    single = fit_success_mean([1, 2], [[0.3], [0.6]])
    assert single.exponent.value == pytest.approx(1)
    assert math.isnan(single.exponent.interval.low)


@pytest.mark.parametrize(
    ("scale", "samples", "options", "message"),
    [
        ([1, 0], [[0.1], [0.2]], {}, r"scale=\[1.0, 0.0\] must be one or more positive numbers"),
        ([], [], {}, r"scale=\[\] must be one or more"),
        (
            [1, 2],
            [[0.1]],
            {},
            r"must be one sample of seeds for each of 2 scales",
        ),
        ([1], [[1.5, 0.1]], {}, r"scores from 0.1 to 1.5 must lie in \[0, 1\]"),
        ([1], [[0.5]], {"threshold": 0.0}, r"threshold=0.0 must lie in \(0, 1\]"),
    ],
)
def test_refuses_what_it_cannot_fit(scale, samples, options, message):
    with pytest.raises(ValueError, match=message):
        fit_success_mean(scale, samples, **options)
