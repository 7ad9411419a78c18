"""The task scaling law: against statsmodels, on real data, on planted populations of models, at its ends."""

import math

import numpy as np
import pytest
import statsmodels.api as sm
from scipy.optimize import minimize
from scipy.stats import chi2

from jaxemerge.stats import fit_task_scaling
from jaxemerge.stats.passes.counts import average_counts, units_of

# The series of Hu et al. (2023), in parameters.
SERIES = np.array([0.036, 0.109, 0.241, 0.499, 0.892, 1.542, 2.45]) * 1e9
X = np.log(SERIES / 1e9)
C, ALPHA = math.exp(0.4), 0.55
# Two of their HumanEval items at 0.03 to 1.5 billion parameters: multiples of 1/1600, as 1,600 samples give.
HUMAN_EVAL = np.array([0.03, 0.1, 0.2, 0.5, 0.9, 1.5]) * 1e9
ITEM_20 = np.array([0, 0, 0, 0.000625, 0.001875, 0.008125])
ITEM_24 = np.array([0.00375, 0.05125, 0.350625, 0.3625, 0.568125, 0.796875])


def law(c, alpha, x=X):
    return np.exp(-c * np.exp(-alpha * x))


def sampled(p, samples, sets, seed=0):
    """Counts of a model that answers right with known p."""
    return np.random.default_rng(seed).binomial(samples, p, size=(sets, len(p)))


def generalised(passes, samples, power):
    """statsmodels: failures with a complementary log-log link have F = ln(-ln P) as linear predictor."""
    x = np.log(HUMAN_EVAL) - np.log(HUMAN_EVAL).mean()
    design = np.stack([x**i for i in range(power + 1)], axis=1)
    family = sm.families.Binomial(link=sm.families.links.CLogLog())
    table = np.stack([samples - passes, passes], axis=1)
    return sm.GLM(table, design, family=family).fit(tol=1e-13, maxiter=200)


@pytest.mark.parametrize("rates", [ITEM_20, ITEM_24])
def test_agrees_with_statsmodels_on_human_eval(rates):
    passes = np.round(rates * 1600)
    np.testing.assert_allclose(passes / 1600, rates, rtol=1e-12, atol=1e-12)
    found = fit_task_scaling(HUMAN_EVAL, counts=(passes, 1600), bootstraps=0)
    theirs, bent = generalised(passes, 1600, 1), generalised(passes, 1600, 2)
    assert found.alpha.value == pytest.approx(-theirs.params[1], rel=1e-5)
    centre = np.log(HUMAN_EVAL).mean()
    assert math.log(found.c.value) == pytest.approx(theirs.params[0] - theirs.params[1] * centre, rel=1e-5)
    np.testing.assert_allclose(found.predict(HUMAN_EVAL).value, 1 - theirs.fittedvalues, rtol=1e-5)
    gain = 2 * (bent.llf - theirs.llf)
    assert found.growth.p_value == pytest.approx(chi2.sf(gain, 1), rel=1e-4)
    half_range = np.ptp(np.log(HUMAN_EVAL)) / 2
    assert found.growth.bend.value == pytest.approx(bent.params[2] * half_range**2, rel=1e-4)


def test_human_eval_items_are_fitted_without_logarithms_of_zeros():
    passes = np.round(np.stack([ITEM_20, ITEM_24]) * 1600)
    found = fit_task_scaling(HUMAN_EVAL, counts=(passes, 1600))
    hard, easy = found.predict([1.5e9, 2.45e9]).value
    # Six scales and 24 passes leave item 20's exponent wide open, and its growth undecided.
    assert found.alpha.value == pytest.approx([0.430, 0.737], abs=1e-3)
    assert found.alpha.interval.low == pytest.approx([0.25, 0.70], abs=0.03)
    assert found.alpha.interval.high == pytest.approx([0.88, 0.77], abs=0.06)
    assert found.growth.name.tolist() == ["undecided", "scaling"]
    assert hard[0] == pytest.approx(ITEM_20[-1], rel=0.1)
    assert easy[0] == pytest.approx(ITEM_24[-1], rel=0.12)
    assert ITEM_20[-1] < hard[1] < 0.06 < ITEM_24[-1] - 0.01 < easy[1] < 1
    # Fitted without the largest scale, item 20's measured rate lies in the predicted interval.
    small = fit_task_scaling(HUMAN_EVAL[:-1], counts=(passes[:, :-1], 1600))
    ends = small.predict(1.5e9).interval
    assert ends.low[0] < ITEM_20[-1] < ends.high[0]


