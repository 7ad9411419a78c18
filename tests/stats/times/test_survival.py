"""Times of breakthrough, against SciPy, statsmodels and loops."""

import math

import numpy as np
import pytest
from scipy import stats
from statsmodels.duration.survfunc import survdiff

from jaxemerge.stats import breakthrough_time, kaplan_meier, log_rank_test, success_interval


def runs(seeds=61, seed=0):
    """Tied times, censored at random and at the end."""
    rng = np.random.default_rng(seed)
    time, end = np.ceil(rng.exponential(10, seeds)), rng.integers(3, 25, seeds)
    return np.minimum(time, end), time <= end


@pytest.mark.parametrize("in_a_row", [1, 2, 3, 6])
def test_time_of_breakthrough_by_loop(in_a_row):
    rng = np.random.default_rng(0)
    steps = np.array([10, 20, 50, 100, 130])
    values = np.where(rng.random((3, 41, 5)) < 0.1, np.nan, rng.random((3, 41, 5)))
    found = breakthrough_time(steps, values, 0.3, in_a_row=in_a_row)
    for place in np.ndindex(3, 41):
        above = [bool(v >= 0.3) for v in values[place]]
        first = [i for i in range(6 - in_a_row) if all(above[i : i + in_a_row])]
        assert found.observed[place] == bool(first)
        if first:
            later = above[first[0] :]
            falls = [first[0] + i for i in range(1, len(later)) if later[i - 1] and not later[i]]
            assert found.time[place] == steps[first[0]]
            assert found.after[place] == (steps[first[0] - 1] if first[0] else 0)
            assert found.relapses[place] == len(falls)
            np.testing.assert_equal(found.relapse[place], steps[falls[0]] if falls else np.nan)
            lost = falls and not any(above[falls[-1] :]) and len(above) - falls[-1] >= in_a_row
            np.testing.assert_equal(found.loss[place], steps[falls[-1]] if lost else np.nan)
        else:
            below = [i for i in range(5) if not above[i]]
            assert found.time[place] == found.after[place] == steps[max(below, default=0)]
            assert found.relapses[place] == 0
            assert np.isnan(found.loss[place])


def test_one_dip_does_not_undo_a_breakthrough():
    """1,000 seeds break through at 400 and then score 0.92 of 240 items: below 0.9 now and then."""
    steps = np.arange(50, 3001, 50)
    scores = np.random.default_rng(1).binomial(240, 0.92, (1000, 60)) / 240
    found = breakthrough_time(steps, np.where(steps >= 400, scores, 0.0), 0.9)
    curve = kaplan_meier(found.time, found.observed, after=found.after)
    assert found.observed.mean() == 1.0
    assert curve.median.value == 400
    assert curve.median.interval.low == 350  # seen at 400: it lies between the two
    assert curve.median.interval.high == 400
    assert (found.relapses > 0).mean() > 0.99
    assert np.isnan(found.loss).mean() > 0.99
    stays = np.logical_and.accumulate(scores[:, ::-1] >= 0.9, axis=1)[:, ::-1]
    dip = stats.binom.cdf(215, 240, 0.92)  # "never", if one dip at the end could undo it
    assert 1 - stays[:, -1].mean() == pytest.approx(dip, abs=0.03)
    assert np.median(np.where(stays.any(axis=1), steps[stays.argmax(axis=1)], np.inf)) > 2600


def test_a_run_that_loses_the_ability_had_it():
    found = breakthrough_time([1, 2, 3, 4, 5, 6], [0.9, 0.9, 0.9, 0.1, np.nan, np.nan], 0.5)
    assert (found.time, found.observed, found.relapses, found.relapse, found.loss) == (1, True, 1, 4, 4)


def test_a_run_that_ends_above_too_briefly_is_censored_before():
    found = breakthrough_time([1, 2, 3, 4, 5], [0.0, 0.9, 0.0, 0.9, 0.9], 0.5)
    assert (found.time, found.after, found.observed) == (3, 3, False)
    assert not breakthrough_time([1, 2], [0.9, 0.9], 0.5).observed  # too few evaluations to see one


@pytest.mark.parametrize("seed", range(5))
def test_curve_agrees_with_scipy(seed):
    time, observed = runs(seed=seed)
    data = stats.CensoredData(uncensored=time[observed], right=time[~observed])
    expected = stats.ecdf(data).sf
    found = kaplan_meier(time, observed)
    np.testing.assert_allclose(found.survival.value, expected.evaluate(found.time))
    assert found.events.tolist() == [np.sum(time[observed] == t) for t in found.time]
    assert found.at_risk.tolist() == [np.sum(time >= t) for t in found.time]
    assert found.median.value == found.time[np.argmax(expected.evaluate(found.time) <= 0.5)]


