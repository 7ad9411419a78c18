"""Loss to accuracy, and the two steps from scale to accuracy."""

import numpy as np
import pytest
from scipy.optimize import curve_fit
from scipy.special import expit
from scipy.stats import norm, t

from jaxemerge.stats import fit_chinchilla, fit_ladder, fit_sigmoid


def grid(seeds=1):
    n, d = np.meshgrid(np.geomspace(5e7, 1e10, 6), np.geomspace(1e9, 5e11, 5))
    return np.repeat(n.ravel(), seeds), np.repeat(d.ravel(), seeds)


def law(n, d):
    return 1.8 + 480 * n**-0.35 + 2080 * d**-0.37


def accuracy(loss):
    return 0.25 + 0.75 * expit(-4 * (loss - 2.4))


N, D = grid()
LOSS = law(N, D)


def test_sigmoid_against_curve_fit():
    y = np.clip(accuracy(LOSS) + 0.01 * np.random.default_rng(0).normal(size=LOSS.size), 0, 1)
    found = fit_sigmoid(LOSS, y, floor=None, ceiling=None, bootstraps=100)
    reference, _ = curve_fit(
        lambda x, lo, hi, m, k: lo + (hi - lo) * expit(-k * (x - m)), LOSS, y, [0.2, 1, 2.4, 4], xtol=1e-14
    )
    np.testing.assert_allclose(found.values, reference, rtol=1e-4)
    assert list(found.parameters) == ["floor", "ceiling", "midpoint", "steepness"]
    midpoint = found.parameters["midpoint"]
    assert midpoint.interval.low < midpoint.value < midpoint.interval.high


def test_held_floor_and_ceiling_stay():
    found = fit_sigmoid(LOSS, accuracy(LOSS), floor=0.25)
    assert found.converged
    np.testing.assert_allclose(found.values, [0.25, 1, 2.4, 4], rtol=1e-6)
    np.testing.assert_allclose(found.predict([2.4, 9.9]).value, [0.625, 0.25], atol=1e-6)


def test_exponential():
    y = 1 - (0.9 - 2 * np.exp(-1.1 * LOSS))
    found = fit_sigmoid(LOSS, y, form="exponential")
    np.testing.assert_allclose(found.values, [0.9, 2, 1.1], rtol=1e-6)
    np.testing.assert_allclose(found.predict(LOSS).value, y)


def test_ladder_goes_through_both_steps():
    n, d = grid(3)
    rng = np.random.default_rng(0)
    loss = law(n, d) * np.exp(0.004 * rng.normal(size=n.size))
    y = np.clip(accuracy(loss) + 0.01 * rng.normal(size=n.size), 0, 1)
    found = fit_ladder(n, d, loss, y, floor=0.25, bootstraps=100, key=5)
    first = fit_chinchilla(n, d, loss, starts="quick", bootstraps=100, key=5)
    np.testing.assert_array_equal(found.loss.replicates, first.replicates)
    second = fit_sigmoid(loss, y, floor=0.25)
    np.testing.assert_allclose(found.link.values, second.values)
    there = found.predict(5e10, 1e12)
    assert there.value == pytest.approx(float(second.predict(first.predict(5e10, 1e12).value).value))
    # By hand: resample by resample through both steps.
    chain = [
        lo + (hi - lo) * expit(-k * (e + a * 5e10**-p + b * 1e12**-q - m))
        for (a, b, e, p, q), (lo, hi, m, k) in zip(found.loss.replicates, found.link.replicates, strict=True)
    ]
    degrees = min(found.loss.degrees, found.link.degrees)
    assert 2 < degrees < 60
    tail = norm.cdf(t.ppf(0.025, degrees))
    np.testing.assert_allclose(
        [there.interval.low, there.interval.high], np.quantile(chain, [tail, 1 - tail])
    )
    assert there.interval.low < float(accuracy(law(5e10, 1e12))) < there.interval.high
    assert np.shape(found.predict([1e9, 1e10], 1e12).interval.low) == (2,)


@pytest.mark.parametrize(
    ("loss", "y", "options", "message"),
    [
        (LOSS, accuracy(LOSS) * 100, {}, r"accuracy=.* must lie in \[0, 1\]"),
        (LOSS, accuracy(LOSS)[:3], {}, r"accuracy of shape \(3,\)"),
        (LOSS, np.full(30, np.nan), {}, "accuracy=nan in one run"),
        (LOSS, accuracy(LOSS), {"form": "line"}, "form='line' must be"),
        (LOSS, accuracy(LOSS), {"floor": 1.0}, r"floor=1\.0, ceiling=1\.0 must be"),
        (np.full(30, 2.0), accuracy(LOSS), {}, "1 different losses cannot determine 2 parameters"),
        (-LOSS, accuracy(LOSS), {}, "loss=-.* in one run"),
    ],
)
def test_refuses(loss, y, options, message):
    with pytest.raises(ValueError, match=message):
        fit_sigmoid(loss, y, **options)


def test_ladder_refuses():
    with pytest.raises(ValueError, match="task_loss is NaN in 30 of 30 runs"):
        fit_ladder(N, D, LOSS * np.nan, accuracy(LOSS))
    with pytest.raises(ValueError, match="must lie in"):
        fit_ladder(N, D, LOSS, accuracy(LOSS) + 1)