def test_exact_rates_of_a_law_give_the_law():
    found = fit_task_scaling(SERIES, law(C, ALPHA))
    assert found.alpha.value == pytest.approx(ALPHA)
    assert found.c.value == pytest.approx(C * 1e9**ALPHA)
    assert found.growth.name == "scaling"
    assert math.isnan(found.alpha.interval.low)
    assert found.predict(1e10).value == pytest.approx(float(law(C, ALPHA, np.log(10.0))))
    assert np.isnan(found.predict(1e10).interval.high)


def test_an_unknown_scale_is_left_out():
    rates = law(C, ALPHA)
    rates[2] = np.nan
    assert fit_task_scaling(SERIES, rates).alpha.value == pytest.approx(ALPHA)
    passes, samples = np.round(1e5 * law(C, ALPHA)), np.full(7, 1e5)
    passes[2] = samples[2] = 0
    found = fit_task_scaling(SERIES, counts=(passes, samples), bootstraps=0)
    assert found.alpha.value == pytest.approx(ALPHA, rel=0.01)


def planted(name):
    """F of a law, of two steps that must both go right, and of the better of two circuits."""
    lines = {"steps": ((-1.5, 1.3), (0.4, 0.1)), "circuits": ((1.9, 0.05), (0.1, 1.6))}
    if name == "law":
        return math.log(C) - ALPHA * X
    first, second = (a - s * X for a, s in lines[name])
    return np.log(np.exp(first) + np.exp(second)) if name == "steps" else np.minimum(first, second)


@pytest.mark.parametrize(
    ("name", "growth"), [("law", "scaling"), ("steps", "sub-scaling"), ("circuits", "super-scaling")]
)
def test_planted_growth_is_found(name, growth):
    """Of 200 data sets of 4,000 samples at each of seven scales."""
    p = np.exp(-np.exp(planted(name)))
    counts = sampled(p, 4000, 200), 4000
    found = fit_task_scaling(SERIES, counts=counts, bootstraps=100)
    assert np.mean(found.growth.name == growth) >= 0.95
    if name == "law":
        assert np.mean(np.abs(found.alpha.value / ALPHA - 1) < 0.1) >= 0.95
        assert np.mean(np.abs(found.predict(5e9).value / law(C, ALPHA, np.log(5.0)) - 1) < 0.05) >= 0.95
        inside = (found.alpha.interval.low <= ALPHA) & (found.alpha.interval.high >= ALPHA)
        assert 0.9 <= np.mean(inside) <= 0.99
        assert np.mean(found.growth.p_value <= 0.05) <= 0.09


def test_planted_growth_is_found_by_sampling_until_passes():
    """Sampled until 200 passes or 40,000 samples; bootstraps stop in the same way."""
    rng = np.random.default_rng(1)
    for name, growth in (("law", "scaling"), ("steps", "sub-scaling"), ("circuits", "super-scaling")):
        p = np.exp(-np.exp(planted(name)))
        at = np.cumsum(rng.geometric(np.maximum(p, 1e-7), size=(200, 60, 7)), axis=0)
        passes, samples = np.sum(at <= 40_000, axis=0), np.minimum(at[-1], 40_000)
        found = fit_task_scaling(SERIES, counts=(passes, samples), stop=(200, 40_000), bootstraps=20)
        assert np.mean(found.growth.name == growth) >= 0.95