def test_interval_is_that_of_a_share_until_somebody_is_censored():
    time = np.array([1.0, 1, 2, 3, 3, 3, 9, 9, 9])
    found = kaplan_meier(time, time < 9)
    expected = success_interval([7, 6, 3], 9)
    np.testing.assert_allclose(found.survival.interval.low, expected.low)
    np.testing.assert_allclose(found.survival.interval.high, expected.high)
    # 1/2 lies in the interval of S = 7/9 already, and in that of 3/9 still.
    assert (found.median.interval.low, found.median.value, found.median.interval.high) == (1, 3, math.inf)


def test_intervals_widen_with_censoring():
    time = np.arange(1.0, 31)
    all_seen = kaplan_meier(time, np.ones(30)).survival.interval
    half_seen = kaplan_meier(time, np.arange(30) % 2).survival.interval
    assert (half_seen.high - half_seen.low)[10] > (all_seen.high - all_seen.low)[21]


def test_everybody_breaks_through():
    found = kaplan_meier([1, 2, 3], [1, 1, 1])
    assert found.survival.value[-1] == 0
    assert found.survival.interval.low[-1] == 0
    assert found.survival.interval.high[-1] == pytest.approx(success_interval(0, 3).high)


def test_nobody_or_nothing():
    found = kaplan_meier([5, 5, 7], [0, 0, 0])
    assert len(found.time) == 0
    assert (found.median.value, found.median.interval.low, found.n) == (math.inf, math.inf, 3)
    assert math.isnan(kaplan_meier([], []).median.value)


@pytest.mark.parametrize("groups", [2, 3, 5])
def test_log_rank_agrees_with_statsmodels(groups):
    time, observed = runs(97)
    group = np.arange(97) % groups
    statistic, p_value = survdiff(time, observed.astype(int), group)
    found = log_rank_test(time, observed, group)
    assert (found.statistic, found.p_value) == pytest.approx((statistic, p_value))
    assert found.dof == groups - 1
    assert found.observed.sum() == pytest.approx(found.expected.sum())


def test_log_rank_takes_any_labels():
    time, observed = runs()
    number = np.arange(61) % 2
    assert log_rank_test(time, observed, np.where(number, "b", "a")).statistic == pytest.approx(
        log_rank_test(time, observed, number).statistic
    )


@pytest.mark.parametrize(
    "arguments", [([], [], []), ([1, 2], [1, 1], [0, 0]), ([1, 2], [0, 0], [0, 1]), ([1], [1], [0])]
)
def test_nothing_to_compare(arguments):
    found = log_rank_test(*arguments)
    assert math.isnan(found.statistic)
    assert math.isnan(found.p_value)
    assert found.dof == 0


def test_log_rank_size():
    rejected = 0
    for seed in range(400):
        time, observed = runs(60, seed)
        rejected += log_rank_test(time, observed, np.arange(60) % 3).p_value <= 0.05
    assert 0.025 <= rejected / 400 <= 0.085


def test_survival_intervals_cover():
    hits = []
    for seed in range(400):
        found = kaplan_meier(*runs(50, seed))
        at_five = np.searchsorted(found.time, 5, side="right") - 1
        low, high = (end[at_five] for end in (found.survival.interval.low, found.survival.interval.high))
        median = found.median.interval
        hits.append([low <= math.exp(-0.5) <= high, median.low <= 7 <= median.high])
    assert np.all(np.mean(hits, axis=0) >= 0.92)


@pytest.mark.parametrize(
    ("measure", "message"),
    [
        (lambda: breakthrough_time([2, 1], [0.1, 0.2], 0.5), r"steps=\[2.0, 1.0\] must be one or more steps"),
        (lambda: breakthrough_time([], [], 0.5), r"steps=\[\] must be one or more steps"),
        (lambda: breakthrough_time([1, 2], [0.1], 0.5), r"values of shape \(1,\) do not fit 2 steps"),
        (lambda: breakthrough_time([1], [0.1], 0.5, in_a_row=0), "in_a_row=0 must be at least 1"),
        (
            lambda: kaplan_meier([1], [1], after=[2]),
            r"after of shape \(1,\) must be one per run",
        ),
        (lambda: breakthrough_time([1], [0.1], 0.0), "threshold=0.0 must be above failure=0.0"),
        (lambda: breakthrough_time([1], [0.1], math.nan), "threshold=nan must be above"),
        (lambda: kaplan_meier([1, 2], [1]), r"time \(2,\) and observed \(1,\) must be one each per run"),
        (lambda: kaplan_meier([1, math.inf], [1, 0]), "every time must be finite"),
        (lambda: kaplan_meier([1], [1], confidence=95), "confidence=95 must lie in"),
        (lambda: log_rank_test([1], [1], [0, 1]), r"group of shape \(2,\) must hold one label for each of 1"),
    ],
)
def test_refuses_what_it_cannot_measure(measure, message):
    with pytest.raises(ValueError, match=message):
        measure()
