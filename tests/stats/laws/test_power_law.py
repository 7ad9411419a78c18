"""Power laws with and without breaks, quantiles over seeds, and rolling origins."""

import numpy as np
import pytest
from scipy.optimize import curve_fit

from jaxemerge.stats import (
    fit_broken_power_law,
    fit_loss_quantiles,
    fit_power_law,
    fit_score_distribution,
    fit_success_curve,
    fit_success_mean,
    rolling_origin,
)

S = np.geomspace(1e6, 1e9, 13)
EXACT = 1.5 + 30 * S**-0.2


def noisy(seeds, noise=0.01):
    s = np.repeat(S, seeds)
    return s, (1.5 + 30 * s**-0.2) * np.exp(noise * np.random.default_rng(0).normal(size=s.size))


def test_power_law_against_curve_fit():
    s, y = noisy(3)
    found = fit_power_law(s, y, huber_delta=np.inf, bootstraps=100)
    reference, _ = curve_fit(
        lambda x, a, p, e: np.log(e + a * x**-p), s / found.centre, np.log(y), [0.5, 0.3, 1.0], xtol=1e-14
    )
    values = [found.coefficient.value, found.exponent.value, found.E.value]
    np.testing.assert_allclose(values, reference, rtol=1e-4)
    assert found.exponent.interval.low < found.exponent.value < found.exponent.interval.high
    assert found.predict(S).interval.low.shape == (13,)


def test_power_law_without_offset_and_rising():
    falling = fit_power_law(S, 30 * S**-0.2, offset=False)
    assert (falling.exponent.value, falling.E.value) == (pytest.approx(0.2), 0.0)
    rising = fit_power_law(S, 0.01 * S**0.3, offset=False)
    assert rising.exponent.value == pytest.approx(-0.3)
    np.testing.assert_allclose(rising.predict(1e10).value, 0.01 * 1e10**0.3)


def broken(x):
    return 0.3 + 5 * x**-0.1 * (1 + (x / 1e3) ** (1 / 0.4)) ** (-0.5 * 0.4)


def test_broken_power_law_recovers_a_planted_break():
    x = np.geomspace(1, 1e6, 37)
    found = fit_broken_power_law(x, broken(x), bootstraps=5)
    assert found.converged
    np.testing.assert_allclose(found.exponents.value, [0.1, 0.6], rtol=1e-4)
    np.testing.assert_allclose(found.breaks.value, [1e3], rtol=1e-4)
    np.testing.assert_allclose(found.widths.value, [0.4], rtol=1e-3)
    assert found.E.value == pytest.approx(0.3, rel=1e-4)
    np.testing.assert_allclose(found.predict(x * 10).value, broken(x * 10), rtol=1e-4)
    plain = fit_power_law(x, broken(x))
    assert plain.objective > 1e3 * found.objective


def test_refuses():
    with pytest.raises(ValueError, match="2 different scales cannot determine 3 parameters"):
        fit_power_law([1, 2, 2], [3, 2, 2])
    with pytest.raises(ValueError, match="value=-1 in one run"):
        fit_power_law([1, 2, 3], [3, 2, -1])
    with pytest.raises(ValueError, match="breaks=4 must be 1, 2 or 3"):
        fit_broken_power_law(S, EXACT, breaks=4)
    with pytest.raises(ValueError, match="5 different scales cannot determine 6 parameters"):
        fit_broken_power_law(S[:5], EXACT[:5])


def test_rolling_origin_predicts_the_next_scale_from_the_smaller():
    seen = []

    def predict(fit, to):
        seen.append((S[fit].max(), S[to].min()))
        return fit_power_law(S[fit], EXACT[fit]).predict(S[to])

    found = rolling_origin(S, EXACT, predict, least=4)
    assert seen == [(S[i], S[i + 1]) for i in range(3, 12)]
    np.testing.assert_allclose(found.relative_error, 0, atol=1e-4)
    np.testing.assert_array_equal(found.runs, range(4, 13))
    np.testing.assert_array_equal(found.origin, S[3:12])
    # A law without its floor errs, and ever more to one side.
    bare = rolling_origin(
        S, EXACT, lambda fit, to: fit_power_law(S[fit], EXACT[fit], offset=False).predict(S[to]), ahead=3
    )
    assert np.all(bare.error < 0)
    assert len(bare.runs) == 8
    np.testing.assert_array_equal(bare.scale, S[5:])


def test_rolling_origin_refuses():
    with pytest.raises(ValueError, match="3 different scales; 4 or more"):
        rolling_origin(S[:3], S[:3], lambda fit, to: None)
    with pytest.raises(ValueError, match="observed of shape"):
        rolling_origin(S, S[:3], lambda fit, to: None)
    with pytest.raises(ValueError, match="least=0 must be at least 1"):
        rolling_origin(S, S, lambda fit, to: None, least=0)


SCALES = np.array([1.0, 2, 4, 8, 16])


def populations(seeds=41):
    rng = np.random.default_rng(0)
    return [np.exp(0.1 * rng.normal(size=seeds)) * s**-0.5 for s in SCALES]


def test_quantiles_of_the_loss_each_have_a_law():
    samples = populations()
    found = fit_loss_quantiles(SCALES, samples, quantiles=(0.9, 0.5), offset=False, bootstraps=100)
    assert found.quantiles == (0.5, 0.9)
    np.testing.assert_allclose(found.observed, [np.quantile(s, [0.5, 0.9]) for s in samples])
    low, high = (law.predict(4.0).value for law in found.laws)
    assert high / low == pytest.approx(np.exp(0.128), rel=0.05)
    for law in found.laws:
        assert law.exponent.interval.low < 0.5 < law.exponent.interval.high


def test_diverged_runs_are_the_worst():
    samples = populations()
    samples[2][:3] = np.nan
    worst = np.where(np.isnan(samples[2]), np.inf, samples[2])
    found = fit_loss_quantiles(SCALES, samples, quantiles=(0.5,), offset=False)
    assert found.observed[2, 0] == np.median(worst)
    samples[2][:30] = np.nan
    with pytest.raises(ValueError, match=r"quantile 0\.5 at scale 4 falls among the diverged"):
        fit_loss_quantiles(SCALES, samples, quantiles=(0.5,))


@pytest.mark.parametrize(
    ("scale", "samples", "options", "message"),
    [
        (SCALES, populations()[:4], {}, "populations of shapes"),
        (SCALES, [[0.0]] * 5, {}, "loss=0 in one run"),
        (SCALES, populations(), {"quantiles": (1.0,)}, "quantiles="),
        (SCALES, populations(), {"bootstraps": -1}, "bootstraps=-1"),
        (SCALES[:2], populations()[:2], {}, "2 different scales cannot determine 3"),
    ],
)
def test_quantiles_refuse(scale, samples, options, message):
    with pytest.raises(ValueError, match=message):
        fit_loss_quantiles(scale, samples, **options)


def test_scores_are_split_into_success_and_its_mean():
    rng = np.random.default_rng(0)
    share = np.array([0.1, 0.3, 0.5, 0.7, 0.9])
    samples = [np.where(rng.random(50) < p, rng.uniform(0.4, 0.9, 50), 0.01) for p in share]
    found = fit_score_distribution(SCALES, samples, ceiling=1.0)
    wins = [int(np.sum(s >= 0.2)) for s in samples]
    curve = fit_success_curve(SCALES, wins, [50] * 5, ceiling=1.0)
    assert found.success.midpoint == curve.midpoint
    assert found.mean.exponent == fit_success_mean(SCALES, samples).exponent