def test_noise_leaves_the_growth_undecided():
    p = np.exp(-np.exp(planted("law")))
    found = fit_task_scaling(SERIES, counts=(sampled(p, 60, 200), 60), bootstraps=0)
    assert np.mean(found.growth.name == "undecided") >= 0.9
    inside = (found.growth.bend.interval.low <= 0) & (found.growth.bend.interval.high >= 0)
    assert np.mean(inside) >= 0.9


def test_theorems_hold_on_noiseless_rates():
    """A chain of laws is never super-scaling, the best of several laws never sub-scaling."""
    rng = np.random.default_rng(2)
    seen = set()
    for _ in range(300):
        number = rng.integers(2, 6)
        lines = rng.uniform(-3, 1.2, (number, 1)) - rng.uniform(0, 0.6, (number, 1)) * X
        chain, best = np.exp(lines).sum(axis=0), np.exp(lines).min(axis=0)
        growth = [fit_task_scaling(SERIES, np.exp(-h)).growth.name for h in (chain, best)]
        assert growth[0] != "super-scaling"
        assert growth[1] != "sub-scaling"
        seen |= {("chain", growth[0]), ("best", growth[1])}
    assert {("chain", "sub-scaling"), ("best", "super-scaling"), ("best", "scaling")} <= seen


def items(number=40, seed=4):
    """Rates [I, N] of items of one law each."""
    rng = np.random.default_rng(seed)
    c, alpha = np.exp(rng.normal(0.5, 1.0, (number, 1))), rng.uniform(0.4, 0.8, (number, 1))
    return c[:, 0], alpha[:, 0], law(c, alpha)


def test_items_are_fitted_one_by_one():
    c, alpha, rates = items()
    passes = np.random.default_rng(5).binomial(2000, rates)
    found = fit_task_scaling(SERIES, counts=(passes, 2000))
    assert found.alpha.value.shape == found.growth.name.shape == (40,)
    inside = (found.alpha.interval.low <= alpha) & (alpha <= found.alpha.interval.high)
    assert inside.mean() >= 0.85
    alone = fit_task_scaling(SERIES, counts=(passes[7], 2000), bootstraps=0)
    assert found.alpha.value[7] == pytest.approx(alone.alpha.value)
    assert isinstance(alone.alpha.value, float)
    # Two items pass at the largest scale alone: where they go from there their counts do not say.
    truth = law(c[:, None], alpha[:, None], np.log([5.0]))[:, 0]
    step = np.isinf(found.alpha.value)
    assert step.sum() == 2
    assert np.isnan(found.predict(5e9).value).tolist() == step.tolist()
    assert math.isnan(found.average(5e9).value)
    average = found.average(5e9, unknown=truth)
    assert average.value == pytest.approx(truth.mean(), abs=0.01)
    assert average.interval.low < truth.mean() < average.interval.high


def test_an_item_without_a_pass_has_no_law():
    passes = np.array([[0] * 7, [1, 2, 9, 20, 40, 60, 70], [100] * 7])
    found = fit_task_scaling(SERIES, counts=(passes, 100), bootstraps=20)
    assert found.seen.tolist() == [False, True, True]
    assert np.isnan(found.alpha.value).tolist() == [True, False, True]
    predicted = found.predict([1e9, 5e9])
    assert np.isnan(predicted.value[0]).all()
    np.testing.assert_allclose(predicted.value[2], 1)
    assert math.isnan(found.average(5e9).value)
    known = found.average(5e9, unknown=0.1)
    assert known.value == pytest.approx((0.1 + predicted.value[1, 1] + 1) / 3)


