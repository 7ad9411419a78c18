"""Numbers of seeds found by simulation, against the exact power where there is a formula."""

import dataclasses
import math

import numpy as np
import pytest
from scipy.stats import binom, f

from jaxemerge.stats import plan_seeds
from jaxemerge.stats.design.questions import QUESTIONS
from jaxemerge.stats.design.two_rates import rate_difference_power


def least(power, exact, sizes=range(1, 400)):
    return next(n for n in sizes if exact(n) >= power)


def agrees(plan, exact, target):
    """The answer is the exact one, and its power the exact power, up to the error that the plan states."""
    assert plan.seeds.interval.low <= least(target, exact) <= plan.seeds.interval.high
    assert plan.seeds.interval.low <= plan.seeds.value <= plan.seeds.interval.high
    assert plan.power.interval.low - 0.01 <= exact(int(plan.seeds.value)) <= plan.power.interval.high + 0.01
    assert plan.power.interval.high - plan.power.interval.low < 0.05


@pytest.mark.parametrize(("share", "times", "target"), [(0.1, 3, 0.8), (0.03, 1, 0.95), (0.25, 5, 0.5)])
def test_outcomes_are_seen_as_often_as_a_binomial_tail_says(share, times, target):
    plan = plan_seeds("outcomes", {"share": share, "times": times}, target, key=1)
    agrees(plan, lambda n: binom.sf(times - 1, n, share), target)


def test_several_outcomes_are_all_seen():
    plan = plan_seeds("outcomes", {"share": (0.2, 0.8), "times": 2}, 0.9)
    agrees(plan, lambda n: 1 - binom.cdf(1, n, 0.2) - binom.cdf(1, n, 0.8), 0.9)


@pytest.mark.parametrize("target", [0.5, 0.75, 0.9])
def test_two_rates_are_told_apart_as_often_as_the_exact_test_does(target):
    plan = plan_seeds("rates", {"rates": (0.2, 0.5)}, target, key=2)
    agrees(plan, lambda n: rate_difference_power((0.2, 0.5), n), target)
    assert (plan.cells, plan.runs) == (2, 2 * plan.seeds.value)


def test_an_effect_of_initialisation_is_found_as_often_as_its_f_test_says():
    """The ratio of mean squares is 1 + D init / rest times an F variable (Searle et al. 1992, 4.3)."""
    effect = {"init": 0.3, "data": 0.2, "data_seeds": 5}

    def exact(runs):
        inits = runs // 5
        degrees = inits - 1, 4 * (inits - 1)
        return f.sf(f.ppf(0.95, *degrees) / (1 + 5 * 0.3 / 0.5), *degrees)

    plan = plan_seeds("init", effect, studies=800)
    assert plan.crossed == (plan.seeds.value / 5, 5)
    assert exact(int(plan.seeds.value)) == pytest.approx(plan.power.value, abs=0.04)
    assert plan.seeds.interval.low <= least(0.8, exact, range(10, 400, 5)) <= plan.seeds.interval.high


def test_square_designs_have_as_many_initialisations_as_data_orders():
    plan = plan_seeds("init", studies=80, most=100)
    inits, orders = plan.crossed
    assert inits == orders
    assert plan.seeds.value == inits * orders
    assert all(math.isqrt(n) ** 2 == n for n in plan.curve_seeds)


def test_one_key_gives_one_plan():
    plans = [plan_seeds("rates", key=key, studies=200) for key in (5, 5, 6)]
    assert plans[0].power == plans[1].power
    assert plans[0].seeds == plans[1].seeds
    assert plans[0].power != plans[2].power


def test_the_curve_has_every_size_that_was_simulated():
    plan = plan_seeds("outcomes", {"share": 0.05})
    assert np.all(np.diff(plan.curve_seeds) > 0)
    exact = binom.sf(2, plan.curve_seeds, 0.05)
    inside = (plan.curve.interval.low <= exact) & (exact <= plan.curve.interval.high)
    assert np.mean(inside) > 0.8
    assert plan.studies >= 8000


def test_too_few_seeds_for_a_small_effect_are_said_to_be_too_few():
    plan = plan_seeds("rates", {"rates": (0.5, 0.51)}, most=100, studies=400)
    assert plan.seeds.value == plan.runs == math.inf
    assert plan.curve_seeds[-1] == 100
    assert plan.power.value < 0.2


def test_an_effect_that_the_smallest_design_sees_needs_no_more():
    plan = plan_seeds("rates", {"rates": (0.0, 1.0)})
    assert plan.seeds.value == plan.seeds.interval.high == 4


def test_the_plan_repeats_the_whole_effect():
    plan = plan_seeds("success_mean", {"width": 0.4, "rate": 1.0}, studies=40, most=60)
    fields = [field.name for field in dataclasses.fields(QUESTIONS["success_mean"])]
    assert list(plan.effect) == fields
    assert (plan.effect["width"], plan.effect["mean"], plan.effect["rate"]) == (0.4, 0.6, 1.0)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("modes",), "question='modes' must be one of two_sided, rates, midpoint, init, success_mean, outc"),
        (("rates", {"rate": 0.1}), "effect 'rate': rates has rates"),
        (("rates", {}, 1.0), r"power=1.0 must lie in \(0, 1\)"),
        (("rates", {"rates": (0.2, 0.2)}), "two different rates are needed"),
        (("rates", {"rates": (0.2, 1.2)}), r"rates=\(0.2, 1.2\) must be 2 numbers in \[0, 1\]"),
        (("rates", {"rates": (0.2,)}), "must be 2 numbers"),
        (("two_sided", {"weight": 0.0}), r"weight=0.0 must lie in \(0, 1\)"),
        (("two_sided", {"items": 1}), "items=1 must be at least 2"),
        (("two_sided", {"concentration": -1.0}), "concentration=-1.0 must be a positive number"),
        (("midpoint", {"scales": (1.0, 1.0)}), "two or more different positive scales"),
        (("midpoint", {"ceiling": 0.0}), r"ceiling=0.0 must lie in \(0, 1\]"),
        (("init", {"init": 0.8, "data": 0.2}), "shares of the variance with a sum below 1"),
        (("init", {"data_seeds": 1}), "data_seeds=1 must be at least 2"),
        (("success_mean", {"mean": 0.1}), r"mean=0.1 must lie in \[threshold=0.2, 1\]"),
        (("outcomes", {"share": (0.5, 0.6)}), "shares above 0 with a sum of at most 1"),
        (("outcomes", {"times": 0}), "times=0 must be at least 1"),
    ],
)
def test_mistakes_are_named(arguments, words):
    with pytest.raises(ValueError, match=words):
        plan_seeds(*arguments)


def test_too_few_studies_or_seeds_are_named():
    with pytest.raises(ValueError, match="studies=39 must be at least 40"):
        plan_seeds("rates", studies=39)
    with pytest.raises(ValueError, match="most=3 must be at least 4"):
        plan_seeds("rates", most=3)
    with pytest.raises(ValueError, match="confidence=95"):
        plan_seeds("rates", confidence=95)
