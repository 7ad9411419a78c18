"""Interquartile mean and probability of improvement, against plain loops over resamples."""

import numpy as np
import pytest

from jaxemerge.stats import improvement_probability, interquartile_mean

RNG = np.random.default_rng(0)
FIRST = [RNG.beta(2, 3, 5) for _ in range(7)]
SECOND = [np.round(RNG.beta(3, 3, 4), 1) for _ in range(7)]


def middle(scores):
    """The mean of the scores between the quartiles, by sorting."""
    flat = np.sort(np.concatenate(scores))
    cut = int(0.25 * len(flat))
    return flat[cut : len(flat) - cut].mean()


def wins(first, second):
    shares = [
        np.mean([[1.0 if y > x else 0.5 if y == x else 0.0 for x in one] for y in two])
        for one, two in zip(first, second, strict=True)
    ]
    return np.mean(shares)


def resampled(statistic, *methods):
    """The middle 95 % over resamples of the seeds within each task, one at a time."""
    rng = np.random.default_rng(7)
    drawn = [
        statistic(*([rng.choice(task, len(task)) for task in method] for method in methods))
        for _ in range(3000)
    ]
    return np.quantile(drawn, [0.025, 0.975])


def test_values_and_intervals_are_those_of_loops():
    for found, value, ends in (
        (interquartile_mean(FIRST, resamples=4000), middle(FIRST), resampled(middle, FIRST)),
        (
            improvement_probability(FIRST, SECOND, resamples=4000),
            wins(FIRST, SECOND),
            resampled(wins, FIRST, SECOND),
        ),
    ):
        assert found.value == pytest.approx(value, abs=1e-12)
        assert (found.interval.low, found.interval.high) == pytest.approx(tuple(ends), abs=0.008)


def test_outliers_do_not_move_the_interquartile_mean():
    spoilt = [np.append(FIRST[0], 100.0), *FIRST[1:]]
    assert interquartile_mean(spoilt).value == pytest.approx(interquartile_mean(FIRST).value, abs=0.05)


def test_both_directions_add_up_to_one():
    there, back = improvement_probability(FIRST, SECOND), improvement_probability(SECOND, FIRST)
    assert there.value + back.value == pytest.approx(1)
    assert improvement_probability(FIRST, FIRST).value == pytest.approx(0.5)


@pytest.mark.parametrize("scores", [[], [[]], [[0.1, np.nan]], [[[0.1]]]])
def test_refuses_what_are_no_scores(scores):
    with pytest.raises(ValueError, match="one or more finite numbers for each of one or more tasks"):
        interquartile_mean(scores)
    with pytest.raises(ValueError, match="7 and 6 tasks"):
        improvement_probability(FIRST, SECOND[:6])