def test_passes_at_the_largest_scale_alone_are_a_step():
    found = fit_task_scaling(SERIES, counts=([0, 0, 0, 0, 0, 0, 7], 100))
    assert found.alpha.value == found.alpha.interval.high == math.inf
    assert 0.3 < found.alpha.interval.low < 3
    assert found.predict(SERIES).value[[0, -1]] == pytest.approx([0, 0.07], abs=1e-3)
    assert math.isnan(found.predict(3e9).value)

    def loss(intercept, alpha):
        p = np.exp(-np.exp(np.clip(intercept - alpha * (X - X[-1]), -30, 6)))
        return -(7 * np.log(p[-1]) + 93 * np.log1p(-p[-1]) + 100 * np.log1p(-p[:-1]).sum())

    held = minimize(lambda a: loss(a[0], found.alpha.interval.low), [1.0], method="Nelder-Mead", tol=1e-10)
    best = 7 * np.log(0.07) + 93 * np.log(0.93)
    assert 2 * (best + held.fun) == pytest.approx(chi2.ppf(0.95, 1), abs=0.01)
    falling = fit_task_scaling(SERIES, counts=([7, 0, 0, 0, 0, 0, 0], 100))
    assert falling.alpha.value == falling.alpha.interval.low == -math.inf
    assert fit_task_scaling(SERIES, counts=([0, 0, 0, 0, 0, 2, 7], 100)).alpha.value < math.inf


def test_the_average_of_items_has_a_law():
    _, _, rates = items()
    passes = np.random.default_rng(6).binomial(1000, rates)
    found = fit_task_scaling(SERIES, counts=(passes, 1000), level="dataset")
    np.testing.assert_allclose(found.predict(SERIES).value, rates.mean(axis=0), atol=0.03)
    by_items = fit_task_scaling(SERIES, counts=(passes, 1000), level="dataset", unit="items")
    assert by_items.alpha.value == pytest.approx(found.alpha.value, abs=0.03)
    widths = [f.alpha.interval.high - f.alpha.interval.low for f in (found, by_items)]
    assert widths[1] > 3 * widths[0]  # other items differ more than other samples of these items
    exact = fit_task_scaling(SERIES, rates, level="dataset", unit="items")
    assert exact.alpha.value == pytest.approx(found.alpha.value, abs=0.03)
    assert exact.alpha.interval.low < exact.alpha.value < exact.alpha.interval.high


def test_averages_of_passes_are_unbiased():
    """With r = 2 the likelihood's m/K would average to nearly twice the rate."""
    rng = np.random.default_rng(7)
    p = law(3.0, 0.4)
    at = np.cumsum(rng.geometric(p, size=(2, 3000, 7)), axis=0)
    found = fit_task_scaling(
        SERIES, counts=(np.full((3000, 7), 2), at[-1]), level="dataset", stop=(2, 10**6), unit="items"
    )
    np.testing.assert_allclose(found.predict(SERIES).value, p, rtol=0.12)
    assert found.alpha.value == pytest.approx(0.4, abs=0.02)


def test_seeds_are_the_unit_that_is_drawn_again():
    """Populations of 30 seeds of which each has its own rate: intervals over samples would be too narrow."""
    p, inside, narrow = law(C, ALPHA), [], []
    for number in range(60):
        rng = np.random.default_rng(number)
        rates = rng.beta(2 * p, 2 * (1 - p), size=(30, 7))
        counts = rng.binomial(500, rates), 500
        for unit, hits in (("seeds", inside), ("samples", narrow)):
            ends = fit_task_scaling(
                SERIES, counts=counts, level="dataset", unit=unit, bootstraps=100, key=number
            ).alpha.interval
            hits.append(ends.low <= ALPHA <= ends.high)
    assert np.mean(inside) >= 0.87
    assert np.mean(narrow) <= 0.5


@pytest.mark.parametrize("kind", ["beta", "shifted"])
def test_averages_are_worth_what_seeds_differ_by(kind):
    """The variance of the mean over 20 seeds, against that of 400 such means; rates from 2e-3 to 0.5."""
    rng = np.random.default_rng(5)
    p = law(C, ALPHA)[1:]
    rates = rng.beta(2 * p, 2 * (1 - p), size=(400, 20, 6))
    if kind == "shifted":
        rates = np.exp(-np.exp(np.log(-np.log(p)) + 0.3 * rng.standard_normal((400, 20, 6))))
    passes = rng.binomial(10**5, rates).astype(float)
    found, worth = average_counts(units_of(passes, np.full(passes.shape, 1e5), None), "seeds")
    mean = found / worth
    said = (mean * (1 - mean) / worth).mean(axis=0)
    assert np.all(said / mean.var(axis=0) > 0.6)
    assert np.all(said / mean.var(axis=0) < 1.7)


def test_the_key_decides_the_bootstrap():
    counts = sampled(law(C, ALPHA), 500, 1)[0], 500
    first, again, other = (fit_task_scaling(SERIES, counts=counts, key=key) for key in (1, 1, 2))
    assert first.alpha.interval == again.alpha.interval
    assert first.alpha.interval != other.alpha.interval


def test_units_and_order_of_scales_do_not_matter():
    passes = sampled(law(C, ALPHA), 500, 1)[0]
    order = np.random.default_rng(3).permutation(7)
    straight = fit_task_scaling(SERIES, counts=(passes, 500), bootstraps=0)
    other = fit_task_scaling(SERIES[order] / 1e9, counts=(passes[order], 500), bootstraps=0)
    assert other.alpha.value == pytest.approx(straight.alpha.value)
    assert other.c.value * 1e9**other.alpha.value == pytest.approx(straight.c.value, rel=1e-4)
    assert other.growth.bend.value == pytest.approx(straight.growth.bend.value, abs=1e-6)


@pytest.mark.parametrize(
    ("arguments", "options", "message"),
    [
        (([1, 2],), {}, r"give either pass_rate=, exact rates, or counts="),
        (([1, 2], [0.1, 0.2]), {"counts": ([1, 2], 5)}, "give either pass_rate="),
        (([1, 2], [0.1, 0.0]), {}, "pass_rate=0: exact rates lie strictly between 0 and 1; give counts"),
        (([1, 2], [0.1, 0.2, 0.3]), {}, r"shape \(3,\) must be \[..., N\] with N=2 scales"),
        (([1, 2], 0.3), {}, r"shape \(\) must be"),
        (([1, 2], [0.1, 0.2]), {"level": "dataset"}, r"shape \(2,\) must be \[U, N\] with N=2"),
        (
            ([1, 1], [0.1, 0.2]),
            {},
            r"parameters=\[1.0, 1.0\] must be positive numbers, two or more different",
        ),
        (([0, 1], [0.1, 0.2]), {}, r"parameters=\[0.0, 1.0\] must be positive"),
        (([1, 2],), {"counts": ([1, 2], 1)}, "0 <= passes <= samples must hold"),
        (([1, 2],), {"counts": ([1, np.nan], 1)}, "0 <= passes <= samples must hold"),
        (([1, 2], [0.1, 0.2]), {"level": "task"}, "level='task' must be one of instance, dataset"),
        (([1, 2], [0.1, 0.2]), {"unit": "runs"}, "unit='runs' must be one of samples, items, seeds"),
        (([1, 2], [0.1, 0.2]), {"unit": "items"}, "unit='items' is resampled at level='dataset' only"),
        (([1, 2], [0.1, 0.2]), {"stop": (3, 2)}, r"stop=\(3, 2\): r passes of at most cap samples"),
        (([1, 2], [0.1, 0.2]), {"margin": -1}, "margin=-1 must be at least 0"),
        (([1, 2], [0.1, 0.2]), {"bootstraps": -1}, "bootstraps=-1 must be at least 0"),
        (([1, 2], [0.1, 0.2]), {"confidence": 95}, r"confidence=95 must lie in \(0, 1\)"),
    ],
)
def test_refuses(arguments, options, message):
    with pytest.raises(ValueError, match=message):
        fit_task_scaling(*arguments, **options)


def test_one_curve_has_no_average():
    with pytest.raises(ValueError, match="an average needs laws of several items, not one"):
        fit_task_scaling(SERIES, law(C, ALPHA)).average(1e9)
